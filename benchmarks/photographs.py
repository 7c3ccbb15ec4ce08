"""Photograph-like JPEGs: what the benchmarks run on when they are given no folder.

    python -m benchmarks.photographs --out=DIR --count=640 --width=500 --height=375

A photograph's spectrum falls with the frequency and it has edges: noise of several octaves, in three colours, cut by a few
shapes. 500 x 375 at quality 90 comes to about 60 kB and decodes as fast as ImageNet's files of that size.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("beach", "forest", "harbour", "market", "street")


def photograph(seed: int, width: int, height: int) -> Image.Image:
    """One image; the class (seed modulo 5) shifts its colours, so that a network has something to learn."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((height, width, 3))
    for cell in (256, 128, 64, 32, 16, 8, 4, 2):
        shape = (height // cell + 2, width // cell + 2, 3)
        coarse = rng.uniform(0, 255, shape).astype(np.uint8)
        layer = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        pixels += (np.asarray(layer, dtype=np.float64) - 127.5) * cell**0.5 / 16
    pixels += rng.normal(0, 4, pixels.shape)  # the sensor's noise
    tint = np.array([(seed % 5) * 12.0 - 24, 0, 24 - (seed % 5) * 12.0])
    image = Image.fromarray(np.clip(pixels + 127.5 + tint, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, w, h = rng.uniform(0, 1, 4) * (width, height, width / 4, height / 4)
        draw.line((x, y, x + w, y + h), fill=tuple(rng.integers(0, 255, 3).tolist()), width=int(rng.integers(1, 5)))
    return image


def _write(seed: int, out: Path, width: int, height: int) -> None:
    path = out / "train" / CLASSES[seed % len(CLASSES)] / f"{seed:06d}.jpg"
    photograph(seed, width, height).save(path, quality=90)


def generate(out: Path, count: int, width: int, height: int) -> Path:
    """`count` images in OUT/train/CLASS; nothing is drawn again where they are already."""
    if len(list(out.glob("train/*/*.jpg"))) != count:
        for name in CLASSES:
            (out / "train" / name).mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            list(pool.map(partial(_write, out=out, width=width, height=height), range(count), chunksize=16))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=640)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--height", type=int, default=375)
    options = parser.parse_args()
    print(generate(options.out, options.count, options.width, options.height))


if __name__ == "__main__":
    main()
