"""Values of flags mean the same from the command line, from a YAML file and from Python, and what is no value is refused."""

import dataclasses
import importlib

import numpy as np
import pytest

from deep_cnn.cli.command_table import COMMANDS
from deep_cnn.cli.parser import parse_flags
from deep_cnn.config.fields import grid_size, parse_length
from deep_cnn.config.recipes import with_recipe
from deep_cnn.config.schema import Config
from deep_cnn.errors import ConfigError
from deep_cnn.runtime.errors import one_line

FIELDS = {f.name: f for f in dataclasses.fields(Config)}


def from_words(*words: str) -> Config:
    return with_recipe(parse_flags(list(words), Config))


@pytest.fixture
def from_file(tmp_path):
    """A function: text of a YAML file -> the run that it asks for."""

    def read(text: str | bytes) -> Config:
        (tmp_path / "run.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return from_words(f"--config={tmp_path / 'run.yaml'}")

    return read


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("epochs", 3, "3"),
        ("epochs", np.int64(3), "3"),
        ("lr", 1, "1"),
        ("lr", np.float32(0.5), "0.5"),
        ("lr", "0.1", "0.1"),
        ("lr", "auto", "auto"),
        ("wandb", "False", "False"),
        ("wandb", np.True_, "True"),
        ("workers", 2, "2"),
        ("grad_accumulation", 2, "2"),
        ("freeze", 1, "1"),
        ("save_every", 5, "5"),
        ("subset", 0.1, "0.1"),
        ("target", "a,b", "a,b"),
        ("target", ["a", "b"], "a,b"),
        ("tta", True, "True"),
        ("compile", False, "off"),
        ("cache", False, "off"),
        ("data_dir", __import__("pathlib").Path("x/y"), "x/y"),
    ],
)
def test_a_value_is_the_same_from_python_and_from_the_command_line(name, value, word):
    flags = {"freeze": {"weights": "none"}}.get(name, {})
    ours = getattr(Config(**{name: value}, **flags), name)
    assert ours == getattr(from_words(f"--{name}={word}"), name) and type(ours) in (int, float, str, bool, tuple)


@pytest.mark.parametrize(
    "flags",
    [
        {"epochs": 1.5},
        {"epochs": 2.0},
        {"epochs": True},
        {"epochs": [1]},
        {"epochs": None},
        {"epochs": 10**20},
        {"lr": True},
        {"lr": [0.1]},
        {"lr": 10**400},
        {"wandb": 7},
        {"wandb": []},
        {"model": 5.5j},
        {"model": ["resnet18"]},
        {"model": b"resnet18"},
        {"model": ""},
        {"data_dir": "a\0b"},
        {"data_dir": "a" * 5000},
        {"data_dir": "\udcff"},
        {"data_dir": "~nosuchuser/x"},
        {"metadata": "~nosuchuser/x"},
        {"target": ("a", "")},
        {"target": ["a", "a"]},
        {"target": ("a", ["b"])},
        {"workers": "99999999999999999999"},
        {"workers": 1.5},
        {"grad_accumulation": 10**20},
        {"freeze": "9" * 5000},
        {"subset": "9" * 5000, "subset_order": "lab"},
        {"run_name": "x" * 151},
        {"run_name": "\t"},
        {"max_time": 600},
        {"max_time": "1:-30"},
        {"max_time": "9999999d"},
        {"recipe": ["probe"]},
        {"weights": "http://example.org/x.pth"},
        {"weights_sha256": "abc", "weights": "x.pth"},
        {"patience": 10**19},
        {"small_epochs": 10**19},
        {"views": 10**19},
        {"mixup": 1e30},
        {"cutmix": 1e300},
        {"weight_decay": 1e30},
        {"l1": 1e30},
        {"clip": 1e-300},
        {"trackers": "wandb,wandb"},
    ],
)
def test_what_is_no_value_is_refused_in_one_line_that_names_the_flag(flags):
    with pytest.raises(ConfigError, match=f"--{next(iter(flags))}") as mistake:
        with_recipe(flags)
    assert len(str(mistake.value)) < 500 and str(mistake.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "epochs: 2.7",
        "epochs: [1, 2]",
        "epochs: []",
        "epochs: {a: 1}",
        "epochs: true",
        "epochs: null",
        "epochs: 12:30",
        "epochs: 0x10",
        "epochs: 3\nepochs: 5",
        "batch-size: 3\nbatch_size: 5",
        "lr: yes",
        "lr: []",
        "wandb: 7",
        "[" * 5000,
        "? [1]\n: 2",
        "config: other.yaml",
        b"\xff\xfe\x00",
        "a: &a [x,x,x,x,x,x,x,x,x]\nepochs: [" + ",".join(["*a"] * 9) + "]",
        "x" * (1 << 21),
    ],
)
def test_a_file_of_flags_takes_no_more_than_the_command_line(from_file, text):
    with pytest.raises(ConfigError, match="--config=") as mistake:
        from_file(text)
    assert len(str(mistake.value)) < 500 and str(mistake.value).isprintable()


def test_a_file_of_flags(from_file):
    config = from_file(
        "epochs: 3\ntarget: [price, area]\ncompile: off\ncache: off\nworkers: 2\nlr: 1e-2\nmetadata: null\n"
    )
    assert (config.epochs, config.target, config.compile, config.cache) == (3, ("price", "area"), "off", "off")
    assert (config.workers, config.lr, config.metadata) == ("2", 0.01, None)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("max_time: 23:30:00", "max_time", "23:30:00"),
        ("study_id: 0123", "study_id", "0123"),
        ("run_name: 007", "run_name", "007"),
        ("run_name: 2020-01-01", "run_name", "2020-01-01"),
        ("run_name: no", "run_name", "no"),
        ("seed: 010", "seed", 10),
        ("cache: no", "cache", "off"),
        ("compile: yes", "compile", "on"),
        ("wandb: off", "wandb", False),
    ],
)
def test_values_in_a_file_mean_what_they_mean_on_the_command_line(from_file, line, name, value):
    """YAML alone would make of them 84600, 83, 7, a date, False and 8."""
    assert getattr(from_file(line), name) == value == getattr(from_words(f"--{line.replace(': ', '=')}"), name)


def test_a_file_that_powershell_has_written(from_file):
    assert from_file("epochs: 3\r\n".encode("utf-16")).epochs == 3


@pytest.mark.parametrize("name", ["target", "where", "trackers", "metadata", "cache", "data_dir", "weights"])
@pytest.mark.parametrize("value", ["", " ", ","])
def test_an_empty_value_of_an_unset_variable_is_no_default(name, value):
    if value == "" or (FIELDS[name].metadata["many"] == "comma"):
        with pytest.raises(ConfigError, match="is empty"):
            from_words(f"--{name}={value}")


def test_what_version_0_1_0_wrote_is_read(tmp_path):
    """It took empty texts; a list stands for a tuple in JSON; a flag that is gone is left out."""
    values = Config(target=("a",)).to_dict() | {"group": "", "target": ["a"], "old_flag": 1}
    assert Config.from_dict(values) == Config(target=("a",))


def test_a_message_is_one_printable_line():
    text = one_line(f"a\nb\0c \udcff {'x' * 5000}")
    assert text.isprintable() and len(text) < 250 and "a\\nb" in text


def test_lengths():
    assert parse_length("buffer", "1.5km") == 1500 and parse_length("buffer", "200 m") == 200
    assert grid_size("grid:500m") == 500 and grid_size("city") is None
    for wrong in ("500", "m", "0m", "-5m", "five km"):
        with pytest.raises(ConfigError, match=f"^--buffer={wrong}: expected a length such as 500m"):
            Config(buffer=wrong)  # before any image is looked for
        with pytest.raises(ConfigError, match=f"^--group=grid:{wrong}: .*such as grid:500m"):
            Config(group=f"grid:{wrong}")
        with pytest.raises(ConfigError, match=f"^--aggregate=grid:{wrong}: "):
            grid_size(f"grid:{wrong}", "aggregate")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_whole_number_has_an_upper_bound(command):
    fields = dataclasses.fields(importlib.import_module(f"deep_cnn.cli.commands.{command}").Options)
    assert [f.name for f in fields if f.metadata["kind"] is int and f.metadata["high"] is None] == []


@pytest.mark.parametrize("url", ["s3://bucket/x.pth", "data://x", "gs://bucket/x.pth"])
def test_urls_that_cannot_be_downloaded_are_refused(url):
    for digest in (None, "0" * 64):
        with pytest.raises(ConfigError, match="only https, http, ftp and file URLs are supported"):
            with_recipe({"weights": url, "weights_sha256": digest})


def test_the_scheme_of_a_url_has_no_case():
    assert with_recipe({"weights": "hTTps://example.org/x.pth"}).weights == "hTTps://example.org/x.pth"
    with pytest.raises(ConfigError, match="add --weights_sha256=DIGEST"):
        with_recipe({"weights": "FTP://example.org/x.pth"})


def test_small_numbers_that_mean_something_are_taken():
    assert with_recipe({"clip": 0}).clip == 0 and with_recipe({"clip": 1e-6}).clip == 1e-6
