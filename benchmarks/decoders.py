"""JPEG libraries side by side: images a second on one core and with two threads, and whether their pixels are the same.

    pip install torchcodec simplejpeg
    python -m benchmarks.decoders [--data_dir=FOLDER] [--images=100] [--rounds=3]

FOLDER: photographs, at any depth. Without it, photographs of 500x375 and 1,000x750 are drawn. `decode` is the program's whole way
from bytes to pixels, the orientation read by Pillow included. A library that is not installed is left out.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from benchmarks import photographs, timing
from deep_cnn.data.formats import read_jpeg
from deep_cnn.data.jpeg import DECODERS, Decoder

ENDINGS = (".jpg", ".jpeg", ".jfif", ".jpe")


def installed() -> dict[str, Decoder]:
    """The libraries that can be imported here, and the program's own way, which uses the first of them."""
    found = {}
    for name, load in DECODERS.items():
        try:
            found[name] = load()
        except (ImportError, OSError, RuntimeError) as problem:
            print(f"{name} is left out: {problem}")
    return found | {"decode": lambda data: read_jpeg(data, "benchmark", 16)}


def per_second(decoder: Decoder, data: list[bytearray], threads: int) -> Callable[[], float]:
    def measure() -> float:
        begun = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(decoder, data):
                pass
        return len(data) / (time.perf_counter() - begun)

    return measure


def compare(title: str, data: list[bytearray], rounds: int) -> bool:
    """Print the table of one set of images. Returns whether all pixels are the same as Pillow's."""
    decoders = installed()
    print(f"\n{title}: {len(data)} images, {sum(map(len, data)) / len(data) / 1000:.0f} kB each")
    same = True
    for name, decoder in decoders.items():
        if name in ("pillow", "decode"):  # the one is the measure, the other also turns
            continue
        differing = sum(not torch.equal(decoder(one), decoders["pillow"](one)) for one in data)
        print(f"{name}: {differing} of {len(data)} images differ from Pillow's pixels")
        same &= differing == 0
    sides = {
        f"{name}, {threads} thread{'s' * (threads > 1)}": per_second(decoder, data, threads)
        for name, decoder in decoders.items()
        for threads in (1, 2)
    }
    for measure in sides.values():
        measure()  # warm
    timing.table(timing.alternate(sides, rounds), "images/s")
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(timing.machine())
    with tempfile.TemporaryDirectory() as place:
        sets = {}
        if options.data_dir:
            files = sorted(path for path in options.data_dir.rglob("*") if path.suffix.lower() in ENDINGS)
            sets[str(options.data_dir)] = files[:: max(1, len(files) // options.images)][: options.images]
        else:
            for width, height in ((500, 375), (1000, 750)):
                folder = photographs.generate(Path(place) / str(width), options.images, width, height)
                sets[f"{width}x{height}"] = sorted(folder.rglob("*.jpg"))
        results = [
            compare(title, [bytearray(file.read_bytes()) for file in files], options.rounds)
            for title, files in sets.items()
        ]
    raise SystemExit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
