"""Arguments of the Python functions are converted and checked as the flags of the command line are, before anything is loaded."""

import re

import numpy as np
import pandas as pd
import pytest

from deep_cnn import load_model, predict, train
from deep_cnn.errors import ConfigError, DeepCNNError

LONG = "a" * 5000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        *(
            ({"top": top}, "expected all, or a number of classes from 1 on")
            for top in (1.0, -1, 2.5, True, 0, np.inf, "x")
        ),
        ({"top": []}, "top=[]: expected all"),
        ({"coverage": "most"}, "coverage=most: expected a number"),
        ({"coverage": "0.3"}, "coverage=0.3: expected a share from 0.5"),
        ({"coverage": True}, "coverage=True: expected a number"),
        ({"coverage": np.nan}, "coverage=nan: expected a finite number"),
        ({"tta": "turn"}, "tta=turn: unknown; choose one of none, flip, shift"),
        ({"tta": None}, "tta=None: expected text"),
        ({"device": None}, "device=None: expected text"),
        ({"checkpoint": []}, "checkpoint: missing"),
        ({"checkpoint": None}, "checkpoint=None: expected text"),
        ({"checkpoint": ""}, "checkpoint=: is empty"),
        ({"checkpoint": ["x.pt", None]}, "checkpoint=None: expected text"),
        ({"checkpoint": b"x.pt"}, "expected text"),
        ({"checkpoint": LONG}, "is too long (5,000 characters"),
        ({"images": None}, "images: missing"),
        ({"images": ""}, "images=: is empty"),
        ({"images": b"x"}, "expected text"),
        ({"images": LONG}, "is too long"),
        ({"images": "~nosuchuser/x"}, "images=~nosuchuser/x: there is no such user"),
        ({"images": ["a.jpg", None]}, "images=None: expected text"),
        (
            {"image_column": "photo", "images": ["a.jpg"]},
            "image_column=photo: the images are a list, not a table; omit it",
        ),
        ({"data_dir": 2}, "data_dir=2: no such folder or archive"),
        ({"data_dir": ""}, "data_dir=: is empty"),
        ({"data_dir": "nowhere"}, "data_dir=nowhere: no such folder or archive"),
        ({"data_dir": "n" * 300}, "cannot be read"),
        ({"data_dir": "~nosuchuser/x"}, "data_dir=~nosuchuser/x: there is no such user"),
        ({"data_dir": True}, "data_dir=True: expected text"),
        ({"data_dir": LONG}, "is too long"),
    ],
)
def test_predict_refuses_what_the_command_refuses(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"^{next(iter(arguments))}(=|: missing)") as refused:
        predict(**{"images": ".", "checkpoint": "x.pt"} | arguments)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "arguments", [{"top": "1"}, {"top": "all"}, {"top": np.int64(2)}, {"coverage": "0.9"}, {"tta": True}]
)
def test_predict_takes_what_the_command_takes(tmp_path, arguments):
    with pytest.raises(DeepCNNError, match=r"x\.pt: no such checkpoint"):  # the arguments are fine
        predict(str(tmp_path), str(tmp_path / "x.pt"), **arguments)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (None, "path=None: expected text"),
        ("", "path=: is empty"),
        (b"x", "path=b'x'"),
        ("~nosuchuser/x", "no such user"),
    ],
)
def test_load_model_takes_a_path(path, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_model(path)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"table": "t.csv"}, "table: expected a DataFrame, not str; give a file as metadata"),
        ({"table": pd.DataFrame(), "metadata": "t.csv"}, "metadata and table: give only one of them"),
        ({"config": "x.yaml"}, "config=x.yaml: is read on the command line only; give its flags as arguments"),
        ({"data_dir": None}, "data_dir=None: expected text"),
    ],
)
def test_train_refuses(tmp_path, flags, said):
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}"):
        train(**{"data_dir": ".", "root_dir": str(tmp_path)} | flags)
    assert not list(tmp_path.iterdir())
