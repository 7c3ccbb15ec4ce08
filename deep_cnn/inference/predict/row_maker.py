"""Blocks of predictions -> the columns and rows of a table."""

from typing import Any

import numpy as np

from deep_cnn.config.fields import wrong
from deep_cnn.data.space import place_cells
from deep_cnn.inference.load import TrainedNetwork
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.inference.predict.regions import rules_for
from deep_cnn.inference.predict.stream import Predicted
from deep_cnn.tasks.base import Task


class RowMaker:
    """The table of some networks: which columns it has, and the rows of a block.

    top: so many most probable classes, or None for all probabilities. tta: which views of each image are predicted.
    coverage: of intervals or sets; None for none.
    """

    def __init__(
        self, networks: list[TrainedNetwork], *, top: int | None, tta: str, places: bool, coverage: float | None = None
    ):
        self.networks = networks
        tasks = [network.task for network in networks]
        self.task: Task = tasks[0].of_ensemble(tasks)
        if top is not None and self.task.columns(top) == self.task.columns():
            raise wrong("top", top, f"is for classes and labels, not for {self.task.title}", "leave the flag out")
        self.top = top
        self.tta = tta
        self.several = len(networks) > 1 or tta != "none"
        self.has_ood = any(network.reference for network in networks)
        self.places = places
        self.rules = [] if coverage is None else rules_for(networks, coverage, tta)

    def columns(self) -> list[str]:
        """Names of the columns, in the order of the cells of `rows`."""
        ood = ["distance", "unlike_training"] if self.has_ood else []
        where = ["latitude", "longitude"] if self.places else []
        regions = self.task.region_columns if self.rules else []
        unsure = self.task.uncertainty_columns(self.several)
        return ["file", *self.task.columns(self.top), *regions, *unsure, *ood, *where]

    def rows(self, block: Predicted, images: Images, first: int) -> tuple[list[list[Any]], list[tuple[str, str]]]:
        """The rows of a block from image `first` on, and (file, reason) of its unreadable images."""
        failures = [(images.names[p], why) for p, why in sorted(block.failures.items()) if p >= first]
        keep = np.array([p >= first and p not in block.failures for p in block.positions.tolist()], dtype=bool)
        positions, decoded = block.positions[keep], block.decoded[:, keep]
        mean = decoded[0] if len(decoded) == 1 else decoded.mean(0)  # (n, K)
        said = self.task.cells(mean, self.top)
        regions = self.task.region_cells(self.rules, decoded) if self.rules else [[]] * len(positions)
        unsure = self.task.uncertainty_cells(decoded).tolist()
        made = [
            [images.names[p], *s, *r, *u] for p, s, r, u in zip(positions.tolist(), said, regions, unsure, strict=True)
        ]
        if self.has_ood:
            assert block.distances is not None
            for row, distance in zip(made, block.distances[keep].tolist(), strict=True):
                row += [distance, distance > 1]
        if self.places:
            assert images.places is not None
            for row, place in zip(made, place_cells(images.places[positions]), strict=True):
                row += place
        return made, failures
