"""Peak memory of `predict` for 1,000 and for 100,000 files (hard links): it must not grow with their number.

python benchmarks/predict_memory.py --out=DIR [--few=1000] [--many=100000]
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
LINKS = 10_000  # of one file; ext4 allows 65,000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    given = parser.parse_args()
    env = os.environ | {"PYTHONPATH": str(HERE.parent)}
    if not (given.out / "outputs" / "models" / "default" / "best.pt").exists():
        train = [
            "--model=resnet18",
            "--weights=none",
            f"--data_dir={TESTS / 'places_test_input'}",
            "--image_size=32",
            "--epochs=1",
            f"--root_dir={given.out}",
            "--cache=off",
            "--device=cpu",
        ]
        subprocess.run([sys.executable, "-m", "deep_cnn", *train], env=env, check=True, stdout=subprocess.DEVNULL)
    peaks = []
    for count in (given.few, given.many):
        folder = given.out / f"files_{count}"
        link(folder, count)
        command = [
            sys.executable,
            "-m",
            "deep_cnn",
            "predict",
            f"--root_dir={given.out}",
            f"--images={folder}",
            f"--output={given.out / f'{count}.csv'}",
            "--device=cpu",
        ]
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        with open(given.out / f"{count}.csv", "rb") as file:
            rows = sum(1 for _ in file) - 1
        peaks.append(usage.ru_maxrss / 1024)
        print(
            f"{count} files: exit code {os.waitstatus_to_exitcode(status)}, {rows} rows, peak {peaks[-1]:.0f} MiB, "
            f"{seconds:.0f} s",
            flush=True,
        )
    print(f"{peaks[1] - peaks[0]:+.0f} MiB for {given.many} files instead of {given.few}")


def link(folder: Path, count: int) -> None:
    sys.path.insert(0, str(TESTS))
    from scenes import street

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:07d}.jpg"
        photo = folder.parent / f"photo_{number // LINKS}.jpg"
        if number % LINKS == 0:
            street(0, number // LINKS, 64, 48)[0].save(photo)
        if not path.exists():
            os.link(photo, path)


if __name__ == "__main__":
    main()
