"""Out-of-distribution images: the distance of an image's features from the training images'.

The Mahalanobis distance of the last layer but one (Lee, Lee, Lee and Shin, "A simple unified framework for detecting
out-of-distribution samples", NeurIPS 2018), to one centre, so scores have it too; the covariance shrunk as Ledoit and Wolf
(2004) do, since there may be more features than images. Measured with benchmarks/predict_unlike.py, street scenes against
photographs of ants, AUC after 6 and after 14 epochs: 0.94 and 0.92; the 10th nearest neighbour's cosine: 0.89 and 0.60 (a
trained score leaves few directions in which features vary, and what is unlike differs in the others). The threshold is a
quantile of the validation set's distances, so one ordinary image in a hundred is flagged, too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.data.feed import Batch
from deep_cnn.inference import evaluate
from deep_cnn.runtime.rng import permutation

BANK = 2000  # training images that are looked at
CALIBRATION = 2000  # validation images that set the threshold
DIRECTIONS = 512  # that are kept with a spread of their own, the others share one: 4 MB with 2,048 features
QUANTILE = 0.99  # of the validation distances


@dataclass(frozen=True)
class Reference:
    """How the features of training images are spread, and the distance above which an image is unusual.

    centre: float32 (D,); directions: float32 (r, D), orthonormal, those of largest variance; variances: float32 (r,);
    rest: the variance in every other direction.
    """

    centre: Tensor
    directions: Tensor
    variances: Tensor
    rest: float
    threshold: float

    def distances(self, features: Tensor) -> Tensor:
        """Float (B, D) -> float32 (B,), in units of the threshold: above 1 the image is unusual."""
        own = features.float() - self.centre
        along = (own @ self.directions.T).square()  # (B, r)
        beside = (own.square().sum(1) - along.sum(1)).clamp(min=0)
        return ((along / self.variances).sum(1) + beside / self.rest).sqrt() / self.threshold

    def to(self, device: torch.device) -> "Reference":
        """The same on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ("centre", "directions", "variances")})

    def to_dict(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Reference":
        """From `to_dict`."""
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
    from sklearn.covariance import ledoit_wolf_shrinkage

    training = training.cpu().double()
    centre = training.mean(0)
    apart = training - centre  # (n, D)
    _, spreads, directions = torch.linalg.svd(apart, full_matrices=False)
    variances, width = spreads.square() / len(apart), apart.shape[1]
    mean = float(variances.sum()) / width
    shrinkage = float(ledoit_wolf_shrinkage(apart.numpy(), assume_centered=True)) if mean > 0 else 1.0
    floor = 1e-12 + 1e-9 * float(
        centre.square().mean()
    )  # features that never vary: rounding alone must not flag an image
    shrunk = (1 - shrinkage) * variances + shrinkage * mean + floor
    kept = min(DIRECTIONS, len(shrunk))
    others = width - kept  # of them `len(shrunk) - kept` have a variance, and the rest have the shrinkage's alone
    total = float(shrunk[kept:].sum()) + (width - len(shrunk)) * (shrinkage * mean + floor)
    unscaled = Reference(
        centre.float(), directions[:kept].float(), shrunk[:kept].float(), total / max(others, 1) or 1.0, 1.0
    )
    threshold = float(np.quantile(unscaled.distances(validation.cpu()).double().numpy(), QUANTILE))
    return replace(unscaled, threshold=max(threshold, 1e-9))


def features_of(model: nn.Module, head: str, batches: Iterable[Batch], autocast) -> Iterator[Tensor]:
    """Features float32 (n, D) of each batch."""
    with FeatureTap(model, head) as tap:
        for indices, _ in evaluate.evaluate(model, batches, autocast):
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
