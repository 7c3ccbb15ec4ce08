"""Images, targets and splits."""

from collections.abc import Callable, Sequence
from pathlib import Path

from deep_cnn.config.fields import grid_size
from deep_cnn.reporting.methods.study import Study
from deep_cnn.runtime.format import listed, percent, plural, quantity

WORDS = {"train": "training", "validation": "validation", "test": "testing"}


def between(values: Sequence[float], write: Callable[[float], str] = "{:,}".format) -> str:
    """Equal numbers once, others as a range: "40" or "38 to 41"."""
    low, high = write(min(values)), write(max(values))
    return low if low == high else f"{low} to {high}"


def images(study: Study) -> list[str]:
    """Which images, and which were left out."""
    flags = study.flags
    if dataset := flags.get("dataset"):
        said = f"The data are {plural(study.images, 'image')} of {dataset.upper().replace('CIFAR', 'CIFAR-')} [@cifar]."
    else:
        table = f", table {Path(flags['metadata']).name}" if flags["metadata"] else ""
        folder = Path(flags["data_dir"]).name or flags["data_dir"]
        said = f"The data are {plural(study.images, 'image')} (folder {folder}{table})."
    found = [said]
    if where := flags.get("where"):
        found.append(f"Only rows with {listed(list(where))} were used.")
    if left_out := study.first.config.get("left_out"):
        were = "was" if len(left_out) == 1 else "were"
        found.append(f"{plural(len(left_out), 'image')} could not be read and {were} left out.")
    return found


def targets(study: Study) -> list[str]:
    """What was learnt of each image, with counts or moments of all images."""
    flags, found = study.flags, study.task.distribution(study.targets)
    if raters := flags.get("raters"):
        found.append(f"Ratings of {plural(len(raters), 'rater')} are known ({listed(raters)}).")
    if std := flags.get("target_std"):
        found.append(f"Standard errors of the scores are known ({listed(std)}).")
    if flags.get("study_id"):
        found.append("The scores are those of Place Pulse 2.0 [@place_pulse], TrueSkill fits of votes [@trueskill].")
    if (transform := flags.get("target_transform", "none")) != "none":
        words = {"log": "logarithms", "logit": "logits", "rank": "normal scores of their ranks"}[transform]
        found.append(f"The network learnt the {words} of the scores; metrics are in original units.")
    if by := flags.get("weigh_by"):
        what = {"votes": "its number of votes", "std": "its standard error"}[by]
        found.append(f"In the loss, each image was weighted by the certainty of its score, from {what}.")
    ties = [share for share in study.first.config["task"].get("tie_shares", ()) if share is not None]
    if any(ties) and not study.of_folds:
        found.append(f"In training, {listed([percent(share) for share in ties])} of the votes were ties.")
    return found


# ---- splits ------------------------------------------------------------------------------------------------------------


def splits(study: Study) -> list[str]:
    """How images were divided, into how many, and what stayed together."""
    found = _folds(study) if study.of_folds else _one_split(study)
    flags = study.flags
    if flags.get("buffer"):
        found.append(f"Training images nearer than {flags['buffer']} to a test image were left out.")
    if flags.get("subset"):
        found.append(f"Training used a subset of the training images (--subset={flags['subset']}).")
    if study.of_votes:
        found += _divided_votes(study)
    return found


def _one_split(study: Study) -> list[str]:
    counts = study.counts[0]
    parts = [f"{counts[name]:,} for {word}" for name, word in WORDS.items() if name in counts]
    found = [f"The images were divided into {listed(parts)}."]
    flags, given = study.flags, study.data.get("given_splits")
    if flags.get("split_from"):
        return [*found, f"The division is that of the run {flags['split_from']}."]
    if flags.get("split_column"):
        found.append(f"The column {flags['split_column']} of the table gave the split.")
    elif flags.get("dataset"):
        found.append("The test set is the one that the authors of the data set defined.")
    if given is None:
        return found
    by_data: list[str] = [name for name in ("validation", "test") if name in given and name in counts]
    if by_data and not flags.get("split_column") and not flags.get("dataset"):
        found.append(f"The data came with the {listed(by_data)} set{'s' if len(by_data) > 1 else ''}.")
    shares = {"validation": flags["val_split"], "test": flags["test_split"]}
    held = [name for name in shares if name in counts and name not in given]
    if held:
        asked = listed([f"{percent(shares[name], 0)} for {WORDS[name]}" for name in held])
        found.append(
            f"Held out at random were {asked}, stratified {study.task.strata(study.targets).how} (seed {flags.get('split_seed') or 0})."
        )
        found += _grouped(study)
    return found


def _grouped(study: Study) -> list[str]:
    group = study.flags.get("group")
    if not group:
        return []
    counted = study.data.get("groups")
    sizes = ""
    if counted and not study.of_folds:
        sizes = f" ({listed([f'{n:,} for {WORDS[name]}' for name, n in counted.items() if n])})"
    side = grid_size(group, "group")
    of_group = f"with the same {group}" if side is None else f"of one cell of a grid of {quantity(side)} m"
    if study.divided_groups:  # by the data: what was held out at random divides none
        return [f"Where the data did not give the split, images {of_group} were kept in one split{sizes}."]
    return [f"All images {of_group} were kept in one split{sizes}."]


def _folds(study: Study) -> list[str]:
    flags, test = study.flags, study.test
    sizes = between([fold["count"] for fold in test["per_fold"]])
    if flags.get("folds") == "groups":
        found = [
            f"Cross-validation left one {flags['group']} out at a time ({test['folds']} folds): each of {test['count']:,} images was "
            f"tested once, by a network that was trained without its {flags['group']}."
        ]
    else:
        found = [
            f"In {test['folds']}-fold cross-validation each of {test['count']:,} images was tested once, by a network that was not "
            f"trained on its fold (stratified {study.task.strata(study.targets).how}, seed {flags.get('split_seed') or 0})."
        ]
        found += _grouped(study)
    found.append(f"A fold tests {sizes} images.")
    validation = [counts.get("validation", 0) for counts in study.counts]
    trained = between([counts["train"] for counts in study.counts])
    if any(validation):
        found.append(
            f"Of the other images, {between(validation)} were held out for validation in each fold; {trained} trained the network."
        )
    else:
        found.append(f"In each fold {trained} images trained the network; there was no validation set.")
    return found


def _divided_votes(study: Study) -> list[str]:
    votes = [member.test["votes"] for member in study.members if member.test]
    if not votes:
        return []
    each = " in each fold" if study.of_folds else ""

    def number(name: str) -> str:
        return between([one[name] for one in votes])

    ties = sum(one["test"] - one["test_decided"] for one in votes)
    tested = sum(one["test"] for one in votes)
    aside = f", {plural(ties, 'tie')} among them" if ties else ""
    return [
        f"Images were divided, and votes followed their images: {number('train')} votes between two training images trained{each}, "
        f"{number('validation')} between two validation images, or one and a training image, selected the epoch, and {tested:,} votes "
        f"between two test images{' of the same fold' if study.of_folds else ''} tested{aside}."
    ]
