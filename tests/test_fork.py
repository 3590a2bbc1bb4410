"""`siamese.train.objective`: where gradients meet, they are added up in one order."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from siamese.recipes import AugmentationSection, LossSection, change_recipe, contrastive, demo
from siamese.train.objective import Fork, build_training_model


def test_every_reader_gets_the_tensor_and_their_gradients_are_added_up() -> None:
    features = tf.constant(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(features)
        first, second, third = Fork(3)(features)
        total = tf.reduce_sum(first**2) + tf.reduce_sum(7 * second) + 0 * tf.reduce_sum(third)
    for each in (first, second, third):
        np.testing.assert_array_equal(each, features)
    np.testing.assert_allclose(tape.gradient(total, features), 2 * features + 7, rtol=1e-6)


def _longest_sum(model: keras.Model) -> list[str]:
    """The most gradients that TensorFlow's `AddN` adds up at once in a step of this model."""
    images = tf.zeros((16, *model.input_shape[1:]), tf.uint8)
    labels = tf.constant(np.repeat(np.arange(4), 4))

    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = model.compute_loss(images, dict.fromkeys(outputs, labels), outputs)
        return tape.gradient(loss, model.trainable_variables)

    nodes = step.get_concrete_function().graph.as_graph_def().node
    sums = [list(node.input) for node in nodes if node.op == "AddN"]
    return max(sums, key=len, default=[])


METRICS = {
    "triplet": {"mining": "batch_hard", "margin": "soft"},
    "weighted_triplet": {},
    "circle": {},
    "multi_similarity": {},
    "info_nce": {},
}


@pytest.mark.parametrize("bnneck", [True, False])
@pytest.mark.parametrize("metric", METRICS)
def test_never_more_than_two_gradients_meet_unordered(metric: str, bnneck: bool) -> None:
    # More than two, and two runs of a seed part: the order of the sum is that of the threads.
    loss = LossSection(
        metric=metric, options=METRICS[metric], identity_weight=1.0, centre_weight=5e-4
    )
    model = dataclasses.replace(demo().model, bnneck=bnneck)
    recipe = dataclasses.replace(
        demo(), model=model, loss=loss, augmentation=AugmentationSection(flip=False)
    )
    built = build_training_model(recipe, image_size=(32, 32), classes=4, steps=1)
    assert len(_longest_sum(built)) <= 2


def test_never_more_than_two_gradients_meet_unordered_with_a_same_different_head() -> None:
    recipe = change_recipe(contrastive(), image_size=(32, 32))
    built = build_training_model(recipe, image_size=(32, 32), classes=4, steps=1)
    assert len(_longest_sum(built)) <= 2


def test_three_readers_without_a_fork_are_seen() -> None:
    inputs = keras.Input((8, 8, 3))
    features = layers.Dense(4)(layers.Flatten()(inputs))
    outputs = {name: layers.Dense(4, name=name)(features) for name in "abc"}
    model = keras.Model(inputs, outputs)
    model.compile(loss=dict.fromkeys("abc", "sparse_categorical_crossentropy"))
    assert len(_longest_sum(model)) == 3
