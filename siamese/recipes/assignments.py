"""Fields of a recipe set by text: `batches.balance=source`."""

import contextlib
import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from siamese.errors import InputError
from siamese.recipes.sections import Recipe


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
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Choose from: {', '.join(names)}."
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
