"""`siamese.train.speed`: the one kernel gives what Keras's batch normalisation gives."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from siamese.datasets import list_samples
from siamese.loader.from_files import array_batches, read_images
from siamese.models.embedder import embed
from siamese.recipes import AugmentationSection, OptimizerSection, change_recipe, demo
from siamese.train.averaging import embedder_of
from siamese.train.objective import build_training_model
from siamese.train.speed import MOMENTUM, list_norms, speed_up, unsynchronised

RANDOM = np.random.default_rng(0)


def _model(shape: tuple[int, ...], **options: Any) -> keras.Model:
    inputs = keras.Input(shape)
    keras.utils.set_random_seed(1)
    norm = layers.BatchNormalization(
        momentum=0.7,
        epsilon=1e-2,
        beta_initializer="random_normal",
        gamma_initializer="random_normal",
        **options,
    )
    return keras.Model(inputs, norm(inputs))


def test_flag_of_several_devices_stays_out_of_files(tmp_path: Path) -> None:
    model = _model((4, 2, 3), synchronized=True)
    with unsynchronised(model):
        model.save(tmp_path / "model.keras")
    assert [norm.synchronized for norm in list_norms(model)] == [True]
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [norm.synchronized for norm in list_norms(loaded)] == [False]


def _train(model: keras.Model, maps: Any, slopes: Any) -> list[Any]:
    """Outputs, gradients and moving averages of a training step, in float32."""
    maps = tf.constant(maps)

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = model(maps, training=True)
        return outputs, tape.gradient(
            outputs, [maps, *model.trainable_variables], tf.cast(slopes, outputs.dtype)
        )

    return [np.array(each, np.float32) for each in tf.nest.flatten((step(), model.weights))]


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_one_kernel_gives_keras_values_gradients_and_averages(options: dict[str, Any]) -> None:
    maps = (3 + 2 * RANDOM.normal(size=(3, 5, 4, 6))).astype(np.float32)
    slopes = RANDOM.normal(size=maps.shape).astype(np.float32)
    plain, fused = _model((5, 4, 6), **options), _model((5, 4, 6), **options)
    speed_up(fused)
    found = _train(fused, maps, slopes)
    for one, other in zip(_train(plain, maps, slopes), found, strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-5)
    # By hand: the variance that the average takes in is that of the batch, over all of its places.
    norm = list_norms(fused)[0]
    expected = 0.7 + 0.3 * maps.astype(np.float64).var((0, 1, 2))
    np.testing.assert_allclose(norm.moving_variance.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"center": False}])
def test_one_kernel_gives_the_same_for_features_without_places(options: dict[str, Any]) -> None:
    features = (3 + 2 * RANDOM.normal(size=(32, 6))).astype(np.float32)
    slopes = RANDOM.normal(size=features.shape).astype(np.float32)
    plain, fused = _model((6,), **options), _model((6,), **options)
    speed_up(fused)
    found = _train(fused, features, slopes)
    for one, other in zip(_train(plain, features, slopes), found, strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-5)


def test_one_place_alone_has_no_variance_and_finite_gradients() -> None:
    maps, slopes = np.full((1, 1, 1, 2), 5, np.float32), np.ones((1, 1, 1, 2), np.float32)
    plain, fused = _model((1, 1, 2)), _model((1, 1, 2))
    speed_up(fused)
    for one, other in zip(_train(plain, maps, slopes), _train(fused, maps, slopes), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_half_precision_keeps_its_averages_in_float32() -> None:
    maps = (3 + 2 * RANDOM.normal(size=(8, 5, 4, 6))).astype(np.float32)
    slopes = RANDOM.normal(size=maps.shape).astype(np.float32)
    plain = _model((5, 4, 6), dtype="mixed_bfloat16")
    fused = _model((5, 4, 6), dtype="mixed_bfloat16")
    speed_up(fused)
    for one, other in zip(_train(plain, maps, slopes), _train(fused, maps, slopes), strict=True):
        np.testing.assert_allclose(other, one, rtol=0.03, atol=0.03)
    norm = list_norms(fused)[0]
    assert norm.moving_variance.dtype == "float32"
    np.testing.assert_allclose(
        norm.moving_mean.numpy(), 0.3 * maps.mean((0, 1, 2)), rtol=5e-3, atol=5e-3
    )


@pytest.mark.parametrize("options", [{"synchronized": True}, {"axis": 1}, {"trainable": False}])
def test_what_the_kernel_cannot_do_is_left_to_keras(options: dict[str, Any]) -> None:
    maps = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
    slopes = RANDOM.normal(size=maps.shape).astype(np.float32)
    plain, fused = _model((3, 3, 3), **options), _model((3, 3, 3), **options)
    speed_up(fused)
    for one, other in zip(_train(plain, maps, slopes), _train(fused, maps, slopes), strict=True):
        np.testing.assert_array_equal(other, one)


def test_scoring_and_files_know_nothing_of_it(tmp_path: Path) -> None:
    maps = RANDOM.normal(size=(4, 5, 4, 6)).astype(np.float32)
    plain, fused = _model((5, 4, 6)), _model((5, 4, 6))
    speed_up(fused)
    np.testing.assert_array_equal(fused(maps), plain(maps))
    fused.save(tmp_path / "model.keras")
    (norm,) = list_norms(keras.saving.load_model(tmp_path / "model.keras"))
    assert type(norm) is layers.BatchNormalization
    assert "call" not in vars(norm)


def test_training_model_has_the_kernel_and_short_averages_in_every_backbone() -> None:
    recipe = change_recipe(demo(), backbone="mobilenetv2", image_size=(32, 32))
    model = build_training_model(recipe, image_size=(32, 32), classes=4, steps=2)
    norms = list_norms(model)
    assert len(norms) > 50
    assert all("call" in vars(norm) for norm in norms)
    assert {norm.momentum for norm in norms} == {MOMENTUM}


def _nearest_is_same(embeddings: Any, labels: Any) -> float:
    """The share of images whose nearest other one shows the same person."""
    likeness = embeddings @ embeddings.T
    np.fill_diagonal(likeness, -2.0)
    return float((labels[likeness.argmax(axis=1)] == labels).mean())


@pytest.mark.slow
def test_what_an_efficientnet_learns_in_60_steps_is_there_when_it_is_scored(
    pedestrians: Path,
) -> None:
    """With the 0.99 of Keras's backbone the score falls to chance, and comes back long after."""
    images = read_images(list_samples(pedestrians, "train"), image_size=(64, 32))
    pixels, labels = next(array_batches(images, num_identities=12, num_instances=4)[0])
    recipe = change_recipe(demo(), backbone="efficientnet_b0", image_size=(64, 32))
    recipe = dataclasses.replace(
        recipe,
        optimizer=OptimizerSection(learning_rate=1e-3),
        augmentation=AugmentationSection(flip=False),
    )
    keras.utils.set_random_seed(0)
    model = build_training_model(recipe, image_size=(64, 32), classes=14, steps=60)
    embedder = embedder_of(model)
    untrained = _nearest_is_same(embed(embedder, [pixels]), labels)
    for _ in range(60):
        model.train_on_batch(pixels, dict.fromkeys(model.output, labels))
    trained = _nearest_is_same(embed(embedder, [pixels]), labels)
    assert trained > untrained
    assert trained > 0.9
