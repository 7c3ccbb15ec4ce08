"""Pictures: written whole or not at all, and drawable whatever the names and numbers are."""

import io
import os
import warnings
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from deep_cnn.reporting.plots import confusion_matrix as confusion
from deep_cnn.reporting.plots import fold_values, predicted_vs_true, reliability, residuals
from deep_cnn.reporting.plots.learning_curves import MAX_PANELS, curves_of, distinct, learning_curves, of_targets, panel
from deep_cnn.reporting.plots.panel import Panel, write_png
from deep_cnn.reporting.plots.style import tick
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.make import new_task


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were saved, for a look at what is in them."""
    figures, savefig = [], Figure.savefig

    def keep(figure, *args, **kwargs):
        figures.append(figure)
        savefig(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def epochs(n: int) -> list[dict]:
    """Rows as csv.DictReader gives them."""
    names = ("train_loss", "val_loss", "val_top1", "val_macro_f1")
    return [
        {"epoch": str(e), "lr": str(0.001 / (e + 1)), **{name: str(1 / (e + i + 1)) for i, name in enumerate(names)}}
        for e in range(n)
    ]


def scores_task(names, units=()) -> Task:
    return new_task("regression", names).fitted(np.zeros((2, len(names)))).with_units(units)


def confusion_matrix(matrix, names, path):
    write_png([confusion.confusion_matrix(matrix, names)], path)


def axes_of(panel: Panel):
    """The axes that a panel fills."""
    ax = Figure().add_subplot()
    panel.draw(ax)
    return ax


def assert_picture(path):
    with Image.open(path) as image:
        width, height = image.size
        assert width > 300 and height > 300
        assert np.asarray(image.convert("L")).std() > 5, "an empty picture"
    assert [p.name for p in path.parent.iterdir()] == [path.name], "an unfinished file was left"


@pytest.mark.parametrize("n", [1, 3, 40])
def test_learning_curves(tmp_path, drawn, n):
    learning_curves(epochs(n), tmp_path / "learning_curves.png", best_epoch=n // 2)
    assert_picture(tmp_path / "learning_curves.png")
    axes = drawn[0].axes
    assert [ax.get_title() for ax in axes] == ["loss", "top-1", "macro F1", *(["learning rate"] if n > 1 else [])]
    train, validation, best = axes[0].lines
    assert train.get_ydata()[0] == 1 and validation.get_ydata()[-1] == pytest.approx(1 / (n + 1))
    assert list(best.get_xdata()) == [n // 2, n // 2]
    assert (validation.get_marker() != "None") == (n < 40), "a single epoch is visible by its marker alone"
    ticks = [tick for tick in axes[0].get_xticks() if -0.5 <= tick <= n - 0.5]
    assert ticks and all(tick == int(tick) for tick in ticks)


def test_learning_curves_are_called_as_on_the_console(tmp_path, drawn):
    learning_curves(epochs(2), tmp_path / "c.png")
    assert [ax.get_title() for ax in drawn[0].axes][:3] == ["loss", "top-1", "macro F1"]


def test_learning_curves_with_gaps_divergence_and_many_targets(tmp_path, drawn):
    rows = epochs(4)
    rows[0] |= {"val_top1": "", "val_macro_f1": None}
    rows[2] |= {"val_loss": "1e6"}
    for row in rows:
        row |= {f"val_t{i}/mae": 1.0 + i for i in range(20)}
    learning_curves(rows, tmp_path / "c.png")
    axes = drawn[0].axes
    assert np.isnan(axes[1].lines[0].get_ydata()[0])
    assert axes[0].get_yscale() == "log" and axes[1].get_yscale() == "linear"
    assert len(axes) == MAX_PANELS and axes[-1].get_title() == "learning rate"
    assert drawn[0].get_suptitle() == "12 more metrics are in metrics.csv"  # loss, top1, f1, 20 targets; 11 panels


def test_no_curve_is_drawn_twice_and_a_constant_rate_not_at_all():
    rows = [
        {"epoch": e, "lr": 0.1, "train_loss": 1.0, "val_top1": e / 9, "val_balanced_accuracy": e / 9} for e in range(5)
    ]
    assert [c.metric for c in distinct(curves_of(rows))] == ["loss", "top1"]
    rows[2]["val_balanced_accuracy"] += 0.01
    assert [c.metric for c in distinct(curves_of(rows))] == ["loss", "top1", "balanced_accuracy"]
    for row in rows:
        row |= {"val_r2": row["val_top1"], "lr": 0.1 / (1 + row["epoch"])}
    assert [c.metric for c in distinct(curves_of(rows))] == ["loss", "top1", "balanced_accuracy", "r2", "lr"], (
        "percent or not"
    )


def test_a_metric_of_all_targets_has_one_panel_with_a_line_each():
    rows = [{"epoch": e, "val_a/r2": 0.1 * e, "val_b/r2": 0.2 * e, "val_a/mae": 1.0} for e in range(3)]
    together = of_targets(curves_of(rows), "r2")
    assert list(together.lines) == ["a", "b"] and together.lines["b"].tolist() == [0, 0.2, 0.4]
    assert of_targets(curves_of(rows), "mae") is None, "one target is no comparison"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_an_axis_of_shares_ends_at_0_and_100_percent(share):
    axes = axes_of(panel(curves_of([{"epoch": k, "val_top1": share} for k in range(3)])[0], np.arange(3.0)))
    low, high = axes.get_ylim()
    assert -0.02 <= low < share < high <= 1.02
    axes.figure.canvas.draw()
    written = [label.get_text() for label in axes.get_yticklabels() if label.get_text()]
    assert written and all(0 <= float(text.rstrip("%")) <= 100 for text in written)


def test_a_panel_says_what_it_shows():
    rows = [
        {"epoch": e, "train_loss": 2.0 - e, "val_loss": None if e else 1.5, "val_top1": 0.5 + e / 4} for e in range(2)
    ]
    loss, top1 = (panel(curves, np.arange(2.0)) for curves in curves_of(rows))
    assert loss.alt == "loss by epoch: training from 2 to 1; validation from 1.5 to 1.5"
    assert top1.alt == "top-1 by epoch: validation from 50.0% to 75.0%"
    assert axes_of(top1).yaxis.get_major_formatter()(0.75, 0) == "75%"


@pytest.mark.parametrize(
    "value, text", [(0, "0"), (0.25, "0.25"), (9500, "9500"), (250_000, "250k"), (1.5e6, "1.5M"), (-2e9, "-2G")]
)
def test_numbers_of_axes(value, text):
    assert tick(value) == text


@pytest.mark.parametrize("size", [2, 5, 40, 365])
def test_confusion_matrix(tmp_path, drawn, size):
    matrix = np.random.default_rng(0).integers(1, 9, size=(size, size))
    names = [f"scene_{k}_{'very_' * (k % 9)}long" for k in range(size)]
    confusion_matrix(matrix, names, tmp_path / "confusion_matrix.png")
    assert_picture(tmp_path / "confusion_matrix.png")
    ax = drawn[0].axes[0]
    assert np.allclose(ax.images[0].get_array(), matrix / matrix.sum(axis=1, keepdims=True)), "rows are true classes"
    assert len(ax.texts) == (size * size if size <= 15 else 0)
    if size <= 15:
        assert ax.texts[1].get_position() == (1, 0) and ax.texts[1].get_text() == str(matrix[0, 1])
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(labels) <= 50 and max(map(len, labels)) <= 24
    assert ax.get_yticks()[-1] < size
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes)), "names overlap"


def test_a_class_without_images_is_grey_not_a_crash(tmp_path, drawn):
    confusion_matrix(np.array([[3, 1], [0, 0]]), ["a", "b"], tmp_path / "c.png")
    assert drawn[0].axes[0].images[0].get_array().mask.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize(
    "name", ["東京タワー", "plage été", "$x^", "$a$ or $\\frac{b$", "_^{}\\", "a\nb\x00\udc80", "", "🏠", "شارع"]
)
def test_any_name_can_be_drawn(tmp_path, name):
    confusion_matrix(np.eye(2, dtype=int), [name, "other"], tmp_path / "c.png")
    os.remove(tmp_path / "c.png")
    write_png(
        predicted_vs_true.panels(scores_task([name]), np.ones((3, 1)), np.arange(3.0)[:, None]), tmp_path / "p.png"
    )
    assert_picture(tmp_path / "p.png")


@pytest.mark.parametrize("targets", [1, 3])
def test_predicted_vs_true(tmp_path, drawn, targets):
    rng = np.random.default_rng(0)
    true = rng.normal(size=(5000, targets)) * 1e5
    predicted = true + 1e4
    true[100:, 1:] = np.nan  # 100 points stay points, 5,000 become a density
    task = scores_task(["price", "area", "safety"][:targets], ["USD", "m2", "points"][:targets])
    write_png(predicted_vs_true.panels(task, predicted, true), tmp_path / "predicted_vs_true.png")
    assert_picture(tmp_path / "predicted_vs_true.png")
    axes = drawn[0].axes
    assert len(axes) == targets
    assert axes[0].get_title() == "price\nn = 5,000, MAE 10,000 USD, R² 0.99"
    assert axes[0].get_xlabel() == "true price (USD)" and axes[0].get_ylabel() == "predicted price (USD)"
    assert axes[0].collections[0].get_array().sum() == 5000, "every image is in a cell"
    if targets > 1:
        assert np.allclose(axes[1].collections[0].get_offsets(), np.stack([true[:100, 1], predicted[:100, 1]], axis=1))
    for ax in axes:
        assert ax.get_xlim() == ax.get_ylim() and list(ax.get_xticks()) == list(ax.get_yticks())
        assert not any("e" in label.get_text() for label in ax.get_xticklabels()), "no 1e6"


def test_residuals_of_the_best_predictor_have_no_slope():
    """Against the truth they fall for every predictor that is not perfect, even for the best there can be."""
    rng = np.random.default_rng(0)
    best = rng.normal(size=1000)
    true = (best + rng.normal(size=1000))[:, None]  # what an image does not show
    axes = axes_of(residuals.panels(scores_task(["score"]), best[:, None], true)[0])
    x, error = axes.collections[0].get_offsets().T
    assert axes.get_xlabel() == "predicted score" and abs(np.polyfit(x, error, 1)[0]) < 0.1
    assert np.polyfit(true[:, 0], best - true[:, 0], 1)[0] < -0.4


def test_figures_of_nothing_one_point_and_a_constant(tmp_path, drawn):
    true = np.array([[np.nan, 2.0, 0.0], [np.nan, np.nan, 0.0]])
    task, predicted = scores_task(["none", "one", "zero"]), np.array([[0.0, 2, 0]] * 2)
    write_png(predicted_vs_true.panels(task, predicted, true), tmp_path / "p.png")
    assert_picture(tmp_path / "p.png")
    assert drawn[0].axes[0].texts[0].get_text() == "no values"
    assert drawn[0].axes[1].get_title() == "one\nn = 1, MAE 0"
    write_png(residuals.panels(task, predicted, true), tmp_path / "p.png")
    assert drawn[1].axes[0].texts[0].get_text() == "no values"


def test_the_range_by_chance_is_the_binomial_distributions():
    from scipy.stats import binom

    for count, confidence in ((1, 0.9), (7, 0.5), (40, 0.93), (300, 0.31)):
        expected = binom.ppf([0.025, 0.975], count, confidence) / count
        assert reliability.null_range(count, confidence) == pytest.approx(tuple(expected))
    assert reliability.null_range(5, 1.0) == (1.0, 1.0)


def test_reliability_shows_accuracy_counts_and_chance():
    decoded = np.array([[0.9, 0.1]] * 8 + [[0.4, 0.6]] * 4)
    targets = np.array([0] * 6 + [1] * 2 + [1] * 3 + [0])
    accuracy, counts = reliability.panels(new_task("classification", ("a", "b")), decoded, targets)
    assert accuracy.alt == "Accuracy by confidence: 60% confident, 75% right (4); 90% confident, 75% right (8)"
    ax = axes_of(accuracy)
    assert np.allclose(ax.collections[0].get_offsets(), [[0.6, 0.75], [0.9, 0.75]])
    low, high = reliability.null_range(8, 0.9)
    bars = ax.patches
    assert bars[1].get_y() == pytest.approx(low) and bars[1].get_height() == pytest.approx(high - low)
    assert [text.get_text() for text in axes_of(counts).texts] == ["4", "8"]


def test_folds_beside_their_mean():
    found = fold_values.panel("top1", ["Oslo", "Quito", "3"], [0.5, None, 0.75], 0.62, (0.4, 0.8))
    assert found.alt == "top-1 of each fold: Oslo 50.0%; 3 75.0%"
    ax = axes_of(found)
    assert np.allclose(ax.collections[-1].get_offsets(), [[1, 0.5], [3, 0.75]]), "an undefined fold has no point"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Oslo", "3"]


@pytest.mark.parametrize("values", [[0.5, None], [None, None]])
def test_folds_without_a_mean_are_drawn_all_the_same(values):
    found = fold_values.panel("pair_accuracy", ["1", "2"], values, None, None)
    ax = axes_of(found)
    assert found.alt.endswith("1 50.0%" if values[0] else ": undefined") and not ax.lines
    assert len(ax.collections[-1].get_offsets()) == sum(value is not None for value in values)
    Figure.savefig(ax.figure, io.BytesIO())


def test_a_failed_picture_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "c.png"
    confusion_matrix(np.eye(2, dtype=int), ["a", "b"], path)
    before = path.read_bytes()

    def half(figure, name, **kwargs):
        name.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError):
        confusion_matrix(np.ones((2, 2), int), ["a", "b"], path)
    assert path.read_bytes() == before
