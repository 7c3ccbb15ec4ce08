"""deep_cnn from Python: three functions, DataFrames in and out."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PERCEPTION, PLACES, ROOT, TINY
from PIL import Image
from scenes import write_perception_set

import deep_cnn
from deep_cnn import load_model, predict, train
from deep_cnn.runtime.errors import ConfigError, DeepCNNError
from deep_cnn.training import api


def test_importing_the_package_imports_no_torch():
    code = "import sys, deep_cnn; assert 'torch' not in sys.modules; print(deep_cnn.__version__)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == deep_cnn.__version__
    )


def test_training_gives_tables(places_run):
    assert list(places_run.history["epoch"]) == [0]
    assert len(places_run.predictions) == places_run.result["count"] == (places_run.splits["split"] == "test").sum()


def test_the_network_alone(places_run):

    network, about = load_model(places_run.checkpoint)
    assert about["task"]["names"][0] == "alley" and not network.training
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_a_data_frame_in_and_out(tmp_path):
    files = sorted(p for p in (PERCEPTION / "test_images").iterdir())
    table = pd.DataFrame({"image": [p.name for p in files], "score": range(len(files))})
    run = train(PERCEPTION / "test_images", table, target="score", task="regression", root_dir=str(tmp_path), **TINY)
    assert run.result["count"] > 0
    shuffled = table.sample(frac=1, random_state=1).rename(columns={"image": "photo"})
    missing = pd.concat([shuffled, pd.DataFrame({"photo": ["gone.jpg"], "score": [0]})])
    answers = predict(missing, run.checkpoint, data_dir=PERCEPTION / "test_images")
    assert list(answers["photo"]) == list(missing["photo"]) and list(answers.index) == list(missing.index)
    assert answers["predicted_score"].isna().tolist() == [False] * len(files) + [True]
    assert "gone.jpg" in answers.attrs["failed"] and "score_predicted" not in answers
    known = run.predictions.set_index("file")["predicted_score"]
    # at other places of a batch the last bits of some processors' kernels differ
    assert np.allclose(answers.set_index("photo").loc[known.index, "predicted_score"], known, rtol=1e-6)


@pytest.mark.parametrize("images", [str(PLACES / "test"), [str(p) for p in sorted((PLACES / "test").rglob("*.jpg"))]])
def test_a_folder_and_a_list(places_run, images):
    answers = predict(images, places_run.checkpoint, top=1)
    assert len(answers) == 15 and list(answers.columns[1:3]) == ["class_1", "p_1"]


def test_a_data_frame_comes_back_whole(places_run):
    files = [p.relative_to(PLACES).as_posix() for p in sorted((PLACES / "test").rglob("*.jpg"))][:3]
    table = pd.DataFrame(
        {
            "photo": [*files, None, files[0]],
            "file": list("abcde"),
            "predicted": range(5),
            7: pd.Categorical(list("xyxyx")),
        },
        index=[3, 3, 1, 0, 9],
    )
    answers = predict(table, places_run.checkpoint, data_dir=PLACES)
    pd.testing.assert_frame_equal(answers[list(table.columns)], table)
    assert answers["predicted_predicted"].isna().tolist() == [False, False, False, True, False]
    assert answers["predicted_predicted"].iloc[0] == answers["predicted_predicted"].iloc[4]
    same = predict(table, places_run.checkpoint, data_dir=PLACES, image_column="photo")
    pd.testing.assert_frame_equal(same, answers)
    numbered = predict(table.rename(columns={"photo": 0}), places_run.checkpoint, data_dir=PLACES, image_column=0)
    pd.testing.assert_frame_equal(numbered.rename(columns={0: "photo"}), answers)


def test_messages_name_arguments(places_run, tmp_path):
    with pytest.raises(DeepCNNError, match=r"^image_column=foto: the table has no such column. Did you mean photo"):
        predict(pd.DataFrame({"photo": ["a.jpg"]}), places_run.checkpoint, image_column="foto")
    with pytest.raises(DeepCNNError, match=r"^images=.*: no such folder or file"):
        predict(str(tmp_path / "nothing"), places_run.checkpoint)
    with pytest.raises(DeepCNNError, match=r"a.jpg is not found below .*give the folder of images as data_dir"):
        predict(["a.jpg"], places_run.checkpoint)
    with pytest.raises(DeepCNNError, match=r"^target=scroe: .*Did you mean score"):
        table = pd.DataFrame({"image": [p.name for p in (PERCEPTION / "test_images").iterdir()], "score": 1})
        train(PERCEPTION / "test_images", table, target="scroe", root_dir=str(tmp_path), **TINY)


def test_a_flag_that_does_not_exist():
    with pytest.raises(ConfigError, match="Did you mean epochs"):
        train(PLACES, epoch=3)


def test_what_the_manual_shows(tmp_path, monkeypatch):
    """The manual's block of Python, word for word, with a small untrained network in place of the pretrained one."""
    text = (ROOT / "docs" / "how_to" / "python.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    (shown,) = [block for block in blocks if "run = train(" in block]
    write_perception_set(tmp_path / "input" / "streets", 40, 32)
    write_perception_set(tmp_path / "input" / "london", 5, 32, seed=9)
    scores = pd.read_csv(tmp_path / "input" / "streets" / "scores.csv").rename(columns={"score": "safety"})
    (tmp_path / "input" / "streets" / "scores.csv").unlink()
    scores.to_csv(tmp_path / "scores.csv", index=False)
    new_places = pd.DataFrame({"file": [f"images/street_{n:05d}.jpg" for n in range(5)]})
    new_places.to_csv(tmp_path / "london.csv", index=False)
    monkeypatch.chdir(tmp_path)
    small = {"weights": "none", "image_size": 32, "cache": "off"}
    monkeypatch.setattr(api, "train", lambda *given, _train=api.train, **flags: _train(*given, **(flags | small)))
    names = {}
    exec(shown, names)
    assert names["answers"]["predicted_safety"].notna().all() and len(names["answers"]) == 5


def test_a_checkpoint_in_five_lines(places_run, tmp_path, monkeypatch):
    """The other block: the file of a network, and an image through its own preprocessing, give what `predict` gives."""
    text = (ROOT / "docs" / "how_to" / "python.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    (block,) = [block for block in blocks if 'meta["transform"]' in block]
    assert len([line for line in block.splitlines() if line]) == 5
    monkeypatch.chdir(tmp_path)
    Image.open(min((PLACES / "test").rglob("*.jpg"))).save("a.png")
    (tmp_path / "outputs" / "models" / "RUN").mkdir(parents=True)
    shutil.copy(places_run.checkpoint, tmp_path / "outputs" / "models" / "RUN" / "best.pt")
    names = {}
    exec(block, names)
    answers = predict(["a.png"], places_run.checkpoint)
    # in float32 here; predict computes in the run's own precision
    assert {f"p_{name}": p for name, p in names["answer"].items()} == pytest.approx(
        {name: answers[name][0] for name in answers if name.startswith("p_")}, abs=5e-3
    )
