"""The manual tells the truth: commands are taken by the program, generated pages are up to date, messages and files exist."""

import json
import re
import shlex
import sys
from importlib import import_module

import manual
import pytest
from conftest import ROOT

from deep_cnn.cli.command_table import COMMANDS
from deep_cnn.cli.parser import parse_flags

sys.path.insert(0, str(ROOT / "docs"))
import generate

TEXTS = {manual.title_of(page): page.read_text(encoding="utf-8") for page in manual.PAGES}
HOW_TO = TEXTS["docs/how_to/troubleshooting.md"]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as code hosts and MyST make them."""
    titles = re.findall(
        r"^#+ (.+)$", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


# ---- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", sorted({line for text in TEXTS.values() for line in manual.commands(text)}))
def test_every_command_is_one_that_the_program_takes(line):
    words = shlex.split(line.replace("...", ""))
    command = words.pop(0) if words and not words[0].startswith("-") else "train"
    assert command in COMMANDS
    words = [word for word in words if word not in ("-h", "--help_all")]
    parse_flags(words, import_module(f"deep_cnn.cli.commands.{command}").Options)


def test_a_wrong_flag_in_a_page_is_found():
    (line,) = manual.commands("    python -m deep_cnn predict \\\n        --imagse=DIR   # all\n")
    assert line == "predict --imagse=DIR"
    with pytest.raises(Exception, match="Did you mean --images"):
        parse_flags(shlex.split(line)[1:], import_module("deep_cnn.cli.commands.predict").Options)


def test_every_command_is_explained():
    written = "".join(text for title, text in TEXTS.items() if not title.startswith("docs/reference/"))
    for command in COMMANDS:
        assert command == "train" or f"deep_cnn {command}" in written, command


@pytest.mark.parametrize("title", TEXTS)
def test_flags_in_the_text_exist(title):
    options = [import_module(f"deep_cnn.cli.commands.{command}").Options for command in COMMANDS]
    known = {name for cls in options for name in cls.__dataclass_fields__} | {"help_all"}
    known |= {f"no_{name}" for name in known} | {"gres"}  # the last one is Slurm's
    for span in re.findall(r"`(--[a-z_0-9-]+)", TEXTS[title]):
        assert span[2:].replace("-", "_") in known, f"{title}: {span}"


def test_scripts_that_are_named_exist():
    for title, text in TEXTS.items():
        for name in re.findall(r"(?<![\w/.-])((?:cluster|benchmarks|tests)/[\w/]+\.(?:sh|pbs|py|md))", text):
            assert (ROOT / name).exists(), f"{title}: {name}"
        for name in re.findall(r"python -m (benchmarks\.\w+)", text):
            assert (ROOT / f"{name.replace('.', '/')}.py").exists(), f"{title}: {name}"


# ---- pages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", TEXTS)
def test_links_lead_somewhere(title):
    page = ROOT / title
    text = re.sub(r"^ *```.*?^ *```", "", TEXTS[title], flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_page_is_in_the_contents():
    index = TEXTS["docs/index.md"]
    for title in TEXTS:
        name = title.removeprefix("docs/").removesuffix(".md")
        if title not in ("README.md", "docs/index.md"):
            assert re.search(rf"^{name}$", index, re.MULTILINE) or name.startswith("concepts/"), name


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_up_to_date(name):
    assert TEXTS[f"docs/{name}"] == generate.PAGES[name](), "run: python docs/generate.py"


def test_sentences_are_short():
    pages = {manual.title_of(page): manual.sentences(page.read_text(encoding="utf-8")) for page in manual.WRITTEN}
    lengths = {title: [manual.words(sentence) for sentence in found] for title, found in pages.items() if found}
    for title, counts in lengths.items():
        assert sum(counts) / len(counts) <= 20, title
    everything = [count for counts in lengths.values() for count in counts]
    assert sum(everything) / len(everything) <= 15


def test_how_sentences_are_counted():
    text = "# Title\n\nOne two three. Four\nfive `--six=6 7`!\n\n    code is no text.\n\n- An item\n- Another [one](a.md)\n\n| a | b |\n"
    assert manual.sentences(text) == ["One two three.", "Four five CODE!", "An item", "Another one"]
    assert [manual.words(sentence) for sentence in manual.sentences(text)] == [3, 3, 2, 2]


# ---- messages and files ------------------------------------------------------------------------------------------------------


def test_messages_in_troubleshooting_are_the_programs():
    code = [*(ROOT / "deep_cnn").rglob("*.py"), ROOT / "environment.sh", ROOT / "submit.pbs"]
    said = "\n".join([*generate.message_page().splitlines(), *(path.read_text(encoding="utf-8") for path in code)])
    quoted = [a or b for a, b in re.findall(r"^- (?:`` (.+?) ``|`([^`]+)`)$", HOW_TO, re.MULTILINE)]
    assert len(quoted) >= 40
    for message in quoted:
        assert message in said, f"{message}: no such message; see docs/reference/messages.md"


def test_messages_are_read_off_the_code():
    found = [message for group in generate.messages().values() for message in group]
    assert "--val_split=… --test_split=…: nothing would be left to train on; their sum must be below 1" in found
    assert any("Use a larger --test_split or a smaller --val_split" in message for message in found)
    assert len(found) > 250 and all(len(message.split()) >= 3 for message in found)


def test_files_of_a_run_are_those_of_the_manual(places_run):
    outputs = places_run.files.outputs
    there = {path.relative_to(outputs).as_posix().replace(places_run.files.name, "RUN") for path in outputs.rglob("*")}
    others = ("cache/", "models/.", "results/RUN/explain/")  # other tests explain this run
    files = {name for name in there if "." in name and not name.startswith(others)}
    figures = {f"results/RUN/{row.name}.png" for row in generate.registries.FIGURES.values()}
    listed = set(generate.RUN_FILES) | figures
    assert files <= listed
    # a state before the last one is there only after a second save
    assert set(generate.RUN_FILES) - files <= {"models/RUN/last.previous.pt"}


def test_keys_of_a_result_are_those_of_the_manual(places_run, scores_run):
    listed = {name for names in generate.RESULT_KEYS for name in re.split(r", | and ", names)}
    listed |= set(generate.registries.METRICS) | {"task", "bootstrap"}
    for run in (places_run, scores_run):
        result = json.loads((run.files.results / "test.json").read_text(encoding="utf-8"))
        assert set(result) <= listed
