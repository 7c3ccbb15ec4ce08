"""All outputs of a network on a feed, under a progress bar: for validation, test and the verbs that score."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from deep_cnn import engine, logbook
from deep_cnn.data.feed import Feed


def collect(
    model: nn.Module,
    feed: Feed,
    rows: int,
    autocast: Callable[[], contextlib.AbstractContextManager],
    title: str,
    between: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Raw outputs of every sample of the feed, in its order, float32 (n, K).

    Args:
        rows: the run's recorded eval_batch. between: called after each batch; may end the work by raising.
    """
    bar = logbook.Bar(title, -(-len(feed) // rows))
    outputs = []
    try:
        for _, output in engine.evaluate(model, feed.eval_batches(rows), autocast):
            outputs.append(output)  # stays on the device: nothing waits for it here
            bar.step()
            between()
    finally:
        bar.close()
    return torch.cat(outputs).cpu().numpy()
