"""Checkpoints on disk: written atomically, flushed, never with non-finite weights, loaded with weights_only=True.

A checkpoint is a dict of tensors and plain values: format, model (how to build the network), weights, task, preprocessing,
config, progress, versions; `last.pt` adds the optimizer, the scaler, the moving average and the history of the run.
"""

import contextlib
import errno
import logging
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from deep_cnn.models.weights import (
    FORMAT,
    FORMAT_VERSION,
    REPLACED,
    NewerVersion,
    check_declared_sizes,
    check_version,
    refused_object,
)
from deep_cnn.runtime import manifest
from deep_cnn.runtime.atomic import FULL, Announce, atomic_path
from deep_cnn.runtime.errors import CheckpointError, DeepCNNError, NonFiniteLoss, nearest

log = logging.getLogger(__name__)


class Replaced(CheckpointError):
    """A checkpoint that can be read, but is not the one that digests.json lists."""


def save(path: Path, state: dict[str, Any], announce: Announce | None = None) -> None:
    """Write a checkpoint. OSError leaves the old file whole; NonFiniteLoss when a weight is NaN or infinite."""
    check_finite(state)
    with atomic_path(path, durable=True, announce=announce) as temporary:
        _write(temporary, {"format": FORMAT, "format_version": FORMAT_VERSION} | state)


def save_last(path: Path, state: dict[str, Any], announce: Announce | None = None) -> None:
    """Write last.pt and keep the one before it as last.previous.pt, should the new one turn out unreadable.

    At any moment one of last.fresh.pt, last.pt and last.previous.pt is whole, and the first that is there is the newest.
    On a full disk the one before is given up for the new one.
    """
    save_making_room(_fresh(path), state, path, announce)
    _put_in_place(path)


def save_making_room(path: Path, state: dict[str, Any], last: Path, announce: Announce | None = None) -> None:
    """`save`; a full disk gets room by giving up the state before last.pt (`last`), while that one can be read."""
    try:
        save(path, state, announce)
    except OSError as error:
        if error.errno not in FULL - {errno.EFBIG} or not (previous(last).exists() and readable(last)):
            raise
        previous(last).unlink()
        save(path, state, announce)


def _put_in_place(path: Path) -> None:
    if path.exists():
        os.replace(path, previous(path))
    os.replace(_fresh(path), path)


def load_last(path: Path) -> dict[str, Any] | None:
    """The newest state that can be read, saying so when that is not last.pt; None where there was never one.

    Raises CheckpointError when there are states and none can be used, or the newest is of a newer version.
    """
    found = [file for file in (_fresh(path), path, previous(path)) if file.exists()]  # newest first
    replaced = False
    for file in found:
        try:
            state = load(file)
        except NewerVersion:
            raise
        except CheckpointError as error:
            reason = f"{file}: {REPLACED}" if isinstance(error, Replaced) else error
            log.warning("%s; trying the previous checkpoint", reason)
            replaced |= isinstance(error, Replaced)
            continue
        if file == _fresh(path):  # a process died between two renames
            _put_in_place(path)
        elif file != path:
            log.warning("Reading the previous checkpoint, %s", file)
        return state
    if replaced:
        run = manifest.of_checkpoint(path)
        raise CheckpointError(
            f"{path}: not a checkpoint that {run.path if run else manifest.NAME} lists; one of the two was replaced or edited; "
            "restore it, or use --resume=never to start over"
        )
    if found:
        raise CheckpointError(
            f"{path}: neither this checkpoint nor the previous one can be read; use --resume=never to start over"
        )
    return None


def _write(path: Path, state: dict[str, Any]) -> None:
    """torch.save, but a disk that refuses is the OSError that it is: torch reports it as an unexpected position."""
    with open(path, "wb") as file:
        disk = _Disk(file)
        try:
            torch.save(state, disk)  # type: ignore[arg-type]  # calls only these two methods of a file
        except RuntimeError:
            if disk.error is None:
                raise
            raise disk.error from None


class _Disk:
    """A file that remembers why it could not be written."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self.file.flush()


def previous(path: Path) -> Path:
    """Where the state before last.pt (`path`) is kept."""
    return path.with_name("last.previous.pt")


def _fresh(path: Path) -> Path:
    """Complete and flushed, but not yet in its place."""
    return path.with_name("last.fresh.pt")


def load(path: Path) -> dict[str, Any]:
    """One of our checkpoints, tensors on the CPU. CheckpointError when missing, truncated, or not one of ours."""
    try:
        if path.is_file():
            check_declared_sizes(path)
        with zipfile.ZipFile(path) as archive:  # torch itself loads a file with flipped bits without a word
            if (part := archive.testzip()) is not None:
                raise ValueError(f"wrong checksum of {part}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        if (plan := path.parent.parent.parent / "results" / path.parent.name / "plan.json").exists():
            raise CheckpointError(
                f"{path}: {plan.parent.name} is a cross-validation; give one of its folds, --run_name={plan.parent.name}-fold1"
            ) from None
        runs = sorted(other.parent.name for other in path.parent.parent.glob(f"*/{path.name}"))
        there = f" (found: {', '.join(runs)})" if runs else ""
        raise CheckpointError(
            f"{path}: no such checkpoint{there}.{nearest(path.parent.name, runs)} Train first, or check --run_name and --root_dir"
        ) from None
    except Exception as error:  # a damaged file raises whatever the unpickler stumbles over
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        if (refused := refused_object(error)) is not None:
            reason = f"it contains a Python object, {refused}, which could run code"
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint ({reason}); it is damaged or not a checkpoint"
        ) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a deep_cnn checkpoint; load weights of other programs with --weights=FILE")
    check_version(path, state)
    run = manifest.of_checkpoint(path)
    if run is not None and run.agrees(path) is False:
        raise Replaced(f"{path}: {REPLACED}; restore it, or train again with --resume=never")
    return state


@contextlib.contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn whatever a dictionary that only claims to be our checkpoint causes into a CheckpointError that names the file."""
    try:
        yield
    except DeepCNNError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise CheckpointError(f"{path}: cannot be used as a checkpoint ({type(error).__name__}: {reason})") from error


def readable(path: Path) -> bool:
    """Whether `load` can read it: the whole file is read to see that."""
    try:
        load(path)
    except CheckpointError:
        return False
    return True


def check_finite(state: dict[str, Any]) -> None:
    """NonFiniteLoss when a weight or a statistic is NaN or infinite: such a file would end the run for good."""
    for part in ("weights", "average"):
        tensors = [t for t in (state.get(part) or {}).values() if t.is_floating_point() and t.numel()]
        if tensors and not bool(torch.stack([torch.isfinite(t).all() for t in tensors]).all()):
            bad = next(name for name, t in state[part].items() if not torch.isfinite(t.float()).all())
            step = state.get("progress", {}).get("global_step")
            raise NonFiniteLoss(
                f"{bad} contains NaN or infinite values{f' after step {step - 1}' if step else ''}; the previous checkpoint is "
                "kept; try a smaller --lr, --clip=1, or --precision=fp32"
            )
