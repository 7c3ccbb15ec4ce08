"""Imports point one way, from the verbs down to the errors: read off the syntax tree, so nothing needs to be imported."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import deep_cnn

PACKAGE = Path(deep_cnn.__file__).parent

# What a room may import of ours, beside itself
ROOMS = {
    "deep_cnn.data": {
        "deep_cnn.runtime.rng",
        "deep_cnn.runtime.errors",
        "deep_cnn.runtime.atomic",
        "deep_cnn.runtime.signals",
    },
    "deep_cnn.models.zoo.networks": {"deep_cnn.data.preprocess", "deep_cnn.runtime.errors", "deep_cnn.models.weights"},
    "deep_cnn.tasks.metrics": {"deep_cnn.runtime.errors"},
    "deep_cnn.runtime.rng": set(),
    "deep_cnn.runtime.errors": set(),
    "deep_cnn.config.schema": {"deep_cnn.runtime.errors"},
}


def modules() -> dict[str, Path]:
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = ["deep_cnn", *file.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(file: Path, names: set[str]) -> set[str]:
    """Our modules that a file imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in names else node.module for name in inner}
    return found & names


def graph() -> dict[str, set[str]]:
    files = modules()
    return {name: imports_of(file, set(files)) - {name} for name, file in files.items()}


def test_no_module_imports_itself_through_others():
    found = graph()
    found["deep_cnn"] = set()  # its functions are looked up when they are asked for
    order = list(graphlib.TopologicalSorter(found).static_order())  # CycleError names the circle
    assert (
        order.index("deep_cnn.runtime.errors")
        < order.index("deep_cnn.training.loop")
        < order.index("deep_cnn.training.run")
    )


def test_a_circle_would_be_found():
    found = graph() | {"deep_cnn.runtime.errors": {"deep_cnn.training.run"}}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(found).prepare()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_touches_only_what_it_may(room):
    for name, imported in graph().items():
        if name == room or name.startswith(room + "."):
            outside = {i for i in imported if not (i == room or i.startswith(room + "."))}
            assert outside <= ROOMS[room], f"{name} imports {outside - ROOMS[room]}"


def test_only_the_verbs_know_the_verbs():
    for name, imported in graph().items():
        if not name.startswith("deep_cnn.verbs"):
            assert not any(i.startswith("deep_cnn.verbs.") for i in imported), name


def test_no_module_is_named_as_a_public_function():
    assert not {name.rsplit(".", 1)[-1] for name in modules()} & {"train", "predict", "evaluate", "load_model"}


def test_the_command_line_imports_no_torch():
    code = (
        "import sys, deep_cnn, deep_cnn.cli.main, deep_cnn.runtime.signals\n"
        "assert deep_cnn.cli.main.main(['-h']) == 0 and deep_cnn.cli.main.main(['--help_all']) == 0\n"
        "heavy = {'torch', 'numpy', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--epochs" in done.stdout
