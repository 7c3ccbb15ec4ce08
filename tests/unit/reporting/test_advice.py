"""Each sentence of advice appears where its curve was planted, with its numbers, and nowhere else."""

import numpy as np

from deep_cnn.reporting.advice import advise
from deep_cnn.tasks.base import Chance
from deep_cnn.tasks.make import new_task


def rows(train, validation, top1=None, **columns):
    table = {"train_loss": train, "val_loss": validation, **({"val_top1": top1} if top1 is not None else {}), **columns}
    return [{"epoch": e, "lr": 1e-3} | {k: float(v[e]) for k, v in table.items()} for e in range(len(train))]


def top1(table, chance=Chance(0.5, "always predicting 'ant'")):
    return advise(table, select="top1", higher_is_better=True, chance=chance)


E10 = np.arange(10)
SATURATED = np.minimum(0.9, 0.6 + 0.1 * E10)


def test_a_good_run_needs_no_advice():
    assert top1(rows(2 * 0.7**E10, 1 + 0.8**E10, SATURATED)) == []


def test_overfitting_names_the_epoch_of_the_lowest_validation_loss():
    validation = 1 + 0.1 * np.abs(E10 - 3)
    (said,) = top1(rows(2 * 0.7**E10, validation, SATURATED))
    assert said.startswith("Overfitting from epoch 3:") and "from 1 to 1.55" in said


def test_a_wobble_of_the_validation_loss_is_no_overfitting():
    validation = np.array([0.188, 0.204, 0.204, 0.197])  # of 153 photographs
    assert top1(rows(np.array([0.44, 0.14, 0.07, 0.05]), validation, np.full(4, 0.93))) == []


def test_a_validation_loss_that_rises_with_the_training_loss_is_instability():
    losses = np.array([2, 1.0, 0.8, 1.5, 2, 2.2, 2.1, 2.2, 2.4, 2.4])
    (said,) = top1(rows(losses, losses, SATURATED))
    assert said.startswith("Training became unstable") and "epoch 2" in said


def test_still_improving_needs_a_gain_beyond_a_wobble():
    steady = 0.6 + 0.03 * E10
    (said,) = top1(rows(2 * 0.7**E10, 1 + 0.8**E10, steady))
    assert said.startswith("Still improving") and "81.0%" in said and "87.0%" in said  # epochs 7 and 9
    wobble = np.where(E10 < 9, SATURATED, 0.901)
    assert top1(rows(2 * 0.7**E10, 1 + 0.8**E10, wobble)) == []


def test_the_loss_never_moved():
    flat = np.full(5, 2.303) - 0.001 * np.arange(5)
    said = top1(rows(flat, flat, np.full(5, 0.6)))
    assert len(said) == 1 and said[0].startswith("The training loss did not change") and "--lr=auto" in said[0]
    assert not top1(rows(flat[:2], flat[:2], np.full(2, 0.6)))  # two epochs are no evidence


def test_below_the_majority_class():
    (said,) = top1(rows(2 * 0.7**E10, 1 + 0.8**E10, np.full(10, 0.48)))
    assert "always predicting 'ant'" in said and "48.0%" in said and "50.0%" in said


def test_a_loss_above_that_of_knowing_nothing():
    """A learnt class more often than chance does not excuse it; two epochs are enough."""
    chance = new_task("classification", "abc").chance(np.array([0, 0, 1, 2]))
    assert chance[:2] == (0.5, "always predicting 'a'") and np.isclose(chance.loss, 1.5 * np.log(2))
    table = rows(np.array([4.0, 2.0]), np.array([3639.0, 7.1]), np.array([0.3, 0.52]))
    arguments = {"select": "top1", "higher_is_better": True, "chance": chance}
    (said,) = advise(table, **arguments)
    assert "lowest validation loss is 7.1 (epoch 1)" in said and "1.04" in said
    table[0]["val_loss"] = 1.0  # was better once: then the rest is overfitting's to say
    assert advise(table, **arguments) == []


def test_below_the_mean_predictor_names_the_target():
    columns = {"val_r2": np.full(5, 0.2), "val_price/r2": np.full(5, -0.1), "val_area/r2": np.full(5, 0.5)}
    validation = np.array([1, 0.9, 0.8, 0.8, 0.8])
    (said,) = advise(rows(validation * 0.9, validation, **columns), select="loss", higher_is_better=False)
    assert "of price" in said and "-0.100" in said


def test_no_validation_and_no_epochs():
    assert top1([]) == [] and top1([{"epoch": 0, "lr": 1.0, "train_loss": 1.0}] * 4) != []
