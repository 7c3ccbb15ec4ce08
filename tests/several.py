"""Trainings of several processes, without the seconds that torchrun and imports take: children of a crash server.

Each child gets the environment that torchrun would give it. What is missing is torchrun's own supervision: a process that
loses another one has to end by itself.
"""

import json
import socket
from pathlib import Path

import torch
from conftest import PLACES
from crashes import Child, Server

from deep_cnn.runtime.run_files import RunFiles

# 40 images in batches of 11, 11, 11 and 7: parts of 5 and 6, of 2, 3, 3 and 3; the last one is too small for four
EXACT = [
    f"--data_dir={PLACES}",
    "--model=timm/test_convnext",
    "--weights=none",
    "--image_size=32",
    "--batch_size=11",
    "--cache=off",
    "--precision=fp64",
    "--augment=strong",
]
BATCHNORM = [
    f"--data_dir={PLACES}",
    "--model=shufflenet_v2_x0_5",
    "--weights=none",
    "--image_size=32",
    "--batch_size=16",
    "--save_every=2",
    "--ema=0.9",
    "--dropout=0.2",
]


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "NCPUS": str(count),  # one core for each
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Several:
    """`count` processes of one command, or one without torchrun's variables."""

    def __init__(self, server: Server, flags: list[str], folder: Path, count: int, command: str | None = None):
        port = free_port()
        words = [*([command] if command else []), *flags, f"--root_dir={folder}"]
        self.children = [
            Child(
                server,
                words,
                folder / f"process{rank}",
                environment=environment(rank, count, port) if count > 1 else {},
            )
            for rank in range(count)
        ]

    def ended(self) -> list[int]:
        """The exit codes."""
        return [child.ended() for child in self.children]

    def words(self) -> str:
        return "\n".join(f"-- process {i}\n{child.words()}" for i, child in enumerate(self.children))


def finish(
    server: Server, flags: list[str], folder: Path, count: int, command: str | None = None
) -> tuple[RunFiles, list[str]]:
    """To the end; the run's files, and what each process said."""
    several = Several(server, flags, folder, count, command)
    codes = several.ended()
    assert codes == [0] * count, (codes, several.words())
    return RunFiles(folder / "outputs", "default"), [child.words() for child in several.children]


def last(files: RunFiles) -> dict:
    return torch.load(files.last, weights_only=True)


def status(files: RunFiles) -> dict:
    return json.loads(files.status.read_text(encoding="utf-8"))


def apart(one: dict, other: dict, origin: dict | None = None) -> float:
    """The largest difference of two sets of weights, tensor by tensor, relative to the tensor (or to its way from `origin`)."""
    assert one.keys() == other.keys()
    found = 0.0
    for name, ours in one.items():
        ours, theirs = ours.double(), other[name].double()
        size = ours if origin is None else ours - origin[name].double()
        found = max(found, float((ours - theirs).norm() / size.norm().clamp(min=1e-12)))
    return found
