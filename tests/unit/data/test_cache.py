"""The cache of decoded images: the same run with it, without it, half filled, or damaged."""

import contextlib
import errno
import logging
import os
import sys
import threading
import time

import numpy as np
import pytest
import torch
from conftest import PLACES

from deep_cnn.data import cache
from deep_cnn.data.assemble import Pixels
from deep_cnn.data.cache import RowCache, cache_folder, cache_key, open_cache
from deep_cnn.data.decode import decode, decode_picture
from deep_cnn.data.index import build_index
from deep_cnn.data.picture import to_row
from deep_cnn.data.preprocess import Preprocessing

PRE = Preprocessing(32, 32)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every read is verified")


@pytest.fixture(scope="module")
def index():
    return build_index(PLACES)


@pytest.fixture
def rows(tmp_path):
    return RowCache(tmp_path, "key", 5, 48)


def image(value):
    return np.full(48, value, np.uint8)


def test_rows_come_back_as_they_were_written(rows, tmp_path):
    assert rows.read(2) is None and rows.filled() == 0
    rows.write(2, image(7))
    rows.write(4, image(0))  # a black image is there, too
    assert np.array_equal(rows.read(2), image(7)) and np.array_equal(rows.read(4), image(0))
    rows.close()
    again = RowCache(tmp_path, "key", 5, 48)
    assert again.filled() == 2 and np.array_equal(again.read(2), image(7)) and again.read(3) is None


def test_rows_may_be_shorter(rows, tmp_path):
    rows.write(2, image(7)[:30])
    rows.write(3, image(8))
    for again in (rows, RowCache(tmp_path, "key", 5, 48)):
        assert np.array_equal(again.read(2), image(7)[:30]) and np.array_equal(again.read(3), image(8))


def test_what_short_rows_leave_free_takes_no_space(tmp_path):
    length, rows = 400_000, 20  # a photograph of 256 x 342 has 262,668 bytes
    cache = RowCache(tmp_path, "key", rows, length, expected=rows * length // 2)
    for row in range(rows):
        cache.write(row, np.full(length // 2, 1, np.uint8))
    if os.name == "posix" and os.uname().sysname == "Linux":
        assert cache.path.stat().st_blocks * 512 < 0.6 * rows * length


def test_a_damaged_row_counts_as_missing(rows, tmp_path):
    rows.write(1, image(9))
    with open(tmp_path / "key.pixels", "r+b") as file:
        file.seek(48 + 20)
        file.write(b"\x00")
    again = RowCache(tmp_path, "key", 5, 48)
    assert again.read(1) is None
    again.write(1, image(9))
    assert np.array_equal(again.read(1), image(9))


@pytest.fixture
def settles(monkeypatch):
    """Rows count as verified after 50 ms instead of 5 s; the function lets the time pass. Real clocks tick each 1 to 10 ms."""
    monkeypatch.setattr(cache, "SETTLED", 0.05)

    def settle(rows):
        rows.read(3)  # the file's time is seen for the first time
        time.sleep(0.06)

    return settle


@pytest.fixture
def sums(monkeypatch):
    """The checksums that are computed: a list that grows."""
    computed, original = [], cache._sum_of
    monkeypatch.setattr(cache, "_sum_of", lambda *given: computed.append(1) or original(*given))
    return computed


@pytest.mark.parametrize("what", ["pixels", "rows"])
@pytest.mark.parametrize("spoilt", ["zeroed", "cut", "emptied"])
@pytest.mark.parametrize("settled", [False, True])
def test_a_cache_that_another_program_spoils_meanwhile_is_noticed(
    rows, tmp_path, caplog, settles, what, spoilt, settled
):
    """A row that was read before: no black image, and no SIGBUS; it is written again, and the run says why once."""
    for row in range(5):
        rows.write(row, image(row + 1))
    if settled:
        settles(rows)
    for row in range(5):
        assert np.array_equal(rows.read(row), image(row + 1))
    path = tmp_path / f"key.{what}"
    size = path.stat().st_size
    if spoilt == "zeroed":
        path.write_bytes(bytes(size))
    else:
        os.truncate(path, size // 2 if spoilt == "cut" else 0)
    with caplog.at_level(logging.WARNING, "deep_cnn"):
        found = [rows.read(row) for row in range(5)]
    assert all(data is None or np.array_equal(data, image(row + 1)) for row, data in enumerate(found))
    if what == "pixels":
        assert found[4] is None and len(caplog.records) == 1 and "decoded again" in caplog.text
        rows.write(4, image(5))
        assert np.array_equal(rows.read(4), image(5))


@on_linux
@pytest.mark.parametrize("how", ["overwritten", "cut and filled", "mtime put back"])
def test_a_verified_row_is_verified_again_when_another_program_has_written(rows, tmp_path, settles, sums, how):
    for row in range(5):
        rows.write(row, image(row + 1))
    settles(rows)
    for row in range(5):
        rows.read(row)
    sums.clear()
    assert all(np.array_equal(rows.read(row), image(row + 1)) for row in range(5)) and not sums
    path = tmp_path / "key.pixels"
    before = path.stat()
    if how == "cut and filled":  # of the same size again
        os.truncate(path, 3 * 48)
        os.truncate(path, before.st_size)
    else:
        with open(path, "r+b") as file:
            file.seek(3 * 48 + 20)
            file.write(b"\x00")
    if how == "mtime put back":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rows.read(3) is None
    assert np.array_equal(rows.read(2), image(3)) and len(sums) == 2
    for row in (3, 4):
        rows.write(row, image(row + 1))
    settles(rows)
    sums.clear()
    assert all(np.array_equal(rows.read(row), image(row + 1)) for row in (0, 1, 2, 3, 4) * 2) and len(sums) == 5


@on_linux
def test_a_write_just_before_a_verified_row_is_read_is_noticed(rows, settles, monkeypatch):
    rows.write(3, image(4))
    settles(rows)
    assert np.array_equal(rows.read(3), image(4))
    original = rows._read_at

    def spoil_and_read(*given):
        rows.path.write_bytes(bytes(5 * 48))
        return original(*given)

    monkeypatch.setattr(rows, "_read_at", spoil_and_read)
    assert rows.read(3) is None


@on_linux
def test_a_write_while_a_row_is_verified_is_noticed_at_the_next_read(rows, settles, monkeypatch):
    """A thread that was stopped between reading and the checksum, while another one saw the new time settle."""
    rows.write(3, image(4))
    settles(rows)
    original = rows._read_at

    def read_and_spoil(*given):
        done = original(*given)
        monkeypatch.setattr(rows, "_read_at", original)
        rows.path.write_bytes(bytes(5 * 48))
        rows._settled_time()  # the other thread's
        time.sleep(0.06)
        return done

    monkeypatch.setattr(rows, "_read_at", read_and_spoil)
    assert np.array_equal(rows.read(3), image(4))
    assert rows.read(3) is None


@on_linux
def test_a_write_within_one_tick_of_the_clock_is_noticed(rows, tmp_path, monkeypatch):
    """Old kernels give two writes within 10 ms, FAT within 2 s, the same time; then no row counts as verified yet."""
    rows.write(3, image(4))
    status = os.stat(rows.path)
    monkeypatch.setattr(cache.os, "fstat", lambda _: status)  # its time stays that of the write
    assert np.array_equal(rows.read(3), image(4)) and np.array_equal(rows.read(3), image(4))
    rows.path.write_bytes(bytes(status.st_size))
    assert rows.read(3) is None


def test_elsewhere_than_on_linux_every_read_is_verified(rows, settles, sums, monkeypatch):
    """Windows shows a new time only when the writer closes the file."""
    monkeypatch.setattr(cache.sys, "platform", "win32")
    rows.write(3, image(4))
    settles(rows)
    sums.clear()
    assert [rows.read(3)[0] for _ in range(3)] == [4] * 3 and len(sums) == 3


def test_a_row_of_another_process_is_found_and_a_closed_cache_writes_nothing(rows, tmp_path):
    other = RowCache(tmp_path, "key", 5, 48)
    other.write(3, image(8))
    assert np.array_equal(rows.read(3), image(8))
    before = len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else None
    rows.close()
    rows.close()
    if before is not None:
        assert len(os.listdir("/dev/fd")) == before - 3  # pixels, rows, contents
    with open(tmp_path / "one", "w+b") as one, open(tmp_path / "two", "w+b") as two:  # get the closed files' numbers
        rows.write(0, image(9))
        assert rows.read(3) is None and rows.read(0) is None
        assert one.read() == two.read() == b""


def test_rows_of_floats(tmp_path):
    rows = RowCache(tmp_path, "f", 3, 6, np.float32)
    values = np.linspace(0, 1, 6, dtype=np.float32)
    rows.write(1, values)
    assert np.array_equal(rows.read(1), values) and rows.read(0) is None


def test_a_full_disk_is_said_once_and_is_no_error(rows, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rows, "_write_at", full)
    with caplog.at_level(logging.WARNING, "deep_cnn"):
        rows.write(0, image(1))
        rows.write(1, image(1))
    assert len(caplog.records) == 1 and "No space left" in caplog.text and rows.read(0) is None


def test_a_cache_larger_than_a_third_of_the_free_space_is_not_begun(index, tmp_path, monkeypatch, caplog):
    size = len(index) * 32 * 32 * 3 * 4 // 3  # of 4:3 photographs
    usage = type("usage", (), {"free": 3 * size - 3000})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage)
    with caplog.at_level(logging.WARNING, "deep_cnn"):
        assert open_cache(tmp_path, index, PRE) is None
    assert "third" in caplog.text
    usage.free = 3 * size + 3000
    assert open_cache(tmp_path, index, PRE) is not None


def test_the_key_names_files_and_geometry_but_no_normalisation(index):
    key = cache_key(index, PRE)
    assert key == cache_key(index, Preprocessing(32, 28, (0.1, 0.1, 0.1), (1.0, 1.0, 1.0)))
    assert key != cache_key(index, Preprocessing(33, 32)) and key != cache_key(index, Preprocessing(32, 32, fit="pad"))
    assert key != cache_key(index.take(np.arange(1, len(index))), PRE)
    index.mtimes[0] += 1
    assert key != cache_key(index, PRE)
    index.mtimes[0] -= 1


def test_where_it_lies(tmp_path, monkeypatch):
    for name in ("PBS_JOBID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    assert cache_folder("off", tmp_path) is None
    assert cache_folder("auto", tmp_path) == tmp_path / "outputs" / "cache"
    monkeypatch.setenv("PBS_JOBID", "1")
    assert cache_folder("auto", tmp_path) == tmp_path / "scratch" / "deep_cnn_cache"


def test_pixels_are_the_decoded_ones_from_any_number_of_threads(index, tmp_path):
    first, second = (Pixels(index, PRE, open_cache(tmp_path, index, PRE)) for _ in range(2))
    threads = [threading.Thread(target=lambda p=p: [p[i] for i in range(20)]) for p in (first, second, first)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    reopened = open_cache(tmp_path, index, PRE)
    assert reopened.filled() == 20
    for i in range(20):
        expected = decode(index.root / index.paths[i], PRE)
        assert torch.equal(first[i], expected)
        whole = decode_picture(index.root / index.paths[i], PRE)
        assert np.array_equal(reopened.read(i), to_row(whole))
        assert torch.equal(first.pictures(np.array([i]))[0].pixels, whole.pixels)


def test_a_damaged_digest_of_the_file_makes_the_row_be_made_again(tmp_path):
    """A flipped bit there would say of an unchanged image that it has changed."""
    with contextlib.closing(RowCache(tmp_path, "key", 3, 8)) as cache:
        cache.write(1, np.arange(8, dtype=np.uint8), 77)
    path = tmp_path / "key.contents"
    for position in range(8, 16):
        whole = path.read_bytes()
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with contextlib.closing(RowCache(tmp_path, "key", 3, 8)) as cache:
            assert cache.read(1) is None
        path.write_bytes(whole)
    with contextlib.closing(RowCache(tmp_path, "key", 3, 8)) as cache:
        assert cache.read(1).tolist() == list(range(8)) and cache.contents[1] == 77
