"""Batches of 224 pixels, normalised, without any network: the cached feed against DataLoaders of two persistent workers.

    python -m benchmarks.loading [--sizes=500x375,1000x750] [--images=320] [--rounds=3]

Training: random resized crop and flip. Evaluation: resize to 256 and the centre. All sides are warmed up by a whole epoch, the
cached feed by a second one when each row has been verified for good (5 s after the last one was written). Freed memory is
kept, as in a run; the workers of the DataLoaders inherit that.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from benchmarks import photographs, timing
from deep_cnn.data.assemble import Pixels
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.cache import SETTLED, open_cache
from deep_cnn.data.feed import Feed, FeedSettings, Sampling
from deep_cnn.data.index import build_index
from deep_cnn.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from deep_cnn.runtime.device import keep_freed_memory

BATCH, WORKERS = 32, 2
CLAIMS = {"training": 2.5, "evaluation": 4.0}


class Decoded(Dataset):
    """The fastest that torchvision offers on a CPU: its own decoder, and the v2 transforms on uint8."""

    def __init__(self, files: list[Path], training: bool):
        geometry = (
            [v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()]
            if training
            else [v2.Resize(256, antialias=True), v2.CenterCrop(224)]
        )
        self.files = [str(file) for file in files]
        self.transform = v2.Compose(
            [
                *geometry,
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(decode_image(self.files[i], ImageReadMode.RGB))


def pillow(data: Path, training: bool) -> Dataset:
    geometry = (
        [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
        if training
        else [transforms.Resize(256), transforms.CenterCrop(224)]
    )
    normalise = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)
    return datasets.ImageFolder(str(data / "train"), transforms.Compose([*geometry, transforms.ToTensor(), normalise]))


def rate(epoch, images: int, epochs: int) -> float:
    """Images a second over some epochs. epoch: a function that gives an epoch's batches."""
    begun = time.perf_counter()
    for _ in range(epochs):
        for _ in epoch():
            pass
    return images * epochs / (time.perf_counter() - begun)


def compare(data: Path, training: bool, rounds: int) -> dict[str, list[float]]:
    """The sides, in turn, on one folder of images."""
    index, pre = build_index(data), Preprocessing(256, 224)
    samples = np.arange(len(index))
    with tempfile.TemporaryDirectory() as folder:
        pixels = Pixels(index, pre, open_cache(Path(folder), index, pre))
        augmentation = parse_augment("zoom,flip" if training else "none")
        targets = torch.from_numpy(index.targets)
        feed = Feed(
            pixels, samples, targets, FeedSettings(torch.device("cpu"), workers=WORKERS), Sampling(augmentation)
        )
        epoch = iter(range(10**6))
        ours = (lambda: feed.train_batches(next(epoch), 0, BATCH)) if training else (lambda: feed.eval_batches(BATCH))
        files = [data / index.paths[i] for i in range(len(index))]
        options = {"batch_size": BATCH, "shuffle": training, "num_workers": WORKERS, "persistent_workers": True}
        loaders = {
            "DataLoader, decode_image and v2": DataLoader(Decoded(files, training), **options),
            "DataLoader, ImageFolder and Pillow": DataLoader(pillow(data, training), **options),
        }
        for side in (ours, *(loader.__iter__ for loader in loaders.values())):
            rate(side, len(index), 1)
        time.sleep(SETTLED)
        rate(ours, len(index), 1)
        # enough epochs of each for a second or more of work
        sides = {"feed from the cache": lambda: rate(ours, len(index), 8)}
        sides |= {name: lambda loader=loader: rate(loader.__iter__, len(index), 2) for name, loader in loaders.items()}
        measured = timing.alternate(sides, rounds)
        feed.close()
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_dir", type=Path, help="a folder whose train/ holds class folders; else images are drawn"
    )
    parser.add_argument("--sizes", default="500x375,1000x750")
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(timing.machine())
    torch.set_num_threads(WORKERS)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as temporary:
        for size in [""] if options.data_dir else options.sizes.split(","):
            data = options.data_dir
            if data is None:
                width, height = map(int, size.split("x"))
                data = photographs.generate(Path(temporary) / size, options.images, width, height)
            for what, claimed in CLAIMS.items():
                print(f"{what}, {size or data}")
                measured = compare(data, what == "training", options.rounds)
                timing.table(measured, "images/s")
                ours, decoded, other = (timing.median(values) for values in measured.values())
                timing.claim(f"{what} {size}: feed : DataLoader of decode_image and v2", ours / decoded, claimed)
                timing.claim(f"{what} {size}: feed : DataLoader of ImageFolder and Pillow", ours / other, None)


if __name__ == "__main__":
    main()
