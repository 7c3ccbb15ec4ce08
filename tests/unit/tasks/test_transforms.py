"""Scales of scores: inverses, what is stored, what is exported, and values that have no place on a scale."""

import json

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from deep_cnn.runtime.errors import ConfigError, DataError
from deep_cnn.tasks.make import new_task, task_from_dict
from deep_cnn.tasks.recalibration import rescaled
from deep_cnn.tasks.transforms import Transform, check_values, errors_on, fit_transform, skewness

RNG = np.random.default_rng(0)
VALUES = {
    "log": RNG.lognormal(3, 1, (200, 2)),
    "logit": RNG.uniform(0.01, 0.99, (200, 2)),
    "rank": RNG.standard_cauchy((200, 2)),
}


@pytest.mark.parametrize("name", VALUES)
def test_scores_come_back_in_their_units(name):
    values = np.where(RNG.random((200, 2)) < 0.1, np.nan, VALUES[name])
    task = new_task("regression", ["a", "b"]).on_scale(name, values).fitted(values)
    encoded = task.encode(values)
    known = ~np.isnan(values)
    assert np.isnan(encoded.numpy()).tolist() == (~known).tolist()
    on_scale = np.where(known, encoded.numpy(), np.nan)
    assert np.nanmean(on_scale, 0) == pytest.approx([0, 0], abs=1e-5) and np.nanstd(on_scale, 0) == pytest.approx(
        [1, 1], abs=1e-5
    )
    decoded = task.decode(np.nan_to_num(encoded.numpy()))
    assert decoded[known] == pytest.approx(values[known], rel=1e-4, abs=1e-4 * np.abs(values[known]).max())
    exported = task.activation()(torch.nan_to_num(encoded)).numpy()
    assert exported == pytest.approx(decoded, rel=1e-3, abs=1e-4 * np.abs(decoded).max())
    # metrics and the blind prediction are in original units
    assert task.blind(values, 3)[0] == pytest.approx(np.nanmean(values, 0))
    assert task.scored_decoded(decoded, values).scores()["a/r2"] > 0.999
    again = task_from_dict(json.loads(json.dumps(task.to_dict())))
    assert np.array_equal(again.decode(encoded.numpy()), task.decode(encoded.numpy()), equal_nan=True)


def test_a_rank_scale_is_normal_and_ends_where_the_training_scores_end():
    skewed = RNG.lognormal(0, 2, 500)
    scale = fit_transform("rank", skewed)
    assert abs(skewness(scale.forward(skewed))) < 0.1 < 2 < skewness(skewed)
    assert scale.inverse(np.array([-99.0, 99.0])).tolist() == [skewed.min(), skewed.max()]
    assert Transform().forward(skewed).tolist() == skewed.tolist()


def test_tied_scores_share_the_normal_score_of_their_middle_rank():
    values = np.concatenate([np.zeros(500), RNG.lognormal(0, 1, 500)])
    scale = fit_transform("rank", values)
    assert scale.forward(np.array([0.0, np.median(values[500:])])) == pytest.approx([-0.674, 0.674], abs=0.03)
    assert scale.inverse(scale.forward(values)) == pytest.approx(values)
    on_scale = scale.forward(np.sort(values))
    assert (np.diff(on_scale) >= 0).all() and (np.diff(np.unique(on_scale)) > 0).all()
    task = new_task("regression", ["a"]).on_scale("rank", values[:, None]).fitted(values[:, None])
    again = task_from_dict(json.loads(json.dumps(task.to_dict())))
    encoded = again.encode(values[:, None])
    assert again.decode(encoded.numpy())[:, 0] == pytest.approx(values, abs=1e-4)
    assert again.activation()(encoded).numpy()[:, 0] == pytest.approx(values, rel=1e-4, abs=1e-4)
    likert = fit_transform("rank", np.repeat([1.0, 2.0, 3.0], [600, 300, 100]))
    assert likert.forward(np.array([1.0, 2.0, 3.0])) == pytest.approx(ndtri([0.3, 0.75, 0.95]), abs=0.03)
    alone = fit_transform("rank", np.full(9, 4.0))
    assert alone.forward(np.array([4.0])) == pytest.approx([0.0]) and alone.inverse(np.array([1.0])) == [4.0]


def test_rank_scales_without_ties_and_stored_ones_are_to_the_bit_those_of_version_0_2_0():
    def as_before(knots):
        return ndtri((np.arange(len(knots)) + 1 - 0.375) / (len(knots) + 0.25))

    values = RNG.lognormal(0, 1, 300)
    knots = np.unique(np.quantile(values, np.linspace(0, 1, 101)))
    scale = fit_transform("rank", values)
    assert scale.knots == tuple(knots.tolist())
    assert scale.forward(values).tolist() == np.interp(values, knots, as_before(knots)).tolist()
    stored = Transform("rank", (0.0, 0.5, 2.0, 7.0))  # of tied scores, whose ties were dropped
    of_scale = np.linspace(-2, 2, 50)
    assert stored.inverse(of_scale).tolist() == np.interp(of_scale, as_before(stored.knots), stored.knots).tolist()
    assert stored.forward(np.array(stored.knots)).tolist() == as_before(stored.knots).tolist()


def test_values_without_a_place_are_named():
    with pytest.raises(DataError, match="a has 2 values such as 0; log needs values above 0"):
        check_values("log", ["a"], np.array([[0.0], [-1.0], [2.0], [np.nan]]))
    with pytest.raises(DataError, match="between 0 and 1, both excluded"):
        check_values("logit", ["a"], np.array([[0.5], [1.0]]))
    check_values("rank", ["a"], np.array([[-5.0], [7.0]]))
    for task in ("classification", "multilabel", "pairwise"):
        with pytest.raises(ConfigError, match=f"is for scores, not for --task={task}"):
            new_task(task, ["a", "b"]).on_scale("log", np.ones((3, 2)))
    logged = new_task("regression", ["a"]).on_scale("log", np.ones((3, 1))).fitted(np.array([[1.0], [2.0], [4.0]]))
    with pytest.raises(ConfigError, match="a line is fitted to scores on their own scale"):
        rescaled(logged, {"a": {"slope": 1.0, "intercept": 0.0}})


def test_without_a_transform_nothing_changes():
    values = VALUES["rank"]
    task = new_task("regression", ["a", "b"]).fitted(values)
    assert task.transform == "none" and task.scale_mean == ()
    assert np.array_equal(task.encode(values).numpy(), ((values - values.mean(0)) / values.std(0)).astype(np.float32))


@pytest.mark.parametrize("name", ["log", "logit", "rank"])
def test_standard_errors_on_the_scale_are_those_of_its_slope(name):
    rng = np.random.default_rng(0)
    values = rng.uniform(0.05, 0.95, 4000)
    errors = np.full(4000, 0.004)
    scale = fit_transform(name, values)
    slope = {"log": 1 / values, "logit": 1 / (values * (1 - values)), "rank": np.full(4000, np.nan)}[name]
    found = errors_on(scale, values, errors)
    if name == "rank":  # the spread of noisy scores on the scale
        slope = np.std([scale.forward(values + 0.004 * rng.normal(size=4000)) for _ in range(200)], axis=0) / 0.004
        assert np.median(found / (errors * slope)) == pytest.approx(1, abs=0.05)
    else:
        assert found == pytest.approx(errors * slope, rel=1e-4)
