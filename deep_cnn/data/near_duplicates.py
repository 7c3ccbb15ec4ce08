"""Pairs of images that look the same, among any number of images, without comparing each with each."""

import numpy as np
from scipy.spatial import cKDTree

NEAR = 3.5  # levels of 255, root mean square over 4 x 4 pixels: what another size or quality of JPEG changes at most
SAME = 5.0  # levels, mean over 8 x 8 pixels
PLAIN = 6.0  # levels: images that vary less over their 8 x 8 pixels (night, fog, blue sky) all look the same


def alike(thumbs: np.ndarray, rows: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of samples (lower number first, ascending) that are nearly the same picture.

    A perceptual hash: an image in 4 x 4 pixels is a point of 48 numbers, and a k-d tree finds the points that lie close
    together. Another size or JPEG quality moves it by a level or two; another crop or brightness is another picture.

    Args:
        thumbs: uint8 (N, 8, 8, 3), of all samples. rows: samples to be compared, int64 (n,), ascending.
    """
    small = thumbs[rows].astype(np.float32)  # (n, 8, 8, 3)
    rows = rows[detailed := small.std(axis=(1, 2)).max(1) > PLAIN]
    small = small[detailed]
    if len(rows) < 2:
        return []
    points = small.reshape(-1, 4, 2, 4, 2, 3).mean(axis=(2, 4)).reshape(len(rows), -1)  # (n, 48)
    pairs = cKDTree(points).query_pairs(NEAR * points.shape[1] ** 0.5, output_type="ndarray")  # (p, 2)
    same = np.array([np.abs(small[a] - small[b]).mean() <= SAME for a, b in pairs], dtype=bool)
    return sorted((int(rows[min(pair)]), int(rows[max(pair)])) for pair in pairs[same])
