"""README is short, its first commands are those that everybody follows, and its list of folders is the tree."""

import re
from pathlib import Path

import manual
from conftest import ROOT

import deep_cnn

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short():
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1200


def test_the_two_commands_that_set_up_and_test():
    assert re.search(r"^    sh environment\.sh python -m deep_cnn ", README, re.MULTILINE)
    assert "\n    sh environment.sh pytest\n" in README


def test_the_layout_section_is_the_tree():
    layout = README.split("## How the code is laid out")[1].split("\n## ")[0]
    named = set(re.findall(r"^      (\S+?)/? ", layout, re.MULTILINE))
    package = Path(deep_cnn.__file__).parent
    there = {path.name for path in package.iterdir()} - {"__init__.py", "__pycache__", "py.typed"}
    assert named == there


def test_its_first_command_is_the_one_of_the_first_page_of_the_manual():
    first = manual.commands(README.split("```")[0])[0]
    assert first in (ROOT / "docs" / "start" / "first_run.md").read_text(encoding="utf-8")
