"""Images inside .tar and .zip archives, read where they lie: which members there are, and the bytes of each.

A member's path is the one that it would have if the archive were unpacked. Tar members and stored zip members are read at
their offset, deflated ones are inflated; what zip knows the checksum of is compared with it.
"""

import errno
import os
import posixpath
import struct
import tarfile
import threading
import weakref
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_cnn.config.registries import IMAGE_ENDINGS
from deep_cnn.runtime import signals
from deep_cnn.runtime.errors import DataError

ARCHIVE_ENDINGS = (".tar", ".zip")
COMPRESSED_ENDINGS = (".tgz", ".gz", ".tbz2", ".bz2", ".txz", ".xz", ".zst", ".7z", ".rar")  # are named, and refused
SIDECAR_ENDINGS = (".cls", ".json", ".txt")  # what WebDataset puts beside KEY.jpg
TAR, STORED, DEFLATED = 0, 1, 2  # how a member lies in its archive
OPEN_AT_ONCE = 200  # archives that stay open; systems allow 256 (macOS) or 1,024 files. Others are opened for each read
BLOCK = 512  # of a tar
NOWHERE = -1  # the offset of a file that is not in the archive
ZIP_HEADER = 30  # bytes before a zip member's name, which tell how long that and the extra field are
ENCRYPTED = 1  # bit of a zip member's flags
METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 97: "WavPack", 98: "PPMd", 99: "AES"}
COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd"),
}
OTHER_KINDS = {b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a RAR archive"}


class Archive:
    """An archive file that several threads read at once. Its file is opened when it is first read."""

    def __init__(self, path: Path, time: int, keep_open: bool = True):
        """time: of change when it was listed, ns."""
        self.path, self.time, self.keep_open = path, time, keep_open
        self._lock = threading.Lock()
        self._file: int | None = None

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes from `offset` on, fewer at the end of the file. OSError as of any file."""
        if self.keep_open and hasattr(os, "pread"):
            return _pread(self._opened(), offset, length)
        with open(self.path, "rb", buffering=0) as file:  # Windows: a handle of its own for each reader
            file.seek(offset)
            return _whole(file.read, length)

    def last_change(self) -> int:
        """The modification time, ns, of the file that is read from; it is not `time` once somebody has written to it."""
        opened = self.keep_open and hasattr(os, "pread")
        return (os.fstat(self._opened()) if opened else os.stat(self.path)).st_mtime_ns

    def reopen(self) -> None:
        """Open the file again at the next read: a stale handle of a network file system never comes back."""
        with self._lock:
            self._file = None  # the old one is closed with this object, for another thread may still read from it

    def _opened(self) -> int:
        with self._lock:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                weakref.finalize(self, os.close, self._file)
            return self._file


def _pread(file: int, offset: int, length: int) -> bytes:
    data = os.pread(file, length, offset)
    while 0 < len(data) < length and (more := os.pread(file, length - len(data), offset + len(data))):
        data += more
    return data


def _whole(read, length: int) -> bytes:
    data = read(length)
    while 0 < len(data) < length and (more := read(length - len(data))):
        data += more
    return data


@dataclass(frozen=True)
class Member:
    """One file of an archive. str() names it as if the archive were a folder.

    offset: of a tar member's bytes, of a zip member's header; length: of what is stored; size: of the file.
    """

    archive: Archive
    name: str
    offset: int
    length: int
    size: int
    method: int
    checksum: int

    def __str__(self) -> str:
        return f"{self.archive.path}/{self.name}"

    def read(self) -> bytearray:
        """All bytes of the file.

        Raises:
            OSError: the archive cannot be read. ValueError: it is damaged here.
        """
        if self.offset == NOWHERE:
            raise FileNotFoundError(errno.ENOENT, "No such file in the archive", str(self))
        if self.method == TAR:
            data = self.archive.read_at(self.offset, self.length)
            if len(data) != self.length:
                raise ValueError("the archive ends within this file; copy or download it again")
            return bytearray(data)
        stored = self._stored()
        try:
            data = stored if self.method == STORED else zlib.decompressobj(-15).decompress(stored, self.size + 1)
        except zlib.error as error:
            raise ValueError(f"damaged in the archive: {error}") from error
        if len(data) != self.size or zlib.crc32(data) != self.checksum:
            raise ValueError("damaged in the archive: its checksum is wrong; copy or download the archive again")
        return bytearray(data)

    def _stored(self) -> bytes:
        likely = ZIP_HEADER + len(self.name.encode("utf-8", "surrogateescape")) + 64 + self.length
        data = self.archive.read_at(self.offset, likely)
        if len(data) < ZIP_HEADER or not data.startswith(b"PK\x03\x04"):
            raise ValueError("damaged in the archive: its header is missing; copy or download the archive again")
        name, extra = struct.unpack_from("<HH", data, 26)
        begin = ZIP_HEADER + name + extra
        if len(data) < begin + self.length:
            data += self.archive.read_at(self.offset + len(data), begin + self.length - len(data))
        return data[begin : begin + self.length]

    def middle(self, length: int) -> int:
        """A number that files of the same bytes share, from little reading."""
        if self.method != TAR:
            return self.checksum
        return zlib.crc32(self.archive.read_at(self.offset + max(0, (self.size - length) // 2), min(length, self.size)))


@dataclass(frozen=True)
class Members:
    """Where the files of an index lie in archives, as columns of N."""

    archives: tuple[Archive, ...]
    archive_of: np.ndarray  # int32 into archives
    offsets: np.ndarray  # int64
    lengths: np.ndarray  # int64, stored bytes
    sizes: np.ndarray  # int64, bytes of the file
    methods: np.ndarray  # uint8, TAR, STORED or DEFLATED
    checksums: np.ndarray  # uint32, CRC-32 of zip members

    def take(self, rows: np.ndarray) -> "Members":
        """Those at `rows`, int64 (M,)."""
        columns = (self.archive_of, self.offsets, self.lengths, self.sizes, self.methods, self.checksums)
        return Members(self.archives, *(column[rows] for column in columns))

    def at(self, i: int, name: str) -> Member:
        """The i-th file; name: its path."""
        archive = self.archives[int(self.archive_of[i])]
        numbers = (self.offsets[i], self.lengths[i], self.sizes[i], self.methods[i], self.checksums[i])
        return Member(archive, name, *map(int, numbers))

    @property
    def same_kind(self) -> bool:
        """Whether all lie in tars, or all in zips."""
        return bool((self.methods == TAR).all() or (self.methods != TAR).all())


Source = Path | Member  # where the bytes of an image are


class Listing:
    """The members of an archive as they are found: names in one block of bytes, numbers in arrays."""

    def __init__(self) -> None:
        self.names, self.ends = bytearray(), array("q")
        self.numbers = tuple(array(kind) for kind in "qqqBL")  # offset, length, size, method, checksum

    def add(self, name: str, *numbers: int) -> None:
        """name: relative and clean; numbers: offset, length, size, method, checksum."""
        self.names += name.encode("utf-8", "surrogateescape")
        self.ends.append(len(self.names))
        for column, number in zip(self.numbers, numbers, strict=True):
            column.append(number)

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str]:
        begin = 0
        for end in self.ends:
            yield self.names[begin:end].decode("utf-8", "surrogateescape")
            begin = end


@dataclass
class Found:
    """What an archive holds.

    images, sidecars: members. folders: all that it has, "" for its top. ignored: what was passed over, by kind.
    """

    images: Listing
    sidecars: Listing
    folders: set[str]
    ignored: Counter[str]

    def accept(self, name: str, system: frozenset[str], *numbers: int) -> None:
        """Take a file in, or count it as passed over. system: names of folders, in lower case, that are no data."""
        parts = name.split("/")
        if any(part.startswith(".") or part.lower() in system for part in parts):
            self.ignored["hidden"] += 1
            return
        self.folders.add(posixpath.dirname(name))
        base = parts[-1]
        ending = base[base.rfind(".") :].lower()
        if ending in IMAGE_ENDINGS:
            self.images.add(name, *numbers)
            return
        if ending in SIDECAR_ENDINGS:
            self.sidecars.add(name, *numbers)
        self.ignored[ending if base.rfind(".") > 0 else "without an ending"] += 1


def kind_of(path: Path) -> str | None:
    """ "tar" or "zip" by a file's first bytes, whatever its ending; None for no archive.

    Raises:
        DataError: an archive of a kind that cannot be read in place; says what to do.
    """
    with open(path, "rb") as file:
        head = file.read(BLOCK)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    for magic, (name, tool) in COMPRESSED.items():
        if head.startswith(magic):
            raise DataError(
                f"{path}: compressed with {name}, so images in it cannot be read in place; uncompress it first "
                f"(`{tool} {path.name}`), or unpack it into a folder"
            )
    for magic, name in OTHER_KINDS.items():
        if head.startswith(magic):
            raise DataError(
                f"{path}: {name}, which cannot be read in place; unpack it, or pack its files as .tar or .zip"
            )
    if tarfile.is_tarfile(path):
        return "tar"
    if path.suffix.lower() in ARCHIVE_ENDINGS:
        raise DataError(f"{path}: not a {path.suffix.lower()} archive, or damaged; copy or download it again")
    return None


def list_members(path: Path, system: frozenset[str]) -> Found:
    """The files in an archive. system: names of folders, in lower case, that are no data.

    Raises:
        DataError: it is damaged, encrypted, or of a kind that cannot be read in place; names the file and what to do.
    """
    try:
        form = kind_of(path)
        if form is None:
            raise DataError(f"{path}: this is a file; expected a folder of images, or a .tar or .zip archive of them")
        return _list_zip(path, system) if form == "zip" else _list_tar(path, system)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, struct.error, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{path}: cannot be read as an archive ({reason}); copy or download it again") from error


def clean_path(name: str, path: Path) -> str:
    """A member's path as unpacking would make it: relative, without "." and double slashes."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise DataError(
            f"{path}: the member {name!r} points outside of the archive (..); pack the files again from within their folder"
        )
    return "/".join(parts)


def _list_tar(path: Path, system: frozenset[str]) -> Found:
    found, size = Found(Listing(), Listing(), {""}, Counter()), path.stat().st_size
    links: dict[str, tuple[str, int | None]] = {}  # name -> see `_follow_links`
    # r: and not r|: seeks from header to header
    with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # else an object per file stays
            signals.raise_if_requested()
            if member.isdir():
                name = clean_path(member.name, path)
                if not any(part.startswith(".") or part.lower() in system for part in name.split("/") if part):
                    found.folders.add(name)
                continue
            name = clean_path(member.name, path)
            if member.islnk() or member.issym():
                if member.islnk():
                    links[name] = clean_path(member.linkname, path), member.offset
                else:
                    links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)), None
            elif not member.isreg() or member.issparse():
                found.ignored["sparse or special files"] += 1
            elif member.offset_data + member.size > size:
                raise DataError(
                    f"{path}: truncated: {member.name} ends {member.offset_data + member.size - size:,} bytes behind the end "
                    "of the archive; copy or download it again"
                )
            else:
                links.pop(name, None)  # the last of several members of one name counts
                found.accept(name, system, member.offset_data, member.size, member.size, TAR, 0)
        _check_end(path, tar.offset, size)
    _follow_links(found, links, system)
    return found


def _check_end(path: Path, offset: int, size: int) -> None:
    """tarfile ends in silence at a damaged header, and where several archives were joined: see what lies there."""
    with open(path, "rb") as file:
        file.seek(offset)
        end = file.read(BLOCK)
        if len(end) < BLOCK:
            raise DataError(f"{path}: truncated: its end marker is missing; copy or download it again")
        if any(end):
            raise DataError(f"{path}: damaged at byte {offset:,}; copy or download it again")
        while block := file.read(1 << 20):
            if any(block.strip(b"\0")):
                raise DataError(
                    f"{path}: goes on behind its end marker, as if several archives had been joined; give them as a folder "
                    "of .tar files"
                )


def _follow_links(found: Found, links: dict[str, tuple[str, int | None]], system: frozenset[str]) -> None:
    """A link is the file that it names, as in a folder; one that names no file in the archive is passed over.

    links: name -> the name of its file, and where a hard link stands in the archive (bytes): of several members of that name the
    last one before it is meant, as unpacking has it.
    """
    if not links:
        return
    ends: dict[str, tuple[str, int | None]] = {}
    for name, (target, before) in links.items():
        hops = 0
        while target in links and hops < 40:  # a link to a link; a circle of them ends nowhere
            (target, before), hops = links[target], hops + 1
        ends[name] = target, before
    needed = {target for target, _ in ends.values()}
    places: dict[str, list[tuple[int, ...]]] = {}  # the numbers of all members of a name, the first is where it stands
    for listing in (found.images, found.sidecars):
        for k, name in enumerate(listing):
            if name in needed:
                places.setdefault(name, []).append(tuple(column[k] for column in listing.numbers))
    for name, (target, before) in ends.items():
        known = [numbers for numbers in places.get(target, ()) if before is None or numbers[0] < before]
        if known:
            found.accept(name, system, *known[-1])
        else:
            found.ignored["broken links"] += 1


def _list_zip(path: Path, system: frozenset[str]) -> Found:
    found, size = Found(Listing(), Listing(), {""}, Counter()), path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        if min((info.header_offset for info in archive.infolist()), default=0) > 0:  # its first file is not listed
            raise DataError(
                f"{path}: lists only its last files, as if several archives had been joined; give them as a folder of .zip files"
            )
        windows = not any("/" in info.filename for info in archive.infolist())  # old .NET writes a\\b
        for info in archive.infolist():
            signals.raise_if_requested()
            name = zip_name(info)
            name = clean_path(name.replace("\\", "/") if windows else name, path)
            if info.is_dir():
                if not any(part.startswith(".") or part.lower() in system for part in name.split("/") if part):
                    found.folders.add(name)
                continue
            before = len(found.images)
            known = {zipfile.ZIP_STORED: STORED, zipfile.ZIP_DEFLATED: DEFLATED}
            method = known.get(info.compress_type, STORED)
            numbers = (info.header_offset, info.compress_size, info.file_size, method, info.CRC)
            found.accept(name, system, *numbers)
            if len(found.images) == before:
                continue
            if info.flag_bits & ENCRYPTED:
                raise DataError(f"{path}: {name} is encrypted; unpack the archive with its password into a folder")
            if info.compress_type not in known:
                how = METHODS.get(info.compress_type, f"method {info.compress_type}")
                raise DataError(
                    f"{path}: {name} is compressed with {how}, which cannot be read in place; unpack the archive into a folder"
                )
            if (info.external_attr >> 16) & 0o170000 == 0o120000:
                raise DataError(
                    f"{path}: {name} is a link; pack the files that links name (zip does so without --symlinks)"
                )
            if info.header_offset + ZIP_HEADER + info.compress_size > size:
                raise DataError(f"{path}: truncated: {name} is incomplete; copy or download it again")
    return found


def zip_name(info: zipfile.ZipInfo) -> str:
    """The name as it was meant: UTF-8 where its bytes are, though the archive does not say so (macOS); else cp437."""
    name = info.orig_filename
    if not info.flag_bits & 0x800 and not name.isascii():
        try:
            name = name.encode("cp437").decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            name = info.orig_filename
    return name.replace("\\", "/") if info.create_system == 0 else name  # 0: made on Windows
