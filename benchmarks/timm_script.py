"""timm's own loader, transforms and optimizer, in the loop of its train.py: amp in bf16, channels_last.

python benchmarks/timm_script.py DATA_DIR [--workers=2]
"""

import argparse
import time

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2


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
