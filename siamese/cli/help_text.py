"""The help of a command on one screen: its first three options, then the others."""

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from siamese.cli.program import Option

_WORDS = {Path: "PATH", str: "TEXT", int: "INT", float: "FLOAT", bool: "True|False"}
_FIRST = 3
_INDENT = 24


@dataclass(frozen=True)
class Parameter:
    """One option or positional argument of a command.

    Attributes:
        flags: `--name` and its other names; empty for a positional argument.
        value: What follows it, such as `PATH`; empty for a switch.
        text: What it is, from the docstring.
        default: Of its value.
        group: Whether it is one of a dataclass's, which are named in one line.
    """

    flags: tuple[str, ...]
    value: str
    text: str
    default: Any
    group: bool = False


def value_of(hint: Any) -> str:
    """Returns the word for the values of a type.

    Example:
        >>> value_of(Path | None), value_of(tuple[int, int] | None), value_of(Literal["a", "b"])
        ('PATH', 'INT INT', 'a|b')
    """
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return "|".join(value_of(each) for each in inside if each is not type(None))
    if kind is Annotated:
        return value_of(inside[0])
    if kind is Literal:
        return "|".join(map(str, inside))
    if kind is tuple and inside[-1] is Ellipsis:
        return f"{value_of(inside[0])} ..."
    if kind is tuple:
        return " ".join(map(value_of, inside))
    return _WORDS.get(hint, "TEXT")


def split_hint(hint: Any) -> tuple[Any, Option]:
    """Returns the type that an annotation names, and how the option is typed."""
    if get_origin(hint) is not Annotated:
        return hint, Option()
    plain, option = get_args(hint)
    return plain, option


def list_parameters(command: Callable[..., Any]) -> list[Parameter]:
    """Lists the options and positional arguments of a command, in the order of its signature."""
    return list(_walk(command, inspect.signature(command).parameters))


def write_help(command: Callable[..., Any], name: str, examples: Sequence[str], full: bool) -> str:
    """Writes the help of a command: all that is told of each option, or what fits a line."""
    width = _width()
    text = inspect.cleandoc(command.__doc__ or "").split("\nArgs:")[0].strip()
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n")]
    parameters = list_parameters(command)
    given = [each for each in parameters if not each.flags]
    options = [each for each in parameters if each.flags]
    own = [each for each in options if not each.group]
    lines = [f"usage: {name} {' '.join([each.value for each in given] + ['[OPTIONS]'])}"]
    for paragraph in paragraphs if full else paragraphs[:1]:
        lines += ["", *textwrap.wrap(paragraph, width)]
    lines += ["", *(f"$ {example}" for example in (examples if full else examples[:2])), ""]
    for each in given + own[:_FIRST]:
        lines += _describe(each, width, full)
    if own[_FIRST:]:
        lines += ["", "more options"]
    for each in own[_FIRST:]:
        lines += _describe(each, width, full)
    group = [each for each in options if each.group]
    if group and full:
        for each in group:
            lines += _describe(each, width, full)
    elif group:
        flags = ", ".join(each.flags[0] for each in group)
        lines += [f"  {flags}", " " * _INDENT + "of a model made elsewhere (docs/python.md)"]
    lines += ["", "  -q, -v: say less or more; -h: this help; -h -v: the whole of it"]
    return "\n".join(lines)


def write_list(name: str, commands: Mapping[str, str]) -> str:
    """Writes the help of a group of commands, of which the first lines of their help are given."""
    width = _width()
    lines = [f"usage: {name} COMMAND [OPTIONS]", ""]
    lines += [f"What `{name}` can do; each has a --help of its own.", ""]
    for word, text in commands.items():
        lines += _describe(Parameter((word,), "", text, None), width, full=True)
    return "\n".join(lines)


def _width() -> int:
    return min(100, shutil.get_terminal_size((100, 40)).columns)


def _walk(command: Any, parameters: Any) -> Iterator[Parameter]:
    told = _read_docstring(command.__doc__ or "")
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in parameters.items():
        plain, option = split_hint(hints[name])
        if is_dataclass(plain):
            yield from _walk_fields(plain)
            continue
        value = option.metavar or value_of(plain)
        if plain is bool and parameter.default is False:
            value = ""
        if option.positional and parameter.default is not inspect.Parameter.empty:
            value = f"[{value}]"
        flags = () if option.positional else (*option.aliases, f"--{option.name or name}")
        yield Parameter(flags, value, told.get(name, ""), parameter.default)


def _walk_fields(kind: Any) -> Iterator[Parameter]:
    told, hints = _read_docstring(kind.__doc__ or ""), get_type_hints(kind)
    for each in fields(kind):
        yield Parameter(
            (f"--{each.name}",), value_of(hints[each.name]), told[each.name], each.default, True
        )


def _read_docstring(text: str) -> dict[str, str]:
    """Reads the parameters or attributes of a docstring, by name."""
    part = re.split(r"\n(?:Args|Attributes):\n", inspect.cleandoc(text))[-1].split("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", part, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def _describe(parameter: Parameter, width: int, full: bool) -> list[str]:
    left = f"  {', '.join(parameter.flags)} {parameter.value}".rstrip().replace("   ", "  ")
    text, default = parameter.text, parameter.default
    if not full:
        text = _shorten(text, width - _INDENT)
    if default is inspect.Parameter.empty:
        text += " (required)" if parameter.flags else ""
    elif default not in (None, ()) and default is not False and "default" not in text:
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        text += f" (default: {shown})"
    right = textwrap.wrap(text, width - _INDENT) or [""]
    if len(left) < _INDENT:
        right[0] = f"{left:{_INDENT}}{right[0]}"
        return [right[0], *(" " * _INDENT + line for line in right[1:])]
    return [left, *(" " * _INDENT + line for line in right)]


def _shorten(text: str, width: int) -> str:
    """Cuts a text after the last sentence, or part of one, with which it fits a line."""
    ends = [*(match.start() for match in re.finditer(r"(?<=\w)[.;] ", text)), len(text)]
    fitting = [end for end in ends if end <= width]
    return text[: max(fitting) if fitting else ends[0]].rstrip(".")
