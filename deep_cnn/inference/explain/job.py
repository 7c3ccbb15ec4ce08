"""Explain some images of a run: choose them, compute the maps, check them, draw them."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deep_cnn.data.archives import Source
from deep_cnn.data.augment.steps import center_crop
from deep_cnn.data.decode import decode
from deep_cnn.data.normalise import Normaliser
from deep_cnn.inference.explain import sanity, sheet
from deep_cnn.inference.explain.maps import Layer, find_layer, signed_maps
from deep_cnn.inference.explain.sheet import Explained
from deep_cnn.inference.load import FinishedRun, TrainedNetwork
from deep_cnn.inference.predict.inputs import images_from_list
from deep_cnn.inference.run_images import SplitImages, predicted, split_images
from deep_cnn.runtime.atomic import write_json
from deep_cnn.runtime.errors import ConfigError, nearest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """The images to explain, what the network says of them, and how each is to be captioned."""

    images: SplitImages | None
    paths: list[Source]
    names: list[str]
    decoded: np.ndarray  # float64 (n, K)
    truths: list[str]  # "" where unknown


def choose(run: FinishedRun, split: str, files: tuple[str, ...], count: int, workers: int) -> Chosen:
    """The named images, or the `count` most wrong of a split, the worst first."""
    for file in files:
        if Path(file).is_dir():
            raise ConfigError(
                f"--images={file}: is a folder; give files (A.jpg,B.jpg), or --split for a run's own images"
            )
    if files:
        images = images_from_list(files, run.image_folders)
        decoded = predicted(run, images, workers)
        sources = [images.source(i) for i in range(len(images.paths))]
        return Chosen(None, sources, list(images.paths), decoded, [""] * len(decoded))
    everything = split_images(run, split)
    decoded = predicted(run, everything.images, workers)
    order = np.argsort(-run.network.task.wrongness(decoded, everything.targets), kind="stable")
    order = order[~np.isnan(decoded[order]).any(1)][:count]
    worst = everything.take(order)
    truths = [run.network.task.truth_text(target) for target in worst.targets]
    sources = [worst.images.source(i) for i in range(len(worst.images.paths))]
    return Chosen(worst, sources, list(worst.images.paths), decoded[order], truths)


def explain(
    run: FinishedRun, chosen: Chosen, wanted: tuple[str, ...], layer_name: str | None, title: str
) -> dict[str, Any]:
    """Write RESULTS/explain: overlays, a contact sheet per output (one for the predicted classes), sanity.png, explain.json.

    Args:
        wanted: classes or scores; by default the predicted class of each image, or every score.

    Returns:
        what explain.json says.
    """
    network, folder = run.network, run.files.explanations
    task = network.task
    for name in wanted:
        if name not in task.names:
            raise ConfigError(
                f"--target={name}: unknown; the network predicts {', '.join(task.names[:8])}.{nearest(name, task.names)}"
            )
    layer = find_layer(network.spec.name, network.model, network.pre.crop, layer_name)
    log.info("Grad-CAM at %s, maps of %d x %d cells", layer.name, layer.side, layer.side)
    pixels = torch.stack([center_crop(decode(path, network.pre), network.pre.crop) for path in chosen.paths])
    weight = next(network.model.parameters())
    images = Normaliser(network.pre.mean, network.pre.std)(pixels.contiguous(memory_format=torch.channels_last))
    images = images.to(network.device, weight.dtype)  # (n, 3, S, S)

    both = task.signed
    sets = {name: [task.names.index(name)] * len(images) for name in (wanted or (task.names if both else ()))}
    if not sets:
        sets = {"predicted": chosen.decoded.argmax(1).tolist()}
    pictures: list[dict[str, str]] = []
    for name, outputs in sets.items():
        explained = [task.explained_output(k) for k in outputs]
        maps = in_micro_batches(network, layer, images, explained)
        if not pictures:
            first_outputs, first_maps = explained, maps
        found = [
            Explained(
                file,
                caption(task.output_text(k, decoded[k]), truth),
                pixel.permute(1, 2, 0).numpy(),
                sheet.parts(signed.numpy(), both),
            )
            for file, k, decoded, truth, pixel, signed in zip(
                chosen.names, outputs, chosen.decoded, chosen.truths, pixels, maps, strict=True
            )
        ]
        for number, one in enumerate(found):
            for kind, picture in sheet.overlays(one).items():
                sheet.save_image(
                    picture, folder / "overlays" / f"{number:03d}_{_plain(one.file)}_{_plain(name)}_{kind}.png"
                )
        path = folder / (f"contact_sheet_{_plain(name)}.png" if len(sets) > 1 else "contact_sheet.png")
        sheet.contact_sheet(found, path, f"{title}: what raises {'and lowers ' if both else ''}{_words(name)}")
        pictures.append({"file": path.name, "caption": f"Grad-CAM, {title}: {_words(name)}"})
    some = slice(0, 16)  # enough for a mean; the network is made random stage by stage
    checked, _ = sanity.cascade(network.model, network.spec, layer, images[some], first_outputs[some], first_maps[some])
    sheet.sanity_figure(checked.stages, checked.correlations, folder / "sanity.png")
    log.info(checked.line())
    pictures.append({"file": "sanity.png", "caption": checked.line()})
    about = {
        "layer": layer.name,
        "cells": layer.side,
        "images": chosen.names,
        "pictures": pictures,
        "sanity": {"stages": checked.stages, "correlations": checked.correlations, "passed": checked.passed},
    }
    write_json(folder / "explain.json", about)
    return about


def in_micro_batches(
    network: TrainedNetwork, layer: Layer, images: torch.Tensor, outputs: list[int], rows: int = 16
) -> torch.Tensor:
    """`signed_maps` of any number of images: the gradients of 16 at a time fit in memory."""
    starts = range(0, len(images), rows)
    return torch.cat([signed_maps(network.model, layer, images[i : i + rows], outputs[i : i + rows]) for i in starts])


def caption(said: str, truth: str) -> str:
    """What the network says of an image, and what is true, if known."""
    return said + (f" (true: {truth})" if truth else "")


def _words(name: str) -> str:
    return "the predicted class" if name == "predicted" else name


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text)[-60:]
