"""The program as its users run it, for the benchmarks that measure the whole of it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def finished(folder: Path, *flags: str, launch: tuple[str, ...] = (), cores: int = 0, name: str = "") -> Path:
    """The folder of results of a run that is begun now, in a folder of its own, and waited for; its failure ends the benchmark.

    Args:
        launch: python's arguments in front of `-m deep_cnn`. cores: how many the command as a whole may use; 0: all.
        name: of the run, which goes on where it was, if it was begun before; a new one by default.
    """
    name = name or f"run{len(list(folder.glob('run*')))}"
    root = folder / name
    command = [sys.executable, *launch, "-m", "deep_cnn", *flags, f"--root_dir={root}", f"--run_name={name}"]
    root.mkdir(parents=True, exist_ok=True)
    pin = (lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])) if cores else None
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=pin)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return root / "outputs" / "results" / name


def epochs(results: Path) -> list[dict[str, str]]:
    """The rows of timing.csv."""
    with open(results / "timing.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def speeds(results: Path) -> list[float]:
    """Images/s, epoch by epoch."""
    return [float(row["images_per_second"]) for row in epochs(results)]


def content(results: Path, file: str) -> dict[str, Any]:
    """Of profile.json (with --profile) or test.json."""
    return json.loads((results / file).read_text(encoding="utf-8"))
