"""Other pictures under the same names: a run and a table of predictions notice, however the modification times look."""

import json
import os
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from deep_cnn.data import division
from deep_cnn.training import resume

FLAGS = {"model": "cifar_resnet20", "batch_size": 8, "workers": 1}


def draw(folder, seed, names=None):
    """BMP files of one size in bytes: 8 of each class, or only the named ones."""
    rng = np.random.RandomState(seed)
    for number in range(16):
        path = folder / ["cat", "dog"][number % 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.randint(0, 255, (24, 24, 3), np.uint8)
        if names is None or path.name in names:
            Image.fromarray(pixels).save(path)
            os.utime(path, (1_000_000 + seed, 1_000_000 + seed))
    return folder


def touch(folder):
    """Other modification times, as a staged copy has."""
    for path in folder.rglob("*.bmp"):
        os.utime(path, (2_000_000, 2_000_000))


@pytest.fixture
def data(tmp_path):
    return draw(tmp_path / "data", 1)


@pytest.fixture
def trained(train, data):
    """A function: flags -> (exit code, files) of a training on these images."""
    return lambda **flags: train(**(FLAGS | {"data_dir": data} | flags))


def unfinished(files):
    """As if the run had been killed in its last epoch."""
    state = torch.load(files.last, weights_only=True)
    state["progress"] |= {"finished": False, "epoch": 0, "step": 1, "global_step": 1}
    torch.save(state, files.last)
    (files.results / "test.json").unlink()
    (files.results / "digests.json").unlink()  # nothing says that these files were edited


@pytest.mark.parametrize("cache", ["off", "auto"])
def test_a_finished_run_is_trained_again_on_changed_pixels_and_known_again_in_a_copy(trained, data, capsys, cache):
    _, files = trained(cache=cache)
    before = files.best.read_bytes()
    touch(data)
    assert trained(cache=cache)[0] == 0 and files.best.read_bytes() == before
    assert "This run is finished" in capsys.readouterr().out
    assert trained(cache=cache)[0] == 0 and "comparing their contents" not in capsys.readouterr().out  # once
    draw(data, 2, {"4.bmp"})
    code, _ = trained(cache=cache)
    said = capsys.readouterr().out
    assert (
        code == 0 and "1 of its images has changed since this run finished (cat/4.bmp), so it is trained again" in said
    )
    assert files.models.with_name("default.1").joinpath("best.pt").read_bytes() == before


def test_an_unfinished_run_refuses_changed_pixels_and_goes_on_with_the_old_ones(trained, data, capsys):
    _, files = trained()
    unfinished(files)
    draw(data, 2, {"3.bmp", "4.bmp"})
    state = files.last.read_bytes()
    code, _ = trained()
    assert code == 2
    said = capsys.readouterr().err
    assert (
        "2 of its images have changed since this run began (cat/4.bmp, dog/3.bmp)" in said and "--resume=never" in said
    )
    assert files.last.read_bytes() == state
    (data / "cat" / "new.bmp").write_bytes((data / "cat" / "2.bmp").read_bytes())
    code, _ = trained()
    assert code == 2 and "have changed since this unfinished run began" in capsys.readouterr().err
    (data / "cat" / "new.bmp").unlink()
    draw(data, 1, {"3.bmp", "4.bmp"})
    touch(data)
    assert trained()[0] == 0


@pytest.mark.parametrize("cache", ["off", "auto"])
@pytest.mark.parametrize("kind", ["folder", "tar"])
@pytest.mark.parametrize("bad", ["error", "skip"])
def test_images_that_are_exchanged_while_a_run_trains(trained, data, capsys, monkeypatch, tmp_path, kind, cache, bad):
    """Neither the run nor the cache takes the new pictures for those that were found: BMP files of one size."""
    flags = {"cache": cache, "on_bad_image": bad, "epochs": 1, "data_dir": data}
    if kind == "tar":
        flags["data_dir"] = tmp_path / "data.tar"

    def pictures(seed):
        draw(data, seed)
        if kind == "tar":
            with tarfile.open(tmp_path / "data.tar", "w") as archive:
                archive.add(data, "data")
            os.utime(tmp_path / "data.tar", (1_000_000 + seed, 1_000_000 + seed))

    pictures(1)
    _, alone = trained(**flags | {"cache": "off", "run_name": "alone"})
    open_cache = division.open_cache

    def then_exchanged(*arguments):
        pictures(2)
        return open_cache(*arguments)

    monkeypatch.setattr(division, "open_cache", then_exchanged)
    capsys.readouterr()
    assert trained(**flags)[0] == 2
    assert "this image has changed since the run found it; run the same command again" in capsys.readouterr().err
    monkeypatch.undo()
    pictures(1)
    code, files = trained(**flags)
    assert code == 0 and (files.results / "test.json").read_bytes() == (alone.results / "test.json").read_bytes()


def test_what_is_too_much_to_be_compared_at_once_is_compared_when_it_is_read(trained, data, capsys, monkeypatch):
    _, files = trained()
    unfinished(files)
    touch(data)
    draw(data, 2, {"4.bmp"})
    monkeypatch.setattr(resume, "COMPARED_AT_ONCE", 0)
    code, _ = trained()
    said = capsys.readouterr()
    assert code == 2 and "compared when it is read" in said.out and "4.bmp: this image has changed" in said.err
    draw(data, 1, {"4.bmp"})
    assert trained()[0] == 0


def test_a_run_of_an_older_program_has_no_digests_and_is_compared_with_its_splits(trained, data, capsys):
    _, files = trained()
    unfinished(files)
    (files.models / "contents.npz").unlink()
    state = torch.load(files.last, weights_only=True)
    del state["identity"]["read"]
    torch.save(state, files.last)
    splits = (files.results / "splits.csv").read_text()
    (files.results / "splits.csv").write_text(splits.replace("4.bmp,cat", "4.bmp,dog", 1))
    code, _ = trained()
    said = capsys.readouterr().err
    assert code == 2 and "begun by deep_cnn" in said and "read 1 rows" in said and "--resume=never" in said
    (files.results / "splits.csv").write_text(splits)
    assert trained()[0] == 0
    assert "It is not known whether images have changed since this run began" in capsys.readouterr().out


def test_rows_of_changed_pictures_are_predicted_again(run_cli, trained, data, tmp_path, capsys):
    trained()
    images = draw(tmp_path / "new", 5)
    (images / "cat" / "broken.jpg").write_bytes(b"no image")

    def predict(output, **flags):
        return run_cli("predict", images=images, output=tmp_path / output, **flags)[0], tmp_path / output

    predict("out.csv")
    old = (tmp_path / "out.csv").read_text().splitlines()
    assert predict("out.csv")[0] == 3 and "already complete" in capsys.readouterr().out
    touch(images)
    assert predict("out.csv")[0] == 3 and "already complete" in capsys.readouterr().out
    draw(images, 6, {"4.bmp"})
    assert predict("out.csv")[0] == 3 and "have changed since they were predicted: 1" in capsys.readouterr().out
    _, fresh = predict("fresh.csv")
    new = fresh.read_text().splitlines()
    assert (tmp_path / "out.csv").read_text().splitlines() == new
    assert [a.split(",")[0] for a, b in zip(old, new, strict=True) if a != b] == ["cat/4.bmp"]
    assert not list(tmp_path.glob("*previous*"))
    Image.new("RGB", (24, 24)).save(images / "cat" / "broken.jpg")  # mended
    assert predict("out.csv")[0] == 0 and "cat/broken.jpg" in (tmp_path / "out.csv").read_text()
    assert json.loads((tmp_path / "out.csv.json").read_text())["failed"] == 0
    # a part of the new table was made when the process was killed
    draw(images, 7)
    from deep_cnn.inference.predict import redo
    from deep_cnn.inference.predict.output_table import TableFiles

    redo.put_aside(TableFiles(tmp_path / "out.csv"))
    assert predict("out.csv")[0] == 0 and (tmp_path / "out.csv").read_bytes() == predict("fresh2.csv")[1].read_bytes()
