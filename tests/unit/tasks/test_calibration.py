"""Temperature, thresholds and measures of calibration, against independent calculations and simulated networks."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import f1_score, log_loss

from deep_cnn.tasks.calibration import (
    calibration,
    confidences,
    debiased_squared_error,
    f1_threshold,
    fit_temperature,
    null_range,
)
from deep_cnn.tasks.classification import Classification
from deep_cnn.tasks.make import new_task, task_from_dict
from deep_cnn.tasks.multilabel import MultiLabel

CLASSES = Classification(("a", "b", "c"), "cross_entropy")
LABELS = MultiLabel(("a", "b"), "bce")


def drawn(n, k=3, spread=2.0, factor=1.0, seed=0):
    """Outputs that are `factor` times too large, and labels drawn from the right probabilities."""
    rng = np.random.default_rng(seed)
    right = spread * rng.normal(size=(n, k))
    p = np.exp(right) / np.exp(right).sum(1, keepdims=True)
    targets = (p.cumsum(1) > rng.random(n)[:, None]).argmax(1)
    return (factor * right).astype(np.float32), targets


@pytest.mark.parametrize(("factor", "sd", "low", "high"), [(3.0, 0.35, 2.0, 4.0), (0.4, 0.25, 0.4, 0.8)])
def test_the_temperature_is_the_minimum_of_the_loss_with_its_prior(factor, sd, low, high):
    outputs, targets = drawn(200, factor=factor)

    def objective(log_t):
        z = outputs.astype(np.float64) / np.exp(log_t)
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        return len(z) * log_loss(targets, p, labels=[0, 1, 2]) + log_t**2 / (2 * sd**2)

    expected = np.exp(minimize_scalar(objective, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x)
    task = CLASSES.calibrated(outputs, targets)
    assert task.temperature == pytest.approx(expected, rel=1e-5) and task.calibrated_on == 200
    assert low < task.temperature < high, "outputs were too large, or too small, by this factor"
    assert objective(np.log(task.temperature)) <= objective(0)


def test_the_temperature_of_labels_is_the_minimum_too():
    rng = np.random.default_rng(1)
    right = rng.normal(size=(100, 2))
    targets = (rng.random((100, 2)) < 1 / (1 + np.exp(-right))).astype(np.float32)
    outputs = 2 * right

    def objective(log_t):
        z = outputs / np.exp(log_t)
        return float(np.logaddexp(0, np.where(targets > 0, -z, z)).sum()) + log_t**2 / (2 * 0.35**2)

    expected = np.exp(minimize_scalar(objective, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x)
    assert LABELS.calibrated(outputs, targets).temperature == pytest.approx(expected, rel=1e-5)


def test_a_validation_set_that_is_all_right_does_not_ask_for_certainty():
    """Without the prior T would go to 0, and the first mistake of the test set cost everything."""
    outputs, targets = np.eye(3, dtype=np.float32)[np.arange(36) % 3] * 4, np.arange(36) % 3
    task = CLASSES.calibrated(outputs, targets)
    assert 0.6 < task.temperature < 1
    assert fit_temperature(lambda inverse: -1e9) == pytest.approx(np.exp(-3)), "stays in its range"
    assert fit_temperature(lambda inverse: 1e9) == pytest.approx(np.exp(3))


def test_what_is_calibrated_is_saved_and_used_and_changes_no_decision():
    outputs, targets = drawn(60, factor=3.0)
    task = CLASSES.calibrated(outputs, targets)
    again = task_from_dict(task.to_dict())
    assert again == task and np.array_equal(again.decode(outputs), task.decode(outputs))
    assert (task.decode(outputs).argmax(1) == CLASSES.decode(outputs).argmax(1)).all()
    z = torch.from_numpy(outputs).double() / task.temperature
    assert task.decode(outputs) == pytest.approx(z.softmax(1).numpy())
    assert task.validation_loss(outputs, targets) == pytest.approx(log_loss(targets, z.softmax(1).numpy()))
    assert task.scored(outputs, targets).scores()["loss"] == pytest.approx(task.validation_loss(outputs, targets))
    assert task.activation()(torch.tensor(outputs)).numpy() == pytest.approx(task.decode(outputs), abs=1e-6)
    assert "softmax after division by the temperature" in task.meaning(decoded=False)
    assert task.uncalibrated() == CLASSES


def test_a_checkpoint_of_before_has_the_temperature_1():
    old = {"kind": "single", "names": ["a", "b"], "loss": "cross_entropy", "label_smoothing": 0.0}
    task = task_from_dict(old)
    outputs = np.array([[1.0, 2.0]], np.float32)
    assert task.temperature == 1 and task.decode(outputs)[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert task.as_tested({"top1": 0.5}) == task


def test_the_result_says_what_the_temperature_did():
    outputs, targets = drawn(300, factor=3.0)
    found = CLASSES.calibrated(*drawn(300, factor=3.0, seed=1)).calibration_result(outputs, targets)
    assert found["loss"] < found["loss_before"] and found["ece"] < found["ece_before"]
    assert found["loss_before"] == pytest.approx(log_loss(targets, CLASSES.decode(outputs)))
    assert found["method"] == "temperature, fitted on 300 validation images"
    assert CLASSES.as_tested({"calibration": found}).temperature == found["temperature"]
    none = CLASSES.calibration_result(outputs, targets)
    assert (none["method"], none["temperature"], none["loss"]) == ("none", 1, none["loss_before"])


def test_the_threshold_has_the_best_f1_of_all():
    rng = np.random.default_rng(2)
    positive = rng.random(200) < 0.2
    p = 1 / (1 + np.exp(2.5 - 1.5 * positive - rng.normal(size=200)))
    found = f1_threshold(p, positive)
    best = max(f1_score(positive, p >= cut) for cut in p[::4])
    assert f1_score(positive, p >= found) >= best and found < 0.5


def test_too_few_positives_have_the_threshold_one_half():
    p = np.linspace(0, 1, 100)
    assert f1_threshold(p, p > 0.805) != 0.5 and f1_threshold(p, p > 0.815) == 0.5  # 20 positives, and 19
    assert f1_threshold(p, np.ones(100, bool)) == 0.5 and f1_threshold(np.full(100, 0.3), p > 0.5) == 0.5


def test_equally_good_thresholds_give_the_one_nearest_to_one_half():
    p, positive = np.repeat([0.1, 0.9], 30), np.repeat([False, True], 30)
    assert f1_threshold(p, positive) == 0.5
    everything = f1_threshold(np.repeat([0.2, 0.1], 30), np.repeat([True, False], 30))
    assert everything == pytest.approx(0.15)


def test_thresholds_decide_what_is_written_and_scored():
    task = new_task("multilabel", ("sky", "tree"))
    rng = np.random.default_rng(3)
    targets = (rng.random((200, 2)) < [0.15, 0.02]).astype(np.float32)
    outputs = (2 * targets - 3 + rng.normal(size=(200, 2))).astype(np.float32)
    fitted = task.calibrated(outputs, targets)
    assert fitted.thresholds[0] < 0.5 and fitted.thresholds[1] == 0.5, "4 trees are too few"
    decoded = fitted.decode(outputs)
    expected = f1_score(targets[:, 0], decoded[:, 0] >= fitted.thresholds[0])
    assert fitted.scored(outputs, targets).metrics()["per_class"]["sky"]["f1"] == pytest.approx(expected)
    assert fitted.scored(outputs, targets).scores()["macro_f1"] > task.scored(outputs, targets).scores()["macro_f1"]
    cut = fitted.thresholds[0]
    assert fitted.predicted(np.array([[cut, 0.49], [cut - 1e-9, 0.5]])) == ["sky", "tree"]
    assert fitted.caption(targets[0] * 0, np.array([cut, 0.0])) == "nothing, predicted sky"
    again = task_from_dict(fitted.to_dict())
    assert again == fitted and task.as_tested({"calibration": fitted.calibration_result(outputs, targets)}) == fitted
    assert fitted.uncalibrated() == task


def test_networks_of_other_thresholds_are_pooled_by_their_own():
    one, two = (MultiLabel(("a", "b"), "bce", thresholds=cuts) for cuts in ((0.2, 0.5), (0.8, 0.5)))
    decoded, targets = np.array([[0.5, 0.1]]), np.array([[1, 0]], np.float32)
    pooled = one.pooled([(one, decoded, targets), (two, decoded, targets)])
    assert pooled.predicted.tolist() == [[True, False], [False, False]]
    assert one.of_ensemble([one, two]).thresholds == pytest.approx((0.5, 0.5))


def test_the_error_of_right_probabilities_is_in_its_null_range_and_the_debiased_one_is_0():
    inside, debiased, eces = [], [], []
    for seed in range(150):
        outputs, targets = drawn(100, k=5, seed=seed)
        confidence, right = confidences(new_task("classification", "abcde").decode(outputs), targets)
        low, high = null_range(confidence, redrawn=200)
        eces.append(calibration(new_task("classification", "abcde").decode(outputs), targets)["ece"])
        inside.append(low <= eces[-1] <= high)
        debiased.append(debiased_squared_error(confidence, right))
    assert 0.90 < np.mean(inside) < 0.99
    assert np.mean(eces) > 0.05, "without a null it looks like an error of 5 points and more"
    assert abs(np.mean(debiased)) < 3 * np.std(debiased) / np.sqrt(len(debiased))


def test_the_debiased_error_finds_a_wrong_confidence():
    confidence, right = np.full(2000, 0.9), np.random.default_rng(0).random(2000) < 0.7
    assert debiased_squared_error(confidence, right) == pytest.approx(0.04, abs=0.01)
    assert null_range(confidence)[1] < 0.05
    assert debiased_squared_error(confidence[:1], right[:1]) is None


def test_the_null_is_that_of_calibration_itself():
    """Redrawn labels, scored by `calibration`, have the quantiles that `null_range` says."""
    outputs, _ = drawn(80, k=4, seed=5)
    p = new_task("classification", "abcd").decode(outputs)
    rng = np.random.default_rng(1)
    found = [calibration(p, (p.cumsum(1) > rng.random(80)[:, None]).argmax(1))["ece"] for _ in range(600)]
    assert null_range(p.max(1)) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.012)
