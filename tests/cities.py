"""A Place-Pulse-like set whose truth is known: images of streets in 12 cities, votes on them with known noise.

    python tests/cities.py --out=DIR --images=2000 --votes=3.5     # DIR/images/LAT_LON_ID_CITY.png, DIR/votes.csv, DIR/truth.csv
    python tests/cities.py --out=DIR --raters=5 --unrated          # also DIR/scores.csv; the last city in DIR/unrated, not rated

Six parameters are seen in each picture; the true score is linear in them, with standard deviation 2 on the Bradley-Terry scale.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CITIES = (
    ("Boston", 42.36, -71.06),
    ("Berlin", 52.52, 13.40),
    ("Tokyo", 35.68, 139.69),
    ("Sydney", -33.87, 151.21),
    ("Rio De Janeiro", -22.91, -43.17),
    ("Cape Town", -33.92, 18.42),
    ("Prague", 50.08, 14.44),
    ("Toronto", 43.65, -79.38),
    ("Kyiv", 50.45, 30.52),
    ("Seattle", 47.61, -122.33),
    ("Lisbon", 38.72, -9.14),
    ("Bangkok", 13.76, 100.50),
)
WEIGHTS = np.array([1.0, 1.0, -0.8, 0.6, -0.6, 0.5])  # of PARAMETERS
PARAMETERS = ("trees", "sky", "dirt", "windows", "shade", "lawn")
SPREAD = 2.0  # of the true scores


@dataclass(frozen=True)
class City:
    """What was drawn: parameters (N, 6) in [0, 1], scores (N,), the names of the files, and the number of the city of each image."""

    parameters: np.ndarray
    scores: np.ndarray
    names: tuple[str, ...]
    city: np.ndarray


def drawn_parameters(rng: np.random.Generator, images: int, city: np.ndarray) -> np.ndarray:
    """Uniform, with a small part that the city gives, (images, 6) in [0, 1]."""
    of_city = rng.uniform(0, 1, (len(CITIES), len(WEIGHTS)))
    return 0.85 * rng.uniform(0, 1, (images, len(WEIGHTS))) + 0.15 * of_city[city]


def picture(rng: np.random.Generator, parameters: np.ndarray, side: int = 32) -> Image.Image:
    """A street: sky above, a wall with windows, trees, a lawn, dirt on the ground; light and noise differ by chance."""
    trees, sky, dirt, windows, shade, lawn = parameters
    pixels = np.empty((side, side, 3))
    horizon = side * (0.15 + 0.35 * sky)
    ground = side * 0.75
    rows, columns = np.mgrid[0:side, 0:side]
    pixels[:] = (150, 120, 100)  # wall
    lit = (rows % 4 < 2) & (columns % 4 < 1 + 2 * windows)
    pixels[lit] = (235, 225, 160)
    pixels[rows < horizon] = (120, 170, 235)
    pixels[rows >= ground] = (110, 110, 115)
    pixels[(rows >= ground) & (columns < side * lawn)] = (90, 170, 70)
    left = int(rng.integers(0, side // 3))
    crown = ((columns - left) % side < side * 0.6 * trees) & (rows > horizon * 0.7) & (rows < ground)
    pixels[crown] = (40, 110, 45)
    pixels[(rows >= ground) & (rng.random((side, side)) < 0.5 * dirt)] = (60, 45, 25)
    pixels *= 1 - 0.55 * shade * (columns > side / 2)[..., None]
    pixels = pixels * rng.uniform(0.92, 1.08) + rng.normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_city(folder: Path, images: int, seed: int = 0, side: int = 32) -> City:
    """Draw folder/images/*.png."""
    rng = np.random.default_rng(seed)
    city = np.arange(images) % len(CITIES)
    parameters = drawn_parameters(rng, images, city)
    raw = parameters @ WEIGHTS
    scores = SPREAD * (raw - raw.mean()) / raw.std()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = []
    for i in range(images):
        name, latitude, longitude = CITIES[city[i]]
        where = f"{latitude + rng.normal() / 40:.6f}_{longitude + rng.normal() / 40:.6f}"
        names.append(f"{where}_{i:08x}fdc9f0359_{name}.png")
        picture(rng, parameters[i], side).save(folder / "images" / names[-1])
    with open(folder / "truth.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "score", *PARAMETERS])
        table.writerows([name, score, *row] for name, score, row in zip(names, scores, parameters, strict=True))
    return City(parameters, scores, tuple(names), city)


def draw_votes(
    rng: np.random.Generator, scores: np.ndarray, count: int, tie: float = 0.0
) -> list[tuple[int, int, str]]:
    """Left, right, choice of votes between images at random, by Davidson's model with parameter `tie` (0: Bradley-Terry)."""
    left = rng.integers(len(scores), size=count)
    right = (left + rng.integers(1, len(scores), size=count)) % len(scores)
    ahead = np.exp((scores[left] - scores[right]) / 2)
    total = ahead + tie + 1 / ahead
    u = rng.random(count) * total
    choice = np.where(u < ahead, "left", np.where(u < ahead + tie, "equal", "right"))
    return list(zip(left.tolist(), right.tolist(), choice.tolist(), strict=True))


def write_votes(
    folder: Path, city: City, each: float, *, questions: tuple[str, ...] = ("safety",), tie: float = 0.0, seed: int = 1
) -> None:
    """folder/votes.csv in Place Pulse's form: left, right, choice, category; images by their location's number.

    each: votes an image and question. The second question asks the opposite of the first, and so on.
    """
    rng = np.random.default_rng(seed)
    where = [name.split("_")[2] for name in city.names]
    with open(folder / "votes.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["left", "right", "choice", "category"])
        for q, question in enumerate(questions):
            scores = city.scores * (-1) ** q
            for left, right, choice in draw_votes(rng, scores, round(each * len(scores) / 2), tie):
                table.writerow([where[left], where[right], choice, question])


def district_of(name: str) -> str:
    """The quarter of its city that an image is in, by the coordinates in its name."""
    latitude, longitude, _, city = name.removesuffix(".png").split("_")
    centre = {name: where for name, *where in CITIES}[city]
    north = "north" if float(latitude) > centre[0] else "south"
    return f"{city} {north}-{'east' if float(longitude) > centre[1] else 'west'}"


def write_scores(folder: Path, city: City, raters: int, seed: int = 2) -> None:
    """folder/scores.csv: image, the mean of some people's ratings, its standard error, city and district.

    A rating is 5 + 0.6 x true score + noise of standard deviation 2. So a mean of 5 ratings has reliability
    1.44 / (1.44 + 4 / 5) = 0.64, as the true scores have standard deviation 2.
    """
    rng = np.random.default_rng(seed)
    ratings = 5 + 0.6 * city.scores[:, None] + 2 * rng.normal(size=(len(city.names), raters))
    errors = ratings.std(axis=1, ddof=1) / np.sqrt(raters)
    with open(folder / "scores.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "safety", "safety_se", "city", "district"])
        for name, score, error, number in zip(city.names, ratings.mean(axis=1), errors, city.city, strict=True):
            table.writerow([name, f"{score:.3f}", f"{error:.3f}", CITIES[number][0], district_of(name)])


def without_last_city(folder: Path, city: City) -> City:
    """Move the images of the last city to folder/unrated, with a table unrated.csv of their districts; returns the others."""
    rated = city.city < len(CITIES) - 1
    (folder / "unrated").mkdir(exist_ok=True)
    with open(folder / "unrated.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "district"])
        for i in np.flatnonzero(~rated):
            (folder / "images" / city.names[i]).rename(folder / "unrated" / city.names[i])
            table.writerow([city.names[i], district_of(city.names[i])])
    names = tuple(name for name, kept in zip(city.names, rated, strict=True) if kept)
    return City(city.parameters[rated], city.scores[rated], names, city.city[rated])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--votes", type=float, default=3.5, help="votes an image")
    parser.add_argument("--ties", type=float, default=0.0, help="Davidson's parameter")
    parser.add_argument("--raters", type=int, default=0, help="also write scores.csv, means of this number of ratings")
    parser.add_argument("--unrated", action="store_true", help="keep the last city out of all tables")
    parser.add_argument("--size", type=int, default=32, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    city = write_city(given.out, given.images, given.seed, given.size)
    if given.unrated:
        city = without_last_city(given.out, city)
    write_votes(given.out, city, given.votes, tie=given.ties, seed=given.seed + 1)
    if given.raters:
        write_scores(given.out, city, given.raters, seed=given.seed + 2)


if __name__ == "__main__":
    main()
