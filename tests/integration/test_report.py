"""The page of a run: made by the run itself, complete, self-contained, and opened in a real browser where there is one."""

import csv
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
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
  charts: [...document.querySelectorAll('svg[role=img]')].filter(s => s.clientWidth > 200 && s.getAttribute('aria-label')).length,
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
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses), addresses
    assert "<script" not in page and "@import" not in page and len(page.encode()) < 2_000_000
    assert_readable_by_ear(page)


def assert_readable_by_ear(page: str):
    """Headings step by step, a description of each image and chart, names of all regions, no identifier twice."""
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    assert all(re.search(r' alt="[^"]', tag) for tag in re.findall(r"<img [^>]*>", page))
    assert all('aria-label="' in tag for tag in re.findall(r"<svg [^>]*>", page))
    assert all("tabindex" in tag and "aria-label" in tag for tag in re.findall(r'<div class="scroll[^>]*>', page))
    names = re.findall(r' id="([^"]*)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', page)) <= set(names)


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
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    shown = [
        "Data and splits",
        "Learning curves",
        "Test",
        "Errors",
        "Calibration",
        "Time and machine",
        "How to repeat it",
    ]
    assert headings == shown
    test = json.loads((classified.results / "test.json").read_text())
    first_screen = page[: page.index("<nav")]
    assert (
        f'<p class="value">{100 * test["top1"]:.1f}%</p>' in first_screen and "top-1 on 15 test images" in first_screen
    )
    low, high = test["intervals"]["top1"]
    assert f"95% interval {100 * low:.1f}% to {100 * high:.1f}%" in first_screen and "always predicting" in first_screen
    assert re.search(r'class="verdict \w+">\w+', first_screen) and "<svg" in first_screen
    assert '<th scope="row">all images</th><td>40</td><td>15</td><td>15</td>' in page
    with (classified.results / "metrics.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert '"col">training loss</th>' in page and '"col">validation top-1</th>' in page, "the words of the test's table"
    assert f"<td>{100 * float(first['val_top1']):.1f}%</td>" in page
    assert_matrix(page, (classified.results / "predictions_test.csv"))
    for width in (390, 1200):
        said, console = opened(path, width)
        assert console == "" and said["empty"] == []
        assert said["pictures"] >= 5 * 4, "four training images of each class"
        assert said["charts"] >= 1 + 3 + 2, "small curve; loss, top-1 and rate; calibration"
        assert said["wide"] <= said["width"], f"wider than the screen of {width}"


def assert_matrix(page: str, predictions: Path):
    """The confusion matrix has the counts of the table of predictions."""
    with predictions.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["target"] for row in rows})
    table = page[page.index('<table class="confusion') :]
    for name in names:
        row = table[table.index(f'<th scope="row">{name}</th>') :].split("</tr>")[0]
        cells = re.findall(r"<td[^>]*>([^<]*)", row)
        expected = [sum(r["target"] == name and r["predicted"] == other for r in rows) for other in names]
        assert cells == [f"{count:,}" if count else "" for count in expected] + [str(sum(expected))]


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
    assert "Residuals" in page and "lowest to highest" in page and "Largest errors of" in page
    assert "One epoch has no curve" in page and "by epoch" not in page, "a single epoch is a number, not a dot"
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


def as_of_a_version_without_digests(files) -> None:
    """Nothing says that its files were edited."""
    (files.results / "digests.json").unlink()
    config = files.results / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("split_seed", "of_before"), encoding="utf-8")


def test_names_that_look_like_html_or_like_missing_values(classified):
    splits = classified.results / "splits.csv"
    config = classified.results / "config.json"
    as_of_a_version_without_digests(classified)
    for file in (splits, config, classified.results / "predictions_test.csv", classified.results / "test.json"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("alley", "<b>&").replace("beach", "NA"), encoding="utf-8")
    page = write_report(classified, None).read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page and '"row">NA</th><td>8</td><td>3</td><td>3</td>' in page


def test_a_page_that_fails_does_not_fail_the_run(pictures, train, monkeypatch, capfd):
    from deep_cnn.training import records

    monkeypatch.setattr(records, "write_report", lambda *_: 1 / 0)
    code, files = train()
    assert code == 0 and "Could not write the report (ZeroDivisionError" in capfd.readouterr().err
    assert json.loads(files.status.read_text())["state"] == "finished"


def test_no_such_run(tmp_path):
    with pytest.raises(DataError, match="no such run"):
        read_record(RunFiles(tmp_path, "x"))


def test_an_index_of_all_runs(classified, run_cli, capsys):
    results = classified.results.parent
    for name in ("damaged", "unread"):
        shutil.copytree(classified.results, results / name)
    (results / "damaged" / "test.json").write_text("{", encoding="utf-8")
    (results / "unread" / "report.html").unlink()
    (results / "no run").mkdir()
    assert run_cli("report", all=True)[0] == 0 and "All runs: " in capsys.readouterr().out
    page = (classified.outputs / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(results[^"]*)"', page)
    assert sorted(links) == ["results/damaged/report.html", "results/default/report.html"]
    assert all((classified.outputs / link).is_file() for link in links)
    rows = dict(re.findall(r'<th scope="row">(?:<a [^>]*>)?([^<]*).*?<td>(.*?)</td>', page, re.DOTALL))
    test = json.loads((classified.results / "test.json").read_text())
    assert set(rows) == {"default", "damaged", "unread"}
    assert f"<b>{100 * test['top1']:.1f}%</b> top-1 on 15 test images" in rows["default"]
    assert "damaged or edited" in rows["damaged"] and "<b>" not in rows["damaged"], "one run does not hide the others"
    said, console = opened(classified.outputs / "index.html", 390)
    assert console == "" and said["wide"] <= said["width"]


def test_no_run_has_no_index(run_cli, capsys):
    assert run_cli("report", all=True)[0] == 2 and "there is no run" in capsys.readouterr().err


def test_units_of_several_targets(scores_run, tmp_path, run_cli, capsys):
    folder = scores_run.checkpoint.parent.parent.parent  # outputs
    shutil.copytree(folder, tmp_path / "outputs")
    name = scores_run.checkpoint.parent.name
    assert run_cli("report", run_name=name, unit="points,USD")[0] == 0
    page = (tmp_path / "outputs/results" / name / "report.html").read_text(encoding="utf-8")
    targets = re.findall(r'<th scope="row">([^<]*) \((?:points|USD)\)</th>', page)
    assert len(targets) == 2
    axes = [
        f">{axis} {target} ({unit})</text>"
        for axis in ("true", "predicted")
        for target, unit in zip(targets, ("points", "USD"), strict=True)
    ]
    assert all(axis in page for axis in axes)
    assert run_cli("report", run_name=name, unit="a,b,c")[0] == 2
    assert "--unit=a,b,c: 3 units for 2 targets; give one for each of" in capsys.readouterr().err


def test_a_finished_run_says_how_to_show_another_unit(run_cli, capsys):
    run = TINY | {"data_dir": PERCEPTION, "metadata": "meta", "study_id": "safety"}
    assert run_cli(**run)[0] == 0
    assert run_cli(**run, unit="points")[0] == 0
    said = capsys.readouterr().out
    hint = "python -m deep_cnn report --run_name=default --unit=points"
    assert f"Its report has other units; to write it with these, run: {hint}" in said


def test_classes_have_no_unit(classified, run_cli, capsys):
    assert run_cli("report", unit="USD")[0] == 2
    assert "--unit=USD: there are classes to learn, and no numbers; omit --unit" in capsys.readouterr().err


def test_an_unfinished_run_says_what_became_of_it(classified):
    (classified.results / "test.json").unlink()
    as_of_a_version_without_digests(classified)
    classified.status.write_text(json.dumps({"state": "mistake", "reason": "The loss is nan at step 7"}))
    page = write_report(classified, None).read_text(encoding="utf-8")
    first_screen = page[: page.index("<nav")]
    assert "The run ended with an error, and this is what it had reached. The loss is nan at step 7." in first_screen
    assert "top-1 on validation, in epoch" in first_screen and ">Test</h2>" not in page


def test_drawing_needs_no_window_system():
    code = "import sys, deep_cnn.reporting.plots.confusion_matrix; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
