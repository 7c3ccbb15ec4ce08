"""The feed: which sample comes when, padded batches, errors by name, and nothing that depends on threads."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import PLACES

from deep_cnn.data.assemble import Pixels
from deep_cnn.data.augment.steps import parse_augment
from deep_cnn.data.decode import decode, decode_picture
from deep_cnn.data.feed import Feed, FeedSettings, Sampling, batch_bounds, epoch_order, steps_per_epoch
from deep_cnn.data.index import build_index
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.inference.predict.inputs import Images
from deep_cnn.runtime.errors import DataError

PRE = Preprocessing(36, 32)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def index():
    return build_index(PLACES)


@pytest.fixture
def make(index):
    feeds = []

    def build(samples=None, augment="none", workers=2, pixels=None, **options):
        samples = np.arange(len(index)) if samples is None else samples
        pixels = pixels or Pixels(index, PRE, None)
        targets = torch.arange(len(index)) * 10
        feed = Feed(
            pixels, samples, targets, FeedSettings(CPU, workers=workers), Sampling(parse_augment(augment), **options)
        )
        feeds.append(feed)
        return feed

    yield build
    for feed in feeds:
        feed.close()


@pytest.mark.parametrize(
    ("samples", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (8, 4, [4, 4]), (3, 8, [3]), (1, 8, [1]), (5, 1, [1] * 5), (2, 1, [1, 1])],
)
def test_batches_of_an_epoch(samples, batch_size, sizes):
    steps = steps_per_epoch(samples, batch_size)
    bounds = [batch_bounds(step, samples, batch_size) for step in range(steps)]
    assert [stop - start for start, stop in bounds] == sizes
    assert bounds[0][0] == 0 and bounds[-1][1] == samples
    assert all(a[1] == b[0] for a, b in pairwise(bounds))


def test_an_epoch_holds_every_sample_once_in_another_order(make):
    samples = np.arange(5, 45)
    feed = make(samples, seed=3)
    orders = [np.concatenate([b.indices for b in feed.train_batches(epoch, 0, 8)]) for epoch in (0, 1, 0)]
    assert all(np.array_equal(np.sort(order), samples) for order in orders)
    assert np.array_equal(orders[0], orders[2]) and (orders[0] != orders[1]).any()


def test_an_epoch_can_be_entered_at_any_step(make):
    feed = make(augment="basic", seed=1)
    whole = list(feed.train_batches(2, 0, 16))
    rest = list(make(augment="basic", seed=1, workers=1).train_batches(2, 3, 16))
    assert len(rest) == len(whole) - 3
    for a, b in zip(whole[3:], rest, strict=True):
        assert torch.equal(a.images, b.images) and np.array_equal(a.indices, b.indices)
        assert torch.equal(a.targets, torch.from_numpy(a.indices) * 10) and torch.equal(a.targets, b.targets)


def test_images_are_the_normalised_centre(make, index):
    batch = next(iter(make().eval_batches(4)))
    for image, sample in zip(batch.images, batch.indices, strict=True):
        pixels = decode(index.root / index.paths[int(sample)], PRE)[:, 2:34, 2:34].double() / 255
        expected = (pixels - torch.tensor(PRE.mean).view(3, 1, 1)) / torch.tensor(PRE.std).view(3, 1, 1)
        assert torch.allclose(image.double(), expected, atol=1e-5)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_augmentation_is_the_samples_own(make, index):
    """Neither its place in the batch nor the thread nor its neighbours change what a sample becomes."""
    feed, augmentation = make(augment="basic", seed=9), parse_augment("basic")
    for batch in feed.train_batches(1, 0, 13):
        sample = int(batch.indices[-1])
        alone = augmentation.one(decode_picture(index.root / index.paths[sample], PRE), 32, 9, 1, sample)
        expected = (alone.double() / 255 - torch.tensor(PRE.mean).view(3, 1, 1)) / torch.tensor(PRE.std).view(3, 1, 1)
        assert torch.allclose(batch.images[-1].double(), expected, atol=1e-5)


def test_evaluation_pads_its_last_batch_and_counts_it_once(make):
    samples = np.arange(3, 26)
    batches = list(make(samples).eval_batches(8))
    assert [len(b.images) for b in batches] == [8, 8, 8] and [len(b.indices) for b in batches] == [8, 8, 7]
    assert np.array_equal(np.concatenate([b.indices for b in batches]), samples)
    assert torch.equal(batches[-1].images[7], batches[-1].images[6])


def test_oversampling_draws_in_proportion():
    rarity = np.ones(100)
    rarity[:10] = 10.0  # 100 of 190 parts
    order = epoch_order(100, 0, 0, rarity)
    counts = np.bincount(order, minlength=100)
    assert len(order) == 100 and set(counts[:10]) <= {5, 6} and set(counts[10:]) <= {0, 1}  # 5.26 and 0.53
    assert not np.array_equal(order, epoch_order(100, 0, 1, rarity))


def test_an_unreadable_file_is_named_when_its_batch_comes(index, tmp_path):
    (tmp_path / "a").mkdir()
    paths = [index.root / index.paths[i] for i in range(6)]
    for i, path in enumerate(paths):
        (tmp_path / "a" / f"{i}.jpg").write_bytes(path.read_bytes()[: 300 if i == 4 else None])
    names = type(index.paths).from_list([f"a/{i}.jpg" for i in range(6)])
    feed = Feed(Pixels(Images(tmp_path, names), PRE, None), np.arange(6), torch.zeros(6), FeedSettings(CPU, workers=2))
    batches = feed.eval_batches(2)
    assert len(next(batches).indices) == len(next(batches).indices) == 2
    with pytest.raises(DataError, match=r"4\.jpg"):
        next(batches)
    feed.close()


class SlowPixels(Pixels):
    def pictures(self, samples):
        self.running = getattr(self, "running", 0) + 1
        self.most = max(getattr(self, "most", 0), self.running)
        self.threads = getattr(self, "threads", set()) | {torch.get_num_threads()}
        time.sleep(0.002)
        self.running -= 1
        return super().pictures(samples)


def test_reading_threads_take_no_more_than_their_number(make, index):
    """Each computes on one core: two reading threads of two compute threads each would take the step's cores twice."""
    before = torch.get_num_threads()
    pixels = SlowPixels(index, PRE, None)
    list(make(workers=2, augment="basic", pixels=pixels).train_batches(0, 0, 8))
    assert pixels.most <= 2 and pixels.threads == {1} and torch.get_num_threads() == before


def test_reading_stops_when_nobody_wants_more(make, index):
    before = set(threading.enumerate())
    pixels = SlowPixels(index, PRE, None)
    batches = make(pixels=pixels).train_batches(0, 0, 4)
    next(batches)
    batches.close()
    patience = time.monotonic() + 30  # a loaded machine may take its time over the image that is being read
    while getattr(pixels, "running", 0) and time.monotonic() < patience:
        time.sleep(0.01)
    threads = set(threading.enumerate()) - before
    assert getattr(pixels, "running", 0) == 0 and len(threads) <= 4


def test_no_draw_touches_torchs_generator(make):
    state = torch.get_rng_state()
    list(make(augment="strong").train_batches(0, 0, 16))
    assert torch.equal(state, torch.get_rng_state())
