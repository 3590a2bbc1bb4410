"""The training model: augmentation, embedder and heads in one Keras model, with its losses."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from siamese import losses
from siamese.augment import build_augmentation
from siamese.errors import InputError
from siamese.losses.triplet import triplet_violations
from siamese.models.embedder import build_embedder
from siamese.models.pair import ConsecutiveDifference
from siamese.models.transfer import architecture_of, is_model
from siamese.recipes import Recipe
from siamese.sampler import RowSampler, count_groups, fit_groups
from siamese.train.optimizer import build_optimizer
from siamese.train.speed import (
    computing_in,
    fastest_precision,
    list_precisions,
    measure_rate,
    shorten_averages,
    speed_up,
)
from siamese.vectors import Embeddings

logger = logging.getLogger(__name__)

METRIC_LOSSES = {
    "contrastive": losses.ContrastiveLoss,
    "triplet": losses.TripletLoss,
    "weighted_triplet": losses.WeightedTripletLoss,
    "circle": losses.CircleLoss,
    "multi_similarity": losses.MultiSimilarityLoss,
    "info_nce": losses.InfoNCELoss,
}
IDENTITY_LOSSES = {
    "softmax": losses.IdentityLoss,
    "arcface": losses.ArcFaceLoss,
    "cosface": losses.CosFaceLoss,
}
RELATION_LOSSES = {
    "distance": losses.RelationalDistillationLoss,
    "similarity": losses.SimilarityPreservingLoss,
}
TAUGHT = ("embedding", "relation")
"""Outputs that are compared with a teacher's embeddings, where the others are with labels."""
MEMORY = "memory"
"""The output, and its layer, that holds the centres of clusters: labels are an input of it too."""


def complete_recipe(recipe: Recipe) -> Recipe:
    """Gives a recipe what a model to start from decides: backbone, pooling, sizes of its features.

    The input size stays the recipe's; one that does not start from a model of ours comes back as it
    is.

    Raises:
        InputError: The model is missing or does not say what it is built of; or there is a teacher
            of whom nothing is learnt.
    """
    section = recipe.distillation
    if section.teachers and not (section.embedding_weight or section.relation_weight):
        raise InputError(
            "a teacher needs `embedding_weight` or `relation_weight` above 0. Received: 0 and 0. "
            "Leave the teacher out, or give one of them a weight."
        )
    if not is_model(recipe.model.weights):
        return recipe
    architecture = architecture_of(recipe.model.weights)
    del architecture["image_size"], architecture["dropout"]
    return replace(recipe, model=replace(recipe.model, **architecture))


def build_training_model(
    recipe: Recipe,
    *,
    image_size: tuple[int, int],
    classes: int,
    steps: int,
    teacher_size: int = 0,
    note: Callable[[str], None] = logger.info,
) -> keras.Model:
    """Builds and compiles the model that a run trains.

    Args:
        recipe: What to build.
        image_size: Height and width of the images in a batch, in pixels.
        classes: Training people; or the most clusters, where people are not known.
        steps: Batches in an epoch.
        teacher_size: Dimensions of the teacher's embeddings; 0: there is no teacher.
        note: Takes a line about the precision, where the recipe leaves it to be measured.

    Returns:
        A compiled model from uint8 images to a dict of outputs, one for each loss: `metric`
        `(known, embedding_size)`, and where the recipe weighs them `identity` `(known, classes)`,
        `centre` `(known, classes)` and `same_different` `(known / 2, 1)`, all for the first images,
        whose people are known; with a teacher also `embedding` `(images, teacher_size)` and
        `relation` `(images, embedding_size)`, for all of them.
    """
    sizes: dict[str, Any] = {"image_size": image_size, "classes": classes, "steps": steps}
    recipe, precision = complete_recipe(recipe), str(recipe.precision)

    def build(built: Recipe, precision: str) -> keras.Model:
        with computing_in(precision):
            return _build(built, **sizes, teacher_size=teacher_size)

    if precision == "auto":
        trial = replace(recipe, model=replace(recipe.model, weights="none"))
        known = recipe.batches.labelled
        count = known + recipe.batches.unlabelled
        pixels = np.random.default_rng(0).integers(0, 256, (count, *image_size, 3), np.uint8)
        labels = np.arange(count, dtype=np.int32) // 6 % 2  # groups of 4, 3 or 2 of one person
        taught = np.eye(count, teacher_size, dtype=np.float32)
        rates = {}
        for each in list_precisions():
            model = build(trial, each)
            batch = pair_targets(model.output, known, pixels, labels, taught)
            rates[each] = measure_rate(model, *batch)
        precision = fastest_precision(rates)
        measured = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
        note(f"precision {precision}: a trial gave {measured} images/s")
        keras.utils.set_random_seed(recipe.seed)  # the trials drew weights
    return build(recipe, precision)


def pair_targets(
    outputs: Iterable[str], known: int, images: Any, labels: Any, taught: Any = None
) -> tuple[Any, dict[str, Any]]:
    """Gives each output of a training model what it is compared with.

    Args:
        outputs: Names of the outputs.
        known: How many images of the batch, the first ones, are of known people.
        images: `(images, height, width, 3)`.
        labels: Numbers of people, or of clusters, `(images,)`.
        taught: What the teacher says, `(images, dimensions)`.

    Returns:
        The images, with the clusters where there is a memory, and output to target: for `fit`.
    """
    targets = {name: taught if name in TAUGHT else labels[:known] for name in outputs}
    return {"images": images, "clusters": labels} if MEMORY in targets else images, targets


class _Head(NamedTuple):
    """An output of the training model, what it costs, and how much that counts."""

    output: Any
    loss: keras.losses.Loss
    weight: float


def _build(
    recipe: Recipe, *, image_size: tuple[int, int], classes: int, steps: int, teacher_size: int
) -> keras.Model:
    parts = build_embedder(**vars(recipe.model))
    inputs = keras.Input((*image_size, 3), name="images")
    images = inputs
    if not (teacher_size and recipe.distillation.same_view):  # else it comes before the model
        for layer in build_augmentation(**vars(recipe.augmentation), seed=recipe.seed):
            images = layer(images)
    # Every reader has a branch of its own: see `Fork`.
    before, to_centre, onwards = Fork(3)(parts.feature_extractor(images))
    normalised = onwards if parts.bnneck is None else parts.bnneck(onwards)
    to_identity, onwards = Fork(2)(normalised)
    embeddings = layers.UnitNormalization(dtype="float32", name="unit")(onwards)
    after, to_pairs, *taught = Fork(4 if teacher_size else 2)(embeddings)
    # With a BNNeck the metric loss works before it, on features of free length.
    labelled = [after if parts.bnneck is None else before, to_centre, to_identity, to_pairs]
    if recipe.batches.unlabelled:
        labelled = [each[: recipe.batches.labelled, :] for each in labelled]
    heads = _build_heads(recipe, classes, *labelled)
    if recipe.adaptation.radius:
        clusters = keras.Input((), dtype="int32", name="clusters")
        inputs = {"images": inputs, "clusters": clusters}
        cosines = losses.ClusterMemory(classes, name=MEMORY)([to_pairs, clusters])
        loss = losses.CosFaceLoss(margin=0, scale=1 / recipe.adaptation.temperature)
        heads[MEMORY] = _Head(cosines, loss, 1.0)
    if teacher_size:
        # A BNNeck takes the mean out of embeddings, and the teacher's may have one.
        direct = parts.bnneck is None and embeddings.shape[-1] == teacher_size
        heads |= _build_taught_heads(recipe, *taught, projected=None if direct else teacher_size)
    model = keras.Model(
        inputs, {name: head.output for name, head in heads.items()}, name="training"
    )
    backbone = next(
        layer for layer in parts.feature_extractor.layers if isinstance(layer, keras.Model)
    )
    model.compile(
        optimizer=build_optimizer(
            recipe.optimizer,
            epochs=recipe.epochs,
            steps=steps,
            backbone_variables=len(backbone.trainable_variables),  # the first ones of the model
        ),
        loss={name: head.loss for name, head in heads.items()},
        loss_weights={name: head.weight for name, head in heads.items()},
        metrics={"metric": _list_metrics(heads["metric"].loss)},
        # XLA makes depthwise backbones some nine times slower on a CPU; JAX without it is slow at
        # all.
        jit_compile=keras.config.backend() == "jax",
    )
    # Variables made inside the first step would have TensorFlow trace it twice.
    model.optimizer.build(model.trainable_variables)
    shorten_averages(model)
    speed_up(model)
    return model


def _build_heads(
    recipe: Recipe, classes: int, metric: Any, features: Any, normalised: Any, embeddings: Any
) -> dict[str, _Head]:
    section = recipe.loss
    loss = METRIC_LOSSES[section.metric](**section.options)
    heads = {"metric": _Head(metric, loss, section.metric_weight)}
    if section.identity_weight:
        if section.identity == "softmax":
            layer = layers.Dense(classes, use_bias=False, dtype="float32", name="identity")
        else:
            layer = losses.CosineClassifier(classes, name="identity")
        loss = IDENTITY_LOSSES[section.identity](**section.identity_options)
        heads["identity"] = _Head(layer(normalised), loss, section.identity_weight)
    if section.centre_weight:
        centres = losses.CentreDistances(classes, name="centre")
        heads["centre"] = _Head(centres(features), losses.CentreLoss(), section.centre_weight)
    if section.same_different_weight:
        layer = layers.Dense(1, activation="sigmoid", dtype="float32", name="same_different")
        difference = ConsecutiveDifference(dtype="float32", name="difference")(embeddings)
        weight = section.same_different_weight
        heads["same_different"] = _Head(layer(difference), losses.SameDifferentLoss(), weight)
    return heads


def _build_taught_heads(
    recipe: Recipe, embeddings: Any, relations: Any, *, projected: int | None
) -> dict[str, _Head]:
    section, heads = recipe.distillation, {}
    if section.embedding_weight:
        if projected is not None:
            embeddings = layers.Dense(projected, dtype="float32", name="projection")(embeddings)
        loss = losses.EmbeddingDistillationLoss()
        heads["embedding"] = _Head(embeddings, loss, section.embedding_weight)
    if section.relation_weight:
        loss = RELATION_LOSSES[section.relation]()
        heads["relation"] = _Head(relations, loss, section.relation_weight)
    return heads


@keras.saving.register_keras_serializable("siamese")
class Fork(layers.Layer):  # type: ignore[misc]
    """Hands a tensor to several readers, and adds up their gradients in a fixed order.

    Where three or more gradients meet at a tensor, TensorFlow adds them up in its kernel `AddN`,
    beginning with the first one that may be overwritten at that moment. Which one that is depends
    on the timing of threads, and rounding on the order: without this, two runs of a seed differ in
    the last bit of the first gradient and in the fifth digit of the loss after an epoch. Here the
    gradients come back as one stack, which one sum adds up. On JAX, whose compiler fixes
    the order, the readers get the tensor itself.

    Args:
        readers: How many there are.
    """

    def __init__(self, readers: int, **options: Any) -> None:
        super().__init__(**{"dtype": "float32", **options})
        self.readers = readers

    def call(self, features: Any) -> list[Any]:
        """Takes `(images, dimensions)`, returns it `readers` times."""
        if keras.backend.backend() != "tensorflow":
            return [features] * self.readers
        copies = ops.tile(features[None], (self.readers, 1, 1))
        return list(ops.unstack(copies, self.readers))

    def compute_output_shape(self, shape: Any) -> list[Any]:
        """Returns the shape, `readers` times."""
        return [shape] * self.readers

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved model."""
        return {**super().get_config(), "readers": self.readers}


def _list_metrics(loss: keras.losses.Loss) -> list[keras.metrics.Metric]:
    """Lists what is watched of the output that a metric loss sees, on batches computed anyway."""
    metrics: list[keras.metrics.Metric] = [EmbeddingSpread()]
    watched = isinstance(loss, losses.TripletLoss) and loss.mining != "batch_all"
    if watched and loss.margin != "soft":
        metrics.append(ActiveShare(loss.margin, loss.mining, loss.distance))
    return metrics


@keras.saving.register_keras_serializable("siamese")
class EmbeddingSpread(keras.metrics.Mean):  # type: ignore[misc]
    """Measures how far the embeddings of a batch lie from their mean: sqrt(mean |f - mean f|^2).

    0 when all are equal: the network has collapsed and tells nobody apart. Unit vectors in all
    directions have about 1. The mean over the batches since the epoch began.

    Args:
        name: The name in the logs.
        **kwargs: As every Keras metric.
    """

    def __init__(self, name: str = "spread", **kwargs: Any) -> None:
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Adds a batch; `y_pred` are its embeddings, `(images, dimensions)`."""
        del y_true, sample_weight
        embeddings = ops.cast(y_pred, "float32")
        offsets = embeddings - ops.mean(embeddings, axis=0, keepdims=True)
        return super().update_state(ops.sqrt(ops.mean(ops.sum(ops.square(offsets), axis=1))))


@keras.saving.register_keras_serializable("siamese")
class ActiveShare(keras.metrics.Mean):  # type: ignore[misc]
    """Measures the share of a batch's triplets that cost something; at 0 nothing is learnt.

    The mean over the batches since the epoch began, 0 to 1; a batch without a triplet counts 0.

    Args:
        margin: Of the triplet loss.
        mining: Of the triplet loss.
        distance: Of the triplet loss.
        name: The name in the logs.
        **kwargs: As every Keras metric.
    """

    def __init__(
        self, margin: float, mining: Any, distance: Any, name: str = "active", **kwargs: Any
    ) -> None:
        # Labels in float32 stay whole up to 2^24; a shorter type would fold people together.
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        self.triplets = {"margin": margin, "mining": mining, "distance": distance}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Adds a batch: `y_true` the numbers of people, `y_pred` the embeddings."""
        del sample_weight
        margin, mining, distance = self.triplets.values()
        violations, exists = triplet_violations(
            y_true, ops.cast(y_pred, "float32"), mining, distance
        )
        active = ops.logical_and(exists, margin + violations > 0)
        count = ops.sum(ops.cast(exists, "float32"))
        return super().update_state(ops.sum(ops.cast(active, "float32")) / ops.maximum(count, 1.0))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved model."""
        return {**super().get_config(), **self.triplets}


def held_out_loss(recipe: Recipe, gallery: Embeddings) -> float | None:
    """Measures the metric loss of a recipe on the held-out people, without augmentation.

    Batches are drawn as in training, always the same ones, and smaller where there are few people.

    Args:
        recipe: Of the run.
        gallery: Embeddings of the held-out people.

    Returns:
        The mean over the batches; None where there are too few people for a batch, or the model has
        a BNNeck, before which the loss sees features that the embeddings do not have.
    """
    if recipe.model.bnneck:
        return None
    labels = np.unique(gallery.people, return_inverse=True)[1].astype(np.int64)
    section = recipe.batches
    groups = count_groups(np.bincount(labels), section.num_instances)
    try:
        sampler = RowSampler(
            labels,
            gallery.cameras,
            sampler=section.sampler,
            num_identities=fit_groups(groups, section.num_identities, sampler=section.sampler),
            num_instances=section.num_instances,
            spread_cameras=section.spread_cameras,
        )
    except InputError:
        return None
    loss = METRIC_LOSSES[recipe.loss.metric](**recipe.loss.options)
    values = [
        float(loss(labels[rows].astype(np.int32), gallery.embeddings[rows]))
        for rows in sampler.draw(0)
    ]
    return float(np.mean(values))
