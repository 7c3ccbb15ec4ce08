"""A published file of a vision transformer: 88 million weights, too many for a unit test."""

from collections import OrderedDict

import torch
from torchvision import models as torchvision_models

from deep_cnn.models.build import ModelSpec, build_model, load_weights
from deep_cnn.models.zoo.networks import find
from deep_cnn.runtime import download


def test_vits_published_file_has_old_names_and_another_size(tmp_path, monkeypatch):
    """The blocks were called linear_1 and linear_2; at 64 pixels the grid of positions has 2 x 2 places, not 7 x 7."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(3)
    state = torchvision_models.vit_b_32().state_dict()
    old = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value for key, value in state.items()
    }
    download.folder().mkdir(parents=True)
    spec = ModelSpec("vit_b_32", 3, image_size=64)
    model = build_model(spec, 0)
    file = download.folder() / find("vit_b_32").published("vit_b_32").file
    torch.save(_versioned(old), file)
    load_weights(model, spec, "pretrained")
    own = model.state_dict()
    assert own["encoder.pos_embedding"].shape == (1, 5, 768)
    assert torch.equal(own["encoder.pos_embedding"][:, 0], state["encoder.pos_embedding"][:, 0])
    key = "encoder.layers.encoder_layer_11.mlp.3.weight"
    assert torch.equal(own[key], state[key])


def _versioned(tensors):
    """A state dict as torch saved it before the layers were renamed: every module at version 1."""
    state = OrderedDict(tensors)
    names = {key.rpartition(".")[0] for key in tensors}
    state._metadata = OrderedDict(
        (name.replace(".linear_1", "").replace(".linear_2", ""), {"version": 1}) for name in names
    )
    return state
