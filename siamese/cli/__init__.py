"""The command line: one function a stage; its signature is the options, its docstring the help.

Nothing heavy is imported before the options are parsed, so that `--help` answers at once.
"""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence

import tyro

from siamese.cli import gallery
from siamese.cli.app import app
from siamese.cli.augmentation import augment
from siamese.cli.datasets import create_records, draw, inspect, verify_records
from siamese.cli.embedding import embed, find_similar
from siamese.cli.exporting import export
from siamese.cli.program import guard
from siamese.cli.scoring import compare, evaluate
from siamese.cli.training import train
from siamese.cli.verification import explain, verify

__all__ = ["COMMANDS", "Command", "create_records", "main", "run", "train", "verify"]

Command = Callable[..., int | None]

COMMANDS: dict[str, Command | Mapping[str, Command]] = {
    "inspect": inspect,
    "records": {"make": create_records, "verify": verify_records},
    "train": train,
    "verify": verify,
    "explain": explain,
    "evaluate": evaluate,
    "compare": compare,
    "embed": embed,
    "find_similar": find_similar,
    "export": export,
    "app": app,
    "draw": draw,
    "augment": augment,
    "gallery": {
        "add": gallery.add,
        "search": gallery.search,
        "merge": gallery.merge,
        "remove": gallery.remove,
        "info": gallery.info,
        "export": gallery.export,
        "verify": gallery.verify_gallery,
        "reembed": gallery.reembed,
        "index": gallery.index,
    },
}
"""A command, or a group of commands such as `siamese records make`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The `siamese` command.

    Args:
        arguments: What follows the program's name; by default of this process.

    Returns:
        The exit code: 0, 1 where a check found something wrong, 2 for what the user can mend, 130
        after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    group = COMMANDS.get(arguments[0]) if arguments else None
    if isinstance(group, Mapping):
        return guard(
            functools.partial(
                tyro.extras.subcommand_cli_from_dict,
                dict(group),
                prog=f"siamese {arguments[0]}",
                description=_list(group),
                args=arguments[1:],
                use_underscores=True,
            )
        )
    call = functools.partial(
        tyro.extras.subcommand_cli_from_dict,
        {name: _group(name, each) for name, each in COMMANDS.items()},
        prog="siamese",
        description="Person re-identification: folders of pedestrian crops to verdicts.",
        args=arguments,
        use_underscores=True,
    )
    return guard(call)


def _group(name: str, command: Command | Mapping[str, Command]) -> Command:
    """A command as it is; a group as a command, for the list that `siamese --help` prints."""
    if not isinstance(command, Mapping):
        return command

    def group() -> None:
        raise AssertionError(name)  # `main` has taken it

    group.__doc__ = _list(command)
    return group


def _list(group: Mapping[str, Command]) -> str:
    first = [(name, (each.__doc__ or "").splitlines()[0]) for name, each in group.items()]
    return "\n".join(f"{name}: {text}" for name, text in first)


def run(command: Callable[..., int | None], arguments: Sequence[str] | None = None) -> int:
    """One command as a program of its own: what the three scripts are.

    Args:
        command: A value of `COMMANDS`.
        arguments: What follows the program's name; by default of this process.

    Returns:
        The exit code, as `main`.
    """
    return guard(functools.partial(tyro.cli, command, args=arguments, use_underscores=True))
