"""Pairwise comparison: which of two images is preferred. The network gives each image a score, the votes say how scores differ.

Read docs/concepts/votes.md first: what is trained, selected and tested on which votes.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.config.fields import wrong
from deep_cnn.data.bradley_terry import fit_scores, spread_of_votes
from deep_cnn.data.dataset import Dataset
from deep_cnn.data.index import Index
from deep_cnn.data.split import Strata
from deep_cnn.data.vote_winners import LEFT, TIE
from deep_cnn.data.votes import Votes
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.format import listed, quantity
from deep_cnn.tasks.base import Mistake, Task
from deep_cnn.tasks.pair_result import pair_result
from deep_cnn.tasks.pair_scores import PairScores
from deep_cnn.tasks.regression import Regression, Rescaling, mean_of_known
from deep_cnn.tasks.samples import functions_of
from deep_cnn.tasks.score_metrics import RegressionScores
from deep_cnn.tasks.suspects import Suspect

VOTES_TABLE = "votes_test.csv"
VOTES_COLUMNS = ("left", "right", "question", "winner", "predicted_lead")  # and the groups of both, with --group


@dataclass(frozen=True)
class Pairwise(Regression):
    """Votes on one or several questions. An image's target is the share of its votes that it won, float64 (N, Q), NaN without votes.

    The network has Q outputs, an image's scores; with Davidson's loss Q more, each a bias alone: the logarithms of the tie parameters.
    tie_shares: of the training votes of each question.
    """

    tie_shares: tuple[float, ...] = ()

    name = "pairwise"
    old_name = "pairwise"
    title = "pairwise comparison"
    noun, nouns = "question", "questions"
    headline = ("pair_accuracy", "loss")
    difference_unit = "of the standard deviation of the training images' scores"
    blends = False
    has_rarity = False
    has_unit_scores = False  # scores are standardised, targets are shares of won votes
    scale_from_outputs = True
    vote_metrics = ("pair_accuracy",)

    # --- learning ----------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> int:
        return len(self.names) * (2 if self.loss == "davidson" else 1)

    def fitted_to(self, dataset: Dataset) -> "Pairwise":
        votes = self._votes(dataset).take(dataset.vote_split.train)
        ties = [
            float((votes.of_question(q).outcome == TIE).mean()) if len(votes.of_question(q)) else 0.0
            for q in self._questions
        ]
        many = len(self.names)
        return dataclasses.replace(self, mean=(0.0,) * many, std=(1.0,) * many, tie_shares=tuple(ties))

    def on_scale(self, transform: str, targets: np.ndarray) -> "Pairwise":
        raise wrong("target_transform", transform, f"is for scores, not for --task={self.name}", "omit it")

    @property
    def _questions(self) -> range:
        return range(len(self.names))

    @staticmethod
    def _votes(dataset: Dataset) -> Votes:
        assert dataset.index.votes is not None, "a task of votes"
        return dataset.index.votes

    def encode(self, targets: np.ndarray) -> Tensor:
        """Of single images, which have no loss of their own."""
        return torch.from_numpy(np.nan_to_num(targets).astype(np.float32))

    def encode_samples(self, index: Index) -> Tensor:
        """Question and outcome of each vote, (M, 2)."""
        assert index.votes is not None, "a task of votes"
        return torch.from_numpy(np.stack([index.votes.question, index.votes.outcome], axis=1).astype(np.float32))

    def losses_and_weights(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        # the images of a vote follow one another: (B * 2, K) -> (B, 2, K)
        pairs = outputs.reshape(-1, 2, outputs.shape[-1])
        question, outcome = targets[:, 0].long(), targets[:, 1]
        scores = pairs.gather(2, question[:, None, None].expand(-1, 2, 1))[..., 0]  # (B, 2)
        tie = torch.zeros_like(outcome, dtype=outputs.dtype)
        if self.loss == "davidson":
            column = question + len(self.names)
            tie = pairs.gather(2, column[:, None, None].expand(-1, 2, 1))[..., 0].mean(1)  # of both images the same
        losses = self.loss_function(scores[:, 0] - scores[:, 1], outcome.to(outputs.dtype), tie)
        return losses, torch.ones_like(losses)

    def batch_weight(self, targets: Tensor, weights: Tensor) -> Tensor:
        return weights.sum()

    def prepare_heads(self, heads: Sequence[nn.Module]) -> None:
        """Davidson's parameters are biases: their weights are zero and stay so, since their gradient is set to zero."""
        if self.loss != "davidson":
            return
        many = len(self.names)
        for head in heads:
            layers = [
                m for m in head.modules() if isinstance(m, (nn.Linear, nn.Conv2d)) and len(m.weight) == self.outputs
            ]
            bias = layers[-1].bias if layers else None
            if bias is None:
                raise ConfigError(
                    "--loss=davidson: the last layer of this network has no bias, which would be the tie parameter; use "
                    "--loss=bradley_terry, which counts a tie as half a vote"
                )
            layer = layers[-1]
            kept = torch.ones(self.outputs, device=layer.weight.device, dtype=layer.weight.dtype)
            kept[many:] = 0
            kept = kept.view(-1, *(1 for _ in layer.weight.shape[1:]))
            with torch.no_grad():
                layer.weight *= kept
                for q, share in enumerate(self.tie_shares):  # the parameter of images with equal scores
                    share = min(max(share, 1e-3), 0.9)
                    bias[many + q] = float(np.log(2 * share / (1 - share)))
            layer.weight.register_hook(lambda gradient, kept=kept: gradient * kept)  # type: ignore[no-untyped-call]

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        return super().decode(outputs[:, : len(self.names)])

    def activation(self) -> nn.Module:
        return FirstColumns(len(self.names), Rescaling(self.mean, self.std))

    def settled(self, outputs: np.ndarray) -> "Pairwise":
        """With the scale of its scores: over these outputs of training images (n, K), mean 0 and standard deviation 1."""
        scores = outputs[:, : len(self.names)].astype(np.float64)
        centre, spread = scores.mean(0), scores.std(0)
        spread = np.where(spread > 0, spread, 1.0)
        return dataclasses.replace(self, mean=tuple((-centre / spread).tolist()), std=tuple((1 / spread).tolist()))

    # --- the targets of a data set -----------------------------------------------------------------------------------

    def strata(self, targets: np.ndarray) -> Strata:
        won = np.where(np.isnan(targets), np.nan if targets.shape[1] > 1 else 0.5, targets)
        won[np.isnan(won).all(axis=1)] = 0.5
        return dataclasses.replace(super().strata(won), how="by deciles of the share of won votes")

    # --- scores ------------------------------------------------------------------------------------------------------

    def distribution(self, targets: np.ndarray) -> list[str]:
        more = f"more of {listed(self.names)}" if len(self.names) > 1 else f"more {self.names[0]}"
        return [f"Their targets are votes: which of two images has {more}."]

    def metric_names(self) -> list[str]:
        names = Task.metric_names(self)
        if len(self.names) == 1:
            return names
        return [*names, *(f"{target}/{name}" for target in self.names for name in names)]

    def scored_decoded(self, decoded: np.ndarray, targets: np.ndarray) -> RegressionScores:
        """Against scores of the same scale or another: correlations only."""
        many = len(self.names)
        found = RegressionScores.of(decoded, targets, self.names, np.zeros(many), np.ones(many), one_unit=True)
        return dataclasses.replace(found, functions=functions_of(self.name, self.names))

    def pair_scores(self, dataset: Dataset, split: str, outputs: np.ndarray) -> PairScores:
        """Votes of a split with what raw outputs (n, K) say of the images of `Dataset.scored`."""
        votes, scored = self._votes(dataset), dataset.scored(split)
        found = dataset.vote_split
        own = {"train": found.train, "validation": found.validation, "test": found.test}[split]
        several = {"test": found.marked}.get(split)

        def of(rows: np.ndarray) -> PairScores:
            some = votes.take(rows)
            places = np.searchsorted(scored, some.images)
            said = torch.from_numpy(outputs[places.ravel()]).double()
            goal = torch.from_numpy(np.stack([some.question, some.outcome], axis=1))
            losses = self.losses_and_weights(said, goal)[0].numpy() if len(some) else np.zeros(0)
            scores = np.take_along_axis(outputs[places].astype(np.float64), some.question[:, None, None], axis=2)[
                ..., 0
            ]
            return PairScores(some, scores[:, 0] - scores[:, 1], losses, dataset.index.groups)

        return dataclasses.replace(of(own), marked=None if several is None else of(several))

    def reference(self, dataset: Dataset, split: str) -> np.ndarray:
        """Scores of a split's images by their votes alone, float64 (n, Q), NaN without votes; no vote between training images counts."""
        if split not in dataset.references:
            dataset.references[split] = self._reference(dataset, split)
        return dataset.references[split]

    def _reference(self, dataset: Dataset, split: str) -> np.ndarray:
        own, found = dataset.samples(split), np.full((len(dataset.samples(split)), len(self.names)), np.nan)
        for q in self._questions:
            votes, spread = self.reference_votes(dataset, split, q)
            has = np.isin(own, votes.images)
            if has.any():
                found[has, q] = fit_scores(votes.images, votes.outcome, len(dataset.index), spread)[own[has]]
        return found

    def reference_votes(self, dataset: Dataset, split: str, q: int) -> tuple[Votes, float]:
        """The votes that a split's reference scores are made of, and the spread that their fit assumes."""
        votes = self._votes(dataset)
        if split == "test":  # all votes on its images
            rows = np.flatnonzero(np.isin(votes.images, dataset.samples("test")).any(axis=1))
        else:
            rows = getattr(dataset.vote_split, split)
        every = votes.of_question(q)
        spread = spread_of_votes(every.images, every.outcome, len(dataset.index))
        return votes.take(rows).of_question(q), spread

    def epoch_scores(self, dataset: Dataset, split: str, outputs: np.ndarray) -> dict[str, float | None]:
        pairs = self.pair_scores(dataset, split, outputs)
        own = self.scored_decoded(self.decode(outputs[dataset.own_rows(split)]), self.reference(dataset, split))
        flat = pairs.flat(self.names) | own.scores()
        return {name: flat.get(name) for name in self.metric_names()}

    def held_out_result(self, dataset: Dataset, split: str, outputs: np.ndarray) -> dict[str, Any]:
        return pair_result(self, dataset, split, outputs)

    def truth(self, dataset: Dataset, split: str) -> np.ndarray:
        return self.reference(dataset, split)

    has_linear = False  # of votes: its targets are shares of won votes, not scores

    def calibration_errors(self, decoded: np.ndarray, targets: np.ndarray) -> None:
        """None: what the score of an image should be is not known."""

    @property
    def region_columns(self) -> list[str]:
        return []

    blind_name = "coin_flip"
    blind_words = "tossing a coin"

    def blind(self, train_targets: np.ndarray, n: int) -> np.ndarray:
        """The same score for every image."""
        return np.zeros((n, len(self.names)))

    def wrongness(self, decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """How far the score is from what the votes say, each in its own spread."""
        return mean_of_known(np.abs(standard(decoded) - standard(targets)))

    def mistakes(self, decoded: np.ndarray, targets: np.ndarray, most: int) -> list[tuple[str, list[Mistake]]]:
        """Scores by the network and by the votes have different scales: both in standard deviations of these images."""
        found = super().mistakes(standard(decoded), standard(targets), most)
        return [(f"{title}, in standard deviations of the test images", images) for title, images in found]

    def suspects(self, decoded: np.ndarray, targets: np.ndarray) -> list[Suspect]:
        """Likewise."""
        return super().suspects(standard(decoded), standard(targets))

    def largest_difference(self, ours: np.ndarray, theirs: np.ndarray) -> float:
        return float(np.abs(ours - theirs).max())

    # --- how an answer is written down -------------------------------------------------------------------------------

    def test_tables(self, dataset: Dataset, outputs: np.ndarray) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
        """Each vote between two test images, in the order of the table, with the predicted score difference (left minus right)."""
        pairs, paths = self.pair_scores(dataset, "test", outputs), dataset.index.paths
        spread = np.array(self.std)[pairs.votes.question]
        words = {LEFT: "left", TIE: "tie"}
        rows = [
            [paths[left], paths[right], self.names[q], words.get(outcome, "right"), lead]
            for (left, right), q, outcome, lead in zip(
                pairs.votes.images.tolist(),
                pairs.votes.question.tolist(),
                pairs.votes.outcome.tolist(),
                (pairs.difference * spread).tolist(),
                strict=True,
            )
        ]
        columns, index = list(VOTES_COLUMNS), dataset.index
        if index.groups is not None:
            columns += ["left_group", "right_group"]
            for row, sides in zip(rows, index.groups[pairs.votes.images].tolist(), strict=True):
                row += [index.group_names[side] for side in sides]
        yield VOTES_TABLE, columns, rows

    def caption(self, target: Any, decoded: np.ndarray) -> str:
        parts = zip(self.names, target, decoded, strict=True)
        return "; ".join(f"{name} won {100 * t:.0f}%, predicted {d:+.2f}" for name, t, d in parts)

    def output_text(self, output: int, value: float) -> str:
        return f"{self.names[output]}: {value:+.2f}"

    def truth_text(self, target: Any) -> str:
        return " ".join("no votes" if np.isnan(value) else f"won {quantity(100 * value)}%" for value in target)

    def describe(self) -> str:
        return f"votes on {', '.join(self.names[:4])}{'...' if len(self.names) > 4 else ''}"

    def aim(self) -> str:
        return f"say which of two images has more of {', '.join(self.names)}"

    def meaning(self, decoded: bool) -> str:
        scale = "standardised scores: 0 is the mean of the training images, 1 their standard deviation; only differences mean something"
        raw = "scores on the Bradley-Terry scale: sigmoid of a difference is the probability to be preferred"
        return (
            scale
            if decoded
            else raw + (", then the logarithms of the tie parameters" if self.loss == "davidson" else "")
        )


def standard(values: np.ndarray) -> np.ndarray:
    """Columns (n, Q) with mean 0 and standard deviation 1 over what is known of each; NaN stays NaN."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(0), 1)
    centred = values - np.where(known, values, 0).sum(0) / count
    spread = np.sqrt(np.where(known, centred**2, 0).sum(0) / count)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


class FirstColumns(nn.Module):
    """The first columns (B, K) of the network's outputs, through another module."""

    def __init__(self, columns: int, then: nn.Module):
        super().__init__()
        self.columns, self.then = columns, then

    def forward(self, outputs: Tensor) -> Tensor:
        """(B, more) -> (B, columns)."""
        scores: Tensor = self.then(outputs[:, : self.columns])
        return scores
