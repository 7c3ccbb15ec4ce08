"""Small images are read by one thread at a time."""

import contextlib
import threading
import time
from collections.abc import Iterator

SMALL = 2 * 96**2  # pixels of a picture; of larger ones, threads decode most of the time, outside Python's lock
SLOW = 0.00025  # seconds an image; what takes longer waits for a disk, or decodes a photograph
ENOUGH = 8  # slow calls in a row
PATIENCE = 1.0  # seconds; who has waited so long waits for a disk: sixteen threads need 0.14 s for 64 small images each


class Turns:
    """Lets the threads that read images do so one after the other where that is faster, and else all at once.

    An image of a few kilobytes takes some 130 us, most of them in Python, so threads that read such images wait for Python's
    lock and for each other: on two cores one thread read 7,400 images of 32 pixels a second, two 5,000, sixteen 2,500; in turns
    all numbers of threads read about 7,000. Where images are slow to come, as from a busy file server, all threads read at once.
    """

    def __init__(self, pixels: int):
        """pixels: the most that a picture has."""
        self.taken = pixels <= SMALL
        self._turn = threading.RLock()
        self._slow = 0

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """The turn of the thread that calls; the turn that it has already, if it has."""
        if not self.taken or not self._turn.acquire(timeout=PATIENCE):
            self.taken = False
            yield
            return
        try:
            yield
        finally:
            self._turn.release()

    @contextlib.contextmanager
    def reading(self, images: int) -> Iterator[None]:
        """A turn in which so many images are read, and nothing else is done: it tells whether images are slow to come."""
        with self.taking():
            begun = time.perf_counter()
            yield
            if self.taken:
                self._slow = self._slow + 1 if time.perf_counter() - begun > SLOW * images else 0
                self.taken = self._slow < ENOUGH
