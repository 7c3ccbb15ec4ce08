"""Trainings of three kinds, killed again and again: how the default suite does it with a few kills, tests/slow with many."""

import csv
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import crashes
import torch
from conftest import PLACES

from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tools.verify_resume import differences

PLAIN = [
    f"--data_dir={PLACES}",
    "--model=shufflenet_v2_x0_5",
    "--weights=none",
    "--image_size=32",
    "--precision=fp32",
    "--batch_size=8",
    "--save_every=2",
    "--epochs=3",
]
EVERYTHING = [
    *PLAIN,
    "--epochs=9",
    "--freeze=backbone",
    "--unfreeze_epoch=1",
    "--ema=0.9",
    "--schedule=plateau",
    "--patience=5",
    "--mixup=0.4",
    "--cutmix=1",
    "--dropout=0.5",
    "--grad_accumulation=2",
    "--clip=1",
    "--augment=strong",
    "--label_smoothing=0.1",
    "--oversample",
    "--lr=0.01",
]


MANY = 20  # kills, from which on every phase is hit
FEATURES = [*PLAIN, "--recipe=probe", "--views=2", "--epochs=6"]  # of a frozen backbone, computed once


def linked(folder: Path, copies: int) -> Path:
    """The places, each image of the validation so many times, so that validation and reading take a while."""
    folder.mkdir(exist_ok=True)
    for image in PLACES.rglob("*.jpg"):
        relative = image.relative_to(PLACES)
        for copy in range(copies if relative.parts[0] == "val" else 1):
            link = folder / relative.with_stem(f"{relative.stem}_{copy}")
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(image, link) if folder.stat().st_dev == image.stat().st_dev else shutil.copy(image, link)
    return folder


def files_of(root: Path) -> RunFiles:
    return RunFiles(root / "outputs", "default")


def status_of(root: Path) -> dict:
    return json.loads(files_of(root).status.read_text(encoding="utf-8"))


def same(one: Path, other: Path) -> None:
    """By the program's own comparison, and by the bytes of the weights without it."""
    assert differences(files_of(one), files_of(other)) == []
    for name in ("best.pt", "last.pt"):
        states = [torch.load(files_of(root).models / name, weights_only=True)["weights"] for root in (one, other)]
        left, right = ([t.numpy().tobytes() for t in state.values()] for state in states)
        assert left == right


def torments(make_folder, kills: int) -> dict[str, tuple]:
    """Two at a time: their names -> the root of the training that was never stopped, and what `crashes.torment` returns.

    Args:
        make_folder: gives an empty folder of a name. kills: of the first two kinds; a quarter of it of the third.
    """

    def killed(name: str, flags: list[str], kills: int, seed: int):
        folder = make_folder(name)
        copies = 8 if kills >= MANY else 2
        flags = [*flags, f"--data_dir={linked(folder / 'data', copies)}"]
        with crashes.Server() as server:
            server.finish([*flags, f"--root_dir={folder / 'whole'}"], folder / "whole")
            return folder / "whole", *crashes.torment(server, flags, folder / "killed", kills, seed)

    kinds = {
        "plain": (PLAIN, kills, 1),
        "everything": (EVERYTHING, kills, 2),
        "features": (FEATURES, -(-kills // 4), 3),
    }
    with ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(killed, name, *kind) for name, kind in kinds.items()}
    return {name: job.result() for name, job in jobs.items()}


def check(name: str, whole: Path, hits, finished: list[Path]) -> None:
    """Every training that finished is the one that was never stopped; with many kills each phase was hit."""
    rows = list(csv.DictReader((files_of(whole).results / "metrics.csv").read_text(encoding="utf-8").splitlines()))
    print(f"\n{name}: {len(rows)} epochs, learning rates", *(f"{float(row['lr']):.2g}" for row in rows))
    phases = {phase: sum(n for (where, _), n in hits.items() if where == phase) for phase in crashes.PHASES}
    signals = {name: sum(n for (_, which), n in hits.items() if which == name) for name in ("SIGKILL", "SIGTERM")}
    print(f"{sum(hits.values())} kills, {len(finished)} trainings finished: {phases}, {signals}")
    for root in finished:
        same(whole, root)
    assert phases["starting"] == 0
    if sum(hits.values()) >= MANY:
        assert all(phases[phase] for phase in ("training", "validation", "saving"))
