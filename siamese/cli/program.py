"""What every command shares: quiet imports, progress, one-line errors."""

import contextlib
import errno
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import tyro

from siamese.errors import InputError

Flag = tyro.conf.FlagCreatePairsOff[bool]


def guard(call: Callable[[], Any]) -> int:
    """The exit code of a command; what a user can mend becomes one line."""
    try:
        code: int | None = call()
    except InputError as error:
        message = " ".join(str(error).split())
    except BrokenPipeError:  # the reader of our output has gone, as in `... | head`
        sys.stderr.close()
        return 0
    except OSError as error:
        message = str(error)
        if error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            message += ". Free some space, or choose another folder."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            message += ". Change the permissions, or choose another folder."
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    else:
        return code or 0
    print(f"error: {message}", file=sys.stderr)
    return 2


def import_quietly(name: str) -> None:
    """Imports a library whose C++ part writes start-up notes to standard error, past Python.

    TF_CPP_MIN_LOG_LEVEL does not reach the notes that come before TensorFlow's logging starts; they
    would bury the program's own lines. Where the import fails they are shown.
    """
    saved = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            importlib.import_module(name)
        except ImportError:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def open_console() -> Any:
    """Where progress and notes go: standard error, so that standard output stays for results."""
    from rich.console import Console

    return Console(stderr=True)


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while something counts; nothing where that is no terminal."""
    from rich.progress import Progress

    console = open_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
