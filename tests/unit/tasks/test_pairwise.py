"""Votes: losses and gradients, fits, intervals and ceilings against independent calculations."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import expit

from benchmarks.pairs import drawn_votes, simulate_accuracy, simulate_ceiling, simulate_reliability
from deep_cnn.config.schema import Config
from deep_cnn.data.bradley_terry import SPREADS, agreement, best_accuracy, fit_scores, spread_of_votes
from deep_cnn.data.votes import Votes, split_votes
from deep_cnn.tasks import pair_losses
from deep_cnn.tasks.dyadic import dyadic_variance, share_of_votes, without_groups
from deep_cnn.tasks.make import new_task, task_from_dict
from deep_cnn.tasks.pairwise import Pairwise
from deep_cnn.tasks.vote_ceiling import pair_ceiling, split_half

OUTCOMES = torch.tensor([1.0, 0.5, 0.0, 1.0, 0.0])
LEADS = torch.tensor([0.3, -1.2, 2.0, -40.0, 0.0], dtype=torch.float64)


def probabilities(d: float, nu: float) -> dict[float, float]:
    """Davidson's, as in his paper: with worths pi = exp(s)."""
    left, right = np.exp(d), 1.0
    total = left + right + nu * np.sqrt(left * right)
    return {1.0: left / total, 0.5: nu * np.sqrt(left * right) / total, 0.0: right / total}


@pytest.mark.parametrize("nu", [0.05, 1.0, 3.0])
def test_davidson_and_its_gradients_are_those_of_the_paper(nu):
    d, log_nu = (
        LEADS[:3].clone().requires_grad_(),
        torch.full((3,), np.log(nu), dtype=torch.float64, requires_grad=True),
    )
    outcome = OUTCOMES[:3].double()
    losses = pair_losses.davidson(d, outcome, log_nu)
    losses.sum().backward()
    h = 1e-6
    for k, (lead, y) in enumerate(zip(LEADS[:3].tolist(), outcome.tolist(), strict=True)):
        p = probabilities(lead, nu)
        assert losses[k].item() == pytest.approx(-np.log(p[y]), abs=1e-12)
        # d(-log p_y)/dd = -(share of left in y) + P(left) + P(tie) / 2; of log nu: P(tie) - [y is a tie]
        assert d.grad[k].item() == pytest.approx(-y + p[1.0] + p[0.5] / 2, abs=1e-9)
        assert log_nu.grad[k].item() == pytest.approx(p[0.5] - (y == 0.5), abs=1e-9)
        numeric = (np.log(probabilities(lead - h, nu)[y]) - np.log(probabilities(lead + h, nu)[y])) / (2 * h)
        assert d.grad[k].item() == pytest.approx(numeric, abs=1e-6)


def test_bradley_terry_is_davidson_without_ties_and_stays_finite():
    zero = torch.zeros(5, dtype=torch.float64)
    losses = pair_losses.bradley_terry(LEADS, OUTCOMES.double(), zero)
    for loss, lead, y in zip(losses.tolist(), LEADS.tolist(), OUTCOMES.tolist(), strict=True):
        expected = -y * np.log(expit(lead)) - (1 - y) * np.log(expit(-lead))
        assert loss == pytest.approx(expected, abs=1e-9)
    decided = OUTCOMES != 0.5
    nearly = pair_losses.davidson(LEADS, OUTCOMES.double(), zero - 50)
    assert torch.allclose(nearly[decided], losses[decided])
    assert torch.isfinite(
        pair_losses.davidson(torch.tensor([1e4, -1e4]), torch.tensor([0.0, 1.0]), torch.zeros(2))
    ).all()


def test_the_loss_of_a_batch_takes_the_question_of_each_vote():
    task = Pairwise(("safety", "lively"), "davidson", mean=(0.0, 0.0), std=(1.0, 1.0))
    outputs = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, 1.0], [1, 0.0], [1, 0.5]])
    losses, weights = task.losses_and_weights(outputs, targets)
    for b, (q, y) in enumerate(targets.tolist()):
        left, right = outputs[2 * b], outputs[2 * b + 1]
        p = probabilities((left[int(q)] - right[int(q)]).item(), np.exp(((left + right) / 2)[2 + int(q)].item()))
        assert losses[b].item() == pytest.approx(-np.log(p[y]), abs=1e-9)
    assert weights.tolist() == [1, 1, 1]


def test_tie_parameters_are_biases_alone():
    task = Pairwise(("safety",), "davidson", mean=(0.0,), std=(1.0,), tie_shares=(0.2,))
    head = torch.nn.Linear(5, 2)
    task.prepare_heads([head])
    assert head.bias[1].item() == pytest.approx(np.log(2 * 0.2 / 0.8)) and not head.weight[1].any()
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.1)
    features, targets = torch.randn(8, 5), torch.tensor([[0, 1.0], [0, 0.5], [0, 0.5], [0, 0.0]])
    before = head.bias.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        task.losses_and_weights(head(features), targets)[0].sum().backward()
        optimizer.step()
    assert not head.weight[1].any() and head.weight[0].any()
    assert head.bias[1] > before[1]  # half of these votes are ties
    assert task_from_dict(task.to_dict()) == task


def test_scores_have_the_scale_of_training_images():
    task = Pairwise(("a", "b"), "davidson", mean=(0.0, 0.0), std=(1.0, 1.0))
    outputs = np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32)
    settled = task.settled(outputs)
    decoded = settled.decode(outputs)
    assert decoded.mean(0) == pytest.approx([0, 0], abs=1e-9) and decoded.std(0) == pytest.approx([1, 1])
    assert np.allclose(settled.activation()(torch.from_numpy(outputs)).numpy(), decoded, atol=1e-5)


def test_errors_are_shown_on_one_scale():
    task = Pairwise(("a",), "bradley_terry", mean=(0.0,), std=(1.0,))
    reference = np.array([[0.0], [1.0], [2.0], [3.0], [np.nan]])
    said = 10 + 5 * reference
    said[4], said[0] = 12.0, 30.0  # only the first image is ranked wrongly
    ((title, found),) = task.mistakes(said, reference, most=1)
    assert found[0].row == 0 and "standard deviations" in title
    wrongness = task.wrongness(said, reference)
    assert wrongness.argmax() == 0 and wrongness[4] == -1


def test_flags_that_make_no_sense_for_votes():
    from deep_cnn.runtime.errors import ConfigError
    from deep_cnn.training.setup import check_task

    task = new_task("pairwise", ["score"])
    assert task.loss == "bradley_terry"
    for flags in ({"mixup": 0.2}, {"cutmix": 1.0}, {"oversample": True}, {"class_weights": True}):
        with pytest.raises(ConfigError, match="not available for --task=pairwise"):
            check_task(Config(**flags), task)
    with pytest.raises(ConfigError, match="label_smoothing"):
        new_task("pairwise", ["score"], label_smoothing=0.1)


# -- fits ---------------------------------------------------------------------------------------------------------------


def test_fits_are_those_of_choix():
    choix = pytest.importorskip("choix")
    votes = drawn_votes(np.random.default_rng(0), np.random.default_rng(1).normal(0, 1.5, 30), 200)
    data = [(int(i), int(j)) if y else (int(j), int(i)) for (i, j), y in zip(votes.images, votes.outcome, strict=True)]
    for spread in (0.7, 2.0):
        ours = fit_scores(votes.images, votes.outcome, 30, spread)
        theirs = choix.opt_pairwise(30, data, alpha=1 / (2 * spread**2), tol=1e-10)
        assert ours - ours.mean() == pytest.approx(theirs - theirs.mean(), abs=1e-5)


def test_fits_solve_their_equations_with_ties_and_without_votes():
    votes = drawn_votes(np.random.default_rng(0), np.random.default_rng(1).normal(0, 1.5, 30), 200)
    outcome = np.where(np.arange(200) % 5 == 0, 0.5, votes.outcome)
    scores = fit_scores(votes.images, outcome, 32, 1.3)
    slack = np.zeros(32)
    for (i, j), y in zip(votes.images.tolist(), outcome.tolist(), strict=True):
        slack[i] += y - expit(scores[i] - scores[j])
        slack[j] -= y - expit(scores[i] - scores[j])
    assert slack == pytest.approx(scores / 1.3**2, abs=1e-4)
    assert scores[30] == scores[31] == 0 and scores.mean() == pytest.approx(0, abs=1e-4)


def test_agreement_compares_votes_on_an_image_with_different_opponents():
    votes = drawn_votes(np.random.default_rng(2), np.zeros(6), 25)  # of 15 pairs, so that some come again
    outcome = np.where(np.arange(25) == 3, 0.5, votes.outcome)
    above, below = agreement(votes.images, outcome, 6)
    signs = [[] for _ in range(6)]
    for (i, j), y in zip(votes.images.tolist(), outcome.tolist(), strict=True):
        if y != 0.5:
            signs[i].append((j, 2 * y - 1))
            signs[j].append((i, 1 - 2 * y))
    others = [[a * b for (x, a), (y, b) in itertools.permutations(of, 2) if x != y] for of in signs]
    assert above.tolist() == [sum(of) for of in others]
    assert below.tolist() == [len(of) for of in others]
    assert sum(below) < sum(len(of) * (len(of) - 1) for of in signs)


def test_pairs_with_many_voters_do_not_raise_the_ceiling():
    """1,000 pairs of 1,000 images with 5 voters each: votes on one pair agree more than votes on one image."""
    found, true = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scores, votes = rng.normal(0, 1.0, 1000), drawn_votes(rng, np.zeros(1000), 1000)
        images = np.repeat(votes.images, 5, axis=0)
        p = expit(scores[images[:, 0]] - scores[images[:, 1]])
        outcome = (rng.random(len(images)) < p).astype(np.float64)
        ceiling = pair_ceiling(Votes(images, np.zeros(len(images), np.int64), outcome, ("score",)), 1000)
        found.append(ceiling["pair_accuracy"])
        true.append(np.maximum(p, 1 - p).mean())
    assert np.mean(found) == pytest.approx(
        np.mean(true), abs=0.015
    )  # 0.04 above it if they are compared with each other


def test_the_spread_and_the_best_accuracy_are_those_of_simulated_scores():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.4, 4000)
    votes = drawn_votes(rng, scores, 60_000)
    assert spread_of_votes(votes.images, votes.outcome, 4000) == pytest.approx(1.4, abs=0.06)
    right = (scores[votes.images[:, 0]] > scores[votes.images[:, 1]]) == (votes.outcome == 1)
    assert float(best_accuracy(1.4)) == pytest.approx(right.mean(), abs=0.008)


@pytest.mark.parametrize(("spread", "ties"), [(2.0, 1.0), (2.0, 3.0)])
def test_ties_change_neither_the_spread_nor_the_best_accuracy(spread, ties):
    """Images that are far apart are decided more often: 23% and 45% of the votes are ties."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, spread, 4000)
    votes = drawn_votes(rng, scores, 60_000, ties)
    assert spread_of_votes(votes.images, votes.outcome, 4000) == pytest.approx(spread, abs=0.12)
    decided = votes.outcome != 0.5
    right = (scores[votes.images[:, 0]] > scores[votes.images[:, 1]]) == (votes.outcome == 1)
    found = pair_ceiling(votes, 4000)
    assert found["pair_accuracy"] == pytest.approx(right[decided].mean(), abs=0.01) and "Davidson" in found["note"]


# -- splits, intervals ---------------------------------------------------------------------------------------------------


def test_votes_follow_the_splits_of_their_images():
    pairs = np.array([(0, 1), (0, 2), (2, 3), (2, 4), (4, 5), (4, 1), (5, 6), (6, 0)])
    votes = Votes(pairs, np.zeros(8, int), np.ones(8), ("score",))
    found = split_votes(votes, np.array([0, 0, 1, 1, 2, 2, 3]))  # image 6 is in no split
    assert found.train.tolist() == [0] and found.validation.tolist() == [1, 2]
    assert found.test.tolist() == [4] and found.marked.tolist() == [5] and found.left_out == 3


def test_images_keep_their_votes_when_others_are_left_out():
    votes = Votes(np.array([(0, 1), (1, 2), (2, 0)]), np.array([0, 1, 1]), np.array([1, 0.5, 0]), ("a", "b"))
    left = votes.among(np.array([0, 2]), 3)
    assert left.images.tolist() == [[1, 0]] and left.outcome.tolist() == [0] and left.question.tolist() == [1]
    won = votes.won(3)
    assert won[:, 1].tolist()[1:] == [0.5, 0.25] and won[0].tolist() == [1, 1] and np.isnan(won[2, 0])


def test_dyadic_variance_is_the_sum_over_votes_that_share_an_image():
    rng = np.random.default_rng(0)
    votes = drawn_votes(rng, np.zeros(7), 30)
    values = rng.random(30)
    e, total = values - values.mean(), 0.0
    for a, b in itertools.product(range(30), repeat=2):
        if set(votes.images[a]) & set(votes.images[b]):
            total += e[a] * e[b]
    assert dyadic_variance(values, votes.images) == pytest.approx(max(total, (e**2).sum()) / 900)


def test_leaving_groups_out_leaves_out_all_their_votes():
    rng = np.random.default_rng(0)
    groups, values = rng.integers(0, 5, (40, 2)), rng.random(40)
    without, touched = without_groups(values, groups)
    for g in range(5):
        assert without[g] == pytest.approx(values[~(groups == g).any(axis=1)].mean())
        assert touched[g] == (groups == g).any(axis=1).sum()
    assert share_of_votes(values, groups, groups % 3).interval is None  # three groups
    assert share_of_votes(values, groups, groups).method == "jackknife over groups, Wilson"


@pytest.mark.parametrize(("images", "votes"), [(300, 80), (100, 3000)])
def test_dyadic_intervals_cover_where_binomial_ones_do_not(images, votes):
    found = simulate_accuracy(images, votes, simulations=100)
    assert 0.88 <= found.dyadic <= 0.99
    assert votes < 1000 or found.binomial < 0.75


def test_ceiling_of_pair_accuracy_without_repeated_pairs():
    spread = float(np.interp(0.725, best_accuracy(SPREADS), SPREADS))
    found = simulate_ceiling(spread, simulations=20)
    assert found.mean == pytest.approx(found.truth, abs=0.02) and found.covered >= 0.85


def test_votes_that_no_normal_scores_explain_have_no_ceiling():
    """Of two kinds of images, the better kind always wins: two votes on one image always agree, and q is 1."""
    pairs = np.array([(i, 10 + (i + k) % 10) for i in range(10) for k in range(4)])
    found = pair_ceiling(Votes(pairs, np.zeros(40, np.int64), np.ones(40), ("safety",)), 20)
    assert found["pair_accuracy"] is None and found["interval"] is None and "(1.00)" in found["note"]


def test_reliability_of_scores_made_of_votes():
    for spread, each in ((1.0, 4.0), (1.5, 30.0)):
        found = simulate_reliability(spread, each, simulations=5)
        assert found.mean == pytest.approx(found.truth, abs=0.05), (spread, each)


def test_votes_per_image_are_those_of_the_images_whose_reliability_it_is():
    rng = np.random.default_rng(0)
    among = np.stack(
        [rng.permutation(6)[:2] for _ in range(40)]
    )  # 40 votes between the images 0 .. 5, and 20 with others
    images = np.concatenate([among, np.stack([np.arange(20) % 6, 10 + np.arange(20)], axis=1)])
    votes = Votes(images, np.zeros(60, int), rng.integers(2, size=60) * 1.0, ("safety",))
    found = split_half(votes, np.arange(6), 40, 1.5)
    assert found.count == 6 and found.per_image == pytest.approx((2 * 40 + 20) / 6), "opponents do not count"


@pytest.mark.parametrize("each", [4, 12])
def test_reliability_is_that_of_the_test_images_although_most_opponents_are_training_images(each):
    """15% of the images are tested. Noise of the mean over 12 sets: about 0.02."""
    rng, said, true = np.random.default_rng(2), [], []
    for _ in range(12):
        scores = rng.normal(size=400) * 1.5
        every = drawn_votes(rng, scores, each * 200)
        spread = spread_of_votes(every.images, every.outcome, 400)
        votes = every.take((every.images < 60).any(axis=1))
        found, known = split_half(votes, np.arange(60), 400, spread), np.intersect1d(np.arange(60), votes.images)
        fitted = fit_scores(votes.images, votes.outcome, 400, spread)
        said.append((found.value, found.per_image))
        true.append(np.corrcoef(fitted[known], scores[known])[0, 1] ** 2)
    reliability, votes_each = np.mean(said, axis=0)
    assert reliability == pytest.approx(np.mean(true), abs=0.07) and votes_each == pytest.approx(each, rel=0.1)
