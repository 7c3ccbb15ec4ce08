"""Metrics against scikit-learn and scipy, and the cases in which a metric does not exist."""

import json
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from deep_cnn.runtime.errors import DataError, NonFiniteLoss
from deep_cnn.tasks.calibration import calibration
from deep_cnn.tasks.metrics import ClassificationScores, MultilabelScores
from deep_cnn.tasks.score_metrics import RegressionScores


def classification_metrics(*predictions) -> dict:
    return ClassificationScores.of(*predictions).metrics()


def multilabel_metrics(*predictions) -> dict:
    return MultilabelScores.of(*predictions).metrics()


def regression_metrics(*predictions) -> dict:
    return RegressionScores.of(*predictions).metrics()


@pytest.fixture(autouse=True)
def no_warnings():
    """Metrics that warn do so every epoch."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def class_predictions(n=300, k=9, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    targets = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(dtype), targets, [f"class {i}" for i in range(k)]


def test_classification_agrees_with_sklearn():
    probabilities, targets, classes = class_predictions(dtype=np.float64)
    found = classification_metrics(probabilities, targets, classes)
    predicted = probabilities.argmax(axis=1)
    assert found["loss"] == pytest.approx(sk.log_loss(targets, probabilities), rel=1e-12)
    assert found["top1"] == pytest.approx(sk.accuracy_score(targets, predicted))
    assert found["top5"] == pytest.approx(sk.top_k_accuracy_score(targets, probabilities, k=5))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(targets, predicted))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"))
    precision, recall, f1, count = sk.precision_recall_fscore_support(targets, predicted)
    for k, name in enumerate(classes):
        expected = {"precision": precision[k], "recall": recall[k], "f1": f1[k], "count": count[k]}
        assert found["per_class"][name] == pytest.approx(expected)
    matrix = ClassificationScores.of(probabilities, targets, classes).confusion()
    assert (matrix == sk.confusion_matrix(targets, predicted)).all()


def test_weighted_kappa_of_an_ordinal_scale_agrees_with_sklearn():
    probabilities, targets, _ = class_predictions()
    ratings = [2, 3, 10, 1, 5, 4, 9, 7, 6]  # as folders may have them, their names sorted as text or not at all
    samples = ClassificationScores.of(probabilities, targets, [str(rating) for rating in ratings])
    for indices in (np.arange(300), np.random.default_rng(1).integers(300, size=300)):
        true, said = (np.array(ratings)[k[indices]] for k in (targets, probabilities.argmax(axis=1)))
        expected = sk.cohen_kappa_score(true, said, labels=sorted(ratings), weights="quadratic")
        assert samples.scores(indices)["quadratic_weighted_kappa"] == pytest.approx(expected, rel=1e-12)
    assert "quadratic_weighted_kappa" in samples.metrics()


def test_weighted_kappa_is_undefined_where_all_is_one_class_and_absent_where_classes_have_no_order():
    probabilities, targets = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 0])
    assert classification_metrics(probabilities, targets, ["1", "2"])["quadratic_weighted_kappa"] is None
    assert "quadratic_weighted_kappa" not in classification_metrics(probabilities, targets, ["1", "two"])


@pytest.mark.parametrize("k", [2, 5, 6])
def test_there_is_a_top5_where_it_says_something(k):
    probabilities, targets, classes = class_predictions(n=50, k=k)
    found = classification_metrics(probabilities, targets, classes)
    assert ("top5" in found) == (k > 5)
    assert found["top1"] == pytest.approx((probabilities.argmax(axis=1) == targets).mean())


def test_equal_probabilities_are_no_hit_for_every_class():
    probabilities = np.full((7, 7), 1 / 7, np.float32)
    found = classification_metrics(probabilities, np.arange(7), list("abcdefg"))
    assert found["top1"] == pytest.approx(1 / 7)
    assert found["top5"] == pytest.approx(5 / 7)


def test_absent_classes_are_left_out_of_means_but_wrong_predictions_count():
    probabilities = np.eye(4)[[0, 0, 1, 2]]  # class 3 neither occurs nor is predicted, class 2 is only predicted
    targets = np.array([0, 0, 1, 1])
    found = classification_metrics(probabilities, targets, list("abcd"))
    assert found["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found["macro_f1"] == pytest.approx(sk.f1_score(targets, probabilities.argmax(axis=1), average="macro"))
    assert found["per_class"]["c"] == {"precision": 0.0, "recall": None, "f1": 0.0, "count": 0}
    assert found["per_class"]["d"] == {"precision": None, "recall": None, "f1": None, "count": 0}


def test_one_sample():
    found = classification_metrics(np.array([[0.2, 0.8]]), np.array([1]), ["a", "b"])
    assert (found["top1"], found["balanced_accuracy"], found["macro_f1"]) == (1.0, 1.0, 1.0)
    found = regression_metrics(np.array([[3.0]]), np.array([[5.0]]), ["score"], [4.0])
    assert (found["mae"], found["rmse"], found["r2"], found["pearson"], found["spearman"]) == (2, 2, None, None, None)


def test_a_probability_of_zero_gives_a_finite_loss():
    loss = classification_metrics(np.array([[1.0, 0.0]], np.float32), np.array([1]), ["a", "b"])["loss"]
    assert 80 < loss < 110
    assert multilabel_metrics(np.array([[1.0]], np.float32), np.array([[0.0]]), ["a"])["loss"] == pytest.approx(
        16.6, abs=0.1
    )


def test_nan_is_no_hit():
    with pytest.raises(NonFiniteLoss, match="1 of 2 images"):
        classification_metrics(np.array([[np.nan, np.nan], [0.5, 0.5]]), np.array([0, 1]), ["a", "b"])
    with pytest.raises(NonFiniteLoss):
        regression_metrics(np.array([[np.inf]]), np.array([[1.0]]), ["score"], [0.0])


def test_an_empty_split_is_told():
    with pytest.raises(DataError, match="--test_split"):
        classification_metrics(np.zeros((0, 2)), np.zeros(0, int), ["a", "b"])
    with pytest.raises(DataError):
        regression_metrics(np.zeros((0, 1)), np.zeros((0, 1)), ["score"], [0.0])
    with pytest.raises(DataError):
        multilabel_metrics(np.zeros((0, 2)), np.zeros((0, 2)), ["a", "b"])


def test_scores_of_a_resample_equal_those_of_the_copied_samples():
    probabilities, targets, classes = class_predictions()
    indices = np.random.default_rng(1).integers(len(targets), size=200)
    found = ClassificationScores.of(probabilities, targets, classes).scores(indices)
    copied = classification_metrics(probabilities[indices], targets[indices], classes)
    assert found == {name: copied[name] for name in found}


def test_multilabel_agrees_with_sklearn_in_all_and_in_resamples():
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.02]).astype(np.float32)
    probabilities = np.round(0.6 * rng.random((400, 6)) + 0.35 * targets, 2)  # rounded: ties between the two kinds
    names = list("abcdef")
    samples = MultilabelScores.of(probabilities, targets, names)
    for indices in (np.arange(400), rng.integers(400, size=400), rng.integers(400, size=100)):
        p, t = probabilities[indices], targets[indices]
        found = samples.scores(indices)
        present = t.any(axis=0)
        assert found["map"] == pytest.approx(sk.average_precision_score(t[:, present], p[:, present]))
        f1 = sk.f1_score(t, p >= 0.5, average=None, zero_division=np.nan)
        assert found["macro_f1"] == pytest.approx(np.nanmean(f1))
        assert found["micro_f1"] == pytest.approx(sk.f1_score(t, p >= 0.5, average="micro"))
        expected = np.mean([sk.log_loss(t[:, k], p[:, k], labels=[0, 1]) for k in range(6)])
        assert found["loss"] == pytest.approx(expected)
    per_class = samples.metrics()["per_class"]
    assert per_class["b"]["average_precision"] == pytest.approx(
        sk.average_precision_score(targets[:, 1], probabilities[:, 1])
    )
    assert per_class["b"]["precision"] == pytest.approx(sk.precision_score(targets[:, 1], probabilities[:, 1] >= 0.5))


def test_multilabel_without_one_label_and_without_any():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.3]])
    found = multilabel_metrics(probabilities, np.array([[1, 0], [0, 0]]), ["a", "b"])
    assert (found["map"], found["macro_f1"]) == (1.0, 1.0)
    assert found["per_class"]["b"]["average_precision"] is None
    assert multilabel_metrics(probabilities, np.zeros((2, 2)), ["a", "b"])["map"] is None


def scores_with_gaps(n=250, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(n, 3)) * [1, 100, 1e6] + [5, 0, 3e6]
    targets[:, 1] = np.round(targets[:, 1], -1)  # ties
    predictions = 0.7 * targets + rng.normal(size=(n, 3)) * [0.5, 50, 5e5]
    targets[rng.random((n, 3)) < [0, 0.3, 0.6]] = np.nan
    return predictions, targets, ["safety", "beauty", "price"]


def test_regression_agrees_with_sklearn_and_scipy_and_masks_missing_targets():
    predictions, targets, names = scores_with_gaps()
    train_mean = np.array([4.5, 3.0, 2.9e6])
    found = regression_metrics(predictions, targets, names, train_mean)
    for t, name in enumerate(names):
        kept = ~np.isnan(targets[:, t])
        x, y = predictions[kept, t], targets[kept, t]
        expected = {
            "mae": sk.mean_absolute_error(y, x),
            "rmse": sk.root_mean_squared_error(y, x),
            "r2": sk.r2_score(y, x),
            "pearson": stats.pearsonr(x, y)[0],
            "spearman": stats.spearmanr(x, y)[0],
            "count": kept.sum(),
        }
        baseline = found["per_target"][name]["mean_predictor"]
        assert {k: found["per_target"][name][k] for k in expected} == pytest.approx(expected)
        assert baseline["mae"] == pytest.approx(np.abs(y - train_mean[t]).mean())
        assert baseline["rmse"] == pytest.approx(np.sqrt(((y - train_mean[t]) ** 2).mean()))
    for metric in ("r2", "pearson", "spearman"):
        assert found[metric] == pytest.approx(np.mean([found["per_target"][name][metric] for name in names]))


def test_errors_in_different_units_have_no_mean_but_in_standard_deviations():
    predictions, targets, names = scores_with_gaps()
    mean, std = np.nanmean(targets, 0), np.nanstd(targets, 0)
    mixed = RegressionScores.of(predictions, targets, names, mean, std)
    assert not {"mae", "rmse"} & (mixed.metrics().keys() | mixed.metrics()["mean_predictor"].keys())
    assert "mae" not in mixed.scores() and "price/mae" in mixed.scores()
    scaled = [np.nanmean(np.abs(predictions[:, t] - targets[:, t])) / std[t] for t in range(3)]
    assert mixed.metrics()["mae_sd"] == pytest.approx(np.mean(scaled))
    assert mixed.metrics()["per_target"]["price"]["mae_sd"] == pytest.approx(scaled[2])
    trivial = [np.nanmean(np.abs(mean[t] - targets[:, t])) / std[t] for t in range(3)]
    assert mixed.metrics()["mean_predictor"]["mae_sd"] == pytest.approx(np.mean(trivial))
    shared = RegressionScores.of(predictions, targets, names, mean, std, one_unit=True).metrics()
    for found in (shared, shared["mean_predictor"]):
        of_targets = [v if found is shared else v["mean_predictor"] for v in shared["per_target"].values()]
        assert found["mae"] == pytest.approx(np.mean([values["mae"] for values in of_targets]))
    alone = RegressionScores.of(predictions[:, :1], targets[:, :1], names[:1], mean[:1], std[:1]).metrics()
    assert alone["mae"] > 0 and "mae_sd" not in alone


def test_regression_scores_of_a_resample_equal_those_of_the_copied_samples():
    predictions, targets, names = scores_with_gaps()
    indices = np.random.default_rng(1).integers(len(targets), size=90)
    found = RegressionScores.of(predictions, targets, names, np.zeros(3)).scores(indices)
    copied = RegressionScores.of(predictions[indices], targets[indices], names, np.zeros(3)).scores()
    assert found == pytest.approx(copied, rel=1e-12)
    kept = indices[~np.isnan(targets[indices, 1])]
    expected = stats.spearmanr(predictions[kept, 1], targets[kept, 1])[0]
    assert found["beauty/spearman"] == pytest.approx(expected)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1, -1e-9])
def test_constant_predictions_and_constant_targets_have_no_correlation(constant):
    varying, fixed = np.linspace(0, 1, 1001)[:, None], np.full((1001, 1), constant)
    found = regression_metrics(fixed, varying, ["score"], [0.5])
    assert (found["pearson"], found["spearman"]) == (None, None)
    assert found["r2"] == pytest.approx(sk.r2_score(varying, fixed))
    found = regression_metrics(varying, fixed, ["score"], [0.5])
    assert (found["r2"], found["pearson"], found["spearman"]) == (None, None, None)


def test_a_collapsed_target_does_not_hide_in_the_mean_and_an_unmeasured_one_does_not_spoil_it():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(20, 3))
    predictions = targets + 0.1 * rng.normal(size=(20, 3))
    targets[:, 2] = np.nan
    found = regression_metrics(predictions, targets, list("abc"), np.zeros(3))
    assert found["r2"] == pytest.approx((found["per_target"]["a"]["r2"] + found["per_target"]["b"]["r2"]) / 2)
    assert found["per_target"]["c"]["mae"] is None and found["per_target"]["c"]["count"] == 0
    predictions[:, 1] = 0.3
    found = regression_metrics(predictions, targets, list("abc"), np.zeros(3))
    assert found["pearson"] is None and found["per_target"]["a"]["pearson"] > 0.9


def test_shapes_that_would_broadcast_are_our_bug():
    with pytest.raises(AssertionError):
        regression_metrics(np.zeros((5, 1)), np.zeros(5), ["score"], [0.0])


def test_calibration_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4], [0.3, 0.7]])
    found = calibration(probabilities, np.array([0, 1, 0, 1]), bins=10)
    # (0.9, 1]: two of confidence 0.95, one right; (0.5, 0.6]: 0.6, right; (0.6, 0.7]: 0.7, right
    assert found["ece"] == pytest.approx((2 * 0.45 + 0.4 + 0.3) / 4)
    assert [row["count"] for row in found["bins"]] == [0, 0, 0, 0, 0, 1, 1, 0, 0, 2]
    assert found["bins"][9] == pytest.approx({"low": 0.9, "high": 1, "count": 2, "confidence": 0.95, "accuracy": 0.5})
    assert found["bins"][0]["accuracy"] is None


def test_calibration_counts_certain_and_single_class_rows_once():
    found = calibration(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
    assert found["ece"] == 0.5 and found["bins"][-1]["count"] == 2 and len(found["bins"]) == 15


def test_all_values_are_plain():
    probabilities, targets, classes = class_predictions()
    labels = (np.arange(300)[:, None] % np.arange(2, 11) == 0).astype(int)
    predictions, scores, names = scores_with_gaps()
    for result in (
        classification_metrics(probabilities, targets, classes),
        multilabel_metrics(probabilities, labels, classes),
        regression_metrics(predictions, scores, names, np.zeros(3)),
        calibration(probabilities, targets),
    ):
        assert json.loads(json.dumps(result, allow_nan=False)) == result
