"""The page from votes to a paper, run as its reader runs it: every command, in an empty folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import manual
import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "tutorials" / "perception.md"


def test_every_command_of_the_page_runs_and_the_paragraph_tells_its_result(tmp_path):
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
    cells = manual.bash_cells(PAGE.read_text(encoding="utf-8"))
    assert len(cells) >= 10
    said = []
    for cell in cells:
        words = ["bash", "-e", "-o", "pipefail", "-c", cell]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, cell + done.stdout[-2000:] + done.stderr[-2000:]
        said.append(done.stdout)
    results = tmp_path / "outputs" / "results"
    votes, scores, cities = (
        json.loads((results / name).read_text(encoding="utf-8"))
        for name in ("votes/test.json", "scores/test.json", "cities/folds.json")
    )
    assert votes["pair_accuracy"] > 0.5 and votes["pair_ceiling"]["safety"]["pair_accuracy"] > votes["pair_accuracy"]
    # ratings have reliability 0.64 by construction; 50 test images know it to about 0.1
    assert scores["noise_ceiling"]["safety"]["reliability"] == pytest.approx(0.64, abs=0.25)
    assert cities["number_of_groups"] == 11 and cities["r2"] > 0.2
    assert (tmp_path / "outputs" / "unrated_areas.csv").exists() and (
        tmp_path / "outputs" / "unrated_map.geojson"
    ).exists()
    paragraph = (results / "cities" / "methods.md").read_text(encoding="utf-8")
    assert (
        paragraph.strip() in said[-1] and f"R2 was {cities['r2']:.4g}" in paragraph and "11 groups (city)" in paragraph
    )
