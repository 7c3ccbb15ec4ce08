"""What classification and multi-label classification share: each output is a probability of something that has a name."""

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from torch import Tensor, nn

from deep_cnn.runtime.format import listed
from deep_cnn.tasks.base import Task
from deep_cnn.tasks.calibration import FITTED_ON, fit_temperature
from deep_cnn.tasks.metrics import ClassificationScores, MultilabelScores, Scored

MOST_LISTED = 12  # classes or labels that a paper's sentence names


@dataclass(frozen=True)
class NamedOutputs(Task):
    """The base of the two. `decoded` are probabilities.

    temperature: by which outputs are divided before they become probabilities; 1 while a network is trained, and for checkpoints of
    0.1.0. calibrated_on: validation images that it was fitted on; 0 where there was none.
    """

    temperature: float = 1.0
    calibrated_on: int = 0

    difference_unit = "in probability"

    def calibrated(self, outputs: np.ndarray, targets: np.ndarray) -> Self:
        some = np.linspace(0, len(outputs) - 1, min(len(outputs), FITTED_ON)).round().astype(np.int64)
        raw, truth = outputs[some].astype(np.float64), self.soft(self.encode(targets[some])).numpy()
        plain = self.uncalibrated()

        def gradient(inverse: float) -> float:  # of n x log loss, for softmax and sigmoid alike
            return float(((plain.decode(raw * inverse) - truth) * raw).sum())

        return dataclasses.replace(self, temperature=fit_temperature(gradient), calibrated_on=len(raw))

    def uncalibrated(self) -> Self:
        return dataclasses.replace(self, temperature=1.0, calibrated_on=0)

    def as_tested(self, test: dict[str, Any]) -> Self:
        found = test.get("calibration", {})  # version 0.1.0 has none
        return dataclasses.replace(
            self, temperature=found.get("temperature", 1.0), calibrated_on=found.get("validation_images", 0)
        )

    def scaled(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs divided by the temperature, float64 (N, K)."""
        divided: np.ndarray = outputs.astype(np.float64) / self.temperature
        return divided

    def _plain_losses(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Tensor, Tensor]:
        return super()._plain_losses(self.scaled(outputs), targets)

    def calibration_result(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """How it was calibrated, and the log loss without and with it.

        Returns:
            method; temperature; validation_images; loss_before, loss (nats).
        """
        return {
            "method": (
                f"temperature, fitted on {self.calibrated_on} validation images" if self.calibrated_on else "none"
            ),
            "temperature": self.temperature,
            "validation_images": self.calibrated_on,
            "loss_before": self.uncalibrated().validation_loss(outputs, targets),
            "loss": self.validation_loss(outputs, targets),
        }

    def activation(self) -> nn.Module:
        own = self._activation()
        return own if self.temperature == 1 else nn.Sequential(Divided(self.temperature), own)

    @abstractmethod
    def _activation(self) -> nn.Module:
        """Outputs that were divided by the temperature -> probabilities."""

    def _of_logits(self) -> str:
        """What is done to logits before the activation, in words."""
        return "" if self.temperature == 1 else f" after division by the temperature {self.temperature:.6g}"

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

    def few_names(self) -> str:
        """' (ants, bees)' for a sentence; '' where there are many names, or long ones."""
        text = ", ".join(self.names)
        return f" ({text})" if len(text) <= 60 else ""

    def listed_names(self) -> str:
        """' (ants and bees)' for a paper; '' where there are many names."""
        return f" ({listed(self.names)})" if len(self.names) <= MOST_LISTED else ""

    def output_text(self, output: int, value: float) -> str:
        return f"{self.names[output]} {100 * value:.0f}%"


class Divided(nn.Module):
    """Outputs (B, K) divided by the temperature."""

    def __init__(self, temperature: float):
        super().__init__()
        self.temperature = temperature

    def forward(self, outputs: Tensor) -> Tensor:
        """(B, K) -> (B, K)."""
        return outputs / self.temperature


def entropy_of(p: np.ndarray) -> np.ndarray:
    """What each probability contributes to an entropy, in nats."""
    parts: np.ndarray = -p * np.log(np.maximum(p, 1e-300))  # 0 ln 0 is 0
    return parts
