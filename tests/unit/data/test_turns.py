"""Threads that read small images take turns, unless the images are slow to come."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deep_cnn.data import turns
from deep_cnn.data.turns import ENOUGH, SMALL, Turns


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but where a test moves it."""
    now = [0.0]
    monkeypatch.setattr(turns.time, "perf_counter", lambda: now[0])
    return now


def most_at_once(turn: Turns, threads: int = 4) -> int:
    """How many threads are within their turns at the same time."""
    inside, most, lock = 0, 0, threading.Lock()

    def read(_: int) -> None:
        nonlocal inside, most
        with turn.reading(8):
            with lock:
                inside, most = inside + 1, max(most, inside + 1)
            time.sleep(0.002)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, range(4 * threads)))
    return most


def test_small_images_are_read_one_after_the_other(clock, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 60)
    assert most_at_once(Turns(SMALL)) == 1


def test_larger_ones_are_read_by_all(clock):
    assert most_at_once(Turns(SMALL + 1)) > 1


def test_slow_images_are_read_by_all(clock):
    turn = Turns(SMALL)
    for slow in [True] * (ENOUGH - 1) + [False] + [True] * ENOUGH:  # a single fast one: it was no slow disk
        assert turn.taken
        with turn.reading(8):
            clock[0] += 8 * (turns.SLOW * 2 if slow else turns.SLOW / 2)
    assert not turn.taken


def test_nobody_waits_for_long_behind_a_file_that_hangs(clock, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.05)
    turn, hangs = Turns(SMALL), threading.Event()

    def hang() -> None:
        with turn.reading(8):
            hangs.wait(60)

    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(hang)
        while not stuck.running():
            time.sleep(0.001)
        with turn.reading(8):
            assert not turn.taken
        hangs.set()
    assert not turn.taken, "the one that hung was fast by this clock, but others have waited for it"


def test_a_thread_that_has_its_turn_need_not_wait_for_itself(clock, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 60)
    turn = Turns(SMALL)
    for _ in range(2 * ENOUGH):
        with turn.taking():
            with turn.reading(8):
                pass
            clock[0] += 8 * turns.SLOW * 2  # what is done with the images after they were read says nothing of the disk
    assert turn.taken


def test_a_thread_that_fails_gives_its_turn_back(clock, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 60)
    turn = Turns(SMALL)
    with pytest.raises(ValueError), turn.reading(1):
        raise ValueError
    with turn.reading(1):
        pass
