"""Write a network, read it again as its users will, compare on real images, and only then put it in its place."""

import logging
from pathlib import Path

import numpy as np
import torch

from deep_cnn.data.decode import decode
from deep_cnn.inference.export import card, formats
from deep_cnn.inference.export.network import answers, exported_network, inputs_for
from deep_cnn.inference.load import FinishedRun
from deep_cnn.inference.run_images import split_images
from deep_cnn.runtime.atomic import read_json, write_json, write_text
from deep_cnn.runtime.errors import ConfigError, DataError, MachineError

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # in probabilities, or in units of the scores' spread


def check_replaceable(output: Path) -> None:
    """ConfigError where `output` exists and no earlier export wrote it: a checkpoint, or a file of the user's."""
    if output.exists() and "output" not in (read_json(output.with_name(output.name + ".json")) or {}):
        raise ConfigError(
            f"--output={output}: the file exists and was not written by export; choose another name or remove the file"
        )


def export(
    run: FinishedRun, chosen: formats.Format, kind: str, output: Path, preprocessing: bool, split: str, count: int
) -> Path:
    """Write `output`, OUTPUT.json and OUTPUT.md.

    Raises:
        DataError: no image to check it on. MachineError: the file's answers are not the checkpoint's; nothing is left.
    """
    trained = run.network
    canonical = checking_images(run, split, count)  # uint8 (n, 3, R, R)
    network = exported_network(trained, preprocessing)
    inputs = inputs_for(trained, canonical, preprocessing)
    with torch.inference_mode():  # the checkpoint's own way: normalised in one pass, decoded in float64
        ours = trained.task.decode(trained.model(inputs_for(trained, canonical, False)).numpy())

    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f"unchecked-{output.name}")
    try:
        formats.write(
            chosen, network, inputs[: formats.SEVERAL].repeat(formats.SEVERAL, 1, 1, 1)[: formats.SEVERAL], draft
        )
        read = chosen.read(draft, network)
        worst = 0.0
        for rows in (len(inputs), 1, min(3, len(inputs))):  # the batch size must be free
            with torch.inference_mode():
                theirs = read(inputs[:rows]).numpy()
            theirs = answers(trained.task, theirs, preprocessing)
            worst = max(worst, trained.task.largest_difference(ours[:rows], theirs))
        if not worst <= TOLERANCE:  # NaN is no agreement either
            raise MachineError(
                f"--format={kind}: the outputs of the file differ from the checkpoint's by {worst:.2g} (allowed: "
                f"{TOLERANCE:g}), so nothing was written; try another --format"
            )
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)
    sentence = f"on {len(inputs)} real images its answers differ from the checkpoint's in float32 by at most {worst:.1e} {trained.task.difference_unit}"
    checked = {"images": len(inputs), "largest_difference": float(np.float64(worst)), "sentence": sentence}
    values = card.about(run, output.name, kind, preprocessing, checked)
    write_json(output.with_name(output.name + ".json"), values)
    write_text(output.with_name(output.name + ".md"), card.model_card(values))
    log.info("Checked: %s", sentence)
    log.info(
        "Written: %s (%.1f MB), with %s.json and the model card %s.md",
        output,
        output.stat().st_size / 1e6,
        output.name,
        output.name,
    )
    return output


def checking_images(run: FinishedRun, split: str, count: int) -> torch.Tensor:
    """Canonical images of a split, spread over its classes; of the validation set where it has none."""
    try:
        images = split_images(run, split).images
    except DataError:
        if split != "test":
            raise
        images = split_images(run, "validation").images
    positions = np.unique(np.linspace(0, len(images.paths) - 1, min(count, len(images.paths))).round().astype(int))
    return torch.stack([decode(images.source(i), run.network.pre) for i in positions.tolist()])
