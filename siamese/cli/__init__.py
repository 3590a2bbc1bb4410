"""The command line: one function a stage; its signature is the options, its docstring the help.

Nothing heavy is imported before the options are parsed, so that `--help` answers at once.
"""

import functools
import inspect as inspect_module
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import siamese
from siamese.cli import gallery_commands
from siamese.cli.app_command import app, serve
from siamese.cli.dataset_commands import augment, create_records, draw, inspect, verify_records
from siamese.cli.embedding_commands import calibrate, embed, find_similar
from siamese.cli.evaluation_commands import compare, evaluate
from siamese.cli.examples import EXAMPLES
from siamese.cli.help_text import split_hint, value_of, write_help, write_list
from siamese.cli.identities_command import identities
from siamese.cli.model_commands import export, model_info, use
from siamese.cli.program import guard, speaking
from siamese.cli.train_command import train
from siamese.cli.verification_commands import explain, verify
from siamese.errors import InputError, hint_at
from siamese.extras import require

__all__ = ["COMMANDS", "Command", "create_records", "main", "run", "train", "verify"]

Command = Callable[..., int | None]

_GALLERY: dict[str, Command] = {
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
}

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
    "info": model_info,
    "use": use,
    "app": app,
    "serve": serve,
    "draw": draw,
    "augment": augment,
    "gallery": _GALLERY,
}
"""A command, or a group of commands such as `siamese records make`."""

_NEEDS: dict[Any, str] = {
    create_records: "records",
    verify_records: "records",
    train: "train",
    explain: "train",
    augment: "train",
    calibrate: "evaluate",
    identities: "evaluate",
    evaluate: "evaluate",
    compare: "evaluate",
    export: "train",
    app: "app",
    serve: "serve",
    **dict.fromkeys(_GALLERY.values(), "gallery"),
}
"""The extra without which a command can do nothing."""
_PICTURES = (inspect, verify, find_similar, gallery_commands.search)
"""Commands whose --output is a picture, which matplotlib draws."""


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
    if {*arguments} & {"-h", "--help"}:
        lines = {word: _first_line(each) for word, each in commands.items()}
        return guard(functools.partial(print, write_list(name, lines)))
    import tyro  # takes longer than the help

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
    words = list(sys.argv[1:] if arguments is None else arguments)
    quiet, verbose = (bool({*words} & names) for names in ({"-q", "--quiet"}, {"-v", "--verbose"}))
    words = [word for word in words if word not in ("-q", "--quiet", "-v", "--verbose")]
    if {*words} & {"-h", "--help"}:
        examples = EXAMPLES.get(name.removeprefix("siamese "), ()) if name else ()
        shown = write_help(command, name or Path(sys.argv[0]).name, examples, verbose)
        return guard(functools.partial(print, shown))
    import tyro

    parse = functools.partial(
        tyro.cli,
        _shown(command, name or "this command"),
        prog=name,
        args=words,
        use_underscores=True,
    )
    with speaking(quiet=quiet, verbose=verbose):
        return guard(parse, words)


def _shown(command: Command, name: str) -> Command:
    """Prepares a command for tyro: checks what it needs, and shows PATH in place of {None}|PATH."""
    signature = inspect_module.signature(command)

    @functools.wraps(command)
    def shown(*given: Any, **named: Any) -> int | None:
        if command in _NEEDS:
            require(f"`{name}`", _NEEDS[command])
        options = signature.bind(*given, **named).arguments
        if command in _PICTURES and options.get("output") and not options.get("pairs"):
            require("a picture", "evaluate")
        return command(*given, **named)

    del shown.__wrapped__  # tyro would look at what it wraps
    shown.__signature__ = signature  # type: ignore[attr-defined]
    hints = get_type_hints(command, include_extras=True)
    shown.__annotations__ = {
        name: _for_tyro(hints[name], each.default) for name, each in signature.parameters.items()
    }
    return shown


def _for_tyro(hint: Any, default: Any) -> Any:
    import tyro

    plain, option = split_hint(hint)
    metavar = option.metavar or (value_of(plain) if type(None) in get_args(plain) else None)
    aliases = option.aliases or None
    marks: list[Any] = [tyro.conf.arg(name=option.name, aliases=aliases, metavar=metavar)]
    if option.positional:
        marks.append(tyro.conf.Positional)
    if plain is bool:
        marks.append(tyro.conf.FlagConversionOff if default else tyro.conf.FlagCreatePairsOff)
    return Annotated[(plain, *marks)]


def _refuse(name: str, word: str, commands: Collection[str]) -> None:
    hint = hint_at(word, commands, f"`{name} {{}}`")
    raise InputError(f"there is no command `{name} {word}`. {hint}")


def _listed(command: Command | Mapping[str, Command]) -> Command:
    def listed() -> None:
        raise AssertionError("a command of the list is taken before the list is made")

    listed.__doc__ = _first_line(command)
    return listed


def _first_line(command: Command | Mapping[str, Command]) -> str:
    """Says what a command does, or what a group has."""
    if isinstance(command, Mapping):
        return "A group: " + ", ".join(command) + "."
    return (command.__doc__ or "").splitlines()[0]
