"""The network that comes with the package: --weights=pretrained without a download, from a file small enough to keep in git."""

import re

import pytest
import torch

from deep_cnn.cli.main import main
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference import load
from deep_cnn.models import build, checkpoint
from deep_cnn.models.build import ModelSpec, build_model, load_weights, prefetch, shipped, weights_preprocessing
from deep_cnn.models.checkpoint import check_finite
from deep_cnn.runtime.errors import CheckpointError

NAME = "cifar_resnet20"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(autouse=True)
def no_internet(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there


@pytest.fixture(scope="module")
def kept():
    return checkpoint.load(shipped(NAME))


def loaded(names: tuple[str, ...]) -> tuple[torch.nn.Module, torch.nn.Module, list[str]]:
    """The network before and after its weights are loaded for these classes, and the lines for the log."""
    spec = ModelSpec(NAME, len(names))
    before, model = build_model(spec, 0), build_model(spec, 0)
    return before, model, load_weights(model, spec, "pretrained", names)


def test_the_backbone_is_the_files_in_float32(kept):
    _, model, lines = loaded(("a", "b", "c"))
    own = model.state_dict()
    assert all(
        torch.equal(own[key], tensor.to(own[key].dtype)) for key, tensor in kept["weights"].items() if key[:2] != "fc"
    )
    assert all(tensor.dtype == torch.float32 for tensor in own.values() if tensor.is_floating_point())
    assert re.match(
        r"Weights: loaded (\d+) of \1 backbone tensors from cifar_resnet20.pt \(included with deep_cnn\)", lines[0]
    )


def test_the_head_is_kept_for_the_same_classes_and_new_for_others(kept):
    _, same, lines = loaded(CIFAR10)
    assert torch.equal(same.fc.weight, kept["weights"]["fc.weight"].float()) and "loaded the head" in lines[-1]
    others = tuple(f"another {name}" for name in CIFAR10)  # as many, so that its shape would fit
    before, new, lines = loaded(others)
    assert torch.equal(new.fc.weight, before.fc.weight) and torch.equal(new.fc.bias, before.fc.bias)
    assert lines[-1] == "Replaced the head (10 outputs) by a new one (10 outputs)"
    before, new, _ = loaded(("ants", "bees"))
    assert torch.equal(new.fc.weight, before.fc.weight)


def test_the_preprocessing_is_the_files(kept):
    own = Preprocessing.from_dict(kept["preprocessing"])
    assert weights_preprocessing(NAME, "pretrained") == own and own.mean != weights_preprocessing(NAME, "none").mean
    assert weights_preprocessing(NAME, "none").crop == own.crop == 32


def test_the_file_is_small_finite_and_says_nothing_of_the_machine(kept):
    file, card = shipped(NAME), shipped(NAME).with_suffix(".md")
    assert file.stat().st_size < 1_000_000
    assert {t.dtype for t in kept["weights"].values()} == {torch.float16, torch.int64}
    check_finite(kept)
    assert kept["task"]["names"] == list(CIFAR10)
    assert kept["config"]["root_dir"] == "." and kept["config"]["data_dir"] == "input/cifar10"
    assert kept["versions"]["system"].isalpha()
    assert not re.search(
        r"(^|[ `'\"=(])/\w", f"{ {k: v for k, v in kept.items() if k != 'weights'} } {card.read_text()}"
    )


def test_the_card_says_how_good_it_is():
    card = shipped(NAME).with_suffix(".md").read_text(encoding="utf-8")
    value, low, high = map(float, re.search(r"top-1: ([\d.]+)% \(95% interval ([\d.]+)% to ([\d.]+)%\)", card).groups())
    assert 85 < low < value < high < 92  # He et al. 2016, table 6: 91.25% after 164 epochs on the original pixels
    assert f"{shipped(NAME).stat().st_size:,} bytes" in card  # the card of this very file
    for part in ("--model=cifar_resnet20", "--recipe=scratch", "Seed 0", "torch 2", "git_commit", "10,000 test images"):
        assert part in card, part


def test_it_is_a_checkpoint_as_any_other():
    model, meta = load.load_model(shipped(NAME))
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert meta["task"]["names"] == list(CIFAR10) and "optimizer" not in meta


def test_prefetch_has_nothing_to_do_and_never_deletes_it(capsys, tmp_path, monkeypatch):
    assert main(["prefetch", f"--model={NAME}"]) == 0
    assert capsys.readouterr().out == f"Weights of {NAME} (included in the program): {shipped(NAME)}\n"
    broken = tmp_path / "broken.pt"
    broken.write_bytes(shipped(NAME).read_bytes()[:1000])
    monkeypatch.setattr(build, "shipped", lambda name: broken)
    monkeypatch.setattr(build, "_locate", lambda name, source: broken)
    with pytest.raises(CheckpointError, match=r"not a weights file"):
        prefetch(NAME)
    assert broken.exists()


def test_our_checkpoint_for_others_keeps_its_head_to_itself(tmp_path, kept):
    """Given by name, too: two runs may have as many classes and not the same."""
    torch.save(kept | {"task": kept["task"] | {"names": [f"c{i}" for i in range(10)]}}, tmp_path / "best.pt")
    spec = ModelSpec(NAME, 10)
    before, model = build_model(spec, 0), build_model(spec, 0)
    lines = load_weights(model, spec, str(tmp_path / "best.pt"), CIFAR10)
    assert torch.equal(model.fc.weight, before.fc.weight) and "from best.pt" in lines[0]
