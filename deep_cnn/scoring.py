"""All outputs of a network on a feed, under a progress bar: for validation, test and the verbs that score."""

import contextlib
from collections.abc import Callable

import numpy as np
from torch import nn

from deep_cnn import engine, logbook
from deep_cnn.data.feed import Feed
from deep_cnn.processes import ALONE, Processes


def collect(
    model: nn.Module,
    feed: Feed,
    rows: int,
    autocast: Callable[[], contextlib.AbstractContextManager],
    title: str,
    between: Callable[[], None] = lambda: None,
    everyone: Processes = ALONE,
) -> np.ndarray | None:
    """Raw outputs of every sample of the feed, in its order, float32 (n, K); on every process but the first, None.

    Args:
        rows: the run's recorded eval_batch. between: called after each batch; may end the work by raising.
        everyone: the processes among which the batches are dealt out; the bits are those of one.
    """
    batches = -(-len(feed) // rows)
    rounds = -(-batches // everyone.count)
    bar = logbook.Bar(title, rounds)
    outputs = []
    mine = engine.evaluate(model, feed.eval_batches(rows, everyone.part()), autocast)
    try:
        for _ in range(rounds):
            if (scored := next(mine, None)) is not None:  # the last round may have none for this process
                outputs.append(scored[1])  # stays on the device: nothing waits for it here
            bar.step()
            between()
    finally:
        mine.close()
        bar.close()
    dealt = everyone.gathered([output.cpu().numpy() for output in outputs])
    return np.concatenate([dealt[k % everyone.count][k // everyone.count] for k in range(batches)]) if dealt else None
