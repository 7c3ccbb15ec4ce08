"""A search: points by (seed, trial), one study for several processes, dead processes' trials, and no look at the test set."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import optuna
import pytest
from conftest import PLACES, TINY
from optuna.trial import TrialState
from test_report import assert_self_contained, opened

from deep_cnn.cli.commands.search import Options
from deep_cnn.cli.main import main
from deep_cnn.cli.parser import parse_flags
from deep_cnn.config.schema import Config
from deep_cnn.runtime.errors import ConfigError, MachineError, NonFiniteLoss
from deep_cnn.runtime.run_files import RunFiles
from deep_cnn.tools.search.space import grid, grid_point, parse_space, random_point
from deep_cnn.tools.search.study import journal
from deep_cnn.tools.search.trials import check_values, given_flags
from deep_cnn.training import trainer

pytestmark = pytest.mark.usefixtures("undrawn")

SPACE = parse_space(["lr=1e-5..1e-1:log", "epochs=5..8", "model=resnet18,resnet50", "class_weights=True,False"])


# -- the space --------------------------------------------------------------------------------------------------------


def test_space_has_the_flags_own_types():
    floats, ints, names, flags = SPACE.values()
    assert (floats.low, floats.high, floats.log) == (1e-5, 1e-1, True)
    assert (ints.low, ints.high) == (5, 8) and isinstance(ints, optuna.distributions.IntDistribution)
    assert names.choices == ("resnet18", "resnet50") and flags.choices == (True, False)
    assert parse_space(["augment=rotation,flip;none"])["augment"].choices == ("rotation,flip", "none")
    assert parse_space(["subset=none;100"])["subset"].choices == (None, "100")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lrr=1..2", "Did you mean lr?"),
        ("lr", "expected lr=low..high"),
        ("lr=a..b", "two numbers"),
        ("lr=0..1:log", "above 0"),
        ("lr=1e-1..1e-5", "below the upper"),
        ("lr=1..2:lin", "expected nothing or log"),
        ("dropout=0.5,1.5", "outside the range"),
        ("optimizer=adamw,adan", "outside the range"),
        ("batch_size=x", "not a value of --batch_size"),
        ("seed=1,2", "cannot be searched"),
        ("lr=1", "only one value, so nothing to search; list several values, or train with --lr=1"),
    ],
)
def test_mistakes_in_the_space_are_named(word, said):
    with pytest.raises(ConfigError, match=said):
        parse_space([word])


def test_space_takes_several_words():
    given = parse_flags(["--space", "lr=1..2", "model=a,b", "--trials=3", "--space", "l1=0,1"], Options)
    assert given == {"space": ("lr=1..2", "model=a,b", "l1=0,1"), "trials": 3}


def test_grid_covers_each_point_once_in_an_order_of_the_seed():
    space = parse_space(["epochs=5..8", "model=resnet18,resnet50", "dropout=0,0.5"])
    points = [tuple(grid_point(space, 3, trial).values()) for trial in range(16)]
    assert len(set(points)) == 16 and set(points) == {tuple(p.values()) for p in grid(space)}
    assert points != [tuple(grid_point(space, 4, trial).values()) for trial in range(16)]
    with pytest.raises(ConfigError, match="list the values"):
        grid(SPACE)


def test_random_points_are_uniform_and_depend_on_seed_and_trial_alone():
    points = [random_point(SPACE, 7, trial) for trial in range(2000)]
    assert points[5] == random_point(SPACE, 7, 5) != random_point(SPACE, 8, 5)
    rates = np.log10([p["lr"] for p in points])
    assert np.histogram(rates, bins=4, range=(-5, -1))[0] == pytest.approx([500] * 4, rel=0.15)
    for name, values in (("epochs", (5, 6, 7, 8)), ("model", ("resnet18", "resnet50"))):
        counts = [sum(p[name] == value for p in points) for value in values]
        assert counts == pytest.approx([2000 / len(values)] * len(values), rel=0.15)
    pairs = np.corrcoef(rates, [p["epochs"] for p in points])[0, 1]
    assert abs(pairs) < 0.07


def test_fixed_flags_are_those_that_were_given():
    options = Options(epochs=3, recipe="scratch", lr=0.2, space=("dropout=0,0.5",))
    assert given_flags(options)["epochs"] == 3 and given_flags(options)["lr"] == 0.2
    assert "optimizer" not in given_flags(Options())


def test_a_torn_last_line_of_the_journal_is_cut_off(tmp_path, caplog):
    path = tmp_path / "journal.log"
    study = optuna.create_study(storage=journal(path), study_name="s")
    study.tell(study.ask(), 1.0)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    again = optuna.load_study(storage=journal(path), study_name="s")
    assert path.read_bytes() == whole and again.trials[0].value == 1.0
    again.tell(again.ask(), 2.0)
    assert len(optuna.load_study(storage=journal(path), study_name="s").trials) == 2


# -- trials, with a training that costs nothing ------------------------------------------------------------------------


@pytest.fixture
def pretended(monkeypatch):
    """Training is a formula: three epochs, and the best where lr is 1e-3. Returns the configs that were trained."""
    trained: list[Config] = []

    def train(config, hooks, place):
        trained.append(config)
        for epoch in range(3):
            hooks.after_epoch(
                {"epoch": epoch, "val_top1": 0.9 - 0.1 * abs(np.log10(config.lr) + 3) - 0.01 * (2 - epoch)}
            )

    monkeypatch.setattr(trainer, "train", train)
    return trained


FLAGS = TINY | {"data_dir": PLACES, "space": "lr=1e-5..1e-1:log", "pruner": "none"}


def study_of(files, name="default"):
    return optuna.load_study(storage=journal(files.outputs / "search" / name / "journal.log"), study_name=name)


def test_search_finds_the_best_and_says_its_command(run_cli, pretended, capsys):
    code, files = run_cli("search", **FLAGS, trials=16)
    folder = files.outputs / "search" / "default"
    assert code == 0 and len(pretended) == 16
    best = json.loads((folder / "best.json").read_text())
    assert abs(np.log10(best["params"]["lr"]) + 3) < 0.5 and best["command"] in capsys.readouterr().out
    assert f"--lr={best['params']['lr']}" in best["command"] and "--run_name=default_best" in best["command"]
    for name in ("history.png", "parallel.png", "report.html", "trials.csv"):
        assert (folder / name).stat().st_size > 500
    assert_self_contained((folder / "report.html").read_text(encoding="utf-8"))
    assert not files.results.exists()  # no run of the study's own name
    assert run_cli("search", **FLAGS, trials=17)[0] == 0 and len(pretended) == 17  # --trials is the total
    assert run_cli("search", **FLAGS | {"space": "lr=1e-4..1e-1:log"}, trials=17)[0] == 2  # another study


def test_random_is_the_same_however_the_study_was_cut(run_cli, pretended):
    for name, parts in (("one", [6]), ("two", [2, 5, 6])):
        for trials in parts:
            assert run_cli("search", **FLAGS, sampler="random", run_name=name, trials=trials)[0] == 0
    rates = [config.lr for config in pretended]
    assert rates[:6] == rates[6:] and len(set(rates)) == 6
    assert run_cli("search", **FLAGS | {"seed": 1}, sampler="random", run_name="three", trials=6)[0] == 0
    assert not set(rates) & {config.lr for config in pretended[12:]}


def test_grid_ends_when_it_is_covered(run_cli, pretended):
    flags = FLAGS | {"space": "lr=1e-4,1e-3,1e-2", "sampler": "grid"}
    assert run_cli("search", **flags, trials=100)[0] == 0
    assert sorted(config.lr for config in pretended) == [1e-4, 1e-3, 1e-2]


def test_a_dead_process_s_trial_goes_on_under_its_own_number(run_cli, pretended, monkeypatch):
    told = trainer.train

    def dies(config, hooks, place):
        hooks.after_epoch({"epoch": 0, "val_top1": 0.5})
        raise ZeroDivisionError  # as good as a kill: the trial is left RUNNING

    monkeypatch.setattr(trainer, "train", dies)
    with pytest.raises(ZeroDivisionError):
        run_cli("search", **FLAGS, trials=4)
    monkeypatch.setattr(trainer, "train", told)
    code, files = run_cli("search", **FLAGS, trials=4)
    trials = study_of(files).trials
    assert code == 0 and [t.state for t in trials] == [TrialState.COMPLETE] * 4
    assert trials[0].intermediate_values[0] != 0.5  # of two scores of an epoch the one that is saved
    assert trials[0].params["lr"] == pretended[0].lr and trials[0].value == max(trials[0].intermediate_values.values())


def test_a_loss_that_is_not_finite_ends_its_trial_alone(run_cli, pretended, monkeypatch):
    told = trainer.train

    def sometimes(config, hooks, place):
        if config.lr > 1e-2:
            raise NonFiniteLoss("the loss is nan at step 3")
        told(config, hooks, place)

    monkeypatch.setattr(trainer, "train", sometimes)
    code, files = run_cli("search", **FLAGS, trials=12)
    trials = study_of(files).trials
    assert code == 0 and len(trials) == 12
    lost = [t for t in trials if t.state == TrialState.PRUNED]
    assert lost and all(t.params["lr"] > 1e-2 and "nan" in t.user_attrs["reason"] for t in lost)


def test_pruner_ends_bad_trials(run_cli, pretended):
    code, files = run_cli("search", **FLAGS | {"pruner": "median"}, trials=25)
    states = [t.state for t in study_of(files).trials]
    assert code == 0 and TrialState.PRUNED in states and states.count(TrialState.COMPLETE) >= 5


def test_budget_ends_the_search_and_max_time_stops_it(run_cli, pretended):
    # this process is older than a second: no trial is begun
    assert run_cli("search", **FLAGS, budget="1s")[0] == 0 and not pretended
    assert run_cli("search", **FLAGS, max_time="1s")[0] == 75 and not pretended
    assert run_cli("search", **FLAGS, budget="5h", trials=2)[0] == 0 and len(pretended) == 2
    assert 0 < float(pretended[0].max_time[:-1]) <= 5 * 3600


def test_study_in_a_database(run_cli, pretended, tmp_path):
    url = f"sqlite:///{(tmp_path / 'study.db').as_posix()}"
    code, files = run_cli("search", **FLAGS, storage=url, trials=3)
    assert code == 0 and len(optuna.load_study(storage=url, study_name="default").trials) == 3
    assert not (files.outputs / "search/default/journal.log").exists()


def test_no_validation_set_and_a_wrong_metric(run_cli):
    assert run_cli("search", **FLAGS | {"metric": "top2"})[0] == 2
    assert run_cli("search", **FLAGS | {"lr": 0.01})[0] == 2  # fixed and searched
    assert run_cli("search", **{k: v for k, v in FLAGS.items() if k != "space"})[0] == 2


@pytest.mark.parametrize(
    ("space", "said"),
    [("freeze=none,0", "--space freeze=0: --freeze=0: expected none, backbone"), ("freeze=99,98", "--freeze=9")],
)
def test_a_mistake_in_the_space_leaves_no_study_behind(run_cli, capsys, space, said):
    code, files = run_cli("search", **FLAGS | {"space": space}, trials=2)
    assert code == 2 and said in capsys.readouterr().err
    assert not (files.outputs / "search").exists() or not list((files.outputs / "search").iterdir())
    code, _ = run_cli("search", **FLAGS | {"metric": "top1", "space": "freeze=98,none"}, trials=0)
    assert code == 2 and not list(files.outputs.rglob("journal.log"))


def test_values_that_need_each_other_can_be_searched():
    check_values(parse_space(["freeze=backbone,1", "unfreeze_epoch=1,2"]), {"epochs": 3})
    check_values(parse_space(["freeze=none,backbone", "unfreeze_epoch=none,1"]), {"epochs": 3})
    with pytest.raises(ConfigError, match="--space freeze=none: --unfreeze_epoch=1: nothing is frozen"):
        check_values(parse_space(["freeze=none,backbone", "unfreeze_epoch=1"]), {"epochs": 3})


def test_a_mistake_keeps_what_other_processes_have_trained(run_cli, pretended, monkeypatch):
    _, files = run_cli("search", **FLAGS, trials=2)
    monkeypatch.setattr(trainer, "train", lambda *_, **__: (_ for _ in ()).throw(MachineError("the disk is full")))
    assert run_cli("search", **FLAGS, trials=3)[0] == 2
    assert len(study_of(files).trials) == 3 and len(study_of(files).get_trials(states=[TrialState.COMPLETE])) == 2


def changed(folder, which: dict, values: dict):
    """Other values in the first line of Optuna's journal that has those of `which`."""
    path = folder / "journal.log"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    next(line for line in lines if line | which == line).update(values)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


EDITS = {  # of Optuna's journal: (op code, what becomes of its first line; what is said)
    "value": (6, {"values": [0.99]}, "trial 0: its top1 is 0.99, but the best of its epochs "),
    "value of a wrong kind": (6, {"values": "x"}, "trial 0: its top1"),
    "no value": (6, {"values": None}, "trial 0: its top1"),
    "parameter": (5, {"param_value_internal": 99.0}, "trial 0: lr=99.0 is not in --space"),
    "parameter of another name": (5, {"param_name": "momentum"}, "trial 0: momentum="),
    "epoch": (7, {"intermediate_value": 0.99}, "trial 0: its top1 is "),
    "direction": (0, {"directions": [1]}, "its direction is not that of top1"),
    "about": (2, {"user_attr": {"about": "x"}}, "it cannot be read as a study"),
    "code": (4, {"op_code": 99}, "it cannot be read as a study"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_journal_is_refused_and_the_best_run_stays(run_cli, pretended, capsys, edit):
    _, files = run_cli("search", **FLAGS, trials=2)
    folder = files.outputs / "search" / "default"
    best = (folder / "best.json").read_bytes()
    op_code, values, said = EDITS[edit]
    changed(folder, {"op_code": op_code}, values)
    capsys.readouterr()
    assert run_cli("search", **FLAGS, trials=2, final=True)[0] == 2 and len(pretended) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"deep_cnn: {folder / 'journal.log'}: is damaged or was edited ({said}"), err
    assert "; choose another --run_name, or remove the folder " in err and err.count("\n") == 1
    assert (folder / "best.json").read_bytes() == best


@pytest.mark.parametrize("damage", [b"[]\n", b"{\n", b"{}\n", b"\xff\xfe\n", b"7\n"])
def test_a_damaged_journal_is_named_with_what_to_do(run_cli, pretended, capsys, damage):
    _, files = run_cli("search", **FLAGS, trials=1)
    path = files.outputs / "search/default/journal.log"
    path.write_bytes(damage + path.read_bytes())
    capsys.readouterr()
    assert run_cli("search", **FLAGS, trials=1)[0] == 2
    err = capsys.readouterr().err
    assert f"{path}: is damaged or was edited (it cannot be read as a study); choose another --run_name" in err
    assert "--storage" not in err and err.count("\n") == 1


def test_a_browser_shows_the_page_of_a_study(run_cli, pretended):
    code, files = run_cli("search", **FLAGS, trials=6)
    said, console = opened(files.outputs / "search" / "default" / "report.html", 390)
    assert code == 0 and console == "" and said["empty"] == [] and said["charts"] == 3 and said["wide"] <= said["width"]


# -- real trainings ---------------------------------------------------------------------------------------------------


def test_trials_never_read_the_test_set_and_the_final_run_does_once(run_cli):
    code, files = run_cli("search", **FLAGS | {"epochs": 2}, trials=2, final=True)
    folder = files.outputs / "search" / "default"
    assert code == 0 and not list(folder.rglob("test.json")) and not list(folder.rglob("predictions_test.csv"))
    assert not list((folder / "models").rglob("*.pt"))  # weights of finished trials are deleted
    assert (files.outputs / "results/default_best/test.json").exists()
    value = json.loads((folder / "best.json").read_text())["value"]
    import pandas as pd

    rows = pd.read_csv(files.outputs / "results/default_best/metrics.csv")
    assert rows["val_top1"].max() == value  # the same flags are the same run, bit for bit


def test_what_trials_left_behind_must_agree_with_the_journal(tmp_path, capsys):
    flags = TINY | {"data_dir": PLACES, "root_dir": tmp_path, "epochs": 2, "batch_size": "auto"}
    words = ["search", *(f"--{name}={value}" for name, value in flags.items()), "--trials=3", "--space"]
    words += ["optimizer=sgd,adamw", "clip=0,1", "grad_accumulation=auto,2", "backbone_lr=none,0.001"]
    assert main(words) == 0 and main(words) == 0, "what nobody has edited is believed"
    files = RunFiles(tmp_path / "outputs", "default")
    folder = files.outputs / "search" / "default"
    sound = (folder / "journal.log").read_bytes()
    clip = study_of(files).trials[0].params["clip"]
    other = {"param_name": "clip"}, {"param_value_internal": 1 - [0.0, 1.0].index(clip)}
    epoch = {"op_code": 7, "trial_id": 0, "step": 1}, {"intermediate_value": 0.99}
    value = {"op_code": 6, "trial_id": 0}, {"values": [0.99]}
    for edits, said in (
        ([other], f"trial 0: clip={1 - clip}, but its run was trained with {clip}"),
        ([epoch, value], "trial 0: its top1 in epoch 1 is 0.99, in its metrics.csv 0."),
    ):
        for edit in edits:
            changed(folder, *edit)
        capsys.readouterr()
        assert main(words) == 2
        assert said in capsys.readouterr().err
        (folder / "journal.log").write_bytes(sound)
    assert main(words) == 0


@pytest.mark.slow
def test_two_processes_one_killed_end_with_exactly_the_trials_asked_for(tmp_path):
    flags = FLAGS | {"root_dir": tmp_path, "epochs": 3, "save_every": 1, "trials": 6}
    command = [sys.executable, "-m", "deep_cnn", "search", *(f"--{name}={value}" for name, value in flags.items())]
    environment = os.environ | {"NCPUS": "1"}

    def start():
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    first, second = start(), start()
    folder = tmp_path / "outputs/search/default"
    end = time.monotonic() + 240
    while not (list(folder.glob("models/trial_*/last.pt")) and len(list(folder.glob("models/.trial_*.lock"))) > 1):
        assert time.monotonic() < end
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        first.send_signal(signal.SIGKILL)
    first.wait()
    third = start()
    said = [process.communicate(timeout=400)[0] for process in (second, third)]
    assert second.returncode == third.returncode == 0, said
    trials = optuna.load_study(storage=journal(folder / "journal.log"), study_name="default").trials
    assert len(trials) == 6 and all(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials)
    assert " continues: " in "".join(said)
