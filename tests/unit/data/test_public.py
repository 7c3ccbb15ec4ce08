"""--dataset: pickles in the form that torchvision reads, made here; unpacked, trained on, scored again."""

import hashlib
import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from deep_cnn.config.schema import Config
from deep_cnn.data.public import with_dataset
from deep_cnn.runtime import download
from deep_cnn.runtime.errors import DataError

CLASSES = ["airplane", "cat", "truck"]
PER_FILE = {"data_batch_1": 24, "data_batch_2": 24, "test_batch": 18}


def pixels_of(labels: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (n, 3072), planes of red, green and blue: noise around a colour of the class."""
    noise = np.random.default_rng(seed).integers(0, 60, (len(labels), 3, 1024))
    noise[np.arange(len(labels)), labels] += 150
    return noise.reshape(len(labels), 3072).astype(np.uint8)


@pytest.fixture
def pickles(tmp_path, monkeypatch):
    """A CIFAR-10 of three classes in tmp_path/data, whose MD5 sums torchvision's class takes for the published ones."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for seed, (name, count) in enumerate(PER_FILE.items()):
        labels = np.random.default_rng(seed).permutation(np.arange(count) % 3)
        content = {"data": pixels_of(labels, seed), "labels": labels.tolist(), "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CLASSES, "num_vis": 3072}))
    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[n, sums[n]] for n in PER_FILE if n != "test_batch"])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = datasets.CIFAR10.meta | {"md5": sums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return folder


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


def test_a_run_on_it_and_its_evaluation(pickles, run_cli, capsys):
    """--recipe=tutorial, the labs' subset, no validation; `evaluate` gives the very numbers of the training."""
    flags = {
        "dataset": "cifar10",
        "data_dir": pickles.parent,
        "recipe": "tutorial",
        "subset": 30,
        "subset_order": "lab",
    }
    code, files = run_cli(**flags, epochs=1, cache="off")
    said = capsys.readouterr().out
    assert code == 0 and "using 30 of 48 training images in the labs' order" in said
    assert "Recipe: tutorial (--model=net" in said and "overridden: --epochs=1" in said
    assert "no validation set (the last weights are kept" in said
    trained = [row.split(",")[0] for row in (files.results / "splits.csv").read_text().splitlines() if ",train" in row]
    indices = list(range(48))
    np.random.RandomState(2147483647).shuffle(indices)
    assert sorted(int(path[-9:-4]) for path in trained) == sorted(indices[:30])
    result = json.loads((files.results / "test.json").read_text())
    right = round(18 * result["top1"])
    assert f"Accuracy of the network on the 18 test images: {100 * right // 18} %" in said
    assert f"Accuracy for class: cat   is {100 * result['per_class']['cat']['recall']:.1f} %" in said
    assert run_cli("evaluate")[0] == 0
    again = capsys.readouterr().out
    block = said[said.index("Test result") : said.index("Accuracy of the network")]
    assert block.strip() == again[again.index("Test result") :].strip()
