"""The training model: augmentation, embedder and heads in one Keras model, with its losses."""

import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from siamese.augment import build_augmentation
from siamese.errors import InputError
from siamese.losses import (
    ArcFaceLoss,
    CentreDistances,
    CentreLoss,
    CircleLoss,
    ContrastiveLoss,
    CosFaceLoss,
    CosineClassifier,
    EmbeddingDistillationLoss,
    IdentityLoss,
    InfoNCELoss,
    MultiSimilarityLoss,
    RelationalDistillationLoss,
    SameDifferentLoss,
    SimilarityPreservingLoss,
    TripletLoss,
    WeightedTripletLoss,
)
from siamese.models.embedder import EmbedderParts, build_embedder
from siamese.models.pair import ConsecutiveDifference
from siamese.models.transfer import architecture_of, is_model
from siamese.recipes import DistillationSection, LossSection, Recipe
from siamese.train.averaging import embedder_of
from siamese.train.batch_metrics import watch_metrics
from siamese.train.fork import Fork
from siamese.train.norms import fuse_norms, shorten_averages
from siamese.train.optimizer import build_optimizer
from siamese.train.precision import computing_in, describe, fastest, time_precisions
from siamese.train.small_maps import speed_up_small_maps

__all__ = [
    "build_optimizer",
    "build_training_model",
    "complete_recipe",
    "embedder_of",
    "pair_targets",
]

logger = logging.getLogger(__name__)

METRIC_LOSSES = {
    "contrastive": ContrastiveLoss,
    "triplet": TripletLoss,
    "weighted_triplet": WeightedTripletLoss,
    "circle": CircleLoss,
    "multi_similarity": MultiSimilarityLoss,
    "info_nce": InfoNCELoss,
}
RELATION_LOSSES = {"distance": RelationalDistillationLoss, "similarity": SimilarityPreservingLoss}
TAUGHT = ("embedding", "relation")
"""Outputs that are compared with a teacher's embeddings, where the others are with labels."""
IDENTITY_LOSSES = {"softmax": IdentityLoss, "arcface": ArcFaceLoss, "cosface": CosFaceLoss}


def complete_recipe(recipe: Recipe) -> Recipe:
    """The recipe with what a model to start from decides: backbone, pooling, sizes of its features.

    Args:
        recipe: Any; one that does not start from a model of ours comes back as it is.

    Returns:
        A recipe whose model section says what will be trained. The input size stays the recipe's.

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
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, **architecture))


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
        classes: Training people.
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
    sizes["teacher_size"] = teacher_size
    recipe = complete_recipe(recipe)
    precision: str = recipe.precision
    if precision == "auto":
        blank = dataclasses.replace(recipe.model, weights="none")
        trial = dataclasses.replace(recipe, model=blank)

        def build(precision: str) -> keras.Model:
            with computing_in(precision):
                return _build(trial, **sizes)

        known = recipe.batches.labelled
        images = known + recipe.batches.unlabelled
        taught = np.eye(images, teacher_size, dtype=np.float32)
        rates = time_precisions(
            build,
            lambda pixels, labels, outputs: pair_targets(outputs, known, pixels, labels, taught),
            image_size=image_size,
            images=images,
        )
        precision = fastest(rates)
        note(describe(rates))
        keras.utils.set_random_seed(recipe.seed)  # the trials drew weights
    with computing_in(precision):
        return _build(recipe, **sizes)


def pair_targets(
    outputs: Iterable[str], known: int, images: Any, labels: Any, taught: Any = None
) -> tuple[Any, dict[str, Any]]:
    """Gives each output of a training model what it is compared with.

    Args:
        outputs: Names of the outputs.
        known: How many images of the batch, the first ones, are of known people.
        images: `(images, height, width, 3)`.
        labels: Numbers of people, `(images,)`.
        taught: What the teacher says, `(images, dimensions)`.

    Returns:
        The images, and output to target: for `fit`.
    """
    return images, {name: taught if name in TAUGHT else labels[:known] for name in outputs}


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
        known = recipe.batches.labelled
        labelled = [each[:known, :] for each in labelled]
    metric, features, normalised, pairs = labelled
    heads = _build_heads(
        recipe.loss,
        classes,
        metric=metric,
        features=features,
        normalised=normalised,
        embeddings=pairs,
    )
    if teacher_size:
        # A BNNeck takes the mean out of embeddings, and the teacher's may have one.
        direct = parts.bnneck is None and embeddings.shape[-1] == teacher_size
        projected = None if direct else teacher_size
        heads.update(_build_taught(recipe.distillation, taught, projected))
    model = keras.Model(
        inputs, {name: head.output for name, head in heads.items()}, name="training"
    )
    model.compile(
        optimizer=build_optimizer(
            recipe.optimizer,
            epochs=recipe.epochs,
            steps=steps,
            backbone_variables=_count_backbone_variables(model, parts),
        ),
        loss={name: head.loss for name, head in heads.items()},
        loss_weights={name: head.weight for name, head in heads.items()},
        metrics={"metric": watch_metrics(heads["metric"].loss)},
        # XLA makes depthwise backbones some nine times slower on a CPU; JAX without it is slow at
        # all.
        jit_compile=keras.config.backend() == "jax",
    )
    # Variables made inside the first step would have TensorFlow trace it twice.
    model.optimizer.build(model.trainable_variables)
    shorten_averages(model)
    fuse_norms(model)
    speed_up_small_maps(model)
    return model


class _Head(NamedTuple):
    """An output of the training model, what it costs, and how much that counts."""

    output: Any
    loss: keras.losses.Loss
    weight: float


def _build_heads(
    section: LossSection,
    classes: int,
    *,
    metric: Any,
    features: Any,
    normalised: Any,
    embeddings: Any,
) -> dict[str, _Head]:
    loss = METRIC_LOSSES[section.metric](**section.options)
    heads = {"metric": _Head(metric, loss, section.metric_weight)}
    if section.identity_weight:
        if section.identity == "softmax":
            layer = layers.Dense(classes, use_bias=False, dtype="float32", name="identity")
        else:
            layer = CosineClassifier(classes, name="identity")
        loss = IDENTITY_LOSSES[section.identity](**section.identity_options)
        heads["identity"] = _Head(layer(normalised), loss, section.identity_weight)
    if section.centre_weight:
        centres = CentreDistances(classes, name="centre")
        heads["centre"] = _Head(centres(features), CentreLoss(), section.centre_weight)
    if section.same_different_weight:
        layer = layers.Dense(1, activation="sigmoid", dtype="float32", name="same_different")
        difference = ConsecutiveDifference(dtype="float32", name="difference")(embeddings)
        weight = section.same_different_weight
        heads["same_different"] = _Head(layer(difference), SameDifferentLoss(), weight)
    return heads


def _build_taught(
    section: DistillationSection, taught: list[Any], projected: int | None
) -> dict[str, _Head]:
    embeddings, relations = taught
    heads = {}
    if section.embedding_weight:
        if projected is not None:
            embeddings = layers.Dense(projected, dtype="float32", name="projection")(embeddings)
        weight = section.embedding_weight
        heads["embedding"] = _Head(embeddings, EmbeddingDistillationLoss(), weight)
    if section.relation_weight:
        loss = RELATION_LOSSES[section.relation]()
        heads["relation"] = _Head(relations, loss, section.relation_weight)
    return heads


def _count_backbone_variables(model: keras.Model, parts: EmbedderParts) -> int:
    """How many of the first variables to be trained are those of the backbone."""
    (backbone,) = (
        layer for layer in parts.feature_extractor.layers if isinstance(layer, keras.Model)
    )
    count = len(backbone.trainable_variables)
    first = zip(model.trainable_variables[:count], backbone.trainable_variables, strict=True)
    assert all(one is other for one, other in first)
    return count
