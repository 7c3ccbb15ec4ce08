"""The REFORMS checklist (Kapoor et al., "REFORMS: consensus-based recommendations for machine-learning-based science", 2024).

Eight modules with 32 items, in our own words. Each is answered from the record of the run, or left to the author: the program knows
what it did, but not why, where the images are from, or what will be claimed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deep_cnn.reporting.methods import evaluation, material, training
from deep_cnn.reporting.methods.study import DIVIDED, Study
from deep_cnn.runtime.format import listed

Answer = Callable[[Study], Sequence[str]]


@dataclass(frozen=True)
class Item:
    """An item of the checklist. answer: sentences from the record; None, or no sentence: the author's to answer."""

    name: str
    topic: str
    answer: Answer | None = None


def code(study: Study) -> list[str]:
    """Which program, and in which state."""
    versions = study.first.config["versions"]
    commit = f", commit {versions['git_commit']}" if versions.get("git_commit") else ""
    return [f"deep_cnn {versions['deep_cnn']}{commit}."]


def environment(study: Study) -> list[str]:
    """All versions."""
    versions = study.first.config["versions"]
    return [", ".join(f"{name} {version}" for name, version in versions.items() if name != "git_commit") + "."]


def command(study: Study) -> list[str]:
    """What repeats the run."""
    plan = getattr(study.record, "plan", None)
    return [f"`{plan['command'] if plan else study.first.config['command']}`"]


def notes(study: Study) -> list[str]:
    """What reading the data has shown, word for word."""
    return [f"{note}." for note in study.data.get("notes", ())]


def excluded(study: Study) -> list[str]:
    """Which rows and images were not used."""
    flags, found = study.flags, []
    if flags.get("where"):
        found.append(f"Only rows with {listed(list(flags['where']))} were used.")
    if left_out := study.first.config.get("left_out"):
        found.append(f"Not readable, and left out: {', '.join(left_out)}.")
    return [
        *found,
        *(f"The log says: {note}" for note in notes(study) if "not used" in note or "no image file" in note),
    ]


def bad_images(study: Study) -> list[str]:
    """What happens with an image that cannot be read."""
    if study.flag("on_bad_image") == "skip":
        return ["Images that could not be read were left out and listed in config.json."]
    return ["An image that cannot be read would have stopped the run; none was left out."]


def duplicates(study: Study) -> list[str]:
    """Whether training and test share images or groups."""
    same_bytes = [note for note in notes(study) if "uplicate" in note or "in two splits" in note]
    divided = [note for note in notes(study) if DIVIDED in note]
    if study.flag("split_from"):  # as that run was split; what the two share is in the notes
        return [*same_bytes, *divided]
    held_out = study.of_folds or "test" not in study.data.get("given_splits", ["test"])
    found = same_bytes
    if "notes" in study.data and not held_out:
        found = found or ["No image with the same bytes is in two splits."]
    elif "notes" in study.data:
        found = [*found, "Images with the same bytes were kept in one split."]
    group = study.flag("group")
    if group and held_out and not divided:
        found = [*found, f"So were all images of one group ({group})."]
    return [*found, *divided]


def separation(study: Study) -> list[str]:
    """That nothing is learnt from the test set."""
    if not study.test:
        return []
    return [
        "Preprocessing, training and the choice of the epoch used no test image; test images were scored after training, with the weights that were kept."
    ]


def missing(study: Study) -> list[str]:
    """Scores that are not there."""
    return [f"The log says: {note}" for note in notes(study) if "missing" in note or "no target" in note]


def sizes(study: Study) -> list[str]:
    """How many images."""
    return [*material.images(study)[:1], *material.targets(study)]


def models(study: Study) -> list[str]:
    """The network and its training."""
    return [*training.network(study), *training.optimisation(study)]


def metrics_used(study: Study) -> list[str]:
    """Names of the metrics."""
    test = study.test
    names = [evaluation.METRICS[name].label for name in evaluation.METRICS if isinstance(test.get(name), (int, float))]
    return [f"Reported are {listed(names)}. Why these is the author's to say."] if names else []


def uncertainty(study: Study) -> list[str]:
    """Intervals."""
    return [
        sentence
        for sentence in evaluation.metrics(study)
        if sentence.startswith(("Brackets", "The intervals", "The test images"))
    ]


MODULES: tuple[tuple[str, tuple[Item, ...]], ...] = (
    (
        "Goals of the study",
        (
            Item("1a", "The population about which the claim is made"),
            Item("1b", "Why this population"),
            Item("1c", "Why machine learning is used"),
        ),
    ),
    (
        "Computational reproducibility",
        (
            Item("2a", "Where others get the data"),
            Item("2b", "Where others get the code", code),
            Item("2c", "Computing environment", environment),
            Item("2d", "Instructions to use code and data"),
            Item("2e", "A command that repeats the results", command),
        ),
    ),
    (
        "Quality of the data",
        (
            Item("3a", "Source of the data and of the labels, and when they were collected"),
            Item("3b", "The set from which images were sampled"),
            Item("3c", "Why these data suit the question"),
            Item("3d", "The outcome: its definition and distribution", material.targets),
            Item("3e", "Sample size", sizes),
            Item("3f", "Missing values", missing),
            Item("3g", "Why the sample represents the population"),
        ),
    ),
    (
        "Preprocessing of the data",
        (
            Item("4a", "What was excluded, and why", excluded),
            Item("4b", "Impossible or damaged samples", bad_images),
            Item("4c", "Transformations from the raw data to the input", training.preprocessing),
        ),
    ),
    (
        "Modelling",
        (
            Item("5a", "All models, in detail", models),
            Item("5b", "Why this kind of model"),
            Item("5c", "How the model was evaluated", material.splits),
            Item("5d", "How the model was selected", training.selection),
            Item("5e", "How hyperparameters were chosen"),
            Item("5f", "Baselines", evaluation.baselines),
        ),
    ),
    (
        "Leakage",
        (
            Item("6a", "Training and test are separate in every step", separation),
            Item("6b", "Duplicates and dependence between training and test", duplicates),
            Item("6c", "Every input would be available, and allowed, in use"),
        ),
    ),
    (
        "Metrics and uncertainty",
        (
            Item("7a", "Metrics, and why these", metrics_used),
            Item("7b", "Uncertainty, and how it was computed", uncertainty),
            Item("7c", "Statistical tests and their assumptions", evaluation.comparisons),
        ),
    ),
    (
        "Generalisability and limitations",
        (
            Item("8a", "Evidence that the result holds elsewhere"),
            Item("8b", "Where the result is not expected to hold"),
        ),
    ),
)

AUTHOR = "*For the author.*"


def checklist(study: Study) -> list[str]:
    """Lines of Markdown: a heading a module, a line an item."""
    lines = []
    for number, (title, items) in enumerate(MODULES, 1):
        lines += ["", f"### {number}. {title}", ""]
        for item in items:
            said = " ".join(item.answer(study)) if item.answer else ""
            lines.append(f"- **{item.name} {item.topic}.** {said or AUTHOR}")
    return lines
