"""Does the column `distance` tell images of another kind? A network trained on street scenes, shown photographs.

    python benchmarks/predict_unlike.py --out=DIR --photos=FOLDER [--images=600] [--epochs=4]

Prints the area under the ROC curve of `distance` for the photographs against street scenes that were not trained on, and how
many of each are flagged.
"""

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from scenes import street, write_perception_set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    given = parser.parse_args()
    from sklearn.metrics import roc_auc_score

    from deep_cnn.cli.main import main as deep_cnn

    if not (given.out / "data").exists():
        write_perception_set(given.out / "data", given.images, given.size)
        (given.out / "others").mkdir()
        for number in range(150):
            street(99, number, given.size, given.size)[0].save(given.out / "others" / f"{number}.jpg", quality=90)
    deep_cnn(
        [
            f"--root_dir={given.out}",
            "--data_dir=data",
            "--metadata=scores.csv",
            "--target=score",
            "--model=resnet18",
            "--weights=none",
            f"--image_size={given.size}",
            f"--epochs={given.epochs}",
            "--batch_size=32",
        ]
    )
    rows = {}
    for name, folder in (("scenes", given.out / "others"), ("photographs", given.photos)):
        table = given.out / f"{name}.csv"
        deep_cnn(["predict", f"--root_dir={given.out}", f"--images={folder}", f"--output={table}"])
        with open(table, encoding="utf-8", newline="") as file:
            rows[name] = [(float(row["distance"]), row["unlike_training"] == "True") for row in csv.DictReader(file)]
        print(f"{name}: {sum(flag for _, flag in rows[name])} of {len(rows[name])} flagged")
    distances = [d for values in rows.values() for d, _ in values]
    truth = [0] * len(rows["scenes"]) + [1] * len(rows["photographs"])
    print(f"AUC of `distance`, photographs against street scenes: {roc_auc_score(truth, distances):.3f}")


if __name__ == "__main__":
    main()
