"""`siamese.train.speed`: the matrix products are the convolutions."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from siamese.train import speed
from siamese.train.speed import convolve_depthwise, speed_up

RANDOM = np.random.default_rng(0)


def test_kernel_slides_over_the_map_by_hand() -> None:
    maps = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)[None, :, :, None]
    kernel = np.arange(1.0, 10.0, dtype=np.float32).reshape(3, 3, 1, 1)
    # At the upper left position the kernel's middle, 5, lies on 1, and 6, 8 and 9 on the others.
    expected = [
        [5 * 1 + 6 * 2 + 8 * 3 + 9 * 4, 4 * 1 + 5 * 2 + 7 * 3 + 8 * 4],
        [2 * 1 + 3 * 2 + 5 * 3 + 6 * 4, 1 * 1 + 2 * 2 + 4 * 3 + 5 * 4],
    ]
    found = keras.ops.convert_to_numpy(convolve_depthwise(maps, kernel, (1, 1)))
    np.testing.assert_allclose(found[0, :, :, 0], expected)


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(4, 2), (3, 2), (1, 1), (4, 4), (2, 5)])
def test_values_and_gradients_are_those_of_the_convolution(
    size: tuple[int, int], kernel: int, strides: tuple[int, int]
) -> None:
    maps = tf.constant(RANDOM.normal(size=(3, *size, 6)), tf.float32)
    weights = tf.constant(RANDOM.normal(size=(kernel, kernel, 6, 1)), tf.float32)

    def run(convolve: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch([maps, weights])
            outputs = convolve(maps, weights)
            total = tf.reduce_sum(tf.sin(outputs))
        return [outputs, *tape.gradient(total, [maps, weights])]

    ours = run(lambda maps, kernel: convolve_depthwise(maps, kernel, strides))
    theirs = run(lambda m, k: tf.nn.depthwise_conv2d(m, k, [1, *strides, 1], "SAME"))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_only_small_maps_of_plain_layers_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def count(maps: Any, kernel: Any, strides: tuple[int, int]) -> Any:
        sizes.append(tuple(maps.shape[1:3]))
        return convolve_depthwise(maps, kernel, strides)

    monkeypatch.setattr(speed, "convolve_depthwise", count)
    inputs = keras.Input((16, 8, 3))
    outputs = layers.DepthwiseConv2D(3, 4, "same", name="large")(inputs)
    outputs = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="small")(outputs)
    outputs = layers.DepthwiseConv2D(2, padding="valid", name="valid")(outputs)
    model = keras.Model(inputs, outputs)
    images = RANDOM.normal(size=(2, 16, 8, 3)).astype(np.float32)
    before = model(images)
    assert not sizes
    speed_up(model)
    np.testing.assert_allclose(model(images), before, rtol=1e-5, atol=1e-6)
    assert sizes == [(4, 2)]


@pytest.mark.parametrize("strides", [1, 2, (2, 1)])
@pytest.mark.parametrize("size", [(4, 2), (5, 3), (1, 1)])
def test_pointwise_convolutions_keep_values_and_gradients(
    size: tuple[int, int], strides: int | tuple[int, int]
) -> None:
    inputs = keras.Input((*size, 6))
    layer = layers.Conv2D(4, 1, strides, activation="tanh", bias_initializer="random_normal")
    model = keras.Model(inputs, layer(inputs))
    maps = tf.constant(RANDOM.normal(size=(3, *size, 6)), tf.float32)

    def run() -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = model(maps)
            total = tf.reduce_sum(tf.sin(outputs))
        return [outputs, *tape.gradient(total, [maps, *model.trainable_variables])]

    before = run()
    speed_up(model)
    assert layer.call.func is speed._convolve_pointwise
    for one, other in zip(run(), before, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_grouped_pointwise_convolutions_stay_keras_own() -> None:
    inputs = keras.Input((4, 2, 6))
    model = keras.Model(inputs, layers.Conv2D(4, 1, groups=2)(inputs))
    maps = RANDOM.normal(size=(3, 4, 2, 6)).astype(np.float32)
    before = model(maps)
    speed_up(model)
    np.testing.assert_allclose(model(maps), before, rtol=1e-5, atol=1e-6)
