"""Whole training, decoding included: the program against a plain script, timm's loader and step, and the bare step.

    python -m benchmarks.training [--data_dir=FOLDER_WITH_train] [--images=640] [--rounds=3]

Each side runs in a process of its own, all in turn. resnet18 from scratch, batch 32, 224 pixels, random resized crop and flip.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import photographs, program, timing

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = (  # side, share of it that the later epochs reach, and that the first one reaches
    ("plain script, float32", 3.4, None),
    ("plain script, bf16, channels_last", 1.35, 1.1),
    ("bare step, bf16, channels_last", 0.93, None),
    ("timm's loader and step", None, None),
)


def rates(command: list[str]) -> list[float]:
    """The images/s that a script prints, epoch by epoch."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return [float(rate) for rate in re.findall(r"([\d.]+) images/s", done.stdout)]


def whole_program(data: Path, folder: Path, epochs: int, *flags: str) -> list[float]:
    """The program's images/s, epoch by epoch, with a cache that is empty when it starts."""
    results = program.finished(
        folder,
        f"--epochs={epochs}",
        "--batch_size=32",
        "--model=resnet18",
        "--weights=none",
        "--val_split=0",
        "--test_split=0",
        "--augment=zoom,flip",
        f"--data_dir={data}",
        *flags,
    )
    return program.speeds(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_dir", type=Path, help="a folder whose train/ holds class folders; else images are drawn"
    )
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="of the program; the scripts run two")
    parser.add_argument("--sides", default="", help="only the sides whose names contain this")
    parser.add_argument("flags", nargs="*", help="further flags of the program, behind --")
    options = parser.parse_args()
    print(timing.machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = options.data_dir or photographs.generate(folder / "images", options.images, 500, 375)
        first: list[float] = []

        def ours() -> float:
            found = whole_program(data, folder, options.epochs, *options.flags)
            first.append(found[0])
            return timing.median(found[1:])

        def script(name: str, *flags: str):
            return lambda: rates([f"benchmarks/{name}.py", str(data), *flags])[-1]

        sides = {
            "the program, later epochs": ours,
            "bare step, bf16, channels_last": lambda: rates(["benchmarks/bare_step.py"])[0],
            "plain script, bf16, channels_last": script("plain_script", "--fast"),
            "timm's loader and step": script("timm_script"),
            "plain script, float32": script("plain_script", "--epochs=1"),
        }
        sides = {name: side for name, side in sides.items() if "program" in name or options.sides in name}
        measured = timing.alternate(sides, options.rounds)
    timing.table(measured | {"the program, first epoch": first}, "images/s")
    later = timing.median(measured["the program, later epochs"])
    for side, claim_later, claim_first in CLAIMS:
        if side in measured:
            rate = timing.median(measured[side])
            timing.claim(f"later epochs : {side}", later / rate, claim_later)
            timing.claim(f"first epoch : {side}", timing.median(first) / rate, claim_first)


if __name__ == "__main__":
    main()
