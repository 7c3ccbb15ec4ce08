"""20 epochs of --recipe=probe against one pass of evaluation over the same images, decoding included on both sides.

    python -m benchmarks.frozen_features [--data_dir=FOLDER_WITH_train] [--images=640] [--rounds=3]

Counted is all that grows with the images or the epochs: computing features, training, validating, saving. Not counted on
either side: importing torch, reading the list of files, pictures and the report, which are printed beside it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import photographs, program, timing

ROOT = Path(__file__).resolve().parent.parent
COUNTED = ("features", "waiting", "step", "validation", "saving", "rest")


def probe(data: Path, folder: Path, epochs: int) -> tuple[float, float]:
    """Seconds counted, and the others."""
    results = program.finished(
        folder,
        "--recipe=probe",
        f"--epochs={epochs}",
        "--model=resnet18",
        "--weights=none",
        "--profile",
        f"--data_dir={data}",
    )
    seconds = program.content(results, "profile.json")["seconds"]
    counted = sum(seconds[phase] for phase in COUNTED)
    return counted, sum(seconds.values()) - counted


def evaluate(data: Path) -> float:
    """Seconds of one pass over all images, from files that are decoded on the way, in this process."""
    import numpy as np
    import torch

    from deep_cnn.data.assemble import Pixels
    from deep_cnn.data.feed import Feed, FeedSettings
    from deep_cnn.data.index import build_index
    from deep_cnn.inference.evaluate import evaluate as evaluated
    from deep_cnn.models.build import ModelSpec, build_model, weights_preprocessing
    from deep_cnn.runtime.device import autocast_for, granted_cores, pick_precision, set_threads

    device = torch.device("cpu")
    set_threads(granted_cores())
    index = build_index(data)
    pre = weights_preprocessing("resnet18", "none")
    model = build_model(ModelSpec("resnet18", 5), 0).to(memory_format=torch.channels_last)
    pixels = Pixels(index, pre, None)
    targets = torch.from_numpy(index.targets)
    feed = Feed(pixels, np.arange(len(index)), targets, FeedSettings(device, workers=granted_cores()))
    autocast = autocast_for(device, pick_precision("auto", device))
    begun = time.perf_counter()
    for _ in evaluated(model, feed.eval_batches(32), autocast):
        pass
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_dir", type=Path, help="a folder whose train/ holds class folders; else images are drawn"
    )
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--evaluate", type=Path, help="one pass over this folder, in this process")
    options = parser.parse_args()
    if options.evaluate:
        print(evaluate(options.evaluate))
        return
    print(timing.machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder, others = Path(temporary), []
        data = options.data_dir or photographs.generate(folder / "images", options.images, 500, 375)
        alone = [sys.executable, "-m", "benchmarks.frozen_features", f"--evaluate={data}"]

        def ours() -> float:
            counted, other = probe(data, folder, options.epochs)
            others.append(other)
            return counted

        measured = timing.alternate(
            {
                "one pass of evaluation": lambda: float(
                    subprocess.run(alone, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()[-1]
                ),
                f"{options.epochs} epochs of probe": ours,
            },
            options.rounds,
        )
    timing.table(measured | {"probe: starting, pictures, report": others}, "s")
    once, epochs = (timing.median(values) for values in measured.values())
    timing.claim(f"{options.epochs} epochs of probe : one pass", epochs / once, 1.4, at_least=False)


if __name__ == "__main__":
    main()
