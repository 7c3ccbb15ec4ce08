"""Any network of timm as `timm/NAME`, with the same methods as `Family`; timm itself knows its heads and stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deep_cnn.data.preprocess import INTERPOLATIONS, Preprocessing
from deep_cnn.models import weights
from deep_cnn.models.zoo.family import Published, Stages, group_parameters
from deep_cnn.runtime.errors import CheckpointError, ConfigError, nearest

PREFIX = "timm/"
_FIT = {"center": "crop", "squash": "squash", "border": "pad"}  # timm's crop_mode -> ours


class TimmModels:
    """timm's more than 1,300 networks; its names are too many to list, `knows` answers by the prefix."""

    def names(self) -> list[str]:
        """None: see `knows`."""
        return []

    def knows(self, name: str) -> bool:
        """Whether it begins with "timm/"."""
        return name.startswith(PREFIX)

    def build(self, name: str, outputs: int, dropout: float, size: int) -> nn.Module:
        """The network with heads of `outputs` numbers, its weights random from torch's global generator."""
        import timm

        options = ({"drop_rate": dropout} if dropout else {}) | self._size_options(name, size)
        return timm.create_model(_known(name), num_classes=outputs, **options)

    def heads(self, name: str, model: Any) -> list[str]:  # any of timm's: they share methods, not a class
        """One name, or two where a network was distilled (DeiT's head and head_dist)."""
        classifier = model.get_classifier()
        found = classifier if isinstance(classifier, (tuple, list, nn.ModuleList)) else [classifier]
        return [module for module, value in model.named_modules() if any(value is head for head in found)]

    def stages_of(self, name: str, model: Any) -> Stages:
        """The groups of timm's own `group_matcher`, from the input on; one stage where a network has none."""
        from timm.models import group_parameters as timm_groups

        if not hasattr(model, "group_matcher"):
            return group_parameters(model, self.heads(name, model), lambda parameter: "backbone")
        group_of = timm_groups(model, model.group_matcher(coarse=True), reverse=True)  # parameter name -> 0, 1, 2...
        stages = group_parameters(model, self.heads(name, model), lambda parameter: f"stage{group_of[parameter]}")
        return sorted(stages, key=lambda stage: int(stage[0].removeprefix("stage")))

    def published(self, name: str) -> Published:
        """The weights that timm itself would load, and the preprocessing of their evaluation."""
        from timm.data import resolve_data_config

        entry = _entry(name)
        own = resolve_data_config(pretrained_cfg=entry.to_dict())
        crop = own["input_size"][-1]
        preprocessing = Preprocessing(
            resize=max(crop, int(crop / own["crop_pct"])),  # rounded down, as timm does
            crop=crop,
            mean=tuple(own["mean"]),
            std=tuple(own["std"]),
            interpolation=own["interpolation"] if own["interpolation"] in INTERPOLATIONS else "bicubic",
            fit=_FIT.get(own["crop_mode"], "crop"),
        )
        if entry.hf_hub_id:
            from huggingface_hub import hf_hub_url

            inside = entry.hf_hub_filename or "model.safetensors"
            # the file's name inside a hub repository is the same for all of them: ours says which network it is
            file = f"timm-{entry.architecture}.{entry.tag}{Path(inside).suffix}"
            return Published(preprocessing, file, hf_hub_url(entry.hf_hub_id, inside))
        return (
            Published(preprocessing, entry.url.rsplit("/", 1)[-1], entry.url) if entry.url else Published(preprocessing)
        )

    def named(self, name: str) -> Mapping[str, Published]:
        """None: timm's names of weights are part of a network's name, as in timm/resnet50.a1_in1k."""
        return {}

    def check_size(self, name: str, size: int) -> None:
        """Try it on the meta device, which computes shapes only."""
        import timm

        own = self.published(name).preprocessing.crop
        if size == own:
            return
        with torch.device("meta"):
            try:
                model = timm.create_model(_known(name), num_classes=2, **self._size_options(name, size))
                model.eval()(torch.empty(2, 3, size, size))
            except (RuntimeError, ValueError, AssertionError, TypeError, ZeroDivisionError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise ConfigError(
                    f"--image_size={size}: {name} does not support this size ({reason}); its default is {own}"
                ) from error

    def adapt(self, state: Mapping[str, Tensor], model: nn.Module) -> Mapping[str, Tensor]:
        """As they are: `published_state` has converted them."""
        return state

    def published_state(self, name: str, file: Path, size: int) -> Mapping[str, Tensor]:
        """The file's tensors under the names and in the shapes of today's network: timm converts many old files."""
        import timm

        options = self._size_options(name, size)
        try:
            with torch.random.fork_rng(devices=[]):
                model = timm.create_model(
                    _known(name), pretrained=True, pretrained_cfg_overlay={"file": str(file)}, **options
                )
        except Exception as error:  # whatever a reader of files raises, for a file that is cut short or another kind
            raise CheckpointError(weights.unreadable(file, error)) from error
        return model.state_dict()

    def _size_options(self, name: str, size: int) -> dict[str, Any]:
        """Networks with a fixed size are built for the wanted one; the others take any."""
        entry = _entry(name)
        return {"img_size": size} if entry.fixed_input_size and size != entry.input_size[-1] else {}


def _known(name: str) -> str:
    """timm's own name; ConfigError when timm has no such network."""
    import timm

    short = name.removeprefix(PREFIX)
    if not timm.is_model(short):
        hint = nearest(short, timm.list_models()).replace("mean ", f"mean {PREFIX}")
        raise ConfigError(f"--model={name}: timm {timm.__version__} has no such network.{hint}")
    return short


def _entry(name: str):
    """timm's description of a network's pretrained weights."""
    import timm

    try:
        return timm.get_pretrained_cfg(_known(name))
    except RuntimeError as error:  # "Invalid pretrained tag"
        raise ConfigError(f"--model={name}: {error}") from error
