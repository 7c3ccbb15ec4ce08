"""Do the maps of `explain` lie on what decides the score? Scenes in which one object alone does, and where it is known.

    python benchmarks/explain_object.py --out=DIR [--epochs=8] [--layer=NAME]

Each picture is a street scene with, in two of three, a ringed disc somewhere; the score is the disc's share of the picture's
width, 0 without one. Prints the share of the *raises* maps' mass on the disc, over the test images that have one, for
the trained network and for one with random weights. Contact sheets are in DIR/outputs/results/object/explain.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from scenes import street

SIDE, IMAGES = 96, 900


def scene(number: int) -> tuple[Image.Image, np.ndarray, float]:
    """A picture, where its object is (bool (SIDE, SIDE)), and its score."""
    rng = np.random.default_rng([7, number])
    picture, _ = street(7, number, SIDE, SIDE)
    pixels = np.asarray(picture).copy()
    on = np.zeros((SIDE, SIDE), bool)
    if number % 3 == 0:
        return picture, on, 0.0
    radius = rng.uniform(0.13, 0.26) * SIDE
    centre = rng.uniform(radius, SIDE - radius, 2)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    distance = np.hypot(rows - centre[0], columns - centre[1])
    on = distance < radius
    rings = (distance // 4 % 2 == 0)[..., None]
    pixels[on] = np.where(rings, rng.uniform(150, 255, 3), rng.uniform(0, 100, 3))[on]
    return Image.fromarray(pixels.astype(np.uint8)), on, 200 * radius / SIDE


def write(folder: Path) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with open(folder / "scores.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "score"])
        for number in range(IMAGES):
            picture, _, score = scene(number)
            picture.save(folder / "images" / f"{number:05d}.jpg", quality=92)
            table.writerow([f"{number:05d}.jpg", round(score, 3)])


def on_object(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's positive mass that lies on the object: (n, S, S), bool (n, S, S) -> (n,)."""
    raising = np.maximum(maps, 0)
    return (raising * masks).sum((1, 2)) / np.maximum(raising.sum((1, 2)), 1e-12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--layer")
    given = parser.parse_args()
    from deep_cnn.cli.main import main as deep_cnn

    if not (given.out / "data").exists():
        write(given.out / "data")
    deep_cnn(
        [
            f"--root_dir={given.out}",
            "--run_name=object",
            "--data_dir=data",
            "--metadata=scores.csv",
            "--target=score",
            "--model=resnet18",
            "--weights=none",
            f"--image_size={SIDE}",
            "--augment=none",
            "--batch_size=32",
            f"--epochs={given.epochs}",
            "--workers=1",
        ]
    )
    layer = [f"--layer={given.layer}"] if given.layer else []
    deep_cnn(["explain", f"--root_dir={given.out}", "--run_name=object", "--count=12", *layer])
    trained, random, area = shares(given.out, given.layer)
    print(
        f"mass of the raises map on the object, which covers {100 * area:.1f}% of the picture: "
        f"trained network {100 * trained:.1f}%, random weights {100 * random:.1f}%"
    )


def shares(root: Path, layer_name: str | None = None) -> tuple[float, float, float]:
    """Mean share of the raises maps' mass on the object (trained, random weights), and the object's mean share of pixels."""
    import torch

    from deep_cnn.data.augment.steps import center_crop
    from deep_cnn.data.decode import decode
    from deep_cnn.data.normalise import Normaliser
    from deep_cnn.inference.explain.job import in_micro_batches
    from deep_cnn.inference.explain.maps import find_layer
    from deep_cnn.inference.load import open_run
    from deep_cnn.inference.run_images import split_images
    from deep_cnn.models.build import build_model

    run = open_run("object", str(root), precision="fp32")
    network, test = run.network, split_images(run, "test")
    have = [i for i in range(len(test.images.paths)) if test.targets[i, 0] > 0]
    paths = [test.images.paths[i] for i in have]
    pixels = torch.stack([center_crop(decode(test.images.source(i), network.pre), SIDE) for i in have])
    images = Normaliser(network.pre.mean, network.pre.std)(pixels)
    masks = np.stack([canonical(scene(int(Path(p).stem))[1], network.pre) for p in paths])
    layer = find_layer(network.spec.name, network.model, SIDE, layer_name)
    trained = on_object(in_micro_batches(network, layer, images, [0] * len(images)).numpy(), masks)
    network.model.load_state_dict(build_model(network.spec, 1).state_dict())
    random = on_object(in_micro_batches(network, layer, images, [0] * len(images)).numpy(), masks)
    return float(trained.mean()), float(random.mean()), float(masks.mean())


def canonical(mask: np.ndarray, pre) -> np.ndarray:
    """A mask of the picture as the network sees it: resized and cropped as the picture is."""
    big = Image.fromarray(mask.astype(np.uint8) * 255).resize((pre.resize, pre.resize), Image.Resampling.BILINEAR)
    start = (pre.resize - pre.crop) // 2
    return np.asarray(big)[start : start + pre.crop, start : start + pre.crop] > 127


if __name__ == "__main__":
    main()
