"""A search and a cross-validation, killed ten times or a quarter of DEEP_CNN_KILLS: slow, run with `pytest -m slow`."""

import json
import os
import sys
from pathlib import Path

import pytest

if not hasattr(os, "fork") or sys.platform == "darwin":
    pytest.skip("forks a process that has imported torch, which is safe on Linux alone", allow_module_level=True)

import crashes
import kills

from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tools.verify_resume import differences

pytestmark = pytest.mark.slow
KILLS = -(-int(os.environ.get("DEEP_CNN_KILLS", "40")) // 4)


def killed(tmp_path: Path, flags: list[str], seed: int, phases: tuple[int, ...]) -> tuple[Path, list[Path]]:
    """The root of what was never stopped, and those of what was killed and finished."""
    flags = [*flags, f"--data_dir={kills.linked(tmp_path / 'data', 2)}"]
    with crashes.Server() as server:
        server.finish([*flags, f"--root_dir={tmp_path / 'whole'}"], tmp_path / "whole")
        hits, finished = crashes.torment(server, flags, tmp_path / "killed", KILLS, seed, phases)
    print(f"\n{sum(hits.values())} kills, {len(finished)} finished:", {" ".join(key): n for key, n in hits.items()})
    return tmp_path / "whole", finished


def trials(root: Path) -> list[tuple]:
    """What Optuna's journal knows of each trial, without its times."""
    import optuna

    from deep_cnn.tools.search.study import journal

    study = optuna.load_study(storage=journal(root / "outputs/search/default/journal.log"), study_name="default")
    return [(t.number, t.params, t.intermediate_values, t.value, t.state) for t in study.trials]


@pytest.mark.parametrize("sampler", ["tpe"])
def test_a_killed_search_has_the_same_trials(tmp_path, sampler):
    space = ["--space", "lr=1e-4..1e-1:log", "label_smoothing=0,0.1"]
    flags = ["search", *kills.PLAIN, "--trials=4", f"--sampler={sampler}", "--pruner=none", "--seed=3"]
    phases = (crashes.TRAINING, crashes.SAVING, crashes.VALIDATION, crashes.ENDING, crashes.BETWEEN)
    whole, finished = killed(tmp_path, [*flags, *space], 4, phases)
    for root in finished:
        assert trials(root) == trials(whole)
    best = [json.loads((root / "outputs/search/default/best.json").read_text()) for root in (whole, *finished)]
    assert all(each["value"] == best[0]["value"] for each in best)


def test_killed_folds_have_the_same_results(tmp_path):
    phases = (*crashes.AIMED_AT, crashes.ENDING)
    whole, finished = killed(tmp_path, ["train", *kills.PLAIN, "--epochs=2", "--folds=3"], 5, phases)
    for root in finished:
        names = sorted(path.name for path in (whole / "outputs/models").iterdir() if path.is_dir())
        assert len(names) >= 3
        for name in names:
            if (whole / "outputs/models" / name / "best.pt").exists():
                assert differences(RunFiles(whole / "outputs", name), RunFiles(root / "outputs", name)) == []
        for name in ("folds.json", "predictions_folds.csv", "folds.csv"):
            one, other = ((r / "outputs/results/default" / name).read_text().replace(str(r), "") for r in (whole, root))
            assert one == other, name
