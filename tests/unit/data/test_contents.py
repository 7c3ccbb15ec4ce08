"""Digests of what was read: kept, merged from several ranks, and compared."""

import hashlib
import os

import numpy as np
import pytest

from deep_cnn.data import contents
from deep_cnn.data.contents import Contents, digest_of, status_of
from deep_cnn.runtime.errors import DataError, ImageChanged


def found(times):
    """Files of 5 bytes that were found with these modification times."""
    return Contents(np.array(times), np.full(len(times), 5))


def known(digests, times, now=None):
    made = found(times if now is None else now)
    made.digests[:], made.times[:] = digests, times
    return made


def test_a_digest_is_the_beginning_of_sha256():
    expected = int.from_bytes(hashlib.sha256(b"image").digest()[:8], "little", signed=True)
    assert digest_of(b"image") == digest_of(bytearray(b"image")) == expected != digest_of(b"imagf")


def test_other_bytes_of_a_sample_are_refused_by_name():
    made = found([7, 7])
    made.note(1, 5, lambda: "b.jpg")
    made.note(1, 5, lambda: "b.jpg")
    made.note(1, contents.UNKNOWN, lambda: "b.jpg")  # a cache that does not know is no contradiction
    with pytest.raises(DataError, match=r"b\.jpg: this image has changed"):
        made.note(1, 6, lambda: "b.jpg")
    assert made.digests.tolist() == [0, 5] and made.times.tolist() == [0, 7]


def test_a_file_that_was_written_since_it_was_found_must_hold_known_bytes():
    made = found([7, 7])
    assert made.is_as_found(0, 5, 7) and not made.is_as_found(0, 6, 7) and not made.is_as_found(0, 5, 8)
    made.note(1, 9, lambda: "b.jpg")
    made.note(1, 9, lambda: "b.jpg", as_found=False)  # copied onto itself
    with pytest.raises(ImageChanged, match=r"a\.jpg: this image has changed since the run found it"):
        made.note(0, 9, lambda: "a.jpg", as_found=False)


def test_a_time_is_a_hint_and_a_digest_decides():
    before, now = known([1, 2, 3, 0], [10, 10, 10, 0]), found([10, 11, 11, 11])
    assert now.doubtful(before).tolist() == [1, 2]  # of the last one nothing is known
    now.read(now.doubtful(before), lambda i: b"same" if i == 1 else b"other")
    before.digests[1] = digest_of(b"same")
    assert now.differing(before, np.arange(4)).tolist() == [2]
    now.adopt(before)
    assert now.digests.tolist()[0] == 1 and now.times.tolist() == [10, 11, 11, 0]


def test_a_sample_that_was_not_read_again_keeps_its_old_time():
    """Else a changed file, saved under its new time before it is read, would never be compared."""
    before, now = known([1], [10]), found([11])
    now.adopt(before)
    assert now.times.tolist() == [10] and found([11]).doubtful(now).tolist() == [0]


def test_what_several_ranks_have_read_comes_together(tmp_path):
    for rank, digests in enumerate(([1, 0, 0], [0, 2, 0])):
        contents.save(contents.file_of(tmp_path, rank), known(digests, [5, 5, 5]), "these")
    now = found([0, 0, 0])
    assert contents.load(tmp_path, now, "these").digests.tolist() == [1, 2, 0]
    assert contents.load(tmp_path, now, "others") is None
    contents.file_of(tmp_path, 0).write_bytes(b"half")
    assert contents.load(tmp_path, now, "these").digests.tolist() == [0, 2, 0]
    contents.clear(tmp_path)
    assert contents.load(tmp_path, now, "these") is None and not list(tmp_path.iterdir())


def test_the_status_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    os.utime(tmp_path / "a", ns=(5, 6_000))
    assert status_of(tmp_path / "a") == (3, 6_000) and status_of(tmp_path / "b") == (-1, -1)
