"""The command line: one function a stage; its signature is the options, its docstring the help.

Nothing heavy is imported before the options are parsed, so that `--help` answers at once.
"""

import difflib
import functools
import inspect as inspect_module
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

import siamese
from siamese.cli import gallery_commands
from siamese.cli.app_command import app
from siamese.cli.augment_command import augment
from siamese.cli.calibration_command import calibrate
from siamese.cli.dataset_commands import create_records, draw, inspect, verify_records
from siamese.cli.embedding_commands import embed, find_similar
from siamese.cli.evaluation_commands import compare, evaluate
from siamese.cli.examples import EXAMPLES
from siamese.cli.export_command import export
from siamese.cli.identities_command import identities
from siamese.cli.program import guard
from siamese.cli.train_command import train
from siamese.cli.verification_commands import explain, verify
from siamese.errors import InputError

__all__ = ["COMMANDS", "Command", "create_records", "main", "run", "train", "verify"]

Command = Callable[..., int | None]

_METAVARS = {Path | None: "PATH", str | None: "TEXT", int | None: "INT", float | None: "FLOAT"}

COMMANDS: dict[str, Command | Mapping[str, Command]] = {
    "inspect": inspect,
    "records": {"make": create_records, "verify": verify_records},
    "train": train,
    "verify": verify,
    "explain": explain,
    "calibrate": calibrate,
    "identities": identities,
    "evaluate": evaluate,
    "compare": compare,
    "embed": embed,
    "find_similar": find_similar,
    "export": export,
    "app": app,
    "draw": draw,
    "augment": augment,
    "gallery": {
        "add": gallery_commands.add,
        "search": gallery_commands.search,
        "merge": gallery_commands.merge,
        "remove": gallery_commands.remove,
        "info": gallery_commands.info,
        "export": gallery_commands.export,
        "verify": gallery_commands.verify_gallery,
        "reembed": gallery_commands.reembed,
        "calibrate": gallery_commands.calibrate_gallery,
        "index": gallery_commands.index,
    },
}
"""A command, or a group of commands such as `siamese records make`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The `siamese` command.

    Args:
        arguments: What follows the program's name; by default of this process. Hyphens and
            underscores are the same in commands and options.

    Returns:
        The exit code: 0, 1 where a check found something wrong, 2 for what the user can fix, 130
        after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["--version"]:
        print(f"siamese {siamese.__version__}")
        return 0
    name = "siamese"
    commands: Mapping[str, Command | Mapping[str, Command]] = COMMANDS
    while arguments and not arguments[0].startswith("-"):
        given = arguments.pop(0)
        word = given.replace("-", "_")
        if word not in commands:
            return guard(functools.partial(_refuse, name, given, commands))
        name, chosen = f"{name} {word}", commands[word]
        if not isinstance(chosen, Mapping):
            return run(chosen, arguments, name)
        commands = chosen
    return guard(
        functools.partial(
            tyro.extras.subcommand_cli_from_dict,
            {word: _listed(each) for word, each in commands.items()},
            prog=name,
            description=f"What `{name}` can do; each has a --help of its own.",
            args=arguments,
            use_underscores=True,
        )
    )


def run(command: Command, arguments: Sequence[str] | None = None, name: str | None = None) -> int:
    """One command as a program: what the three scripts are.

    Args:
        command: A value of `COMMANDS`.
        arguments: What follows the program's name; by default of this process.
        name: The program's name in its help, with examples; by default of this process, without.

    Returns:
        The exit code, as `main`.
    """
    text = inspect_module.cleandoc(command.__doc__ or "").split("\nArgs:")[0].rstrip()
    examples = EXAMPLES.get(name.removeprefix("siamese "), ()) if name else ()
    # A line that begins with a letter would be joined to the one before it.
    manual = "\n".join([text, "", *(f"$ {example}" for example in examples)]).rstrip()
    return guard(
        functools.partial(
            tyro.cli,
            _with_metavars(command),
            prog=name,
            description=manual,
            args=arguments,
            use_underscores=True,
        )
    )


def _with_metavars(command: Command) -> Command:
    """Shows options that may be left out by the kind of value: PATH in place of {None}|PATH."""

    @functools.wraps(command)
    def shown(*given: Any, **named: Any) -> int | None:
        return command(*given, **named)

    del shown.__wrapped__  # tyro would look at what it wraps
    shown.__signature__ = inspect_module.signature(command)  # type: ignore[attr-defined]
    shown.__annotations__ = {
        name: Annotated[hint, tyro.conf.arg(metavar=_METAVARS[hint])] if hint in _METAVARS else hint
        for name, hint in get_type_hints(command, include_extras=True).items()
    }
    return shown


def _refuse(name: str, word: str, commands: Collection[str]) -> None:
    near = difflib.get_close_matches(word, commands, n=1)
    hint = f"Did you mean `{name} {near[0]}`?" if near else f"Choose from: {', '.join(commands)}."
    raise InputError(f"there is no command `{name} {word}`. {hint}")


def _listed(command: Command | Mapping[str, Command]) -> Command:
    """A command as the lists of commands show it: by its first line, or by what a group has."""

    def listed() -> None:
        raise AssertionError("a command of the list is taken before the list is made")

    if isinstance(command, Mapping):
        listed.__doc__ = "A group: " + ", ".join(command) + "."
    else:
        listed.__doc__ = (command.__doc__ or "").splitlines()[0]
    return listed
