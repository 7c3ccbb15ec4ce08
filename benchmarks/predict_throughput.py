"""`predict` against the plain loop that people write: whole programs, from the command to the table, in turn (A B A B).

    python benchmarks/predict_throughput.py --out=DIR [--images=1500] [--repeats=2] [--cores=2] [--device=cpu]

A: ImageFolder, a DataLoader with 2 workers, Pillow and torchvision's usual transforms, float32, softmax, a CSV at the end.
B: python -m deep_cnn predict, in the precision of its run (bf16 on CPUs that multiply it natively, else float32).
Both: resnet18 at 224 pixels, the same JPEG files of 500 x 375, which have just been read (in the page cache).
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"

PLAIN = """
import sys, csv, torch
from torchvision import datasets, models, transforms

class Named(datasets.ImageFolder):
    def __getitem__(self, i):
        return super().__getitem__(i)[0], self.samples[i][0]

def main(images, weights, output, device):
    transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
                                    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    loader = torch.utils.data.DataLoader(Named(images, transform), batch_size=32, num_workers=2)
    model = models.resnet18(num_classes=5)
    model.load_state_dict(torch.load(weights, weights_only=True)["weights"])
    model = model.to(device).eval()
    rows = []
    with torch.no_grad():
        for batch, names in loader:
            p = model(batch.to(device)).softmax(1).cpu()
            rows += [[n, *r] for n, r in zip(names, p.tolist())]
    with open(output, "w", newline="") as f:
        csv.writer(f).writerows(rows)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])  # children inherit it
    env = os.environ | {"PYTHONPATH": str(HERE.parent), "PYTHONWARNINGS": "ignore"}
    folder, plain = given.out / "photos" / "all", given.out / "plain.py"
    write_photos(folder, given.images)
    plain.write_text(PLAIN, encoding="utf-8")
    best = given.out / "outputs" / "models" / "default" / "best.pt"
    if not best.exists():
        train = [
            "--model=resnet18",
            "--weights=none",
            f"--data_dir={TESTS / 'places_test_input'}",
            "--epochs=1",
            f"--root_dir={given.out}",
            "--cache=off",
            f"--device={given.device}",
        ]
        subprocess.run([sys.executable, "-m", "deep_cnn", *train], env=env, check=True, stdout=subprocess.DEVNULL)
    table = given.out / "predictions.csv"
    commands = {
        "plain loop": [
            sys.executable,
            str(plain),
            str(folder.parent),
            str(best),
            str(given.out / "plain.csv"),
            given.device,
        ],
        "predict": [
            sys.executable,
            "-m",
            "deep_cnn",
            "predict",
            f"--root_dir={given.out}",
            f"--images={folder.parent}",
            f"--output={table}",
            f"--device={given.device}",
        ],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(given.repeats):
        for name, command in commands.items():
            for left in given.out.glob("predictions*"):
                left.unlink()
            begun = time.perf_counter()
            subprocess.run(command, env=env, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - begun)
            print(
                f"{number + 1}. {name:<11}{seconds[name][-1]:7.1f} s, {given.images / seconds[name][-1]:6.0f} images/s",
                flush=True,
            )
    fastest = {name: min(values) for name, values in seconds.items()}
    rounds = [a / b for a, b in zip(*seconds.values(), strict=True)]
    print(
        f"{given.images} images, {given.cores} cores, {given.device}: predict is {fastest['plain loop'] / fastest['predict']:.2f} "
        f"times as fast (best of each); by round {', '.join(f'{r:.2f}' for r in rounds)}"
    )


def write_photos(folder: Path, count: int) -> None:
    """`count` files, of which the first 100 differ: drawing takes longer than the measurement."""
    sys.path.insert(0, str(TESTS))
    from scenes import street

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:06d}.jpg"
        if path.exists():
            continue
        if number < 100:
            street(0, number, 500, 375)[0].save(path, quality=90)
        else:
            path.write_bytes((folder / f"{number % 100:06d}.jpg").read_bytes())


if __name__ == "__main__":
    main()
