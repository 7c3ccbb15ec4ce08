"""--console=tutorial: what PyTorch's tutorial "Training a classifier" prints, in its words."""

from typing import Any

EVERY = 2000  # mini-batches between two lines of loss, as there


def due(step: int, steps: int) -> bool:
    """Whether a line of loss follows the step-th of an epoch's `steps` mini-batches: at its end, where EVERY is never reached."""
    return step % EVERY == 0 or (step == steps < EVERY)


def loss_line(epoch: int, step: int, loss: float) -> str:
    """epoch from 0; step: mini-batches of it so far; loss: mean of those since the last line."""
    return f"[{epoch + 1}, {step:5d}] loss: {loss:.3f}"


def result_lines(result: dict[str, Any]) -> list[str]:
    """The accuracy of a test set of single classes, as in test.json, whole per cent rounded down; then that of each class."""
    if "per_class" not in result or "top1" not in result:
        return []
    percent = 100 * round(result["top1"] * result["count"]) // result["count"]
    first = f"Accuracy of the network on the {result['count']} test images: {percent} %"
    return [first] + [
        f"Accuracy for class: {name:5s} is {100 * scores['recall']:.1f} %"
        for name, scores in result["per_class"].items()
        if scores["recall"] is not None  # a class without test images
    ]
