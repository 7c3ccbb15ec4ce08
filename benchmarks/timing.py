"""Timing two or more sides in turn, so that what else the machine does strikes all of them alike."""

import datetime
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path


def alternate(sides: dict[str, Callable[[], float]], rounds: int = 3) -> dict[str, list[float]]:
    """Measure A B A B ...: each side's number of every round."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name, measure in sides.items():
            measured[name].append(measure())
            print(f"  round {turn + 1} of {rounds}: {name}: {measured[name][-1]:.2f}", flush=True)
    return measured


def median(values: list[float]) -> float:
    return statistics.median(values)


def table(measured: dict[str, list[float]], unit: str) -> None:
    """Median and range of each side."""
    width = max(map(len, measured))
    for name, values in measured.items():
        print(f"{name:{width}}  {median(values):10.2f} {unit}  (from {min(values):.2f} to {max(values):.2f})")


def claim(what: str, value: float, bound: float | None, at_least: bool = True) -> bool:
    """Say whether a claim holds here. bound: None where nothing is claimed."""
    if bound is None:
        print(f"{what}: {value:.2f}", flush=True)
        return True
    holds = value >= bound if at_least else value <= bound
    word = "at least" if at_least else "at most"
    print(f"{what}: {value:.2f} ({word} {bound} is claimed: {'holds' if holds else 'DOES NOT HOLD'})", flush=True)
    return holds


def machine() -> str:
    """Processor, cores, versions and date: what every figure needs beside it."""
    import torch

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    flags = ""
    if cpuinfo.exists():
        lines = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        values = {key.strip(): value.strip() for key, value in lines.items()}
        name = values.get("model name", name)
        known = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        flags = " ".join(flag for flag in known if flag in values.get("flags", "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name} ({flags}), {cores} cores{gpu}; torch {torch.__version__}, Python {platform.python_version()}; {datetime.date.today()}"
