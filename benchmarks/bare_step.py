"""The training step alone, on one batch of random numbers that is there already: what no loader can be faster than.

python benchmarks/bare_step.py [--precision=bf16|fp32] [--evaluate]
"""

import argparse
import contextlib
import time

import torch
import torchvision


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--evaluate", action="store_true", help="the forward pass alone, in inference mode")
    args = parser.parse_args()
    fast = args.precision == "bf16"
    layout = torch.channels_last if fast else torch.contiguous_format
    model = torchvision.models.get_model(args.model, num_classes=5).to(memory_format=layout)
    model.train(not args.evaluate)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images = torch.randn(args.batch_size, 3, args.size, args.size).to(memory_format=layout)
    targets = torch.randint(0, 5, (args.batch_size,))

    def step():
        with torch.autocast("cpu", torch.bfloat16) if fast else contextlib.nullcontext():
            outputs = model(images)
        if not args.evaluate:
            torch.nn.functional.cross_entropy(outputs.float(), targets).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    with torch.inference_mode(args.evaluate):
        for _ in range(3):
            step()
        begun = time.time()
        for _ in range(args.steps):
            step()
    print(f"{args.steps * args.batch_size / (time.time() - begun):.2f} images/s", flush=True)


if __name__ == "__main__":
    main()
