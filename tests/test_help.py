"""The help of every command, and how much commands say beside their results."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import pytest

from siamese.cli import COMMANDS, Command, main, program, run
from siamese.cli.help_text import list_parameters
from siamese.errors import InputError


def _commands() -> Iterator[tuple[list[str], Command]]:
    for name, command in COMMANDS.items():
        if isinstance(command, Mapping):
            yield from (([name, word], each) for word, each in command.items())
        else:
            yield [name], command


@pytest.mark.parametrize(("words", "command"), list(_commands()))
def test_help_is_a_screen_that_names_every_option(
    words: list[str],
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert main([*words, "-h", "-v"]) == 0
    whole = capsys.readouterr().out
    for text in (shown, whole):
        assert "None" not in text
        assert max(map(len, text.splitlines())) <= 100
        for each in list_parameters(command):
            assert each.text, each
            assert all(flag in text for flag in each.flags), each
    assert shown.count("\n") <= 50
    first = [each for each in list_parameters(command) if each.flags][:3]
    if "more options" in shown:
        before = shown.partition("more options")[0]
        assert all(each.flags[-1] in before for each in first)


@pytest.mark.parametrize("words", [[], ["records"], ["gallery"]])
def test_lists_say_what_each_command_does(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*words, "-h"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: {' '.join(['siamese', *words])} COMMAND")
    assert max(map(len, shown.splitlines())) <= 100
    group = COMMANDS[words[0]] if words else COMMANDS
    assert isinstance(group, Mapping)
    for name, command in group.items():
        told = "A group: " if isinstance(command, Mapping) else str(command.__doc__).split("\n")[0]
        assert f"{name} {told}" in " ".join(shown.split())


def test_help_says_what_is_needed_and_what_holds_by_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["evaluate", "-h"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--data PATH A dataset folder with a query" in shown
    assert "each person and camera is a query (required)" in shown
    assert "small_set (default: 0) --json Print one JSON object" in shown


def _count(
    folder: Annotated[Path, program.POSITIONAL], batch_size: int = 8, level: int = 1
) -> None:
    """Counts.

    Args:
        folder: Where.
        batch_size: How many.
        level: How.
    """
    if batch_size < 1:
        raise InputError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}.")
    if level < 1:
        raise InputError(f"`level` must be at least 1. Received: level={level}.")
    if level == 2:
        raise InputError("`batch_size` is too small.")
    logging.getLogger("siamese.count").warning("a note")
    program.open_console().print("a line")
    with program.counting("images") as progress:
        progress(1, 2)


def test_errors_name_the_flag_where_one_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--batch_size", "0"], ["--batch_size=0"]):
        assert run(_count, ["here", *words]) == 2
        said = capsys.readouterr().err
        assert said == "error: --batch_size must be at least 1. Received: --batch_size 0.\n"
    assert run(_count, ["here", "--batch-size", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: --batch-size must be at least 1.")
    assert run(_count, ["here", "--level", "2"]) == 2
    assert capsys.readouterr().err == "error: `batch_size` is too small.\n"  # not given


def test_quiet_and_verbose(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_MINUTE", 1e-9)
    assert run(_count, ["here", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert run(_count, ["here"]) == 0
    assert "a line" in capsys.readouterr().err
    assert run(_count, ["here", "--verbose"]) == 0
    assert "a note" in capsys.readouterr().err
    assert run(_count, ["-v", "here", "--level", "0"]) == 2
    said = capsys.readouterr().err
    assert "in _count" in said  # where it arose
    assert said.endswith("error: --level must be at least 1. Received: --level 0.\n")
    assert not logging.getLogger("siamese").handlers


def test_progress_is_a_line_a_minute_where_nobody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(program.time, "monotonic", lambda: now)
    with program.counting("images") as progress:
        for done in range(1, 301):
            now += 1.0
            progress(done, 600)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "60 of 600 images, 9 minutes left"
    assert lines[-1] == "300 of 600 images, 5 minutes left"
    assert len(lines) == 5
