"""Training as the field's tutorials write it: ImageFolder, Pillow, a DataLoader, a loop. What the program is measured against.

python benchmarks/plain_script.py DATA_DIR [--fast] [--workers=2]     # --fast: bf16 and channels_last
"""

import argparse
import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fast", action="store_true")
    args = parser.parse_args()

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    dataset = datasets.ImageFolder(f"{args.data_dir}/train", transform)
    loader = DataLoader(dataset, args.batch_size, shuffle=True, num_workers=args.workers, persistent_workers=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = models.get_model(args.model, num_classes=len(dataset.classes)).to(device)
    if args.fast:
        model = model.to(memory_format=torch.channels_last)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    for epoch in range(args.epochs):
        model.train()
        begun, running_loss = time.time(), 0.0
        for images, targets in loader:
            images, targets = images.to(device), targets.to(device)
            if args.fast:
                images = images.to(memory_format=torch.channels_last)
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=args.fast):
                loss = criterion(model(images), targets)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(images)
        seconds = time.time() - begun
        print(
            f"epoch {epoch}: loss {running_loss / len(dataset):.4f}, {len(dataset) / seconds:.2f} images/s", flush=True
        )


if __name__ == "__main__":
    main()
