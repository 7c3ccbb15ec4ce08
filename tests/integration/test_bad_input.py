"""Mistakes end in exit code 2 and one line that says what was given, what was expected and what to do, before any training."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import PERCEPTION, PLACES
from PIL import Image

from deep_cnn.cli.main import main
from deep_cnn.config.schema import Config
from deep_cnn.data.dataset import data_dir
from deep_cnn.runtime.errors import DataError
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.runtime.status import Status, read_status
from deep_cnn.training import trainer


@pytest.fixture
def fails(train, capsys):
    """A function: flags -> the one line of the mistake; nothing was trained."""

    def run(**flags) -> str:
        code, files = train(**flags)
        out, err = capsys.readouterr()
        assert code == 2, out + err
        lines = [line for line in err.splitlines() if line.startswith("deep_cnn: ")]
        assert len(lines) == 1 and "Traceback" not in err and "Epoch 0" not in out
        assert not files.best.exists()
        return lines[0]

    return run


@pytest.fixture
def scores(tmp_path):
    """A function: column values (or rows) -> the flags of a table of scores over the committed places."""

    def make(values, header="image,score"):
        names = sorted(file.relative_to(PLACES).as_posix() for file in PLACES.rglob("*.jpg"))
        lines = [header] + [f"{name},{value}" for name, value in zip(names, values, strict=False)]
        (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {"metadata": tmp_path / "scores.csv", "target": "score"}

    return make


def test_a_missing_data_folder(fails):
    assert "--data_dir=nowhere: no such file or folder" in fails(data_dir="nowhere")


def test_an_empty_data_folder(fails, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(data_dir=tmp_path / "empty")


def test_one_class_only(fails, tmp_path):
    shutil.copytree(PLACES / "train" / "beach", tmp_path / "one" / "beach")
    assert "beach" in fails(data_dir=tmp_path / "one")


def test_a_missing_data_folder_says_where_it_was_looked_for_and_what_to_do(fails, tmp_path, monkeypatch):
    said = fails(data_dir=tmp_path / "photos")
    assert f"looked for {tmp_path / 'photos'}); give the folder of your images" in said
    assert "data_download" not in said, "only who gave no folder is told of Places365"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="or download Places365 with `sh data_download"):
        data_dir(Config(root_dir=str(tmp_path)))


def test_a_file_as_data_folder(fails):
    assert "is a file" in fails(data_dir=next(PLACES.rglob("*.jpg")))


def test_tables(fails, scores):
    assert "Did you mean score" in fails(**scores(range(70)) | {"target": "scor"})
    assert "has no such column" in fails(**scores(range(70)) | {"image_column": "file"})
    line = fails(**scores([*range(30), "high", *range(39)]), task="regression")
    assert "high" in line
    assert "inf" in fails(**scores([*range(30), "inf", *range(39)]), task="regression").lower()
    assert "every value is" in fails(**scores([5] * 70), task="regression") or "same" in fails(
        **scores([5] * 70), task="regression"
    )
    assert fails(**scores(range(70)), where="score>1000")
    assert fails(**scores(range(70)), where="nothing>3")
    assert fails(metadata="nowhere.csv", target="score")


def test_a_table_of_other_images(fails, tmp_path):
    (tmp_path / "other.csv").write_text("image,score\nx.jpg,1\ny.jpg,2\n", encoding="utf-8")
    assert "x.jpg" in fails(metadata=tmp_path / "other.csv", target="score")


def test_an_unknown_study(fails):
    flags = {"data_dir": PERCEPTION / "test_images", "metadata": PERCEPTION / "meta"}
    assert "study" in fails(**flags, study_id="abc").lower()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"model": "resnet19"}, "Did you mean resnet18"),
        ({"optimizer": "timm/NAME"}, "has no such optimizer"),
        ({"pre": "resnt"}, "Did you mean resnet"),
        ({"augment": "basci"}, "Did you mean basic"),
        ({"loss": "mse"}, "--loss=mse: not available for"),
        ({"model": "vit_b_16", "image_size": 33}, "33"),
        ({"freeze": 99}, "--freeze=99"),
        ({"weights": "nowhere.pt"}, "no such file"),
        ({"weights": "pretrained", "model": "resnet18"}, "python -m deep_cnn prefetch --model=resnet18"),
    ],
)
def test_names_and_ranges(fails, monkeypatch, tmp_path, flags, expected):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("deep_cnn.runtime.download.download", offline)
    assert expected in fails(**flags)


def offline(*args, **kwargs):
    raise OSError("no network in this test")


def test_weights_that_are_none(fails, tmp_path):
    (tmp_path / "text.pt").write_text("no weights", encoding="utf-8")
    assert "text.pt" in fails(weights=tmp_path / "text.pt")


def test_a_truncated_checkpoint(train, fails, capsys):
    _, files = train()
    capsys.readouterr()
    data = files.best.read_bytes()
    cut = files.best.with_name("cut.pt")
    cut.write_bytes(data[: len(data) // 2])
    assert "cut.pt" in fails(weights=cut, run_name="other")


def test_evaluating_on_other_classes(train, run_cli, tmp_path, capsys):
    train()
    shutil.copytree(PLACES, tmp_path / "other")
    for split in ("train", "val", "test"):
        os.rename(tmp_path / "other" / split / "beach", tmp_path / "other" / split / "coast")
    assert run_cli("evaluate", data_dir=tmp_path / "other")[0] == 2
    assert "the network predicts alley" in capsys.readouterr().err


def test_an_outputs_folder_that_cannot_be_written(fails, tmp_path):
    (tmp_path / "outputs").write_text("a file where the folder should be", encoding="utf-8")
    assert "cannot be written" in fails()


@pytest.fixture
def with_broken(tmp_path):
    """The committed places with one truncated training image and one that is no image."""
    shutil.copytree(PLACES, tmp_path / "broken")
    files = sorted((tmp_path / "broken" / "train" / "beach").glob("*.jpg"))
    files[0].write_bytes(files[0].read_bytes()[:600])
    files[1].write_text("not an image", encoding="utf-8")
    return tmp_path / "broken", [file.name for file in files[:2]]


def test_a_broken_image_is_named(train, with_broken, capsys):
    folder, names = with_broken
    code, _ = train(data_dir=folder)
    err = capsys.readouterr().err
    assert code == 2 and any(name in err for name in names) and "check" in err and "--on_bad_image=skip" in err


def test_broken_images_are_left_out_and_listed(train, with_broken, capsys):
    folder, names = with_broken
    code, files = train(data_dir=folder, on_bad_image="skip", cache=folder.parent / "cache")
    _, err = capsys.readouterr()
    assert code == 0 and all(name in err for name in names) and "Skipped 2 of 70 images" in err
    splits = (files.results / "splits.csv").read_text(encoding="utf-8")
    assert not any(name in splits for name in [f"beach/{name}" for name in names])
    assert train(data_dir=folder, on_bad_image="skip", cache=folder.parent / "cache")[0] == 0


def test_a_leak_between_splits_is_named(train, tmp_path, capsys):
    shutil.copytree(PLACES, tmp_path / "leak")
    source = next((tmp_path / "leak" / "train" / "beach").glob("*.jpg"))
    shutil.copy(source, tmp_path / "leak" / "test" / "beach" / "again.jpg")
    assert train(data_dir=tmp_path / "leak")[0] == 0
    assert "again.jpg" in "".join(capsys.readouterr())


def test_odd_images_are_read(train, tmp_path):
    shutil.copytree(PLACES, tmp_path / "odd")
    for n, mode in enumerate(("L", "P", "RGBA", "CMYK", "1", "I;16")):
        image = Image.new(mode, (40, 30))
        image.save(tmp_path / "odd" / "train" / "beach" / f"odd{n}.{'jpg' if mode == 'CMYK' else 'PNG'}")
    Image.new("RGB", (1, 1)).save(tmp_path / "odd" / "train" / "beach" / "point.bmp")
    assert train(data_dir=tmp_path / "odd")[0] == 0


def everything(root) -> dict[str, bytes]:
    """What is below outputs/, but for the log, to which each command adds its lines."""
    files = [path for path in (root / "outputs").rglob("*") if path.is_file() and path.parent.name != "logger"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_a_mistake_touches_nothing_of_a_finished_run(train, scores, with_broken, tmp_path, capsys):
    """Neither its files nor its status: not by flags, weights, tables or images that show late that they are wrong."""
    assert train()[0] == 0
    before = everything(tmp_path)
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "foreign.pt")
    mistakes = [
        {"freeze": 99},
        {"weights": tmp_path / "foreign.pt"},
        scores(range(70)) | {"target": "scor"},
        {"data_dir": with_broken[0]},
        {"data_dir": with_broken[0], "resume": "never"},
        {"data_dir": "nowhere"},
        {"resume": "must", "seed": 5},
    ]
    for flags in mistakes:
        assert train(**flags)[0] == 2, flags
        assert everything(tmp_path) == before, flags
    capsys.readouterr()
    assert train()[0] == 0 and "This run is finished" in capsys.readouterr().out
    assert train(seed=5)[0] == 0 and "renamed the existing run to default.1" in capsys.readouterr().out


RESULTS = (
    "config.json",
    "metrics.csv",
    "timing.csv",
    "splits.csv",
    "predictions_test.csv",
    "test.json",
    "digests.json",
)


def test_the_network_of_a_run_that_has_not_finished_is_told_to_be_one(train, run_cli, tmp_path, capsys):
    files = train()[1]
    assert run_cli("evaluate")[0] == 0
    assert "has not finished" not in capsys.readouterr().err
    stopped = Status(files)
    stopped.claim()
    stopped.say("stopped", "by SIGTERM")
    for command in ("evaluate", "predict"):
        assert run_cli(command, **({"images": PLACES / "test"} if command == "predict" else {}))[0] == 0
        told = capsys.readouterr()
        assert "best.pt: this run has not finished: stopped; the same command resumes it" in told.out + told.err


def test_the_status_of_another_run_is_not_believed(train, run_cli, tmp_path, capsys):
    """A run that was stopped is not finished because a status.json says so that was copied from another one."""
    files = [train(run_name=name, seed=seed)[1] for seed, name in enumerate(("finished", "stopped"))]
    stopped = Status(files[1])
    stopped.claim()
    stopped.say("stopped", "by SIGTERM")
    said = [run.status.read_bytes() for run in files]
    for run, other in zip(files, said[::-1], strict=True):
        run.status.write_bytes(other)
    capsys.readouterr()
    assert main(["compare", f"--root_dir={tmp_path}"]) == 2
    err = capsys.readouterr().err
    assert all(f"{run.name}: status.json is missing" in err for run in files)
    assert run_cli("report", run_name="finished")[0] == 0
    assert '<span class="state">stopped' not in (files[0].results / "report.html").read_text(encoding="utf-8")
    for run, own in zip(files, said, strict=True):
        os.rename(run.results, run.results.with_name(f"{run.name}.1"))  # moved aside: its own status is its own
        moved = RunFiles(run.outputs, f"{run.name}.1")
        moved.status.write_bytes(own)
        assert read_status(moved)["state"] in ("finished", "stopped")


@pytest.mark.parametrize("damage", ["removed", "edited"])
def test_results_that_are_damaged_while_a_run_goes_on(train, run_cli, monkeypatch, tmp_path, capsys, damage):
    assert train()[0] == 0 and train(run_name="whole")[0] == 0
    files = RunFiles(tmp_path / "outputs", "default")
    shutil.rmtree(files.results)
    shutil.rmtree(files.models)
    trained = trainer.Trainer.fit

    def and_damaged(self):
        trained(self)
        if damage == "removed":
            shutil.rmtree(files.results)
            files.results.mkdir()
        else:
            (files.results / "metrics.csv").write_text("epoch,val_top1\n0,1.0\n", encoding="utf-8")

    monkeypatch.setattr(trainer.Trainer, "fit", and_damaged)
    capsys.readouterr()
    assert train()[0] == 2
    named = "config.json, splits.csv" if damage == "removed" else "metrics.csv"
    assert f"{named}: changed or deleted while the run was going on; run the same" in capsys.readouterr().err
    monkeypatch.undo()
    assert train()[0] == 0
    results = [(files.results.with_name(name) / "test.json").read_bytes() for name in ("default", "whole")]
    assert results[0] == results[1] and run_cli("report")[0] == 0


def test_a_damaged_file_is_named_left_out_and_repaired(train, run_cli, tmp_path, capsys):
    """Whichever file of results, however it is damaged: nobody believes it, and the run's own command writes it again."""
    assert train()[0] == 0 and train(run_name="other", seed=1)[0] == 0
    files = train()[1]
    whole = everything(tmp_path)
    damages = [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: re.sub(rb"\d", lambda digit: b"%d" % ((int(digit[0]) + 1) % 10), data, count=1),
        lambda data: bytes([data[0] ^ 1]) + data[1:],
    ]
    for place, name in enumerate(RESULTS):  # one kind of damage each; all of them: tests/slow/test_fuzz.py
        path = files.results / name
        sound = path.read_bytes()
        path.write_bytes(damages[place % 4](sound))
        assert main(["compare", f"--root_dir={tmp_path}"]) == 0
        out, err = capsys.readouterr()
        assert "Traceback" not in err and "other " in out, name
        assert f"left out: default: --run_name=default: {name}: damaged or edited" in out, (name, out)
        assert run_cli("report")[0] == 2 and name in capsys.readouterr().err
        path.write_bytes(sound)
    path = files.results / "test.json"
    path.write_bytes(damages[2](path.read_bytes()))
    (files.results / "metrics.csv").unlink()
    assert train()[0] == 0
    said = capsys.readouterr()
    assert "metrics.csv: missing; run the command" in said.err and "Epoch 0" not in said.out
    compared = ("metrics.csv", "test.json", "predictions_test.csv", "splits.csv")
    after = everything(tmp_path)
    assert all(after[key] == whole[key] for key in whole if key.endswith(compared) and "default" in key)
    assert main(["compare", f"--root_dir={tmp_path}"]) == 0 and "left out" not in capsys.readouterr().out
    shutil.copy(files.models / "best.pt", files.models / "last.pt")
    assert run_cli("evaluate", data_dir=PLACES)[0] == 0
    shutil.copy(RunFiles(files.outputs, "other").best, files.best)
    assert (
        run_cli("evaluate", data_dir=PLACES)[0] == 2 and "not the file that this run saved" in capsys.readouterr().err
    )


@pytest.mark.parametrize("damage", [{"identity": "x"}, {"identity": {"flags": {}}}, {"chosen": 3}])
def test_values_of_a_wrong_kind_in_the_record_of_a_run_are_written_again(train, capsys, damage):
    _, files = train()
    path = files.results / "config.json"
    sound = path.read_bytes()
    path.write_text(json.dumps(json.loads(sound) | damage))
    assert train()[0] == 0 and json.loads(path.read_bytes()) == json.loads(sound)
    assert "Epoch 0" not in capsys.readouterr().out.split("Everything is in")[1]


def test_digests_of_another_run_are_told_as_such(train, capsys):
    assert train()[0] == 0 and train(run_name="other", seed=1)[0] == 0
    files = train()[1]
    shutil.copy(RunFiles(files.outputs, "other").results / "digests.json", files.results)
    state = files.status.read_bytes()
    capsys.readouterr()
    assert train()[0] == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "last.pt: not a checkpoint that " in said and "digests.json lists; one of the two was replaced" in said
    assert files.status.read_bytes() == state
    assert train(resume="never")[0] == 0 and train()[0] == 0


@pytest.mark.parametrize("name", ["config.json", "test.json", "digests.json", "best.pt"])
def test_a_folder_in_place_of_a_result_leaves_a_finished_run_finished(train, capsys, name):
    _, files = train()
    state = files.status.read_bytes()
    path = files.models / name if name == "best.pt" else files.results / name
    path.unlink()
    path.mkdir()
    assert train()[0] == 2
    assert f"{name}: is a folder where the run writes a file; rename or remove it" in capsys.readouterr().err
    assert files.status.read_bytes() == state
    path.rmdir()
    assert train()[0] == 0


def test_a_fault_of_the_machine_is_a_mistake_in_the_status(train, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "images")

    monkeypatch.setattr("deep_cnn.training.setup.find_inputs", refused)
    code, files = train()
    assert code == 2 and json.loads(files.status.read_text())["state"] == "mistake"


@pytest.mark.parametrize(
    ("variable", "value", "code", "said"),
    [
        ("MPLBACKEND", "nonsense", 2, "no run"),
        ("SOURCE_DATE_EPOCH", "x", 2, "SOURCE_DATE_EPOCH=x: not a whole number"),
        ("SOURCE_DATE_EPOCH", "", 2, "no run"),
    ],
)
def test_variables_that_libraries_read_on_import(monkeypatch, tmp_path, variable, value, code, said):
    monkeypatch.setenv(variable, value)
    command = [sys.executable, "-m", "deep_cnn", "compare", f"--root_dir={tmp_path}"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == code and said in ended.stderr, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
