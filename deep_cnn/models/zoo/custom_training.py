"""What a network may say about its own training: weights that are made from images, that stay still, or that learn faster."""

from collections.abc import Iterable

from torch import Tensor, nn


class OwnTraining(nn.Module):
    """The base class of a network with such peculiarities; any other is trained as the flags say."""

    looks_at = 0  # training images that `start_from` wants to see

    def start_from(self, images: Iterable[Tensor]) -> None:
        """Called once, before the first step of a network that no weights were loaded into.

        images: blocks of training images, float32 (b, 3, S, S), normalised, not augmented.
        """

    def still(self, epoch: int) -> list[str]:
        """Names of the modules and parameters that are not trained in an epoch."""
        return []

    def pace(self, parameter: str) -> float:
        """How many times faster than the others a parameter, by its name, learns."""
        return 1.0
