"""What every released version has left stays readable: checkpoints, unfinished runs and results in tests/releases/VERSION.

`flags.txt` are the flags of both runs, on the committed places. `finished` has its results alone; `stopped` was stopped by
SIGTERM in its second epoch and has its checkpoints too.
"""

import csv
import shutil
from pathlib import Path

import pytest
import torch
from conftest import HERE, PLACES

from deep_cnn.cli.main import main
from deep_cnn.models import checkpoint, weights
from deep_cnn.runtime.errors import CheckpointError
from deep_cnn.runtime.run_files import RunFiles

RELEASES = sorted(path.name for path in (HERE / "releases").iterdir())


@pytest.fixture(params=RELEASES)
def release(request, tmp_path) -> tuple[Path, list[str]]:
    """A copy of what a release has left, and the flags of its runs."""
    folder = HERE / "releases" / request.param
    shutil.copytree(folder / "outputs", tmp_path / "outputs")
    return tmp_path, (folder / "flags.txt").read_text(encoding="utf-8").split()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_results_are_compared_and_reported_as_not_verified(release, capsys):
    root, _ = release
    assert main(["compare", f"--root_dir={root}"]) == 0
    out = capsys.readouterr().out
    assert "finished " in out and "20.00%" in out and "left out: stopped: stopped" in out
    assert "not verified" in out and "finished" in out.split("not verified")[1]
    assert main(["report", "--run_name=finished", f"--root_dir={root}", f"--data_dir={PLACES}"]) == 0
    page = (root / "outputs/results/finished/report.html").read_text(encoding="utf-8")
    assert "Not verified" in page and "20.0%" in page
    path = root / "outputs/results/finished/test.json"
    for damaged in ("", "[]", "{}", path.read_text(encoding="utf-8")[:100]):
        path.write_text(damaged, encoding="utf-8")
        assert main(["compare", f"--root_dir={root}"]) == 2
        assert "finished: " in capsys.readouterr().err


def test_a_checkpoint_predicts(release):
    root, _ = release
    best = root / "outputs/models/stopped/best.pt"
    words = [f"--checkpoint={best}", f"--images={PLACES / 'test'}", f"--output={root / 'out.csv'}"]
    assert main(["predict", *words]) == 0
    assert len(rows(root / "out.csv")) == 15 and not (root / "out.failed.csv").exists()


def test_a_stopped_run_continues(release, capsys):
    root, flags = release
    files = RunFiles(root / "outputs", "stopped")
    before = rows(files.results / "metrics.csv")
    words = [*flags, f"--data_dir={PLACES}", f"--root_dir={root}", "--run_name=stopped", "--resume=must"]
    assert main(words) == 0
    after, other = rows(files.results / "metrics.csv"), rows(root / "outputs/results/finished/metrics.csv")
    # today's version may have metrics that the release did not have
    assert [{name: row[name] for name in before[0]} for row in after[: len(before)]] == before
    assert len(after) == len(other)
    assert float(after[-1]["train_loss"]) == pytest.approx(float(other[-1]["train_loss"]), rel=0.02)
    capsys.readouterr()
    assert main(["compare", f"--root_dir={root}"]) == 0
    unverified = capsys.readouterr().out.split("not verified")[1].splitlines()[0]
    assert "finished" in unverified and "stopped" not in unverified  # this version has written all files of `stopped`


def test_a_checkpoint_of_a_newer_version_is_refused_by_name(tmp_path):
    state = {"format": "deep_cnn", "format_version": weights.FORMAT_VERSION + 1, "versions": {"deep_cnn": "9.1"}}
    torch.save(state, tmp_path / "new.pt")
    with pytest.raises(CheckpointError, match=r"new\.pt: written by a newer version of deep_cnn \(9\.1"):
        checkpoint.load(tmp_path / "new.pt")
