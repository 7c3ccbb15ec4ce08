"""README tells the truth: every flag and module is in it, and every command in it is one that the program takes."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import flags_table
import pytest
from conftest import ROOT

import deep_cnn
from deep_cnn.cli.command_table import COMMANDS
from deep_cnn.cli.parser import parse_flags

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The command lines of our program in README, continued lines joined, behind whatever stands before `-m deep_cnn`."""
    text = README.replace("\\\n", " ")
    found = re.findall(r"-m deep_cnn([^`\n]*)", text)
    return [line.split(" #")[0].split("  ")[0].strip() for line in found]


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_is_one_that_the_program_takes(line):
    words = [
        word
        for word in shlex.split(line.replace("...", ""))
        if word not in ("[COMMAND]", "[--flag=value", "]", "$(ARGS)")
    ]
    command = words.pop(0) if words and not words[0].startswith("-") else "train"
    assert command in COMMANDS
    words = [word for word in words if word not in ("-h", "--help_all")]
    parse_flags(words, import_module(f"deep_cnn.cli.commands.{command}").Options)


def test_the_tables_of_flags_are_the_programs():
    assert flags_table.tables() in README, "run python tests/flags_table.py --write"


def test_every_command_is_in_readme():
    for command in COMMANDS:
        assert command == "train" or f"deep_cnn {command}" in README, command


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
