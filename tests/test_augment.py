"""`siamese.augment`: what each layer may change, and what it must leave."""

import colorsys
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from siamese.augment import (
    AugMix,
    AutoAugment,
    ColourJitter,
    CutMix,
    GrayscalePatch,
    PadAndCrop,
    RandAugment,
    RandomErasing,
    RandomPerspective,
    build_augmentation,
    restart_random_numbers,
)
from siamese.augment.operations import OPERATIONS, measure, number, operate
from siamese.augment.policies import IMAGENET_POLICY
from siamese.images import read_image

IMAGES = np.random.default_rng(0).uniform(1, 255, (64, 32, 16, 3)).astype("float32")
EVERYTHING = {
    "flip": True,
    "padding": 16,
    "rotation": 15.0,
    "perspective": 0.3,
    "auto_augment": 1.0,
    "rand_augment": 9.0,
    "aug_mix": 1.0,
    "cut_mix": 0.5,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 0.1,
    "grayscale_patch": 0.5,
    "erasing": 0.5,
}
LAYERS = 10  # of EVERYTHING: flip and padding are one, and so are the four colours


@pytest.fixture(scope="module")
def crop(pedestrians: Path) -> np.ndarray:
    """A drawn pedestrian, `(64, 32, 3)`, uint8."""
    return read_image(min(pedestrians.rglob("*.jpg")))


def _call(layer: keras.layers.Layer, images: np.ndarray = IMAGES) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(images, training=True))


def _operate(image: np.ndarray, name: str, amount: float) -> np.ndarray:
    changed = operate(image[None].astype("float32"), number([name]), np.array([amount], "float32"))
    return keras.ops.convert_to_numpy(changed)[0]


# What holds for every layer.


@pytest.mark.parametrize("place", range(LAYERS))
def test_layer_draws_by_its_seed_and_keeps_shape_and_range(place: int) -> None:
    def build(seed: int) -> keras.layers.Layer:
        return build_augmentation(**EVERYTHING, seed=seed)[place]

    first = _call(build(1))
    assert first.shape == IMAGES.shape
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 255.001
    assert (first != IMAGES).any()
    np.testing.assert_array_equal(first, _call(build(1)))
    assert (first != _call(build(2))).any()


@pytest.mark.parametrize("place", range(LAYERS))
def test_images_of_a_batch_are_changed_each_in_its_own_way(place: int) -> None:
    same = np.tile(IMAGES[:2], (64, 1, 1, 1))  # CutMix takes from the one before
    changed = _call(build_augmentation(**EVERYTHING)[place], same)[1::2]
    ways = len(np.unique(changed.reshape(64, -1), axis=0))
    assert ways > 20


@pytest.mark.parametrize("place", range(LAYERS))
def test_saved_layer_does_the_same(place: int) -> None:
    layer = build_augmentation(**EVERYTHING, seed=9)[place]
    config = keras.saving.serialize_keras_object(layer)
    loaded = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(_call(loaded), _call(layer))


def test_evaluation_leaves_images_as_they_are() -> None:
    layers = build_augmentation(**EVERYTHING)
    assert len(layers) == LAYERS
    for layer in layers:
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(layer(IMAGES, training=False)), IMAGES
        )


def test_nothing_is_built_that_is_off() -> None:
    assert build_augmentation(flip=False) == []
    assert [type(layer).__name__ for layer in build_augmentation()] == ["RandomFlip"]
    for name, value in EVERYTHING.items():
        assert len(build_augmentation(**{"flip": False, name: value})) == 1


def test_probability_nought_changes_nothing() -> None:
    for kind in (RandomErasing, GrayscalePatch, CutMix, AutoAugment, AugMix):
        np.testing.assert_array_equal(_call(kind(0.0)), IMAGES)
    np.testing.assert_allclose(_call(ColourJitter()), IMAGES, atol=1e-3)


def test_bytes_are_taken_as_they_are() -> None:
    images = IMAGES.astype(np.uint8)
    for layer in build_augmentation(**EVERYTHING, seed=3)[1:]:
        config = keras.saving.serialize_keras_object(layer)
        again = keras.saving.deserialize_keras_object(config)
        np.testing.assert_allclose(
            _call(layer, images), _call(again, images.astype("float32")), atol=1e-3
        )


def test_random_numbers_restart_with_the_epoch() -> None:
    layers = build_augmentation(**EVERYTHING)

    def draw(epoch: int) -> np.ndarray:
        restart_random_numbers(layers, 3, epoch)
        images = IMAGES
        for layer in layers:
            images = _call(layer, images)
        return images

    first = draw(0)
    assert (draw(1) != first).any()
    np.testing.assert_array_equal(draw(0), first)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles whole steps")
@pytest.mark.parametrize("kind", [PadAndCrop, RandomErasing, GrayscalePatch, CutMix])
def test_compiled_pixels_are_those_of_plain_operations(kind: type) -> None:
    import tensorflow as tf

    argument = 16 if kind is PadAndCrop else 0.5
    plain, layer = kind(argument, seed=4), kind(argument, seed=4)

    @tf.function
    def train(images: object) -> object:
        return layer(images, training=True)

    images = IMAGES.astype(np.uint8)
    for count in (64, 24):  # the last batch of an epoch may be smaller
        np.testing.assert_allclose(train(images[:count]), _call(plain, images[:count]), atol=1e-4)
    graph = train.get_concrete_function(images).graph
    functions = graph.as_graph_def().library.function
    assert sum(function.attr["_XlaMustCompile"].b for function in functions) == 1


# Where pixels go.


def test_crop_is_the_padded_image_moved() -> None:
    pad = 2  # 8 pixels at a height of 128 are 2 at 32
    changed = _call(PadAndCrop(8, seed=1))
    padded = np.pad(IMAGES, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    places = set()
    for before, after in zip(padded, changed, strict=True):
        found = [
            (top, left)
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
            if (before[top : top + 32, left : left + 16] == after).all()
        ]
        assert len(found) == 1
        places.update(found)
    assert len(places) > 12  # each image is moved by itself, to all sides


def test_half_of_the_images_are_mirrored() -> None:
    images = np.repeat(IMAGES[:1], 400, axis=0)
    (layer,) = build_augmentation(flip=True)
    changed = _call(layer, images)
    mirrored = (changed == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((changed == images).all(axis=(1, 2, 3)) | mirrored).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_crop_mirrors_half_of_the_images_in_the_same_pass() -> None:
    images = np.repeat(IMAGES[:1], 400, axis=0)
    (layer,) = build_augmentation(flip=True, padding=4)
    changed = _call(layer, images)
    pad = 1
    padded = np.pad(images[0], [(pad, pad), (pad, pad), (0, 0)])
    places = [padded[top : top + 32, left : left + 16] for top in range(3) for left in range(3)]
    kinds = [
        [(place == image).all() for place in places].count(True)
        - [(place[:, ::-1] == image).all() for place in places].count(True)
        for image in changed
    ]
    assert set(kinds) == {-1, 1}  # each is one of the nine crops, or one of their mirror images
    assert abs(np.mean(kinds)) < 0.2


def test_rotation_stays_within_its_angle(crop: np.ndarray) -> None:
    images = np.repeat(crop[None].astype("float32"), 32, axis=0)
    (layer,) = build_augmentation(flip=False, rotation=10.0)
    changed = _call(layer, images)
    turned = [
        np.asarray(Image.fromarray(crop).rotate(angle, Image.Resampling.BILINEAR), float)
        for angle in np.arange(-20, 21, 0.5)
    ]
    middle = (slice(20, 44), slice(8, 24))  # far from the border, which the two fill otherwise
    angles = [
        np.arange(-20, 21, 0.5)[
            np.argmin([np.abs(each[middle] - image[middle]).mean() for each in turned])
        ]
        for image in changed
    ]
    assert np.abs(angles).max() <= 10.5
    assert np.ptp(angles) > 12


def test_perspective_moves_every_corner_inwards_of_half_of_the_images() -> None:
    images = np.full((400, 32, 16, 3), 200, "float32")
    changed = _call(RandomPerspective(0.5, seed=1), images)
    hit = (changed != images).any(axis=(1, 2, 3))
    assert 0.4 < hit.mean() < 0.6
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert (changed[hit][:, row, column] == 0).all(axis=-1).mean() > 0.6
    np.testing.assert_allclose(changed[:, 16, 8], 200, rtol=1e-5)  # the middle is never outside


# What colour pixels have.


def test_brightness_and_contrast_keep_the_order_of_pixels() -> None:
    changed = _call(ColourJitter(0.2, 0.2, seed=1))
    assert np.abs(changed.mean((1, 2, 3)) - IMAGES.mean((1, 2, 3))).max() < 0.2 * 255 + 1
    for before, after in zip(IMAGES[:8], changed[:8], strict=True):
        order = np.argsort(before.ravel())
        assert (np.diff(after.ravel()[order]) >= -1e-3).all()
    assert np.unique(changed.mean((1, 2, 3)).round()).size > 20


def test_brightness_is_added_and_contrast_scales_about_the_mean() -> None:
    images = np.full((50, 4, 4, 3), 100, "float32")
    images[:, :2] = 140
    brighter = _call(ColourJitter(brightness=0.1), images) - images
    assert np.ptp(brighter, axis=(1, 2, 3)).max() < 1e-3
    assert 15 < np.abs(brighter).max() <= 25.5
    contrasted = _call(ColourJitter(contrast=0.5), images)
    np.testing.assert_allclose(contrasted.mean((1, 2, 3)), 120, rtol=1e-5)
    scale = (contrasted[:, 0, 0, 0] - 120) / 20
    assert 0.5 <= scale.min() < 0.6
    assert 1.4 < scale.max() <= 1.5


def test_saturation_and_hue_leave_grey_alone() -> None:
    images = np.full((20, 4, 4, 3), 90, "float32")
    np.testing.assert_allclose(_call(ColourJitter(saturation=0.9, hue=0.5), images), 90, atol=0.01)


def test_saturation_scales_the_distance_from_grey() -> None:
    images = np.full((50, 2, 2, 3), 0, "float32") + np.array([150, 100, 80], "float32")
    grey = 0.299 * 150 + 0.587 * 100 + 0.114 * 80
    scale = (_call(ColourJitter(saturation=0.5), images) - grey) / (images - grey)
    assert np.ptp(scale, axis=(1, 2, 3)).max() < 1e-3
    assert 0.5 <= scale.min() < 0.6
    assert 1.4 < scale.max() <= 1.5


def test_hue_turns_as_far_as_asked() -> None:
    images = np.full((200, 2, 2, 3), 0, "float32") + np.array([150, 100, 100], "float32")
    changed = _call(ColourJitter(hue=0.1), images)[:, 0, 0] / 255
    hues = np.array([(colorsys.rgb_to_hsv(*pixel)[0] + 0.5) % 1 - 0.5 for pixel in changed])
    assert np.abs(hues).max() < 0.15  # red; angles of YIQ are not quite those of HSV
    assert hues.min() < -0.05
    assert hues.max() > 0.05


# Rectangles.


def _rectangles(changed: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Masks of what changed; each must be one full rectangle."""
    masks = (changed != images).any(axis=-1)
    masks = masks[masks.any(axis=(1, 2))]
    for mask in masks[:200]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    return masks


@pytest.mark.parametrize("kind", [RandomErasing, GrayscalePatch])
def test_one_rectangle_changes_in_the_asked_share_of_images(kind: type) -> None:
    images = np.repeat(IMAGES[:1], 2_000, axis=0)
    masks = _rectangles(_call(kind(0.3, seed=1), images), images)
    assert 0.25 < len(masks) / 2_000 < 0.35
    shares = masks.mean(axis=(1, 2))
    assert shares.max() < 0.5
    assert shares.min() < 0.06
    assert shares.mean() == pytest.approx(0.2, abs=0.04)  # uniform 0.02..0.4, some cut by the edge


def test_erased_pixels_have_the_mean_colour() -> None:
    changed = _call(RandomErasing(1.0, seed=2))
    erased = (changed != IMAGES).all(axis=-1)
    assert erased.any(axis=(1, 2)).all()
    np.testing.assert_allclose(
        changed[erased], np.tile([123.7, 116.3, 103.5], (erased.sum(), 1)), rtol=1e-5
    )


def test_patch_without_colour_keeps_its_light() -> None:
    changed = _call(GrayscalePatch(1.0, seed=2))
    patch = (changed != IMAGES).any(axis=-1)
    assert patch.any(axis=(1, 2)).all()
    grey = IMAGES[patch] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(changed[patch], np.repeat(grey[:, None], 3, 1), rtol=1e-5)


def test_mixed_images_have_a_rectangle_or_the_lower_part_of_the_one_before() -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2_000, 32, 16, 3)).astype("float32")
    changed = _call(CutMix(0.6, seed=1), images)
    other = np.roll(images, 1, axis=0)
    masks = _rectangles(changed, images)
    assert 0.55 < len(masks) / 2_000 < 0.65
    patch = (changed != images).any(axis=-1)
    np.testing.assert_array_equal(changed[patch], other[patch])
    starts = np.array([np.flatnonzero(mask.any(axis=1))[0] for mask in masks])
    lower = np.array([mask[start:].all() for mask, start in zip(masks, starts, strict=True)])
    assert 0.4 < lower.mean() < 0.6
    between = (starts[lower] >= 0.42 * 32) & (starts[lower] <= 0.6 * 32 + 1)
    assert between.mean() > 0.95  # some rectangles are as wide as the image


# Operations of the policies.


@pytest.mark.parametrize(
    ("name", "amount", "tolerance"),
    [
        ("posterize", 4, 0),
        ("posterize", 7, 0),
        ("solarize", 100, 0),
        ("invert", 0, 0),
        ("auto_contrast", 0, 1),  # Pillow cuts off what float64 makes of a whole number
        ("equalize", 0, 0),
        ("brightness", 1.4, 1),
        ("contrast", 0.4, 1),
        ("colour", 1.7, 1.5),
        ("sharpness", 1.9, 1.5),
        ("sharpness", 0.1, 1.5),
        ("identity", 0, 0),
    ],
)
def test_operation_is_that_of_pillow(
    crop: np.ndarray, name: str, amount: float, tolerance: float
) -> None:
    image = Image.fromarray((crop * 0.7 + 20).astype(np.uint8))
    expected = {
        "posterize": lambda: ImageOps.posterize(image, int(amount)),
        "solarize": lambda: ImageOps.solarize(image, int(amount)),
        "invert": lambda: ImageOps.invert(image),
        "auto_contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(amount),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(amount),
        "colour": lambda: ImageEnhance.Color(image).enhance(amount),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(amount),
        "identity": lambda: image,
    }[name]()
    before = np.asarray(image)
    changed = _operate(before, name, amount)
    assert np.abs(changed - np.asarray(expected, float)).max() <= tolerance
    assert name == "identity" or (changed != before).any()


def test_warps_by_hand() -> None:
    image = np.arange(15, dtype="float32").reshape(5, 3, 1).repeat(3, axis=2) + 1
    right = _operate(image, "translate_x", 1 / 3)[..., 0]
    np.testing.assert_allclose(right[:, 1:], image[:, :2, 0], rtol=1e-5)
    np.testing.assert_allclose(right[:, 0], 128)
    down = _operate(image, "translate_y", 2 / 5)[..., 0]
    np.testing.assert_allclose(down[2:], image[:3, :, 0], rtol=1e-5)
    np.testing.assert_allclose(down[:2], 128)
    sheared = _operate(image, "shear_x", 1.0)[..., 0]  # a row below the middle comes from its right
    np.testing.assert_allclose(sheared[2], image[2, :, 0], rtol=1e-5)
    np.testing.assert_allclose(sheared[3], [*image[3, 1:, 0], 128], rtol=1e-5)
    np.testing.assert_allclose(sheared[1], [128, *image[1, :2, 0]], rtol=1e-5)
    sheared = _operate(image, "shear_y", 1.0)[..., 0]
    np.testing.assert_allclose(sheared[:, 2], [*image[1:, 2, 0], 128], rtol=1e-5)
    square = image[:3]
    np.testing.assert_allclose(
        _operate(square, "rotate", 90.0)[..., 0], np.rot90(square[..., 0]), rtol=1e-3
    )


def test_equal_levels_are_left_by_contrast_and_equalize() -> None:
    flat = np.full((8, 8, 3), 77, np.uint8)
    for name in ("auto_contrast", "equalize", "sharpness", "contrast", "colour"):
        np.testing.assert_allclose(_operate(flat, name, 1.5), 77, atol=1e-3)


def test_each_image_gets_its_own_operation(crop: np.ndarray) -> None:
    names = [*OPERATIONS, *reversed(OPERATIONS)]
    amounts = np.linspace(0.2, 0.9, len(names)).astype("float32")
    images = np.repeat(crop[None].astype("float32"), len(names), axis=0)
    together = keras.ops.convert_to_numpy(operate(images, number(names), amounts))
    for image, name, amount in zip(together, names, amounts, strict=True):
        np.testing.assert_allclose(image, _operate(crop, name, amount), atol=1e-3)


def test_levels_have_the_ranges_of_the_paper() -> None:
    def amounts(level: float, sign: float) -> dict[str, float]:
        count = len(OPERATIONS)
        measured = measure(
            np.arange(count, dtype="int32"),
            np.full(count, level, "float32"),
            np.full(count, sign, "float32"),
        )
        return dict(zip(OPERATIONS, keras.ops.convert_to_numpy(measured), strict=True))

    most, least = amounts(1.0, 1.0), amounts(0.0, 1.0)
    assert most["shear_x"] == pytest.approx(0.3)
    assert most["translate_y"] == pytest.approx(150 / 331)
    assert most["rotate"] == 30
    assert most["colour"] == pytest.approx(1.9)
    assert most["posterize"] == 4
    assert most["solarize"] == 0
    assert amounts(1.0, -1.0)["shear_y"] == pytest.approx(-0.3)
    assert amounts(1.0, -1.0)["sharpness"] == pytest.approx(0.1)
    assert least["rotate"] == 0
    assert least["brightness"] == 1
    assert least["posterize"] == 8
    assert least["solarize"] == 255
    assert amounts(8 / 9, 1.0)["posterize"] == 4  # AutoAugment's 8 of 9


# Policies.


def test_policy_is_25_pairs_of_known_operations() -> None:
    assert len(IMAGENET_POLICY) == 25
    steps = [step for pair in IMAGENET_POLICY for step in pair]
    assert {name for name, _, _ in steps} <= set(OPERATIONS)
    assert all(0 <= share <= 1 and 0 <= level <= 9 for _, share, level in steps)


def test_auto_augment_changes_the_asked_share_of_images(crop: np.ndarray) -> None:
    images = np.repeat(crop[None].astype("float32"), 300, axis=0)
    changed = _call(AutoAugment(0.4, seed=5), images)
    share = (changed != images).any(axis=(1, 2, 3)).mean()
    # Of those taken, a sub-policy leaves 0.21 as they are on average (by its probabilities).
    left = np.mean([(1 - first[1]) * (1 - second[1]) for first, second in IMAGENET_POLICY])
    assert share == pytest.approx(0.4 * (1 - left), abs=0.08)


def test_rand_augment_of_magnitude_nought_is_mild_and_of_ten_is_strong(crop: np.ndarray) -> None:
    images = np.repeat(crop[None].astype("float32"), 100, axis=0)
    distance = [np.abs(_call(RandAugment(m, seed=1), images) - images).mean() for m in (1, 5, 10)]
    assert distance[0] < distance[1] < distance[2]


def test_mixed_image_lies_near_the_image(crop: np.ndarray) -> None:
    images = np.repeat(crop[None].astype("float32"), 100, axis=0)
    changed = _call(AugMix(1.0, seed=1), images)
    distance = np.abs(changed - images).mean(axis=(1, 2, 3))
    assert distance.min() < 3  # the share of the changed versions is uniform from 0
    assert 5 < distance.mean() < 60
    assert (changed != images).any(axis=(1, 2, 3)).mean() > 0.95


PROGRAM = """
import sys
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
def find_others(name, path=None, target=None):
    return None if name.split(".")[0] == "tensorflow" else find_spec(name, path, target)
PathFinder.find_spec = find_others  # as if it were not installed
import numpy as np
from siamese.augment.operations import OPERATIONS, operate
images, amounts, path = np.load(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3]
ids = np.arange(len(OPERATIONS), dtype="int32")
np.save(path, np.array(operate(images, ids, amounts)))
"""


@pytest.mark.slow
def test_jax_without_tensorflow_does_the_same(tmp_path: Path, crop: np.ndarray) -> None:
    pytest.importorskip("jax")
    images = np.repeat(crop[None].astype("float32"), len(OPERATIONS), axis=0)
    amounts = np.linspace(0.3, 1.6, len(OPERATIONS)).astype("float32")
    amounts[OPERATIONS.index("posterize")] = 4
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "amounts.npy", amounts)
    files = [str(tmp_path / name) for name in ("images.npy", "amounts.npy", "out.npy")]
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *files],
        check=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        timeout=120,
    )
    here = operate(images, np.arange(len(OPERATIONS), dtype="int32"), amounts)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), keras.ops.convert_to_numpy(here), atol=0.05
    )


def test_sheet_has_each_image_beside_its_copies(pedestrians: Path, tmp_path: Path) -> None:
    from siamese.cli import main

    paths = [str(path) for path in sorted(pedestrians.rglob("*.jpg"))[:2]]
    sheets = [str(tmp_path / name) for name in ("recipe.png", "each.png")]
    options = ["--recipe", "demo", "--copies", "3"]
    assert main(["augment", *paths, *options, "--output", sheets[0]]) == 0
    assert main(["augment", *paths, *options, "--each", "--output", sheets[1]]) == 0
    recipe, each = (read_image(sheet).shape for sheet in sheets)
    assert recipe[1] == each[1]
    assert each[0] / recipe[0] == pytest.approx(len(EVERYTHING) / 2, rel=0.05)
    assert main(["augment", paths[0], "--copies", "0"]) == 2


def test_layers_work_inside_a_training_step() -> None:
    inputs = keras.Input((32, 16, 3))
    images = inputs
    for layer in build_augmentation(**EVERYTHING):
        images = layer(images)
    features = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(inputs, keras.layers.Dense(1)(features))
    model.compile(loss="mse")
    trained = model.fit(IMAGES.astype(np.uint8), np.ones((64, 1)), batch_size=24, verbose=0)
    assert np.isfinite(trained.history["loss"]).all()
