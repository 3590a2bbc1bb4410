"""Parts that every command shares: quiet imports, progress, one-line errors."""

import contextlib
import errno
import importlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from siamese.errors import InputError
from siamese.extras import is_extra, missing
from siamese.preprocessing import Preprocessing


@dataclass(frozen=True)
class Option:
    """How an option is typed, where its parameter does not say; an annotation.

    Not tyro's own, whose import takes longer than the help that is asked for.

    Attributes:
        name: In place of the parameter's.
        aliases: Its other names.
        metavar: Word for its value.
        positional: It is typed without a name.
    """

    name: str | None = None
    aliases: tuple[str, ...] = ()
    metavar: str | None = None
    positional: bool = False


POSITIONAL = Option(positional=True)
Json: TypeAlias = Annotated[bool, Option(name="json")]
"""The option --json."""
Stated: TypeAlias = Annotated[Preprocessing, Option(name="")]
"""The options --image_size, --channels, --pixels, --mean and --deviation."""


_volume: ContextVar[int] = ContextVar("volume", default=0)
"""How much is said beside results: -1 nothing but errors, 0 notes, 1 also where errors arose."""
_MINUTE = 60


@contextlib.contextmanager
def speaking(*, quiet: bool, verbose: bool) -> Iterator[None]:
    """Sets how much is said beside results: -q and -v."""
    logger, handler = logging.getLogger("siamese"), logging.StreamHandler()
    token, level = _volume.set(verbose - quiet), logger.level
    if quiet or verbose:
        logger.setLevel(logging.ERROR if quiet else logging.INFO)
        logger.addHandler(handler)
    try:
        yield
    finally:
        _volume.reset(token)
        logger.setLevel(level)
        logger.removeHandler(handler)


def guard(call: Callable[[], Any], words: Sequence[str] = ()) -> int:
    """The exit code of a command; what a user can fix becomes one line."""
    try:
        try:
            code: int | None = call()
        finally:
            _flush()
    except InputError as error:
        message = _name_flags(" ".join(str(error).split()), words)
        if _volume.get() > 0:
            import traceback

            traceback.print_exc()
    except ImportError as error:
        if not is_extra(error.name):
            raise
        message = str(missing("this", str(error.name)))
    except BrokenPipeError:  # the reader of our output has gone, as in `... | head`
        return 0
    except OSError as error:
        message = _describe(error)
    except UnicodeEncodeError as error:
        message = _describe_text(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    else:
        return code or 0
    print(f"error: {message}", file=sys.stderr)
    return 2


def _name_flags(message: str, words: Sequence[str]) -> str:
    """Names parameters of Python as they were typed: `--batch_size` for `batch_size`."""
    for word in words:
        flag = word.partition("=")[0]
        name = re.escape(flag.lstrip("-").replace("-", "_"))
        if flag.startswith("-") and name:
            message = message.replace(f"`{name}`", flag)
            message = re.sub(rf"(?<![\w.-]){name}=", f"{flag} ", message)
    return message


def _flush() -> None:
    """Writes what was printed while errors can still be told, not when the process ends."""
    if sys.stdout is None:  # closed by who started us, as in `>&-`
        return
    try:
        sys.stdout.flush()
    except OSError:
        # What is left would fail once more at the end.
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise


def _describe(error: OSError) -> str:
    if error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{error}. Free some space, or choose another folder."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{error}. Change the permissions, or choose another folder (--output_dir, --output; "
            "of train --records, --run, --log)."
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
        for place in (path, *path.parents):
            if place.is_file():
                return f"{place}: is a file. Choose another folder."
    if error.errno == errno.EISDIR and error.filename is not None:
        return f"{error.filename}: is a folder. Choose another name."
    return str(error)


def _describe_text(error: UnicodeEncodeError) -> str:
    shown = error.object[max(0, error.start - 60) : error.end + 60]
    shown = " ".join(shown.encode("ascii", "backslashreplace").decode().split())
    if "\ud800" <= error.object[error.start] <= "\udfff":
        return f"a file name is not UTF-8: {shown}. Rename it."
    return f"{shown}: cannot be written as {error.encoding}. Set PYTHONUTF8=1."


def import_quietly(name: str) -> None:
    """Imports a library whose C++ part writes start-up notes to standard error, past Python.

    TF_CPP_MIN_LOG_LEVEL does not reach the notes that come before TensorFlow's logging starts; they
    would bury the program's own lines. Where the import fails they are shown.
    """
    import tempfile

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
    """Opens standard error for progress and notes: standard output stays for results."""
    from rich.console import Console

    return Console(stderr=True, quiet=_volume.get() < 0)


def say(text: str, console: Any = None) -> None:
    """Says a line of progress or a note as it is: no colours, no markup, no breaks."""
    (console or open_console()).print(text, highlight=False, markup=False, soft_wrap=True)


def chance(probability: float) -> str:
    """Writes a probability that is an estimate: never as 0 % or 100 %.

    Example:
        >>> chance(0.99996), chance(0.617), chance(0.0002)
        ('>99.9%', '61.7%', '<0.1%')
    """
    if 0.001 <= probability <= 0.999:
        return f"{probability:.1%}"
    return ">99.9%" if probability > 0.5 else "<0.1%"


def say_dry(where: object, what: str) -> None:
    """Prints what a command with --dry_run would do to a file or folder."""
    print(f"would change {where}: {what}")
    print("dry run      nothing was written")


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on standard error; where that is no terminal, a line a minute."""
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = open_console()
    if not console.is_terminal:
        yield _minutes(what, console)
        return
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=console.quiet) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _minutes(what: str, console: Any) -> Callable[[int, int], None]:
    started = time.monotonic()
    told = [started]

    def tell(done: int, total: int) -> None:
        now = time.monotonic()
        if now - told[0] >= _MINUTE and done:
            told[0] = now
            left = (now - started) / done * (total - done) / _MINUTE
            line = f"{done:,} of {total:,} {what}, {left:.0f} minutes left"
            say(line, console)

    return tell
