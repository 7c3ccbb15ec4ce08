"""Files of weights: where they lie, how they are fetched, what is inside, and how they are fitted to a network."""

import argparse
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.runtime import manifest
from deep_cnn.runtime.errors import CheckpointError
from deep_cnn.runtime.format import plural, some

FORMAT = "deep_cnn"  # of our own checkpoints
# Of the meaning of a checkpoint's parts; 1 is that of version 0.1.0, which did not write it. To be raised when a program
# of before would misunderstand a checkpoint.
FORMAT_VERSION = 1
LARGEST_RATIO = 4  # of what a file declares to its own size: torch compresses nothing

# Where programs keep the tensors in a checkpoint, averaged weights first: those are the ones its author evaluated.
STATE_KEYS = (
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "module",
)

_scalar: Any = np.float64(0).__reduce__()[0]  # NumPy's function that makes one

# Harmless kinds that training scripts store beside the tensors (their arguments, a best accuracy of NumPy's).
_SAFE_KINDS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
    _scalar,
    (_scalar, "numpy.core.multiarray.scalar"),  # its name before NumPy 2
]


REPLACED = f"not the file that this run saved (see {manifest.NAME}); it was replaced or edited"


class NewerVersion(CheckpointError):
    """A checkpoint of a newer version: newer states are not to be given up for older ones."""


@dataclass(frozen=True)
class WeightsFile:
    """state: the tensors, under the file's own names; info: a checkpoint of ours also tells its "model",
    "task" and "preprocessing"; {} for others'.
    """

    state: Mapping[str, Tensor]
    info: Mapping[str, Any]


def read(path: Path) -> WeightsFile:
    """Read a state dict or a checkpoint, with `weights_only=True`: a file cannot run code.

    Raises:
        CheckpointError: missing, truncated, of another kind, or without tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"--weights={path}: no such file")
    try:
        content = _load(path)
    except Exception as error:  # torch.load raises whatever the broken byte happens to break
        raise CheckpointError(unreadable(path, error)) from error
    if isinstance(content, Mapping) and content.get("format") == FORMAT and "weights" in content:
        check_version(path, content)
        run = manifest.of_checkpoint(path)
        if run is not None and run.agrees(path) is False:
            raise CheckpointError(f"--weights={path}: {REPLACED}")
        average = content.get("average")  # last.pt holds both; the average is what was validated
        state = average if isinstance(average, Mapping) and average else content["weights"]
        model, task = content.get("model", {}), content.get("task", {})
        if not (
            isinstance(state, Mapping)
            and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items())
            and isinstance(model, Mapping)
            and isinstance(task, Mapping)
            and isinstance(task.get("names", ()), (list, tuple))
            and isinstance(content.get("preprocessing", {}), Mapping)
        ):
            raise CheckpointError(f"--weights={path}: is marked as a checkpoint of deep_cnn but has not its parts")
        return WeightsFile(state, {key: content[key] for key in ("model", "task", "preprocessing") if key in content})
    state = _tensors(content)
    if state is None:
        raise CheckpointError(
            f"--weights={path}: contains no weights; expected a file written by torch.save(model.state_dict(), FILE)"
        )
    return WeightsFile(state, {})


def check_version(path: Path, state: Mapping[str, Any]) -> None:
    """NewerVersion for a checkpoint of a newer version, which may mean something else by the same names."""
    version = state.get("format_version", 1)
    if version != 1 and not (isinstance(version, int) and version <= FORMAT_VERSION):
        theirs = state.get("versions")
        name = theirs.get("deep_cnn", "unknown") if isinstance(theirs, dict) else "unknown"
        raise NewerVersion(
            f"{path}: written by a newer version of deep_cnn ({name}, format {version}); this version reads formats up to "
            f"{FORMAT_VERSION}; update deep_cnn"
        )


def unusable(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """Why a network cannot begin with the plain tensors of a file that fit its `own`; None where it can."""
    fitting = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    for name, tensor in fitting.items():
        if own[name].is_floating_point() and not tensor.is_floating_point():
            return f"{name} holds {str(tensor.dtype).removeprefix('torch.')}, not floating-point numbers"
    broken = [name for name, tensor in fitting.items() if not bool(torch.isfinite(tensor.float()).all())]
    return f"{broken[0]} contains NaN or infinite values" if broken else None


def odd_tensors(state: Mapping[str, Tensor]) -> str | None:
    """What is wrong with tensors whose values cannot be copied into a network; None where there are none."""
    odd = [
        name
        for name, tensor in state.items()
        if tensor.is_nested
        or tensor.is_quantized
        or tensor.is_meta
        or tensor.is_complex()
        or tensor.layout != torch.strided
    ]
    return (
        f"has tensors that are sparse, quantized, complex or without values{_some(odd)}; save plain ones (tensor.to_dense(), "
        "tensor.dequantize())"
        if odd
        else None
    )


def refused_object(error: Exception) -> str | None:
    """The Python object in a pickle because of which torch refuses it; None where that is not the reason."""
    said = str(error)
    found = re.search(r"(?:GLOBAL|class|function|Unsupported global:) ['`]?([\w.]+\.[\w.]+)", said)
    return found[1] if found and "eights only" in said else None


def check_declared_sizes(path: Path) -> None:
    """ValueError for an archive whose parts declare much more than the file holds: unpacking it would fill the memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        declared = sum(part.file_size for part in archive.infolist())
    size = path.stat().st_size
    if declared > LARGEST_RATIO * size:
        raise ValueError(f"it declares {declared / 1e6:,.0f} MB in a file of {size / 1e6:,.1f} MB")


def unreadable(path: Path, error: Exception) -> str:
    """One line on why a file could not be read as weights."""
    if (refused := refused_object(error)) is not None:
        return (
            f"--weights={path}: contains Python objects ({refused}), which could run code; "
            "save only the tensors with torch.save(model.state_dict(), FILE)"
        )
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return (
        f"--weights={path}: not a weights file, or truncated ({path.stat().st_size} bytes; {reason}); "
        "delete it and download or save it again"
    )


def fit(
    model: nn.Module,
    state: Mapping[str, Tensor],
    heads: list[str],
    label: str,
    adapt: Callable[[Mapping[str, Tensor], nn.Module], Mapping[str, Tensor]] = lambda state, model: state,
    others: Sequence[str] = (),
    nouns: str = "outputs",
) -> list[str]:
    """Load a state dict into a network, in place: its backbone, and its heads where they have the same size.

    Args:
        state: tensors under names that may carry a prefix ("module.", "model.backbone." ...).
        heads: module names of the heads.
        label: what to call the file.
        adapt: (state under the network's names, model) -> state, for older names and other input sizes.
        others: what the file's heads tell apart, where that is something else than the network shall: they are left out.
        nouns: what to call the network's outputs in the log; of "classes", the head is a classifier.

    Returns:
        Lines for the log: how much was loaded, what was left out.

    Raises:
        CheckpointError: the tensors are of another network.
    """

    def in_head(name: str) -> bool:
        return any(name.startswith(head + ".") for head in heads)

    own = model.state_dict()
    if odd := odd_tensors(state):
        raise CheckpointError(f"--weights={label}: {odd}")
    state = _without_prefix(state, own)
    versions = _versions(own) | _versions(state)
    state = adapt(state, model)
    if problem := unusable(state, own):
        raise CheckpointError(f"--weights={label}: {problem}; use another file")
    other_shape = [name for name, tensor in state.items() if name in own and own[name].shape != tensor.shape]
    left_out = {name for name in state if name in other_shape or (others and in_head(name))}
    # torchvision reads versions from here: without one MNASNet refuses the file, with none ViT renames its old layers
    fitting = _versioned(((name, tensor) for name, tensor in state.items() if name not in left_out), versions)
    try:
        result = model.load_state_dict(fitting, strict=False)
    except RuntimeError as error:  # a renamed tensor of another shape
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"--weights={label}: does not match the network of --model ({reason})") from error

    wanted = [name for name in own if not in_head(name) and not name.endswith("num_batches_tracked")]
    missing = [name for name in result.missing_keys if name in wanted]
    unused = [name for name in result.unexpected_keys if not in_head(name)]
    if len(missing) > len(wanted) / 2 or len(unused) > max(8, len(wanted) / 10):
        raise CheckpointError(
            f"--weights={label}: does not match the network of --model: the file has {len(wanted) - len(missing)} of its "
            f"{len(wanted)} tensors and {len(unused)} others{_some(unused)}"
        )
    lines = [f"Weights: loaded {len(wanted) - len(missing)} of {len(wanted)} backbone tensors from {label}"]
    if missing:
        lines.append(
            f"Weights: {plural(len(missing), 'tensor')} left at random values, missing or of another shape{_some(missing)}"
        )
    if unused:
        lines.append(f"Weights: {plural(len(unused), 'tensor')} of the file not used{_some(unused)}")
    # ImageNet's head has no targets
    kind, unit = ("classifier", ("class", "classes")) if nouns == "classes" else ("head", ("output", "outputs"))
    for head in heads:
        name = f"{kind} {head}" if len(heads) > 1 else kind
        lines.append(_about_head(name, unit, _weight_of(head, own, state), bool(others)))
    return lines


def _weight_of(head: str, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """The matrix of a head: the network's own, and the file's where it has one."""
    weight = max((name for name in own if name.startswith(head + ".")), key=lambda name: own[name].dim())
    return own[weight], state.get(weight)


def _about_head(name: str, unit: tuple[str, str], weights: tuple[Tensor, Tensor | None], foreign: bool) -> str:
    own, theirs = weights
    new = _units(own, unit)
    if theirs is None:
        return f"Weights: the file has no {name}; added a new one ({new})"
    if foreign or theirs.shape != own.shape:
        return f"Replaced the {name} ({_units(theirs, unit)}) by a new one ({new})"
    return f"Weights: loaded the {name} ({new})"


def _units(head: Tensor, unit: tuple[str, str]) -> str:
    count = head.shape[0]
    return f"{count} {unit[count != 1]}"


def _some(names: list[str]) -> str:
    return f" ({some(names)})" if names else ""


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    check_declared_sizes(path)
    if zipfile.is_zipfile(path):  # torch itself loads a file with flipped bits without a word
        with zipfile.ZipFile(path) as archive:
            if (part := archive.testzip()) is not None:
                raise ValueError(f"wrong checksum of {part}")
    # a map reads only what is used, optimizer states stay on the disk; files before torch 1.6 are no zip archives
    with torch.serialization.safe_globals(_SAFE_KINDS):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _tensors(content: Any) -> Mapping[str, Tensor] | None:
    """The state dict in a checkpoint: below a usual key, else its own tensors; None when there are none."""
    if not isinstance(content, Mapping):
        return None
    for key in STATE_KEYS:
        if (found := _tensors(content.get(key))) is not None:
            return found
    tensors = ((n, value) for n, value in content.items() if isinstance(n, str) and isinstance(value, Tensor))
    return _versioned(tensors, _versions(content)) or None


def _versions(state: Mapping[str, Any]) -> dict[str, Any]:
    """The versions of its modules, by their names, that torch writes beside the tensors of a state dict."""
    return dict(getattr(state, "_metadata", {}))


def _versioned(tensors: Iterable[tuple[str, Tensor]], versions: Mapping[str, Any]) -> OrderedDict[str, Tensor]:
    state = OrderedDict(tensors)
    state._metadata = OrderedDict(versions)  # type: ignore[attr-defined]  # where load_state_dict looks for it
    return state


def _without_prefix(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Take off the prefix ("module.", "model.backbone.") under which most of the network's names are found."""
    prefixes = {""}
    for anchor in list(own)[:8]:
        prefixes |= {name.removesuffix(anchor) for name in state if name.endswith("." + anchor)}
    prefix = max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in state for name in own))
    if not prefix:
        return state
    bare = ((name.removeprefix(prefix), value) for name, value in state.items() if name.startswith(prefix))
    versions = {
        (name + ".").removeprefix(prefix).removesuffix("."): version
        for name, version in _versions(state).items()
        if (name + ".").startswith(prefix)
    }
    return _versioned(bare, versions)
