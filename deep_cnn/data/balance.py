"""How rare each sample's target is, for --oversample and --class_weights."""

import numpy as np

BINS = 10  # of equal width over the range of a score: deciles would all be equally full
LARGEST = 10.0  # a lone outlier must not fill an epoch


def rarity(kind: str, targets: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Weight of each sample: inverse to how many training samples share its class, labels or score; mean 1 over these.

    Args:
        kind, targets: as in the index. train: the training samples, int64 (n,).
    Returns:
        float64 (N,), at most 10; 1 where the target is missing. Samples outside `train` get the weight of their like.
    """
    if kind == "multi":
        counts = np.maximum(targets[train].sum(0), 1)  # (K,)
        weights = (targets / counts).max(1)  # by the rarest label of an image
        weights = np.where(targets.any(1), weights, 1 / max(1, int((~targets[train].any(1)).sum())))
    else:
        bins = targets if kind == "single" else _score_bins(targets, train)
        counts = np.bincount(bins[train][bins[train] >= 0], minlength=bins.max() + 1)
        weights = np.where(bins >= 0, 1 / np.maximum(counts, 1)[bins], np.nan)
    weights = weights / np.nanmean(weights[train])
    weights = np.minimum(np.where(np.isnan(weights), 1.0, weights), LARGEST)
    return weights / weights[train].mean()


def _score_bins(targets: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Bin of each sample's score, the mean of its standardised targets; -1 where all are missing."""
    spread = np.nanstd(targets[train], 0)
    standardised = (targets - np.nanmean(targets[train], 0)) / np.where(spread > 0, spread, 1)
    known = ~np.isnan(standardised).all(1)
    scores = np.full(len(targets), np.nan)
    scores[known] = np.nanmean(standardised[known], 1)
    low, high = np.nanmin(scores[train]), np.nanmax(scores[train])
    bins = np.clip((scores - low) / max(high - low, 1e-12) * BINS, 0, BINS - 1)
    return np.where(known, np.nan_to_num(bins), -1).astype(np.int64)
