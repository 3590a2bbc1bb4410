"""Gradients of a loss on whichever backend Keras runs, for the tests of the losses."""

import keras
import numpy as np


def value_and_gradient(loss, labels, outputs, jit_compile=False):
    """Returns the loss, a float, and its gradient to the outputs, of their shape, as NumPy.

    Without jit, TensorFlow answers 0 where the slope of a square root is 0 times infinity; a test
    that must see the NaN asks for jit. JAX always runs with it.
    """
    return differentiate(loss, jit_compile)(labels, outputs)


def differentiate(loss, jit_compile=False):
    """Returns a compiled function from labels and outputs to what `value_and_gradient` returns."""
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(jax.value_and_grad(lambda rows, labels: loss(labels, rows).sum()))
    else:
        import tensorflow as tf

        @tf.function(jit_compile=jit_compile)
        def compiled(rows, labels):
            with tf.GradientTape() as tape:
                tape.watch(rows)
                value = tf.reduce_sum(loss(labels, rows))
            return value, tape.gradient(value, rows)

    def run(labels, outputs):
        rows = keras.ops.convert_to_tensor(np.asarray(outputs, np.float32))
        value, gradient = compiled(rows, keras.ops.convert_to_tensor(labels))
        return float(value), np.asarray(gradient)

    return run
