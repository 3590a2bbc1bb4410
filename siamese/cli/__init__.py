"""The command line: one function a stage; its signature is the options, its docstring the help.

Nothing heavy is imported before the options are parsed, so that `--help` answers at once.
"""

import functools
import inspect as inspect_module
import sys
from collections.abc import Callable, Mapping, Sequence

import tyro

from siamese.cli import gallery_commands
from siamese.cli.app_command import app
from siamese.cli.augment_command import augment
from siamese.cli.calibration_command import calibrate
from siamese.cli.dataset_commands import create_records, draw, inspect, verify_records
from siamese.cli.embedding_commands import embed, find_similar
from siamese.cli.evaluation_commands import compare, evaluate
from siamese.cli.examples import EXAMPLES
from siamese.cli.export_command import export
from siamese.cli.program import guard
from siamese.cli.train_command import train
from siamese.cli.verification_commands import explain, verify

__all__ = ["COMMANDS", "Command", "create_records", "main", "run", "train", "verify"]

Command = Callable[..., int | None]

COMMANDS: dict[str, Command | Mapping[str, Command]] = {
    "inspect": inspect,
    "records": {"make": create_records, "verify": verify_records},
    "train": train,
    "verify": verify,
    "explain": explain,
    "calibrate": calibrate,
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
        "index": gallery_commands.index,
    },
}
"""A command, or a group of commands such as `siamese records make`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The `siamese` command.

    Args:
        arguments: What follows the program's name; by default of this process.

    Returns:
        The exit code: 0, 1 where a check found something wrong, 2 for what the user can fix, 130
        after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name, commands = "siamese", COMMANDS
    while arguments and arguments[0] in commands:
        word = arguments.pop(0)
        name, chosen = f"{name} {word}", commands[word]
        if not isinstance(chosen, Mapping):
            return guard(
                functools.partial(
                    tyro.cli,
                    chosen,
                    prog=name,
                    description=_manual(name, chosen),
                    args=arguments,
                    use_underscores=True,
                )
            )
        commands = dict(chosen)
    return guard(
        functools.partial(
            tyro.extras.subcommand_cli_from_dict,
            {word: _listed(each) for word, each in commands.items()},
            prog=name,
            description="Person re-identification: folders of pedestrian crops to verdicts."
            if name == "siamese"
            else f"What `{name}` can do; each has a --help of its own.",
            args=arguments,
            use_underscores=True,
        )
    )


def _manual(name: str, command: Command) -> str:
    """What the help of a command says before its options."""
    text = inspect_module.cleandoc(command.__doc__ or "").split("\nArgs:")[0].rstrip()
    examples = EXAMPLES.get(name.removeprefix("siamese "), ())
    # A line that begins with a letter would be joined to the one before it.
    return "\n".join([text, "", *(f"$ {example}" for example in examples)]).rstrip()


def _listed(command: Command | Mapping[str, Command]) -> Command:
    """A command as the lists of commands show it: by its first line, or by what a group has."""

    def listed() -> None:
        raise AssertionError("a command of the list is taken before the list is made")

    if isinstance(command, Mapping):
        listed.__doc__ = "A group: " + ", ".join(command) + "."
    else:
        listed.__doc__ = (command.__doc__ or "").splitlines()[0]
    return listed


def run(command: Callable[..., int | None], arguments: Sequence[str] | None = None) -> int:
    """One command as a program of its own: what the three scripts are.

    Args:
        command: A value of `COMMANDS`.
        arguments: What follows the program's name; by default of this process.

    Returns:
        The exit code, as `main`.
    """
    return guard(functools.partial(tyro.cli, command, args=arguments, use_underscores=True))
