"""Flags: spelled in every way that a hand-out or a colleague spells them; a typo is answered with the nearest name."""

import dataclasses
import importlib
import os

import network_checks
import pytest

from deep_cnn.cli.help import help_text
from deep_cnn.cli.main import main
from deep_cnn.cli.parser import parse_flags
from deep_cnn.config.fields import parse_duration
from deep_cnn.config.recipes import with_recipe
from deep_cnn.config.schema import Config
from deep_cnn.runtime.errors import ConfigError


def parse(*words: str) -> Config:
    return with_recipe(parse_flags(list(words), Config))


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ((), False),
        (("--wandb",), True),
        (("--wandb=True",), True),
        (("--wandb", "True"), True),
        (("--wandb=False",), False),
        (("--wandb", "False"), False),
        (("--no_wandb",), False),
        (("--no-wandb",), False),
        (("--wandb=0",), False),
    ],
)
def test_booleans(words, value):
    assert parse(*words).wandb is value  # bool("False") is True


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
@pytest.mark.parametrize(
    ("words", "level"),
    [
        (("--tta",), "flip"),
        (("--tta=shift",), "shift"),
        (("--tta", "flip"), "flip"),
        (("--tta=True",), "flip"),  # as predict's scripts had it when it was a switch
        (("--tta=no",), "none"),
        (("--no_tta",), "none"),
    ],
)
def test_tta_means_the_same_in_every_command(command, words, level):
    options = importlib.import_module(f"deep_cnn.cli.commands.{command}").Options
    given = {"images": "-"} if command == "predict" else {}
    assert options(**given, **parse_flags(list(words), options)).tta == level
    with pytest.raises(ConfigError, match="--tta=twice: unknown; choose one of none, flip, shift"):
        options(**given, **parse_flags(["--tta=twice"], options))


def test_hyphens_and_underscores_are_one():
    assert parse("--batch-size=7", "--data_dir=a-b_c").batch_size == 7
    assert parse("--data_dir=a-b_c").data_dir == "a-b_c"


def test_lists():
    config = parse("--target=price, area", "--target", "beds", "--where=a>=5", "--where=name==x,y")
    assert config.target == ("price", "area", "beds")
    assert config.where == ("a>=5", "name==x,y")  # a comma may be part of a value


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--learning-rate=3"], "--learning_rate: no such flag; -h lists the flags. Did you mean --lr?"),
        (["predict", "--learning_rate=3"], "--learning_rate: no such flag; -h lists the flags."),
        (["--epoch=3"], "--epoch: no such flag; -h lists the flags. Did you mean --epochs?"),
        (["--lr=abc"], "--lr=abc: expected a number"),
        (["--epochs=1.5"], "--epochs=1.5: expected a whole number"),
        (["--wandb=maybe"], "--wandb=maybe: expected True or False"),
        (["--epochs=0"], "--epochs=0: out of range; it must be at least 1"),
        (["--lr=inf"], "--lr=inf: expected a finite number"),
        (["--weight_decay=nan"], "--weight_decay=nan: expected a finite number"),
        (["--subset=nan"], "--subset=nan: expected a number of images"),
        (["--grad_accumulation=²"], "--grad_accumulation=²: expected auto or a whole number"),
        (["--batch_size=99999999999999999999"], "it must be at most 1e+09"),
        (["--root_dir=.", "compare"], "compare: a command comes first; python -m deep_cnn compare ..."),
        (["--lr=0"], "--lr=0.0: out of range; it must be above 0"),
        (["--val_split=1"], "--val_split=1.0: out of range; it must be below 1"),
        (["--val_split=0.6", "--test_split=0.5"], "nothing would be left to train on"),
        (["--optimizer=adamm"], "choose one of adamw, adam, sgd, muon, timm/NAME. Did you mean adam"),
        (["--recipe=scrach"], "Did you mean scratch?"),
        (["--subset=many"], "expected a number of images (5000) or a share of them (0.1)"),
        (["--max_time=soon"], "expected a duration such as 23:30:00"),
        (["--freeze=some"], "expected none, backbone, or a number of stages"),
        (["--unfreeze_epoch=2"], "nothing is frozen"),
        (["--run_name=a/b"], "it names files"),
        (["tests"], "tests: no such command; choose one of train, evaluate"),
        (["evalute"], "Did you mean evaluate?"),
        ([os.curdir], "Did you mean --data_dir=.?"),
        (["predict", os.curdir], ".: no such flag; -h lists the flags. Did you mean --images=.?"),
        (["predict", "-"], "Did you mean --images=-?"),
        (["check", os.curdir], "Did you mean --data_dir=.?"),
    ],
)
def test_a_mistake_is_one_helpful_line_and_exit_code_2(words, expected, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert expected in err and err.count("\n") == 1 and not out


def test_nan_is_out_of_range():
    with pytest.raises(ConfigError):
        Config(lr=float("nan"))


def test_help_shows_the_courses_flags_first_and_all_flags_on_request():
    short, long = help_text("train", Config, False), help_text("train", Config, True)
    course = ["epochs", "batch_size", "model", "pre", "lr", "run_name", "root_dir", "data_dir", "wandb"]
    places = [short.index(f"--{name} ") for name in course]
    assert places == sorted(places) and places[-1] < short.index("--metadata")
    for f in dataclasses.fields(Config):
        assert f"--{f.name} " in long, f.name
        assert f.metadata["help"], f.name


def test_recipes_are_defaults_that_a_flag_overrides():
    assert parse("--recipe=scratch").optimizer == "sgd"
    assert parse("--recipe=scratch", "--optimizer=adam", "--no_nesterov").optimizer == "adam"


def test_config_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "epochs: 3\nbatch-size: 8\nwandb: false\ntarget: [price, area]\nlr: 0.01\nmetadata: null\n", encoding="utf-8"
    )
    config = parse(f"--config={file}", "--epochs=5")
    assert (config.epochs, config.batch_size, config.target, config.lr) == (5, 8, ("price", "area"), 0.01)
    file.write_text("epoch: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="Did you mean epochs"):
        parse(f"--config={file}")
    file.write_text("epochs: three\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a whole number"):
        parse(f"--config={file}")
    with pytest.raises(ConfigError, match="cannot be read"):
        parse("--config=nowhere.yaml")


def test_config_survives_json():
    config = parse("--target=a,b", "--where=x>1", "--lr=0.123")
    import json

    assert Config.from_dict(json.loads(config.to_json())) == config


@pytest.mark.parametrize(
    ("text", "seconds"), [("23:30:00", 84600), ("90s", 90), ("10m", 600), ("2h", 7200), ("1:30", 90)]
)
def test_durations(text, seconds):
    assert parse_duration("max_time", text) == seconds


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
@pytest.mark.parametrize("words", [["-h"], ["--help_all"]])
def test_a_reader_that_leaves_is_no_error(words):
    network_checks.a_reader_that_leaves(words)
