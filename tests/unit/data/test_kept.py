"""Arrays that are kept for the next start: a damaged file is none."""

import numpy as np

from deep_cnn.data.kept import read_arrays


def test_arrays_are_believed_only_where_every_bit_is_as_it_was_written(tmp_path):
    path, arrays = tmp_path / "kept.npz", {"a": np.arange(7), "b": np.frombuffer(b"names", np.uint8)}
    np.savez(path, **arrays)
    written = path.read_bytes()
    assert all(np.array_equal(read_arrays(path, tuple(arrays))[name], arrays[name]) for name in arrays)
    for position in range(len(written)):
        path.write_bytes(written[:position] + bytes([written[position] ^ 4]) + written[position + 1 :])
        found = read_arrays(path, tuple(arrays))  # a bit of the archive's own fields may not matter, such as a date
        assert found is None or all(np.array_equal(found[name], arrays[name]) for name in arrays), position
        path.write_bytes(written[:position])
        assert read_arrays(path, tuple(arrays)) is None
    path.write_bytes(written)
    assert read_arrays(path, ("a", "c")) is None
    assert read_arrays(tmp_path / "none.npz", ("a",)) is None
