"""What test.json says of votes: pair accuracy with its interval and ceiling, and how scores agree with those made of votes alone."""

from typing import TYPE_CHECKING, Any

import numpy as np

from deep_cnn.data.dataset import Dataset
from deep_cnn.data.split import groups_trained_on
from deep_cnn.tasks.ceiling import ceiling_of
from deep_cnn.tasks.confidence import effective_groups
from deep_cnn.tasks.intervals import held_out_result
from deep_cnn.tasks.left_out import few_units
from deep_cnn.tasks.pair_scores import PairScores
from deep_cnn.tasks.vote_ceiling import pair_ceiling, split_half

if TYPE_CHECKING:
    from deep_cnn.tasks.pairwise import Pairwise

ESTIMANDS = {
    "images": "this network, on new votes between new images of the same kind",
    "groups": "this network, on new votes between images of new groups of the same kind",
    "same groups": "this network, on new votes between new images of these same groups, not of others; it was trained on images of "
    "{trained} of the {number} groups",
}


def pair_result(task: "Pairwise", dataset: Dataset, split: str, outputs: np.ndarray) -> dict[str, Any]:
    """All of it.

    Args:
        outputs: raw, float (n, K), of the images `dataset.scored(split)`.

    Returns:
        What `intervals.held_out_result` says of the correlations with reference scores, and, in the same places, pair_accuracy and
        loss of the votes between two images of the split. Beside them: votes (how many are what), with_training_images (the same of votes
        between an image of the split and a training image), pair_ceiling and noise_ceiling by question, differences.
    """
    index, rows = dataset.index, dataset.samples(split)
    groups = None if index.groups is None else index.groups[rows]
    trained = groups_trained_on(index.groups, rows, dataset.splits.train)
    pairs = task.pair_scores(dataset, split, outputs)
    decoded, reference = task.decode(outputs[dataset.own_rows(split)]), task.reference(dataset, split)
    images = task.scored_decoded(decoded, reference)
    result = held_out_result(images, groups=groups, group_names=index.group_names, trained=trained)
    result.pop("mean_predictor", None)
    _add(result, pairs)
    for q, name in enumerate(task.names):
        of_question = result["per_target"][name]
        of_question.pop("mean_predictor", None)
        _add(result, pairs.of_question(q), name)
        of_question["votes"] = len(pairs.of_question(q))
    if groups is not None:
        _add_groups(result, pairs, index.group_names)
    units = "images" if groups is None else "same groups" if trained else "groups"
    found = dataset.vote_split
    result |= {
        "estimand": ESTIMANDS[units].format(trained=trained, number=result.get("number_of_groups")),
        "votes": {
            "train": len(found.train),
            "validation": len(found.validation),
            "test": len(found.test),
            "test_decided": int(pairs.decided.sum()),
            "test_with_training_images": len(found.marked),
            "not_used": found.left_out,
        },
        "pair_ceiling": {},
        "differences": {task.blind_name: _beyond_chance(result)},
    }
    if pairs.marked is not None and len(pairs.marked):
        of_marked = pairs.marked.estimates()
        result["with_training_images"] = {
            **pairs.marked.scores(),
            "votes": len(pairs.marked),
            "intervals": {name: estimate.interval for name, estimate in of_marked.items()},
            "note": "votes between a test image and a training image: the network has seen one of the two",
        }
    _add_ceilings(result, task, dataset, split, images)
    return {"split": split, "task": task.old_name, "task_name": task.name} | result


def _add(result: dict[str, Any], pairs: PairScores, question: str = "") -> None:
    """Put the metrics of votes where those of images are."""
    estimates = pairs.estimates()

    def place(key: str | None) -> dict[str, Any]:
        inside = result if key is None else result.setdefault(key, {})
        return inside.setdefault("per_target", {}).setdefault(question, {}) if question else inside

    place(None).update(pairs.scores())
    place("intervals").update({name: estimate.interval for name, estimate in estimates.items()})
    place("interval_methods").update({name: estimate.method for name, estimate in estimates.items()})


def _add_groups(result: dict[str, Any], pairs: PairScores, names: tuple[str, ...]) -> None:
    """Of each group the votes between two of its images, and between one of them and another group's."""
    assert pairs.groups is not None, "only with groups"
    of_sides = pairs.groups[pairs.votes.images]  # (m, 2)
    for code, name in enumerate(names):
        if name not in result["per_group"]:
            continue
        within = pairs.take((of_sides == code).all(axis=1))
        result["per_group"][name] |= {"pair_accuracy": within.pair_accuracy, "votes_within": len(within)}
        result["per_group"][name].setdefault("intervals", {})["pair_accuracy"] = (
            PairScores(within.votes, within.difference, within.loss).estimates()["pair_accuracy"].interval
        )
    across = pairs.take(of_sides[:, 0] != of_sides[:, 1])
    inside = pairs.take(of_sides[:, 0] == of_sides[:, 1])
    result["within_groups"] = {"pair_accuracy": inside.pair_accuracy, "votes": len(inside)}
    result["between_groups"] = {"pair_accuracy": across.pair_accuracy, "votes": len(across)}
    result["effective_groups"] = (
        effective_groups(np.bincount(of_sides.ravel())[np.unique(of_sides)]) if len(pairs) else 0.0
    )


def _beyond_chance(result: dict[str, Any]) -> dict[str, Any]:
    """Pair accuracy less one half, which a coin reaches."""
    value, interval = result["pair_accuracy"], result["intervals"]["pair_accuracy"]
    if value is None:
        return {}
    return {
        "pair_accuracy": {
            "value": value - 0.5,
            "interval": None if interval is None else (interval[0] - 0.5, interval[1] - 0.5),
            "p": None,
        }
    }


def _add_ceilings(result: dict[str, Any], task: "Pairwise", dataset: Dataset, split: str, images: Any) -> None:
    """Per question: the largest pair accuracy, from all votes, and the reliability of the split's reference scores."""
    index, rows = dataset.index, dataset.samples(split)
    assert index.votes is not None, "a task of votes"
    units = None if index.groups is None else few_units(index.groups[rows])
    noise: dict[str, Any] = {}
    for q, name in enumerate(task.names):
        ceiling = pair_ceiling(index.votes.of_question(q), len(index))
        if ceiling is not None:
            value = result["per_target"][name]["pair_accuracy"]
            beyond = (ceiling["pair_accuracy"] or 0.5) - 0.5
            ceiling["share"] = None if value is None or beyond <= 0 else (value - 0.5) / beyond
            result["pair_ceiling"][name] = ceiling
        votes, spread = task.reference_votes(dataset, split, q)
        reliability = split_half(votes, rows, len(index), spread, units)
        if reliability is not None:
            noise[name] = ceiling_of(images, name, reliability, units)
    if noise:
        result["noise_ceiling"] = noise
