"""The simulation of benchmarks/spatial.py with pictures and the program itself: its own folds, its own network.

    python -m benchmarks.spatial_pictures --out=DIR            # 20 maps, about a minute of one core a map

What is visible and the local signature are twelve grey fields of a picture. A small network is trained from scratch by
`--folds=5`, and by `--folds=5 --group=grid:1000m`; the networks of the grid folds predict another map far away, too. A row of
R2 for each map goes to DIR/maps.csv; maps that are there are not run again.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.spatial import CELL, FOLDS, VISIBLE, Map, drawn_map, r2
from deep_cnn import predict
from deep_cnn.cli.main import main as deep_cnn

IMAGES = 1200
NETWORK = ("--model=net", "--weights=none", "--image_size=32", "--batch_size=32", "--lr=0.002", "--augment=none")
ROWS, COLUMNS, HEIGHT, WIDTH = 3, 4, 10, 8  # of the fields, in number and in pixels
CONTRAST = 40  # grey levels per standard deviation


def write_map(folder: Path, drawn: Map, rng: np.random.Generator) -> None:
    """folder/images/*.png and folder/scores.csv: file, score, latitude, longitude in degrees."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [f"{number:04d}.png" for number in range(len(drawn.scores))]
    for name, features in zip(names, drawn.features, strict=True):
        fields = np.kron(features.reshape(ROWS, COLUMNS), np.ones((HEIGHT, WIDTH)))  # (30, 32)
        pixels = 128 + CONTRAST * fields + rng.normal(0, 4, fields.shape)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert("RGB").save(folder / "images" / name)
    places = {"latitude": drawn.places[:, 1], "longitude": drawn.places[:, 0]}
    pd.DataFrame({"file": names, "score": drawn.scores, **places}).to_csv(folder / "scores.csv", index=False)


def of_map(folder: Path, near: Map, far: Map, rng: np.random.Generator, epochs: int) -> dict[str, float]:
    """R2 in random folds, in grid folds, and on the map far away, the mean of the grid folds' networks."""
    write_map(folder / "near", near, rng)
    write_map(folder / "far", far, rng)
    found = {}
    for name, group in (("random", ()), ("grid", (f"--group=grid:{CELL:.0f}m",))):
        data = (
            f"--data_dir={folder / 'near' / 'images'}",
            f"--metadata={folder / 'near' / 'scores.csv'}",
            "--target=score",
        )
        run = (f"--run_name={name}", f"--root_dir={folder}", f"--folds={FOLDS}", f"--epochs={epochs}")
        assert deep_cnn([*NETWORK, *data, *run, *group]) == 0
        said = pd.read_csv(folder / "outputs" / "results" / name / "predictions_folds.csv")
        found[name] = r2(said["target_score"].to_numpy(), said["predicted_score"].to_numpy())
    away = []
    for fold in range(1, FOLDS + 1):
        best = folder / "outputs" / "models" / f"grid-fold{fold}" / "best.pt"
        said = predict(folder / "far" / "images", best).set_index("file")["predicted_score"]
        away.append(r2(far.scores, said.sort_index().to_numpy()))
    return found | {"far": float(np.mean(away))}


def main() -> None:
    """Append maps to the table and print the means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--maps", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    table = given.out / "maps.csv"
    rows = pd.read_csv(table).to_dict("records") if table.exists() else []
    weights = np.full(VISIBLE, 1 / np.sqrt(VISIBLE))
    for number in range(len(rows), given.maps):
        rng = np.random.default_rng(number)
        near, far = drawn_map(rng, weights, IMAGES), drawn_map(rng, weights, IMAGES)
        rows.append({"map": number, **of_map(given.out / f"map{number}", near, far, rng, given.epochs)})
        pd.DataFrame(rows).to_csv(table, index=False)
        print("RESULT", ", ".join(f"{name} {value:.3f}" for name, value in rows[-1].items()), flush=True)
    found = pd.DataFrame(rows).drop(columns="map")
    gaps = pd.DataFrame({name: found[name] - found["far"] for name in ("random", "grid")})
    error = gaps.std(ddof=1) / np.sqrt(len(gaps))
    print("RESULT R2, mean of maps:", ", ".join(f"{name} {value:.3f}" for name, value in found.mean().items()))
    print("RESULT too optimistic by:", ", ".join(f"{n} {gaps[n].mean():+.3f} (se {error[n]:.3f})" for n in gaps))


if __name__ == "__main__":
    main()
