"""The canonical picture: evaluation's pixels and the crops of training are those of torchvision on the photograph itself."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from deep_cnn.data.augment.steps import STEPS, center_crop, parse_augment
from deep_cnn.data.decode import decode, decode_picture
from deep_cnn.data.picture import (
    Picture,
    PictureBatch,
    fitted,
    frames_of,
    from_row,
    most_pixels,
    row_bytes,
    square,
    to_row,
)
from deep_cnn.data.preprocess import Preprocessing
from deep_cnn.models.build import model_names, weights_preprocessing
from deep_cnn.runtime.rng import draws

# height, width: photographs, both parities of what a centre crop leaves, a square, and beyond what is kept of a picture
SIZES = [
    (375, 500),
    (500, 375),
    (333, 500),
    (360, 640),
    (281, 500),
    (300, 300),
    (97, 131),
    (100, 323),
    (331, 90),
    (50, 617),
]


@functools.cache  # an eighth of this file's time
def photograph(height, width, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 7, 9, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, [height, width], mode="bicubic")[0]
    noise = torch.randn(smooth.shape, generator=generator) * 5
    return (smooth + noise).clamp(0, 255).to(torch.uint8)


def published_geometries() -> list[tuple[int, int]]:
    """R and S of every network, and S at other sizes; small ones stand for all where R - S is the same modulo 4."""
    found = {(pre.resize, pre.crop) for pre in (weights_preprocessing(name, "pretrained") for name in model_names())}
    return sorted(found | {(342, 299), (235, 224), (238, 224), (33, 32), (34, 32), (35, 32), (38, 32), (32, 32)})


@pytest.mark.parametrize("resize, crop", published_geometries())
def test_evaluation_is_torchvisions_resize_and_one_centre_crop(resize, crop):
    pre = Preprocessing(resize, crop)
    for height, width in SIZES if resize < 400 else SIZES[:2]:
        image = photograph(height, width)
        expected = F.center_crop(F.resize(image, [resize], antialias=True), [crop, crop])
        picture = fitted(image, pre)
        assert torch.equal(center_crop(square(picture, pre), crop), expected), (height, width)
        assert torch.equal(batch_of([picture], pre).centres(crop)[0], expected), (height, width)


def test_a_file_goes_the_same_way(tmp_path):
    pre, image = Preprocessing(342, 299), photograph(375, 501)
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    expected = F.center_crop(F.resize(image, [342], antialias=True), [299, 299])
    assert torch.equal(center_crop(decode(tmp_path / "a.png", pre), 299), expected)
    assert torch.equal(decode_picture(tmp_path / "a.png", pre).pixels, F.resize(image, [342], antialias=True))


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_rows_of_the_cache(fit):
    pre = Preprocessing(64, 56, fit=fit)
    for size in SIZES:
        picture = fitted(photograph(*size), pre)
        row = to_row(picture)
        again = from_row(row)
        assert torch.equal(again.pixels, picture.pixels) and again.frame == picture.frame
        assert len(row) <= row_bytes(pre) and min(picture.pixels.shape[1:]) == 64
        assert fit == "crop" or picture.frame == (64, 64, 64 * 64)


# ---- random resized crops against torchvision's, on photographs that are no squares ---------------------------------------


def shares_and_ratios(boxes, height, width) -> dict[str, np.ndarray]:
    """Of boxes (N, 4): their share of the picture's area, their ratio, and where their middle is."""
    top, left, h, w = boxes.T
    return {"share": h * w / (height * width), "ratio": w / h, "x": (left + w / 2) / width, "y": (top + h / 2) / height}


@pytest.mark.parametrize("step, scale", [("crop", (0.35, 1.0)), ("zoom", (0.08, 1.0))])
@pytest.mark.parametrize(
    "height, width", [(375, 500), (500, 375), (360, 640), (500, 1000), (300, 300), (200, 640), (900, 200)]
)
def test_crops_show_what_torchvisions_show(height, width, step, scale):
    count, pre = 3000, Preprocessing(256, 224)
    frame = frames_of([fitted(torch.zeros(3, height, width, dtype=torch.uint8), pre)])
    u = draws(0, "test", 0, np.arange(count), STEPS[step].draws)
    boxes = STEPS[step].parameters(u, np.repeat(frame, count, 0), 224)
    whole = F.resize(torch.zeros(3, height, width, dtype=torch.uint8), [256]).shape[-2:]
    boxes[:, :2] += (np.array(whole) - frame[0, :2]) // 2  # in the whole picture
    ours = shares_and_ratios(boxes, *whole)
    torch.manual_seed(0)
    transform, image = v2.RandomResizedCrop(224, scale=scale), torch.empty(3, height, width, dtype=torch.uint8)
    drawn = [transform.make_params([image]) for _ in range(count)]
    theirs = shares_and_ratios(np.array([[p["top"], p["left"], p["height"], p["width"]] for p in drawn]), height, width)
    kept = max(height, width) <= 2 * min(height, width)
    for name in ours if kept else ("share", "ratio"):
        spread = theirs[name].std() * np.sqrt(2 / count) + 0.001  # pixels are coarser here
        assert abs(ours[name].mean() - theirs[name].mean()) < 4 * spread, name
        quantiles = [np.quantile(values[name], [0.1, 0.3, 0.5, 0.7, 0.9]) for values in (ours, theirs)]
        np.testing.assert_allclose(*quantiles, atol=0.035, err_msg=name)
    assert (boxes[:, 2:] > 0).all() and (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= whole).all()
    if not kept:  # of a panorama the middle 2:1, evenly
        long = ours["x"] if width > height else ours["y"]
        reach = min(height, width) / max(height, width)
        assert 0.5 - reach < long.min() <= long.max() < 0.5 + reach


def test_a_crop_is_cut_from_the_whole_picture():
    pre, image = Preprocessing(64, 56), photograph(96, 128)
    whole, augmentation = F.resize(image, [64], antialias=True), parse_augment("crop")
    for index in range(20):
        ((top, left, height, width),) = augmentation.plan(frames_of([whole]), 56, 0, 0, np.array([index]))[0]
        expected = F.resized_crop(whole, top, left, height, width, [56, 56], antialias=True)
        assert torch.equal(augmentation.one(fitted(image, pre), 56, 0, 0, index), expected)


def test_only_chains_that_crop_at_random_see_all():
    seeing = ("crop", "zoom", "basic", "strong", "randaugment", "rotation,flip,crop", "trivialaugment,zoom")
    assert all(parse_augment(spec).sees_all for spec in seeing)
    assert not any(parse_augment(spec).sees_all for spec in ("none", "flip", "cifar", "cifar_fast", "shift,crop"))


# ---- pictures of different sizes as one batch ------------------------------------------------------------------------------


def batch_of(pictures, pre, rest=255) -> PictureBatch:
    """In memory whose free places are not 0, in another order."""
    memory = torch.full((len(pictures), most_pixels(pre), 3), rest, dtype=torch.uint8)
    places = torch.arange(len(pictures)).flip(0)
    for place, picture in zip(places.tolist(), pictures, strict=True):
        pixels = picture.pixels.permute(1, 2, 0).reshape(-1, 3)
        memory[place, : len(pixels)] = pixels
    return PictureBatch(memory, places, frames_of(pictures))


@pytest.mark.parametrize(
    "spec", ["crop", "zoom", "basic", "strong", "rotation,flip,crop", "randaugment,colour,crop,flip"]
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_batch_of_pictures_is_each_of_them(spec, interpolation):
    pre, augmentation, indices = Preprocessing(48, 40), parse_augment(spec), np.arange(20)
    pictures = [fitted(photograph(*SIZES[i % len(SIZES)], seed=i), pre) for i in range(20)]
    each = augmentation.each(pictures, 40, 3, 1, indices, interpolation)
    together = augmentation.batch_of_pictures(batch_of(pictures, pre), 40, 3, 1, indices, interpolation)
    difference = (each.int() - together.int()).abs().float()
    assert difference.mean() <= 0.1 and difference.flatten().quantile(0.999) <= 2
    other = batch_of(pictures[4:9], pre, rest=0)  # neither neighbours nor what lies behind a picture change it
    assert torch.equal(augmentation.batch_of_pictures(other, 40, 3, 1, indices[4:9], interpolation), together[4:9])


def test_squares_of_a_batch():
    pre = Preprocessing(38, 32)
    pictures = [fitted(photograph(*size), pre) for size in SIZES]
    expected = torch.stack([square(picture, pre) for picture in pictures])
    assert torch.equal(batch_of(pictures, pre).squares(pre), expected)


def test_a_square_picture_is_itself():
    image = photograph(64, 64)
    assert torch.equal(square(Picture(image), Preprocessing(64, 56)), image) and Picture(image).frame == (64, 64, 4096)
