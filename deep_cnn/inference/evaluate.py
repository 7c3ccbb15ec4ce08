"""All outputs of a network on a feed, under a progress bar: for validation, test and the commands that score."""

import contextlib
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from deep_cnn.data.feed import Batch, BatchSource, ShardSpec
from deep_cnn.runtime import console, distributed


def collect(
    model: nn.Module,
    feed: BatchSource,
    rows: int,
    autocast: Callable[[], contextlib.AbstractContextManager],
    title: str,
    between: Callable[[], None] = lambda: None,
) -> np.ndarray | None:
    """Raw outputs of every sample of the feed, in its order, float32 (n, K); on every rank but 0, None.

    The batches are dealt out among the ranks; the bits are those of one.

    Args:
        rows: the run's recorded eval_batch. between: called after each batch; may end the work by raising.
    """
    batches = -(-len(feed) // rows)
    ranks = distributed.world_size()
    rounds = -(-batches // ranks)
    bar = console.Bar(title, rounds)
    outputs = []
    mine = evaluate(model, feed.eval_batches(rows, ShardSpec(distributed.rank(), ranks)), autocast)
    try:
        for _ in range(rounds):
            if (scored := next(mine, None)) is not None:  # the last round may have none for this rank
                outputs.append(scored[1])  # stays on the device: nothing waits for it here
            bar.step()
            between()
    finally:
        mine.close()
        bar.close()
    dealt = distributed.gather([output.cpu().numpy() for output in outputs])
    return np.concatenate([dealt[k % ranks][k // ranks] for k in range(batches)]) if dealt else None


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    autocast: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
) -> Generator[tuple[np.ndarray, torch.Tensor], None, None]:
    """Score every sample once; yields a batch's sample indices (n,) and raw outputs float32 (n, K), on the device.

    The last batch comes padded to full length, since the rows of another batch size differ in the last bits; its
    surplus rows are dropped here.
    """
    model.eval()
    for batch in batches:
        with torch.inference_mode(), autocast():  # around this alone: the feed's own tensors are ordinary ones
            outputs = model(batch.images)  # (eval_batch, K)
        yield batch.indices, outputs[: len(batch.indices)].float()


def with_views(result: dict[str, Any], level: str, of_views: dict[str, Any]) -> dict[str, Any]:
    """`held_out`'s result and, under "tta", that of outputs which are means over views of each image (--tta=level)."""
    return result | {"tta": {"views": level} | of_views}
