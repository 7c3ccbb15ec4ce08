"""A small data set for the golden runs: images in class folders, and a table with scores, labels, groups and a split."""

from pathlib import Path

import numpy as np
from PIL import Image


def make_data(folder: Path, size: tuple[int, int] = (40, 36), endings: tuple[str, ...] = ("png", "png", "jpg")) -> None:
    """Write 90 noisy images of coloured stripes, FOLDER/photos/CLASS/*, and FOLDER/table.csv with a row for each."""
    rng = np.random.default_rng(7)
    rows = ["image,price,area,labels,city,votes,part,latitude,longitude"]
    for number in range(90):
        label = number * number % 7 % 3  # classes of unequal size
        kind = "abc"[label]
        path = folder / "photos" / kind / f"{number:02}.{endings[number % len(endings)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        bright, red = rng.integers(40, 200, 2)
        stripes = np.indices(size[::-1])[label % 2] // (3 + label) % 2  # (height, width)
        pixels = bright + 50 * stripes[..., None] + rng.integers(-30, 30, (*stripes.shape, 3)) + [red // 2, 0, 0]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        labels = ";".join(name for name, on in (("bright", bright > 110), ("red", red > 120), (kind, True)) if on)
        scores = ",".join(f"{s + rng.integers(0, 9) / 4}" if rng.random() < 0.8 else "" for s in (bright, 2 * red))
        part = ("train", "train", "train", "val", "test")[number % 5]
        place = f"{number / 4},{-number / 8}"
        rows.append(f"{kind}/{path.name},{scores},{labels},city{number % 11},{number % 9},{part},{place}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
