"""When are two runs the same run? When nothing that changes their numbers differs."""

import functools
import hashlib
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeGuard

from deep_cnn.config.recipes import with_recipe
from deep_cnn.config.schema import Config

# The code that changes a run's numbers; what reads or shows a finished run may change without training it again.
CHANGES_NUMBERS = (
    "runtime",
    "config",
    "data",
    "dataset_generator.py",
    "models",
    "tasks",
    "training",
    "inference/evaluate.py",
    "inference/linear_baseline.py",
    "inference/tta.py",
)
# Sources that give the same numbers as these, by comparing whole runs bit for bit (tests/golden.py). To be emptied when a
# change of the code changes numbers; then a release's sources move to OTHER_NUMBERS.
SAME_NUMBERS: frozenset[str] = frozenset()
# Sources of releases that give other numbers, and the release.
OTHER_NUMBERS = {"f01b80a8c354cdfbbb75bc9285dcfe787398335779fc93b11b234184a12b332d": "0.1.0"}

OLDER_BATCHNORM = "update"  # of versions that had no --batchnorm

DATA_CHANGED = "the images or the table have changed"

LIBRARIES = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "pillow", "timm")
OPTIONAL_LIBRARIES = ("torchcodec", "simplejpeg", "pillow-heif")  # they read images where they are installed

NOT_INSTALLED = "not installed"


def run_identity(config: Config, data_digest: str, read_digest: str) -> dict[str, Any]:
    """The flags that change numbers, the data, and the package's own sources (a student edits the table of --pre).

    Args:
        data_digest: of the files and the table that are there. read_digest: of what the program made of them.
    """
    flags = config.identity()
    weights = Path(config.weights).expanduser()
    if weights.is_file():  # the same file under another name is the same, another file of this name is not
        with weights.open("rb") as file:
            flags["weights"] = f"file with SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    flags["split_seed"] = config.split_seed or 0
    if config.split_from is not None:  # likewise: what it is called does not matter, what is in it does
        splits = config.root / "outputs" / "results" / config.split_from / "splits.csv"
        flags["split_from"] = f"splits with SHA-256 {hashlib.sha256(splits.read_bytes()).hexdigest()[:16]}"
    return {"flags": _as_json(flags), "data": data_digest, "read": read_digest, "sources": sources_digest()}


def _as_json(flags: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in flags.items()}


def sources_digest() -> str:
    """Hash of the .py files that change numbers and of the weights that come with the package, by relative path."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    files = [
        file
        for name in CHANGES_NUMBERS
        for file in ([package / name] if name.endswith(".py") else (package / name).rglob("*"))
        if file.suffix in (".py", ".pt")
    ]
    for file in sorted(files, key=lambda file: file.relative_to(package).as_posix()):
        digest.update(file.relative_to(package).as_posix().encode())
        digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def sources_of(identity: dict[str, Any]) -> str:
    """The sources that a run's identity names; the present ones where they give the same numbers."""
    return sources_digest() if identity["sources"] in SAME_NUMBERS else identity["sources"]


def saved_flags(record: dict[str, Any] | None) -> dict[str, Any]:
    """The flags that a run's config.json (`record`) names; {} where there is none, or it is damaged."""
    identity = (record or {}).get("identity")
    flags = identity.get("flags") if isinstance(identity, dict) else None
    return flags if isinstance(flags, dict) else {}


def is_identity(values: Any) -> TypeGuard[dict[str, Any]]:
    """Whether values that were read from a file are those of `run_identity`, so that `differences` can compare them."""
    return (
        isinstance(values, dict)
        and isinstance(values.get("flags"), dict)
        and "seed" in values["flags"]
        and all(isinstance(values.get(name), str) for name in ("data", "sources"))
    )


def differences(ours: dict[str, Any], saved: dict[str, Any]) -> list[str]:
    """What makes two runs different runs, in words; sources are not counted here."""
    # a flag that an older version did not have was at what is its default now, but the splits had the run's seed
    older = {"split_seed": saved["flags"]["seed"], "batchnorm": OLDER_BATCHNORM}
    before = _as_json(Config().identity()) | older | saved["flags"]
    names = [name for name, value in ours["flags"].items() if value != before[name]]
    found = [f"--{name} was {flag_text(before[name])}, is {flag_text(ours['flags'][name])}" for name in names]
    if ours["data"] != saved["data"]:
        found.append(DATA_CHANGED)
    return found


def flag_text(value: Any) -> str:
    """A flag's value for people; `not set` where there is none."""
    return (
        "not set"
        if value in (None, [], (), "")
        else ",".join(map(str, value))
        if isinstance(value, (list, tuple))
        else str(value)
    )


@functools.cache  # asks git, and every checkpoint has them
def versions() -> dict[str, str]:
    """Versions of Python, the libraries and the program: into config.json and each checkpoint."""
    found = {"python": platform.python_version(), "system": platform.platform(), "deep_cnn": _version("deep_cnn")}
    found |= {name: _version(name) for name in LIBRARIES}
    found |= {name: known for name in OPTIONAL_LIBRARIES if (known := _version(name)) != NOT_INSTALLED}
    commit = _git_commit()
    return found | ({"git_commit": commit} if commit else {})


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return NOT_INSTALLED


def _git_commit() -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def command_line(config: Config) -> str:
    """The command that repeats a run: the flags that are not at their default."""
    words = [f"{Path(sys.executable).stem}", "-m", "deep_cnn", *flags_of(config)]
    return " ".join(word if word.replace("=", "").replace("-", "").isalnum() else shlex.quote(word) for word in words)


def flags_of(config: Config) -> list[str]:
    """Those that are not at their default, as words of a command line."""
    default = with_recipe({"recipe": config.recipe})  # what a recipe sets needs no flag, what differs from it does
    words = []
    for name, value in config.to_dict().items():
        if value != getattr(default, name) or (name == "recipe" and value != "finetune"):
            words.append(f"--{name}={','.join(value) if isinstance(value, (tuple, list)) else value}")
    return words
