"""A small CIFAR-10, as pickles in the form that torchvision reads."""

import hashlib
import pickle
from pathlib import Path

import numpy as np

CLASSES = ["airplane", "cat", "truck"]
PER_FILE = {"data_batch_1": 24, "data_batch_2": 24, "test_batch": 18}


def pixels_of(labels: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (n, 3072), planes of red, green and blue: noise around a colour of the class."""
    noise = np.random.default_rng(seed).integers(0, 60, (len(labels), 3, 1024))
    noise[np.arange(len(labels)), labels] += 150
    return noise.reshape(len(labels), 3072).astype(np.uint8)


def write_pickles(folder: Path) -> dict[str, str]:
    """The files of cifar-10-python.tar.gz, of three classes; their MD5 sums by name."""
    folder.mkdir(parents=True)
    for seed, (name, count) in enumerate(PER_FILE.items()):
        labels = np.random.default_rng(seed).permutation(np.arange(count) % 3)
        content = {"data": pixels_of(labels, seed), "labels": labels.tolist(), "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CLASSES, "num_vis": 3072}))
    return {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
