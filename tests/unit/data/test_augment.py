"""Augmentation: both forms against torchvision on the same parameters, and nothing but a sample's own draws in it."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from deep_cnn.data.augment import kernels
from deep_cnn.data.augment.policies import (
    AUTO_PAIRS,
    NAMES,
    NARROW,
    OPERATIONS,
    RANDOM,
    WIDE,
    Policy,
    changed,
    strength,
)
from deep_cnn.data.augment.steps import GREY, ORDERS, STEPS, augment_names, center_crop, parse_augment
from deep_cnn.runtime.errors import ConfigError
from deep_cnn.runtime.rng import draws

R, S, B = 48, 40, 24
EVERY = [*augment_names(), "rotation,flip,crop", "cifar,cutout", "vflip,colour", "randaugment,flip"]


def pictures(count=B, side=R, seed=0) -> torch.Tensor:
    """Smooth colours and some noise, uint8 (B, 3, R, R) in (R, R, 3) memory."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, [side, side], mode="bicubic")
    noise = torch.randn(smooth.shape, generator=generator) * 6
    return (smooth + noise).clamp(0, 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)


def assert_close(result, expected, mean, most):
    """Grey levels: the mean difference, and the largest one among all but a thousandth of the values."""
    difference = (result.int() - expected.int()).abs().float()
    assert difference.mean() <= mean, difference.mean()
    assert difference.flatten().quantile(0.999) <= most, difference.max()


# ---- a sample's result is its own ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", EVERY)
def test_one_each_and_batch_agree(spec):
    augmentation, images, indices = parse_augment(spec), pictures(), np.arange(100, 100 + B)
    each = augmentation.each(images, S, 7, 3, indices)
    assert each.shape == (B, 3, S, S) and each.dtype == torch.uint8
    assert each.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(
        torch.stack([augmentation.one(i, S, 7, 3, n) for i, n in zip(images, indices, strict=True)]), each
    )
    assert_close(augmentation.batch(images, S, 7, 3, indices), each, mean=0.1, most=2)


@pytest.mark.parametrize("spec", EVERY)
@pytest.mark.parametrize("form", ["each", "batch"])
def test_company_order_and_threads_change_nothing(form, spec):
    augmentation, images, indices = parse_augment(spec), pictures(), np.arange(B)
    change = getattr(augmentation, form)
    together = change(images, S, 1, 2, indices)
    order = np.random.default_rng(0).permutation(B)
    assert torch.equal(change(images[order], S, 1, 2, indices[order]), together[order])
    with ThreadPoolExecutor(3) as pool:
        parts = pool.map(lambda part: change(images[part], S, 1, 2, part), np.split(indices, [5, 6, 17]))
        assert torch.equal(torch.cat(list(parts)), together)


@pytest.mark.parametrize("spec", EVERY)
def test_torch_generator_is_left_alone_and_input_unchanged(spec):
    augmentation, images = parse_augment(spec), pictures()
    copy, state = images.clone(), torch.get_rng_state()
    augmentation.each(images, S, 0, 0, np.arange(B))
    augmentation.batch(images, S, 0, 0, np.arange(B))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(images, copy)


def test_seed_epoch_and_index_matter():
    augmentation, image = parse_augment("basic"), pictures(1)[0]
    results = [augmentation.one(image, S, *key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]]
    assert all(not torch.equal(results[0], other) for other in results[1:])
    assert torch.equal(results[0], augmentation.one(image, S, 0, 0, 0))


def test_each_writes_into_the_given_buffer():
    out = torch.zeros(B, 3, S, S, dtype=torch.uint8)
    augmentation, indices = parse_augment("basic"), np.arange(B)
    assert augmentation.each(pictures(), S, 0, 0, indices, out=out) is out
    assert torch.equal(out, augmentation.each(pictures(), S, 0, 0, indices))


def test_golden_parameters():
    # another number here means that no recorded run can be repeated any more
    crop, _, colour = parse_augment("basic").plan(frames(3), 224, seed=0, epoch=1, indices=np.array([0, 1, 12345]))
    assert crop.tolist() == [[45, 96, 189, 150], [23, 4, 203, 243], [32, 17, 197, 182]]
    np.testing.assert_allclose(colour[0], [0.9042681529442376, 0.8615197978615842, 1.019365746645088, 2], atol=1e-12)
    flip, policy = parse_augment("flip,trivialaugment").plan(frames(8), 224, seed=0, epoch=1, indices=np.arange(8))
    assert flip[:, 0].tolist() == [True, False, False, False, False, False, True, True]
    assert [NAMES[int(code)] for code in policy[:4, 0]] == ["TranslateY", "Sharpness", "ShearY", "Equalize"]


def test_pickles():
    augmentation, images = parse_augment("strong"), pictures()
    again = pickle.loads(pickle.dumps(augmentation))
    assert again == augmentation
    assert torch.equal(again.each(images, S, 0, 0, np.arange(B)), augmentation.each(images, S, 0, 0, np.arange(B)))


# ---- distributions ---------------------------------------------------------------------------------------------------


def frames(count, height=256, width=256) -> np.ndarray:
    """Of so many images, int64 (count, 3)."""
    return np.tile([height, width, height * width], (count, 1))


def parameters(step, n=20_000, height=256, width=256, crop=224):
    return step.parameters(draws(0, "test", 0, np.arange(n), step.draws), frames(n, height, width), crop)


def test_half_of_the_samples_are_flipped():
    flipped = parameters(STEPS["flip"])[:, 0]
    assert abs(flipped.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(flipped))
    images = pictures(400, 8)
    mirrored = parse_augment("flip").each(images, 8, 0, 0, np.arange(400))
    same, turned = (mirrored == images).all((1, 2, 3)), (mirrored == images.flip(-1)).all((1, 2, 3))
    assert (same ^ turned).all() and 160 < turned.sum() < 240


def test_crops_are_distributed_as_torchvisions():
    boxes = parameters(STEPS["zoom"], 4000)
    torch.manual_seed(0)
    transform, image = v2.RandomResizedCrop(224), torch.empty(3, 256, 256, dtype=torch.uint8)
    theirs = [transform.make_params([image]) for _ in range(4000)]
    theirs = np.array([[p["top"], p["left"], p["height"], p["width"]] for p in theirs])
    for ours, reference in zip(boxes.T, theirs.T, strict=True):
        spread = reference.std() * np.sqrt(2 / 4000)
        assert abs(ours.mean() - reference.mean()) < 4 * spread
        np.testing.assert_allclose(np.quantile(ours, [0.1, 0.5, 0.9]), np.quantile(reference, [0.1, 0.5, 0.9]), atol=8)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 256).all() and (boxes[:, 2:] > 0).all()


def test_boxes_that_never_fit():
    step = STEPS["zoom"]  # all of the area at a ratio of 3/4 is higher than the image
    assert step.parameters(np.hstack([np.ones((1, 10)), np.zeros((1, 12))]), frames(1), 224).tolist() == [
        [0, 0, 256, 256]
    ]


def test_basic_keeps_a_third_of_the_image():
    boxes = parameters(STEPS["crop"])
    assert (boxes[:, 2] * boxes[:, 3] / 256**2 > 0.34).all()


def test_rotation_colour_and_erasing_ranges():
    angles, factors = parameters(STEPS["rotation"]), parameters(STEPS["colour"])[:, :3]
    assert -15 <= angles.min() < -14.9 and 14.9 < angles.max() <= 15 and abs(angles.mean()) < 0.3
    assert 0.8 <= factors.min() < 0.801 and 1.199 < factors.max() <= 1.2
    assert abs((parameters(STEPS["erasing"])[:, 2] > 0).mean() - 0.1) < 0.01
    holes = parameters(STEPS["cutout"], height=32, width=32)
    assert holes[:, 2:].max() == 16 and (holes[:, :2] + holes[:, 2:] <= 32).all()
    assert (holes[:, 2] == 16).mean() == pytest.approx(17 / 32, abs=0.02)  # 17 of 32 rows keep the square whole


def test_cifar_reaches_every_shift():
    corners = parameters(STEPS["shift"], height=32, width=32, crop=32)
    assert sorted(np.unique(corners)) == list(range(9))
    image = torch.full((3, 32, 32), 255, dtype=torch.uint8)
    black = [(parse_augment("shift").one(image, 32, 0, 0, i) == 0).any().item() for i in range(200)]
    assert np.mean(black) == pytest.approx(1 - 1 / 81, abs=0.03)


# ---- kernels against torchvision, one image after the other ------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("source, target", [(48, 40), (32, 32), (40, 80), (90, 45)])
def test_resized_crop(source, target, interpolation):
    images, rng = pictures(side=source), np.random.default_rng(0)
    height, width = rng.integers(3, source + 1, (2, B))
    top, left = rng.integers(0, source - height + 1), rng.integers(0, source - width + 1)
    result = kernels.resized_crop(images, *map(torch.from_numpy, (top, left, height, width)), target, interpolation)
    mode = v2.InterpolationMode(interpolation)
    boxes = np.stack([top, left, height, width], 1).tolist()
    expected = torch.stack([F.resized_crop(i, *box, [target] * 2, mode) for i, box in zip(images, boxes, strict=True)])
    assert_close(result, expected, mean=0.01, most=1)  # the same bits here; one level where torch resizes in float


def test_resized_crop_under_autocast():
    images, box = pictures(), torch.full((B,), 30)
    plain = kernels.resized_crop(images, box * 0, box * 0, box, box, S)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(kernels.resized_crop(images, box * 0, box * 0, box, box, S), plain)


FACTORS = np.linspace(0.05, 1.95, B)
COLOURS = {
    "adjust_brightness": FACTORS,
    "adjust_contrast": FACTORS,
    "adjust_saturation": FACTORS,
    "adjust_sharpness": FACTORS,
    "solarize": np.linspace(0, 255, B),
    "posterize": np.arange(B) % 9,
}


CHANGES = ("adjust_brightness", "adjust_contrast", "adjust_saturation")  # of `adjust_colour`, in its order


@pytest.mark.parametrize("name", COLOURS)
def test_colour_kernels(name):
    images, values = pictures(), COLOURS[name]
    expected = [getattr(F, name)(i, v) for i, v in zip(images, values.tolist(), strict=True)]
    given = torch.from_numpy(values)
    if name in CHANGES:
        found = kernels.adjust_colour(images, torch.full((B,), CHANGES.index(name)), given)
    else:
        found = getattr(kernels, name)(images, given)
    assert_close(found, torch.stack(expected), mean=0.02, most=1)


POLICIES = {  # name: (torchvision's class, our table, settings)
    "trivialaugment": (v2.TrivialAugmentWide, WIDE, 31),
    "randaugment": (v2.RandAugment, RANDOM, 31),
    "autoaugment": (v2.AutoAugment, NARROW, 10),
}


@pytest.mark.parametrize("policy, name", [(policy, name) for policy, row in POLICIES.items() for name in row[1]])
def test_operations_against_torchvisions_classes(name, policy):
    torchvisions, ranges, bins = POLICIES[policy]
    reference, images = torchvisions(interpolation="bilinear"), pictures()
    space = {**reference._AUGMENTATION_SPACE, "Identity": (lambda *a: None, False)}
    assert space.keys() == ranges.keys() | {"Identity"}
    settings = np.arange(B) % bins
    ours = strength(name, settings, bins, ranges, frames(B, R, R))
    if name in space and (theirs := space[name][0](bins, R, R)) is not None:
        theirs = theirs[settings].double().numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        ours[1::2] *= -1 if space[name][1] else 1
    expected = [
        reference._apply_image_or_video_transform(i, name, m, v2.InterpolationMode.BILINEAR, {torch.Tensor: None})
        for i, m in zip(images, ours.tolist(), strict=True)
    ]
    one, together = OPERATIONS[name], changed(images, np.full(B, name), ours, "bilinear")
    assert torch.equal(
        torch.stack([one(i, m, "bilinear") for i, m in zip(images, ours.tolist(), strict=True)]), torch.stack(expected)
    )
    assert_close(together, torch.stack(expected), mean=0.1, most=2)


def test_translations_are_whole_pixels():
    # 32 * 15 / 30 in float32 is 15.999999, which torchvision cuts to 15
    pixels = strength("TranslateX", np.arange(31), 31, WIDE, frames(31))
    assert pixels.astype(int).tolist() == [32 * n // 30 for n in range(31)] and pixels[15] == 16


@pytest.mark.parametrize("height, width", [(224, 224), (256, 342), (342, 256)])
@pytest.mark.parametrize("policy", POLICIES)
def test_policies_draw_the_strengths_of_torchvision(policy, height, width):
    """What a policy really does to images of a size: each operation with each of the strengths it can have, and no other."""
    rows = np.concatenate(
        np.split(parameters(Policy(policy), height=height, width=width), Policy(policy).slots, axis=1)
    )
    drawn = {(NAMES[int(code)], round(abs(m), 3)) for code, m in rows}
    torchvisions, _, bins = POLICIES[policy]
    reference = torchvisions()
    settings = {name: range(31) for name in WIDE} if policy == "trivialaugment" else {name: [9] for name in RANDOM}
    if policy == "autoaugment":
        operations = [(name, setting or 0) for pair in reference._policies for name, _, setting in pair]
        settings = {name: [setting for other, setting in operations if other == name] for name, _ in operations}
    expected = {("Identity", 0.0)}  # also AutoAugment's, of an operation that is left out
    for name, numbers in settings.items():
        theirs = reference._AUGMENTATION_SPACE[name][0](bins, height, width)
        expected |= {(name, 0.0 if theirs is None else round(float(theirs[number]), 3)) for number in numbers}
    assert drawn == expected


def test_colour_changes_are_in_every_order_equally_often():
    factors, order = np.split(parameters(STEPS["colour"]), [3], axis=1)
    counts = np.bincount(order[:, 0].astype(int), minlength=len(ORDERS))
    assert len(counts) == 6 and abs(counts / len(order) - 1 / 6).max() < 0.015
    assert abs(np.corrcoef(factors.T, order.T)[3, :3]).max() < 0.03  # and whatever the factors are


@pytest.mark.parametrize("order", range(6))
def test_colour_is_torchvisions_jitter(order):
    images, factors = pictures(6) // 2 + 128, [1.2, 0.8, 1.15]  # bright: many values are cut, so that the order matters
    jitter = v2.ColorJitter(0.2, 0.2, 0.2)
    names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
    given = dict(zip(names, (*factors, None), strict=True)) | {"fn_idx": ORDERS[order]}
    expected = torch.stack([jitter.transform(image, given) for image in images])
    row = [*factors, order]
    assert torch.equal(torch.stack([STEPS["colour"].one(image, row, S, "bilinear") for image in images]), expected)
    rows = torch.from_numpy(STEPS["colour"].for_batch(np.tile(row, (6, 1))))
    assert_close(STEPS["colour"].batch(images, rows, S, "bilinear"), expected, mean=0.02, most=1)
    other = torch.stack([jitter.transform(image, given | {"fn_idx": ORDERS[5 - order]}) for image in images])
    assert not torch.equal(expected, other)


def test_autoaugment_table_is_torchvisions():
    theirs = v2.AutoAugment()._policies
    assert [[(n, s, c) for n, s, c in pair] for pair in AUTO_PAIRS] == [
        [(name, setting or 0, chance) for name, chance, setting in pair] for pair in theirs
    ]


@pytest.mark.parametrize("kind, operations", [("trivialaugment", 14), ("randaugment", 14), ("autoaugment", 11)])
def test_policies_use_all_of_their_operations(kind, operations):
    rows = parameters(Policy(kind))
    codes, counts = np.unique(rows[:, 0::2], return_counts=True)
    assert len(codes) == operations
    if kind != "autoaugment":
        assert counts.min() / counts.max() > 0.8  # uniform
    signed = rows[rows[:, 0] == NAMES.index("Rotate"), 1]
    signed = signed[signed != 0]
    assert abs((signed < 0).mean() - 0.5) < 0.1


def test_nearest_rotation_and_bicubic_request():
    images, indices = pictures(), np.arange(B)
    for interpolation in ("nearest", "bicubic"):
        each = parse_augment("rotation,crop").each(images, S, 0, 0, indices, interpolation)
        batch = parse_augment("rotation,crop").batch(images, S, 0, 0, indices, interpolation)
        assert_close(batch, each, mean=0.1, most=30 if interpolation == "nearest" else 2)


def test_erasing_fills_with_the_mean_colour():
    images = torch.full((B, 3, R, R), 255, dtype=torch.uint8)
    erased = parse_augment("cutout").each(images, R, 0, 0, np.arange(B))
    inside = (erased != 255).any(1)
    assert inside.flatten(1).any(1).all() and (erased.permute(0, 2, 3, 1)[inside] == torch.tensor(GREY)).all()


@pytest.mark.parametrize("spec", ["none", "basic", "cifar_fast"])
def test_the_first_epochs_are_small(spec):
    whole, small, images, indices = parse_augment(spec), parse_augment(spec, 2), pictures(), np.arange(B)
    assert [small.side(224, epoch) for epoch in range(4)] == [168, 168, 224, 224] and small.side(32, 0) == 24
    for epoch in range(3):
        expected = whole.each(images, S, 0, epoch, indices)
        if epoch < 2:
            expected = F.resize(expected, [32, 32], antialias=True)
        each = small.each(images, S, 0, epoch, indices)
        assert torch.equal(each, expected)
        assert_close(small.batch(images, S, 0, epoch, indices), each, mean=0.2, most=2)


# ---- names -----------------------------------------------------------------------------------------------------------


def test_none_is_the_centre_crop():
    none, images = parse_augment("none"), pictures()
    assert not none.changes_pixels and parse_augment("flip").changes_pixels and parse_augment("none", 1).changes_pixels
    for result in (none.each(images, S, 0, 0, np.arange(B)), none.batch(images, S, 0, 0, np.arange(B))):
        assert torch.equal(result, F.center_crop(images, [S, S]))


@pytest.mark.parametrize("side, crop", [(33, 32), (35, 32), (37, 32), (256, 224), (232, 224), (32, 32)])
def test_centre_crop_is_torchvisions(side, crop):
    image = torch.randint(0, 256, (3, side, side + 5), dtype=torch.uint8)
    assert torch.equal(center_crop(image, crop), F.center_crop(image, [crop, crop]))


def test_names_and_lists():
    assert {"none", "basic", "strong", "cifar", "trivialaugment", "randaugment", "autoaugment"} <= set(augment_names())
    assert parse_augment("rotation, Flip,crop").steps == (STEPS["rotation"], STEPS["flip"], STEPS["crop"])
    assert parse_augment("cifar,cutout").steps == (STEPS["shift"], STEPS["flip"], STEPS["cutout"])
    assert parse_augment("randaugment").steps == (STEPS["crop"], STEPS["flip"], Policy("randaugment"))
    assert parse_augment("flip,randaugment").steps == (STEPS["flip"], Policy("randaugment"))
    assert parse_augment("color").steps == parse_augment("colour").steps


@pytest.mark.parametrize(
    "spec, hint",
    [("trivialaugmnt", "Did you mean trivialaugment"), ("flip,rotatoin", "rotation"), (" ,", "no step given")],
)
def test_unknown_names_are_refused(spec, hint):
    with pytest.raises(ConfigError, match=f"--augment.*{hint}"):
        parse_augment(spec)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("tf32", [False, True])
def test_gpu_agrees_with_the_cpu(tf32):
    images, indices, before = pictures(), np.arange(B), torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        for augmentation in map(parse_augment, EVERY):
            result = augmentation.batch(images.cuda(), S, 7, 3, indices).cpu()
            assert_close(result, augmentation.each(images, S, 7, 3, indices), mean=0.1, most=2)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
