"""Multi-label classification: several labels per image, or none."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.data.balance import balanced
from deep_cnn.data.split import Strata
from deep_cnn.runtime.format import plural
from deep_cnn.tasks.base import Chance, Mistake, Task
from deep_cnn.tasks.calibration import f1_threshold
from deep_cnn.tasks.linear import discriminant, standardised
from deep_cnn.tasks.metrics import MultilabelScores
from deep_cnn.tasks.named import NamedOutputs, entropy_of
from deep_cnn.tasks.suspects import Suspect, confident_classes


@dataclass(frozen=True)
class MultiLabel(NamedOutputs):
    """Targets are 0 or 1 of each label, float32 (N, K).

    thresholds: probability from which on an image has the label, (K,); (): 0.5 for all.
    """

    thresholds: tuple[float, ...] = ()

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
        probabilities: np.ndarray = 1 / (1 + np.exp(-np.clip(self.scaled(outputs), -700, 700)))  # exp(710) overflows
        return probabilities

    def _activation(self) -> nn.Module:
        return nn.Sigmoid()

    def calibrated(self, outputs: np.ndarray, targets: np.ndarray) -> "MultiLabel":
        task = super().calibrated(outputs, targets)
        decoded = task.decode(outputs)
        found = tuple(f1_threshold(decoded[:, k], targets[:, k] > 0.5) for k in range(self.outputs))
        return dataclasses.replace(task, thresholds=() if set(found) == {0.5} else found)

    def uncalibrated(self) -> "MultiLabel":
        return dataclasses.replace(super().uncalibrated(), thresholds=())

    def as_tested(self, test: dict[str, Any]) -> "MultiLabel":
        found = test.get("calibration", {}).get("thresholds", {})
        thresholds = tuple(found[name] for name in self.names) if found else ()
        return dataclasses.replace(super().as_tested(test), thresholds=thresholds)

    def of_ensemble(self, tasks: Sequence[Task]) -> "MultiLabel":
        """A label is given where the mean probability reaches the mean threshold."""
        if not any(isinstance(task, MultiLabel) and task.thresholds for task in tasks):
            return self
        mean = np.mean([task.cuts for task in tasks if isinstance(task, MultiLabel)], axis=0)
        return dataclasses.replace(self, thresholds=tuple(mean.tolist()))

    @property
    def cuts(self) -> np.ndarray:
        """The threshold of each label, float64 (K,)."""
        return np.array(self.thresholds or (0.5,) * self.outputs)

    def calibration_result(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Also thresholds: {label: from which probability on it is given}."""
        thresholds = dict(zip(self.names, self.cuts.tolist(), strict=True))
        return super().calibration_result(outputs, targets) | {"thresholds": thresholds}

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

    def distribution(self, targets: np.ndarray) -> list[str]:
        counts = targets.sum(axis=0)
        rarest = (
            f"the rarest label is on {plural(int(counts.min()), 'image')}, the most frequent on {counts.max():,.0f}"
        )
        return [f"Each image has any number of {len(self.names)} labels{self.listed_names()}; {rarest}."]

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
        return MultilabelScores.of(decoded, targets, self.names, self.cuts)

    def pooled(self, parts: Sequence[tuple[Task, np.ndarray, np.ndarray]]) -> MultilabelScores:
        """Each network has its own thresholds."""
        decoded, targets = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
        predicted = np.concatenate([said >= task.cuts for task, said, _ in parts if isinstance(task, MultiLabel)])
        return dataclasses.replace(self.scored_decoded(decoded, targets), predicted=predicted)

    def chance(self, targets: np.ndarray) -> Chance | None:
        """The average precision of random scores is the share of positives."""
        if not np.any(targets):
            return None
        occurring = np.asarray(targets).mean(0)
        return Chance(float(occurring[occurring > 0].mean()), "random scores")

    blind_name = "label_frequencies"
    blind_words = "predicting how frequent each label is"

    def blind(self, train_targets: np.ndarray, n: int) -> np.ndarray:
        """Each label's share among the training images."""
        return np.tile(np.asarray(train_targets, dtype=np.float64).mean(axis=0), (n, 1))

    def linear(self, train: np.ndarray, train_targets: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Each label by itself."""
        known, new = standardised(train, test)
        there = (np.asarray(train_targets) > 0.5).astype(np.int64)
        return np.stack([discriminant(known, there[:, k], 2, new)[:, 1] for k in range(self.outputs)], axis=1)

    def wrongness(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Of the label that is farthest off."""
        farthest: np.ndarray = np.nan_to_num(np.abs(targets - decoded).max(1), nan=-1.0)
        return farthest

    def mistakes(self, decoded: np.ndarray, targets: np.ndarray, most: int) -> list[tuple[str, list[Mistake]]]:
        error = np.abs(decoded - targets)
        cuts = self.cuts
        error = np.where((decoded >= cuts) != (targets > 0.5), error, 0.0)
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
                    if (decoded[i, k := worst[i]] >= cuts[k]) != (targets[i, k] > 0.5)
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
        given = (decoded >= self.cuts).tolist()
        return [";".join(n for n, there in zip(self.names, row, strict=True) if there) for row in given]

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
            for flags in (target > 0.5, decoded >= self.cuts)
        )
        return f"{', '.join(true) or 'nothing'}, predicted {', '.join(said) or 'nothing'}"

    def aim(self) -> str:
        return f"find {len(self.names)} labels{self.few_names()}"

    def meaning(self, decoded: bool) -> str:
        return "probabilities" if decoded else f"logits: sigmoid{self._of_logits()} gives probabilities"
