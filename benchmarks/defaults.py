"""What the program's defaults reach on small sets of real images, beside other settings and other programs.

    python -m benchmarks.defaults --data=FOLDER --results=defaults.csv [--seeds=3] [--sets=cifar10_200,price_473] [--sides=default,probe]
    python -m benchmarks.defaults --results=defaults.csv --table

FOLDER has hymenoptera/, houses/ and cifar10/ (class folders in train/ and test/). Every side learns from the same table of files and splits
(defaults_sets.py), begins with the same ImageNet weights (efficientnet_lite0) and is scored on the same test images. A row is appended to
--results when a side is through, and the predictions are kept beside it, so the same command goes on where it was stopped. All sets of one
seed come before the next seed. It takes hours.
"""

import argparse
import csv
import datetime
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from benchmarks import defaults_table, program, timing
from benchmarks.defaults_sets import SETS, unpack_fashion, write_table

MODEL = "--model=efficientnet_lite0"
OURS = {  # side -> flags of the program
    "default": (),
    "old default": ("--epochs=20", "--batch_size=128", "--lr=0.001", "--batchnorm=update"),
    "probe": ("--recipe=probe",),
}
PEERS = ("sklearn", "timm", "fastai")
COLUMNS = ("date", "commit", "machine", "set", "seed", "side", "size", "train", "test", "metric", "value", "seconds")


def commit() -> str:
    """Of the program, with a mark where files differ from it."""
    command = ["git", "-C", str(program.ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def by_program(table: Path, task: str, size: int, seed: int, flags: tuple[str, ...], folder: Path) -> pd.DataFrame:
    """file, target and predicted of the test images."""
    results = program.finished(
        folder,
        MODEL,
        f"--data_dir={table.parent}",
        f"--metadata={table}",
        "--image_column=file",
        "--target=target",
        "--split_column=split",
        f"--task={task}",
        f"--image_size={size}",
        f"--seed={seed}",
        f"--cache={folder.parent / 'cache'}",
        *flags,
        name="run",
    )
    found = pd.read_csv(results / "predictions_test.csv", keep_default_na=False)
    return found.iloc[:, :3].set_axis(["file", "target", "predicted"], axis=1)


def by_peer(peer: str, python: str, table: Path, task: str, size: int, seed: int, folder: Path) -> pd.DataFrame:
    """file, target and predicted of the test images."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "predictions.csv"
    words = [peer, str(table), str(path), f"--task={task}", f"--size={size}", f"--seed={seed}"]
    done = subprocess.run(
        [python, "-m", "benchmarks.defaults_peers", *words], cwd=program.ROOT, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return pd.read_csv(path, keep_default_na=False)


def append(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def measure(options: argparse.Namespace, name: str, seed: int, side: str, flags: tuple[str, ...] | None) -> None:
    """One side of one set: its predictions into a file, and its row. flags: of the program; None for a peer."""
    data_set, work = SETS[name], options.results.resolve().with_suffix("")
    source = options.data / data_set.source
    if data_set.source == "fashion_mnist":
        source = unpack_fashion(options.fashion_mnist, work / "fashion_mnist")
    table = write_table(data_set, source, seed, work / "sets" / name)
    folder = work / "runs" / f"{name}-{seed}-{side.replace(' ', '_')}"
    begun = time.monotonic()
    if flags is None:
        python = options.fastai_python if side == "fastai" else sys.executable
        found = by_peer(side, python, table, data_set.task, options.size, seed, folder)
    else:
        found = by_program(table, data_set.task, options.size, seed, flags, folder)
    seconds = time.monotonic() - begun
    path = defaults_table.predictions_file(options.results, name, seed, side)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(path, index=False)
    splits = pd.read_csv(table)["split"].value_counts()
    row = {
        "date": datetime.date.today(),
        "commit": commit(),
        "machine": timing.machine(),
        "set": name,
        "seed": seed,
        "side": side,
        "size": options.size,
        "train": int(splits["train"]),
        "test": int(splits["test"]),
        "metric": data_set.metric,
        "value": round(defaults_table.score(found, data_set.metric), 5),
        "seconds": round(seconds),
    }
    append(options.results, row)
    print(f"{name} seed {seed}: {side}: {data_set.metric} {row['value']:.3f}, {seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with hymenoptera/, houses/ and cifar10/")
    parser.add_argument("--fashion_mnist", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--results", type=Path, required=True, help="table of results, appended to")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=224, help="side of the network's input in pixels")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sides", default=",".join([*OURS, *PEERS]))
    parser.add_argument(
        "--candidate", action="append", default=[], help='further flags to try, as "NAME:--flag=value --flag=value"'
    )
    parser.add_argument("--fastai_python", default=sys.executable, help="Python of an environment with fastai")
    parser.add_argument("--table", action="store_true", help="only show what was measured")
    options = parser.parse_args()
    if not options.table:
        sides: dict[str, tuple[str, ...] | None] = dict(OURS) | dict.fromkeys(PEERS)
        sides = {side: sides[side] for side in options.sides.split(",")}
        for word in options.candidate:
            side, _, flags = word.partition(":")
            sides[side] = tuple(flags.split())
        for seed in range(options.seeds):
            for name in options.sets.split(","):
                for side, flags in sides.items():
                    if not defaults_table.predictions_file(options.results, name, seed, side).exists():
                        measure(options, name, seed, side, flags)
    for line in defaults_table.lines(options.results):
        print(line)


if __name__ == "__main__":
    main()
