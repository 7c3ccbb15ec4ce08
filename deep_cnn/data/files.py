"""The image files below a folder, as columns: one scandir pass, no Python object kept per file, kept on disk if asked."""

import contextlib
import json
import os
import stat
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.data.archives import Members
from deep_cnn.data.kept import read_arrays
from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.run_files import are_outputs

# what archives, servers, disks and programs leave behind, in lower case
SYSTEM_FOLDERS = frozenset(
    [
        "__macosx",
        "__pycache__",
        "_cache",
        "lost+found",
        "system volume information",
        "$recycle.bin",
        "recycler",
        "#recycle",
        "@recycle",
        "#snapshot",
        "@eadir",
        "@tmp",
    ]
)
KEPT_FORMAT = 4  # of the kept index; another number is scanned again. 4: outputs/ is passed over
ENDINGS = sorted(IMAGE_ENDINGS)  # likewise: a later version may read more formats
ROWS_AT_ONCE = 1 << 16  # bounds the temporaries of Paths.take and of a scan to a few MB


class Paths(Sequence[str]):
    """Relative POSIX paths in one block of UTF-8: workers share its pages, a list of strings they would copy.

    Counting references writes to each string, so a list of 1,000,000 paths costs every forked worker 100 MB.
    """

    def __init__(self, blob: bytes, offsets: np.ndarray):
        self.blob, self.offsets = blob, offsets  # offsets: int64 (N + 1,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> str:  # type: ignore[override]  # no slices: `take` has its rows in one go
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"path {i} of {n}")
        i %= n
        return self.blob[self.offsets[i] : self.offsets[i + 1]].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), ROWS_AT_ONCE):
            ends = self.offsets[start : start + ROWS_AT_ONCE + 1].tolist()
            for left, right in pairwise(ends):
                yield self.blob[left:right].decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Paths) and self.blob == other.blob and np.array_equal(self.offsets, other.offsets)

    def take(self, indices: np.ndarray) -> "Paths":
        """The paths at `indices` (int64 (M,)), in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        lengths = np.diff(self.offsets)[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        letters, blob = np.frombuffer(self.blob, dtype=np.uint8), bytearray()
        for start in range(0, len(indices), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            first = offsets[start]
            count = offsets[min(start + ROWS_AT_ONCE, len(indices))] - first
            shift = self.offsets[indices[rows]] - (offsets[start:-1][:ROWS_AT_ONCE] - first)
            blob += letters[np.arange(count) + np.repeat(shift, lengths[rows])].tobytes()
        return Paths(bytes(blob), offsets)

    @classmethod
    def from_list(cls, paths: Sequence[str]) -> "Paths":
        """The block of a list of paths."""
        encoded = [path.encode("utf-8", "surrogateescape") for path in paths]
        offsets = np.concatenate([[0], np.cumsum([len(path) for path in encoded])]).astype(np.int64)
        return cls(b"".join(encoded), offsets)


@dataclass(frozen=True)
class Sidecars:
    """Files of archives that say something about an image: its class, as KEY.cls beside KEY.jpg."""

    paths: Paths
    members: Members


@dataclass(frozen=True)
class Files:
    """The images below `root`: by folder, and by name within a folder, whatever the order on disk."""

    root: Path
    paths: Paths
    sizes: np.ndarray  # int64 (N,) bytes
    mtimes: np.ndarray  # int64 (N,) ns
    folder_of: np.ndarray  # int32 (N,) into folders
    folders: tuple[str, ...]  # relative POSIX, "" is the root; empty ones too
    ignored: dict[str, int]  # what was passed over: {"hidden": 3, ".txt": 2}
    kept: bool = False  # read from the kept index, found unchanged
    members: Members | None = None  # where they lie in archives; None: files on the disk
    sidecars: Sidecars | None = None

    def notes(self) -> list[str]:
        """A line about what was passed over, or none."""
        if not self.ignored:
            return []
        parts = ", ".join(
            f"{count:,} {kind}" for kind, count in sorted(self.ignored.items(), key=lambda row: -row[1])[:6]
        )
        total = sum(self.ignored.values())
        what = "entry that is no image" if total == 1 else "entries that are not images"
        return [f"Ignored {total:,} {what}: {parts}"]


@dataclass
class _Folder:
    """One scandir pass over one folder: its images (by name), its subfolders, what was passed over."""

    names: list[str]
    sizes: np.ndarray
    mtimes: np.ndarray
    subfolders: list[str]
    ignored: Counter[str]
    fingerprint: bytes


def _look(path: str) -> "tuple[list[str], array[int], array[int], array[int]]":
    """Names, sizes, mtimes, modes of everything in a folder, in the order of the disk. Links are followed."""
    names, sizes, mtimes, modes = [], array("q"), array("q"), array("L")
    # relative to an open folder, the system need not walk down the whole path for each file: a tenth less time
    here = os.open(path, os.O_RDONLY) if os.scandir in os.supports_fd else None
    with contextlib.ExitStack() as stack:
        if here is not None:
            stack.callback(os.close, here)
        entries = stack.enter_context(os.scandir(path if here is None else here))
        for entry in entries:
            try:
                status = entry.stat()
                size, mtime, mode = status.st_size, status.st_mtime_ns, status.st_mode
            except OSError:  # a link to nowhere, or deleted this instant: mode 0 is neither file nor folder
                size, mtime, mode = -1, -1, 0
            names.append(entry.name)
            sizes.append(size)
            mtimes.append(mtime)
            modes.append(mode)
    return names, sizes, mtimes, modes


def _fingerprint(names: list[str], sizes: "array[int]", mtimes: "array[int]") -> bytes:
    """16 bytes that change when anything in the folder is added, removed, renamed or rewritten."""
    digest = blake2b("/".join(names).encode("utf-8", "surrogateescape"), digest_size=16)
    digest.update(sizes)
    digest.update(mtimes)
    return digest.digest()


def _read_folder(path: str) -> _Folder:
    everything, sizes, mtimes, modes = _look(path)
    fingerprint = _fingerprint(everything, sizes, mtimes)
    images, subfolders = [], []
    ignored: Counter[str] = Counter()
    for i, name in enumerate(everything):
        is_folder = stat.S_ISDIR(modes[i])
        if name.startswith(".") or name.lower() in SYSTEM_FOLDERS:
            ignored["hidden"] += 1
        elif is_folder:
            subfolders.append(name)
        elif not stat.S_ISREG(modes[i]):
            ignored["broken links"] += 1
        elif (ending := name[name.rfind(".") :].lower()) in IMAGE_ENDINGS:
            images.append(i)
        else:
            ignored[ending if name.rfind(".") > 0 else "without an ending"] += 1
    images.sort(key=everything.__getitem__)
    order = np.array(images, dtype=np.int64)
    names = [everything[i] for i in images]
    of_images = [np.frombuffer(column, dtype=np.int64)[order] if len(order) else order for column in (sizes, mtimes)]
    return _Folder(names, of_images[0], of_images[1], sorted(subfolders), ignored, fingerprint)


def _walk(root: Path) -> tuple[Files, list[bytes]]:
    """Scan everything below `root`. Also returns the folders' fingerprints."""
    blob, lengths, sizes, mtimes = bytearray(), array("i"), [], []
    folders, counts, prints = [], [], []
    ignored: Counter[str] = Counter()
    # folders to come, the next one last; with the real folders above, against loops of links
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]
    while waiting:
        relative, above = waiting.pop()
        path = os.path.join(root, relative)
        try:
            seen = _read_folder(path)
            status = os.stat(path)
        except OSError as problem:
            raise DataError(f"{path}: cannot be read ({problem.strerror}); check its permissions") from problem
        here = (status.st_dev, status.st_ino)
        prefix = f"{relative}/" if relative else ""
        for start in range(0, len(seen.names), ROWS_AT_ONCE):
            part = [(prefix + n).encode("utf-8", "surrogateescape") for n in seen.names[start : start + ROWS_AT_ONCE]]
            blob += b"".join(part)
            lengths.extend(map(len, part))
        folders.append(relative)
        counts.append(len(seen.names))
        sizes.append(seen.sizes)
        mtimes.append(seen.mtimes)
        prints.append(seen.fingerprint)
        ignored += seen.ignored
        if "outputs" in seen.subfolders and are_outputs(Path(path, "outputs")):
            seen.subfolders.remove("outputs")
            ignored["outputs of deep_cnn"] += 1
        if here[1] and here in above:  # inode 0: a file system that has none
            raise DataError(f"{path}: this link points back to a parent folder; remove the link")
        waiting += [(prefix + name, (*above, here)) for name in reversed(seen.subfolders)]
    offsets = np.concatenate([[0], np.cumsum(np.frombuffer(lengths, dtype=np.int32), dtype=np.int64)])
    folder_of = np.repeat(np.arange(len(folders), dtype=np.int32), counts)
    paths = Paths(bytes(blob), offsets.astype(np.int64))
    files = Files(root, paths, np.concatenate(sizes), np.concatenate(mtimes), folder_of, tuple(folders), dict(ignored))
    return files, prints


def scan(root: Path, cache_dir: Path | None = None) -> Files:
    """The images below `root`, nested folders and links included.

    Args:
        cache_dir: folder for a kept copy of the result. It is used again when the name, size and mtime of every entry
            are as they were; only sorting and encoding are saved then. 1,000,000 files on two cores, pages warm:
            3.5 s without it, 2.3 s with it, and 120 MB above the peak of 10,000 files (one flat folder: 190 MB).

    Raises:
        DataError: no such folder, one that may not be read, a loop of links.
    """
    root = Path(root)
    if not root.is_dir():
        there = "this is a file" if root.exists() else "does not exist"
        raise DataError(f"--data_dir={root}: {there}; expected a folder of images")
    if cache_dir is None:
        return _walk(root)[0]
    name = blake2b(os.path.realpath(root).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    kept = Path(cache_dir) / f"files-{name}.npz"
    files = _load_kept(root, kept)
    if files is None:
        files, prints = _walk(root)
        _keep(files, prints, kept)
    return files


def _keep(files: Files, prints: list[bytes], kept: Path) -> None:
    """Write the index to `kept`; a full or read-only disk only means that the next start scans again."""
    about = json.dumps({"format": KEPT_FORMAT, "endings": ENDINGS, "folders": files.folders, "ignored": files.ignored})
    with contextlib.suppress(OSError), atomic_path(kept) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            about=np.frombuffer(about.encode(), np.uint8),
            prints=np.frombuffer(b"".join(prints), np.uint8),
            blob=np.frombuffer(files.paths.blob, np.uint8),
            offsets=files.paths.offsets,
            sizes=files.sizes,
            mtimes=files.mtimes,
            folder_of=files.folder_of,
        )


def _load_kept(root: Path, kept: Path) -> Files | None:
    """The kept index if it still describes the disk, else None. Looks at every file, but sorts and decodes nothing."""
    arrays = read_arrays(kept, ("about", "prints", "blob", "offsets", "sizes", "mtimes", "folder_of"))
    if arrays is None:
        return None
    about = json.loads(arrays["about"].tobytes())
    if about["format"] != KEPT_FORMAT or about.get("endings") != ENDINGS:
        return None
    prints = arrays["prints"].tobytes()
    try:
        for i, folder in enumerate(about["folders"]):
            if _fingerprint(*_look(os.path.join(root, folder))[:3]) != prints[16 * i : 16 * i + 16]:
                return None
    except OSError:  # a folder is gone
        return None
    paths = Paths(arrays["blob"].tobytes(), arrays["offsets"])
    sizes, mtimes, folder_of = (arrays[name] for name in ("sizes", "mtimes", "folder_of"))
    return Files(root, paths, sizes, mtimes, folder_of, tuple(about["folders"]), about["ignored"], kept=True)
