"""README tells the truth: every flag and module is in it, and every command in it is one that the program takes."""

import dataclasses
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT

import deep_cnn
from deep_cnn.cli.command_table import VERBS
from deep_cnn.cli.parser import parse_flags
from deep_cnn.config.schema import Config

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The command lines of our program in README, continued lines joined, behind whatever stands before `-m deep_cnn`."""
    text = README.replace("\\\n", " ")
    found = re.findall(r"-m deep_cnn([^`\n]*)", text)
    return [line.split(" #")[0].split("  ")[0].strip() for line in found]


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_is_one_that_the_program_takes(line):
    words = [
        word for word in shlex.split(line.replace("...", "")) if word not in ("[VERB]", "[--flag=value", "]", "$(ARGS)")
    ]
    verb = words.pop(0) if words and not words[0].startswith("-") else "train"
    assert verb in VERBS
    words = [word for word in words if word not in ("-h", "--help_all")]
    parse_flags(words, import_module(VERBS[verb].module).Options)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Config)])
def test_every_flag_is_in_the_table(name):
    row = re.search(rf"^\| `--{name}` \|.*\|$", README, re.MULTILINE)
    assert row, f"run python tests/flags_table.py and put the row of --{name} into README's table"


def test_every_verb_is_in_readme():
    for verb in VERBS:
        assert verb == "train" or f"deep_cnn {verb}" in README, verb


def test_the_layout_section_is_the_tree():
    layout = README.split("## How the code is laid out")[1].split("\n## ")[0]
    named = set(re.findall(r"^      (\S+?)/? ", layout, re.MULTILINE))
    package = Path(deep_cnn.__file__).parent
    there = {path.name for path in package.iterdir()} - {"__init__.py", "__pycache__", "py.typed"}
    assert named == there


def test_pictures_and_files_that_are_linked_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", re.sub(r"```.*?```", "", README, flags=re.DOTALL)):
        if "://" not in target:
            assert (ROOT / target).exists(), target
