"""python -m deep_cnn evaluate: score a split of a finished run again."""

from dataclasses import dataclass

from deep_cnn.config.fields import check_flags, flag, on_off, run_name, tta_level, worker_count
from deep_cnn.config.schema import TTA


@dataclass(frozen=True)
class Options:
    run_name: str = flag("default", "name of the run", group="command", kind=run_name)
    split: str = flag("test", "split to evaluate", group="command", choices=("train", "validation", "test"))
    root_dir: str = flag(".", "root directory of the project", group="command")
    data_dir: str | None = flag(None, "folder of images, if it was moved after training", group="command", kind=str)
    tta: str | None = flag(
        None,
        "test-time augmentation, reported beside the plain result; by default that of the run",
        group="command",
        kind=tta_level,
        choices=TTA,
        bare="flip",
    )
    raters: tuple[str, ...] = flag(
        (),
        "columns with the ratings of one rater each, for the noise ceiling of a run that was trained without them",
        group="command",
        kind=str,
        many="comma",
    )
    target_std: tuple[str, ...] = flag(
        (),
        "column with the standard error of each score, for the noise ceiling",
        group="command",
        kind=str,
        many="comma",
    )
    device: str = flag("auto", "device: auto, cpu, cuda, cuda:N or mps", group="command")
    workers: str = flag(
        "auto", "threads that read images; auto: the cores available to this job", group="command", kind=worker_count
    )
    cache: str = flag("auto", "cache of decoded images on disk: auto, off, or a folder", group="command", kind=on_off)

    def __post_init__(self):
        check_flags(self)


def main(options: Options) -> int:
    from deep_cnn.inference.load import open_run
    from deep_cnn.inference.rescore import rescore
    from deep_cnn.reporting import result_text
    from deep_cnn.runtime import console, distributed

    console.console_only()
    with distributed.process_group(options.device):
        run = open_run(options.run_name, options.root_dir, device=options.device)
        known = {"raters": options.raters, "target_std": options.target_std}
        result = rescore(
            run,
            options.split,
            tta=options.tta,
            root_dir=options.root_dir,
            data_dir=options.data_dir or run.network.meta["config"]["data_dir"],
            workers=options.workers,
            cache=options.cache,
            **{name: value for name, value in known.items() if value},
        )
        if result is not None:
            result_text.show_result(result)
    return 0
