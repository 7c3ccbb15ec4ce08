"""Formats of exported networks: each is written, and read again by the program that its users will have."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.extras import require_extra

Answer = Callable[[Tensor], Tensor]
SEVERAL = 2  # rows of the example that is traced: torch.export takes a batch of 1 for a constant


@dataclass(frozen=True)
class Format:
    """write: (network, example input, file). read: file -> a function from inputs to outputs, as its users would run it.

    needs: libraries; carries_preprocessing: whether more than weights can be stored.
    """

    ending: str
    write: Callable[[nn.Module, Tensor, Path], None]
    read: Callable[[Path, nn.Module], Answer]
    needs: tuple[str, ...] = ()
    carries_preprocessing: bool = True


def write_onnx(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write ONNX with a batch of any size: input "images", output "outputs"."""
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=["images"],
                output_names=["outputs"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
    assert program is not None  # it is for dynamo=True
    program.save(path, external_data=False)  # one file, up to 2 GB


def read_onnx(path: Path, model: nn.Module) -> Answer:
    """Run it by ONNX Runtime, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])


def write_torchscript(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write what a trace of the example gives."""
    with warnings.catch_warnings(action="ignore"):  # that TorchScript is no longer developed: said in the help
        torch.jit.save(torch.jit.trace(model, example), path)


def read_torchscript(path: Path, model: nn.Module) -> Answer:
    """Run it by torch.jit."""
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.load(path)


def write_pt2(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write torch.export's program with a batch of any size."""
    with warnings.catch_warnings(action="ignore"):
        program = torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        with open(path, "wb") as file:  # by name, torch insists on the ending .pt2, which the temporary file lacks
            torch.export.save(program, file)


def read_pt2(path: Path, model: nn.Module) -> Answer:
    """Run it by torch.export."""
    return torch.export.load(path).module()


def write_safetensors(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write the weights alone, under the network's own names."""
    from safetensors.torch import save

    # save_file would give the file to its owner alone (mode 600), whatever the umask
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))


def read_safetensors(path: Path, model: nn.Module) -> Answer:
    """Weights alone: put into an empty copy of the network, as `--weights=FILE` and timm's users do."""
    import copy

    from safetensors.torch import load_file

    copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    copied.load_state_dict(load_file(path))
    return copied


FORMATS = {
    "onnx": Format(".onnx", write_onnx, read_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "torchscript": Format(".torchscript.pt", write_torchscript, read_torchscript),
    "pt2": Format(".pt2", write_pt2, read_pt2),
    "safetensors": Format(".safetensors", write_safetensors, read_safetensors, ("safetensors",), False),
}


def check_format(name: str, preprocessing: bool, output: str | None) -> Format:
    """The format; ConfigError, before any work, for a library that is missing or what the format cannot hold."""
    chosen = FORMATS[name]
    require_extra("export", chosen.needs, f"--format={name}")
    if preprocessing and not chosen.carries_preprocessing:
        raise ConfigError(f"--preprocess: --format={name} stores only weights; choose onnx, torchscript or pt2")
    ending = "." + chosen.ending.rsplit(".", 1)[-1]
    if output is not None and Path(output).suffix != ending:
        raise ConfigError(f"--output={output}: wrong ending for --format={name}; choose a name that ends in {ending}")
    return chosen


def write(chosen: Format, model: nn.Module, example: Tensor, path: Path) -> None:
    """Write the network, atomically; example: inputs of more than one row."""
    with atomic_path(path) as temporary:
        chosen.write(model, example, temporary)
