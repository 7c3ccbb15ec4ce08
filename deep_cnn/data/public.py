"""--dataset: CIFAR-10 and CIFAR-100 as torchvision reads them, unpacked once into class folders.

The program learns from files: index, splits, cache, report and predictions name them. So the arrays of torchvision's pickles
become PNG files, named by their place in torchvision's order, and everything else is as for any other class folders.
"""

import http.client
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from deep_cnn.config.schema import PLACES365, Config
from deep_cnn.runtime import download, signals
from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import DataError

log = logging.getLogger(__name__)

DEFAULT_FOLDER = "input"  # where they are looked for when --data_dir does not say


def with_dataset(config: Config) -> Config:
    """With --data_dir naming the class folders of --dataset; they are made, from a download if need be, when missing.

    Raises:
        DataError: neither there nor to be had, damaged, or no place for it.
    """
    if config.dataset is None:
        return config
    given = Path(DEFAULT_FOLDER if config.data_dir == PLACES365 else config.data_dir).expanduser()
    name = f"{config.dataset}_png"
    if given.name != name:  # else a command of ours, which names the class folders themselves
        folder = next((p for p in (config.root / given, given) if p.is_dir()), config.root / given)
        if not (folder / name).is_dir():
            fetch(config.dataset, folder, config.download)
            unpack(config.dataset, folder, folder / name)
        given = given / name
    return replace(config, data_dir=str(given))


def fetch(dataset: str, folder: Path, download: bool = True) -> None:
    """Make sure that torchvision's files of a data set are whole below `folder`; an archive that lies there is unpacked.

    Raises:
        DataError: missing and not to be had within seconds, or damaged.
    """
    from torchvision.datasets.utils import check_integrity

    source = _source(dataset)
    place = folder / source.base_folder
    files = [*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])]
    present = [(name, md5) for name, md5 in files if (place / name).is_file()]
    damaged = [name for name, md5 in present if not check_integrity(str(place / name), md5)]
    if damaged:
        raise DataError(
            f"--dataset={dataset}: {place / damaged[0]} is damaged (MD5 checksum mismatch); delete {place} "
            "and download it again"
        )
    if len(present) == len(files):
        return
    archive = folder / source.filename
    if not archive.is_file():
        _download(dataset, source.url, archive, download)
    if not check_integrity(
        str(archive), source.tgz_md5
    ):  # torchvision would fetch another one, also where that is forbidden
        raise DataError(
            f"--dataset={dataset}: {archive} is damaged (MD5 checksum mismatch); delete it and download it again"
        )
    log.info("Unpacking %s", archive)
    try:
        source(str(folder), download=True)  # the archive is there and whole: torchvision unpacks it
    except Exception as error:  # of tarfile, zlib or the disk
        raise DataError(
            f"--dataset={dataset}: {archive} cannot be unpacked ({error}); free disk space, or download it again"
        ) from error


def _download(dataset: str, url: str, archive: Path, allowed: bool) -> None:
    place = f"--dataset={dataset}: not found in {archive.parent}"
    remedy = (
        f"Run on a computer with internet access: python -m deep_cnn prefetch --dataset={dataset} --data_dir={archive.parent}; or put "
        f"{archive.name} there"
    )
    if not allowed:
        raise DataError(f"{place}, and --no_download is set. {remedy}")
    log.info("Downloading %s to %s", url, archive.parent)
    try:
        download.download(url, archive)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise DataError(f"{place}, and the download failed ({reason}). {remedy}") from error


def unpack(dataset: str, folder: Path, target: Path) -> None:
    """Write train/CLASS/00029.png and test/CLASS/00004.png: whole or not at all, also when two processes do it at once."""
    from PIL import Image

    source = _source(dataset)
    log.info("Unpacking %s into class folders in %s (only once)", dataset, target)
    try:
        with atomic_path(target) as part:
            for split in ("train", "test"):
                images = source(str(folder), train=split == "train")
                places = [part / split / name for name in images.classes]
                for place in places:
                    place.mkdir(parents=True, exist_ok=True)
                for number, (pixels, label) in enumerate(zip(images.data, images.targets, strict=True)):
                    signals.raise_if_requested()
                    # not compressed: read faster, and of the same size (by which a run knows its data) with every zlib
                    Image.fromarray(pixels).save(places[label] / f"{number:05}.png", compress_level=0)
    except OSError as error:
        if not target.is_dir():  # else another process was first
            raise DataError(
                f"--dataset={dataset}: {target} cannot be written ({error.strerror}); free disk space, or copy "
                f"{folder / source.base_folder} to another folder and give that folder as --data_dir"
            ) from error


def _source(dataset: str) -> type[Any]:
    from torchvision import datasets

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[dataset]
