"""Every number that a run can change, and the named recipes.

A recipe is a function that returns a frozen `Recipe`; its docstring names the paper, the command,
the hardware, the time and the score to expect. Sections have the names and the defaults of the
keyword arguments of the component that they describe. Only stages read this module.
"""

import contextlib
import dataclasses
import json
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeVar

from siamese.aliases import rename_recipe
from siamese.errors import WRONG_VALUES, InputError, hint_at
from siamese.files import from_plain
from siamese.recipes.named import (
    RECIPES,
    adapt,
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
    AdaptationSection,
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
    "AdaptationSection",
    "AugmentationSection",
    "BatchSection",
    "DistillationSection",
    "LossSection",
    "ModelSection",
    "OptimizerSection",
    "Recipe",
    "adapt",
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
    "fit_epochs",
    "mars",
    "osnet",
    "recipe_from_dict",
    "set_fields",
    "triplet_csv",
]


MARGINS = ("contrastive", "triplet", "circle")
"""The metric losses that have a margin."""
LEAST_STEPS = 150
"""Batches that `fit_epochs` gives a small set in all."""
_Section = TypeVar("_Section")


def find_recipe(name: str) -> Recipe:
    """Returns the recipe of a name.

    Raises:
        InputError: There is none of this name; the message has the nearest.
    """
    if name not in RECIPES:
        hint = hint_at(name, RECIPES)
        raise InputError(f"`recipe` must name a recipe. Received: {name}. {hint}")
    return RECIPES[name]()


def fit_epochs(recipe: Recipe, images_by_person: Collection[int]) -> Recipe:
    """Gives a recipe more epochs where a small set has few batches in one.

    Args:
        recipe: Any.
        images_by_person: How many training images each person has.

    Returns:
        The recipe with at most four times its epochs, as many as make `LEAST_STEPS` batches in all.

    Example:
        >>> fit_epochs(fine_tune(), [4] * 100).epochs, fit_epochs(fine_tune(), [4] * 6).epochs
        (22, 60)
    """
    batches = recipe.batches
    groups = sum(-(-count // batches.num_instances) for count in images_by_person)
    steps = max(1, -(-groups // batches.num_identities))
    epochs = min(-(-LEAST_STEPS // steps), 4 * recipe.epochs)
    return dataclasses.replace(recipe, epochs=max(recipe.epochs, epochs))


def change_recipe(
    recipe: Recipe,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    image_size: tuple[int, int] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    precision: str | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    margin: float | None = None,
    embedding_size: int | None = None,
    teachers: Sequence[str] = (),
) -> Recipe:
    """Returns a recipe with the given values in place of its own; None keeps a value.

    Values are those of the fields of the same names; `batch_size` counts images, or triplets where
    batches are made of triplets, and `margin` is that of the metric loss.

    Raises:
        InputError: A number is out of range, or the recipe has no place for it.
    """
    for name, value, least in (("epochs", epochs, 1), ("seed", seed, 0)):
        if value is not None and not least <= value < 2**31:
            raise InputError(f"`{name}` must be {least} to {2**31 - 1}. Received: {value}")
    if image_size is not None and min(image_size) < 32:
        raise InputError(
            f"`image_size` (height, width) must be at least 32 each. Received: {image_size}"
        )
    if learning_rate is not None and not 0 < learning_rate < float("inf"):
        raise InputError(f"`learning_rate` (--lr) must be above 0. Received: {learning_rate}")
    if embedding_size is not None and embedding_size < 0:
        raise InputError(f"`embedding_size` must be at least 0. Received: {embedding_size}")
    return _replace(
        recipe,
        model=_replace(
            recipe.model,
            backbone=backbone,
            weights=weights,
            image_size=image_size,
            embedding_size=embedding_size,
        ),
        batches=_replace(recipe.batches, num_identities=_groups_of(recipe.batches, batch_size)),
        loss=_replace(recipe.loss, options=_with_margin(recipe.loss, margin)),
        optimizer=_replace(recipe.optimizer, learning_rate=learning_rate),
        distillation=_replace(recipe.distillation, teachers=tuple(teachers) or None),
        epochs=epochs,
        seed=seed,
        precision=precision,
    )


def _groups_of(batches: BatchSection, batch_size: int | None) -> int | None:
    """Counts the groups in a batch of so many images, or triplets."""
    if batch_size is None:
        return None
    each = 1 if batches.sampler == "triplets" else batches.num_instances
    step = 4 * each if batches.sampler == "pairs" else each
    if batch_size < 2 * each or batch_size % step:
        what = {"triplets": "triplets", "pairs": "images in pairs"}.get(
            batches.sampler, f"images, {each} of a person"
        )
        raise InputError(
            f"`batch_size` must be a multiple of {step}, at least {max(step, 2 * each)} ({what}). "
            f"Received: {batch_size}"
        )
    return batch_size // each


def _with_margin(loss: LossSection, margin: float | None) -> Mapping[str, Any] | None:
    if margin is None:
        return None
    if loss.metric not in MARGINS or not 0 <= margin < float("inf"):
        raise InputError(
            f"`margin` must be at least 0, for one of the losses {', '.join(MARGINS)}. Received: "
            f"{margin} for {loss.metric}"
        )
    return {**loss.options, "margin": margin}


def _replace(section: _Section, **values: Any) -> _Section:
    given = {name: value for name, value in values.items() if value is not None}
    return dataclasses.replace(section, **given)  # type: ignore[type-var]


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """Returns the recipe that `Recipe.to_dict` wrote, also after a round trip through JSON.

    Names of version 0.1.0 are taken for those of today.

    Raises:
        InputError: The dict is not one of a recipe of this version.
    """
    try:
        recipe: Recipe = from_plain(Recipe, rename_recipe(values))
    except WRONG_VALUES as error:
        raise InputError(f"not a recipe of this version ({error}). Start a new run.") from None
    return recipe


def set_fields(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """Sets fields of the sections of a recipe.

    Args:
        recipe: What is changed.
        assignments: `section.field=value`; the value is text or JSON, as in
            `batches.balance={"market1501": 2}`.

    Returns:
        The changed recipe.

    Raises:
        InputError: There is no such section or field, or it cannot have the value.

    Example:
        >>> set_fields(Recipe(name="mine"), ["batches.num_identities=8"]).batches.num_identities
        8
    """
    for assignment in assignments:
        place, separator, text = assignment.partition("=")
        section, dot, name = place.partition(".")
        if not separator or not dot:
            raise InputError(
                "`set` takes section.field=value, such as batches.balance=source. Received: "
                f"{assignment}"
            )
        sections: dict[str, Any] = {
            n: s for n, s in vars(recipe).items() if dataclasses.is_dataclass(s)
        }
        _check_name(section, sections, place)
        hints = typing.get_type_hints(type(sections[section]))
        _check_name(name, hints, place)
        value = _read_value(text, hints[name], place)
        changes = {section: dataclasses.replace(sections[section], **{name: value})}
        recipe = dataclasses.replace(recipe, **changes)
    return recipe


def _check_name(name: str, names: Collection[str], place: str) -> None:
    if name not in names:
        hint = hint_at(name, names)
        raise InputError(f"`set` must name a field of a recipe. Received: {place}. {hint}")


def _read_value(text: str, hint: Any, place: str) -> Any:
    """Reads JSON where it is what the field takes, else the text itself."""
    values = [text]
    with contextlib.suppress(ValueError):
        values.insert(0, json.loads(text))
    for value in values:
        with contextlib.suppress(TypeError):
            return _fit(value, hint)
    shown = getattr(hint, "__name__", "") if isinstance(hint, type) else str(hint)
    shown = re.sub(r"typing\.|collections\.abc\.", "", shown)
    raise InputError(f"`{place}` must be of the kind {shown}. Received: {text}")


def _fit(value: Any, hint: Any) -> Any:
    """Returns a value as its field holds it, or raises TypeError."""
    origin, kinds = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for kind in kinds:
            with contextlib.suppress(TypeError):
                return _fit(value, kind)
    elif origin is Literal:
        if any(type(value) is type(kind) and value == kind for kind in kinds):
            return value
    elif origin is tuple and isinstance(value, list):
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        if len(kinds) == len(value):
            return tuple(_fit(*both) for both in zip(value, kinds, strict=True))
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {key: _fit(item, kinds[1]) for key, item in value.items()}
    elif hint is Any or type(value) is hint:
        return value
    elif hint is float and type(value) is int:
        return float(value)
    raise TypeError
