"""Classification: one class per image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.data.balance import rarity_of_bins
from deep_cnn.data.split import Strata
from deep_cnn.runtime.format import plural
from deep_cnn.tasks.base import Chance, Mistake
from deep_cnn.tasks.calibration import calibration, confidences, debiased_squared_error, null_range
from deep_cnn.tasks.conformal import Calibration, Rule, set_rule
from deep_cnn.tasks.coverage import COVERAGE_METHOD, described, method_text, reached
from deep_cnn.tasks.linear import discriminant, standardised
from deep_cnn.tasks.metrics import ClassificationScores
from deep_cnn.tasks.named import NamedOutputs, entropy_of
from deep_cnn.tasks.suspects import Suspect, confident_classes


@dataclass(frozen=True)
class Classification(NamedOutputs):
    """Targets are class numbers, int64 (N,)."""

    name = "classification"
    old_name = "single"
    title = "classification"
    noun, nouns = "class", "classes"
    select = "top1"
    headline = ("top1", "loss")

    def encode(self, targets: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(targets, dtype=np.int64))  # (N,)

    def soft(self, targets: Tensor) -> Tensor:
        return F.one_hot(targets, self.outputs).float()

    def losses_and_weights(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = self.loss_function(outputs, targets, reduction="none", label_smoothing=self.label_smoothing)
        return losses, torch.ones_like(losses)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        outputs = self.scaled(outputs)
        shifted: np.ndarray = np.exp(outputs - outputs.max(1, keepdims=True))
        shifted /= shifted.sum(1, keepdims=True)
        return shifted

    def _activation(self) -> nn.Module:
        return nn.Softmax(1)

    def strata(self, targets: np.ndarray) -> Strata:
        return Strata(targets, "by class", self.names)

    def rarity(self, targets: np.ndarray, train: np.ndarray) -> np.ndarray:
        return rarity_of_bins(targets, train)

    def members(self, targets: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        return ((name, targets == k) for k, name in enumerate(self.names))

    def distribution(self, targets: np.ndarray) -> list[str]:
        counts = np.bincount(targets.astype(np.int64), minlength=len(self.names))
        low, high = int(counts.min()), int(counts.max())
        smallest = f"the smallest has {plural(low, 'image')}, the largest {high:,}"
        sizes = f"each class has {low:,} images" if low == high else smallest
        return [f"Each image has one of {len(self.names)} classes{self.listed_names()}; {sizes}."]

    def target_rows(self, targets: np.ndarray) -> list[list[str]]:
        return [[self.names[target]] for target in targets.tolist()]

    def parse_targets(self, cells: Sequence[Sequence[str]]) -> np.ndarray:
        number = {name: k for k, name in enumerate(self.names)}
        return np.array([number[name] for (name,) in cells], dtype=np.int64)

    def scored_decoded(self, decoded: np.ndarray, targets: np.ndarray) -> ClassificationScores:
        return ClassificationScores.of(decoded, targets, self.names)

    def chance(self, targets: np.ndarray) -> Chance | None:
        """Always the most frequent class; its loss is the entropy of the classes' shares, that of always giving these."""
        if not len(targets):
            return None
        counts = np.bincount(np.asarray(targets, dtype=np.int64), minlength=self.outputs)
        shares = counts[counts > 0] / counts.sum()
        how = f"always predicting '{self.names[int(counts.argmax())]}'"
        return Chance(float(counts.max() / counts.sum()), how, float(-(shares * np.log(shares)).sum()))

    blind_name = "majority_class"
    blind_words = "always predicting the most frequent class"

    def blind(self, train_targets: np.ndarray, n: int) -> np.ndarray:
        """The classes' shares among the training images: the most frequent class comes first."""
        counts = np.bincount(np.asarray(train_targets, dtype=np.int64), minlength=self.outputs)
        return np.tile(counts / counts.sum(), (n, 1))

    def linear(self, train: np.ndarray, train_targets: np.ndarray, test: np.ndarray) -> np.ndarray:
        known, new = standardised(train, test)
        return discriminant(known, np.asarray(train_targets, dtype=np.int64), self.outputs, new)

    def confusion(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return self.scored_decoded(decoded, targets).confusion()

    def calibration(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        return calibration(decoded, targets)

    def calibration_result(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Also ece_before and ece; ece_null, between which ECE lies if the probabilities are right; squared_error_debiased."""
        decoded = self.decode(outputs)
        confidence, right = confidences(decoded, targets)
        return super().calibration_result(outputs, targets) | {
            "ece_before": calibration(self.uncalibrated().decode(outputs), targets)["ece"],
            "ece": calibration(decoded, targets)["ece"],
            "ece_null": null_range(confidence),
            "squared_error_debiased": debiased_squared_error(confidence, right),
        }

    def wrongness(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """What was not given to the true class."""
        missing: np.ndarray = np.nan_to_num(1 - decoded[np.arange(len(targets)), targets], nan=-1.0)
        return missing

    def mistakes(self, decoded: np.ndarray, targets: np.ndarray, most: int) -> list[tuple[str, list[Mistake]]]:
        chosen = decoded.argmax(1)
        confidence = np.where(chosen != targets, decoded.max(1), -1)
        return [
            (
                "Most confident mistakes",
                [
                    Mistake(i, f"{self.names[chosen[i]]} ({confidence[i]:.0%})", f"true: {self.names[targets[i]]}")
                    for i in np.argsort(-confidence, kind="stable")[:most].tolist()
                    if confidence[i] >= 0
                ],
            )
        ]

    def suspects(self, decoded: np.ndarray, targets: np.ndarray) -> list[Suspect]:
        chosen, margin = confident_classes(decoded, targets)
        rows = np.flatnonzero((chosen >= 0) & (chosen != targets))
        order = rows[np.argsort(-margin[rows], kind="stable")].tolist()
        return [Suspect(i, self.names[targets[i]], self.names[chosen[i]], float(margin[i])) for i in order]

    def calibration_errors(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """What was not given to the true class: the score of LAC (least ambiguous set-valued classifiers)."""
        return self.wrongness(decoded, targets)[:, None]

    def region_rules(self, calibrations: Sequence[Calibration], level: float) -> list[Rule | str]:
        return [set_rule(calibrations, level)]

    @property
    def region_columns(self) -> list[str]:
        return ["set", COVERAGE_METHOD]

    def region_cells(self, rules: Sequence[Rule | str], decoded: np.ndarray) -> list[list[Any]]:
        """The classes of the set, with ';' between them, the most probable first."""
        (rule,) = rules
        if isinstance(rule, str):
            return [[None, method_text(rules)] for _ in range(decoded.shape[1])]
        mean = decoded.mean(axis=0)
        sets = [
            ";".join(self.names[k] for k in np.argsort(-row, kind="stable").tolist() if inside[k])
            for row, inside in zip(mean, rule.members(decoded), strict=True)
        ]
        return [[classes, rule.method] for classes in sets]

    def coverage_result(
        self, rules: Sequence[Rule | str], decoded: np.ndarray, targets: np.ndarray, groups: np.ndarray | None
    ) -> dict[str, Any]:
        """Reached with its interval; mean_set_size; per_class: {name: {reached, count}}."""
        (rule,) = rules
        about = described(rule)
        if isinstance(rule, str):
            return about
        members = rule.members(decoded[None])
        hits = members[np.arange(len(targets)), targets]
        about |= reached(hits, groups) | {"mean_set_size": float(members.sum(axis=1).mean())}
        counts = np.bincount(targets, minlength=self.outputs)
        inside = np.bincount(targets, weights=hits, minlength=self.outputs)
        about["per_class"] = {
            name: {"reached": float(k / n) if n else None, "count": int(n)}
            for name, k, n in zip(self.names, inside.tolist(), counts.tolist(), strict=True)
        }
        return about

    def predicted(self, decoded: np.ndarray) -> list[str]:
        return [self.names[best] for best in decoded.argmax(1)]

    def entropy(self, probabilities: np.ndarray) -> np.ndarray:
        """0 to ln K."""
        whole: np.ndarray = entropy_of(probabilities).sum(1)
        return whole

    def spread(self, deviations: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """That of the predicted class."""
        of_predicted: np.ndarray = deviations[np.arange(len(mean)), mean.argmax(1)]
        return of_predicted

    def caption(self, target: Any, decoded: np.ndarray) -> str:
        best = int(decoded.argmax())
        return f"{self.names[int(target)]}, predicted {self.names[best]} ({decoded[best]:.0%})"

    def aim(self) -> str:
        return f"tell {len(self.names)} classes apart{self.few_names()}"

    def meaning(self, decoded: bool) -> str:
        return "probabilities" if decoded else f"logits: softmax{self._of_logits()} gives probabilities"
