"""Subgroups of raters: their mean ratings against pandas, metrics and paired differences against formulas, and what is said."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from deep_cnn.data.rater_groups import with_mean_ratings
from deep_cnn.data.rows import Rows
from deep_cnn.data.table import Table
from deep_cnn.reporting.rater_groups import rater_group_lines
from deep_cnn.runtime.errors import DataError
from deep_cnn.tasks.rater_groups import rater_group_result
from deep_cnn.tasks.regression import Regression

TASK = Regression(("score",), "mse", mean=(5.0,), std=(2.0,))


def long_table(n=60, seed=0, bias=1.0, raters=("women", "men", "men", "other")):
    """Ratings of n images; men's are `bias` higher; others rated 5 images; shuffled rows."""
    rng = np.random.default_rng(seed)
    truth, rows = rng.normal(5, 2, n), []
    for k, who in enumerate(raters):
        for i in range(5 if who == "other" else n):
            rows.append((i, who, round(float(truth[i] + bias * (who == "men") + rng.normal(0, 0.5)), 3), f"r{k}"))
    frame = pd.DataFrame(rows, columns=["file", "gender", "score", "rater"]).sample(frac=1, random_state=seed)
    frame.index = np.arange(2, len(frame) + 2)
    return frame, truth + np.random.default_rng(9).normal(0, 0.3, n)


def read(frame, column="gender"):
    table = Table("ratings.csv", frame.astype(str), "", ())
    positions = frame["file"].to_numpy(dtype=np.int64) * 3  # not every file has a row
    return with_mean_ratings(Rows(table, positions, np.ones(1, bool), ("score",), []), column)


def test_means_are_those_of_pandas():
    frame, _ = long_table()
    frame.loc[frame.index[3], "score"] = np.nan
    rows, found, notes = read(frame.astype({"score": object}).fillna({"score": ""}))
    frame["score"] = frame["score"].astype(float)
    assert found.names == ("men", "other", "women") and found.means.shape == (60, 3, 1)
    wide = frame.pivot_table(index="file", columns="gender", values="score", aggfunc=["mean", "count"]).sort_index()
    for g, name in enumerate(found.names):
        np.testing.assert_allclose(found.means[:, g, 0], wide["mean"][name])
        assert found.counts[:, g, 0].tolist() == wide["count"][name].fillna(0).astype(int).tolist()
    mean = frame.groupby("file")["score"].mean()
    assert rows.table.frame["score"].astype(float).to_numpy() == pytest.approx(mean[frame["file"]].to_numpy())
    assert "184 ratings of 60 images by 3 subgroups (men, other, women)" in notes[-1]


def test_ratings_without_a_subgroup_count_for_the_mean_alone():
    frame, _ = long_table()
    first = frame.index[frame["gender"] == "women"][0]
    frame.loc[first, "gender"] = ""
    rows, found, notes = read(frame)
    file = int(frame.loc[first, "file"])
    assert np.isnan(found.means[file, 2, 0]) and found.counts[file, 2, 0] == 0
    assert float(rows.table.frame.loc[first, "score"]) == pytest.approx(frame[frame["file"] == file]["score"].mean())
    assert any("1 rating without a subgroup" in note for note in notes)


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("gendr", None, "--rater_group=gendr: ratings.csv has no such column. Did you mean gender"),
        ("score", None, "this is the column of the ratings"),
        ("gender", ("gender", "women"), "all ratings are of 'women'"),
        ("gender", ("gender", ""), "all cells are empty"),
        ("gender", ("score", "good"), "'good' in line 2 is not a number"),
    ],
)
def test_mistakes(column, change, said):
    frame, _ = long_table()
    with pytest.raises(DataError, match=r"^--") as found:
        read(frame if change is None else frame.assign(**{change[0]: change[1]}), column)
    assert said in str(found.value) and "\n" not in str(found.value)


def test_metrics_of_subgroups_and_their_paired_difference():
    frame, predicted = long_table()
    _, ratings, _ = read(frame)
    found = rater_group_result(TASK.scored_decoded, predicted[:, None], ratings)
    assert found["column"] == "gender" and found["left_out"] == {"other": 5}
    errors = {}
    for name, g, total in (("men", 0, 120), ("women", 2, 60)):
        about, errors[name] = found["per_group"][name], np.abs(predicted - ratings.means[:, g, 0])
        assert about["count"] == 60 and about["ratings"] == total
        assert about["mae"] == pytest.approx(errors[name].mean())
        assert about["pearson"] == pytest.approx(np.corrcoef(predicted, ratings.means[:, g, 0])[0, 1])
        assert about["intervals"]["mae"][0] < about["mae"] < about["intervals"]["mae"][1]
    (pair,) = found["differences"]
    assert (pair["of"], pair["less"], pair["count"], pair["ratings_per_image"]) == ("men", "women", 60, [2.0, 1.0])
    change = errors["men"] - errors["women"]
    said = pair["metrics"]["mae"]
    assert said["value"] == pytest.approx(change.mean())
    # of a mean, the jackknife is the t interval of paired differences
    assert said["interval"] == pytest.approx(stats.t.interval(0.95, 59, change.mean(), stats.sem(change)))
    assert said["p"] == pytest.approx(stats.ttest_1samp(change, 0).pvalue)
    assert said["interval"][0] > 0, "men's ratings are 1 higher than what is predicted"


def test_subgroups_that_do_not_differ_have_a_difference_around_0():
    frame, predicted = long_table(bias=0.0, raters=("a", "b"))
    _, ratings, _ = read(frame)
    (pair,) = rater_group_result(TASK.scored_decoded, predicted[:, None], ratings)["differences"]
    for metric in ("mae", "rmse", "r2", "pearson", "spearman"):
        low, high = pair["metrics"][metric]["interval"]
        assert low < 0 < high, metric


def test_pairs_of_many_subgroups_are_with_the_largest():
    frame, predicted = long_table(raters=("a", "b", "c", "d", "e", "f", "f"))
    _, ratings, _ = read(frame)
    found = rater_group_result(TASK.scored_decoded, predicted[:, None], ratings)
    assert [(pair["of"], pair["less"]) for pair in found["differences"]] == [(name, "f") for name in "abcde"]


def test_subgroups_that_rated_other_images_have_no_difference():
    frame, predicted = long_table(raters=("women", "men"))
    frame = frame[(frame["file"] < 30) == (frame["gender"] == "women")]
    _, ratings, _ = read(frame)
    found = rater_group_result(TASK.scored_decoded, predicted[:, None], ratings)
    assert found["differences"] == [{"of": "men", "less": "women", "count": 0, "metrics": {}}]
    assert "gender men minus women: 0 images that both have rated, too few for a difference" in rater_group_lines(found)


def test_lines():
    frame, predicted = long_table()
    _, ratings, _ = read(frame)
    men, women, pair, noise, left = rater_group_lines(
        rater_group_result(TASK.scored_decoded, predicted[:, None], ratings)
    )
    assert men.startswith("gender men: 60 images, 120 ratings: MAE ") and "R2 " in women and "[" in women
    assert pair.startswith("gender men minus women, on 60 images that both have rated: MAE +")
    assert "2 and 1 ratings an image" in noise
    assert left == "gender: subgroups with fewer than 20 images are left out: other (5)"
