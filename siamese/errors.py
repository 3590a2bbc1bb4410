"""The one error that is the user's to fix, and what to do at a damaged image."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

OnCorrupt: TypeAlias = Literal["error", "skip"]
"""What damaged images do: they end the work, or are left out and counted."""

WRONG_VALUES = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What is raised by JSON that is damaged or holds other values than were written."""


class InputError(ValueError):
    """Tells that something the user gave cannot be used.

    The message is one line that says what was expected, what was received and how to fix it. The
    command line prints it without a traceback and exits with code 2.
    """


def hint_at(name: str, names: Collection[str], form: str = "{}") -> str:
    """Returns how an error about a name ends: with the nearest one that there is, else with all.

    Example:
        >>> hint_at("osnt", ["osnet", "apn"]), hint_at("x", ["osnet", "apn"])
        ('Did you mean osnet?', 'Choose from: osnet, apn.')
    """
    import difflib  # which most runs do not need

    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"Did you mean {form.format(near[0])}?"
    return f"Choose from: {', '.join(names)}."


def brief(error: BaseException) -> str:
    """Returns the words of an error on one line of at most 160 characters, else its kind.

    Example:
        >>> brief(ValueError("of two  words ")), brief(ValueError())
        ('of two words', 'ValueError')
    """
    return " ".join(str(error).split())[:160] or type(error).__name__


@contextmanager
def refusing_damage(path: Path, fix: str, what: str = "is damaged") -> Iterator[None]:
    """Says in one line that a file holds other values than this program wrote.

    Raises:
        InputError: One of `WRONG_VALUES` was raised.
    """
    try:
        yield
    except WRONG_VALUES as error:
        raise InputError(f"{path}: {what} ({brief(error)}). {fix}") from None
