"""report: what a flag has no effect on is not taken in silence."""

import pytest

from deep_cnn.cli.commands.report import Options
from deep_cnn.errors import ConfigError


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"all": True, "methods": True}, "--methods=True: has no effect with --all; omit one of the two"),
        ({"all": True, "unit": "USD,m2"}, "--unit=USD,m2: has no effect with --all; omit one of the two"),
        ({"all": True, "data_dir": "x"}, "--data_dir=x: has no effect with --all"),
        ({"all": True, "run_name": "x"}, "--run_name=x: has no effect with --all"),
        ({"methods": True, "unit": "USD"}, "--unit=USD: has no effect with --methods"),
    ],
)
def test_flags_that_would_have_no_effect_are_refused(flags, said):
    with pytest.raises(ConfigError, match=f"^{said}"):
        Options(**flags)


@pytest.mark.parametrize(
    "flags", [{"all": True, "root_dir": "x"}, {"methods": True, "run_name": "x", "data_dir": "y"}, {"unit": "USD"}]
)
def test_flags_that_have_an_effect_are_taken(flags):
    assert Options(**flags)
