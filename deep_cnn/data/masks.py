"""Masks and other drawings beside the images of class folders, which nobody wants to train on as images."""

import re
from collections.abc import Callable

import numpy as np

from deep_cnn.data.files import Files
from deep_cnn.data.split_names import shortlist
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.format import plural

WORD = r"(?:masks?|segs?|segm|segmentations?|segmented|gt|ground[\W_]?truths?|labels?|annot|annotations?|annotated|overlays?)"
PARTS = ("mask", "seg", "gt", "truth", "label", "annot", "overlay")  # one is in each of these words
NUMBER = r"(?:[\s_.-]*\(?\d{1,3}\)?)?"  # of several masks of one image
BEHIND = re.compile(rf"(.+?)[\s_.-]+{WORD}{NUMBER}", re.IGNORECASE)  # 3_mask, 3-seg, "3 (1)_mask_1"
BEFORE = re.compile(rf"{WORD}[\s_.-]+(.+)", re.IGNORECASE)  # mask_3
GLUED = re.compile(rf"(.*\d)(?:mask|seg|gt){NUMBER}", re.IGNORECASE)  # 3mask
FOLDER = re.compile(rf"(?:.*[\W_])?{WORD}", re.IGNORECASE)  # also "lung masks"
NOT = frozenset(("no", "non", "not", "without", "with", "wearing", "face"))  # of faces with and without a mask: classes
IMAGES = frozenset(
    ("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "original", "originals", "raw", "rgb")
)
MANY = 0.25  # share of images from which on masks are refused


def is_mask_folder(name: str) -> bool:
    """Whether a folder's name says that it holds masks: masks, ground_truth, "lung masks"; but not no_mask."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return bool(FOLDER.fullmatch(spaced)) and not NOT & set(re.split(r"[\W_]+", spaced.lower()))


def check_masks(files: Files, place: Callable[[str], object], tops: list[str]) -> list[str]:
    """Lines about images that may be masks of others.

    Args:
        place: the class and split of a folder's images, None where they are not used. tops: the folders that are classes.

    Raises:
        DataError: many images are masks, by their names; folders of images and of masks are taken as classes.
    """
    only = len(tops) > 1 and all(is_mask_folder(name) or name.lower() in IMAGES for name in tops)
    if only and (masks := [name for name in tops if is_mask_folder(name)]):
        raise DataError(
            f"--data_dir={files.root}: {shortlist(f'{name}/' for name in tops)} would be the classes, but {masks[0]}/ seems to hold "
            "masks or labels of the images; move it out of this folder, and arrange the images as CLASS/"
        )
    return [*_in_folders(files, place), *_in_names(files, place)]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0].lower()


def _bare(stem: str) -> str:
    """A name without what calls it a mask: 3 of 3_mask; itself if nothing does."""
    found = BEHIND.fullmatch(stem) or BEFORE.fullmatch(stem) or GLUED.fullmatch(stem)
    return found[1] if found else stem


def _in_folders(files: Files, place: Callable[[str], object]) -> list[str]:
    """Folders inside of a class that are called masks."""
    found = []
    for code, folder in enumerate(files.folders):
        above, _, name = folder.rpartition("/")
        inside_class = above and place(folder) is not None and place(folder) == place(above)
        if inside_class and is_mask_folder(name) and not _worn(files, above):
            found.append((code, folder, above))
    doubtful = []
    for code, folder, above in found:
        masks = np.flatnonzero(files.folder_of == code)
        beside = [k for k, other in enumerate(files.folders) if k != code and (other == above or _inside(other, above))]
        beside = [k for k in beside if not is_mask_folder(files.folders[k].rpartition("/")[2])]
        stems = {_stem(files.paths[int(i)]) for i in np.flatnonzero(np.isin(files.folder_of, beside))}
        pairs = sum(1 for i in masks if {(stem := _stem(files.paths[int(i)])), _bare(stem)} & stems)
        if len(masks) and 2 * pairs >= len(masks):
            raise DataError(
                f"--data_dir={files.root}: {folder}/ has {plural(pairs, 'file')} with the names of images of the same class, so masks or "
                "labels would be trained as images; move such folders out of this folder"
            )
        if len(masks):
            doubtful.append(folder)
    if not doubtful:
        return []
    names = shortlist(f"{folder}/" for folder in doubtful)
    return [
        f"{names}: inside a class folder, so the images in there are used as images of the class; move masks out of there"
    ]


def _worn(files: Files, above: str) -> bool:
    """Whether the folders in here tell faces with a mask from those without one."""
    names = [folder.rpartition("/")[2] for folder in files.folders if _inside(folder, above)]
    return any(
        "mask" in name.lower() and not is_mask_folder(name) and name.lower()[:2] in ("no", "wi") for name in names
    )


def _inside(folder: str, above: str) -> bool:
    return folder.rpartition("/")[0] == above


def _in_names(files: Files, place: Callable[[str], object]) -> list[str]:
    """Files that are called like another one beside them and mask: 3.png and 3_mask.png."""
    names = files.paths.blob.lower()  # in most data sets no name has such a word, which is fast to see
    parts = [part for part in PARTS if part.encode() in names]
    if not parts:
        return []
    used = np.array([place(folder) is not None for folder in files.folders], dtype=bool)[files.folder_of]
    masks, bare = [], []
    for i in np.flatnonzero(used).tolist():
        stem = _stem(files.paths[i])
        if any(part in stem for part in parts) and (short := _bare(stem)) != stem:
            masks.append(i)
            bare.append((int(files.folder_of[i]), short))
    if not masks:
        return []
    wanted, images = set(bare), {}
    for i in np.flatnonzero(used).tolist():
        if (key := (int(files.folder_of[i]), _stem(files.paths[i]))) in wanted:
            images[key] = i
    pairs = [(images[key], i) for i, key in zip(masks, bare, strict=True) if key in images]
    if not pairs:
        return []
    image, mask = (files.paths[i] for i in pairs[0])
    said = f"{len(pairs):,} of {int(used.sum()):,} images are named like the mask or label of another one (e.g. {mask} of {image})"
    if len(pairs) >= MANY * int(used.sum()):
        raise DataError(
            f"--data_dir={files.root}: {said}, so they would be trained as images of their own; move them out of this folder"
        )
    return [f"{said}; they are used as images of their own: move them out of this folder if they are none"]
