"""How rare each sample's target is, for --oversample and --class_weights; what is counted, the task says."""

import numpy as np

LARGEST = 10.0  # a lone outlier must not fill an epoch


def rarity_of_bins(bins: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Weight of each sample: inverse to how many training samples share its bin; see `balanced`.

    Args:
        bins: of each sample, int64 (N,), e.g. its class; -1 where its target is missing.
        train: the training samples, int64 (n,).
    """
    counts = np.bincount(bins[train][bins[train] >= 0], minlength=bins.max() + 1)
    return balanced(np.where(bins >= 0, 1 / np.maximum(counts, 1)[bins], np.nan), train)


def balanced(weights: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Weights float64 (N,) with mean 1 over the training samples.

    Returns:
        at most 10; 1 where the target is missing (NaN). Samples outside `train` get the weight of their like.
    """
    weights = weights / np.nanmean(weights[train])
    weights = np.minimum(np.where(np.isnan(weights), 1.0, weights), LARGEST)
    return weights / weights[train].mean()
