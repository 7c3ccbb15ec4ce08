"""What there is too little of for the conclusions: optimizer steps, epochs, test images. Beside what learning curves say (advice.py).

Fewer than 5 errors, or 5 test images of a class, are told with the test's own numbers (result_text.cautions).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deep_cnn.config.defaults import SMALLEST_BATCH
from deep_cnn.config.registries import metric_row
from deep_cnn.runtime.format import plural, quantity

STEPS = 200  # fine-tuning with fewer usually gains from more; --batch_size=auto gives as many in 20 epochs
TEST_IMAGES = 100  # at 80% right, the interval is 8 points wide to each side


@dataclass(frozen=True)
class RunSize:
    """How much a finished run had.

    Attributes:
        epochs, steps: that were trained. best_epoch: whose weights were kept, from 0 on; None without validation.
        images: of each split, by its name. batch: images of a step. fold: whether it is one fold of a cross-validation, which is read as a whole.
        all_right: whether the best epoch made no error on the validation images, so that no longer training could be seen to be better.
        stopped_early: whether --patience ended it, so that more epochs would change nothing.
    """

    epochs: int
    steps: int
    best_epoch: int | None
    images: Mapping[str, int]
    batch: int
    fold: bool = False
    all_right: bool = False
    stopped_early: bool = False


def too_little(size: RunSize, test: dict[str, Any] | None, headline: Sequence[str]) -> list[str]:
    """Sentences, each with its number and what to do; empty if there is enough.

    Args:
        test: as in test.json, None without a test set. headline: metrics that stand for a result; the first that has an interval counts.
    """
    found = [] if size.all_right else [_few_steps(size), _best_is_last(size)]
    if test is not None and not size.fold:
        found += [_small_test(test, headline), _test_below_validation(size)]
    return [sentence for sentence in found if sentence]


def _few_steps(size: RunSize) -> str:
    if size.steps >= STEPS:
        return ""
    return (
        f"Only {plural(size.steps, 'optimizer step')} in {plural(size.epochs, 'epoch')}: fewer than about {STEPS} are rarely enough. "
        f"Use {'a larger --patience' if size.stopped_early else 'more --epochs'}"
        f"{'' if size.batch <= SMALLEST_BATCH else ', or a smaller --batch_size'}."
    )


def _best_is_last(size: RunSize) -> str:
    if size.best_epoch is None or size.epochs < 2 or size.best_epoch < size.epochs - 1:
        return ""
    return f"The best epoch ({size.best_epoch}, counted from 0) is the last one: training may have ended too early. Try more --epochs."


def _small_test(test: dict[str, Any], headline: Sequence[str]) -> str:
    if test["count"] >= TEST_IMAGES:
        return ""
    more = "With --folds=5, each image is tested by a network that was not trained on it."
    few = f"The test set has only {plural(test['count'], 'image')}"
    for name in headline:
        interval = test["intervals"].get(name)
        if interval:
            farthest = max(interval[1] - test[name], test[name] - interval[0])  # intervals are rarely symmetric
            width = f"{100 * farthest:.1f} points" if metric_row(name).share else quantity(farthest, digits=3)
            return f"{few}: {metric_row(name).label} is known to within {width} (95%). {more}"
    return f"{few}, and no interval. {more}"


def _test_below_validation(size: RunSize) -> str:
    test, validation = (size.images.get(split, 0) for split in ("test", "validation"))
    if test >= validation:
        return ""
    return (
        f"The test set ({plural(test, 'image')}) is smaller than the validation set ({validation:,}), although the final result comes from "
        "it. Use a larger --test_split or a smaller --val_split; where the validation images have a folder of their own, which no share "
        "changes, --test_folder=val --val_folder=none makes them the test set."
    )
