"""The data sets of `benchmarks.defaults`: small ones of real images, each a table with the columns file, target and split.

A set has a pool of training images and a fixed test set; a seed draws 15% of the pool for validation. Every side of the benchmark
reads the same table, so that all have the same files and splits.
"""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.model_selection import train_test_split

VALIDATION = 0.15  # of the pool, as --val_split
MOST_FASHION = 600  # images of each class that are written as JPEG files

Row = tuple[Path, str | float, bool]  # file, target, whether it is tested on


@dataclass(frozen=True)
class DataSet:
    """source: name of the folder with its images; metric: by what the sides are compared; rows: source's path -> the images."""

    source: str
    metric: str
    rows: Callable[[Path], Iterator[Row]]

    @property
    def task(self) -> str:
        return "regression" if self.metric == "r2" else "classification"


def class_folders(folder: Path) -> dict[str, list[Path]]:
    return {inner.name: sorted(inner.glob("*.jpg")) for inner in sorted(folder.iterdir()) if inner.is_dir()}


def class_images(train: int | dict[str, int], test: int, test_folder: str = "test") -> Callable[[Path], Iterator[Row]]:
    """So many images of each class, the first ones by name. train: of each class, or of some classes by their names."""

    def rows(source: Path) -> Iterator[Row]:
        for name, files in class_folders(source / "train").items():
            if isinstance(train, int) or name in train:
                count = train if isinstance(train, int) else train[name]
                yield from ((file, name, False) for file in files[:count])
                tested = sorted((source / test_folder / name).glob("*.jpg"))[:test]
                yield from ((file, name, True) for file in tested)

    return rows


def house_figures(column: str, unit: float = 1.0, tested: int = 62) -> Callable[[Path], Iterator[Row]]:
    """Photographs of houses, and one of their figures; the test houses are drawn once."""

    def rows(source: Path) -> Iterator[Row]:
        table = pd.read_csv(source / "houses.csv")
        test = set(np.random.default_rng(0).permutation(len(table))[:tested].tolist())
        for i, (file, value) in enumerate(zip(table["image"], table[column], strict=True)):
            yield source / "images" / file, value / unit, i in test

    return rows


ALL = 10**6
FIVE = ("airplane", "automobile", "bird", "cat", "deer")
SETS = {  # name -> set; the number is that of the pool's images
    "cifar5_50": DataSet("cifar10", "top1", class_images(dict.fromkeys(FIVE, 10), 60)),
    "cifar10_200": DataSet("cifar10", "top1", class_images(20, 30)),
    "hymenoptera_244": DataSet("hymenoptera", "top1", class_images(ALL, ALL, "val")),
    "cats_dogs_200": DataSet("cifar10", "top1", class_images({"cat": 100, "dog": 100}, 150)),
    "deer_horses_210": DataSet("cifar10", "balanced", class_images({"deer": 200, "horse": 10}, 150)),
    "fashion_200": DataSet("fashion_mnist", "top1", class_images(20, 30)),
    "price_473": DataSet("houses", "r2", house_figures("price", 1e5)),
    "area_473": DataSet("houses", "r2", house_figures("area", 1e3)),
    "bedrooms_473": DataSet("houses", "r2", house_figures("bedrooms")),
    "cifar10_500": DataSet("cifar10", "top1", class_images(50, 30)),
    "fashion_500": DataSet("fashion_mnist", "top1", class_images(50, 30)),
    "cifar10_2000": DataSet("cifar10", "top1", class_images(200, 30)),
}


def write_table(data_set: DataSet, source: Path, seed: int, folder: Path) -> Path:
    """The set's table of a seed, beside links to its images, with absolute paths; made once."""
    path = folder / f"seed{seed}.csv"
    if path.exists():
        return path
    table = pd.DataFrame(data_set.rows(source), columns=["file", "target", "tested"])
    (folder / "images").mkdir(parents=True, exist_ok=True)
    links = [folder / "images" / f"{number:05}.jpg" for number in range(len(table))]
    for link, file in zip(links, table["file"], strict=True):
        if not link.is_symlink():
            link.symlink_to(file.resolve())
    table["file"] = list(map(str, links))
    pool = table.index[~table["tested"]]
    strata = table["target"][pool] if data_set.task == "classification" else None
    _, validation = train_test_split(pool, test_size=VALIDATION, random_state=seed, stratify=strata)
    table["split"] = np.where(table["tested"], "test", "train")
    table.loc[validation, "split"] = "val"
    table[["file", "target", "split"]].to_csv(path, index=False)
    return path


def unpack_fashion(source: Path, folder: Path) -> Path:
    """Fashion-MNIST's files, in MNIST's format, as class folders of JPEG files; made once."""
    if (folder / "test" / "class9").exists():
        return folder
    for split, part in (("train", "train"), ("test", "t10k")):
        with gzip.open(source / f"{part}-images-idx3-ubyte.gz") as file:
            images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        with gzip.open(source / f"{part}-labels-idx1-ubyte.gz") as file:
            labels = np.frombuffer(file.read(), np.uint8, offset=8)
        for label in range(10):
            inside = folder / split / f"class{label}"
            inside.mkdir(parents=True, exist_ok=True)
            for i in np.flatnonzero(labels == label)[:MOST_FASHION].tolist():
                Image.fromarray(images[i]).convert("RGB").save(inside / f"{i:05}.jpg", quality=95)
    return folder
