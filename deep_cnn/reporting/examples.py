"""Images with what the network says of them: for the trackers and the report."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deep_cnn.data.augment.steps import center_crop
from deep_cnn.data.feed import Pixels
from deep_cnn.tasks.base import Task

COUNT = 12  # fills two rows of a tracker's page


@dataclass(frozen=True)
class Example:
    """An image, and what is true and what the network says of it."""

    image: np.ndarray  # uint8 (S, S, 3), as the network sees it before normalisation
    caption: str


def examples(
    task: Task,
    pixels: Pixels,
    paths: Sequence[str],
    samples: np.ndarray,
    targets: np.ndarray,
    outputs: np.ndarray,
) -> list[Example]:
    """The same few images of a split at every call, evenly spread over it, with truth and prediction.

    Args:
        samples: sample numbers (n,); targets: of these samples, as the index has them; outputs: raw, float (n, K).
    """
    chosen = np.unique(np.linspace(0, len(samples) - 1, COUNT).round().astype(int))
    decoded = task.decode(outputs[chosen])
    return [
        Example(
            center_crop(pixels[int(samples[row])], pixels.pre.crop).permute(1, 2, 0).numpy(),
            f"{paths[int(samples[row])]}: {task.caption(targets[row], said)}",
        )
        for row, said in zip(chosen, decoded, strict=True)
    ]


def contact_sheet(shown: Sequence[Example], columns: int = 6, side: int = 160) -> np.ndarray:
    """All examples in one picture with their captions below them, uint8 (H, W, 3)."""
    rows, text = -(-len(shown) // columns), 44
    sheet = Image.new("RGB", (columns * side, rows * (side + text)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, example in enumerate(shown):
        x, y = place % columns * side, place // columns * (side + text)
        sheet.paste(Image.fromarray(example.image).resize((side - 4, side - 4)), (x + 2, y + 2))
        words = example.caption.split(": ", 1)[-1].replace(", predicted", "\npredicted")
        draw.multiline_text((x + 3, y + side), "\n".join(line[:26] for line in words.split("\n")), "black", font)
    return np.asarray(sheet)
