"""What a run had too little of is told with its number, and a run that had enough is told nothing."""

import dataclasses

import pytest

from deep_cnn.reporting.result_text import cautions
from deep_cnn.reporting.too_little import RunSize, too_little

ENOUGH = RunSize(epochs=10, steps=300, best_epoch=7, images={"train": 800, "validation": 150, "test": 150}, batch=32)
TEST = {"count": 150, "top1": 0.8, "intervals": {"top1": (0.72, 0.86), "loss": (0.4, 0.6)}}
CLASSES = ("top1", "loss")


def test_enough_is_told_nothing():
    assert too_little(ENOUGH, TEST, CLASSES) == []
    assert too_little(ENOUGH, None, CLASSES) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 199}, "Only 199 optimizer steps in 10 epochs"),
        (
            {"steps": 199, "stopped_early": True},
            "Only 199 optimizer steps in 10 epochs: fewer than about 200 are rarely enough. Use a larger --patience, or a ",
        ),
        ({"best_epoch": 9}, "The best epoch (9, counted from 0) is the last one"),
        (
            {"images": {"validation": 151, "test": 150}},
            "The test set (150 images) is smaller than the validation set (151)",
        ),
    ],
)
def test_each_is_told_alone_with_its_number(change, said):
    (found,) = too_little(dataclasses.replace(ENOUGH, **change), TEST, CLASSES)
    assert found.startswith(said) and "--" in found


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        ({"top1": (0.7, 0.95)}, "top-1 is known to within 20.0 points (95%)"),
        ({"top1": None, "loss": (0.4, 0.6)}, "loss is known to within 0.15 (95%)"),
        ({"top1": None}, "99 images, and no interval"),
    ],
)
def test_a_small_test_set_has_the_farther_end_of_its_interval_and_folds(intervals, said):
    (found,) = too_little(ENOUGH, {"count": 99, "top1": 0.9, "loss": 0.45, "intervals": intervals}, CLASSES)
    assert said in found and "--folds=5" in found


def test_a_fold_is_not_told_to_use_folds():
    fold = dataclasses.replace(ENOUGH, images={"validation": 90, "test": 20}, fold=True)
    assert too_little(fold, TEST | {"count": 20}, CLASSES) == []


def test_more_training_is_not_advised_where_all_validation_images_are_right():
    size = dataclasses.replace(ENOUGH, steps=25, best_epoch=9)
    assert len(too_little(size, TEST, CLASSES)) == 2
    assert too_little(dataclasses.replace(size, all_right=True), TEST, CLASSES) == []


def test_without_validation_no_epoch_is_the_best():
    size = RunSize(epochs=10, steps=300, best_epoch=None, images={"train": 800, "test": 150}, batch=32)
    assert too_little(size, TEST, CLASSES) == []
    assert too_little(dataclasses.replace(size, best_epoch=0, epochs=1), TEST, CLASSES) == []


def test_a_smaller_batch_is_advised_only_if_there_is_one():
    few = dataclasses.replace(ENOUGH, steps=20)
    assert "--batch_size" in too_little(few, TEST, CLASSES)[0]
    assert "--batch_size" not in too_little(dataclasses.replace(few, batch=8), TEST, CLASSES)[0]


def test_few_errors_are_a_caution_of_the_result():
    result = {"count": 200, "top1": 196 / 200}
    (said,) = cautions(result)
    assert said.startswith("Only 4 errors on 200 images") and cautions(result | {"top1": 195 / 200}) == []
    assert cautions({"count": 15, "top1": 1.0})[0].startswith("No error on 15 images: they are too few")
