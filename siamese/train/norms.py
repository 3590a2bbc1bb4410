"""Batch normalisation as the backend does it fastest, and as short runs need it."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

MOMENTUM = 0.9
"""Of the averages that batch normalisation keeps for scoring. Keras's backbones come with 0.99 or
0.999, for runs of some hundred thousand steps: after 100 steps from random weights, a third or nine
tenths of such an average would still be where it started. 0.9 is what PyTorch's backbones have."""


def list_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch normalisations of a model and of the models in it."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [each for each in layers if isinstance(each, keras.layers.BatchNormalization)]


@contextlib.contextmanager
def unsynchronised(model: keras.Model) -> Iterator[None]:
    """Batch normalisation as a file is to have it: of one device, whatever the run has.

    Keras reads the flag on TensorFlow only, and the next start of a run sets it as its own devices
    need it.
    """
    synchronised = [norm for norm in list_norms(model) if norm.synchronized]
    for norm in synchronised:
        norm.synchronized = False
    try:
        yield
    finally:
        for norm in synchronised:
            norm.synchronized = True


def shorten_averages(model: keras.Model) -> None:
    """Gives all batch normalisations of a model the momentum `MOMENTUM`."""
    for norm in list_norms(model):
        norm.momentum = MOMENTUM


def fuse_norms(model: keras.Model) -> None:
    """Has TensorFlow train batch normalisation by its one kernel for it.

    Keras 3 writes it as a mean, a variance and a linear map, each a pass over the feature maps,
    and as many again for the gradients: more than a third of a step of an OSNet on a CPU. Values
    and gradients are the same up to rounding. Layers stay Keras's own, also in files; what is
    scored, and what is synchronised over devices, is computed as ever. On JAX, whose compiler does
    this by itself, nothing changes.

    Args:
        model: A training model, before its first step.
    """
    if keras.config.backend() == "tensorflow":
        for norm in list_norms(model):
            norm.call = functools.partial(_call_fused, norm)


def _call_fused(
    norm: keras.layers.BatchNormalization,
    inputs: Any,
    training: bool | None = None,
    mask: Any = None,
) -> Any:
    from siamese.train.fused import DTYPES, normalise_batch

    fits = (
        training
        and norm.trainable
        and mask is None
        and not (norm.synchronized or norm.renorm)
        and len(inputs.shape) in (2, 4)
        and norm.axis in (-1, len(inputs.shape) - 1)
        and keras.backend.standardize_dtype(inputs.dtype) in DTYPES
    )
    if not fits:
        return type(norm).call(norm, inputs, training=training, mask=mask)
    channels = (inputs.shape[-1],)
    maps = inputs if len(inputs.shape) == 4 else inputs[:, None, None, :]
    outputs, mean, variance = normalise_batch(
        maps,
        ops.cast(norm.gamma, "float32") if norm.scale else ops.ones(channels),
        ops.cast(norm.beta, "float32") if norm.center else ops.zeros(channels),
        norm.epsilon,
    )
    for average, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        average.assign(average * norm.momentum + value * (1.0 - norm.momentum))
    return outputs if maps is inputs else outputs[:, 0, 0, :]
