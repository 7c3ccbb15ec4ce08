"""Noise ceilings against published numbers, simulations and leaving out by hand."""

import numpy as np
import pytest

from benchmarks.ceilings import ROWS, simulate
from deep_cnn.data.certainty import Certainty
from deep_cnn.tasks import ceiling
from deep_cnn.tasks.score_metrics import RegressionScores

# Shrout and Fleiss 1979, table 2: four judges of six targets
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def test_the_published_example():
    assert ceiling.of_raters(JUDGES).value == pytest.approx(0.91, abs=0.005)  # ICC(3,4)
    assert ceiling.of_raters(JUDGES).method == "ICC(3,k)"
    some = np.vstack([JUDGES, [5, np.nan, np.nan, np.nan]])
    assert ceiling.of_raters(some).method == "ICC(1,k)" and ceiling.of_raters(some).count == 7
    # ICC(1,4) of the same judges, whose sums of squares are the paper's: between 11.24, within 6.26
    within = [[9, 2, 5, 8, np.nan]] + [[*row, np.nan] for row in JUDGES[1:].tolist()]
    assert ceiling.of_raters(np.array(within)).value == pytest.approx(1 - 6.26 / 11.24, abs=0.001)


@pytest.mark.parametrize("missing", [1, 60])
def test_a_raters_level_is_no_noise_where_ratings_are_missing(missing):
    rng = np.random.default_rng(0)
    complete = rng.normal(size=(100, 1)) + np.array([-3.0, 0.0, 3.0]) + rng.normal(0, 0.5, (100, 3))
    ratings = complete.copy()
    ratings.flat[rng.choice(300, missing, replace=False)] = np.nan
    found = ceiling.of_raters(ratings)
    assert found.method == "ICC(3,k) with missing ratings"
    kept = np.isfinite(ratings)[np.isfinite(ratings).any(axis=1)]
    level = (kept * [-3.0, 0.0, 3.0]).sum(axis=1) / kept.sum(axis=1)
    noise = (0.25 / kept.sum(axis=1)).mean() + level.var(ddof=1)
    spread = np.nanmean(ratings[np.isfinite(ratings).any(axis=1)], axis=1).var(ddof=1)
    assert found.value == pytest.approx(1 - noise / spread, abs=0.05)
    if missing == 1:
        assert found.value == pytest.approx(ceiling.of_raters(complete).value, abs=0.03)


def test_raters_without_a_common_image_have_no_levels():
    rng = np.random.default_rng(0)
    ratings = rng.normal(size=(60, 4))
    ratings[:30, 2:] = ratings[30:, :2] = np.nan
    assert ceiling.of_raters(ratings).method == "ICC(1,k)"


@pytest.mark.parametrize("ratings", [JUDGES, np.where(np.arange(24).reshape(6, 4) % 7 == 0, np.nan, JUDGES)])
def test_without_each_image(ratings):
    found = ceiling.of_raters(ratings).without
    assert found == pytest.approx([ceiling.of_raters(np.delete(ratings, i, axis=0)).value for i in range(6)])
    groups = np.array([0, 0, 1, 1, 2, 2])
    of_groups = ceiling.of_raters(ratings, groups).without
    assert of_groups == pytest.approx([ceiling.of_raters(ratings[groups != g]).value for g in range(3)])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
@pytest.mark.parametrize("reliability", [0.3, 0.6, 0.9])
def test_estimates_are_right_and_intervals_cover(row, reliability):
    found = simulate(row, reliability, images=300, simulations=60)
    if row.bound:
        assert found.estimate > reliability
        return
    assert abs(found.estimate - reliability) < 0.05
    assert found.covered >= 0.86 and found.share_covered >= 0.86  # .90 less 1.6 standard errors of 60 simulations


def test_without_shrinkage_the_formula_for_posteriors_would_be_wrong():
    rng = np.random.default_rng(0)
    true = rng.normal(size=4000)
    scores, certainty = ROWS[3].draw(rng, true, 0.4)
    std = certainty.std[:, 0]
    assert ceiling.of_standard_errors(scores, std, posterior=True).value == pytest.approx(0.4, abs=0.03)
    assert ceiling.of_standard_errors(scores, std).value < 0  # as if they were standard errors


def test_shares_are_not_clipped_and_undefined_ones_are_none():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(50, 1))
    samples = RegressionScores.of(scores * 0.99, scores, ["s"], np.zeros(1), np.ones(1))
    certain = ceiling.noise_ceiling(samples, Certainty(std=np.full((50, 1), 0.7)))["s"]
    assert certain["share_r2"] > 1 and certain["largest_pearson"] == pytest.approx(certain["reliability"] ** 0.5)
    noisy = ceiling.noise_ceiling(samples, Certainty(std=np.full((50, 1), 3.0)))["s"]
    assert noisy["reliability"] < 0 and noisy["share_r2"] is None and noisy["largest_pearson"] is None
    assert ceiling.noise_ceiling(samples, Certainty(std=np.full((50, 1), np.nan))) == {}
    few = ceiling.noise_ceiling(samples, Certainty(std=np.full((50, 1), 0.7)), groups=np.arange(50) % 3)["s"]
    assert few["intervals"]["reliability"] is None and few["intervals"]["share_r2"] is None
