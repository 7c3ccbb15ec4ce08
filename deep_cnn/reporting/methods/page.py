"""methods.md: the paragraph, its references and the REFORMS checklist."""

from collections.abc import Callable
from pathlib import Path

from deep_cnn.reporting.methods import evaluation, material, training
from deep_cnn.reporting.methods.citations import cited, references_of
from deep_cnn.reporting.methods.reforms import MODULES, checklist
from deep_cnn.reporting.methods.study import Study, read_study
from deep_cnn.runtime.atomic import write_text
from deep_cnn.runtime.manifest import understood
from deep_cnn.runtime.run_files import RunFiles

# a paragraph of the text each: heading, and its topics in order
PARAGRAPHS: tuple[tuple[str, tuple[Callable[[Study], list[str]], ...]], ...] = (
    ("Data", (material.images, material.targets, material.splits)),
    (
        "Training",
        (
            training.network,
            training.preprocessing,
            training.augmentation,
            training.optimisation,
            training.selection,
            training.machine,
        ),
    ),
    (
        "Evaluation",
        (
            evaluation.metrics,
            evaluation.baselines,
            evaluation.ceilings,
            evaluation.calibration,
            evaluation.coverage,
            evaluation.views,
            evaluation.place,
            evaluation.comparisons,
        ),
    ),
)


def paragraphs(study: Study) -> dict[str, str]:
    """Heading -> text, with marks in place of citations."""
    return {title: " ".join(sentence for topic in topics for sentence in topic(study)) for title, topics in PARAGRAPHS}


def methods_text(study: Study) -> str:
    """All of methods.md."""
    said = paragraphs(study)
    whole = "\n\n".join(f"**{title}.** {text}" for title, text in said.items())
    items = sum(len(rows) for _, rows in MODULES)
    form = "\n".join(
        [
            f"## REFORMS: {len(MODULES)} modules, {items} items",
            "",
            "Topics of the checklist [@kapoor], answered from the record of the run where it knows the answer.",
            *checklist(study),
        ]
    )
    references = "\n".join(f"- {entry}" for entry in references_of(whole))
    lines = [
        f"# Methods of {study.record.files.name}",
        "Written by the program from the files of the run. Each sentence is true of this run; shorten it for your paper.",
        cited(whole),
        f"## References\n\n{references}",
        cited(form),
    ]
    return "\n\n".join(lines) + "\n"


def write_methods(files: RunFiles) -> tuple[Path, str]:
    """Write outputs/results/NAME/methods.md from the files of a run or of all its folds; returns its path and the text.

    Raises:
        DataError: no such run, a run or a fold that has not finished, or a damaged file.
    """
    with understood(files.results):
        text = methods_text(read_study(files))
    path = files.results / "methods.md"
    write_text(path, text)
    return path, text
