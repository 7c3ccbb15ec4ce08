"""Pictures of explanations: an image under its maps, one sheet of all of them, and the figure of the sanity check."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from deep_cnn.runtime.atomic import atomic_path

RAISES, LOWERS = "raises", "lowers"
COLOURS = {RAISES: (220, 40, 30), LOWERS: (30, 90, 220)}  # told apart by colour-blind readers, too
STRONGEST = 0.75  # opacity where a map is at its largest


@dataclass(frozen=True)
class Explained:
    """One image and its maps for one output.

    pixels: uint8 (S, S, 3), as the network sees it; maps: title -> float (S, S) of numbers from 0 on.
    """

    file: str
    caption: str
    pixels: np.ndarray
    maps: dict[str, np.ndarray]


def parts(signed: np.ndarray, both: bool) -> dict[str, np.ndarray]:
    """A signed map (S, S) as what raises an output and, for a score, what lowers it."""
    return {RAISES: np.maximum(signed, 0)} | ({LOWERS: np.maximum(-signed, 0)} if both else {})


def overlay(pixels: np.ndarray, title: str, values: np.ndarray, largest: float) -> np.ndarray:
    """The image in grey under its map in colour, uint8 (S, S, 3). largest: the value that is drawn strongest."""
    grey = pixels.mean(2, keepdims=True).repeat(3, axis=2) * 0.8 + 25
    opacity = STRONGEST * np.clip(values / max(largest, 1e-12), 0, 1)[:, :, None]
    return (grey * (1 - opacity) + np.array(COLOURS[title]) * opacity).round().astype(np.uint8)


def overlays(one: Explained) -> dict[str, np.ndarray]:
    """Each map over the image. The maps of a score share one scale: the weaker of the two looks weaker."""
    largest = max(float(values.max()) for values in one.maps.values())
    return {title: overlay(one.pixels, title, values, largest) for title, values in one.maps.items()}


def save_image(pixels: np.ndarray, path: Path) -> None:
    """Write uint8 (H, W, 3) as a PNG file."""
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="png")


def contact_sheet(found: list[Explained], path: Path, title: str) -> None:
    """A row per image: as it is, and under each of its maps."""
    from matplotlib.figure import Figure

    columns = 1 + max(len(one.maps) for one in found)
    side_by_side = max(1, min(len(found), 6 // columns))
    rows = -(-len(found) // side_by_side)
    figure = Figure(figsize=(2.1 * columns * side_by_side, 2.45 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns * side_by_side, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for number, one in enumerate(found):
        row, start = number // side_by_side, number % side_by_side * columns
        axes[row, start].imshow(one.pixels)
        axes[row, start].set_title(one.caption, fontsize=7, loc="left")
        for column, (name, picture) in enumerate(overlays(one).items(), start + 1):
            axes[row, column].imshow(picture)
            axes[row, column].set_title(name, fontsize=7, color=np.array(COLOURS[name]) / 255, loc="left")
    figure.suptitle(title, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def sanity_figure(stages: list[str], correlations: list[float], path: Path) -> None:
    """How like the maps stay as the network is made random from the head downwards."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), layout="constrained")
    ax = figure.subplots()
    ax.plot(range(len(stages) + 1), [1.0, *correlations], marker="o", color="black")
    ax.axhline(0, color="grey", linewidth=0.8)
    ax.set_xticks(range(len(stages) + 1), ["trained", *stages], rotation=40, ha="right", fontsize=8)
    ax.set_ylabel("rank correlation with\nthe trained network's maps")
    ax.set_xlabel("made random up to here, from the head on")
    ax.set_ylim(min(-0.2, *correlations) - 0.05, 1.05)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
