"""explain: what a flag has no effect on is not taken in silence."""

import pytest

from deep_cnn.cli.commands.explain import Options
from deep_cnn.errors import ConfigError


@pytest.mark.parametrize(("flag", "value"), [("split", "train"), ("count", 3)])
def test_named_images_are_of_no_split(flag, value):
    with pytest.raises(ConfigError, match=f"^--{flag}={value}: --images names the images already; omit one of the two"):
        Options(images=("a.jpg",), **{flag: value})
    assert getattr(Options(**{flag: value}), flag) == value
    assert Options(images=("a.jpg",)).images == ("a.jpg",)
