"""Runs side by side: what is one row, what may not be mixed, and whether the numbers are those of an independent calculation."""

import csv
import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from scipy import stats

from deep_cnn.cli.main import main
from deep_cnn.models.build import ModelSpec
from deep_cnn.models.complexity import count
from deep_cnn.reporting.compare import job, page, picture, published
from deep_cnn.reporting.compare.front import pareto_front
from deep_cnn.reporting.compare.labels import place_labels
from deep_cnn.reporting.compare.picture import Point, against_parameters
from deep_cnn.reporting.plots.panel import Panel, write_png
from deep_cnn.reporting.plots.style import DPI
from deep_cnn.reporting.report.charts import Chart
from deep_cnn.runtime.atomic import write_json, write_rows
from deep_cnn.tasks.intervals import held_out_result
from deep_cnn.tasks.metrics import ClassificationScores

ANIMALS = ("bee", "cat", "dog")
EMPTY = Panel("", "", lambda ax: None)


@pytest.fixture
def made(tmp_path):
    """A function that writes a finished run's files as training leaves them, its hits drawn, and gives its top-1."""

    def make(
        name: str,
        model: str = "cifar_resnet20",
        *,
        right: float = 0.6,
        seed: int = 0,
        names=ANIMALS,
        n: int = 300,
        data: str = "one",
        program: str = "x",
        files: str = "image",
        state: str = "finished",
        tested: bool = True,
        resampled: str = "images",
        group: int = 0,  # number of groups
        **flags,
    ) -> float:
        rng = np.random.default_rng(seed)  # what is hard for one network is hard for the others
        truth = np.arange(n) % len(names)
        said = np.where(rng.random(n) < right, truth, (truth + 1) % len(names))
        chances = np.full((n, len(names)), 0.1 / len(names)) + 0.9 * np.eye(len(names))[said]
        folder = tmp_path / "outputs" / "results" / name
        identity = {
            "flags": {"model": model, "seed": seed, "lr": 0.001, "epochs": 2} | flags,
            "data": data,
            "sources": program,
        }
        task = {"kind": "single", "names": list(names), "loss": "cross_entropy", "label_smoothing": 0.0}
        write_json(
            folder / "config.json",
            {
                "model": {"name": model, "outputs": len(names), "dropout": 0.0, "image_size": 64},
                "task": task,
                "config": {"data_dir": f"input/{data}", "metadata": None, "epochs": 2, "batch_size": "16"},
                "identity": identity,
                "decisions": {"device": "cpu", "threads": 2},
            },
        )
        write_json(folder / "status.json", {"state": state, "reason": "why", "step": 5, "steps": 20})
        write_rows(
            folder / "metrics.csv",
            [{"epoch": e, "step": 9, "val_loss": 1.0, "val_top1": right - 0.1 * e} for e in (0, 1)],
        )
        write_rows(
            folder / "timing.csv",
            [{"epoch": e, "train_seconds": 30, "validation_seconds": 5.5, "images_per_second": 9} for e in (0, 1)],
        )
        write_rows(
            folder / "splits.csv",
            [{"file": f"train{i}.jpg", "target": names[i % len(names)], "split": "train"} for i in range(6)],
        )
        scores = ClassificationScores.of(chances, truth, names)
        if tested:
            groups = np.arange(n) % group if group else None
            result = held_out_result(scores, groups=groups, group_names=[str(g) for g in range(group)]) | {
                "split": "test",
                "task": "single",
                "best_epoch": 0,
            }
            result["bootstrap"]["resampled"] = "groups" if group else resampled
            write_json(folder / "test.json", result)
            shuffled = np.random.default_rng(len(name)).permutation(n)  # the order of the rows says nothing
            write_rows(
                folder / "predictions_test.csv",
                [
                    {"file": f"{files}{i}.jpg", "target": names[truth[i]]}
                    | {f"p_{c}": float(p) for c, p in zip(names, chances[i], strict=True)}
                    | ({"group": f"city {i % group}"} if group else {})
                    for i in shuffled
                ],
            )
        return scores.scores()["top1"]

    return make


@pytest.fixture
def compared(tmp_path, capsys, request, monkeypatch):
    """A function: flags of compare -> (exit code, what the console says, rows of table.csv).

    The figure takes most of the time: it is drawn for a test that asks for the fixture `pictures`.
    """
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(picture, "against_parameters", lambda points, others, **words: EMPTY)
        monkeypatch.setattr(job, "write_png", lambda panels, path: path.touch())
        monkeypatch.setattr(page, "drawn", lambda panels, key: [Chart("", "", Markup())])

    def run(**flags):
        capsys.readouterr()
        code = main(["compare", f"--root_dir={tmp_path}", *(f"--{name}={value}" for name, value in flags.items())])
        said = capsys.readouterr()
        table = tmp_path / "outputs/compare/table.csv"
        rows = list(csv.DictReader(table.open(encoding="utf-8"))) if table.exists() else []
        return code, said.out + said.err, rows

    return run


# -- the whole command ------------------------------------------------------------------------------------------------


def test_the_table_says_what_the_runs_files_say(made, pictures, compared, tmp_path):
    small = made("small", "shufflenet_v2_x0_5", right=0.5)
    large = made("large", "resnet18", right=0.8)
    code, said, rows = compared()
    assert code == 0
    assert [row["run"] for row in rows] == ["large", "small"]  # the best first
    assert [float(row["test_top1"]) for row in rows] == [large, small]
    size = count(ModelSpec("resnet18", 3, image_size=64))
    assert (int(rows[0]["parameters"]), int(rows[0]["multiply_adds"])) == (size.parameters, size.multiply_adds)
    assert (rows[0]["epochs"], float(rows[0]["seconds"]), rows[0]["n"]) == ("2", 71, "1")
    assert float(rows[0]["val_top1"]) == 0.8  # of the best epoch, not of the last
    test = json.loads((tmp_path / "outputs/results/large/test.json").read_text())
    assert [float(rows[0][f"test_top1_{end}"]) for end in ("low", "high")] == test["intervals"]["top1"]
    line = next(line for line in said.splitlines() if line.startswith("large"))
    assert f"{size.parameters:,}" in line and "1m 11s" in line and f"{100 * large:.2f}%" in line and "80.00%" in line
    assert (tmp_path / "outputs/compare/table.txt").read_text(encoding="utf-8").splitlines()[0] == "one, 3 classes:"
    assert_picture(tmp_path / "outputs/compare/top1_by_parameters.png")
    written = (tmp_path / "outputs/compare/report.html").read_text(encoding="utf-8")
    assert written.count("<tr>") == 3 and f"{100 * large:.2f}%" in written and "<svg viewBox" in written


def test_seeds_are_one_row_with_mean_spread_and_n(made, compared):
    values = [made(f"net_{seed}", seed=seed) for seed in (0, 1, 2)]
    made("other_lr", lr=0.1)
    code, said, rows = compared()
    row = next(row for row in rows if row["n"] == "3")
    assert code == 0 and row["run"] == "net_*" and row["seeds"] == "0 1 2"
    assert float(row["test_top1"]) == pytest.approx(np.mean(values))
    assert float(row["test_top1_sd"]) == pytest.approx(stats.tstd(values))
    assert row["test_top1_low"] == ""  # the interval of one of them would not be that of the mean
    assert f"{100 * np.mean(values):.2f}% ± {100 * stats.tstd(values):.2f}% (n=3)" in said
    assert row["flags"] == "lr=0.001" and next(r for r in rows if r["run"] == "other_lr")["flags"] == "lr=0.1"


def test_the_same_run_twice_is_no_second_seed(made, compared):
    made("net_0", seed=0)
    made("net_1", seed=1)
    made("copy_of_1", seed=1)
    _, said, rows = compared()
    assert [row["n"] for row in rows] == ["2"] and "is the same run as" in said


def test_other_results_of_the_same_flags_are_another_row(made, compared):
    """As of images that were exchanged under their names."""
    made("before", seed=1)
    made("after", seed=1, right=0.2)
    _, said, rows = compared()
    assert {row["run"] for row in rows} == {"before", "after"} and "counted once" not in said
    assert "before has the flags, the names of images and the program of after, but other results" in said


def test_another_state_of_the_program_is_another_row(made, compared):
    made("net_0", seed=0)
    made("net_1", seed=1, program="edited")
    _, said, rows = compared()
    assert len(rows) == 2 and "net_0 and net_1 differ only in --seed" in said


def test_other_data_is_told_and_kept_apart(made, compared, tmp_path):
    made("bees", data="meadow")
    made("cats", data="house")
    code, said, rows = compared()
    assert code == 0 and "2 different data sets" in said
    assert {row["data"] for row in rows} == {"meadow, 3 classes", "house, 3 classes"}
    assert len(list((tmp_path / "outputs/compare").glob("top1_by_parameters_?.png"))) == 2
    assert compared(runs="bees,dogs")[0] == 2
    _, said, rows = compared(runs="bees")
    assert "different" not in said and len(rows) == 1


def test_other_test_images_of_the_same_data_are_told(made, compared):
    made("one", files="image")
    made("two", files="picture", test_split=0.3)
    _, said, _ = compared(baseline="one")
    assert "Not all runs were tested on the same images" in said and "test images" in said
    assert re.search(r"^two .*not tested on the same images", said, re.MULTILINE)


def test_a_changed_truth_is_another_test_set(made, compared, tmp_path):
    made("one")
    made("two", lr=0.1)
    table = tmp_path / "outputs/results/two/predictions_test.csv"
    table.write_text(table.read_text().replace("image7.jpg,cat", "image7.jpg,dog"))
    assert "Not all runs were tested on the same images" in compared()[1]


@pytest.mark.parametrize("state", ["running", "stopped", "failed", "mistake"])
def test_an_unfinished_run_is_left_out_and_named(made, compared, state):
    made("done")
    made("half", state=state, tested=False)
    code, said, rows = compared()
    assert code == 0 and [row["run"] for row in rows] == ["done"]
    assert re.search(r"left out: half: .*5 of 20 steps", said)
    code, said, _ = compared(runs="half")
    assert code == 2 and "no finished run to compare: half: " in said


def test_no_run_one_run_and_a_misspelt_one(made, compared):
    code, said, _ = compared()
    assert code == 2 and said.count("\n") == 1 and "train one first" in said
    made("forest")
    code, said, _ = compared()
    assert code == 0 and "Only one row" in said
    code, said, _ = compared(runs="florest")
    assert code == 2 and "Did you mean forest?" in said
    code, said, _ = compared(baseline="florest")
    assert code == 2 and "Did you mean forest?" in said


def test_a_metric_that_runs_lack(made, compared, tmp_path):
    made("one")
    code, said, _ = compared(metric="macro_f2")
    assert code == 2 and "no run has it" in said and "Did you mean macro_f1?" in said
    made("untested", lr=0.1, tested=False)
    code, said, rows = compared(metric="macro_f1")
    assert code == 0 and "untested has no test macro F1 and is not in the figure" in said
    assert [row["test_macro_f1"] == "" for row in rows] == [False, True]
    code, said, _ = compared(runs="untested")  # nothing tested: the validation is drawn, and the axis says so
    assert code == 0 and "-" in said


def test_a_network_that_can_no_longer_be_built(made, compared):
    made("one")
    made("two", "my_network")
    code, said, rows = compared()
    assert code == 0 and "two: its network cannot be built" in said
    assert [row["parameters"] for row in rows if row["run"] == "two"] == [""]


def test_published_values_stand_beside_cifar10_only(made, compared, monkeypatch):
    drawn = []
    monkeypatch.setattr(picture, "against_parameters", lambda points, others, **words: drawn.append(others) or EMPTY)
    made("mine", names=published.CLASSES, data="cifar10")
    code, _, _ = compared(reference=True)
    assert code == 0 and len(drawn[0]) == 7
    assert {(p.name, round(p.value, 2)) for p in drawn[0]} >= {("VGG16", 92.64), ("PreActResNet18", 95.11)}
    assert compared()[0] == 0 and drawn[1] == []
    code, said, _ = compared(reference=True, metric="macro_f1")
    assert code == 2 and "--reference" in said
    made("other", data="meadow")
    code, said, _ = compared(reference=True, runs="other")
    assert code == 2 and "CIFAR-10" in said


def test_the_published_sizes_are_those_of_our_networks_of_that_name():
    for network in published.ACCURACIES:
        name = network.name.lower().replace("preactresnet", "preact_resnet").replace("netv2", "net_v2")
        assert count(ModelSpec(f"cifar_{name}", 10)).parameters == network.parameters


# -- differences -----------------------------------------------------------------------------------------------------


def test_rows_in_another_order_are_the_same_images(made, compared, tmp_path):
    first, second = made("first", right=0.5), made("second", right=0.7, lr=0.1)
    _, said, rows = compared(baseline="first")
    row = next(row for row in rows if row["run"] == "second")
    assert float(row["difference_top1"]) == pytest.approx(second - first)

    def hits(name):
        table = csv.DictReader((tmp_path / f"outputs/results/{name}/predictions_test.csv").open())
        return {r["file"]: r["target"] == max(ANIMALS, key=lambda c: float(r[f"p_{c}"])) for r in table}

    one, two = hits("first"), hits("second")
    changes = np.array([two[file] - 1.0 * one[file] for file in one])
    half = 1.96 * changes.std() / np.sqrt(len(changes))
    ends = float(row["difference_top1_low"]), float(row["difference_top1_high"])
    assert ends == pytest.approx((changes.mean() - half, changes.mean() + half), abs=0.01)
    assert re.search(r"^first .*baseline", said, re.MULTILINE) and f"+{100 * (second - first):.2f}%" in said


def test_groups_are_paired_and_old_files_do_not_name_them(made, compared):
    made("one", group=10)
    made("two", lr=0.1, right=0.8, group=10)
    code, said, rows = compared(baseline="one")
    row = next(row for row in rows if row["run"] == "two")
    assert code == 0 and float(row["difference_top1_low"]) < float(row["difference_top1"])
    made("old", lr=0.2, resampled="groups")
    made("older", lr=0.5, resampled="groups")
    assert "version 0.1.0, whose files do not name the groups" in compared(baseline="old", runs="old*")[1]
    made("few", lr=0.3, group=4)
    made("few_too", lr=0.4, group=4)
    _, said, _ = compared(baseline="few", runs="few*")
    assert "Fewer than 5 groups" in said


def test_it_says_what_a_difference_generalises_to(made, compared):
    made("a_0", right=0.5)
    made("b_0", right=0.7, lr=0.1)
    _, said, _ = compared(baseline="a_0")
    assert "these two networks on new images" in said and "would be found in 80%" in said and "Holm" not in said
    made("a_1", right=0.5, seed=1)
    made("b_1", right=0.7, seed=1, lr=0.1)
    _, said, rows = compared(baseline="a_0")
    assert "these two networks" not in said and "with new seeds, with this training set" in said
    row = next(row for row in rows if row["run"] == "b_*")
    assert row["difference_top1_over_seeds"] == "True"
    made("c_0", right=0.7, lr=0.2)
    _, said, rows = compared(baseline="a_0")
    assert "p (Holm, of 2)" in said and "2 comparisons" in said
    p = {row["run"]: (row["difference_top1_p"], row["difference_top1_p_holm"]) for row in rows if row["run"] != "a_*"}
    plain, adjusted = zip(*((float(x), float(y)) for x, y in p.values()), strict=True)
    assert sorted(adjusted)[0] == pytest.approx(2 * min(plain))


def test_the_majority_class_is_a_baseline(made, compared):
    value = made("one")
    code, said, rows = compared(baseline="majority_class")
    assert code == 0 and float(rows[0]["difference_top1"]) == pytest.approx(value - 1 / 3)
    assert float(rows[0]["difference_top1_p"]) < 0.001
    code, said, _ = compared(baseline="mean_predictor")
    assert code == 2 and "choose one of one, majority_class" in said


def test_mean_colours_and_edges_are_a_baseline(made, compared, tmp_path):
    value = made("one")
    table = list(csv.DictReader((tmp_path / "outputs/results/one/predictions_test.csv").open()))
    names = [name for name in table[0] if name.startswith("p_")]
    right = [[float(f"p_{row['target']}" == name) for name in names] for row in reversed(table)]  # in another order
    lines = [",".join([row["file"], *map(str, p)]) for row, p in zip(reversed(table), right, strict=True)]
    baseline = tmp_path / "outputs/results/one/predictions_baseline.csv"
    baseline.write_text("\n".join([",".join(["file", *names]), *lines]) + "\n")
    code, said, rows = compared(baseline="linear_baseline")
    assert code == 0 and float(rows[0]["difference_top1"]) == pytest.approx(value - 1)
    made("two", lr=0.3)
    _, said, rows = compared(baseline="linear_baseline")
    assert "was tested by a version without this baseline" in said


# -- front and figure -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lower", [False, True])
def test_the_front_is_what_nothing_beats(lower):
    rng = np.random.default_rng(3)
    sizes, values = rng.integers(1, 12, 60), rng.integers(1, 12, 60)  # many equal ones
    better = values[:, None] < values if lower else values[:, None] > values
    no_worse = better | (values[:, None] == values)
    beats = ((sizes[:, None] < sizes) & no_worse) | ((sizes[:, None] <= sizes) & better)  # (winner, loser)
    front = pareto_front(sizes, values, lower)
    assert sorted(front) == np.flatnonzero(~beats.any(axis=0)).tolist()
    assert (np.diff(sizes[front]) >= 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("crowded", [False, True])
def test_no_name_is_over_another_or_over_a_point(crowded):
    rng = np.random.default_rng(0)
    n = 24
    points = np.stack([10 ** rng.uniform(5, 8, n), rng.uniform(60, 95, n)], axis=1)
    if crowded:  # half of them within a tenth of each side, two at one place
        points[:12] = np.stack([10 ** rng.uniform(6.4, 6.7, 12), rng.uniform(78, 82, 12)], axis=1)
        points[1] = points[0]
    figure = Figure(figsize=(8, 5.4), dpi=DPI, layout="constrained")
    ax = figure.add_subplot(xscale="log", xlim=(5e4, 2e8), ylim=(55, 100))
    figure.draw_without_rendering()
    centres = ax.transData.transform(points)
    names = [f"network_{i}_{'x' * (i % 9)}" for i in range(n)]
    labels = place_labels(ax, names, points, np.concatenate([centres - 6, centres + 6], axis=1), colours=["black"] * n)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [
        Text.get_window_extent(label, renderer) for label in labels
    ]  # an annotation's own extent holds its line, too
    assert [label.get_text() for label in labels] == names
    for one, other in combinations(texts, 2):
        assert not one.overlaps(other)
    for box in texts:
        assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in centres)
        assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1


@pytest.mark.parametrize("n", [1, 2, 12])
def test_any_number_of_points_is_drawn(tmp_path, n):
    points = [Point(f"$net_{i}", 10**6, 0.5, 0.4, 0.6) for i in range(n)]  # all alike: axes of no width
    panel = against_parameters(points, [], label="R2", bars="95% interval", source="", lower_is_better=False)
    write_png([panel], tmp_path / "figure.png")
    assert_picture(tmp_path / "figure.png")


def assert_picture(path: Path):
    with Image.open(path) as image:
        assert min(image.size) > 500 and np.asarray(image.convert("L")).std() > 5
