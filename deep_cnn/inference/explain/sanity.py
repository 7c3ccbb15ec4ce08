"""Do the maps depend on what the network has learnt? Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.

Weights are replaced by random ones from the head downwards, stage after stage, and the maps are compared with those of the
trained network. A method whose maps stay the same shows edges of the image, not what the network looks at.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from deep_cnn.inference.explain.maps import Layer, signed_maps
from deep_cnn.models import build
from deep_cnn.models.build import ModelSpec, build_model, head_modules

ALIKE = 0.5  # mean rank correlation from which on the maps count as unchanged


@dataclass(frozen=True)
class Sanity:
    """Mean Spearman correlation of the maps with the trained network's, after each stage that was made random."""

    stages: list[str]
    correlations: list[float]

    @property
    def passed(self) -> bool:
        """Whether the maps of the wholly random network are others."""
        return self.correlations[-1] < ALIKE

    def line(self) -> str:
        """The result in a sentence."""
        verdict = "the maps do depend on the weights" if self.passed else "do NOT trust these maps"
        return (
            f"Sanity check (Adebayo et al.): maps of the network with random weights correlate by "
            f"{self.correlations[-1]:.2f} with those shown (1: unchanged): {verdict}"
        )


def cascade(
    model: nn.Module, spec: ModelSpec, layer: Layer, images: Tensor, outputs: list[int], maps: Tensor, seed: int = 0
) -> tuple[Sanity, Tensor]:
    """Make the network random from the head downwards, in place.

    Args:
        images, outputs: as for `signed_maps`; maps: theirs, (B, S, S).

    Returns:
        the correlations, and the maps of the wholly random network (B, S, S).
    """
    fresh = dict(build_model(spec, seed + 1).state_dict())
    heads = head_modules(spec.name, model)
    stages = [("head", heads), *reversed(build.stages(spec.name, model))]
    done, correlations, random_maps = [], [], maps
    left = set(fresh)
    for title, names in stages:
        last = title == stages[-1][0]
        chosen = left if last else {k for k in left if any(k == n or k.startswith(n + ".") for n in names)}
        left = left - chosen
        with torch.no_grad():
            for key, value in model.state_dict().items():
                if key in chosen:
                    value.copy_(fresh[key])
        random_maps = signed_maps(model, layer, images, outputs)
        done.append(title)
        correlations.append(mean_correlation(maps, random_maps))
    return Sanity(done, correlations), random_maps


def mean_correlation(ours: Tensor, theirs: Tensor) -> float:
    """Mean over images of the rank correlation of two sets of maps (B, S, S); a map that is the same everywhere has none: 0."""
    found = []
    for a, b in zip(ours.flatten(1).numpy(), theirs.flatten(1).numpy(), strict=True):
        ranks_a, ranks_b = (_ranks(v) for v in (a, b))
        spread = ranks_a.std() * ranks_b.std()
        found.append(
            float(((ranks_a - ranks_a.mean()) * (ranks_b - ranks_b.mean())).mean() / spread) if spread else 0.0
        )
    return float(np.mean(found))


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(values)
