"""export: each format against the checkpoint on real images, any batch size; what is beside it; a wrong file is refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PLACES

from deep_cnn.data.augment.steps import center_crop
from deep_cnn.data.decode import decode
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference.export import formats

CASES = [
    ("onnx", False, "places_run"),
    ("onnx", True, "scores_run"),
    ("torchscript", True, "places_run"),
    ("pt2", True, "scores_run"),
    ("safetensors", False, "places_run"),
]


@pytest.mark.parametrize(("kind", "inside", "run_name"), CASES)
def test_a_file_gives_the_predictions_of_float32(request, run_cli, tmp_path, run_name, kind, inside):
    for library in formats.FORMATS[kind].needs:
        pytest.importorskip(library)
    run = request.getfixturevalue(run_name)
    root = run.files.outputs.parent
    output = tmp_path / f"network{formats.FORMATS[kind].ending}"
    code, _ = run_cli("export", root_dir=root, format=kind, preprocess=inside, output=output, count=4)
    assert code == 0
    about = json.loads((tmp_path / f"{output.name}.json").read_text(encoding="utf-8"))
    assert about["checked"]["largest_difference"] <= 1e-4 and about["provenance"]["checkpoint_sha256"]
    card = (tmp_path / f"{output.name}.md").read_text(encoding="utf-8")
    assert all(name in card for name in about["output"]["order"]) and "resize the shorter side" in card
    metric = "- top-1: " if run_name == "places_run" else "- MAE: "
    assert metric in card and "interval_level" not in card and "(batch, 3, " in card
    if kind != "onnx":
        return
    # with nothing but the JSON, onnxruntime and the file: the table that predict writes in float32
    import onnxruntime

    table = tmp_path / "fp32.csv"
    run_cli(
        "predict",
        checkpoint=run.checkpoint,
        images=run.files.results / "predictions_test.csv",
        precision="fp32",
        output=table,
    )
    rows = pd.read_csv(table)
    pre = Preprocessing.from_dict(about["preprocessing"])
    data = run.splits.set_index("file").index
    folder = PLACES if run_name == "places_run" else PLACES.parent / "test_input"
    images = torch.stack([decode(folder / name, pre) for name in rows["file"] if name in data])
    if inside:
        images = images.numpy()
    else:
        cropped = center_crop(images, pre.crop).double() / 255
        mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (pre.mean, pre.std))
        images = ((cropped - mean) / std).float().numpy()
    answers = onnxruntime.InferenceSession(str(output)).run(None, {"images": np.ascontiguousarray(images)})[0]
    if run_name == "places_run":
        said = answers if inside else np.exp(answers) / np.exp(answers).sum(1, keepdims=True)
        theirs, unit = rows[[f"p_{n}" for n in about["output"]["order"]]].to_numpy(), 1.0
    else:
        mean, std = (np.array(about["task"][k]) for k in ("mean", "std"))
        said = answers if inside else answers * std + mean
        theirs, unit = rows[[f"predicted_{n}" for n in about["output"]["order"]]].to_numpy(), std
    assert np.abs((said - theirs) / unit).max() <= 1e-4


def test_a_file_that_answers_otherwise_is_not_written(run_cli, places_run, tmp_path, monkeypatch, capsys):
    true = formats.FORMATS["safetensors"]

    def spoilt(path, model):
        read = true.read(path, model)
        return lambda images: read(images) + 0.01 * torch.arange(5)

    monkeypatch.setitem(formats.FORMATS, "safetensors", formats.Format(true.ending, true.write, spoilt, (), False))
    root = places_run.files.outputs.parent
    code, _ = run_cli("export", root_dir=root, format="safetensors", output=tmp_path / "x.safetensors", count=3)
    assert code == 2 and "differ from the checkpoint's by" in capsys.readouterr().err
    assert list(tmp_path.glob("*x.safetensors*")) == []


def test_mistakes(run_cli, places_run, capsys):
    root = places_run.files.outputs.parent
    assert run_cli("export", root_dir=root, format="safetensors", preprocess=True)[0] == 2
    assert run_cli("export", root_dir=root, format="pt2", output="network.bin")[0] == 2
    assert run_cli("export", root_dir=root, format="onxx")[0] == 2
    said = capsys.readouterr().err.splitlines()
    assert "only weights" in said[0] and "ends in .pt2" in said[1] and "Did you mean onnx?" in said[2]


def test_only_an_earlier_export_is_overwritten(run_cli, places_run, tmp_path, capsys):
    mine, again = tmp_path / "mine.pt", tmp_path / "again.pt"
    mine.write_bytes(b"years of work")
    flags = {"root_dir": places_run.files.outputs.parent, "format": "torchscript"}
    for place in (mine, places_run.files.best):
        before = place.read_bytes()
        assert run_cli("export", **flags, output=place)[0] == 2 and place.read_bytes() == before
        assert "the file exists and was not written by export" in capsys.readouterr().err
    assert [run_cli("export", **flags, output=again)[0] for _ in range(2)] == [0, 0]
