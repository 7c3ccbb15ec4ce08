"""The page of a run: made by the run itself, complete, self-contained, and opened in a real browser where there is one."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import PERCEPTION, PLACES, TINY

from deep_cnn.config.schema import Config
from deep_cnn.reporting.report.page import write_report
from deep_cnn.reporting.report.record import read_record
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.training.trainer import train as train_run

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

PROBE = """<script>addEventListener('load', () => { document.body.dataset.probe = JSON.stringify({
  width: innerWidth, wide: document.documentElement.scrollWidth, pictures: document.images.length,
  empty: [...document.images].filter(i => !(i.complete && i.naturalWidth && i.clientWidth)).map(i => i.alt)}) })</script>"""


def opened(page: Path, width: int) -> tuple[dict, str]:
    """What a browser of this width says of a page, and what it wrote to its console."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt install chromium): the page is not opened")
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    profile = page.with_name("profile")
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},900",
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--dump-dom",
        probed.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(found[1].replace("&quot;", '"')), console


def assert_self_contained(page: str):
    addresses = re.findall(r"(?:src|href)=[\"']([^\"']{0,40})", page) + re.findall(r"url\(([^)]{0,40})", page)
    assert addresses and all(address.startswith("data:") for address in addresses), addresses
    assert "<script" not in page and "@import" not in page


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The root of a finished run, trained once for all tests here."""
    root = tmp_path_factory.mktemp("trained")
    train_run(Config(**TINY | {"epochs": 2, "data_dir": str(PLACES), "root_dir": str(root)}))
    return root


@pytest.fixture
def classified(trained, tmp_path) -> RunFiles:
    """A copy of it, to be spoilt."""
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    return RunFiles(tmp_path / "outputs", "default")


def test_a_run_writes_its_page_and_a_browser_shows_it(classified):
    path = classified.results / "report.html"
    page = path.read_text(encoding="utf-8")
    assert_self_contained(page)
    for heading in (
        "Command",
        "Data and splits",
        "Learning curves",
        "Test",
        "Calibration",
        "Time and machine",
        "Versions",
    ):
        assert f"<h2>{heading}</h2>" in page
    test = json.loads((classified.results / "test.json").read_text())
    assert f"top-1 {100 * test['top1']:.2f}%" in page
    assert re.search(r"<td>all images</td><td>40</td><td>15</td><td>15</td>", page)
    with (classified.results / "metrics.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert "<th>training loss</th>" in page and "<th>validation top-1</th>" in page, "the words of the test's table"
    assert f"<td>{100 * float(first['val_top1']):.2f}%</td>" in page
    for width in (390, 1200):
        said, console = opened(path, width)
        assert console == "" and said["empty"] == []
        assert said["pictures"] >= 3 + 5 * 4  # curves, matrix, calibration; four training images of each class
        assert said["wide"] <= said["width"], f"wider than the screen of {width}"


def test_a_regression_with_missing_scores(run_cli):
    code, files = run_cli(
        model="resnet18",
        weights="none",
        image_size=32,
        epochs=1,
        batch_size=8,
        cache="off",
        data_dir=PERCEPTION,
        metadata="meta",
        study_id="all",
    )
    assert code == 0
    page = (files.results / "report.html").read_text(encoding="utf-8")
    assert_self_contained(page)
    assert "Residuals" in page and "from the lowest to the highest" in page and "Largest errors of" in page
    said, console = opened(files.results / "report.html", 390)
    assert console == "" and said["empty"] == [] and said["wide"] <= said["width"]


def test_report_verb_needs_only_the_run_folder(classified, run_cli, tmp_path):
    path = classified.results / "report.html"
    first = path.read_text(encoding="utf-8")
    path.unlink()
    (classified.results / "confusion_matrix.png").unlink()
    assert run_cli("report")[0] == 0
    assert len(path.read_text(encoding="utf-8")) == pytest.approx(len(first), rel=0.1)
    write_report(classified, None)  # the images are gone
    page = path.read_text(encoding="utf-8")
    assert "image/jpeg" not in page and "The folder of images was not found" in page
    assert run_cli("report", run_name="other")[0] == 2


def test_names_that_look_like_html_or_like_missing_values(classified):
    splits = classified.results / "splits.csv"
    config = classified.results / "config.json"
    (classified.results / "digests.json").unlink()  # nothing says that these files were edited
    for file in (splits, config, classified.results / "predictions_test.csv", classified.results / "test.json"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("alley", "<b>&").replace("beach", "NA"), encoding="utf-8")
    page = write_report(classified, None).read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page and "<td>NA</td><td>8</td><td>3</td><td>3</td>" in page


def test_a_page_that_fails_does_not_fail_the_run(pictures, train, monkeypatch, capfd):
    from deep_cnn.training import trainer

    monkeypatch.setattr(trainer, "write_report", lambda *_: 1 / 0)
    code, files = train()
    assert code == 0 and "Could not write the report (ZeroDivisionError" in capfd.readouterr().err
    assert json.loads(files.status.read_text())["state"] == "finished"


def test_no_such_run(tmp_path):
    with pytest.raises(DataError, match="no such run"):
        read_record(RunFiles(tmp_path, "x"))
