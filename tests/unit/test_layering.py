"""Imports point one way: a folder imports only from the folders to its left. Read off the syntax tree, nothing is imported."""

import ast
import functools
import graphlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import deep_cnn

PACKAGE = Path(deep_cnn.__file__).parent

# Each imports only what stands before it
ORDER = (
    "runtime",
    "errors",
    "config",
    "data",
    "dataset_generator",
    "models",
    "tasks",
    "inference",
    "reporting",
    "training",
    "tools",
    "cli",
)


def modules() -> dict[str, Path]:
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = ["deep_cnn", *file.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(node: ast.AST, names: set[str], annotations: bool) -> set[str]:
    """Our modules that a file imports, at its top or within a function. annotations: also those for annotations alone."""
    if (
        not annotations
        and isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    ):
        return set()
    found = set()
    if isinstance(node, ast.Import):
        found = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: relative import"
        inner = {f"{node.module}.{alias.name}" for alias in node.names}
        found = {name if name in names else node.module for name in inner}
    elif isinstance(node, ast.expr):
        return set()  # no statement is inside of an expression
    return found.intersection(names).union(
        *(imports_of(child, names, annotations) for child in ast.iter_child_nodes(node))
    )


@functools.cache
def graph(annotations: bool) -> dict[str, set[str]]:
    files = modules()
    return {
        name: imports_of(ast.parse(file.read_text(encoding="utf-8")), set(files), annotations) - {name}
        for name, file in files.items()
    }


def place(module: str) -> int:
    """The place of a module's folder in the order."""
    return ORDER.index(module.split(".")[1])


def wrong_imports(found: dict[str, set[str]]) -> list[str]:
    inside = [
        (name, other) for name, others in found.items() for other in others if name.count(".") and other.count(".")
    ]
    return [f"{name} -> {other}" for name, other in inside if "__main__" not in name and place(other) > place(name)]


def test_folders_import_only_to_the_left():
    assert wrong_imports(graph(annotations=True)) == []
    assert wrong_imports({"deep_cnn.data.feed": {"deep_cnn.models.build"}}) == [
        "deep_cnn.data.feed -> deep_cnn.models.build"
    ]


def test_the_folders_are_those_of_the_order():
    entries = {path.stem for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert entries == {*ORDER, "__init__", "__main__"}


def test_no_module_imports_itself_through_others():
    found = graph(annotations=False) | {"deep_cnn": set()}  # its functions are looked up when they are asked for
    list(graphlib.TopologicalSorter(found).static_order())  # CycleError names the circle
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(found | {"deep_cnn.runtime.errors": {"deep_cnn.training.setup"}}).prepare()


@pytest.mark.parametrize("folder", [path for path in PACKAGE.rglob("*") if (path / "__init__.py").is_file()])
def test_a_folder_describes_each_of_its_files_in_a_line(folder):
    """Its `__init__.py` is a docstring with a line for each file, and nothing else."""
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    text = ast.get_docstring(tree)
    assert len(tree.body) == 1 and text
    described = [line.split()[0].rstrip("/") for line in text.splitlines()[2:] if line]
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    folders = {path.name for path in folder.iterdir() if (path / "__init__.py").is_file()}
    assert sorted(described) == sorted(files | folders)


def test_no_module_at_the_top_is_named_as_a_public_function():
    assert not {path.stem for path in PACKAGE.iterdir()} & {"train", "predict", "load_model"}


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


def test_files_of_tests_have_names_of_their_own():
    """pytest imports each under its bare name; two of one name end the run, but not that of a single folder."""
    names = Counter(path.name for path in Path(__file__).parent.parent.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
