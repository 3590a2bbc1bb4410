"""The training model: augmentation, embedder and heads in one Keras model, with its losses."""

import math
from typing import Any

import keras
from keras import layers, ops

from siamese.data.augment import build_augmentation
from siamese.losses import ContrastiveLoss, IdentityLoss, SameDifferentLoss, TripletLoss
from siamese.models.embedder import EmbedderParts, build_embedder, join_embedder
from siamese.models.pair import ConsecutiveDifference
from siamese.recipes import OptimizerSection, Recipe

METRIC_LOSSES = {"contrastive": ContrastiveLoss, "triplet": TripletLoss}


def build_training_model(
    recipe: Recipe, *, image_size: tuple[int, int], classes: int, steps: int
) -> keras.Model:
    """Builds and compiles the model that a run trains.

    Args:
        recipe: What to build.
        image_size: Height and width of the images in a batch, in pixels.
        classes: Training people.
        steps: Batches in an epoch.

    Returns:
        A compiled model from uint8 images to a dict of outputs, one for each loss: `metric`
        `(images, embedding_size)`, and where the recipe weighs them `identity` `(images, classes)`
        and `same_different` `(images / 2, 1)`.
    """
    parts = build_embedder(**vars(recipe.model))
    inputs = keras.Input((*image_size, 3), name="images")
    images = inputs
    for layer in build_augmentation(**vars(recipe.augmentation), seed=recipe.seed):
        images = layer(images)
    features = parts.backbone(images)
    normalised = features if parts.bottleneck is None else parts.bottleneck(features)
    embeddings = layers.UnitNormalization(dtype="float32", name="unit")(normalised)

    # With a bottleneck the metric loss works before it, on features of free length (BNNeck).
    outputs = {"metric": embeddings if parts.bottleneck is None else features}
    losses: dict[str, keras.losses.Loss] = {
        "metric": METRIC_LOSSES[recipe.loss.metric](**recipe.loss.options)
    }
    weights = {"metric": 1.0}
    if recipe.loss.identity_weight:
        identity = layers.Dense(classes, use_bias=False, dtype="float32", name="identity")
        outputs["identity"] = identity(normalised)
        losses["identity"] = IdentityLoss()
        weights["identity"] = recipe.loss.identity_weight
    if recipe.loss.same_different_weight:
        same = layers.Dense(1, activation="sigmoid", dtype="float32", name="same_different")
        outputs["same_different"] = same(ConsecutiveDifference(name="difference")(embeddings))
        losses["same_different"] = SameDifferentLoss()
        weights["same_different"] = recipe.loss.same_different_weight
    model = keras.Model(inputs, outputs, name="training")
    model.compile(
        optimizer=build_optimizer(recipe.optimizer, epochs=recipe.epochs, steps=steps),
        loss=losses,
        loss_weights=weights,
        jit_compile=False,  # XLA makes depthwise trunks some nine times slower on a CPU
    )
    # Variables made inside the first step would have TensorFlow trace it twice.
    model.optimizer.build(model.trainable_variables)
    return model


def build_optimizer(
    section: OptimizerSection, *, epochs: int, steps: int
) -> keras.optimizers.Optimizer:
    """The optimiser of a recipe, with its schedule.

    Args:
        section: What to build.
        epochs: Epochs of the run.
        steps: Batches in an epoch.

    Returns:
        A Keras optimiser.
    """
    rate = WarmUpAndDecay(
        section.learning_rate,
        steps=epochs * steps,
        warm_up_steps=round(section.warm_up_epochs * steps),
        decay=section.decay,
    )
    kind = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[section.name]
    return kind(rate, weight_decay=section.weight_decay or None)


@keras.saving.register_keras_serializable("siamese")
class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A straight line up from 0, then constant or half a cosine down to 0.

    Keras's `CosineDecay` decides between the two with a branch in the graph, which an optimiser
    with weight decay repeats for each variable: with some 300 variables that took 40 % of the time
    of a step and 20 s of tracing.

    Args:
        learning_rate: The highest rate.
        steps: Steps of the run.
        warm_up_steps: Steps of the line.
        decay: "constant" or "cosine".
    """

    def __init__(self, learning_rate: float, *, steps: int, warm_up_steps: int, decay: str) -> None:
        self.learning_rate = learning_rate
        self.steps = steps
        self.warm_up_steps = warm_up_steps
        self.decay = decay

    def __call__(self, step: Any) -> Any:
        """The rate at a step, counted from 0."""
        step = ops.cast(step, "float32")
        rate = ops.minimum(1.0, step / max(1, self.warm_up_steps)) if self.warm_up_steps else 1.0
        if self.decay == "cosine":
            falling = max(1, self.steps - self.warm_up_steps)
            done = ops.clip((step - self.warm_up_steps) / falling, 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(math.pi * done))
        return self.learning_rate * rate

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved optimiser."""
        return {
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "warm_up_steps": self.warm_up_steps,
            "decay": self.decay,
        }


def embedder_of(model: keras.Model) -> keras.Model:
    """The embedder inside a training model; it shares the weights."""
    names = {layer.name for layer in model.layers}
    bottleneck = model.get_layer("bottleneck") if "bottleneck" in names else None
    return join_embedder(EmbedderParts(model.get_layer("backbone"), bottleneck))
