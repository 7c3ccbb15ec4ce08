"""Whole runs on votes: what they leave behind, the same bits however they were computed, and everything one does with a run."""

import csv
import json
from pathlib import Path

import cities
import numpy as np
import pytest
import several
import torch
from crashes import torment
from kills import same

from deep_cnn.cli.main import main
from deep_cnn.runtime.format import duration
from deep_cnn.tasks.confidence import wilson
from deep_cnn.tools import preflight
from deep_cnn.training import compute

IMAGES = 72


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("city")
    drawn = cities.write_city(folder, IMAGES, seed=3)
    cities.write_votes(folder, drawn, 7, questions=("safety", "lively"), tie=0.5)
    return folder


@pytest.fixture
def votes(city):
    return {
        "data_dir": city / "images",
        "metadata": city / "votes.csv",
        "batch_size": 32,
        "val_split": 0.2,
        "test_split": 0.3,
    }


def flags_of(city, *more: str) -> list[str]:
    words = [f"--data_dir={city / 'images'}", f"--metadata={city / 'votes.csv'}", "--weights=none", "--image_size=32"]
    return [*words, "--test_split=0.3", *more]


def rows(path) -> list[dict]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read(files) -> dict:
    return json.loads((files.results / "test.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("recipe", ["finetune", "probe"])
def test_so_few_votes_that_images_have_none(train, city, tmp_path, recipe, capsys, pictures):
    """12 votes on 72 images: no vote between two test images, and training images whose features nobody has computed."""
    lines = (city / "votes.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "few.csv").write_text("\n".join(lines[:13]), encoding="utf-8")
    flags = {"recipe": "probe"} if recipe == "probe" else {}
    code, files = train(data_dir=city / "images", metadata=tmp_path / "few.csv", epochs=1, val_split=0.3, **flags)
    said = "".join(capsys.readouterr())
    assert code == 0 and "Could not write the report" not in said, said
    assert (files.results / "report.html").exists() and torch.load(files.best, weights_only=True)["reference"]


def test_what_a_run_leaves_behind(train, run_cli, votes, capsys, pictures):
    code, files = train(**votes, epochs=2)
    out = capsys.readouterr().out
    assert code == 0 and "votes between two test images" in out and "Largest pair accuracy of safety" in out
    assert "Could not write the report" not in out and (files.results / "report.html").exists()
    result = read(files)
    low, high = result["intervals"]["pair_accuracy"]
    assert low <= result["pair_accuracy"] <= high and result["votes"]["train"] > result["votes"]["test"] > 0
    assert (
        set(result["per_target"]) == {"safety", "lively"} == set(result["pair_ceiling"]) == set(result["noise_ceiling"])
    )
    assert 0.5 <= result["pair_ceiling"]["safety"]["pair_accuracy"] <= 1
    assert result["with_training_images"]["votes"] == result["votes"]["test_with_training_images"]
    assert "val_pair_accuracy" in rows(files.results / "metrics.csv")[0]
    # the pair accuracy can be computed again from the predictions and the votes
    table = rows(files.results / "predictions_test.csv")
    said = {row["file"].split("_")[2]: row for row in table}
    right = []
    for vote in rows(votes["metadata"]):
        if vote["choice"] != "equal" and vote["left"] in said and vote["right"] in said:
            left, other = (float(said[vote[side]][f"predicted_{vote['category']}"]) for side in ("left", "right"))
            # half where the scores are equal, as after a short training in bf16
            right.append(0.5 if left == other else float((left > other) == (vote["choice"] == "left")))
    assert np.mean(right) == pytest.approx(result["pair_accuracy"]) and len(right) == result["votes"]["test_decided"]
    # the scores are standardised over the training images, and predict gives the same bits
    capsys.readouterr()
    for flags in ({}, {"workers": 3}):
        (files.results / "all.csv").unlink(missing_ok=True)
        code, _ = run_cli("predict", images=votes["data_dir"], output=files.results / "all.csv", **flags)
        assert code == 0
        predicted = {row["file"]: row for row in rows(files.results / "all.csv")}
        for row in table:
            assert predicted[row["file"]]["predicted_safety"] == row["predicted_safety"]
    in_train = [row["file"] for row in rows(files.results / "splits.csv") if row["split"] == "train"]
    scores = np.array([float(predicted[file]["predicted_lively"]) for file in in_train])
    assert scores.mean() == pytest.approx(0, abs=1e-6) and scores.std() == pytest.approx(1, abs=1e-6)
    # but they have no unit in which the mean of an area could have an interval
    areas = files.results / "areas.csv"
    code, _ = run_cli("predict", images=votes["data_dir"], output=areas, aggregate="grid:1km")
    assert code == 2 and "this network predicts votes on lively, safety" in capsys.readouterr().err
    assert not list(files.results.glob("areas*"))
    # scored again, the same result
    code, _ = run_cli("evaluate")
    assert code == 0 and f"{100 * result['pair_accuracy']:.2f}%" in capsys.readouterr().out
    # the same command ends at once
    code, _ = train(**votes, epochs=2)
    assert code == 0 and "This run is finished" in capsys.readouterr().out


def test_the_rest_of_the_program_takes_votes(train, run_cli, votes, tmp_path, capsys):
    for seed in (0, 1):
        code, _ = train(**votes, run_name=f"seed{seed}", seed=seed)
        assert code == 0
    capsys.readouterr()
    for words in ([], ["--baseline=coin_flip"], ["--metric=safety/pair_accuracy", "--baseline=coin_flip"]):
        code = main(["compare", f"--root_dir={tmp_path}", "--runs=seed*", *words])
        out = capsys.readouterr().out
        assert code == 0 and "pair accuracy" in out
        assert not words or ("difference" in out and "not tested" not in out and "undefined" not in out)
    code, files = run_cli("explain", run_name="seed0", count=2)
    assert code == 0 and list(files.explanations.glob("*"))
    code, _ = run_cli("check", **votes, model="shufflenet_v2_x0_5", weights="none", image_size=32)
    assert code == 0


def test_check_counts_votes(run_cli, votes, monkeypatch, capsys):
    """The time of an epoch is that of its votes and of the images that are scored, the memory that of two images a vote."""
    trainers, steps = [], []
    monkeypatch.setattr(preflight, "time_of_sample", lambda trainer: trainers.append(trainer) or (6.0, 0.5))
    monkeypatch.setattr(compute, "step_bytes", lambda images, *_: steps.append(images) or 1)
    code, _ = run_cli("check", **votes | {"model": "net", "weights": "none", "batch_size": 8})
    dataset = trainers[0].dataset
    trained = np.isin(dataset.index.votes.images, dataset.splits.train).all(1).sum()
    scored = len(dataset.scored("validation"))  # at a third of the 3 seconds that an image takes
    assert code == 0 and f"about {duration(6 * trained + scored)} an epoch" in capsys.readouterr().out
    assert steps == [16]


def test_damaged_votes_are_not_believed_and_are_written_again(train, votes, tmp_path, capsys):
    for name in ("sound", "damaged"):
        assert train(**votes, run_name=name)[0] == 0
    path = tmp_path / "outputs/results/damaged/votes_test.csv"
    sound = path.read_bytes()
    words = ["compare", f"--root_dir={tmp_path}", "--baseline=coin_flip"]
    folder = lambda: (path.unlink(), path.mkdir())  # noqa: E731
    damages = [
        lambda: path.write_bytes(sound.replace(b",-", b",")),
        lambda: path.write_bytes(sound[:-30]),
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"a,b\n"),
        path.unlink,
        folder,
    ]
    capsys.readouterr()
    for damage in damages:
        damage()
        assert main(words) == 0
        said = capsys.readouterr().out
        what = "damaged or edited" if path.exists() else "missing"
        assert f"left out: damaged: --run_name=damaged: votes_test.csv: {what}" in said and "\nsound " in said
        if damage is folder:
            path.rmdir()
        path.write_bytes(sound)
    damages[0]()
    assert train(**votes, run_name="damaged")[0] == 0 and path.read_bytes() == sound
    (path.parent / "digests.json").unlink()  # nothing vouches for what a version before digests wrote
    config = path.parent / "config.json"
    config.write_text(config.read_text().replace("split_seed", "of_before"))
    path.write_bytes(b"a,b\n")
    capsys.readouterr()
    assert main(words) == 0 and "left out: damaged: " in capsys.readouterr().out


def test_cache_on_and_off_and_probe(train, votes):
    results = {}
    for cache in ("off", "auto"):
        code, files = train(**votes, cache=cache, epochs=1, run_name=cache)
        assert code == 0
        results[cache] = torch.load(files.last, weights_only=True)["weights"]
    assert all(torch.equal(results["off"][name], results["auto"][name]) for name in results["off"])
    probes = {}
    for name, flags in {"features": {}, "again": {"cache": "auto"}, "whole": {"augment": "vflip"}}.items():
        code, files = train(**votes, recipe="probe", epochs=2, run_name=name, **flags)
        assert code == 0
        probes[name] = torch.load(files.last, weights_only=True)["weights"]
        said = files.log.read_text(encoding="utf-8")
        assert ("features of each image once" in said) == (name != "whole")
    assert all(torch.equal(probes["features"][name], probes["again"][name]) for name in probes["features"])


def test_two_processes_train_what_one_trains(server, city, tmp_path):
    flags = flags_of(
        city,
        "--model=timm/test_convnext",
        "--batch_size=22",
        "--cache=off",
        "--precision=fp64",
        "--epochs=2",
        "--augment=strong",
    )
    one, _ = several.finish(server, flags, tmp_path / "1", 1)
    two, _ = several.finish(server, flags, tmp_path / "2", 2)
    assert several.apart(several.last(one)["weights"], several.last(two)["weights"]) < 1e-9
    assert read(one)["pair_accuracy"] == pytest.approx(read(two)["pair_accuracy"], abs=1e-9)
    assert read(one)["loss"] == pytest.approx(read(two)["loss"], abs=1e-9)


def test_killed_and_resumed_to_the_last_bit(server, city, tmp_path):
    flags = flags_of(
        city,
        "--model=shufflenet_v2_x0_5",
        "--batch_size=24",
        "--precision=fp32",
        "--save_every=2",
        "--epochs=2",
        "--ema=0.9",
    )
    server.finish([*flags, f"--root_dir={tmp_path / 'whole'}"], tmp_path / "whole")
    hits, finished = torment(server, flags, tmp_path / "killed", 2, 5)
    assert sum(hits.values()) >= 2 and finished
    for root in finished:
        same(tmp_path / "whole", root)


def test_folds_and_search(train, run_cli, votes, capsys):
    flags = {name: value for name, value in votes.items() if name != "test_split"}
    code, files = train(**flags, folds=2, run_name="folds")
    assert code == 0, capsys.readouterr().err
    result = json.loads((files.results / "folds.json").read_text(encoding="utf-8"))
    assert 0 <= result["pair_accuracy"] <= 1 and result["count"] == IMAGES
    capsys.readouterr()
    assert train(**flags, folds=2, run_name="cities", group="city", target="safety")[0] == 0
    grouped = json.loads((files.results.parent / "cities/folds.json").read_text(encoding="utf-8"))
    of_each = [fold["pair_accuracy"] for fold in grouped["per_fold"]]
    assert grouped["pair_accuracy"] == pytest.approx(sum(of_each) / 2) and "pair accuracy" in capsys.readouterr().out
    for found in (result, grouped):  # never narrower than of as many independent votes
        (low, high), decided = (
            found["intervals"]["pair_accuracy"],
            [f["votes"]["test_decided"] for f in found["per_fold"]],
        )
        least = wilson(found["pair_accuracy"], 4 / sum(1 / n for n in decided))
        assert low <= least[0] + 0.02 and high >= least[1] - 0.02 and low <= found["pair_accuracy"] <= high
    assert main(["compare", f"--root_dir={files.outputs.parent}", "--runs=folds,cities"]) == 0
    page = (files.results / "report.html").read_text(encoding="utf-8")
    assert "compared with 50.0%" in page and "there is no interval" not in page
    code, _ = run_cli(
        "search",
        **flags,
        model="shufflenet_v2_x0_5",
        weights="none",
        image_size=32,
        epochs=1,
        trials=2,
        space="lr=1e-4..1e-2:log",
    )
    assert code == 0


def test_folds_without_a_vote_are_named_before_and_after_training(train, votes, tmp_path, capsys, pictures):
    """Votes between cities test no network whose test set is one city; only those within the first of four are kept."""
    city_of = {path.stem.split("_")[2]: path.stem.split("_")[3] for path in Path(votes["data_dir"]).iterdir()}
    four = sorted(set(city_of.values()))[:4]
    with open(votes["metadata"], encoding="utf-8", newline="") as file:
        header, *table = csv.reader(file)
    sides = [(row, city_of[row[0]], city_of[row[1]]) for row in table]
    kept = [row for row, a, b in sides if {a, b} <= set(four) and (a != b or a == four[0])]
    with (tmp_path / "between.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *kept])
    flags = {"data_dir": votes["data_dir"], "metadata": tmp_path / "between.csv", "val_split": 0, "epochs": 1}
    code, files = train(**flags, folds="groups", group="city", run_name="folds")
    warnings = capsys.readouterr().err
    assert code == 0, warnings
    before = warnings.index("3 of 4 folds have no decided vote between two of their images")
    after = warnings.index("No decided vote is between two test images of folds 2")
    assert before < after and f"({four[0]})" not in warnings[after:]
    result = json.loads((files.results / "folds.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert result["pair_accuracy"] is None, "of all folds"
    assert [fold["name"] for fold in result["per_fold"] if fold["pair_accuracy"] is not None] == four[:1]
    page = (files.results / "report.html").read_text(encoding="utf-8")
    assert "No decided vote is between two test images of folds 2" in page and "within the folds" in page
    assert main(["compare", f"--root_dir={files.outputs.parent}", "--runs=folds", "--baseline=folds"]) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"mixup": 0.2}, "--mixup=0.2: not available for --task=pairwise"),
        ({"task": "regression", "target": "choice"}, "a table of votes"),
        ({"loss": "mse"}, "a table of votes (which of two images was preferred), not of scores; add --task=pairwise"),
        ({"loss": "mse", "task": "pairwise"}, "--loss=mse: not available for --task=pairwise"),
        ({"group": "place"}, "needs the columns left_place and right_place"),
    ],
)
def test_mistakes_are_told_in_one_line(train, votes, capsys, flags, said):
    code, _ = train(**(votes | flags))
    assert code == 2 and said in capsys.readouterr().err


def test_groups_are_left_out_whole(train, votes):
    code, files = train(**votes, group="city", target="safety")
    assert code == 0
    result = read(files)
    assert result["number_of_groups"] >= 2 and "pair_accuracy" in next(iter(result["per_group"].values()))
    assert result["interval_methods"]["pair_accuracy"].startswith(("jackknife over groups", "none: fewer than"))
