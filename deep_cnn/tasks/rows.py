"""What a table of predictions says of an image: for predictions_test.csv and for `predict`, so that they cannot disagree."""

from typing import Any

import numpy as np

from deep_cnn.tasks.base import Task


def columns(task: Task) -> list[str]:
    """Names of the columns that `cells` fills."""
    if task.kind == "scores":
        return [f"predicted_{name}" for name in task.names]
    return ["predicted", *(f"p_{name}" for name in task.names)]


def cells(task: Task, decoded: np.ndarray) -> list[list[Any]]:
    """A row per image: the class (or labels, ';' between them) and all probabilities; or the scores in their units.

    Args:
        decoded: float64 (n, K), as `task.decode` gives it.
    """
    values = decoded.tolist()
    if task.kind == "single":
        return [[task.names[best], *row] for best, row in zip(decoded.argmax(1), values, strict=True)]
    if task.kind == "multi":
        return [[";".join(n for n, p in zip(task.names, row, strict=True) if p >= 0.5), *row] for row in values]
    return values


def top_columns(count: int) -> list[str]:
    """Names of the columns that `top_cells` fills."""
    return [name for rank in range(1, count + 1) for name in (f"class_{rank}", f"p_{rank}")]


def top_cells(task: Task, decoded: np.ndarray, count: int) -> list[list[Any]]:
    """A row per image: the `count` most probable classes or labels, each with its probability; of equals the first."""
    best = np.argsort(-decoded, axis=1, kind="stable")[:, :count]  # (n, count)
    chosen = np.take_along_axis(decoded, best, axis=1).tolist()
    return [
        [v for c, p in zip(row, ps, strict=True) for v in (task.names[c], p)]
        for row, ps in zip(best, chosen, strict=True)
    ]


def uncertainty_columns(task: Task, several: bool) -> list[str]:
    """Names of the columns that `uncertainty_cells` fills. several: checkpoints or flips, so that there is a spread."""
    if task.kind == "scores":
        return [f"uncertainty_{name}" for name in task.names] if several else []
    return ["uncertainty", "spread"] if several else ["uncertainty"]


def uncertainty_cells(task: Task, decoded: np.ndarray) -> np.ndarray:
    """How unsure the network is of each image, float64 (n, number of `uncertainty_columns`).

    Args:
        decoded: of each checkpoint and flip, float64 (M, n, K).
    Returns:
        Scores: the standard deviation over the M, in the score's units. One class: the entropy of the mean probabilities
        in nats, 0 to ln K; labels: the mean entropy of a label, 0 to ln 2. With M > 1 also the standard deviation of the
        predicted class's probability, or the labels' mean one.
    """
    several, mean = len(decoded) > 1, decoded.mean(0)
    if task.kind == "scores":
        return decoded.std(0, ddof=1) if several else np.empty((len(mean), 0))
    entropy = _entropy(mean).sum(1) if task.kind == "single" else (_entropy(mean) + _entropy(1 - mean)).mean(1)
    if not several:
        return entropy[:, None]
    spread = decoded.std(0, ddof=1)  # (n, K)
    of_chosen = spread[np.arange(len(mean)), mean.argmax(1)] if task.kind == "single" else spread.mean(1)
    return np.stack([entropy, of_chosen], axis=1)


def _entropy(p: np.ndarray) -> np.ndarray:
    return -p * np.log(np.maximum(p, 1e-300))  # 0 ln 0 is 0
