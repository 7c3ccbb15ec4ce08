"""The peers of `benchmarks.defaults`: other programs on the same table of images, with the same ImageNet weights.

    python -m benchmarks.defaults_peers sklearn|timm|fastai TABLE PREDICTIONS --task=... --size=224 --seed=0

TABLE has the columns file, target and split (train, val, test); PREDICTIONS gets file, target and predicted of the test images.
scikit-learn: logistic regression or ridge on the features of the frozen network, its penalty chosen by validation images.
timm: its loader, transforms, optimizer and schedule (timm_script.py). fastai: `vision_learner(...).fine_tune(5)`.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

NETWORK = "tf_efficientnet_lite0"  # timm's name
PENALTIES = 10.0 ** np.arange(-4, 5)


def pretrained(**options):
    """timm's network with the weights that the program uses."""
    import timm

    return timm.create_model(NETWORK, pretrained=True, pretrained_cfg_overlay={"file": weights_file()}, **options)


def weights_file() -> str:
    """The package's file under timm's names, written once."""
    import tempfile

    import timm

    from deep_cnn.models.build import prefetch
    from deep_cnn.models.weights import read
    from deep_cnn.models.zoo.efficientnet_lite import timm_names

    path = Path(tempfile.gettempdir()) / f"{NETWORK}-benchmark.pth"
    if not path.exists():
        partial = path.with_suffix(".tmp")
        torch.save(dict(timm_names(read(prefetch("efficientnet_lite0")).state, timm.create_model(NETWORK))), partial)
        partial.rename(path)
    return str(path)


def features(files: list[str], size: int) -> np.ndarray:
    """What the frozen network makes of images, as timm's evaluation sees them: float32 (n, 1280)."""
    from PIL import Image
    from timm.data import create_transform, resolve_data_config

    model = pretrained(num_classes=0).eval()
    config = resolve_data_config({"img_size": size}, model=model)
    transform = create_transform(**config)
    made = []
    with torch.inference_mode():
        for first in range(0, len(files), 32):
            images = [transform(Image.open(file).convert("RGB")) for file in files[first : first + 32]]
            made.append(model(torch.stack(images)).numpy())
    return np.concatenate(made)


def by_sklearn(table: pd.DataFrame, task: str, size: int, seed: int) -> np.ndarray:
    """Predictions for the test images."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = features(list(table["file"]), size)
    part = {split: (table["split"] == split).to_numpy() for split in ("train", "val", "test")}
    targets = table["target"].to_numpy()

    def fitted(penalty: float):
        head = Ridge(alpha=penalty) if task == "regression" else LogisticRegression(C=1 / penalty, max_iter=2000)
        return make_pipeline(StandardScaler(), head).fit(found[part["train"]], targets[part["train"]])

    best = max(
        (fitted(penalty) for penalty in PENALTIES), key=lambda m: m.score(found[part["val"]], targets[part["val"]])
    )
    return best.predict(found[part["test"]])


def by_timm(table: pd.DataFrame, task: str, size: int, seed: int) -> np.ndarray:
    """Predictions for the test images, of the epoch that is best on validation images."""
    from benchmarks import timm_script

    return timm_script.fine_tuned(table, task, size, seed, pretrained)


def by_fastai(table: pd.DataFrame, task: str, size: int, seed: int) -> np.ndarray:
    """As fastai's documentation does it: images of twice the size, its usual augmentation on the batch, batches of 64, fine_tune(5)."""
    from fastai.vision.all import (
        CategoryBlock,
        ColReader,
        ColSplitter,
        DataBlock,
        ImageBlock,
        RegressionBlock,
        Resize,
        aug_transforms,
        set_seed,
        vision_learner,
    )

    set_seed(seed, reproducible=True)
    known = table[table["split"] != "test"].assign(is_valid=lambda rows: rows["split"] == "val")
    block = DataBlock(
        blocks=(ImageBlock, RegressionBlock if task == "regression" else CategoryBlock),
        get_x=ColReader("file"),
        get_y=ColReader("target"),
        splitter=ColSplitter(),
        item_tfms=Resize(2 * size),
        batch_tfms=aug_transforms(size=size, min_scale=0.75),
    )
    batch = min(64, int((known["split"] == "train").sum()))
    loaders = block.dataloaders(known, bs=batch, num_workers=0)
    learner = vision_learner(loaders, NETWORK, pretrained_cfg_overlay={"file": weights_file()})
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(5)
    test = loaders.test_dl(table[table["split"] == "test"])
    outputs = learner.get_preds(dl=test)[0]
    if task == "regression":
        return outputs[:, 0].numpy()
    return np.array(loaders.vocab)[outputs.argmax(1).numpy()]


PEERS = {"sklearn": by_sklearn, "timm": by_timm, "fastai": by_fastai}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("table", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    table = pd.read_csv(options.table)
    predicted = PEERS[options.peer](table, options.task, options.size, options.seed)
    tested = table[table["split"] == "test"][["file", "target"]].assign(predicted=predicted)
    tested.to_csv(options.predictions, index=False)


if __name__ == "__main__":
    main()
