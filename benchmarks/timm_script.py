"""timm's own loader, transforms and optimizer, in the loop of its train.py: amp in bf16, channels_last.

python benchmarks/timm_script.py DATA_DIR [--workers=2]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler

# of fine-tuning: AdamW, decay 0.01, clipped at 1, a schedule by steps, as in the model cards of timm's fine-tuned networks; batches, epochs
# and rate are for small sets (those cards have 1,500 images in a batch and 5e-5 for large transformers); smoothing, colours and crops are
# the defaults of its train.py
BATCH, EPOCHS, RATE, WARMUP_EPOCHS, SMOOTHING, JITTER = 32, 20, 5e-4, 2, 0.1, 0.4


class TableImages(torch.utils.data.Dataset):
    """Images of a table, as timm's loader wants a data set: it sets `transform`."""

    def __init__(self, files: list[str], targets: list):
        self.files, self.targets, self.transform = files, targets, None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int):
        return self.transform(Image.open(self.files[i]).convert("RGB")), self.targets[i]


def fine_tuned(
    table: pd.DataFrame, task: str, size: int, seed: int, pretrained: Callable[..., torch.nn.Module]
) -> np.ndarray:
    """Predictions for a table's test images by the epoch that is best on its validation images.

    Args:
        table: with file, target and split (train, val, test). size: of the input, pixels. pretrained: options of
            timm.create_model -> the network with its weights.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)
    classes = sorted(table["target"].unique()) if task == "classification" else []
    known = table[table["split"] == "train"]["target"]
    mean, spread = (0.0, 1.0) if classes else (known.mean(), known.std())
    targets = [classes.index(t) if classes else np.float32((t - mean) / spread) for t in table["target"]]
    model = pretrained(num_classes=len(classes) or 1).to(memory_format=torch.channels_last)
    config = resolve_data_config({"img_size": size}, model=model)

    def loader(split: str):
        rows = np.flatnonzero(table["split"] == split)
        images = TableImages(list(table["file"].iloc[rows]), [targets[row] for row in rows])
        own = {"mean": config["mean"], "std": config["std"], "interpolation": config["interpolation"]}
        train = (
            {"is_training": True, "color_jitter": JITTER, "re_prob": 0.0}
            if split == "train"
            else {"crop_pct": config["crop_pct"]}
        )
        return create_loader(images, (3, size, size), BATCH, num_workers=0, use_prefetcher=False, **own, **train)

    criterion = (
        LabelSmoothingCrossEntropy(SMOOTHING) if classes else lambda y, t: torch.nn.functional.mse_loss(y[:, 0], t)
    )
    optimizer = create_optimizer_v2(model, opt="adamw", lr=RATE, weight_decay=0.01)
    train, updates = loader("train"), 0
    schedule = CosineLRScheduler(
        optimizer, EPOCHS * len(train), warmup_t=WARMUP_EPOCHS * len(train), warmup_prefix=True, t_in_epochs=False
    )

    def outputs(split: str) -> np.ndarray:
        model.eval()
        with torch.inference_mode():
            return torch.cat(
                [model(images.to(memory_format=torch.channels_last)) for images, _ in loader(split)]
            ).numpy()

    def quality(found: np.ndarray) -> float:
        truth = np.array([t for t, split in zip(targets, table["split"], strict=True) if split == "val"])
        return float((found.argmax(1) == truth).mean()) if classes else -float(((found[:, 0] - truth) ** 2).mean())

    best, tested = -np.inf, np.zeros(0)
    for _ in range(EPOCHS):
        model.train()
        for images, labels in train:
            schedule.step_update(updates)
            criterion(model(images.to(memory_format=torch.channels_last)), labels).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            updates += 1
        if (reached := quality(outputs("val"))) > best:
            best, tested = reached, outputs("test")
    return np.array(classes)[tested.argmax(1)] if classes else tested[:, 0] * spread + mean


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dataset = create_dataset("", root=f"{args.data_dir}/train", is_training=True)
    # the prefetcher, timm's default, is made for CUDA streams; its train.py turns it off elsewhere
    loader = create_loader(
        dataset,
        (3, 224, 224),
        args.batch_size,
        is_training=True,
        num_workers=args.workers,
        device=device,
        use_prefetcher=device.type == "cuda",
        color_jitter=None,
        re_prob=0.0,
        persistent_workers=True,
    )
    model = timm.create_model(args.model, num_classes=5).to(device, memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.01)
    criterion = LabelSmoothingCrossEntropy(0.0)

    for epoch in range(args.epochs):
        begun, seen = time.time(), 0
        for images, targets in loader:
            images = images.to(device, memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16):
                loss = criterion(model(images), targets.to(device))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen += len(images)
        if device.type == "cuda":
            torch.cuda.synchronize()
        print(f"epoch {epoch}: {seen / (time.time() - begun):.2f} images/s", flush=True)


if __name__ == "__main__":
    main()
