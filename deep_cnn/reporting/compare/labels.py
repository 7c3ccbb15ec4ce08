"""Names beside the points of a figure, none over another, nor over a point."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

DIRECTIONS = [
    np.deg2rad(degrees) for degrees in (0, 180, 90, 270, 45, 135, 315, 225, 22, 158, 338, 202, 68, 112, 292, 248)
]
DISTANCES = (7, 10, 14, 20, 28, 38, 50, 64, 80, 100, 124, 150, 180, 215)  # points from a point to its name
LEADER = 12  # from this distance on, a line leads from the name to its point
MARGIN = 2  # pixels between two names


def place_labels(
    ax: Axes,
    names: Sequence[str],
    points: np.ndarray,
    obstacles: np.ndarray,
    *,
    colours: Sequence[str],
    fontsize: float = 8,
) -> list[Annotation]:
    """Write a name beside each point, at the nearest of some places where it covers nothing; one after the other.

    Args:
        points: (N, 2) in data coordinates; the axes' limits and layout are final.
        obstacles: (M, 4) boxes x0, y0, x1, y1 in pixels that no name may cover, such as the points themselves.

    Returns:
        the N annotations, in the order of the names. Where there is no free place left, the one that covers least.
    """
    figure = ax.figure
    assert isinstance(figure, Figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    scale = figure.dpi / 72  # pixels per point
    inside = np.asarray(ax.get_window_extent(renderer).extents)
    pixels = ax.transData.transform(points)  # (N, 2)
    taken = [np.asarray(obstacles, float).reshape(-1, 4)]
    found: dict[int, Annotation] = {}
    for i in np.lexsort((pixels[:, 0], -pixels[:, 1])):  # from the top: names of a crowd then spread downwards
        text: dict[str, Any] = {"fontsize": fontsize, "color": colours[i], "ha": "center", "va": "center"}
        trial = ax.text(points[i, 0], points[i, 1], names[i], **text)
        extent = trial.get_window_extent(renderer)
        trial.remove()
        half = np.array([extent.width, extent.height]) / 2 + MARGIN
        box, leader = _place(pixels[i], half, np.concatenate(taken), inside, scale)
        offset = (box.reshape(2, 2).mean(0) - pixels[i]) / scale
        line = (
            {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
            if len(leader)
            else None
        )
        label = ax.annotate(names[i], points[i], xytext=offset, textcoords="offset points", arrowprops=line, **text)
        label.set_in_layout(False)
        taken += [box[None], leader]
        found[i] = label
    return [found[i] for i in range(len(names))]


def _place(
    point: np.ndarray, half: np.ndarray, taken: np.ndarray, inside: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest place for a name that covers nothing, or the one that covers least: its box (4,), its leader's boxes (L, 4).

    Args:
        point: (2,); half: width and height of the name, halved (2,); taken: (M, 4); inside: (4,), where names may be.
    """
    best: tuple[np.ndarray, np.ndarray] | None = None
    least = np.inf
    for distance, angle in product(DISTANCES, DIRECTIONS):
        towards = np.array([np.cos(angle), np.sin(angle)])
        # its edge, not its centre, is at this distance; a slanted name stands more above than beside its point
        centre = point + towards * distance * scale + np.sign(towards) * np.sqrt(np.abs(towards)) * half
        box = np.array([*(centre - half), *(centre + half)])
        leader = _leader(point, box, scale) if distance >= LEADER else np.empty((0, 4))
        outside = (box[:2] < inside[:2]).any() or (box[2:] > inside[2:]).any()
        covered = sum(_overlap(part, taken) for part in (box, *leader)) + (1e6 if outside else 0)
        if covered < least:
            best, least = (box, leader), covered
        if covered == 0:
            break
    assert best is not None
    return best


def _overlap(box: np.ndarray, boxes: np.ndarray) -> float:
    """Area that a box (4,) shares with boxes (M, 4), in pixels squared."""
    width = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    height = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    return float((np.clip(width, 0, None) * np.clip(height, 0, None)).sum())


def _leader(point: np.ndarray, box: np.ndarray, scale: float) -> np.ndarray:
    """Small boxes (L, 4) along the line from a point to the nearest place of its name's box, the first pixels left out."""
    way = np.clip(point, box[:2], box[2:]) - point
    length = np.hypot(*way)
    along = point + np.arange(8 * scale, length, 4)[:, None] * way / max(length, 1e-9)  # (L, 2)
    return np.concatenate([along - 1, along + 1], axis=1)
