"""--recipe=cifar_fast from start to end, seed after seed: accuracy with and without test-time augmentation, and the time.

    python -m benchmarks.cifar_fast --data_dir=input/cifar10 [--seeds=5] [-- FLAG ...]

Whole program, cache empty at its start, all of train/ trained on, all of test/ tested on.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import program, timing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="CIFAR-10 as class folders in train/ and test/")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("flags", nargs="*", help="further flags of the program, behind --")
    options = parser.parse_args()
    print(timing.machine())
    plain, views, minutes = [], [], []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            results = program.finished(
                Path(folder),
                "--recipe=cifar_fast",
                f"--data_dir={options.data_dir.resolve()}",
                f"--seed={seed}",
                *options.flags,
            )
            minutes.append((time.monotonic() - begun) / 60)
            test = program.content(results, "test.json")
            plain.append(100 * test["top1"])
            views.append(100 * test["tta"]["top1"])
            trained = sum(float(row["train_seconds"]) for row in program.epochs(results)) / 60
        print(
            f"seed {seed}: {plain[-1]:.2f}%, with views {views[-1]:.2f}%, {minutes[-1]:.2f} minutes, of which training {trained:.2f}",
            flush=True,
        )
    for title, values in (("without", plain), ("with views", views), ("minutes", minutes)):
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        print(
            f"{title}: mean {statistics.mean(values):.2f}, standard error {error:.2f}, from {min(values):.2f} to {max(values):.2f}"
        )


if __name__ == "__main__":
    main()
