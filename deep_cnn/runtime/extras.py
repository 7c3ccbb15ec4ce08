"""Optional libraries: which extra of the package brings them, and the one line that says so."""

import importlib.util

from deep_cnn.runtime.errors import ConfigError


def require_extra(extra: str, libraries: tuple[str, ...], wanted: str) -> None:
    """Raise ConfigError, before any work, when a library of an extra is not installed.

    Args:
        extra: its name in pyproject.toml.
        libraries: names to import.
        wanted: the command or flag that needs them, e.g. "search" or "--output=x.parquet".
    """
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f'{wanted}: needs {", ".join(missing)}; pip install "deep_cnn[{extra}]"')
