"""The cache of decoded images: the same run with it, without it, half filled, or damaged."""

import contextlib
import errno
import logging
import os
import threading

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


@pytest.mark.parametrize("what", ["pixels", "rows"])
@pytest.mark.parametrize("spoilt", ["zeroed", "cut", "emptied"])
def test_a_cache_that_another_program_spoils_meanwhile_is_noticed(rows, tmp_path, caplog, what, spoilt):
    """A row that was read before: no black image, and no SIGBUS; it is written again, and the run says why once."""
    for row in range(5):
        rows.write(row, image(row + 1))
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
