"""Does learning from votes find the truth? A generated city (tests/cities.py) whose true scores are known.

    python -m benchmarks.votes_city --out=DIR                      # 2,000 images, 3.5 votes an image: minutes on one core
    python -m benchmarks.votes_city --out=DIR --votes=10 --seeds=5

For each seed: Spearman's correlation of scores with the truth on test images, of the network trained on votes, of the network trained on
Bradley-Terry scores that were fitted to the same training votes, and of ridge Bradley-Terry on the generator's own parameters, which is
about the best that these votes allow. At the end the mean difference of the two networks with its interval over seeds.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import cities  # type: ignore[import-not-found]

from deep_cnn import train
from deep_cnn.data.bradley_terry import fit_scores, spread_of_votes
from deep_cnn.tasks.confidence import t_quantile

NETWORK = {"model": "net", "weights": "none", "image_size": 32, "batch_size": 32, "lr": 0.002, "augment": "none"}
NETWORK |= {"ema": 0.99}  # of both networks; without it those trained on votes had .943 to .955, with it .952 to .959


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def training_votes(folder: Path, names: list[str], trained: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images (m, 2), numbered as names, and outcomes (m,) of the votes between two training images."""
    number = {name.split("_")[2]: i for i, name in enumerate(names)}
    rows = [(number[v["left"]], number[v["right"]], v["choice"]) for v in read(folder / "votes.csv")]
    rows = [row for row in rows if names[row[0]] in trained and names[row[1]] in trained]
    value = {"left": 1.0, "right": 0.0, "equal": 0.5}
    return np.array([row[:2] for row in rows]), np.array([value[row[2]] for row in rows])


def ridge(parameters: np.ndarray, images: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Scores by a linear Bradley-Terry model of the parameters (N, P), with a small penalty: float64 (N,)."""
    scaled = (parameters - parameters.mean(0)) / parameters.std(0)
    leads = scaled[images[:, 0]] - scaled[images[:, 1]]

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        d = leads @ w
        value = np.logaddexp(0, -d) @ outcome + np.logaddexp(0, d) @ (1 - outcome) + 0.05 * w @ w
        return float(value), leads.T @ (expit(d) - outcome) + 0.1 * w

    return scaled @ minimize(loss, np.zeros(scaled.shape[1]), jac=True).x


def one_seed(out: Path, images: int, votes: float, seed: int, epochs: int) -> dict[str, float]:
    """Spearman's correlations with the truth on test images."""
    folder = out / f"seed{seed}"
    city = cities.write_city(folder, images, seed)
    cities.write_votes(folder, city, votes, seed=seed + 1)
    flags = NETWORK | {"root_dir": str(folder), "seed": seed, "epochs": epochs}
    pair = train(folder / "images", metadata=str(folder / "votes.csv"), run_name="votes", **flags)
    split = {row["file"]: row["split"] for row in read(pair.files.results / "splits.csv")}
    names, truth = list(city.names), dict(zip(city.names, city.scores.tolist(), strict=True))
    trained = {name for name, part in split.items() if part == "train"}
    voted, outcome = training_votes(folder, names, trained)
    fitted = fit_scores(voted, outcome, len(names), spread_of_votes(voted, outcome, len(names)))
    # validation and test images need some value to be in the table; only training images have one that is learnt from
    with open(folder / "scores.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "score"])
        table.writerows(
            [name, fitted[i] if name in trained else truth[name]] for i, name in enumerate(names) if name in split
        )
    score = train(
        folder / "images",
        metadata=str(folder / "scores.csv"),
        target="score",
        run_name="scores",
        split_from="votes",
        **flags,
    )
    tested = [i for i, name in enumerate(names) if split.get(name) == "test"]
    true = city.scores[tested]

    def of_run(run: object) -> float:
        said = {
            row["file"]: float(row["predicted_" + name]) for row in read(run.files.results / "predictions_test.csv")
        }  # type: ignore[attr-defined]
        return float(spearmanr([said[names[i]] for i in tested], true).statistic)

    name = "safety"
    found = {"votes": of_run(pair)}
    name = "score"
    found["scores"] = of_run(score)
    found["ridge"] = float(spearmanr(ridge(city.parameters, voted, outcome)[tested], true).statistic)
    return found


def main() -> None:
    """Print a line for each seed and the difference."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--votes", type=float, default=3.5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    changes = []
    for seed in range(given.seeds):
        found = one_seed(given.out, given.images, given.votes, seed, given.epochs)
        changes.append(found["votes"] - found["scores"])
        print(f"RESULT seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()), flush=True)
    if len(changes) > 1:
        mean, error = np.mean(changes), np.std(changes, ddof=1) / len(changes) ** 0.5
        half = t_quantile(len(changes) - 1, 0.95) * error
        print(f"RESULT votes - scores: {mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}] over {len(changes)} seeds")


if __name__ == "__main__":
    main()
