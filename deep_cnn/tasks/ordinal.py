"""Ratings in whole numbers of few levels, learnt as ordered levels (--loss=ordinal).

CORN of Shi, Cao and Raschka, "Deep neural networks for rank-consistent ordinal regression based on conditional probabilities", 2021:
output k of a target is the logit of P(y > k | y > k - 1), where the levels are numbered from 0, and it is learnt from the images with
y > k - 1 alone. The product of the first conditional probabilities is P(y > k), which never rises with k.
"""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep_cnn.config.fields import wrong
from deep_cnn.runtime.format import plural, some
from deep_cnn.tasks.base import Mistake, Task
from deep_cnn.tasks.regression import Regression
from deep_cnn.tasks.score_metrics import RegressionScores
from deep_cnn.tasks.suspects import Suspect

log = logging.getLogger(__name__)

MOST_LEVELS = 20  # each has an output of its own, and needs images


@dataclass(frozen=True)
class Ordinal(Regression):
    """Scores that are whole numbers from `lowest` on, `levels` of them for each target.

    Decoded, float64 (N, 2 T), are the scores, which are the expected levels and need not be whole, and behind them the levels that
    are the medians. middle: the median level of the training images.
    """

    lowest: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    middle: tuple[int, ...] = ()

    name = "ordinal"
    old_name = "ordinal"
    title = "ordinal regression"
    blends: ClassVar[bool] = False  # there is no level between two
    has_scales = False

    def with_targets(self, targets: np.ndarray) -> "Ordinal":
        """See `Task.with_targets`: with the levels of all images.

        Raises:
            ConfigError: a target is not in whole numbers, or has too many levels, or one alone.
        """
        lowest, levels = [], []
        for name, values in zip(self.names, targets.T, strict=True):
            known = values[~np.isnan(values)]
            if len(broken := known[known != np.round(known)]):
                raise wrong(
                    "loss",
                    "ordinal",
                    f"{len(broken):,} values of {name} are no whole numbers, such as {broken[0]:g}, and a mean of ratings has no level",
                    "use --loss=mse",
                )
            low, high = int(known.min()), int(known.max())
            if not 2 <= high - low + 1 <= MOST_LEVELS:
                raise wrong(
                    "loss",
                    "ordinal",
                    f"{name} has {plural(high - low + 1, 'level')}, from {low:,} to {high:,}; it is for 2 to {MOST_LEVELS}",
                    "use --loss=mse",
                )
            lowest.append(low)
            levels.append(high - low + 1)
            log.info("--loss=ordinal: %s has the levels %d to %d", name, low, high)
        return dataclasses.replace(self, lowest=tuple(lowest), levels=tuple(levels))

    def usual_range(self, output: int) -> tuple[float, float]:
        return float(self.lowest[output]), float(self.lowest[output] + self.levels[output] - 1)

    def fitted(self, train_targets: np.ndarray) -> "Ordinal":
        """With the median level of the training images; a level that none of them reaches is named."""
        fitted = super().fitted(train_targets)
        assert isinstance(fitted, Ordinal), "a copy of itself"
        middle = []
        for name, low, count, values in zip(self.names, self.lowest, self.levels, train_targets.T, strict=True):
            known = values[~np.isnan(values)]
            middle.append(int(np.median(known)) if len(known) else low)
            reached = int(known.max()) if len(known) else low
            if unseen := [str(level) for level in range(reached + 1, low + count)]:
                log.warning(
                    "No training image has a %s of %s, so nothing is learnt about %s; predictions of more than %d mean little",
                    name,
                    " or ".join(unseen) if len(unseen) < 3 else f"{unseen[0]} to {unseen[-1]}",
                    "it" if len(unseen) == 1 else "them",
                    reached,
                )
        return dataclasses.replace(fitted, middle=tuple(middle))

    answers = "regression"
    flag = "--loss=ordinal"

    @property
    def outputs(self) -> int:
        return sum(self._widths)

    @property
    def _widths(self) -> list[int]:
        """Outputs of each target: one fewer than it has levels."""
        return [count - 1 for count in self.levels]

    def raw_names(self) -> list[str]:
        """What each output of the network is about: 'safety > 2, if > 1'."""
        return [
            f"{name} > {low + k}" + (f", if > {low + k - 1}" if k else "")
            for name, low, width in zip(self.names, self.lowest, self._widths, strict=True)
            for k in range(width)
        ]

    def explained_output(self, k: int) -> int:
        """Whether the rating is above the median of the training images, if it reaches it."""
        rung = min(max(self.middle[k] - self.lowest[k], 0), self._widths[k] - 1)
        return sum(self._widths[:k]) + rung

    # --- learning ----------------------------------------------------------------------------------------------------

    def on_scale(self, transform: str, targets: np.ndarray) -> "Ordinal":
        raise wrong("target_transform", transform, f"ordered levels cannot be rescaled ({self.flag})", "omit it")

    def has_loss_of(self, targets: np.ndarray) -> bool:
        return bool((np.isnan(targets) | (targets == np.round(targets))).all())

    def encode(self, targets: np.ndarray) -> Tensor:
        """The number of each level, from 0: float32 (N, T), NaN where it is missing."""
        numbers = np.maximum(
            np.asarray(targets, np.float64) - np.array(self.lowest), 0
        )  # of other raters, below all of ours
        return torch.from_numpy(numbers.astype(np.float32))

    def losses_and_weights(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        known = ~torch.isnan(targets)  # (B, T)
        numbers = torch.where(known, targets, -1)  # below the first level no question is asked
        losses = [
            self.loss_function(part, numbers[:, t]) for t, part in enumerate(torch.split(outputs, self._widths, dim=1))
        ]
        return torch.stack(losses).sum(0), known.sum(1).float()

    # --- answers -----------------------------------------------------------------------------------------------------

    def _decoded(self, outputs: np.ndarray) -> np.ndarray:
        above = Levels(self.lowest, self.levels)(torch.from_numpy(np.asarray(outputs, np.float64)))
        decoded: np.ndarray = above.numpy()
        return decoded

    def activation(self) -> nn.Module:
        return Levels(self.lowest, self.levels)

    def _scores(self, decoded: np.ndarray) -> np.ndarray:
        """Without the levels: (..., 2 T) -> (..., T)."""
        return decoded[..., : len(self.names)]

    def scored_decoded(self, decoded: np.ndarray, targets: np.ndarray) -> RegressionScores:
        scores = super().scored_decoded(self._scores(decoded), targets)
        return scores.with_levels(np.round(decoded[:, len(self.names) :]))

    blind_words = "always predicting the mean, and the median level"

    def blind(self, train_targets: np.ndarray, n: int) -> np.ndarray:
        """The mean and the median of the training images."""
        return np.concatenate([super().blind(train_targets, n), np.tile(np.array(self.middle, float), (n, 1))], axis=1)

    def linear(self, train: np.ndarray, train_targets: np.ndarray, test: np.ndarray) -> np.ndarray:
        """The scores of `Regression.linear`, and the nearest levels."""
        scores = super().linear(train, train_targets, test)
        low = np.array(self.lowest)
        return np.concatenate([scores, np.clip(np.round(scores), low, low + np.array(self.levels) - 1)], axis=1)

    def wrongness(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return super().wrongness(self._scores(decoded), targets)

    def mistakes(self, decoded: np.ndarray, targets: np.ndarray, most: int) -> list[tuple[str, list[Mistake]]]:
        return super().mistakes(self._scores(decoded), targets, most)

    def suspects(self, decoded: np.ndarray, targets: np.ndarray) -> list[Suspect]:
        return super().suspects(self._scores(decoded), targets)

    def calibration_errors(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        return super().calibration_errors(self._scores(decoded), targets)

    def largest_difference(self, ours: np.ndarray, theirs: np.ndarray) -> float:
        return super().largest_difference(self._scores(ours), self._scores(theirs))

    # --- how an answer is written down -------------------------------------------------------------------------------

    @property
    def decoded_columns(self) -> list[str]:
        return [*super().decoded_columns, *(f"level_{name}" for name in self.names)]

    @property
    def decoded_names(self) -> list[str]:
        return [*self.names, *(f"level of {name}" for name in self.names)]

    def cells(self, decoded: np.ndarray, top: int | None = None) -> list[list[Any]]:
        """Scores, and levels: of the mean over several networks the nearest one."""
        levels = np.round(decoded[:, len(self.names) :]).astype(np.int64)
        return [[*score, *level] for score, level in zip(self._scores(decoded).tolist(), levels.tolist(), strict=True)]

    tested_columns = Task.tested_columns
    tested_cells = Task.tested_cells

    def uncertainty_cells(self, decoded: np.ndarray) -> np.ndarray:
        return super().uncertainty_cells(self._scores(decoded))

    def caption(self, target: Any, decoded: np.ndarray) -> str:
        return super().caption(target, self._scores(decoded))

    def describe(self) -> str:
        levels = [f"{low} to {low + count - 1}" for low, count in zip(self.lowest, self.levels, strict=True)]
        return f"{super().describe()} in whole numbers ({some(dict.fromkeys(levels))})"

    def meaning(self, decoded: bool) -> str:
        if decoded:
            return "expected ratings, then their median levels"
        return "logits of a rating above a level if it is above the one before"


class Levels(nn.Module):
    """Outputs (B, K) -> expected levels and median levels (B, 2 T), in the targets' numbers."""

    def __init__(self, lowest: Sequence[int], levels: Sequence[int]):
        super().__init__()
        self.lowest, self.widths = list(lowest), [count - 1 for count in levels]

    def forward(self, outputs: Tensor) -> Tensor:
        """Sums of P(y > k), and how many of them are above 0.5."""
        scores, middles = [], []
        for low, part in zip(self.lowest, torch.split(outputs, self.widths, dim=1), strict=True):
            above = F.logsigmoid(part).cumsum(1).exp()  # P(y > k), (B, levels - 1)
            scores.append(low + above.sum(1))
            middles.append(low + (above > 0.5).to(above.dtype).sum(1))
        return torch.stack([*scores, *middles], dim=1)


def corn(outputs: Tensor, numbers: Tensor) -> Tensor:
    """Minus the log likelihood of each image's level, in nats: the chain rule makes it the sum of the conditional losses.

    Args:
        outputs: logits of P(y > k | y > k - 1), float (B, levels - 1). numbers: of the level, from 0; below 0 where it is not known, (B,).
    """
    k = torch.arange(outputs.shape[1], device=outputs.device)
    asked = numbers[:, None] >= k  # y > k - 1
    answers = (numbers[:, None] > k).to(outputs.dtype)
    # what is not asked is replaced before the loss: infinity * 0 is NaN, also in the gradient
    logits = torch.where(asked, outputs, outputs.detach().clamp(-1, 1))
    return (F.binary_cross_entropy_with_logits(logits, answers, reduction="none") * asked).sum(1)
