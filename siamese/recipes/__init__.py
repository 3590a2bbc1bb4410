"""Every number that a run can change, and the named recipes.

A recipe is a function that returns a frozen `Recipe`; its docstring names the paper, the command,
the hardware, the time and the score to expect. Sections have the names and the defaults of the
keyword arguments of the component that they describe. Only stages read this module.
"""

import dataclasses
import difflib
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from siamese.aliases import rename_recipe
from siamese.errors import InputError
from siamese.recipes.assignments import set_fields
from siamese.recipes.named import (
    RECIPES,
    agw,
    apn,
    bag_of_tricks,
    batch_hard,
    contrastive,
    demo,
    distill,
    efficientnet,
    fine_tune,
    mars,
    osnet,
    triplet_csv,
)
from siamese.recipes.sections import (
    AugmentationSection,
    BatchSection,
    DistillationSection,
    LossSection,
    ModelSection,
    OptimizerSection,
    Recipe,
)

__all__ = [
    "RECIPES",
    "AugmentationSection",
    "BatchSection",
    "DistillationSection",
    "LossSection",
    "ModelSection",
    "OptimizerSection",
    "Recipe",
    "agw",
    "apn",
    "bag_of_tricks",
    "batch_hard",
    "change_recipe",
    "contrastive",
    "demo",
    "distill",
    "efficientnet",
    "find_recipe",
    "fine_tune",
    "mars",
    "osnet",
    "recipe_from_dict",
    "set_fields",
    "triplet_csv",
]


def find_recipe(name: str) -> Recipe:
    """Returns the recipe of a name.

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
    backbone: str | None = None,
    weights: str | None = None,
    image_size: tuple[int, int] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    precision: str | None = None,
    teachers: Sequence[str] = (),
) -> Recipe:
    """Returns a recipe with the given values in place of its own; None keeps a value.

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
    return dataclasses.replace(
        recipe,
        model=_replace(recipe.model, backbone=backbone, weights=weights, image_size=image_size),
        distillation=_replace(recipe.distillation, teachers=tuple(teachers) or None),
        **_given(epochs=epochs, seed=seed, precision=precision),
    )


def _replace(section: Any, **values: Any) -> Any:
    return dataclasses.replace(section, **_given(**values))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """Returns the recipe that `Recipe.to_dict` wrote, also after a round trip through JSON.

    Names of version 0.1.0 are taken for those of today.

    Raises:
        InputError: The dict is not one of a recipe of this version.
    """
    try:
        recipe = _build(Recipe, rename_recipe(values))
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"not a recipe of this version ({error}). Start a new run.") from None
    assert isinstance(recipe, Recipe)
    return recipe


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
