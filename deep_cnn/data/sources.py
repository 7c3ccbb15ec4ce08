"""The images below a folder, in an archive or Parquet file, or in a folder of these (shards), under the same paths and in the same order."""

import contextlib
import functools
import json
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from deep_cnn.data.archives import (
    ARCHIVE_ENDINGS,
    COMPRESSED_ENDINGS,
    NOWHERE,
    OPEN_AT_ONCE,
    Archive,
    Listing,
    Members,
    Source,
    list_members,
)
from deep_cnn.data.files import ENDINGS, SYSTEM_FOLDERS, Files, Paths, Sidecars, scan
from deep_cnn.data.kept import read_arrays
from deep_cnn.data.parquet import PARQUET, has_images, packed
from deep_cnn.data.split_names import ALIASES, SHORT, TRAIN, splits_named
from deep_cnn.runtime.atomic import atomic_path
from deep_cnn.runtime.errors import DataError, DeepCNNError
from deep_cnn.runtime.format import some

KEPT_FORMAT = 2  # of the kept list of members; another number is listed again
COLUMNS = (
    "archive_of",
    "offsets",
    "lengths",
    "sizes",
    "methods",
    "checksums",
)  # of Members, in the order of its fields


def is_source(path: Path) -> bool:
    """Whether images can be looked for here: a folder, an archive, or a folder within an archive."""
    return path.is_dir() or archive_above(path) is not None


def archive_above(path: Path) -> tuple[Path, str] | None:
    """The file that `path` is or lies in, and the folder within it ("" for its top); None where `path` is on the disk."""
    for place in (path, *path.parents):
        if place.is_file():
            inner = path.relative_to(place).as_posix()
            return place, "" if inner == "." else inner
        if place.is_dir():
            break
    return None


def find_files(root: Path, cache_dir: Path | None = None, splits: bool = False) -> Files:
    """The images at `root`: below a folder, in a .tar, .zip or .parquet, or in those of a folder that has no images itself.

    Args:
        root: photos.tar/train is the folder train within photos.tar.
        cache_dir: where the list is kept for the next start.
        splits: refuse archives of which some names tell a split and others do not.

    Raises:
        DataError: nothing there, or an archive that cannot be read in place; names it and what to do.
    """
    root = Path(root)
    if (archive := archive_above(root)) is not None:
        if root.suffix.lower() == PARQUET:
            return _in_archives(root, [("", _pack([("", root)], cache_dir))], "", cache_dir)
        return _in_archives(root, [("", archive[0])], archive[1], cache_dir)
    files = scan(root, cache_dir)
    if len(files.paths):
        return files
    if any(ending in files.ignored for ending in (*ARCHIVE_ENDINGS, *COMPRESSED_ENDINGS)):
        return _in_archives(root, _shards(files, (*ARCHIVE_ENDINGS, *COMPRESSED_ENDINGS), splits), "", cache_dir)
    if PARQUET in files.ignored:
        return _in_archives(root, [("", _pack(_shards(files, (PARQUET,), splits), cache_dir))], "", cache_dir)
    return files


def _pack(files: Sequence[tuple[str, Path]], cache_dir: Path | None) -> Path:
    """The images of Parquet files in one tar, in the cache or, without one, among the system's temporary files."""
    return packed(files, cache_dir or Path(tempfile.gettempdir()) / "deep_cnn_parquet")


def _shards(files: Files, endings: tuple[str, ...], splits: bool) -> list[tuple[str, Path]]:
    """The archives below a folder, each with the folder that its images are put in: its own, or that of its split."""
    found = [
        (folder, files.root / folder / name)
        for folder in files.folders
        for name in sorted(os.listdir(files.root / folder))
        if name.lower().endswith(endings) and not name.startswith(".")
    ]
    # a folder's split is that of its shards, whatever they are called
    loose = {path: splits_named(path.stem) for folder, path in found if not splits_named(folder)}
    named = set().union(*loose.values())
    if named <= {TRAIN} or (len(named) == 1 and all(loose.values())):
        return found  # one split, or none, in all names
    unclear = [path.name for path, words in loose.items() if len(words) != 1]
    if unclear or TRAIN not in named:
        if not splits:
            return found
        known = next(path.name for path, words in loose.items() if words)
        raise DataError(
            f"--data_dir={files.root}: {known} is named as a split, "
            + (f"but {some(unclear)} is not, or as several" if unclear else "but no archive as train")
            + "; begin each name with train, val or test, or put the others elsewhere"
        )
    split_of = {path: SHORT[split] for path, words in loose.items() for split in words}  # one each
    return [(f"{folder}/{split_of[path]}".lstrip("/") if path in split_of else folder, path) for folder, path in found]


class _Columns:
    """The members of several archives, as they are found."""

    def __init__(self, inner: str) -> None:
        self.blob, self.ends, self.folder_of, self.archive_of = bytearray(), array("q", [0]), array("i"), array("i")
        self.numbers: list[list[np.ndarray]] = [[], [], [], [], []]
        self.folders: dict[str, int] = {}
        self.inner = f"{inner}/" if inner else ""

    def folder(self, name: str) -> int:
        """Its number; its parents get one, too."""
        if name not in self.folders:
            if name:
                self.folder(name.rpartition("/")[0])
            self.folders[name] = len(self.folders)
        return self.folders[name]

    def add(self, prefix: str, listing: Listing, archive: int) -> None:
        """Those of one archive that lie in the asked folder; prefix: the folder that they are put in."""
        keep = np.zeros(len(listing), dtype=bool)
        for k, name in enumerate(listing):
            if not name.startswith(self.inner):
                continue
            keep[k] = True
            path = prefix + name[len(self.inner) :]
            self.blob += path.encode("utf-8", "surrogateescape")
            self.ends.append(len(self.blob))
            self.folder_of.append(self.folder(path.rpartition("/")[0]))
            self.archive_of.append(archive)
        for parts, column in zip(self.numbers, listing.numbers, strict=True):
            parts.append(np.array(column, dtype=np.int64)[keep])

    def members(self, archives: tuple[Archive, ...]) -> tuple[Paths, Members]:
        """All of them, in the order in which they were found."""
        offsets, lengths, sizes, methods, checksums = (
            np.concatenate([np.zeros(0, np.int64), *p]) for p in self.numbers
        )
        members = Members(
            archives,
            np.array(self.archive_of, dtype=np.int32),
            offsets,
            lengths,
            sizes,
            methods.astype(np.uint8),
            checksums.astype(np.uint32),
        )
        return Paths(bytes(self.blob), np.array(self.ends, dtype=np.int64)), members


def _in_archives(root: Path, shards: Sequence[tuple[str, Path]], inner: str, cache_dir: Path | None) -> Files:
    archives = []
    about = blake2b(f"{KEPT_FORMAT} {' '.join(ENDINGS)} {inner}".encode("utf-8", "surrogateescape"), digest_size=16)
    for prefix, path in shards:
        status = path.stat()
        archives.append(Archive(path, status.st_mtime_ns, keep_open=len(shards) <= OPEN_AT_ONCE))
        words = f"\n{prefix} {os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"
        about.update(words.encode("utf-8", "surrogateescape"))
    name = blake2b(os.path.realpath(root).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    kept = None if cache_dir is None else Path(cache_dir) / f"members-{name}.npz"
    files = None if kept is None else _load_kept(root, kept, about.hexdigest(), tuple(archives))
    if files is None:
        files = _listed(root, shards, inner, tuple(archives))
        if kept is not None:
            _keep(files, kept, about.hexdigest())
    return files


def _listed(root: Path, shards: Sequence[tuple[str, Path]], inner: str, archives: tuple[Archive, ...]) -> Files:
    images, sidecars, ignored = _Columns(inner), _Columns(inner), Counter[str]()
    images.folder("")
    for number, (folder, path) in enumerate(shards):
        found, prefix = list_members(path, SYSTEM_FOLDERS), f"{folder}/" if folder else ""
        images.add(prefix, found.images, number)
        sidecars.add(prefix, found.sidecars, number)
        for name in found.folders:
            if f"{name}/".startswith(images.inner):
                images.folder((prefix + name[len(images.inner) :]).rstrip("/"))
        ignored += found.ignored
    paths, members = images.members(archives)
    # as a scan of folders has them: a folder's own images before those of its subfolders
    names = sorted(images.folders, key=lambda name: name.split("/") if name else [])
    rank = np.zeros(len(names), dtype=np.int32)
    rank[[images.folders[name] for name in names]] = np.arange(len(names), dtype=np.int32)
    folder_of = rank[np.array(images.folder_of, dtype=np.int32)]
    order, repeated = _by_folder_and_name(paths, folder_of, members)
    if repeated:
        ignored["earlier versions of members"] += repeated
    members = members.take(order)
    times = np.array([archive.time for archive in archives], dtype=np.int64)
    return Files(
        root,
        paths.take(order),
        members.sizes,
        times[members.archive_of] if len(order) else np.zeros(0, np.int64),
        folder_of[order],
        tuple(names),
        dict(ignored),
        members=members,
        sidecars=Sidecars(*sidecars.members(archives)),
    )


def _by_folder_and_name(paths: Paths, folder_of: np.ndarray, members: Members) -> tuple[np.ndarray, int]:
    """The order of the images, int64 (M,), and how many were left out because a later member has their name.

    Raises:
        DataError: two archives hold an image of the same path.
    """
    by_folder = np.argsort(folder_of, kind="stable")
    starts = np.flatnonzero(np.diff(folder_of[by_folder], prepend=-1))
    order = array("q")
    for rows in np.split(by_folder, starts[1:]) if len(by_folder) else ():
        named = [(paths[i], i) for i in rows.tolist()]
        named.sort()  # equal names: as they were found
        for (name, i), (following, other) in zip(named, [*named[1:], ("", -1)], strict=True):
            if name != following:
                order.append(i)
                continue
            one, two = (members.archives[int(members.archive_of[k])].path for k in (i, other))
            if one != two:
                raise DataError(
                    f"{name} is in {one} and in {two}: two images with one name; give the archives different folders, or "
                    "unpack them into different folders"
                )
    return np.array(order, dtype=np.int64), len(paths) - len(order)


# --- kept lists ------------------------------------------------------------------------------------------------------


def _keep(files: Files, kept: Path, digest: str) -> None:
    """Write the list to `kept`; a full or read-only disk only means that the next start lists the members again."""
    assert files.members is not None and files.sidecars is not None
    about = json.dumps({"digest": digest, "folders": files.folders, "ignored": files.ignored})
    columns = {name: getattr(files.members, name) for name in COLUMNS}
    beside = {f"sidecar_{name}": getattr(files.sidecars.members, name) for name in COLUMNS}
    with contextlib.suppress(OSError), atomic_path(kept) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            about=np.frombuffer(about.encode(), np.uint8),
            blob=np.frombuffer(files.paths.blob, np.uint8),
            ends=files.paths.offsets,
            folder_of=files.folder_of,
            sidecar_blob=np.frombuffer(files.sidecars.paths.blob, np.uint8),
            sidecar_ends=files.sidecars.paths.offsets,
            **columns,
            **beside,
        )


def _load_kept(root: Path, kept: Path, digest: str, archives: tuple[Archive, ...]) -> Files | None:
    """The kept list where it is of these archives, else None."""
    columns = (prefix + name for prefix in ("", "sidecar_") for name in COLUMNS)
    arrays = read_arrays(kept, ("about", "blob", "ends", "folder_of", "sidecar_blob", "sidecar_ends", *columns))
    if arrays is None:
        return None
    about = json.loads(arrays["about"].tobytes())
    if about["digest"] != digest:
        return None
    members, beside = (Members(archives, *(arrays[prefix + name] for name in COLUMNS)) for prefix in ("", "sidecar_"))
    times = np.array([archive.time for archive in archives], dtype=np.int64)
    return Files(
        root,
        Paths(arrays["blob"].tobytes(), arrays["ends"]),
        members.sizes,
        times[members.archive_of],
        arrays["folder_of"],
        tuple(about["folders"]),
        about["ignored"],
        kept=True,
        members=members,
        sidecars=Sidecars(Paths(arrays["sidecar_blob"].tobytes(), arrays["sidecar_ends"]), beside),
    )


# --- a common top folder, and single files ---------------------------------------------------------------------------


def without_top(files: Files) -> Files:
    """Images of archives that all lie in folders of one folder, as photos/cat, photos/dog in photos.tar: from there on.

    An archive is as often made of a folder as of what is in it. Files on the disk stay as they are.
    """
    tops = {folder.partition("/")[0] for folder in files.folders if folder}
    if files.members is None or len(tops) != 1 or not len(files.paths):
        return files
    (top,) = tops
    direct = [files.folders.index(folder) for folder in ("", top)]
    if np.isin(files.folder_of, direct).any() or top.lower() in ALIASES:
        return files
    letters, cut = np.frombuffer(files.paths.blob, np.uint8), len(f"{top}/".encode("utf-8", "surrogateescape"))
    keep = np.ones(len(letters), dtype=bool)
    for k in range(cut):
        keep[files.paths.offsets[:-1] + k] = False
    paths = Paths(letters[keep].tobytes(), files.paths.offsets - cut * np.arange(len(files.paths.offsets)))
    folders = tuple(folder[len(top) + 1 :] for folder in files.folders if folder)
    return without_top(
        replace(files, root=files.root / top, paths=paths, folders=folders, folder_of=files.folder_of - 1)
    )


@dataclass(frozen=True)
class Place:
    """A folder, an archive, or a folder of archives, in which files are looked up by their relative paths."""

    root: Path

    @functools.cached_property
    def _files(self) -> Files | None:
        """None for a folder of files."""
        if self.root.is_dir() and not _has_archives(self.root):
            return None
        if not is_source(self.root):
            return None
        files = find_files(self.root)
        return files if files.members is not None else None

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        assert self._files is not None
        rows = {path: i for i, path in enumerate(self._files.paths)}
        stripped = without_top(self._files)
        return {path: i for i, path in enumerate(stripped.paths)} | rows

    def _row(self, name: str) -> int:
        return self._rows.get(name.removeprefix("./"), -1)

    def has(self, name: str) -> bool:
        """Whether there is a file of this relative path."""
        return (self.root / name).is_file() or (self._files is not None and self._row(name) >= 0)

    def locate(self, names: Sequence[str]) -> Members | None:
        """Where these files lie in the archives, those that are not there at no place; None for files on the disk."""
        if any((self.root / name).is_file() for name in names[:20]) or self._files is None:
            return None
        assert self._files.members is not None
        rows = np.array([self._row(name) for name in names], dtype=np.int64)
        found = self._files.members.take(rows)
        found.offsets[rows < 0] = NOWHERE
        return found

    def source(self, name: str) -> Source:
        """Where the bytes of a file are. KeyError where an archive has no such file."""
        if (self.root / name).is_file() or self._files is None:
            return self.root / name
        assert self._files.members is not None
        if (row := self._row(name)) < 0:
            raise KeyError(name)
        return self._files.members.at(row, name)


def _has_archives(folder: Path) -> bool:
    """Whether a folder may be one of shards: has archives, or its splits have, and there are no other folders.

    Without a walk through all files: a project's or a person's own folder may hold an archive, too.
    """
    with os.scandir(folder) as entries:
        visible = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    splits = [name for name, is_folder in visible if is_folder]
    if any(name.lower() not in ALIASES for name in splits):
        return False
    files = [folder / name for name, is_folder in visible if not is_folder]
    return any(map(_holds_images, files)) or any(
        _holds_images(file) for name in splits for file in (folder / name).iterdir()
    )


def _holds_images(file: Path) -> bool:
    """Whether it is an archive, or Parquet with images; a table of Parquet is none."""
    if file.name.lower().endswith(ARCHIVE_ENDINGS):
        return True
    try:
        return file.name.lower().endswith(PARQUET) and has_images(file)
    except DeepCNNError:  # damaged, or pyarrow is not installed: told where the file itself is asked for
        return False
