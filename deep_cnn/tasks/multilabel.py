"""Multi-label classification: several labels per image, or none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.data.balance import balanced
from deep_cnn.data.split import Strata
from deep_cnn.tasks.base import Chance, Mistake
from deep_cnn.tasks.metrics import MultilabelScores
from deep_cnn.tasks.named import NamedOutputs, entropy_of
from deep_cnn.tasks.suspects import Suspect, confident_classes


@dataclass(frozen=True)
class MultiLabel(NamedOutputs):
    """Targets are 0 or 1 of each label, float32 (N, K)."""

    name = "multilabel"
    old_name = "multi"
    title = "several labels per image"
    noun, nouns = "label", "labels"
    select = "map"
    headline = ("map", "loss")

    def encode(self, targets: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(targets, dtype=np.float32))  # (N, K) of 0 and 1

    def losses_and_weights(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        goal = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = self.loss_function(outputs, goal, reduction="none").mean(1)
        return losses, torch.ones_like(losses)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip(outputs.astype(np.float64), -700, 700)))  # exp(710) overflows

    def activation(self) -> nn.Module:
        return nn.Sigmoid()

    def strata(self, targets: np.ndarray) -> Strata:
        common = targets.sum(axis=0)
        rarest = np.where(targets > 0, common, np.inf).argmin(axis=1).astype(np.int64)
        return Strata(rarest, "by the rarest label")

    def rarity(self, targets: np.ndarray, train: np.ndarray) -> np.ndarray:
        counts = np.maximum(targets[train].sum(0), 1)  # (K,)
        weights = (targets / counts).max(1)  # by the rarest label of an image
        weights = np.where(targets.any(1), weights, 1 / max(1, int((~targets[train].any(1)).sum())))
        return balanced(weights, train)

    def members(self, targets: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        return ((name, targets[:, k] > 0.5) for k, name in enumerate(self.names))

    def target_rows(self, targets: np.ndarray) -> list[list[str]]:
        return [
            [";".join(n for n, flag in zip(self.names, row, strict=True) if flag > 0.5)] for row in targets.tolist()
        ]

    def parse_targets(self, cells: Sequence[Sequence[str]]) -> np.ndarray:
        number = {name: k for k, name in enumerate(self.names)}
        targets = np.zeros((len(cells), self.outputs), dtype=np.float32)
        for row, (text,) in enumerate(cells):
            targets[row, [number[name] for name in text.split(";") if name]] = 1
        return targets

    def scored_decoded(self, decoded: np.ndarray, targets: np.ndarray) -> MultilabelScores:
        return MultilabelScores.of(decoded, targets, self.names)

    def chance(self, targets: np.ndarray) -> Chance | None:
        """The average precision of random scores is the share of positives."""
        if not np.any(targets):
            return None
        occurring = np.asarray(targets).mean(0)
        return Chance(float(occurring[occurring > 0].mean()), "random scores")

    blind_name = "label_frequencies"

    def blind(self, train_targets: np.ndarray, n: int) -> np.ndarray:
        """Each label's share among the training images."""
        return np.tile(np.asarray(train_targets, dtype=np.float64).mean(axis=0), (n, 1))

    def wrongness(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Of the label that is farthest off."""
        farthest: np.ndarray = np.nan_to_num(np.abs(targets - decoded).max(1), nan=-1.0)
        return farthest

    def mistakes(self, decoded: np.ndarray, targets: np.ndarray, most: int) -> list[tuple[str, list[Mistake]]]:
        error = np.abs(decoded - targets)
        worst = error.argmax(1)  # label of each image
        return [
            (
                "Most confident mistakes",
                [
                    Mistake(
                        i,
                        f"{self.names[k]} ({decoded[i, k]:.0%})",
                        "label present" if targets[i, k] else "label absent",
                    )
                    for i in np.argsort(-error.max(1), kind="stable")[:most].tolist()
                    if error[i, k := worst[i]] > 0.5
                ],
            )
        ]

    def suspects(self, decoded: np.ndarray, targets: np.ndarray) -> list[Suspect]:
        """Each label by itself; of several doubtful labels of an image the most doubtful one."""
        worst: dict[int, Suspect] = {}
        for k, name in enumerate(self.names):
            given = (targets[:, k] > 0.5).astype(np.int64)
            chosen, margin = confident_classes(np.stack([1 - decoded[:, k], decoded[:, k]], axis=1), given)
            for i in np.flatnonzero((chosen >= 0) & (chosen != given)).tolist():
                if i not in worst or margin[i] > worst[i].score:
                    words = f"not {name}", name
                    worst[i] = Suspect(i, words[given[i]], words[chosen[i]], float(margin[i]))
        return sorted(worst.values(), key=lambda suspect: -suspect.score)

    def predicted(self, decoded: np.ndarray) -> list[str]:
        return [";".join(n for n, p in zip(self.names, row, strict=True) if p >= 0.5) for row in decoded.tolist()]

    def entropy(self, probabilities: np.ndarray) -> np.ndarray:
        """The mean of the labels', 0 to ln 2."""
        mean: np.ndarray = (entropy_of(probabilities) + entropy_of(1 - probabilities)).mean(1)
        return mean

    def spread(self, deviations: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """The mean of the labels'."""
        of_labels: np.ndarray = deviations.mean(1)
        return of_labels

    def caption(self, target: Any, decoded: np.ndarray) -> str:
        true, said = (
            [name for name, flag in zip(self.names, flags, strict=True) if flag]
            for flags in (target > 0.5, decoded >= 0.5)
        )
        return f"{', '.join(true) or 'nothing'}, predicted {', '.join(said) or 'nothing'}"

    def meaning(self, decoded: bool) -> str:
        return "probabilities" if decoded else "logits: sigmoid gives probabilities"
