"""--dataset: pickles in the form that torchvision reads, made here; unpacked once, checked."""

import hashlib
import pickle
import tarfile

import numpy as np
import pytest
from cifar_pickles import CLASSES, pixels_of
from PIL import Image
from torchvision import datasets

from deep_cnn.config.schema import Config
from deep_cnn.data.public import with_dataset
from deep_cnn.runtime import download
from deep_cnn.runtime.errors import DataError


def config(folder, **flags) -> Config:
    return Config(**({"dataset": "cifar10", "data_dir": str(folder.parent)} | flags))


def test_every_image_is_unpacked_under_its_class_and_number(pickles):
    found = with_dataset(config(pickles)).data_dir
    for split, train in (("train", True), ("test", False)):
        own = datasets.CIFAR10(str(pickles.parent), train=train)
        for number in range(len(own)):
            image, label = own[number]
            path = f"{found}/{split}/{CLASSES[label]}/{number:05}.png"
            assert np.array_equal(np.asarray(Image.open(path)), np.asarray(image)), path
    files = list((pickles.parent / "cifar10_png").rglob("*.png"))
    assert len(files) == 48 + 18 and len({file.stat().st_size for file in files}) == 1  # no zlib changes their sizes


def test_it_is_done_once_and_knows_its_own_folder(pickles, monkeypatch):
    first = with_dataset(config(pickles))
    monkeypatch.setattr(datasets, "CIFAR10", None)  # not asked again
    assert with_dataset(config(pickles)) == first
    assert with_dataset(first) == first  # a command of ours that is given again
    assert with_dataset(Config(data_dir="x")).data_dir == "x"
    assert not list(pickles.parent.glob("*.tmp"))


def test_a_damaged_file_is_named(pickles):
    content = bytearray((pickles / "data_batch_2").read_bytes())
    content[500] ^= 1
    (pickles / "data_batch_2").write_bytes(content)
    with pytest.raises(DataError, match=r"--dataset=cifar10: .*data_batch_2 is damaged \(MD5 checksum"):
        with_dataset(config(pickles))
    assert not (pickles.parent / "cifar10_png").exists()


def test_without_files_and_network_the_line_says_what_to_do(tmp_path, monkeypatch):
    def offline(url, path):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(download, "download", offline)
    flags = {"dataset": "cifar100", "root_dir": str(tmp_path)}
    with pytest.raises(
        DataError, match=r"not found in .*input, and the download failed \(Network is unreachable\).*prefetch"
    ):
        with_dataset(Config(**flags))
    monkeypatch.setattr(download, "download", lambda url, path: pytest.fail("asked the network"))
    with pytest.raises(DataError, match=r"--no_download is set.*cifar-100-python.tar.gz there"):
        with_dataset(Config(**flags, download=False))


def test_an_archive_is_checked_and_unpacked(pickles, monkeypatch):
    """What `prefetch`, a download or a student's own copy leaves: the archive alone."""
    data = pickles.parent
    archive = data / datasets.CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(pickles, pickles.name)
    for file in pickles.iterdir():
        file.unlink()
    pickles.rmdir()
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert (data / "cifar10_png") == type(data)(with_dataset(config(pickles, download=False)).data_dir)


def test_a_damaged_archive_is_named(pickles, monkeypatch):
    (pickles / "test_batch").unlink()
    (pickles.parent / datasets.CIFAR10.filename).write_bytes(b"not an archive")
    monkeypatch.setattr(datasets.CIFAR10, "url", "file:///nowhere/cifar.tar.gz")  # torchvision would fetch another one
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz is damaged \(MD5 checksum .* delete it"):
        with_dataset(config(pickles))


def test_cifar100_has_its_fine_classes(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    labels = np.arange(8) % 2
    for name in ("train", "test"):
        content = {"data": pixels_of(labels, 1), "fine_labels": labels.tolist(), "coarse_labels": [0] * 8}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "aquarium_fish"]}))
    for name, value in (("train_list", [["train", None]]), ("test_list", [["test", None]])):
        monkeypatch.setattr(datasets.CIFAR100, name, value)
    monkeypatch.setattr(datasets.CIFAR100, "meta", datasets.CIFAR100.meta | {"md5": None})
    found = with_dataset(Config(dataset="cifar100", data_dir=str(tmp_path)))
    assert len(list((tmp_path / "cifar100_png").glob("t*/aquarium_fish/*.png"))) == 8
    assert found.data_dir == str(tmp_path / "cifar100_png")
