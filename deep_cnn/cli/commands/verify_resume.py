"""python -m deep_cnn verify_resume [train flags]: is a killed run's result that of an unbroken one, on this machine?"""

from dataclasses import dataclass
from typing import Any

from deep_cnn.config.fields import flag, names_weights
from deep_cnn.config.schema import Config


@dataclass(frozen=True)
class Options(Config):
    kills: int = flag(5, "number of times the run is killed", group="command", low=1, identity=False)
    kill_seed: int | None = flag(
        None,
        "seed of the random moments of the kills; by default different each time",
        group="command",
        kind=int,
        high=2**63 - 1,
        identity=False,
    )


def main(options: Options) -> int:
    from deep_cnn.runtime import console, distributed
    from deep_cnn.runtime.errors import ConfigError
    from deep_cnn.runtime.launch import this_rank

    console.console_only()
    here = this_rank()
    if here.world_size > here.local_world_size:
        raise ConfigError("verify_resume: works on one machine; start it with torchrun --standalone")
    with distributed.process_group():  # the first of them starts as many anew, again and again
        return distributed.main_process(verified)(options, here.world_size)


def verified(options: Options, count: int) -> int:
    from dataclasses import replace
    from pathlib import Path

    from deep_cnn.data import dataset
    from deep_cnn.data.public import with_dataset
    from deep_cnn.runtime.device import pick_device
    from deep_cnn.tools import verify_resume

    config = with_dataset(Config.from_dict(options.to_dict()))
    if pick_device(config.device).type == "cuda" and not config.deterministic:
        print("Adding --deterministic: on a GPU only this gives bit-identical results")
        config = replace(config, deterministic=True)
    folder = dataset.data_dir(config)
    places: dict[str, Any] = {"data_dir": str(folder.resolve())}
    for name in ("metadata", "weights"):
        value = getattr(config, name)
        if value and value != "none" and not names_weights(value) and "://" not in value:
            places[name] = str(dataset.find(name, value, config, folder).resolve())
    if config.cache == "auto":
        places["cache"] = str((config.root / "outputs" / "cache").resolve())
    root = Path(config.root / "outputs" / "verify_resume").resolve()
    short = verify_resume.short_version(replace(config, **places), root)
    found = verify_resume.verify(short, options.kills, options.kill_seed, lambda text: print(text, flush=True), count)
    if not found:
        print("identical: weights, metrics.csv, test.json and predictions_test.csv")
        return 0
    print(f"DIFFERENT (both runs are kept in {root}):")
    for line in found[:20]:
        print(f"  {line}")
    if len(found) > 20:
        print(f"  and {len(found) - 20} more")
    return 1
