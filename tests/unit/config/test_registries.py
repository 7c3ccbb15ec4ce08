"""Every row of every registry names code that exists, and a new row is all that a new choice needs."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deep_cnn.config import registries
from deep_cnn.config.fields import problem
from deep_cnn.config.registries import (
    AUGMENTATION_PRESETS,
    AUGMENTATIONS,
    IMAGE_FORMATS,
    OPTIMIZERS,
    SCHEDULES,
    Optimizer,
    Row,
    Schedule,
    known_as,
    resolve,
)
from deep_cnn.config.schema import Config
from deep_cnn.reporting.plots.panel import Panel

REGISTRIES = {
    name: table
    for name, table in vars(registries).items()
    if isinstance(table, dict) and table and all(isinstance(row, Row) for row in table.values())
}


def test_the_registries_are_found():
    assert {"OPTIMIZERS", "SCHEDULES", "LOSSES", "TRACKERS", "AUGMENTATIONS", "IMAGE_FORMATS"} <= set(REGISTRIES)


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, rows in REGISTRIES.items() for name in rows])
def test_every_row_resolves(table, name):
    row = REGISTRIES[table][name]
    assert row.name == name and callable(resolve(row.code))


def test_presets_are_made_of_steps():
    assert {step for steps in AUGMENTATION_PRESETS.values() for step in steps} <= set(AUGMENTATIONS)


def test_a_family_stands_for_its_names():
    assert known_as("timm/lion", OPTIMIZERS) == "timm/NAME" and known_as("adam", OPTIMIZERS) == "adam"
    assert known_as("timm/", OPTIMIZERS) is None and known_as("timmm/lion", OPTIMIZERS) is None


def choices_of(flag: str) -> tuple[str, ...]:
    return next(f.metadata["choices"] for f in dataclasses.fields(Config) if f.name == flag)


@pytest.mark.parametrize(
    ("flag", "table"), [("optimizer", "OPTIMIZERS"), ("schedule", "SCHEDULES"), ("loss", "LOSSES")]
)
def test_a_flags_choices_are_the_rows(flag, table):
    assert set(choices_of(flag)) - {"auto"} == set(REGISTRIES[table])
    metadata = next(f.metadata for f in dataclasses.fields(Config) if f.name == flag)
    assert not problem(metadata, choices_of(flag)[0]) and "choose one of" in problem(metadata, "adan")


def test_a_row_is_all_that_an_optimizer_needs(monkeypatch):
    from deep_cnn.training.optim.optimizers import make_optimizer, parameter_groups

    monkeypatch.setitem(OPTIMIZERS, "rmsprop", Optimizer("rmsprop", "", "torch.optim:RMSprop", flags=("momentum",)))
    groups = parameter_groups(nn.Linear(2, 1), [""], lr=0.1, backbone_lr=0.1, weight_decay=0.0)
    made = make_optimizer("rmsprop", groups, momentum=0.5, nesterov=False)
    assert isinstance(made, torch.optim.RMSprop) and {group["momentum"] for group in made.param_groups} == {0.5}


def halved(step: int, steps: int, warmup: int) -> float:
    return 0.5


def test_a_row_is_all_that_a_schedule_needs(monkeypatch):
    from deep_cnn.training.optim.schedules import make_schedule

    monkeypatch.setitem(SCHEDULES, "halved", Schedule("halved", "", f"{__name__}:halved"))
    assert make_schedule("halved", 10, 0.1).factor(3) == 0.5


def test_a_row_is_all_that_a_loss_needs(monkeypatch):
    from deep_cnn.config.registries import LOSSES, Loss
    from deep_cnn.tasks.make import new_task

    monkeypatch.setitem(LOSSES, "l1", Loss("l1", "", "torch.nn.functional:l1_loss", ("regression",)))
    task = new_task("regression", ("x",), "l1")
    losses, _ = task.losses_and_weights(torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [torch.nan]]))
    assert losses.tolist() == [1.0, 0.0]


def test_tiff_is_an_image_in_any_spelling(tmp_path):
    from deep_cnn.data.decode import decode
    from deep_cnn.data.files import scan
    from deep_cnn.data.preprocess import Preprocessing

    (tmp_path / "a").mkdir()
    for name in ("1.tif", "2.TIFF", "3.Tif"):
        Image.new("RGB", (40, 30), (9, 200, 30)).save(tmp_path / "a" / name, format="TIFF")
    files = scan(tmp_path)
    assert list(files.paths) == ["a/1.tif", "a/2.TIFF", "a/3.Tif"] and not files.ignored
    pixels = decode(tmp_path / files.paths[1], Preprocessing(resize=16, crop=16))
    assert np.array_equal(pixels[:, 3, 3], [9, 200, 30])
    assert IMAGE_FORMATS["TIFF"].endings == (".tif", ".tiff")


def test_every_section_of_the_report_has_its_part_of_the_page():
    from pathlib import Path

    from deep_cnn.reporting.report import page

    folder = Path(page.__file__).parent / "templates" / "sections"
    assert {file.stem for file in folder.glob("*.html")} == set(REGISTRIES["REPORT_SECTIONS"])
    sections = {row.section for row in REGISTRIES["FIGURES"].values()}
    assert sections - {""} <= set(REGISTRIES["REPORT_SECTIONS"])


def told(task, decoded, targets):
    return [Panel("Told", f"{task.name} {decoded.shape}", lambda ax: ax.plot([0, 1]))]


def test_a_row_is_all_that_a_figure_needs(monkeypatch, tmp_path):
    from deep_cnn.config.registries import FIGURES, Figure
    from deep_cnn.reporting.plots.of_task import draw, figures_of, panels_of
    from deep_cnn.tasks.make import new_task

    monkeypatch.setitem(FIGURES, "told", Figure("told", "", f"{__name__}:told", title="Told", tasks=("multilabel",)))
    task = new_task("multilabel", ("a", "b"))
    rows = figures_of(task)
    assert [row.name for row in rows] == ["told"]
    draw(rows, task, np.zeros((3, 2)), np.zeros((3, 2)), tmp_path)
    assert (tmp_path / "told.png").stat().st_size > 1000
    assert [panel.alt for panel in panels_of(rows[0], task, np.zeros((3, 2)), np.zeros((3, 2)))] == [
        "multilabel (3, 2)"
    ]


def test_metrics_name_functions_that_there_are():
    """They are imported at the end of a training: a metric without its interval's function would end it there."""
    from deep_cnn.config.registries import METRICS

    for row in METRICS.values():
        assert all(callable(resolve(code)) for code in (row.code, row.left_out) if code), row.name


def test_the_methods_paragraph_names_an_optimizer_and_a_schedule_of_a_new_row():
    from deep_cnn.reporting.methods.training import course_of, title_of

    assert title_of("radam") == "the optimizer radam" and title_of("sgd") != "the optimizer sgd"
    assert title_of("timm/lion") == "the optimizer lion of the library timm"
    assert course_of(Schedule("halved", "stays at a half", "")) == "its course: stays at a half"
