"""On a GPU: epochs of the program, from the second on, against a bare compiled loop on random data that lies in its memory.

    python -m benchmarks.gpu_step            # resnet50, 224 pixels, batch 256, bf16, 4 cores; about five minutes

Claimed: at least 0.9 of the bare loop, and less than 3% of the training time spent waiting for data.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import photographs, timing

ROOT = Path(__file__).resolve().parent.parent
DISTINCT = 256  # photographs that are drawn; the others are the same ones with other bytes behind the end of the image


def bare(options: argparse.Namespace) -> float:
    """Images a second of the loop without any data: forward, backward and the fused optimizer, compiled."""
    import torch
    import torchvision

    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda")
    model = torchvision.models.get_model(options.model, num_classes=5).to(device, memory_format=torch.channels_last)
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


def program(options: argparse.Namespace, data: Path, folder: Path, extra: list[str]) -> tuple[float, float, float]:
    """Images a second of the first epoch and of the later ones (median), and the later ones' share of waiting for data."""
    name = f"gpu{time.monotonic_ns()}"
    command = [
        sys.executable,
        "-m",
        "deep_cnn",
        f"--epochs={options.epochs}",
        f"--batch_size={options.batch_size}",
        f"--model={options.model}",
        "--weights=none",
        "--val_split=0",
        "--test_split=0",
        "--precision=bf16",
        "--compile=on",
        "--profile",
        f"--data_dir={data}",
        f"--root_dir={folder}",
        f"--run_name={name}",
        *extra,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the program failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    results = folder / "outputs" / "results" / name
    with open(results / "timing.csv", encoding="utf-8") as file:
        rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    epochs = json.loads((results / "profile.json").read_text(encoding="utf-8"))["epochs"][1:]
    waiting = sum(epoch["waiting"] for epoch in epochs)
    print(
        "\n".join(line for line in done.stdout.splitlines() if line.startswith(("  ", "Where", "Limited"))), flush=True
    )
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
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--images", type=int, default=256 * 32)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where to put images and outputs; a temporary one by default")
    parser.add_argument(
        "--bare", action="store_true", help="measure the bare loop alone, and print its images a second"
    )
    parser.add_argument("flags", nargs="*", help="further flags of the program, behind --")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))
    if options.bare:
        print(bare(options))
        return
    print(timing.machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        data = generate(folder, options.images)
        alone = [
            sys.executable,
            "-m",
            "benchmarks.gpu_step",
            "--bare",
            f"--model={options.model}",
            f"--batch_size={options.batch_size}",
            f"--steps={options.steps}",
            f"--cores={options.cores}",
        ]
        waiting: list[float] = []
        first: list[float] = []

        def ours() -> float:
            rate, later, share = program(options, data, folder, options.flags)
            first.append(rate), waiting.append(share)
            return later

        measured = timing.alternate(
            {
                "bare compiled loop": lambda: float(
                    subprocess.run(alone, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()[-1]
                ),
                "the program, from the second epoch on": ours,
            },
            options.rounds,
        )
    timing.table(measured | {"the program, first epoch (with compiling)": first}, "images/s")
    bare_rate, our_rate = (timing.median(values) for values in measured.values())
    timing.claim("share of the bare loop", our_rate / bare_rate, 0.9)
    timing.claim("percent of the time waiting for data", 100 * max(waiting), 3, at_least=False)


if __name__ == "__main__":
    main()
