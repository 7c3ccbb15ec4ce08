"""Which images are unlike those that a network was trained on: the distance of their features to the training set's.

The k-th nearest neighbour among L2-normalised features of the last layer but one (Sun, Ming, Zhu and Li, "Out-of-
distribution detection with deep nearest neighbors", ICML 2022). It assumes nothing about classes, so scores have it too;
a small part of the training set is enough (their table 4: 1% of ImageNet). The threshold is a quantile of the validation
set's distances, so one ordinary image in a hundred is flagged, too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn import engine
from deep_cnn.data.feed import Batch
from deep_cnn.draws import permutation

BANK = 2000  # training images that are kept: 2 MB with the 512 features of a resnet18, 8 MB with 2,048
CALIBRATION = 2000  # validation images that set the threshold
NEIGHBOURS = 10
QUANTILE = 0.99  # of the validation distances


@dataclass(frozen=True)
class Reference:
    """Features of training images, and the distance from which an image counts as unlike them.

    centre: float32 (D,), the mean of the features of length 1; bank: float16 (n, D), what each differs from it. Differences,
    since the features of a network may be nearly one direction, where float16 and 1 - cosine would lose all digits.
    """

    bank: Tensor
    centre: Tensor
    neighbours: int
    threshold: float

    def distances(self, features: Tensor) -> Tensor:
        """Float (B, D) -> float32 (B,), in units of the threshold: above 1 the image is unlike the training images."""
        bank = self.bank.float()
        own = _unit(features) - self.centre
        squared = own.square().sum(1, keepdim=True) + bank.square().sum(1) - 2 * own @ bank.T  # (B, n), 2 - 2 cosine
        return squared.topk(self.neighbours, dim=1, largest=False).values[:, -1].clamp(min=0) / self.threshold

    def to(self, device: torch.device) -> "Reference":
        return replace(self, bank=self.bank.to(device, torch.float32), centre=self.centre.to(device))

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Reference":
        return cls(**values)


def chosen(samples: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` of the samples, drawn by the seed, in their order."""
    if len(samples) <= most:
        return samples
    return np.sort(samples[permutation(seed, 0, len(samples), "reference")[:most]])


def measure(training: Tensor, validation: Tensor) -> Reference:
    """The reference of a network.

    Args:
        training, validation: features of images, float32 (n, D), as the best network gives them.
    """
    training = _unit(training).cpu()
    centre = training.mean(0)
    neighbours = max(1, min(NEIGHBOURS, len(training) // 10))
    unscaled = Reference((training - centre).half(), centre, neighbours, 1.0)
    threshold = float(np.quantile(unscaled.distances(validation.cpu()).double().numpy(), QUANTILE))
    return replace(unscaled, threshold=max(threshold, 1e-9))  # identical images: rounding alone must not flag one


def features_of(model: nn.Module, head: str, batches: Iterable[Batch], autocast) -> Iterator[Tensor]:
    """Features float32 (n, D) of each batch."""
    with FeatureTap(model, head) as tap:
        for indices, _ in engine.evaluate(model, batches, autocast):
            yield tap.features[: len(indices)]


class FeatureTap:
    """Within it, `features` are what the head was last given: float32 (B, D), maps and tokens averaged."""

    def __init__(self, model: nn.Module, head: str):
        self.head = model.get_submodule(head)
        self.features: Tensor

    def __enter__(self) -> "FeatureTap":
        self._hook = self.head.register_forward_pre_hook(self._keep)
        return self

    def __exit__(self, *_) -> None:
        self._hook.remove()

    def _keep(self, module: nn.Module, inputs: tuple) -> None:
        features = inputs[0].float()
        if features.ndim == 4:  # SqueezeNet's head is a convolution
            features = features.mean((2, 3))
        self.features = features.flatten(1, -2).mean(1) if features.ndim == 3 else features


def _unit(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features.float(), dim=1)
