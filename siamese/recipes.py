"""Every number that a run can change, and the named recipes.

A recipe is a function that returns a frozen `Recipe`; its docstring names the paper, the command,
the hardware, the time and the score to expect. Sections have the names and the defaults of the
keyword arguments of the component that they describe. Only stages read this module.
"""

import dataclasses
import difflib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from siamese.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """Keyword arguments of `siamese.models.embedder.build_embedder`."""

    trunk: str = "resnet50"
    weights: str = "imagenet"
    """`imagenet`, `none`, or the path of a weights file of the trunk."""
    image_size: tuple[int, int] = (256, 128)
    """Height and width, in pixels, that the model resizes its input to."""
    embedding_size: int = 128
    bottleneck: bool = False
    """Batch normalisation between the feature and the embedding (BNNeck, Luo et al. 2019)."""
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class BatchSection:
    """Keyword arguments of `siamese.data.batches.train_batches`."""

    order: Literal["people", "pairs", "triplets"] = "people"
    """`people`: P people x K images; `pairs`: rows 2i and 2i+1; `triplets`: rows 3i to 3i+2."""
    people: int = 16
    """P: groups of images of one person in a batch."""
    images: int = 4
    """K: images in a group. 2 for `pairs`, 3 for `triplets`."""


@dataclass(frozen=True, kw_only=True)
class AugmentationSection:
    """Keyword arguments of `siamese.data.augment.build_augmentation`."""

    flip: bool = True
    padding: int = 0
    """Pixels of padding on each side before a random crop of the old size, at a height of 128."""
    erasing: float = 0.0
    """Probability that a rectangle of an image is erased."""
    brightness: float = 0.0
    """Largest change of brightness and of contrast, as a share."""


@dataclass(frozen=True, kw_only=True)
class LossSection:
    """What is minimised: a metric loss on the features, and the heads beside it."""

    metric: Literal["contrastive", "triplet"] = "triplet"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the metric loss (`siamese.losses`)."""
    identity_weight: float = 0.0
    """Weight of the label-smoothed identity classification beside the metric loss."""
    same_different_weight: float = 0.0
    """Weight of the cross-entropy of a sigmoid same/different head on |f1 - f2|."""


@dataclass(frozen=True, kw_only=True)
class OptimizerSection:
    """The optimiser and its learning-rate schedule."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 3e-4
    warm_up_epochs: float = 0.0
    """Epochs in which the rate rises from 0 in a straight line."""
    decay: Literal["constant", "cosine"] = "constant"
    weight_decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run, whole."""

    name: str
    model: ModelSection = field(default_factory=ModelSection)
    batches: BatchSection = field(default_factory=BatchSection)
    augmentation: AugmentationSection = field(default_factory=AugmentationSection)
    loss: LossSection = field(default_factory=LossSection)
    optimizer: OptimizerSection = field(default_factory=OptimizerSection)
    epochs: int = 60
    score_every: int = 1
    """Epochs between two scorings of the held-out identities; the last epoch is always scored."""
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain lists and dicts, ready for JSON."""
        return dataclasses.asdict(self)


def demo() -> Recipe:
    """Drawn pedestrians, small and quick: what `make demo` trains.

    Source: the soft-margin batch-hard triplet loss of Hermans et al. (2017) beside an identity
    head, on the four convolutions of `contrastive`. Command: `make demo`. Time and scores: README.
    """
    return Recipe(
        name="demo",
        model=ModelSection(
            trunk="conv4", weights="none", image_size=(64, 32), embedding_size=128, bottleneck=True
        ),
        batches=BatchSection(people=16, images=4),
        augmentation=AugmentationSection(flip=True, padding=6, brightness=0.15),
        loss=LossSection(
            metric="triplet",
            options={"mining": "batch_hard", "margin": "soft"},
            identity_weight=1.0,
        ),
        optimizer=OptimizerSection(
            name="adamw",
            learning_rate=3e-3,
            warm_up_epochs=1.0,
            decay="cosine",
            weight_decay=5e-4,
        ),
        epochs=16,
        score_every=2,
    )


def contrastive() -> Recipe:
    """The MARS Siamese network of the TensorFlow 1 project, on Keras 3.

    Source: Hadsell, Chopra and LeCun (CVPR 2006), equation 4, margin 0.2, beside a sigmoid
    same/different head on |f1 - f2|; four convolutions, input 256x128, 32 images a batch. Command:
    `python train_siamese_network.py --data PATH`. Measured runs: docs/recipes.md.
    """
    return Recipe(
        name="contrastive",
        model=ModelSection(trunk="conv4", weights="none", embedding_size=128),
        batches=BatchSection(order="pairs", people=16, images=2),
        augmentation=AugmentationSection(flip=True),
        loss=LossSection(metric="contrastive", options={"margin": 0.2}, same_different_weight=1.0),
        optimizer=OptimizerSection(learning_rate=1e-3),
        epochs=30,
    )


def apn() -> Recipe:
    """Anchor, positive, negative: the EfficientNet-B0 triplet project, on Keras 3.

    Source: the triplet margin loss of Schroff et al. (CVPR 2015), margin 1.0; EfficientNet-B0,
    input 128x64, 32 triplets a batch, Adam at 0.001, 15 epochs, 512 dimensions. That project
    reports a loss of about 0.05 in training and 0.11 in validation with ImageNet weights. Command:
    `python train_siamese_network.py --data PATH --recipe apn`. Measured runs: docs/recipes.md.
    """
    return Recipe(
        name="apn",
        model=ModelSection(trunk="efficientnet_b0", image_size=(128, 64), embedding_size=512),
        batches=BatchSection(order="triplets", people=32, images=3),
        loss=LossSection(metric="triplet", options={"mining": "explicit", "margin": 1.0}),
        optimizer=OptimizerSection(learning_rate=1e-3),
        epochs=15,
    )


def batch_hard() -> Recipe:
    """Batch-hard triplets on ResNet-50: the Market-1501 project, on Keras 3.

    Source: Hermans, Beyer and Leibe (2017), equation 5, margin 0.3; ImageNet ResNet-50, a linear
    layer of 128 dimensions, L2-normalised, 18 people x 4 images at 256x128 as in that paper. Others
    report Rank-1 92.3 and mAP 79.2 on the whole of Market-1501 with ImageNet weights. Command:
    `python train_siamese_network.py --data PATH --recipe batch_hard`; without weights to download
    take the recipe `osnet`. Measured runs: docs/recipes.md.
    """
    return Recipe(
        name="batch_hard",
        batches=BatchSection(people=18, images=4),
        augmentation=AugmentationSection(flip=True, padding=5),
        loss=LossSection(metric="triplet", options={"mining": "batch_hard", "margin": 0.3}),
        optimizer=OptimizerSection(learning_rate=3e-4, warm_up_epochs=2.0, decay="cosine"),
        epochs=60,
    )


def osnet() -> Recipe:
    """OSNet from scratch: the recipe for people who have no ImageNet weights.

    Source: OSNet (Zhou et al., ICCV 2019) at a quarter of its width and half of its input size, the
    soft-margin batch-hard triplet loss of Hermans et al. (2017) before a BNNeck, and
    label-smoothed identity classification after it (Luo et al. 2019). Batch-hard alone collapses
    when it starts from random weights: all distances become the margin. Command:
    `python train_siamese_network.py --data PATH --recipe osnet`. Measured runs: docs/recipes.md.
    """
    return Recipe(
        name="osnet",
        model=ModelSection(
            trunk="osnet_x0_25",
            weights="none",
            image_size=(128, 64),
            embedding_size=512,
            bottleneck=True,
        ),
        batches=BatchSection(people=16, images=4),
        augmentation=AugmentationSection(flip=True, padding=10, erasing=0.3),
        loss=LossSection(
            metric="triplet",
            options={"mining": "batch_hard", "margin": "soft"},
            identity_weight=1.0,
        ),
        optimizer=OptimizerSection(
            name="adamw",
            learning_rate=1.5e-3,
            warm_up_epochs=2.0,
            decay="cosine",
            weight_decay=5e-4,
        ),
        epochs=60,
        score_every=3,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "contrastive": contrastive,
    "apn": apn,
    "batch_hard": batch_hard,
    "osnet": osnet,
    "demo": demo,
}


def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        InputError: There is none of this name; the message has the nearest.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Choose from: {', '.join(RECIPES)}."
        raise InputError(f"`recipe` must name a recipe. Received: {name}. {hint}")
    return RECIPES[name]()


def change_recipe(
    recipe: Recipe,
    *,
    trunk: str | None = None,
    weights: str | None = None,
    image_size: tuple[int, int] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
) -> Recipe:
    """A recipe with the given values in place of its own; None keeps a value.

    Raises:
        InputError: A number is out of range.
    """
    for name, value, least in (("epochs", epochs, 1), ("seed", seed, 0)):
        if value is not None and not least <= value < 2**31:
            raise InputError(f"`{name}` must be {least} to {2**31 - 1}. Received: {value}")
    if image_size is not None and min(image_size) < 32:
        raise InputError(
            f"`image_size` (height, width) must be at least 32 each. Received: {image_size}"
        )
    model = {"trunk": trunk, "weights": weights, "image_size": image_size}
    run = {"epochs": epochs, "seed": seed}
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, **_given(model)),
        **_given(run),
    )


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """The recipe that `Recipe.to_dict` wrote, also after a round trip through JSON.

    Raises:
        InputError: The dict is not one of a recipe of this version.
    """
    try:
        recipe = _build(Recipe, values)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"not a recipe of this version ({error}). Start a new run.") from None
    assert isinstance(recipe, Recipe)
    return recipe


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _build(kind: Any, value: Any) -> Any:
    """Puts back what JSON takes away: dataclasses and tuples."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _build(hints[name], item) for name, item in value.items()})
    if typing.get_origin(kind) is tuple:
        return tuple(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value
