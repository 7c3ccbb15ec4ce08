"""Weights from files, addresses and libraries: what is found, what is loaded, what is refused, and in which words."""

import argparse
import functools
import hashlib
import http.server
import shutil
import threading
import urllib.request
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from deep_cnn.config.identity import run_identity
from deep_cnn.config.schema import Config
from deep_cnn.inference.load import load_model
from deep_cnn.models import checkpoint, weights
from deep_cnn.models.build import (
    ModelSpec,
    build_model,
    check_digest,
    check_weights_present,
    head_modules,
    load_weights,
    prefetch,
    weights_names,
    weights_preprocessing,
)
from deep_cnn.models.zoo.family import resized_positions
from deep_cnn.models.zoo.networks import find
from deep_cnn.runtime import download
from deep_cnn.runtime.errors import CheckpointError
from deep_cnn.runtime.manifest import Manifest
from deep_cnn.runtime.run_files import RunFiles

NAME = "shufflenet_v2_x0_5"  # the smallest of torchvision: 1.4 million weights
SPEC = ModelSpec(NAME, outputs=3)


@pytest.fixture(autouse=True)
def torch_home(tmp_path, monkeypatch):
    """An empty $TORCH_HOME, and no network: any use of it that a test does not arrange is an error within a second."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "torch"


def network(name: str = NAME, classes: int = 1000, seed: int = 3) -> nn.Module:
    """torchvision's own network with random weights: the stand-in for a published file."""
    options = {"init_weights": False, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torchvision_models.get_model(name, weights=None, num_classes=classes, **options)


def plant(name: str, state) -> None:
    download.folder().mkdir(parents=True, exist_ok=True)
    torch.save(state, download.folder() / find(name).published(name).file)


def same_backbone(name: str, model: nn.Module, state) -> bool:
    heads = tuple(head + "." for head in head_modules(name, model))
    own = model.state_dict()
    return all(
        torch.equal(own[key], state[key]) for key in own if not key.startswith(heads) and "num_batches" not in key
    )


# --- published weights


@pytest.mark.parametrize("name", ["resnet18", "mnasnet0_5", "squeezenet1_1", "googlenet"])
def test_pretrained_is_read_from_torch_home_without_a_network(name):
    state = network(name).state_dict()
    plant(name, state)
    check_weights_present(name, "pretrained")
    model = build_model(ModelSpec(name, 3), 0)
    head = {
        key: value.clone() for key, value in model.state_dict().items() if key.startswith(head_modules(name, model)[0])
    }
    lines = load_weights(model, ModelSpec(name, 3), "pretrained")
    assert same_backbone(name, model, state)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in head.items())  # the new head stays
    assert "(1000 outputs) by a new one (3 outputs)" in "\n".join(lines)


def test_a_librarys_name_of_weights_is_its_file_and_its_preprocessing():
    """torchvision's first weights of ResNet50 were evaluated on 256 pixels, the second ones on 232."""
    names = find("resnet50").named("resnet50")
    assert list(names) == weights_names("resnet50") == ["IMAGENET1K_V1", "IMAGENET1K_V2"]
    assert (
        names["IMAGENET1K_V1"].file == "resnet50-0676ba61.pth"
        and names["IMAGENET1K_V2"].file == "resnet50-11ad3fa6.pth"
    )
    assert names["IMAGENET1K_V2"] == find("resnet50").published("resnet50")
    sides = [weights_preprocessing("resnet50", name).resize for name in names]
    assert sides == [256, 232]
    assert weights_preprocessing("vit_b_16", "IMAGENET1K_SWAG_E2E_V1").crop == 384


def test_a_librarys_name_of_weights_is_loaded_and_named():
    state = network().state_dict()
    file = find(NAME).named(NAME)["IMAGENET1K_V1"].file
    download.folder().mkdir(parents=True)
    torch.save(state, download.folder() / file)
    model = build_model(SPEC, 0)
    lines = load_weights(model, SPEC, "IMAGENET1K_V1")
    assert same_backbone(NAME, model, state) and lines[0].endswith(f"from {file} (IMAGENET1K_V1)")
    assert check_digest("IMAGENET1K_V1") is None and prefetch(NAME, "IMAGENET1K_V1").name == file


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("resnet18", "IMAGENET1K_V2", "resnet18 has no weights of this name; it has IMAGENET1K_V1"),
        ("cifar_resnet20", "IMAGENET1K_V1", "has no weights of this name; use --weights=pretrained"),
        ("timm/resnet18", "IMAGENET1K_V1", "has no weights of this name; use --weights=pretrained"),
        ("vgg16", "IMAGENET1K_FEATURES", "it has IMAGENET1K_V1"),
        ("resnet50", "imagenet1k_v1", "Did you mean IMAGENET1K_V1"),
    ],
)
def test_a_name_that_a_network_has_no_weights_of(name, source, said):
    with pytest.raises(CheckpointError, match=f"--weights={source}: ") as error:
        check_weights_present(name, source)
    assert said in str(error.value)


def test_densenets_published_file_has_names_of_2017():
    state = network("densenet121").state_dict()
    old = {key: value for key, value in state.items()}
    for key in state:
        for part in ("norm1", "norm2", "conv1", "conv2"):
            if f".{part}." in key and "denselayer" in key:
                old[key.replace(part, f"{part[:-1]}.{part[-1]}")] = old.pop(key)
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    plant("densenet121", old)
    model = build_model(ModelSpec("densenet121", 3), 0)
    load_weights(model, ModelSpec("densenet121", 3), "pretrained")
    assert same_backbone("densenet121", model, state)


def test_resized_positions_of_a_linear_ramp_stay_a_ramp():
    ramp = torch.linspace(0, 1, 14).repeat(14, 1).reshape(1, -1, 1)  # grows from left to right
    positions = torch.cat([torch.full((1, 1, 1), 9.0), ramp], dim=1)
    resized = resized_positions(positions, 28)
    assert resized.shape == (1, 1 + 28 * 28, 1) and resized[0, 0, 0] == 9.0
    rows = resized[0, 1:, 0].reshape(28, 28)
    assert torch.allclose(rows, rows[:1].expand(28, 28), atol=1e-6)
    expected = (torch.arange(28) + 0.5) / 2 - 0.5  # centres of the new cells, in old cells
    assert torch.allclose(rows[0, 4:-4], expected[4:-4] / 13, atol=1e-3)


@pytest.mark.parametrize("source", ["pretrained", "file", "url"])
def test_inputs_are_converted_for_imagenet_weights_of_every_source(source, tmp_path):
    """Inception's and GoogLeNet's were trained on [-1, 1]: the outputs are those of torchvision's converted network."""
    own = network("googlenet").eval()
    own.transform_input = True
    plant("googlenet", own.state_dict())
    file = download.folder() / find("googlenet").published("googlenet").file
    place = {"pretrained": "pretrained", "file": str(file), "url": file.as_uri()}[source]
    spec = ModelSpec("googlenet", 1000)
    model = build_model(spec, 0).eval()
    load_weights(model, spec, place)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), own(images))


def test_timm_weights_are_read_from_torch_home():
    import timm
    from safetensors.torch import save_file

    name = "timm/test_convnext"
    original = timm.create_model("test_convnext", pretrained=False)
    download.folder().mkdir(parents=True)
    save_file(original.state_dict(), str(download.folder() / "timm-test_convnext.r160_in1k.safetensors"))
    model = build_model(ModelSpec(name, 3), 0)
    lines = load_weights(model, ModelSpec(name, 3), "pretrained")
    assert same_backbone(name, model, original.state_dict())
    assert any(line.startswith("Replaced the head (") for line in lines)


@pytest.mark.parametrize("name", ["resnet101", "timm/test_vit"])
def test_neither_file_nor_network_says_what_to_do(name, torch_home):
    with pytest.raises(CheckpointError) as caught:
        check_weights_present(name, "pretrained")
    line = str(caught.value)
    assert "\n" not in line and caught.value.exit_code == 2
    for part in (
        find(name).published(name).file,
        str(torch_home),
        "$TORCH_HOME",
        f"prefetch --model={name}",
        "--weights=none",
    ):
        assert part in line, part


def test_a_silent_network_is_given_up(monkeypatch):
    """Nothing answers, as behind a firewall that drops packets: the limit holds, look-up of the name included."""
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.3)
    never = threading.Event()
    monkeypatch.setattr(download.urllib.request.OpenerDirector, "open", lambda *_, **__: never.wait(120))
    with pytest.raises(CheckpointError, match=r"no answer within 0.3 seconds"):
        check_weights_present(NAME, "pretrained")
    never.set()


# --- addresses


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if "cut" not in self.path:
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"half of it")

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()  # shutdown() waits for a poll
    yield folder, f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def test_a_url_is_fetched_once(server):
    folder, address = server
    state = network(classes=3).state_dict()
    torch.save(state, folder / "model.pth")
    check_weights_present(NAME, f"{address}/model.pth")
    (folder / "model.pth").unlink()
    model = build_model(SPEC, 0)
    lines = load_weights(model, SPEC, f"{address}/model.pth")
    assert torch.equal(model.fc.weight, state["fc.weight"]) and "loaded the head (3 outputs)" in lines[-1]
    assert download.file_name("http://a.org/model.pth") != download.file_name("http://b.org/model.pth")
    assert download.file_name("http://a.org/x/resnet18-f37072fd.pth?download=1") == "resnet18-f37072fd.pth"


@pytest.mark.parametrize(
    ("file", "reason"),
    [("cut.pth", "10 of 1000000 bytes|IncompleteRead"), ("net-0123456789.pth", "SHA-256"), ("absent.pth", "not found")],
)
def test_a_broken_download_leaves_no_file(server, file, reason):
    folder, address = server
    torch.save({}, folder / "net-0123456789.pth")
    with pytest.raises(CheckpointError, match=f"(?i){reason}"):
        check_weights_present(NAME, f"{address}/{file}")
    assert list(download.folder().iterdir()) == []


def test_a_download_with_the_promised_hash_is_kept(server):
    folder, address = server
    torch.save({"a": torch.zeros(3)}, folder / "net")
    content = (folder / "net").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = f"net-{digest[:8]}.pth"
    (folder / name).write_bytes(content)
    check_weights_present(NAME, f"{address}/{name}")
    assert (download.folder() / name).read_bytes() == content
    assert check_digest(f"{address}/{name}") == check_digest(f"{address}/{name}#sha256={digest}") == digest
    with pytest.raises(CheckpointError, match=r"expected 0000.*; remove it to download it again"):
        check_digest(f"{address}/{name}#sha256={'0' * 64}")
    with pytest.raises(CheckpointError, match=rf"is {digest}, expected 0000.*; check the file and --weights_sha256"):
        check_digest(f"{folder / name}#sha256={'0' * 64}")  # the user's own file is not to be removed


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", b"PK\x03\x04 cut"])
def test_a_download_that_is_no_file_of_weights_is_not_kept(server, content):
    folder, address = server
    (folder / "page.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="page"):
        check_weights_present(NAME, f"{address}/page.pth")
    assert list(download.folder().iterdir()) == []
    torch.save({"a": torch.zeros(3)}, folder / "page.pth")
    with pytest.raises(CheckpointError, match="expected 0000"):
        check_weights_present(NAME, f"{address}/page.pth#sha256={'0' * 64}")
    assert list(download.folder().iterdir()) == []
    check_weights_present(NAME, f"{address}/page.pth")


@pytest.mark.parametrize(
    "url",
    [
        "http://[bad/x.pth",
        "https://",
        "javascript://x",
        "http://x:99999/y",
        "http://x:y/z",
        "https://a b/c",
        "https:///x",
    ],
)
def test_what_is_no_url_is_told_at_once(url, monkeypatch):
    monkeypatch.setattr(download, "_open", None)  # nothing is asked
    with pytest.raises(CheckpointError, match="not a URL"):
        check_weights_present(NAME, url)


def test_a_file_that_declares_more_than_it_holds_is_not_unpacked(tmp_path):
    """5 MB of zeros in 5 kB; of another size it would fill the memory."""
    torch.save({"a": torch.zeros(1_250_000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for part in plain.infolist():
            bomb.writestr(part.filename, plain.read(part))
    with pytest.raises(CheckpointError, match=r"declares 5 MB in a file of 0\.0 MB"):
        weights.read(tmp_path / "bomb.pt")
    with pytest.raises(CheckpointError, match="declares 5 MB"):
        checkpoint.load(tmp_path / "bomb.pt")


@pytest.mark.parametrize(
    "content",
    [
        {"format": "deep_cnn", "weights": 3},
        {"format": "deep_cnn", "weights": {"a": 3}},
        {"format": "deep_cnn", "weights": {"a": torch.zeros(3)}, "model": 5},
        {"format": "deep_cnn", "weights": {"a": torch.zeros(3)}, "task": "x"},
        {"format": "deep_cnn", "weights": {"a": torch.zeros(3)}, "task": {"names": 3}},
        {"format": "deep_cnn", "weights": {"a": torch.zeros(3)}, "average": torch.zeros(3), "preprocessing": []},
        {"format": "deep_cnn", "weights": {"a": torch.zeros(3)}, "model": {"name": NAME, "outputs": 10**9}},
        {"format": "deep_cnn"},
        {1: torch.zeros(3)},
    ],
)
def test_what_only_claims_to_be_a_checkpoint_is_refused_by_name(tmp_path, content):
    torch.save(content, tmp_path / "claim.pt")
    with pytest.raises(CheckpointError, match=r"claim\.pt"):
        load_model(tmp_path / "claim.pt")
    with pytest.raises(CheckpointError, match=r"claim\.pt"):
        load_weights(network(), SPEC, str(tmp_path / "claim.pt"))


def test_prefetch_keeps_a_good_file_and_replaces_a_broken_one(monkeypatch):
    state, fetched = network().state_dict(), []
    published = find(NAME).published(NAME)

    def fetch_file(url, path, sha256=None):
        fetched.append(url)
        torch.save(state, path)

    monkeypatch.setattr(download, "download", fetch_file)
    download.folder().mkdir(parents=True)
    (download.folder() / published.file).write_bytes(b"cut short")
    for _ in range(2):
        assert prefetch(NAME) == download.folder() / published.file
    assert fetched == [published.url]
    assert weights.read(prefetch(NAME)).state.keys() == state.keys()


# --- files


WRAPPINGS = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "DataParallel": lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "inside another": lambda s: {"state_dict": {f"model.backbone.{k}": v for k, v in s.items()}},
    "average first": lambda s: {
        "model": {k: v + 1 for k, v in s.items()},
        "model_ema": {"n_averaged": torch.tensor(4)} | {f"module.{k}": v for k, v in s.items()},
    },
    "with arguments": lambda s: {"model": s, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.5)},
    "half precision": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
    "ours": lambda s: {"format": "deep_cnn", "weights": s, "model": SPEC.to_dict()},
    "ours, averaged": lambda s: {
        "format": "deep_cnn",
        "weights": {k: v + 1 for k, v in s.items()},
        "average": s,
        "model": SPEC.to_dict(),
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_weights_are_found_in_every_usual_wrapping(wrapping, tmp_path):
    state = network(classes=3).state_dict()
    torch.save(WRAPPINGS[wrapping](state), tmp_path / "w.pth")
    model = build_model(SPEC, 0)
    lines = load_weights(model, SPEC, str(tmp_path / "w.pth"))
    expected = {k: v.half().float() for k, v in state.items()} if wrapping == "half precision" else state
    assert same_backbone(NAME, model, expected)
    assert torch.equal(model.fc.weight, expected["fc.weight"])
    assert lines[0] == "Weights: loaded 280 of 280 backbone tensors from w.pth"


def test_a_file_in_the_format_before_torch_1_6_is_read(tmp_path):
    state = network(classes=3).state_dict()
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    model = build_model(SPEC, 0)
    load_weights(model, SPEC, str(tmp_path / "old.pth"))
    assert same_backbone(NAME, model, state)


def test_a_backbone_alone_is_enough_and_gaps_are_named(tmp_path):
    state = network().state_dict()
    del state["fc.weight"], state["fc.bias"], state["conv5.1.weight"]
    state["projector.0.weight"] = torch.zeros(4, 4)
    torch.save(state, tmp_path / "w.pth")
    text = "\n".join(load_weights(build_model(SPEC, 0), SPEC, str(tmp_path / "w.pth")))
    assert "279 of 280" in text and "conv5.1.weight" in text and "projector.0.weight" in text
    assert "the file has no head; added a new one (3 outputs)" in text


def refused(source, match: str, name: str = NAME) -> None:
    spec = ModelSpec(name, outputs=3)
    with pytest.raises(CheckpointError, match=match) as caught:
        load_weights(build_model(spec, 0), spec, str(source))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_weights_are_refused(tmp_path):
    good = tmp_path / "good.pth"
    torch.save(network(classes=3).state_dict(), good)
    (tmp_path / "cut.pth").write_bytes(good.read_bytes()[:-20_000])
    (tmp_path / "text.pth").write_text("file,price\n", encoding="utf-8")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "cut.safetensors").write_bytes(b"\x90" * 100)
    for file in ("cut.pth", "text.pth", "empty.pth", "cut.safetensors"):
        refused(tmp_path / file, f"{file}: not a weights file, or truncated")
    torch.save(network(), tmp_path / "pickled.pth")  # the module itself: loading it would run its code
    refused(tmp_path / "pickled.pth", r"contains Python objects \(torchvision.*save\(model.state_dict\(\)")
    torch.save({"epoch": 3, "lr": [0.1]}, tmp_path / "log.pth")
    refused(tmp_path / "log.pth", "contains no weights")
    refused(tmp_path / "absent.pth", "no such file")
    refused("pretraind", "Did you mean pretrained")


@pytest.mark.parametrize("other", ["resnet34", "resnet50", "mobilenet_v3_small"])
def test_weights_of_another_network_are_refused(other, tmp_path):
    """resnet34 has every tensor of resnet18 and more: only what is left over gives it away."""
    state = network(other).state_dict()
    torch.save(state, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", "does not match the network of --model", "resnet18")
    ours = {"format": "deep_cnn", "weights": state, "model": ModelSpec(other, 3).to_dict()}
    torch.save(ours, tmp_path / "best.pt")
    refused(tmp_path / "best.pt", f"these weights are for {other}, but --model=resnet18", "resnet18")


@pytest.mark.parametrize("missing", range(5))
def test_a_file_may_lack_at_most_half_of_the_backbones_tensors(missing):
    """Of four tensors: with two of them the file is of this network, with one it is more likely of another."""
    layers = OrderedDict(first=nn.Linear(2, 2), second=nn.Linear(2, 2), head=nn.Linear(2, 3))
    model = nn.Sequential(layers)
    names = ["first.weight", "first.bias", "second.weight", "second.bias"]
    state = {name: torch.full_like(model.state_dict()[name], 7.0) for name in names[missing:]}
    if missing > 2:
        with pytest.raises(
            CheckpointError, match=f"w.pth: does not match .* --model: the file has {4 - missing} of its 4 "
        ):
            weights.fit(model, state, ["head"], "w.pth")
        return
    text = "\n".join(weights.fit(model, state, ["head"], "w.pth"))
    assert f"{4 - missing} of 4 backbone tensors" in text
    count = "1 tensor" if missing == 1 else f"{missing} tensors"
    left = f"{count} left at random values, missing or of another shape ({', '.join(names[:missing])})"
    assert (left in text) == (missing > 0)
    assert all((model.state_dict()[name] == 7).all() for name in names[missing:])


def test_our_checkpoint_brings_its_preprocessing(tmp_path):
    own = weights_preprocessing(NAME, "pretrained").with_crop(96)
    content = {
        "format": "deep_cnn",
        "weights": {"a": torch.ones(1)},
        "model": SPEC.to_dict(),
        "preprocessing": own.to_dict(),
    }
    torch.save(content, tmp_path / "best.pt")
    assert weights_preprocessing(NAME, str(tmp_path / "best.pt")) == own
    torch.save(network().state_dict(), tmp_path / "other.pth")
    assert weights_preprocessing(NAME, str(tmp_path / "other.pth")).crop == 224


def test_a_run_knows_its_file_of_weights_by_what_is_in_it(tmp_path):
    """Every run calls its weights best.pt, and those of one network are all of the same size."""
    places = [tmp_path / name for name in ("a/best.pt", "b/best.pt", "c/other.pt")]
    for place, content in zip(places, (b"one", b"two", b"one"), strict=True):
        place.parent.mkdir()
        place.write_bytes(content)
    one, two, same = (run_identity(Config(weights=str(place)), "data", "read")["flags"]["weights"] for place in places)
    assert one == same != two


# --- files that are not what they seem


def checkpoint_of(path, model: nn.Module, **more):
    checkpoint.save(path, {"weights": model.state_dict(), "model": {"name": NAME}, "task": {}} | more)
    return path


def test_a_checkpoint_of_a_newer_version_is_no_file_of_weights(tmp_path):
    path = checkpoint_of(tmp_path / "new.pt", network(classes=3), format_version=99)
    with pytest.raises(CheckpointError, match=r"new\.pt: written by a newer version of deep_cnn"):
        load_weights(build_model(SPEC, 0), SPEC, str(path))


def test_a_flipped_bit_of_a_file_of_weights_is_seen(tmp_path):
    path = tmp_path / "w.pth"
    state = network(classes=3).state_dict()
    torch.save(state, path)
    whole = bytearray(path.read_bytes())
    at = whole.index(state["conv1.0.weight"].numpy().tobytes()[:64])
    whole[at + 9] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="wrong checksum"):
        load_weights(build_model(SPEC, 0), SPEC, str(path))


def test_a_best_network_that_was_exchanged_is_no_file_of_weights(tmp_path):
    files = [RunFiles(tmp_path, name) for name in ("a", "b")]
    for seed, run in enumerate(files):
        run.make_folders()
        state = {"weights": network(classes=3, seed=seed).state_dict(), "model": {"name": NAME}, "task": {}}
        checkpoint.save(run.best, state, Manifest(run).announce)
    load_weights(build_model(SPEC, 0), SPEC, str(files[0].best))
    shutil.copy(files[1].best, files[0].best)
    with pytest.raises(CheckpointError, match="not the file that this run saved"):
        load_weights(build_model(SPEC, 0), SPEC, str(files[0].best))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t * float("nan"), "conv1.0.weight contains NaN or infinite values"),
        (lambda t: t.to(torch.int8), "conv1.0.weight holds int8"),
    ],
)
def test_tensors_that_no_network_has_are_refused(tmp_path, change, reason):
    model = network(classes=3)
    torch.save(model.state_dict() | {"conv1.0.weight": change(model.conv1[0].weight.detach())}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=reason):
        load_weights(build_model(SPEC, 0), SPEC, str(tmp_path / "w.pth"))
    torch.save({name: value.half() for name, value in model.state_dict().items()}, tmp_path / "half.pth")
    load_weights(build_model(SPEC, 0), SPEC, str(tmp_path / "half.pth"))


def test_a_file_of_this_machine_is_read_where_it_is(tmp_path):
    for seed in (1, 2):
        state = network(classes=3, seed=seed).state_dict()
        torch.save(state, tmp_path / "my model.pth")
        model = build_model(SPEC, 0)
        load_weights(model, SPEC, (tmp_path / "my model.pth").as_uri())
        assert torch.equal(model.conv1[0].weight, state["conv1.0.weight"])
    assert not download.folder().exists()


def test_https_is_not_left_on_the_way():
    """A redirection to http could be answered by anybody; with a digest it may come by any way."""
    handler, request = download._OnlyHttps(), urllib.request.Request("https://a.org/w.pth")
    with pytest.raises(ValueError, match=r"redirected to http://b\.org/w\.pth.*--weights_sha256"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://b.org/w.pth")
    assert (
        handler.redirect_request(request, None, 302, "Found", {}, "https://b.org/w.pth").full_url
        == "https://b.org/w.pth"
    )


@pytest.mark.parametrize(
    "odd",
    [
        lambda tensor: tensor.to_sparse(),
        lambda tensor: tensor.reshape(len(tensor), -1).to_sparse_csr(),
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor.to(torch.complex64),
        lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
        lambda tensor: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    ],
    ids=["sparse", "csr", "meta", "complex", "quantized", "nested"],
)
@pytest.mark.filterwarnings("ignore")  # torch's, of prototypes
def test_tensors_that_are_not_plain_are_refused_in_one_short_line(odd):
    state = {name: odd(tensor) if tensor.ndim > 1 else tensor for name, tensor in network().state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"sparse, quantized, complex or without values \(conv1\.0\.weight, "
    ) as refused:
        weights.fit(network(), state, ["fc"], "x.pth")
    assert len(str(refused.value)) < 300
