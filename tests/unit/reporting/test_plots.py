"""Pictures: written whole or not at all, and drawable whatever the names and numbers are."""

import os
import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from deep_cnn.reporting.plots.confusion_matrix import confusion_matrix
from deep_cnn.reporting.plots.learning_curves import MAX_PANELS, learning_curves
from deep_cnn.reporting.plots.predicted_vs_true import predicted_vs_true
from deep_cnn.reporting.plots.residuals import residuals


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
        {"epoch": str(e), "lr": "0.001", **{name: str(1 / (e + i + 1)) for i, name in enumerate(names)}}
        for e in range(n)
    ]


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
    assert [ax.get_title() for ax in axes] == ["loss", "top-1", "macro F1", "learning rate"]
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
        row |= {f"val_t{i}/mae": 1.0 for i in range(20)}
    learning_curves(rows, tmp_path / "c.png")
    axes = drawn[0].axes
    assert np.isnan(axes[1].lines[0].get_ydata()[0])
    assert axes[0].get_yscale() == "log" and axes[1].get_yscale() == "linear"
    assert len(axes) == MAX_PANELS and axes[-1].get_title() == "learning rate"
    assert drawn[0].get_suptitle() == "12 more metrics are in metrics.csv"  # loss, top1, f1, 20 targets; 11 panels


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
    predicted_vs_true(np.ones((3, 1)), np.arange(3.0)[:, None], [name], tmp_path / "p.png")
    assert_picture(tmp_path / "p.png")


@pytest.mark.parametrize("targets", [1, 3])
def test_predicted_vs_true(tmp_path, drawn, targets):
    rng = np.random.default_rng(0)
    true = rng.normal(size=(5000, targets)) * 1e5
    predicted = true + 1e4
    true[100:, 1:] = np.nan  # 100 points stay points, 5,000 become a density
    predicted_vs_true(predicted, true, ["price", "area", "safety"][:targets], tmp_path / "predicted_vs_true.png")
    assert_picture(tmp_path / "predicted_vs_true.png")
    axes = [ax for ax in drawn[0].axes if ax.get_xlabel() == "true"]
    assert len(axes) == targets
    assert axes[0].get_title() == "price\nn = 5,000, MAE 10,000, R² 0.99"
    assert axes[0].collections[0].get_array().sum() == 5000, "every image is in a cell"
    if targets > 1:
        assert np.allclose(axes[1].collections[0].get_offsets(), np.stack([true[:100, 1], predicted[:100, 1]], axis=1))
    for ax in axes:
        assert ax.get_xlim() == ax.get_ylim()


def test_residuals_of_the_best_predictor_have_no_slope(tmp_path, drawn):
    """Against the truth they fall for every predictor that is not perfect, even for the best there can be."""
    rng = np.random.default_rng(0)
    best = rng.normal(size=2000)
    true = (best + rng.normal(size=2000))[:, None]  # what an image does not show
    residuals(best[:, None], true, ["score"], tmp_path / "residuals.png")
    axes = drawn[0].axes[0]
    x, error = axes.collections[0].get_offsets().T
    assert axes.get_xlabel() == "predicted" and abs(np.polyfit(x, error, 1)[0]) < 0.06
    assert np.polyfit(true[:, 0], best - true[:, 0], 1)[0] < -0.4


def test_predicted_vs_true_of_nothing_one_point_and_a_constant(tmp_path, drawn):
    true = np.array([[np.nan, 2.0, 0.0], [np.nan, np.nan, 0.0]])
    predicted_vs_true(np.array([[0, 2, 0]] * 2), true, ["none", "one", "zero"], tmp_path / "p.png")
    assert_picture(tmp_path / "p.png")
    assert drawn[0].axes[0].texts[0].get_text() == "no values"
    assert drawn[0].axes[1].get_title() == "one\nn = 1, MAE 0"


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


def test_drawing_needs_no_window_system():
    code = "import sys, deep_cnn.reporting.plots.confusion_matrix; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
