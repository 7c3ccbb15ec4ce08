"""explain: maps by hand, the sanity check, and the pictures of a run."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import PLACES
from PIL import Image
from torch import nn

pytest.importorskip("captum")

from deep_cnn.inference.explain.gallery import explanation_pictures
from deep_cnn.inference.explain.maps import Layer, find_layer, signed_maps
from deep_cnn.inference.explain.sanity import cascade, mean_correlation
from deep_cnn.inference.explain.sheet import LOWERS, RAISES, overlay, parts
from deep_cnn.inference.load import open_run
from deep_cnn.inference.run_images import own_folder, split_images
from deep_cnn.models.build import ModelSpec, build_model
from deep_cnn.runtime.errors import ConfigError


class Two(nn.Module):
    """Two maps that are the red and the blue channel, averaged; output 0 is 3 red - 2 blue, output 1 is blue."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 1, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        self.maps.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None]
        self.head.weight.data = torch.tensor([[3.0, -2.0], [0.0, 1.0]])

    def forward(self, images):
        return self.head(self.maps(images).mean((2, 3)))


def test_a_map_says_what_raises_and_what_lowers():
    images = torch.zeros(2, 3, 8, 8)
    images[:, 0, :4, :4] = 1  # red at the top left
    images[:, 2, 4:, 4:] = 1  # blue at the bottom right
    maps = signed_maps(Two(), Layer("maps", "channels first", 8), images, [0, 1]).numpy()
    expected = np.zeros((2, 8, 8))
    expected[0, :4, :4], expected[0, 4:, 4:], expected[1, 4:, 4:] = 3 / 64, -2 / 64, 1 / 64  # 64: the mean's gradient
    np.testing.assert_allclose(maps, expected, atol=1e-7)
    both = parts(maps[0], both=True)
    assert both[RAISES][:4, :4].sum() == both[RAISES].sum() > 0 and both[LOWERS][4:, 4:].sum() == both[LOWERS].sum() > 0
    assert list(parts(maps[0], both=False)) == [RAISES]


@pytest.mark.parametrize(
    ("name", "size", "layer", "kind"),
    [
        ("resnet18", 224, "layer4", "channels first"),
        ("resnet18", 64, "layer2", "channels first"),
        ("vit_b_16", 112, None, "tokens"),
        ("swin_t", 112, None, "channels last"),
    ],
)
def test_the_layer_and_its_kind(name, size, layer, kind):
    spec = ModelSpec(name, 2, 0.0, size)
    model = build_model(spec, 0).eval()
    found = find_layer(name, model, size)
    assert found.layout == kind and found.side >= 7 and layer in (None, found.name)
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    maps = signed_maps(model, found, images, [1])
    assert maps.shape == (1, size, size) and maps.abs().max() > 0


def test_a_layer_that_is_not_there():
    model = build_model(ModelSpec("resnet18", 2, 0.0, 32), 0)
    with pytest.raises(ConfigError, match=r"Did you mean layer4"):
        find_layer("resnet18", model, 32, "layer5")
    with pytest.raises(ConfigError, match="no feature maps"):
        find_layer("resnet18", model, 32, "fc")


def test_the_sanity_check_makes_the_whole_network_random():
    spec = ModelSpec("resnet18", 2, 0.0, 64)
    model = build_model(spec, 0).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    layer = find_layer("resnet18", model, 64)
    maps = signed_maps(model, layer, images, [0, 0])
    found, _ = cascade(model, spec, layer, images, [0, 0], maps, seed=4)
    assert found.stages[0] == "head" and len(found.stages) == len(found.correlations) > 4
    fresh = build_model(spec, 5).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in model.state_dict().items())
    assert mean_correlation(maps, maps) == pytest.approx(1.0) and mean_correlation(maps, -maps) == pytest.approx(-1.0)
    assert mean_correlation(maps, torch.zeros_like(maps)) == 0


def test_an_overlay_is_strongest_where_the_map_is():
    pixels = np.full((4, 4, 3), 100, np.uint8)
    values = np.zeros((4, 4))
    values[1, 2] = 2.0
    drawn = overlay(pixels, RAISES, values, 2.0).astype(int)
    assert drawn[1, 2, 0] > drawn[1, 2, 2] + 80 and (drawn[0, 0] == drawn[0, 0, 0]).all()


@pytest.mark.parametrize("run_name", ["places_run", "scores_run"])
def test_a_runs_pictures_and_its_report(request, run_cli, capsys, run_name):
    from deep_cnn.reporting.report.page import write_report

    run = request.getfixturevalue(run_name)
    root, results = run.files.outputs.parent, run.files.results
    write_report(run.files, None)
    code, _ = run_cli("explain", root_dir=root, count=3)
    assert code == 0 and "Sanity check (Adebayo et al.): " in capsys.readouterr().out
    about = json.loads((results / "explain" / "explain.json").read_text(encoding="utf-8"))
    scores = run_name == "scores_run"
    assert len(about["images"]) == 3 and len(about["pictures"]) == (3 if scores else 2)
    overlays = list((results / "explain" / "overlays").iterdir())
    assert len(overlays) == (3 * 2 * 2 if scores else 3)
    assert {Image.open(p).size for p in overlays} == {(32, 32)}
    assert len(explanation_pictures(run.files.explanations)) == len(about["pictures"])
    assert ">Explanations</h2>" in (results / "report.html").read_text(encoding="utf-8")


def test_the_most_wrong_come_first(places_run):
    run = open_run("default", str(places_run.files.outputs.parent), precision="fp32")
    test = split_images(run, "test")
    decoded = np.full((len(test.targets), 5), 0.2)
    decoded[3] = [0.0] * 5
    decoded[7] = [1.0] * 5
    wrong = run.network.task.wrongness(decoded, test.targets)
    assert wrong.argmax() == 3 and wrong.argmin() == 7 and wrong[0] == pytest.approx(0.8)


def test_chosen_images_and_an_unknown_class(run_cli, places_run, capsys):
    root = places_run.files.outputs.parent
    chosen = ",".join(str(p) for p in sorted((PLACES / "test" / "beach").iterdir())[:2])
    assert run_cli("explain", root_dir=root, images=chosen, target="beach")[0] == 0
    assert run_cli("explain", root_dir=root, images=chosen, target="beech")[0] == 2
    assert "Did you mean beach?" in capsys.readouterr().err
    assert run_cli("explain", root_dir=root, images=PLACES / "test")[0] == 2
    assert "test: is a folder; give files" in capsys.readouterr().err


def test_images_from_elsewhere_leave_the_reports_own_pictures(run_cli, places_run, tmp_path):
    from deep_cnn.reporting.report.page import write_report

    run = open_run("default", str(places_run.files.outputs.parent), precision="fp32")
    page = write_report(run.files, own_folder(run)).read_text(encoding="utf-8")
    assert "Errors" in page and (shown := page.count("<img"))
    shutil.copy(next((PLACES / "test" / "beach").iterdir()), tmp_path / "new.jpg")
    assert run_cli("explain", root_dir=places_run.files.outputs.parent, images=tmp_path / "new.jpg")[0] == 0
    after = (run.files.results / "report.html").read_text(encoding="utf-8")
    assert after.count("<img") >= shown and ">Explanations</h2>" in after
