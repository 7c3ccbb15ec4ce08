"""The methods paragraph: every number is in the run's files, what was not used is not mentioned, and papers are those of the text."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deep_cnn.config.schema import Config
from deep_cnn.reporting.methods import reforms, training
from deep_cnn.reporting.methods.citations import MARK, NETWORKS, REFERENCES, cited, of_network, references_of
from deep_cnn.reporting.methods.evaluation import _in_words, metrics
from deep_cnn.reporting.methods.page import methods_text, paragraphs, write_methods
from deep_cnn.reporting.methods.study import Study, read_study
from deep_cnn.reporting.methods.training import preprocessing, selection
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import percent, quantity
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tasks.base import plain_values
from deep_cnn.tasks.intervals import held_out_result
from deep_cnn.tasks.make import new_task

N = 60
NAMES = {
    "classification": ("ants", "bees", "cats"),
    "multilabel": ("tree", "car"),
    "regression": ("safety",),
    "pairwise": ("safety",),
}
VERSIONS = {
    "python": "3.11.7",
    "torch": "2.14.1",
    "torchvision": "0.29.1",
    "numpy": "2.4.6",
    "deep_cnn": "0.1.0",
    "git_commit": "a" * 40,
}


def targets_of(kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "classification":
        return rng.integers(0, 3, N)
    if kind == "multilabel":
        return rng.integers(0, 2, (N, 2)).astype(np.float32)
    return rng.normal(5, 1, (N, 1))


def made(folder: Path, kind: str = "regression", test: dict | None = None, data: dict | None = None, **flags) -> Study:
    """The files of a finished run of 40 training, 8 validation and 12 test images, read back."""
    files = RunFiles(folder / "outputs", "run")
    files.results.mkdir(parents=True)
    rng = np.random.default_rng(0)
    targets = targets_of(kind, rng)
    task = new_task(kind, NAMES[kind], label_smoothing=flags.get("label_smoothing", 0.0)).fitted(targets[:40])
    config = Config(**{"run_name": "run", "data_dir": "photos", "batch_size": 32, "batchnorm": "update", **flags})
    record = {
        "model": {"name": config.model, "outputs": task.outputs, "dropout": config.dropout, "image_size": 64},
        "task": plain_values(task.to_dict()),
        "preprocessing": {
            "resize": 73,
            "crop": 64,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "interpolation": "bicubic",
            "fit": "crop",
            "bits": 16,
        },
        "config": plain_values(config.to_dict()),
        "decisions": {
            "device": "cpu",
            "precision": "fp32",
            "compile": False,
            "threads": 1,
            "pieces": 1,
            "eval_batch": 32,
            "lr": None,
            "processes": 1,
        },
        "identity": {"flags": plain_values(config.identity())},
        "versions": VERSIONS,
        "command": "python -m deep_cnn --run_name=run",
        "left_out": [],
        "weights_file": None if config.weights == "none" else "resnet.pth (included with deep_cnn)",
        "data": {"notes": ["Split: train 40, validation 8, test 12"], "given_splits": []} | (data or {}),
    }
    (files.results / "config.json").write_text(json.dumps(record), encoding="utf-8")
    names = {"classification": ["class"], "multilabel": ["labels"]}.get(kind, list(NAMES[kind]))
    with open(files.results / "splits.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", *names, "split"])
        for i, row in enumerate(task.target_rows(targets)):
            table.writerow([f"{i}.jpg", *row, ("train", "validation", "test")[int(i >= 40) + int(i >= 48)]])
    with open(files.results / "metrics.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["epoch", "step", "lr", "train_loss", "val_loss", f"val_{task.select}"][: 5 + (task.select != "loss")]
        )
        for epoch in range(20):
            table.writerow([epoch, epoch + 1, 0.1, 1.0, 1.0, 0.5][: 5 + (task.select != "loss")])
    outputs = rng.normal(size=(12, task.outputs))
    result = {
        "split": "test",
        "task_name": kind,
        "best_epoch": 7,
        **held_out_result(task.scored(outputs, targets[48:])),
    }
    for name, value in (test or {}).items():
        result[name] = value
    (files.results / "test.json").write_text(json.dumps(result), encoding="utf-8")
    (files.results / "status.json").write_text(json.dumps({"state": "finished"}), encoding="utf-8")
    for name in ("config.json", "splits.csv", "metrics.csv", "test.json"):
        Manifest(files).announce(files.results / name, files.results / name)
    return read_study(files)


def numbers_in(value) -> list[float]:
    if isinstance(value, dict):
        return [n for part in value.values() for n in numbers_in(part)]
    if isinstance(value, list):
        return [n for part in value for n in numbers_in(part)]
    if isinstance(value, str):
        return [float(n) for n in re.findall(r"\d+(?:\.\d+)?", value)]
    return [float(value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def forms(value: float) -> set[str]:
    """How a number may be written."""
    written = {quantity(value), quantity(value, 3), quantity(value, 2), f"{value:,.0f}", f"{value:.3f}"}
    written |= {percent(value, digits).rstrip("%") for digits in (0, 1, 2)}
    return {text.lstrip("+-") for text in written}


def unknown_numbers(study: Study) -> list[str]:
    """Numbers of the text that are neither in the files nor moments of the targets."""
    text = MARK.sub("", " ".join(paragraphs(study).values()))
    for word in [
        *VERSIONS.values(),
        VERSIONS["git_commit"][:12],
        *NAMES["classification"],
        study.flags["model"],
        "R2",
        "top-1",
        "deep_cnn 0.1.0",
    ]:
        text = text.replace(word, " ")
    # the paragraph's own constants, each with its words, so that they excuse no number elsewhere
    for words in (
        "32-bit",
        "from 0 to 1",
        "counted from 0",
        "fell to 0",
        "log(1 - x)",
        "L1 penalty",
        "central",
        "K / (K - 1)",
        "1 less",
        "35% to 100%",
        "8% to 100%",
        "up to 20%",
        "30% of the steps",
        "8 nearest neighbours",
        "999 permutations",
    ):
        text = text.replace(words, " ")
    known: set[str] = set()
    targets = study.targets.astype(float)
    counted = [40, 8, 12, N, len(study.task.names), targets.min(), targets.max(), targets.mean(), targets.std(ddof=1)]
    if study.task.name == "classification":
        counted += np.bincount(study.targets).tolist()
    if study.task.name == "multilabel":
        counted += study.targets.sum(axis=0).tolist()
    if votes := study.test.get("votes"):
        counted.append(votes["test"] - votes["test_decided"])
    rate = study.flags["lr"]
    for value in [
        *numbers_in(study.first.config),
        *numbers_in(study.test),
        *counted,
        rate / 10,
        len(study.first.history),
    ]:
        known |= forms(abs(value))
    found = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)
    return [number for number in (n.rstrip(",.") for n in found) if number not in known]


CEILING = {
    "reliability": 0.6123,
    "largest_r2": 0.6123,
    "largest_pearson": 0.7825,
    "share_r2": 0.8011,
    "share_pearson": 0.9021,
    "intervals": {"reliability": [0.5012, 0.7034], "share_r2": [0.6017, 0.9876], "share_pearson": None},
    "method": "standard errors",
    "upper_bound": False,
    "count": 12,
    "note": "",
}
VOTES = {
    "pair_accuracy": 0.7321,
    "intervals": {"pair_accuracy": [0.6123, 0.8312], "pearson": None},
    "interval_methods": {"pair_accuracy": "dyadic cluster-robust, Wilson", "pearson": "none: undefined"},
    "interval_level": 0.95,
    "estimand": "this network, on new votes between new images of the same kind",
    "votes": {
        "train": 1076,
        "validation": 485,
        "test": 47,
        "test_decided": 43,
        "test_with_training_images": 491,
        "not_used": 101,
    },
    "pair_ceiling": {"safety": {"pair_accuracy": 0.8844, "interval": None, "votes": 1967}},
    "per_target": {"safety": {}},
    "noise_ceiling": {"safety": CEILING | {"method": "halves of the votes", "share_r2": None}},
}
SPACE = {"safety": {"morans_i": 0.0191, "expected": -0.0154, "p": 0.251, "count": 12}}
KINDS = {
    "classes": {"kind": "classification", "label_smoothing": 0.1, "mixup": 0.2, "ema": 0.99},
    "labels": {"kind": "multilabel", "optimizer": "sgd", "nesterov": True, "clip": 2.5},
    "scores": {
        "metadata": "scores.csv",
        "target_std": ("se",),
        "weigh_by": "std",
        "test": {"noise_ceiling": {"safety": CEILING}, "space": SPACE},
    },
    "votes": {"kind": "pairwise", "task": "pairwise", "metadata": "votes.csv", "test": VOTES},
    "probe": {"recipe": "probe", "freeze": "backbone", "augment": "none", "weight_decay": 0.0},
    "scratch": {"weights": "none", "schedule": "onecycle", "augment": "strong", "patience": 6},
    "groups": {"group": "city", "data": {"groups": {"train": 5, "validation": 2, "test": 3}}},
}


@pytest.mark.parametrize("name", KINDS)
def test_each_number_is_in_the_files(tmp_path, name):
    study = made(tmp_path, **KINDS[name])
    assert not unknown_numbers(study), "\n".join(paragraphs(study).values())
    assert not {key for key in MARK.findall(" ".join(paragraphs(study).values())) for key in key.split(",")} - set(
        REFERENCES
    )


def test_metrics_of_votes_are_each_of_the_votes_or_images_that_they_are_made_of(tmp_path):
    result = VOTES | {"loss": 0.6199, "pearson": 0.5123}
    said = metrics(made(tmp_path / "ties", **(KINDS["votes"] | {"test": result})))
    assert said[0].startswith("On 43 decided votes between test images, pair accuracy was 73.21% [")
    assert "On 12 test images, Pearson's correlation was 0.5123" in " ".join(said)
    assert "On 47 votes between test images, ties included, loss was 0.6199." in said
    result["votes"] = VOTES["votes"] | {"test": 43}
    said = metrics(made(tmp_path / "none", **(KINDS["votes"] | {"test": result})))
    assert "On 43 votes between test images, loss was 0.6199." in said


def test_a_wrong_number_would_be_found(tmp_path, monkeypatch):
    study = made(tmp_path)
    monkeypatch.setattr(
        "deep_cnn.reporting.methods.page.PARAGRAPHS", (("Data", (lambda study: ["There are 61 images."],)),)
    )
    assert unknown_numbers(study) == ["61"]


# feature -> the flags or results with it, and a word that stands for it
FEATURES = {
    "mixup": ({"kind": "classification", "mixup": 0.2}, "Mixup"),
    "cutmix": ({"kind": "classification", "cutmix": 1.0}, "CutMix"),
    "smoothing": ({"kind": "classification", "label_smoothing": 0.1}, "smoothed"),
    "average": ({"ema": 0.99}, "moving average"),
    "clipping": ({"clip": 1.0}, "clipped"),
    "l1": ({"l1": 0.1}, "L1 penalty"),
    "stopped early": ({"epochs": 30}, "over all of the 30 planned epochs it would have fallen"),
    "dropout": ({"dropout": 0.5}, "Dropout"),
    "frozen": ({"freeze": "backbone", "augment": "none"}, "frozen"),
    "oversample": ({"kind": "classification", "oversample": True}, "drawn more often"),
    "class_weights": ({"kind": "classification", "class_weights": True}, "more weight in the loss"),
    "patience": ({"patience": 3}, "It was to stop"),
    "group": ({"metadata": "t.csv", "group": "city"}, "same city"),
    "buffer": ({"metadata": "t.csv", "group": "city", "buffer": "200m"}, "nearer than 200m"),
    "where": ({"metadata": "t.csv", "where": ("votes>=5",)}, "Only rows with votes>=5"),
    "weighting": ({"metadata": "t.csv", "target_std": ("se",), "weigh_by": "std"}, "certainty of its score"),
    "transform": ({"target_transform": "log"}, "logarithms"),
    "batchnorm": ({"batchnorm": "keep"}, "Batch normalisation"),
    "range_test": ({"small_epochs": 3}, "three quarters"),
    "ceiling": ({"test": {"noise_ceiling": {"safety": CEILING}}}, "reliability"),
    "place": ({"test": {"space": SPACE}}, "Moran"),
    "views": ({"test": {"tta": {"views": "flip"}}}, "averaged over an image and its mirror image"),
    "baseline": (
        {"test": {"differences": {"linear_baseline": {"mae": {"value": -0.21, "interval": None}}}}},
        "ridge regression",
    ),
    "calibration": ({"test": {"calibration": {"validation_images": 8, "temperature": 1.3}}}, "temperature scaling"),
    "coverage": (
        {
            "test": {
                "coverage": {
                    "level": 0.9,
                    "per_target": {
                        "safety": {"method": "HCP", "reached": 0.9, "interval": None, "calibration_images": 8}
                    },
                }
            }
        },
        "Prediction intervals",
    ),
    "votes": ({"kind": "pairwise", "task": "pairwise", "test": VOTES}, "Bradley-Terry"),
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_is_mentioned_where_it_was_used(tmp_path, name):
    flags, word = FEATURES[name]
    assert word in methods_text(made(tmp_path, **flags)).partition("## References")[0]


def test_a_feature_that_was_not_used_is_not_mentioned(tmp_path):
    for kind in ("classification", "regression"):
        text = methods_text(made(tmp_path / kind, kind)).lower()
        words = [word.lower() for _, word in FEATURES.values()]
        assert not [word for word in [*words, "holm", "cross-validation"] if word in text.partition("## reforms")[0]]


def test_groups_that_another_runs_splits_divide_are_not_called_whole(tmp_path):
    note = "3 groups are in more than one of these splits; scores may be too optimistic"
    text = methods_text(made(tmp_path, split_from="other", group="city", data={"notes": [note]}))
    assert note in text and "So were all images of one group" not in text and "were kept in one split" not in text


def test_groups_that_a_given_split_divides_are_not_called_whole(tmp_path):
    note = "3 groups are in more than one of the given splits; scores may be too optimistic"
    facts = {"notes": [note], "given_splits": ["train", "test"]}
    text = methods_text(made(tmp_path, split_column="split", group="city", data=facts))
    assert note in text and "No image with the same bytes is in two splits." in text
    assert "Where the data did not give the split, images with the same city were kept in one split" in text
    assert "All images with the same city" not in text and "So were all images of one group" not in text


def test_weights_that_were_not_tested_were_kept(tmp_path):
    study = made(tmp_path)
    assert "were tested" in selection(study)[0]
    (said,) = selection(replace(study, record=replace(study.record, test=None)))
    assert "were kept" in said and "test" not in said


def test_each_fold_has_its_own_means(tmp_path):
    study = made(tmp_path)
    other = json.loads(json.dumps(study.first.config))
    other["preprocessing"]["mean"] = [0.5, 0.456, 0.4]
    (said,) = preprocessing(replace(study, members=(study.first, replace(study.first, config=other))))
    assert "means 0.485 to 0.5, 0.456, 0.4 to 0.406 and the standard deviations 0.229, 0.224, 0.225" in said


def test_papers_are_those_that_the_text_cites():
    text = "Wilson's [@wilson,zou] and again [@wilson]."
    assert cited(text) == "Wilson's (Wilson 1927; Zou and Donner 2008) and again (Wilson 1927)."
    assert [entry.split(",")[0] for entry in references_of(text)] == ["E. Wilson", "G. Zou"]
    assert all(re.search(r"\b(19|20)\d\d", entry) and '"' in entry for _, entry in REFERENCES.values())
    assert of_network("cifar_preact_resnet18") == " [@preact]" and of_network("resnet101") == " [@resnet]"
    assert of_network("my_network") == "" and set(NETWORKS.values()) <= set(REFERENCES)


def test_each_paper_is_cited_somewhere():
    folder = Path(reforms.__file__).parent
    source = "".join(
        (folder / f"{name}.py").read_text(encoding="utf-8") for name in ("material", "training", "evaluation", "page")
    )
    keys = set(NETWORKS.values()) | training.WITH_PAPER
    keys |= {key for mark in MARK.findall(source) for key in mark.split(",")}
    assert keys == set(REFERENCES)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("Wilson", "Wilson's [@wilson]"),
        ("jackknife, log scale", "a jackknife over images on the log scale [@tukey]"),
        ("jackknife over groups, plain scale", "a jackknife that leaves out one group at a time [@tukey]"),
        ("none: fewer than 5 groups", ""),
        ("a method of tomorrow", "a method of tomorrow"),
    ],
)
def test_interval_methods_in_words(method, words):
    assert _in_words(method) == words


def test_the_longest_method_is_whole():
    said = _in_words("jackknife over groups, logit scale, or Wilson with its variance if wider, variance x K / (K - 1)")
    assert "one group at a time on the logit scale" in said and "Wilson's" in said and "K / (K - 1)" in said


def test_the_checklist_has_all_items_each_answered_or_left_to_the_author(tmp_path):
    assert len(reforms.MODULES) == 8 and [len(items) for _, items in reforms.MODULES] == [3, 5, 7, 3, 6, 3, 3, 2]
    text = methods_text(made(tmp_path))
    lines = [line for line in text.split("\n") if re.match(r"- \*\*\d[a-h] ", line)]
    assert len(lines) == 32 and all(re.search(r"\.\*\* \S", line) for line in lines)
    assert "**1a The population about which the claim is made.** *For the author.*" in text
    assert "**2e A command that repeats the results.** `python -m deep_cnn --run_name=run`" in text


def test_notes_on_left_out_rows_are_told(tmp_path):
    note = "3 rows of scores.csv have no image file: a.jpg; b.jpg; c.jpg"
    text = methods_text(made(tmp_path, data={"notes": [note]}))
    assert note in text.partition("4a What was excluded")[2].partition("\n")[0]


def test_a_comparison_is_told_only_of_this_result(tmp_path):
    study = made(tmp_path)
    folder = study.record.files.outputs / "compare"
    folder.mkdir()

    def write(value: float) -> str:
        rows = [
            "run,test_r2,difference_r2_p_holm,difference_r2_to",
            f"run,{value!r},0.0213,other",
            "third,0.1,0.4,other",
            "other,0.2,,other",
        ]
        (folder / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        return methods_text(read_study(study.record.files))

    said = write(study.test["r2"])
    assert (
        "In R2, 2 comparisons with other were made on the same test images: run (p = 0.021) and third (p = 0.400)"
        in said
    )
    assert "Holm" in said
    assert "Holm" not in write(study.test["r2"] + 0.1)  # of an older run of that name


def test_the_file_is_written_and_an_unfinished_run_is_refused(tmp_path):
    study = made(tmp_path)
    files = study.record.files
    path, text = write_methods(files)
    assert path.name == "methods.md" and path.read_text(encoding="utf-8") == text
    (files.results / "test.json").unlink()
    listed = {name: digests for name, digests in Manifest(files).entries().items() if name != "test.json"}
    Manifest(files)._write(listed, durable=False)
    (files.results / "status.json").write_text(json.dumps({"state": "stopped"}), encoding="utf-8")
    with pytest.raises(DataError, match="has not finished"):
        write_methods(files)
