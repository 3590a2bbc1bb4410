"""`siamese.data.augment`: what each layer may change, and what it must leave."""

import keras
import numpy as np
import pytest

from siamese.data.augment import (
    BrightnessAndContrast,
    PadAndCrop,
    RandomErasing,
    build_augmentation,
    restart_random_numbers,
)

IMAGES = np.random.default_rng(0).uniform(1, 255, (64, 32, 16, 3)).astype("float32")


def _call(layer: keras.layers.Layer, images: np.ndarray = IMAGES) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(images, training=True))


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


def test_erasing_changes_one_rectangle_of_the_asked_share_of_images() -> None:
    images = np.repeat(IMAGES[:1], 2_000, axis=0)
    changed = _call(RandomErasing(0.3, seed=1), images)
    erased = (changed != images).all(axis=-1)
    hit = erased.any(axis=(1, 2))
    assert 0.25 < hit.mean() < 0.35
    for mask in erased[hit][:200]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        block = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert block.all()
        assert mask.sum() == block.sum()
    shares = erased[hit].mean(axis=(1, 2))
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


def test_brightness_and_contrast_keep_the_order_of_pixels() -> None:
    changed = _call(BrightnessAndContrast(0.2, seed=1))
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert np.abs(changed.mean((1, 2, 3)) - IMAGES.mean((1, 2, 3))).max() < 0.2 * 255 + 1
    for before, after in zip(IMAGES[:8], changed[:8], strict=True):
        order = np.argsort(before.ravel())
        assert (np.diff(after.ravel()[order]) >= -1e-3).all()
    assert np.unique(changed.mean((1, 2, 3)).round()).size > 20


def test_evaluation_leaves_images_as_they_are() -> None:
    for layer in build_augmentation(flip=True, padding=4, erasing=1.0, brightness=0.5):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(layer(IMAGES, training=False)), IMAGES
        )


def test_nothing_is_built_that_is_off() -> None:
    assert build_augmentation(flip=False) == []
    assert len(build_augmentation(flip=True, padding=1, erasing=0.1, brightness=0.1)) == 4


def test_random_numbers_restart_with_the_epoch() -> None:
    layers = build_augmentation(flip=True, padding=4, erasing=0.5, brightness=0.2)

    def draw(epoch: int) -> np.ndarray:
        restart_random_numbers(layers, 3, epoch)
        images = IMAGES
        for layer in layers:
            images = _call(layer, images)
        return images

    first = draw(0)
    assert (draw(1) != first).any()
    np.testing.assert_array_equal(draw(0), first)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_saved_layer_does_the_same(number: int) -> None:
    layer = build_augmentation(flip=True, padding=4, erasing=0.5, brightness=0.2, seed=9)[number]
    config = keras.saving.serialize_keras_object(layer)
    loaded = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(_call(loaded), _call(layer))
