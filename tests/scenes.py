"""Procedural images for the tests: street scenes whose score is known, and five kinds of places.

    python tests/scenes.py --out=DIR --n=2000 --size=64      # a perception set: DIR/images/*.jpg and DIR/scores.csv
    python tests/scenes.py --places=DIR --n=40 --size=64     # class folders: DIR/train/CLASS and a quarter as many in DIR/test
    python tests/scenes.py --place_pulse=DIR --n=120         # DIR/test_images and DIR/meta/qscores.tsv, in Place Pulse's form
    python tests/scenes.py --committed                       # writes tests/places_test_input and tests/test_input again

A street's score follows from how much sky, greenery and building is seen. The colour of each of these is drawn
independently of its share, and so is the light on the whole picture: a regression on the mean colour knows little
(R2 below 0.3, tests/unit/test_scenes.py), while leaves, windows and clear sky are told apart by their texture.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SKY, BUILDING, GREENERY, GROUND = range(4)
PLACES = ("alley", "auto_factory", "beach", "boathouse", "butte")
STUDIES = {"50a68a51fdc9f05596000002": (9.0, -7.0, 2.0), "50f62cb7a84ea7c5fdd2e458": (3.0, 5.0, 1.0)}
CITIES = (("Boston", 42.36, -71.06), ("Rio De Janeiro", -22.91, -43.17), ("Berlin", 52.52, 13.40))
DRAWN = 2  # scenes are drawn at twice their size and averaged: smooth outlines, as a camera gives


def colour(rng: np.random.Generator, low: int = 50, high: int = 215) -> np.ndarray:
    """Any colour; what it is given to is left to the caller. float64 (3,)."""
    return rng.uniform(low, high, 3)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> np.ndarray:
    """Noise in [-1, 1] whose spots are about `cell` pixels wide, (height, width)."""
    coarse = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2))
    image = Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float64)


def street_map(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """What is seen in each pixel of a street: uint8 (height, width) of SKY, BUILDING, GREENERY, GROUND."""
    image = Image.new("L", (width, height), SKY)
    draw = ImageDraw.Draw(image)
    horizon = int(height * rng.uniform(0.55, 0.75))
    tallest, built, planted = rng.uniform(0.1, 0.95), rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0)
    left = 0
    while left < width:
        right = left + int(width * rng.uniform(0.1, 0.25))
        if rng.random() < built:
            top = horizon - int(horizon * tallest * rng.uniform(0.5, 1.0))
            draw.rectangle((left, top, right - 2, horizon), fill=BUILDING)
        left = right
    draw.rectangle((0, horizon, width, height), fill=GROUND)
    if rng.random() < planted:  # lawns left and right of the road
        reach = int(width * rng.uniform(0.1, 0.45))
        draw.polygon([(0, horizon), (width // 3, horizon), (reach, height), (0, height)], fill=GREENERY)
        draw.polygon(
            [(width, horizon), (2 * width // 3, horizon), (width - reach, height), (width, height)], fill=GREENERY
        )
    for _ in range(round(planted * rng.uniform(2, 9))):  # trees
        centre, radius = rng.uniform(0, width), height * rng.uniform(0.06, 0.16)
        crown = horizon - height * rng.uniform(0.05, 0.25)
        for angle in rng.uniform(0, 2 * np.pi, 6):
            x, y = centre + radius * np.cos(angle) * 0.6, crown + radius * np.sin(angle) * 0.6
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=GREENERY)
    return np.asarray(image).copy()


def street(seed: int, number: int, width: int, height: int) -> tuple[Image.Image, np.ndarray]:
    """Street scene `number`.

    Returns:
        the picture (width x height), and its shares of sky, building and greenery, float64 (3,) in [0, 1].
    """
    rng = np.random.default_rng([seed, number])
    wide, high = width * DRAWN, height * DRAWN
    seen = street_map(rng, wide, high)
    rows, columns = np.mgrid[0:high, 0:wide]
    scale = max(width, height) / 64 * DRAWN  # textures keep their size relative to the scene
    texture = np.empty((4, high, wide))
    texture[SKY] = 25 * (rows / high - 0.3)
    pitch = max(int(rng.uniform(4, 6) * scale), 2)
    window = (columns % pitch > pitch * 0.45) & (rows % pitch > pitch * 0.4)
    texture[BUILDING] = np.where(window, -45, 35)  # means near 0: a texture must not change the mean colour
    texture[GREENERY] = 75 * smooth_noise(rng, high, wide, max(int(scale * 1.2), 1))
    texture[GROUND] = 12 * smooth_noise(rng, high, wide, max(int(scale * 4), 1))
    colours = np.stack([colour(rng) for _ in range(4)])  # (4, 3)
    light = rng.uniform(0.75, 1.25, 3)
    pixels = colours[seen] + np.take_along_axis(texture, seen[None], axis=0)[0][:, :, None]  # (high, wide, 3)
    image = Image.fromarray((pixels * light).clip(0, 255).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BOX
    )
    shares = np.array([(seen == kind).mean() for kind in (SKY, BUILDING, GREENERY)])
    return image, shares


def score_of(shares: np.ndarray, weights: tuple[float, float, float] = (9.0, -7.0, 2.0)) -> float:
    """A TrueSkill-like score around 25 from the shares (sky, building, greenery); weights: greenery, building, sky."""
    sky, building, greenery = shares
    return 25 + weights[0] * (greenery - 0.2) + weights[1] * (building - 0.2) + weights[2] * (sky - 0.4)


def place(kind: str, seed: int, number: int, width: int, height: int) -> Image.Image:
    """One picture of a kind of place (PLACES): each kind has its own outlines, colours vary."""
    rng = np.random.default_rng([seed, PLACES.index(kind), number])
    w, h = width * DRAWN, height * DRAWN
    sky, near, far, detail = (
        tuple(int(v) for v in colour(rng, *bounds)) for bounds in ((140, 240), (40, 150), (90, 200), (0, 255))
    )
    image = Image.new("RGB", (w, h), sky)
    draw = ImageDraw.Draw(image)
    horizon = int(h * rng.uniform(0.4, 0.6))
    if kind == "alley":  # two walls that meet far away, rows of windows
        vanish = int(w * rng.uniform(0.4, 0.6))
        draw.rectangle((0, horizon, w, h), fill=tuple(v // 2 for v in far))
        draw.polygon([(0, 0), (vanish - w // 20, horizon - h // 6), (vanish - w // 20, horizon), (0, h)], fill=near)
        draw.polygon([(w, 0), (vanish + w // 20, horizon - h // 6), (vanish + w // 20, horizon), (w, h)], fill=far)
        for x in range(w // 24, w // 3, w // 9):
            draw.rectangle((x, h * 0.3 + x * 0.2, x + w // 22, h * 0.45 + x * 0.1), fill=detail)
            draw.rectangle((w - x - w // 22, h * 0.3 + x * 0.2, w - x, h * 0.45 + x * 0.1), fill=detail)
    elif kind == "auto_factory":  # roof trusses above, cars in a row below
        draw.rectangle((0, 0, w, horizon), fill=far)
        draw.rectangle((0, horizon, w, h), fill=near)
        for x in range(-w // 8, w, w // 8):
            draw.line((x, h // 12, x + w // 8, horizon // 2), fill=detail, width=3)
            draw.line((x + w // 8, h // 12, x, horizon // 2), fill=detail, width=3)
        for car in range(int(rng.integers(2, 5))):
            x, y = int(w * (0.03 + 0.27 * car)), int(horizon + h * rng.uniform(0.05, 0.15))
            draw.rectangle((x, y, x + w // 5, y + h // 8), fill=detail)
            draw.rectangle((x + w // 25, y - h // 14, x + w // 7, y), fill=sky)
            for wheel in (x + w // 30, x + w // 8):
                draw.ellipse((wheel, y + h // 11, wheel + w // 20, y + h // 7), fill=(20, 20, 20))
    elif kind == "beach":  # bands of sky, sea with waves and sand; a parasol
        draw.rectangle((0, horizon, w, h), fill=(near[0] // 2, near[1], min(near[2] + 70, 255)))
        shore = horizon + int(h * rng.uniform(0.15, 0.25))
        draw.polygon([(0, shore), (w, shore + h // 10), (w, h), (0, h)], fill=(225, 205, 150 + near[2] // 3))
        for y in range(horizon + h // 30, shore, max(h // 24, 1)):
            draw.arc((rng.uniform(-w, 0), y, rng.uniform(w, 2 * w), y + h // 12), 200, 340, fill="white", width=2)
        x, y = w * rng.uniform(0.2, 0.7), shore + h * 0.12
        draw.pieslice((x, y, x + w // 4, y + h // 4), 180, 360, fill=detail)
        draw.line((x + w // 8, y + h // 8, x + w // 8, y + h // 3), fill=(90, 60, 30), width=3)
    elif kind == "boathouse":  # a gabled house over water, mirrored in it
        draw.rectangle((0, horizon, w, h), fill=(near[0] // 2, near[1] // 2 + 30, near[2] // 2 + 60))
        x, wide, tall = w * rng.uniform(0.1, 0.4), w * rng.uniform(0.35, 0.5), h * rng.uniform(0.15, 0.25)
        for sign, shade in ((-1, 1.0), (1, 0.6)):
            wall = tuple(int(v * shade) for v in far)
            top, bottom = sorted((horizon, horizon + sign * tall))
            draw.rectangle((x, top, x + wide, bottom), fill=wall)
            draw.polygon(
                [
                    (x - w // 20, horizon + sign * tall),
                    (x + wide + w // 20, horizon + sign * tall),
                    (x + wide / 2, horizon + sign * tall * 1.8),
                ],
                fill=tuple(int(v * shade) for v in detail),
            )
        draw.rectangle((x + wide * 0.35, horizon - tall * 0.7, x + wide * 0.65, horizon), fill=(30, 25, 20))
    else:  # butte: a flat-topped rock with layers, on a plain
        draw.rectangle((0, horizon, w, h), fill=(200, 120 + near[1] // 4, 60 + near[2] // 4))
        left, wide, tall = w * rng.uniform(0.1, 0.35), w * rng.uniform(0.3, 0.5), h * rng.uniform(0.2, 0.35)
        for layer in range(6):
            y = horizon - tall * layer / 6
            lean = wide * 0.12 * layer / 6
            shade = 0.65 + 0.07 * (layer % 2) * 3
            draw.polygon(
                [
                    (left + lean - wide * 0.02, y),
                    (left + wide - lean, y),
                    (left + wide - lean * 1.2, y - tall / 6),
                    (left + lean * 1.2, y - tall / 6),
                ],
                fill=tuple(int(v * shade) for v in (190, 95, 60 + far[2] // 8)),
            )
    pixels = np.asarray(image, dtype=np.float64) + 10 * smooth_noise(rng, h, w, 3)[:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BOX)


def write_perception_set(folder: Path, n: int, size: int, seed: int = 0) -> np.ndarray:
    """`n` square street scenes in FOLDER/images and FOLDER/scores.csv (image, score, sky, building, greenery, place).

    Returns:
        scores, float64 (n,).
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    scores = np.empty(n)
    with open(folder / "scores.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "score", "sky", "building", "greenery", "place"])
        for number in range(n):
            image, shares = street(seed, number, size, size)
            scores[number] = round(score_of(shares), 4)
            image.save(folder / "images" / f"street_{number:05d}.jpg", quality=90)
            table.writerow([f"street_{number:05d}.jpg", scores[number], *np.round(shares, 4), f"place_{number % 10}"])
    return scores


def write_places(folder: Path, counts: dict[str, int], size: int = 128, seed: int = 0) -> None:
    """FOLDER/SPLIT/CLASS/*.jpg for the five PLACES, counts[SPLIT] pictures of each, of several shapes."""
    number = 0
    for split, count in counts.items():
        for kind in PLACES:
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
            for _ in range(count):
                width, height = ((size, size), (size * 5 // 4, size), (size, size * 5 // 4))[number % 3]
                name = f"Places365_{split}_{number:08d}.jpg"
                place(kind, seed, number, width, height).save(folder / split / kind / name, quality=72)
                number += 1


def write_place_pulse(folder: Path, n: int, size: int = 128, seed: int = 1) -> None:
    """The Place Pulse 2.0 form: FOLDER/test_images/LAT_LON_ID_CITY.JPG and FOLDER/meta/qscores.tsv.

    Every fifth image has no score in the second study, and one row of the table has no image, as in the real set.
    """
    (folder / "test_images").mkdir(parents=True, exist_ok=True)
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n + 1):
        city, latitude, longitude = CITIES[number % len(CITIES)]
        location, place_id = f"513d{number:04x}fdc9f0358700{number * 7:04x}", f"50f4{number % 6:04x}fdc9f065f0008799"
        image, shares = street(seed, number, size * 4 // 3, size)
        if number < n:
            where = f"{latitude + rng.normal() / 50:.6f}_{longitude + rng.normal() / 50:.6f}"
            image.save(folder / "test_images" / f"{where}_{location}_{city}.JPG", quality=72)
        for study, weights in STUDIES.items():
            if study == next(iter(STUDIES)) or number % 5:
                score = score_of(shares, weights) + rng.normal() * 0.2
                rows.append(
                    [
                        f"{len(rows):024x}",
                        location,
                        int(rng.integers(1, 30)),
                        place_id,
                        study,
                        f"{score:.6f}",
                        f"{rng.uniform(1, 4):.6f}",
                    ]
                )
    with open(folder / "meta" / "qscores.tsv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(
            ["_id", "location_id", "num_votes", "place_id", "study_id", "trueskill.score", "trueskill.stds.-1"]
        )
        table.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for a perception set (images/ and scores.csv)")
    parser.add_argument("--places", type=Path, help="folder for class folders of five kinds of places")
    parser.add_argument("--place_pulse", type=Path, help="folder for images and a table in the form of Place Pulse")
    parser.add_argument("--n", type=int, default=2000, help="number of images; of --places, of each class")
    parser.add_argument("--size", type=int, default=64, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--committed", action="store_true", help="write the images that are committed beside this file")
    given = parser.parse_args()
    if given.committed:
        here = Path(__file__).parent
        write_places(here / "places_test_input", {"train": 8, "val": 3, "test": 3})
        write_place_pulse(here / "test_input", n=48)
    if given.places:
        write_places(given.places, {"train": given.n, "test": max(given.n // 4, 1)}, given.size, given.seed)
    if given.place_pulse:
        write_place_pulse(given.place_pulse, given.n, given.size)
    if given.out:
        write_perception_set(given.out, given.n, given.size, given.seed)


if __name__ == "__main__":
    main()
