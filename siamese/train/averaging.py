"""The embedder that is scored and saved: of a training model, in float32, its weights averaged."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from siamese.models.backbones import put_weights
from siamese.models.checkpoint import BNNECK, FEATURE_EXTRACTOR
from siamese.models.embedder import EmbedderParts, join_embedder
from siamese.train.speed import list_norms

NORM_BATCHES = 20
"""Batches that the statistics of an averaged model are measured on: 1,280 images of 16 x 4."""


def embedder_of(model: keras.Model) -> keras.Model:
    """Returns the embedder of a training model, ready to be scored.

    It shares the training model's weights where it can. A model that trains in half precision or
    with a moving average of its weights has another: a float32 copy, which `update_embedder` brings
    up to date.
    """
    shared = join_embedder(_parts(model))
    layers = shared._flatten_layers(include_self=False, recursive=True)
    policies = {layer.dtype_policy.name for layer in layers}
    if policies == {"float32"} and not _inner_optimizer(model).use_ema:
        return shared

    def build_again(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(shared, clone_function=build_again, recursive=True)
    update_embedder(copy, model, lambda: ())
    return copy


def update_embedder(
    embedder: keras.Model, model: keras.Model, batches: Callable[[], Iterable[Any]]
) -> None:
    """Brings the embedder of `embedder_of` up to date with its training model.

    Where the recipe averages weights, the trained ones are replaced by their averages. Batch
    normalisation's statistics are no such weights: those of the training model belong to its last
    weights, not to the average. So they are measured anew, each as the mean over `NORM_BATCHES`
    training batches, augmented as in training (Izmailov et al., Averaging Weights Leads to Wider
    Optima and Better Generalization, UAI 2018, section 3.2). An embedder that shares its weights is
    left alone.

    `batches` opens training batches `(images, height, width, 3)`, uint8, where they are needed.
    """
    parts = _parts(model)
    if embedder.get_layer(FEATURE_EXTRACTOR) is parts.feature_extractor:
        return
    averages = _averages(model)
    weights = [weight for part in parts if part is not None for weight in part.weights]
    values = [averages.get(id(weight), weight) for weight in weights]
    put_weights(embedder, [keras.ops.convert_to_numpy(value) for value in values])
    if averages:
        _measure_norms(embedder, model, batches())


def _averages(model: keras.Model) -> dict[int, Any]:
    """Returns the average of each weight that has one, by its id; empty before the first step."""
    optimizer = _inner_optimizer(model)
    if not optimizer.use_ema or int(optimizer._iterations) == 0:
        return {}
    pairs = zip(
        optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
    )
    return {id(variable): average for variable, average in pairs if average is not None}


def _measure_norms(embedder: keras.Model, model: keras.Model, batches: Iterable[Any]) -> None:
    norms = list_norms(embedder)
    momenta = [norm.momentum for norm in norms]
    try:
        for number, images in enumerate(batches):
            if number == NORM_BATCHES:
                break
            for norm in norms:  # the running mean of all batches so far
                norm.momentum = number / (number + 1)
            embedder(apply_augmentation(model, images), training=True)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def apply_augmentation(model: keras.Model, images: Any) -> Any:
    """Augments `(images, height, width, 3)`, 0 to 255, by a training model's first layers."""
    for layer in model.layers[1:]:
        if layer.name == FEATURE_EXTRACTOR:
            break
        images = layer(images, training=True)
    return images


def _parts(model: keras.Model) -> EmbedderParts:
    bnneck = next((layer for layer in model.layers if layer.name == BNNECK), None)
    return EmbedderParts(model.get_layer(FEATURE_EXTRACTOR), bnneck)


def _inner_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """Returns the optimiser without the loss scaling of float16."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
