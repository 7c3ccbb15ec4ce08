"""Several processes against one: images/s of two with one core each, and what torchrun itself costs.

    python -m benchmarks.processes [--data_dir=FOLDER_WITH_train] [--images=384] [--rounds=3] [--per_process=32]

resnet18 from scratch, 224 pixels, random resized crop and flip, from the cache: the epochs after the first. On GPUs a process
for each; on a CPU two, each with one core, against one that is pinned to one core.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks import photographs, program, timing

EPOCHS = 3
TORCHRUN = ["-m", "torch.distributed.run", "--standalone"]


def speed(launch: list[str], cores: int, batch_size: int, data: Path, folder: Path, flags: list[str]) -> float:
    """Images/s over the epochs after the first.

    Args:
        launch: python's arguments in front of `-m deep_cnn`. cores: how many the command as a whole may use; 0: all.
    """
    results = program.finished(
        folder,
        f"--epochs={EPOCHS}",
        f"--batch_size={batch_size}",
        "--model=resnet18",
        "--weights=none",
        "--val_split=0",
        "--test_split=0",
        "--augment=zoom,flip",
        f"--data_dir={data}",
        f"--cache={folder / 'cache'}",
        *flags,
        launch=tuple(launch),
        cores=cores,
    )
    return timing.median(program.speeds(results)[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_dir", type=Path, help="a folder whose train/ holds class folders; else images are drawn"
    )
    parser.add_argument("--images", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per_process", type=int, default=32)
    parser.add_argument("flags", nargs="*", help="further flags of the program, behind --")
    options = parser.parse_args()
    gpus, batch = torch.cuda.device_count(), options.per_process
    count, one_core = (gpus, 0) if gpus else (2, 1)
    print(timing.machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = options.data_dir or photographs.generate(folder / "images", options.images, 500, 375)

        def side(processes: int, launch: list[str]):
            return lambda: speed(launch, one_core * processes, batch * processes, data, folder, options.flags)

        sides = {"plain": side(1, []), "torchrun, one process": side(1, [*TORCHRUN, "--nproc-per-node=1"])}
        if count > 1:
            sides[f"torchrun, {count} processes"] = side(count, [*TORCHRUN, f"--nproc-per-node={count}"])
        measured = timing.alternate(sides, options.rounds)
    timing.table(measured, "images/s")
    plain, alone, *more = (timing.median(values) for values in measured.values())
    timing.claim("torchrun with one process, share of the plain speed", alone / plain, 0.98)
    for rate in more:
        timing.claim(f"{count} processes, times the plain speed", rate / plain, 0.9 * count)


if __name__ == "__main__":
    main()
