"""Rising curves: against scikit-learn, strictly rising, invertible, exported alike; and what they do to errors on held-out ratings."""

import json

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression

from deep_cnn.runtime.errors import DataError
from deep_cnn.tasks.curves import Curve, CurveLayer, fitted_curve
from deep_cnn.tasks.make import new_task, task_from_dict
from deep_cnn.tasks.recalibration import bent, fitted_line, monotone_curve, rescaled


def rated(n, seed, scale=lambda score: score, noise=0.5):
    """Predictions and ratings of n images: the rating is `scale` of the prediction, and noise."""
    rng = np.random.default_rng(seed)
    predicted = rng.normal(5, 1.5, n)
    return predicted, scale(predicted) + rng.normal(0, noise, n)


def stretched_and_bent(score):
    """Twice as far apart, and flat at the top, as where raters give no more than a 9."""
    return 9 - 12 * np.exp(-score / 3)


def test_levels_are_those_of_scikit_learn_and_knots_are_their_middles():
    x, y = rated(200, 0)
    x = np.round(x, 1)  # ties
    curve = fitted_curve(x, y, 1.0)
    steps = IsotonicRegression().fit(x, y).predict(x)
    assert curve.y == pytest.approx(np.unique(np.round(steps, 9)), abs=1e-8)
    for middle, level in zip(curve.x, curve.y, strict=True):
        assert middle == pytest.approx(x[np.isclose(steps, level, atol=1e-8)].mean())


def test_it_rises_strictly_everywhere_so_that_ranks_stay():
    x, y = rated(100, 1)
    curve = monotone_curve(x, y)
    values = np.linspace(-20, 30, 3000)
    assert (np.diff(curve(values)) > 0).all() and len(curve.x) > 3
    assert curve.inverse(curve(values)) == pytest.approx(values)
    slope = fitted_line(x, y)["slope"]
    assert curve(np.array([curve.x[-1] + 2.0]))[0] == pytest.approx(curve.y[-1] + 2 * slope), "a line beyond the ends"
    assert curve(np.array([curve.x[0] - 2.0]))[0] == pytest.approx(curve.y[0] - 2 * slope)
    assert np.isnan(curve(np.array([np.nan])))[0]


def test_two_levels_and_ratings_that_do_not_rise():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, 3.0, 2.0])
    curve = monotone_curve(x, y)
    assert (curve.x, curve.y) == ((1.5, 3.5), (0.5, 2.5)) and curve(np.array([2.5]))[0] == pytest.approx(1.5)
    with pytest.raises(DataError, match="do not rise with the predictions"):
        monotone_curve(x, -y)


@pytest.mark.parametrize("transform", ["none", "log", "rank"])
def test_a_network_with_a_curve_decodes_encodes_and_exports_alike(transform):
    rng = np.random.default_rng(2)
    scores = rng.lognormal(1, 0.5, (300, 2))
    task = new_task("regression", ["safety", "beauty"]).on_scale(transform, scores).fitted(scores)
    outputs = rng.normal(0, 1.2, (50, 2)).astype(np.float32)
    before = task.decode(outputs)
    curve = monotone_curve(before[:, 1], stretched_and_bent(before[:, 1]) + rng.normal(0, 0.3, 50))
    local = bent(task, {"beauty": curve})
    assert np.array_equal(local.decode(outputs)[:, 0], before[:, 0])
    assert np.array_equal(local.decode(outputs)[:, 1], curve(before[:, 1]))
    exported = local.activation()(torch.from_numpy(outputs)).numpy()
    assert exported == pytest.approx(local.decode(outputs), rel=1e-4, abs=1e-4)
    again = task_from_dict(json.loads(json.dumps(local.to_dict())))
    assert np.array_equal(again.decode(outputs), local.decode(outputs))
    if transform == "none":  # the others have training scores beyond which nothing is encoded
        assert local.encode(local.decode(outputs)).numpy() == pytest.approx(outputs, abs=1e-4)
        assert local.blind(scores, 1)[0] == pytest.approx([task.mean[0], curve(np.array([task.mean[1]]))[0]])


def test_a_column_without_a_curve_stays():
    values = torch.tensor([[1.0, 2.0], [-3.0, 9.0]])
    layer = CurveLayer([None, Curve((0.0, 4.0), (1.0, 3.0), 2.0)])
    assert layer(values).tolist() == [[1.0, 2.0], [-3.0, 13.0]]


def errors(scale, draws=20, ratings=100):
    """Mean absolute error on 2,000 other images, before, with the line and with the curve; a row for each draw."""
    task = new_task("regression", ["score"]).fitted(np.array([[3.5], [6.5]]))
    found = []
    for seed in range(draws):
        predicted, true = rated(ratings + 2000, seed, scale)
        outputs = task.encode(predicted[:, None]).numpy()
        line = rescaled(task, {"score": fitted_line(predicted[:ratings], true[:ratings])})
        curve = bent(task, {"score": monotone_curve(predicted[:ratings], true[:ratings])})
        rest = slice(ratings, None)
        found.append([np.abs(t.decode(outputs[rest])[:, 0] - true[rest]).mean() for t in (task, line, curve)])
    return np.array(found)


def test_a_curve_is_better_on_a_bent_scale_and_hardly_worse_on_a_straight_one():
    before, line, curve = errors(stretched_and_bent).T
    assert (curve < line).mean() >= 0.9 and curve.mean() < 0.88 * line.mean() < before.mean(), (
        "0.436 and 0.520 of 1.478"
    )
    before, line, curve = errors(lambda score: 10 + 3 * score).T
    assert curve.mean() < 1.15 * line.mean() and curve.mean() < 0.1 * before.mean(), "0.449 and 0.406 of 20"


def test_the_flag_means_the_line_as_before():
    from deep_cnn.cli.commands.evaluate import Options
    from deep_cnn.runtime.errors import ConfigError

    meant = {
        True: "linear",
        "True": "linear",
        "linear": "linear",
        "monotone": "monotone",
        False: "none",
        "none": "none",
    }
    assert {value: Options(metadata="t.csv", recalibrate=value).recalibrate for value in meant} == meant
    with pytest.raises(ConfigError, match=r"choose one of none, linear, monotone\. Did you mean monotone"):
        Options(metadata="t.csv", recalibrate="monoton")
    with pytest.raises(ConfigError, match="works only with --recalibrate"):
        Options(metadata="t.csv", ratings=40)
    with pytest.raises(ConfigError, match="works only with --metadata"):
        Options(recalibrate=True)
