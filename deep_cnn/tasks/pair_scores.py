"""How well score differences agree with votes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Optional

import numpy as np

from deep_cnn.data.vote_winners import TIE
from deep_cnn.data.votes import Votes
from deep_cnn.tasks.dyadic import mean_of_votes, share_of_votes
from deep_cnn.tasks.intervals import Estimate


@dataclass(frozen=True)
class PairScores:
    """Votes with predictions.

    Attributes:
        difference: predicted score of the left image less that of the right one, float64 (m,).
        loss: of each vote in nats, float64 (m,).
        groups: of every image of the index, codes (N,), or None.
        marked: the votes between a test and a training image, which are reported apart.
    """

    votes: Votes
    difference: np.ndarray
    loss: np.ndarray
    groups: np.ndarray | None = None
    marked: Optional["PairScores"] = None

    def __len__(self) -> int:
        return len(self.votes)

    def take(self, rows: np.ndarray) -> "PairScores":
        """Some of the votes, by a mask."""
        return replace(self, votes=self.votes.take(rows), difference=self.difference[rows], loss=self.loss[rows])

    def of_question(self, q: int) -> "PairScores":
        """The votes of one question, and those of `marked`."""
        marked = None if self.marked is None else self.marked.of_question(q)
        return replace(self.take(self.votes.question == q), marked=marked)

    @cached_property
    def decided(self) -> np.ndarray:
        """Which votes are no ties, bool (m,)."""
        decided: np.ndarray = self.votes.outcome != TIE
        return decided

    @cached_property
    def right(self) -> np.ndarray:
        """Of each decided vote 1 where the image that won has the higher score, 0.5 where both have the same: (decided,)."""
        sign = 2 * self.votes.outcome[self.decided] - 1
        right: np.ndarray = (1 + np.sign(self.difference[self.decided]) * sign) / 2
        return right

    @property
    def pair_accuracy(self) -> float | None:
        """Mean of `right`; None without a decided vote."""
        return float(self.right.mean()) if len(self.right) else None

    @property
    def mean_loss(self) -> float | None:
        """Nats per vote, ties among them; None without votes."""
        return float(self.loss.mean()) if len(self.loss) else None

    def scores(self) -> dict[str, float | None]:
        """Both by the names of the registry METRICS."""
        return {"pair_accuracy": self.pair_accuracy, "loss": self.mean_loss}

    def flat(self, questions: Sequence[str]) -> dict[str, float | None]:
        """Those of all votes together, and of each question as 'safety/pair_accuracy'."""
        found = self.scores()
        for q, name in enumerate(questions):
            found |= {f"{name}/{metric}": value for metric, value in self.of_question(q).scores().items()}
        return found

    def estimates(self, level: float = 0.95) -> dict[str, Estimate]:
        """The interval of each of `scores`."""
        images, decided = self.votes.images, self.votes.images[self.decided]
        groups = None if self.groups is None else self.groups[images]
        groups_decided = None if self.groups is None else self.groups[decided]
        return {
            "pair_accuracy": share_of_votes(self.right, decided, groups_decided, level),
            "loss": mean_of_votes(self.loss, images, groups, level),
        }
