"""Is the loss still a number? Asked at once on the CPU; on a GPU only now and then, since asking waits for the device."""

import numpy as np
import torch

from deep_cnn.data.dataset import SampleNames
from deep_cnn.runtime.errors import NonFiniteLoss
from deep_cnn.training.loop import Step

GPU_INTERVAL = 50  # steps between two looks: a wait of about a millisecond in some seconds of work


class LossWatch:
    """Collects the steps' losses and reads them together; the first that is NaN or infinite ends the run, by name."""

    def __init__(self, names: SampleNames, device: torch.device):
        self.names = names
        self.interval = 1 if device.type == "cpu" else GPU_INTERVAL
        self.unread: list[tuple[int, Step]] = []  # with their epoch

    def add(self, step: Step, epoch: int) -> float | None:
        """Take note of a step; returns its loss when this was a moment to look, else None."""
        self.unread.append((epoch, step))
        return self.read() if len(self.unread) >= self.interval else None

    def read(self) -> float | None:
        """Look at all losses since the last look; returns the newest. NonFiniteLoss names step, epoch and files.

        Also to be called before a save: weights after such a step are worthless.
        """
        if not self.unread:
            return None
        losses = torch.stack([step.loss for _, step in self.unread]).double().cpu().numpy()
        if not np.isfinite(losses).all():
            epoch, bad = self.unread[int(np.flatnonzero(~np.isfinite(losses))[0])]
            files = [self.names[int(i)] for i in bad.indices]
            named = ", ".join(files[:8]) + (f" and {len(files) - 8} more" if len(files) > 8 else "")
            raise NonFiniteLoss(
                f"the loss is {losses[~np.isfinite(losses)][0]} at step {bad.number} (epoch {epoch}), batch: {named}; "
                "try a smaller --lr, --clip=1, or --precision=fp32"
            )
        self.unread.clear()
        return float(losses[-1])
