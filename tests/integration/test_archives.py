"""The same images in a folder, a tar, shards, a zip and Parquet: the same splits and the same bits of the weights."""

import io
import json
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

FLAGS = {"model": "cifar_resnet20", "batch_size": 8, "workers": 2, "augment": "basic"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 pictures of two classes in train/ and test/, as {path: bytes}; BMP: a changed byte is a changed pixel."""
    rng, files = np.random.RandomState(3), {}
    for number in range(24):
        file = io.BytesIO()
        Image.fromarray(rng.randint(0, 255, (24, 24, 3), np.uint8)).save(file, "BMP")
        part = "test" if number % 6 == 5 else "train"
        files[f"{part}/{'cat' if number % 2 else 'dog'}/{number}.bmp"] = file.getvalue()
    return files


def as_folder(place, files):
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def as_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def as_shards(place, files):
    for k in range(3):
        as_tar(place / f"{k}.tar", dict(list(files.items())[k::3]))
    return place


def as_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"photos/{name}", data)
    return path


def as_parquet(path, files):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [{"bytes": data, "path": name} for name, data in files.items()]}), path)
    return path


CONTAINERS = {"tar": as_tar, "shards": as_shards, "zip": as_zip, "parquet": as_parquet}


def results(files):
    weights = torch.load(files.last, weights_only=True)["weights"]
    names = ("splits.csv", "metrics.csv", "predictions_test.csv", "test.json")
    return {k: v.numpy().tobytes() for k, v in weights.items()}, [(files.results / name).read_bytes() for name in names]


@pytest.fixture(scope="module")
def expected():
    return {}


@pytest.mark.parametrize("cache", ["off", "auto"])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_container_changes_nothing(train, photos, tmp_path, kind, cache, expected):
    if not expected:
        code, files = train(**FLAGS, data_dir=as_folder(tmp_path / "folder", photos), run_name="folder", cache="off")
        assert code == 0
        expected["weights"], expected["files"] = results(files)
    place = CONTAINERS[kind](tmp_path / f"photos.{kind}", photos)
    code, files = train(**FLAGS, data_dir=place, run_name=kind, cache=cache)
    weights, written = results(files)
    assert code == 0 and weights == expected["weights"] and written == expected["files"]


def test_a_run_on_an_archive_is_known_again_goes_on_and_notices_other_pictures(train, photos, tmp_path, capsys):
    place = as_tar(tmp_path / "photos.tar", photos)
    code, files = train(**FLAGS, data_dir=place, cache="off", max_time="1s")
    assert code == 75
    as_folder(tmp_path / "folder", photos)
    code, files = train(**FLAGS, data_dir=tmp_path / "folder", cache="off")  # unpacked meanwhile
    assert code == 0 and "differs" not in capsys.readouterr().out
    weights, written = results(files)
    shutil.rmtree(tmp_path / "outputs")
    code, files = train(**FLAGS, data_dir=place, cache="off")
    assert results(files) == (weights, written)
    shutil.copyfile(place, tmp_path / "copy.tar")  # another modification time
    assert train(**FLAGS, data_dir=tmp_path / "copy.tar", cache="off")[0] == 0
    assert "This run is finished" in capsys.readouterr().out
    data = bytearray(place.read_bytes())
    data[data.index(photos["train/dog/0.bmp"]) + 60] ^= 255
    (tmp_path / "copy.tar").write_bytes(data)
    train(**FLAGS, data_dir=tmp_path / "copy.tar", cache="off")
    assert "1 of its images has changed since this run finished" in capsys.readouterr().out


def test_predict_explain_and_check_read_archives(train, run_cli, photos, tmp_path, capsys):
    code, _ = train(**FLAGS, data_dir=as_zip(tmp_path / "photos.zip", photos))
    assert code == 0
    new = as_folder(tmp_path / "new", {f"camera/{name.rpartition('/')[2]}": data for name, data in photos.items()})
    archive = as_zip(tmp_path / "new.zip", {f"camera/{name.rpartition('/')[2]}": data for name, data in photos.items()})
    tables = []
    for images, output in ((new, "folder.csv"), (archive, "zip.csv")):
        assert run_cli("predict", images=images, output=tmp_path / output)[0] == 0
        tables.append((tmp_path / output).read_text())
    assert tables[0] == tables[1].replace("photos/camera", "camera")
    assert run_cli("predict", images=archive, output=tmp_path / "zip.csv")[0] == 0
    assert "already complete" in capsys.readouterr().out
    # a list of members, and the run's own images by the names in splits.csv
    (tmp_path / "list.txt").write_text("train/dog/0.bmp\ntrain/dog/none.bmp\n")
    assert run_cli("predict", images=tmp_path / "list.txt", output=tmp_path / "list.csv")[0] == 3
    assert "none.bmp,No such file" in (tmp_path / "list.failed.csv").read_text().replace("unreadable image (", "")
    assert run_cli("explain", count=2)[0] == 0
    assert run_cli("evaluate")[0] == 0
    capsys.readouterr()
    assert run_cli("check", **({"data_dir": tmp_path / "photos.zip", "weights": "none"} | FLAGS))[0] in (0, 1)
    assert "24" in capsys.readouterr().out
    record = json.loads((tmp_path / "outputs" / "results" / "default" / "explain" / "explain.json").read_text())
    assert len(record["images"]) == 2
