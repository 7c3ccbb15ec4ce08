"""The package away from its repository: sdist and wheel are built, installed and used. Needs no network.

tests/package/run.sh does the same in an empty environment, with the dependencies from the package index.
"""

import ast
import csv
import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from conftest import PLACES, ROOT

import deep_cnn

SOURCES = ("deep_cnn", "tests", "docs", "benchmarks", "cluster")
EXTRAS = {"search", "track", "explain", "export", "heic", "decoders", "docs", "dev", "all"}


def run(*command: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def canonical(name: str) -> str:
    """A distribution's name as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of the project: building leaves folders behind."""
    copy = tmp_path_factory.mktemp("sources")
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, copy)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    return copy


@pytest.fixture(scope="module")
def built(sources) -> Path:
    """The folder with the sdist, and the wheel that was made from this sdist."""
    pytest.importorskip("build", reason="building needs pip install build")
    pytest.importorskip("setuptools", minversion="77", reason="building needs pip install 'setuptools>=77'")
    run(sys.executable, "-m", "build", "--no-isolation", sources, cwd=sources)
    return sources / "dist"


@pytest.fixture
def wheel(built) -> Path:
    (path,) = built.glob("*.whl")
    return path


def test_sdist_has_what_building_and_testing_need(built, sources):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {"pyproject.toml", "setup.py", "requirements.txt", "LICENSE", "README.md", "environment.sh"}
    wanted |= {file.relative_to(sources).as_posix() for file in (sources / "tests").rglob("*") if file.is_file()}
    assert not wanted - names
    assert not [name for name in names if "__pycache__" in name]


def test_wheel_has_every_file_of_the_package_and_no_other(wheel, sources):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    information = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert any(name.endswith("/LICENSE") for name in information)
    package = {f.relative_to(sources).as_posix() for f in (sources / "deep_cnn").rglob("*") if f.is_file()}
    assert "deep_cnn/py.typed" in package
    assert names - information == package, "add its pattern to [tool.setuptools.package-data]"


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Version"] == deep_cnn.__version__ and metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS
    required = metadata.get_all("Requires-Dist")
    bare = {re.match(r"[\w.-]+", line)[0] for line in required if "extra ==" not in line}
    assert {"torch", "torchvision", "numpy", "pandas"} <= bare
    assert not {"optuna", "wandb", "tensorboard", "captum", "onnx", "pytest", "ruff"} & bare
    (psutil,) = [line for line in required if line.startswith("psutil")]
    assert psutil.endswith('sys_platform == "win32"')


def test_citation_and_changelog_know_this_version():
    version = re.escape(deep_cnn.__version__)
    citation, changelog = ((ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "CHANGELOG.md"))
    released = re.search(rf"^version: {version}\ndate-released: (\S+)$", citation, re.MULTILINE)
    assert released and f"## [{deep_cnn.__version__}] - {released[1]}\n" in changelog


def test_files_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w./]+/[\w.]*|[\w/]+\.(?:py|toml|txt|md))`", text):
        places = (ROOT, ROOT / "deep_cnn", ROOT / "deep_cnn" / "models" / "zoo")
        assert any((place / name).exists() for place in places), name


def test_every_library_that_is_imported_is_required():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines += [line for name, extra in project["optional-dependencies"].items() if name != "dev" for line in extra]
    required = {canonical(re.match(r"[\w.-]+", line)[0]) for line in lines if line and not line.startswith("#")}
    required.add("huggingface-hub")  # timm's, imported beside it only

    imported: dict[str, Path] = {}
    for file in (ROOT / "deep_cnn").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0]: file for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported[node.module.split(".")[0]] = file
    distributions = packages_distributions()  # import name -> names of what is installed: yaml -> PyYAML
    for name in imported.keys() - sys.stdlib_module_names - {"deep_cnn"}:
        found = {canonical(distribution) for distribution in distributions.get(name, [name])}
        assert found & required, f"{imported[name]}: {name} is in no list of requirements"


def test_an_installed_wheel_trains_and_predicts(wheel, tmp_path):
    """In an environment that has nothing of its own but the package; the libraries are those of this one."""
    env, elsewhere = tmp_path / "env", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", env, cwd=elsewhere)
    programs = env / ("Scripts" if os.name == "nt" else "bin")
    install = ["install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", wheel]
    run(sys.executable, "-m", "pip", "--python", env, *install, cwd=elsewhere)
    # not --system-site-packages: of a virtual environment that means the Python below it, which has no torch
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (package,) = env.rglob("deep_cnn/__init__.py")
    (package.parents[1] / "libraries.pth").write_text("\n".join(libraries) + "\n", encoding="utf-8")

    where = run(programs / "python", "-c", "import deep_cnn; print(deep_cnn.__file__)", cwd=elsewhere).strip()
    assert Path(where).is_relative_to(env)
    assert "--epochs" in run(programs / "deep_cnn", "-h", cwd=elsewhere)
    # the network's weights and the report's templates are files beside the modules
    flags = ["--epochs=1", "--model=cifar_resnet20", f"--data_dir={PLACES}", "--device=cpu", "--cache=off"]
    assert "(included with deep_cnn)" in run(programs / "deep_cnn", *flags, cwd=elsewhere)
    assert (elsewhere / "outputs" / "results" / "default" / "report.html").is_file()
    run(programs / "deep_cnn", "predict", f"--images={PLACES / 'test'}", "--device=cpu", cwd=elsewhere)
    with (elsewhere / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(list((PLACES / "test").glob("*/*.jpg")))
