"""On a GPU: epochs of the program, from the second on, against a bare compiled loop on random data that lies in its memory.

    python -m benchmarks.gpu_step                                    # resnet18, resnet50, convnext_tiny: about ten minutes
    python -m benchmarks.gpu_step --models=resnet50 --ways=basic     # the claim alone

224 pixels, batches of 256, bf16, both sides compiled, 4 cores, all in one process. Claimed of resnet50: at least 0.95 of the bare loop
with basic augmentation and the images in the GPU's memory, 0.9 with mixup, and less than 2% of the training time spent
waiting for data.
"""

import argparse
import csv
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import photographs, timing

DISTINCT = 256  # photographs that are drawn; the others are the same ones with other bytes behind the end of the image
WAYS: dict[str, dict[str, Any]] = {
    "basic": {},
    "copied": {},  # the images stay in the host's memory
    "mixup": {"mixup": 0.2},
    "strong": {"augment": "strong"},
}
CLAIMS = {"basic": 0.95, "mixup": 0.9}  # of resnet50


def bare(name: str, options: argparse.Namespace) -> float:
    """Images a second of the loop without any data: forward, backward and the fused optimizer, compiled."""
    import torch
    import torchvision

    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda")
    model = torchvision.models.get_model(name, num_classes=5).to(device, memory_format=torch.channels_last)
    model.compile(dynamic=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images = torch.randn(options.batch_size, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    targets = torch.randint(0, 5, (options.batch_size,), device=device)

    def step():
        with torch.autocast("cuda", torch.bfloat16):
            outputs = model(images)
        torch.nn.functional.cross_entropy(outputs.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(10):
        step()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(options.steps):
        step()
    torch.cuda.synchronize()
    return options.steps * options.batch_size / (time.perf_counter() - begun)


def program(name: str, way: str, options: argparse.Namespace, data: Path, folder: Path) -> tuple[float, float, float]:
    """Images a second of the first epoch and of the later ones (median), and the later ones' share of waiting for data."""
    from deep_cnn import train
    from deep_cnn.data import assemble

    share = 0.0 if way == "copied" else assemble.RESIDENT_SHARE
    with mock.patch.object(assemble, "RESIDENT_SHARE", share):
        run = train(
            data,
            root_dir=str(folder),
            run_name=f"{name}_{way}_{time.monotonic_ns()}",
            epochs=options.epochs,
            batch_size=options.batch_size,
            model=name,
            weights="none",
            val_split=0,
            test_split=0,
            precision="bf16",
            compile="on",
            workers=options.cores,
            profile=True,
            **WAYS[way],
        )
    with open(run.files.results / "timing.csv", encoding="utf-8") as file:
        rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    epochs = json.loads((run.files.results / "profile.json").read_text(encoding="utf-8"))["epochs"][1:]
    waiting = sum(epoch["waiting"] for epoch in epochs)
    return rates[0], timing.median(rates[1:]), waiting / sum(epoch["waiting"] + epoch["step"] for epoch in epochs)


def generate(out: Path, count: int) -> Path:
    """`count` files of distinct bytes; the decoder does the same work on each as on the one it was made from."""
    drawn = photographs.generate(out / "drawn", DISTINCT, 500, 375)
    files = sorted(drawn.glob("train/*/*.jpg"))
    for i in range(count):
        source = files[i % len(files)]
        target = out / "set" / "train" / source.parent.name / f"{i:06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.write_bytes(source.read_bytes() + i.to_bytes(8, "little"))
    return out / "set"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="resnet18,resnet50,convnext_tiny")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--images", type=int, default=256 * 64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where to put images and outputs; a temporary one by default")
    options = parser.parse_args()
    print(timing.machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        data = generate(folder, options.images)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))
        lines = []
        for name in options.models.split(","):
            alone = bare(name, options)
            lines.append(f"{name:14} {'bare':8} {alone:9.0f} images/s")
            print(lines[-1], flush=True)
            for way in options.ways.split(","):
                first, later, waiting = program(name, way, options, data, folder)
                lines.append(
                    f"{name:14} {way:8} {later:9.0f} images/s, {later / alone:.3f} of the bare step, {waiting:.2%} waiting "
                    f"(first epoch, with compiling: {first:.0f})"
                )
                print(lines[-1], flush=True)
                if name == "resnet50" and way in CLAIMS:
                    timing.claim(f"share of the bare step, {way}", later / alone, CLAIMS[way])
                    timing.claim("percent of the time waiting for data", 100 * waiting, 2, at_least=False)
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
