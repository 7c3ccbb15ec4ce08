"""Saving and loading the state: no moment of it leaves less than one whole state, no broken file ends a run."""

import errno
import os

import pytest
import torch

from deep_cnn.models import checkpoint
from deep_cnn.runtime import atomic
from deep_cnn.runtime.errors import CheckpointError, MachineError, NonFiniteLoss
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.walltime import Deadline
from deep_cnn.training.checkpointing import Checkpointer


def state(step: int) -> dict:
    return {"weights": {"w": torch.full((300,), float(step))}, "progress": {"global_step": step}}


def step_of(saved: dict) -> int:
    assert saved["weights"]["w"].eq(saved["progress"]["global_step"]).all()
    return saved["progress"]["global_step"]


class Source:
    """What is saved: the state of a step that the test sets."""

    def __init__(self, step: int):
        self.step = step

    def before_save(self) -> None:
        pass

    def capture(self) -> dict:
        return state(self.step)

    def save_contents(self) -> None:
        pass

    def after_save(self) -> None:
        pass


class Died(BaseException):
    """The process ends here: nothing after it happens."""


def test_a_death_at_any_file_operation_leaves_the_newest_whole_state(tmp_path, monkeypatch):
    """Two saves are done; the third dies before its 1st, 2nd, ... operation on a file."""
    seen = set()
    for fatal in range(1, 30):
        path = tmp_path / str(fatal) / "last.pt"
        path.parent.mkdir()
        for step in (1, 2):
            checkpoint.save_last(path, state(step))
        count = 0

        def operation(original):
            def counted(*args, **kwargs):
                nonlocal count
                count += 1
                if count >= fatal:  # noqa: B023
                    raise Died
                return original(*args, **kwargs)

            return counted

        with monkeypatch.context() as patch:
            for name in ("replace", "fsync", "unlink", "open"):
                patch.setattr(os, name, operation(getattr(os, name)))
            patch.setattr(checkpoint, "_write", operation(checkpoint._write))
            try:
                checkpoint.save_last(path, state(3))
                break
            except Died:
                pass
        found = step_of(checkpoint.load_last(path))
        seen.add(found)
        assert found in (2, 3)
        checkpoint.save_last(path, state(4))  # and saving goes on
        assert step_of(checkpoint.load_last(path)) == 4 and step_of(checkpoint.load(path)) == 4
        assert step_of(checkpoint.load(checkpoint.previous(path))) == found
    assert seen == {2, 3} and fatal > 6


def test_a_truncated_state_falls_back_to_the_one_before_it(tmp_path, caplog):
    path = tmp_path / "last.pt"
    for step in (1, 2):
        checkpoint.save_last(path, state(step))
    whole = path.read_bytes()
    for length in (*range(0, len(whole), 97), len(whole) - 1):
        path.write_bytes(whole[:length])
        caplog.clear()
        assert step_of(checkpoint.load_last(path)) == 1, length
        assert "last.pt: cannot be read" in caplog.text and "last.previous.pt" in caplog.text
    checkpoint.previous(path).write_bytes(b"")
    with pytest.raises(CheckpointError, match="--resume=never"):
        checkpoint.load_last(path)


def test_a_flipped_bit_is_seen(tmp_path):
    """torch.load takes such a file without a word."""
    path = tmp_path / "last.pt"
    for step in (1, 2):
        checkpoint.save_last(path, state(step))
    whole = path.read_bytes()
    at = whole.index(torch.full((10,), 2.0).numpy().tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert torch.load(path, weights_only=True)["weights"]["w"][0] != 2
    assert step_of(checkpoint.load_last(path)) == 1


def test_nothing_saved_is_no_mistake(tmp_path):
    assert checkpoint.load_last(tmp_path / "last.pt") is None


def test_what_is_no_checkpoint_of_ours_is_refused_by_name(tmp_path):
    torch.save({"weights": {}}, tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match=r"foreign\.pt: not a deep_cnn checkpoint"):
        checkpoint.load(tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "none.pt")
    for run in ("streets", "ants"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "best.pt").touch()
    with pytest.raises(
        CheckpointError, match=r"no such checkpoint \(found: ants, streets\)\. Did you mean ants\? Train first"
    ):
        checkpoint.load(tmp_path / "ant" / "best.pt")


@pytest.mark.parametrize("part", ["weights", "average"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_never_written(tmp_path, part, value):
    bad = state(7) | {part: {"layer.w": torch.tensor([1.0, value])}}
    with pytest.raises(NonFiniteLoss, match=r"layer\.w .* after step 6"):
        checkpoint.save_last(tmp_path / "last.pt", bad)
    assert not list(tmp_path.iterdir())


def test_leftovers_are_cleared_and_nothing_else(tmp_path):
    for name in ("last.fresh.pt.tmp", "metrics.csv.tmp", ".writable-12", "last.pt", "mine.tmp"):
        (tmp_path / name).touch()
    atomic.clear_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.pt", "mine.tmp"]


class FullDisk:
    """Refuses to write checkpoints while `full`; with `room_after`, until last.previous.pt is given up."""

    def __init__(self, monkeypatch, code: int):
        self.full, self.code, self.frees = False, code, None
        self.write = checkpoint._write
        monkeypatch.setattr(checkpoint, "_write", self)

    def __call__(self, path, state):
        if self.full and not (self.frees and not self.frees.exists()):
            path.write_bytes(b"half of it")
            raise OSError(self.code, os.strerror(self.code), str(path))
        self.write(path, state)


def test_on_a_full_disk_the_older_state_makes_room_for_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    for step in (1, 2):
        checkpoint.save_last(path, state(step))
    disk = FullDisk(monkeypatch, errno.ENOSPC)
    disk.full, disk.frees = True, checkpoint.previous(path)
    checkpoint.save_last(path, state(3))
    assert step_of(checkpoint.load(path)) == 3
    assert not list(tmp_path.glob("*.tmp"))
    disk.full = False
    checkpoint.save_last(path, state(4))
    disk.full = True
    checkpoint.save_making_room(tmp_path / "best.pt", state(5), path)
    assert step_of(checkpoint.load(path)) == 4 and step_of(checkpoint.load(tmp_path / "best.pt")) == 5
    disk.full, disk.frees = False, None
    checkpoint.save_last(path, state(6))
    path.write_bytes(b"")  # then the one before it is not given up
    disk.full, disk.frees = True, checkpoint.previous(path)
    with pytest.raises(OSError):
        checkpoint.save_making_room(tmp_path / "best.pt", state(7), path)
    assert step_of(checkpoint.load_last(path)) == 4


def test_a_disk_without_any_room_leaves_last_pt_whole(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    for step in (1, 2):
        checkpoint.save_last(path, state(step))
    disk = FullDisk(monkeypatch, errno.ENOSPC)
    disk.full = True
    with pytest.raises(OSError, match="No space"):
        checkpoint.save_last(path, state(3))
    assert step_of(checkpoint.load_last(path)) == 2 and not list(tmp_path.glob("*.tmp"))


def test_last_pt_never_gets_ahead_of_best_pt(tmp_path, monkeypatch):
    """A best.pt that was refused is kept in memory; until it is on disk, last.pt stays at the state before it."""
    files = RunFiles(tmp_path, "run")
    files.make_folders()
    source = Source(1)
    checkpoints = Checkpointer(files, source, "1000", Deadline(None))
    assert checkpoints.save()
    disk = FullDisk(monkeypatch, errno.EDQUOT)
    disk.full = True
    weights = torch.full((300,), 2.0)
    checkpoints.save_best({"weights": {"w": weights}, "epoch": 0, "progress": {"global_step": 2}})
    weights.fill_(99.0)  # training goes on, in place
    source.step = 3
    assert not checkpoints.save()
    assert step_of(checkpoint.load(files.last)) == 1 and not files.best.exists()
    with pytest.raises(MachineError, match=r"best\.pt could not be written .* free some disk space"):
        checkpoints.flush_best()
    disk.full = False
    assert checkpoints.save()
    assert step_of(checkpoint.load(files.last)) == 3 and step_of(checkpoint.load(files.best)) == 2


def test_a_real_full_disk_is_an_oserror_and_not_a_riddle(tmp_path):
    """/dev/full takes nothing: torch reports that as 'unexpected pos 64 vs 0'."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError) as caught:
        checkpoint._write("/dev/full", {"weights": {"w": torch.zeros(1_000_000)}})
    assert caught.value.errno == errno.ENOSPC


def test_a_reason_to_refuse_a_save_comes_before_the_file_is_touched(tmp_path):
    files = RunFiles(tmp_path, "run")
    files.make_folders()

    class Refusing(Source):
        def before_save(self):
            raise MachineError("its lock was taken")

    with pytest.raises(MachineError):
        Checkpointer(files, Refusing(1), "1", Deadline(None)).after_step()
    assert not files.last.exists()


@pytest.mark.parametrize("name", ["last.pt", "last.fresh.pt"])
def test_a_state_of_a_newer_version_is_not_given_up_for_an_older_one(tmp_path, name):
    for step in (1, 2):
        checkpoint.save_last(tmp_path / "last.pt", state(step))
    torch.save({"format": "deep_cnn", "format_version": 2} | state(3), tmp_path / name)
    with pytest.raises(CheckpointError, match=r"written by a newer version .* update deep_cnn"):
        checkpoint.load_last(tmp_path / "last.pt")
    assert torch.load(tmp_path / name, weights_only=True)["progress"]["global_step"] == 3
