"""Gradients of a loss on whichever backend Keras runs, for the tests of the losses."""

import keras
import numpy as np


def value_and_gradient(loss, labels, outputs):
    """Returns the loss, a float, and its gradient to the outputs, of their shape, as NumPy."""
    labels, outputs = np.asarray(labels), np.asarray(outputs, np.float32)
    if keras.backend.backend() == "jax":
        import jax

        value, gradient = jax.value_and_grad(lambda rows: loss(labels, rows).sum())(outputs)
    else:
        import tensorflow as tf

        rows = tf.constant(outputs)
        with tf.GradientTape() as tape:
            tape.watch(rows)
            value = tf.reduce_sum(loss(labels, rows))
        gradient = tape.gradient(value, rows)
    return float(value), np.asarray(gradient)
