"""What classification and multi-label classification share: each output is a probability of something that has a name."""

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from deep_cnn.tasks.base import Task
from deep_cnn.tasks.metrics import ClassificationScores, MultilabelScores, Scored


@dataclass(frozen=True)
class NamedOutputs(Task):
    """The base of the two. `decoded` are probabilities."""

    difference_unit = "in probability"

    @abstractmethod
    def scored_decoded(self, decoded: np.ndarray, targets: np.ndarray) -> ClassificationScores | MultilabelScores: ...

    def scored(self, outputs: np.ndarray, targets: np.ndarray) -> Scored:
        # of the outputs themselves: a probability that was rounded to 0 has lost how wrong it was, and the mean loss would
        # lie outside its own interval
        losses, _ = self._plain_losses(outputs, targets)
        return dataclasses.replace(self.scored_decoded(self.decode(outputs), targets), loss=losses.numpy())

    def largest_difference(self, ours: np.ndarray, theirs: np.ndarray) -> float:
        return float(np.abs(ours - theirs).max())

    @property
    def decoded_columns(self) -> list[str]:
        return [f"p_{name}" for name in self.names]

    @property
    def truth_columns(self) -> list[str]:
        return ["target"]

    def columns(self, top: int | None = None) -> list[str]:
        if top is None:
            return ["predicted", *self.decoded_columns]
        return [name for rank in range(1, min(top, self.outputs) + 1) for name in (f"class_{rank}", f"p_{rank}")]

    def cells(self, decoded: np.ndarray, top: int | None = None) -> list[list[Any]]:
        """All probabilities behind what is predicted; or the `top` most probable, each with its own; of equals the first."""
        if top is None:
            return [[said, *row] for said, row in zip(self.predicted(decoded), decoded.tolist(), strict=True)]
        best = np.argsort(-decoded, axis=1, kind="stable")[:, : min(top, self.outputs)]  # (n, top)
        chosen = np.take_along_axis(decoded, best, axis=1).tolist()
        return [
            [v for c, p in zip(row, ps, strict=True) for v in (self.names[c], p)]
            for row, ps in zip(best, chosen, strict=True)
        ]

    @abstractmethod
    def predicted(self, decoded: np.ndarray) -> list[str]:
        """The class of each image, or its labels with ';' between them."""

    def uncertainty_columns(self, several: bool) -> list[str]:
        return ["uncertainty", "spread"] if several else ["uncertainty"]

    def uncertainty_cells(self, decoded: np.ndarray) -> np.ndarray:
        """The entropy of the mean probabilities in nats; with M > 1 also the standard deviation of what is predicted."""
        mean = decoded.mean(0)
        unsure = self.entropy(mean)[:, None]
        if len(decoded) == 1:
            return unsure
        return np.concatenate([unsure, self.spread(decoded.std(0, ddof=1), mean)[:, None]], axis=1)

    @abstractmethod
    def entropy(self, probabilities: np.ndarray) -> np.ndarray:
        """Of each image, float64 (n,), in nats."""

    @abstractmethod
    def spread(self, deviations: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Of each image, float64 (n,), from the standard deviations and the means of its probabilities, (n, K)."""

    def output_text(self, output: int, value: float) -> str:
        return f"{self.names[output]} {100 * value:.0f}%"


def entropy_of(p: np.ndarray) -> np.ndarray:
    """What each probability contributes to an entropy, in nats."""
    parts: np.ndarray = -p * np.log(np.maximum(p, 1e-300))  # 0 ln 0 is 0
    return parts
