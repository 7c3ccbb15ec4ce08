"""The manual as a site: every tutorial runs from its first cell to its last, and nothing is warned of."""

import os
import shutil
import subprocess
import sys

import manual
import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


def test_the_site_is_built_and_every_tutorial_runs(tmp_path):
    pytest.importorskip("myst_nb", reason="pip install '.[docs]'")
    pytest.importorskip("furo", reason="pip install '.[docs]'")
    project = tmp_path / "project"
    for name in ("deep_cnn", "docs", "tests", "benchmarks", "cluster"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, project)
    words = [sys.executable, "-m", "sphinx", "--fail-on-warning", "-b", "html", ".", "_build/html"]
    environment = os.environ | {"PYTHONPATH": str(project)}
    done = subprocess.run(words, cwd=project / "docs", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for page in manual.PAGES:
        if (
            page.parent.name == "tutorials" and page.stem != "perception"
        ):  # which test_perception_walk.py runs, not the site
            html = (project / "docs" / "_build" / "html" / "tutorials" / f"{page.stem}.html").read_text(
                encoding="utf-8"
            )
            assert html.count('class="cell_output') >= 3 and "Traceback" not in html, page.stem
