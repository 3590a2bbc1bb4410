"""The one error that is the user's to fix, and what to do at a damaged image."""

from typing import Literal, TypeAlias

OnCorrupt: TypeAlias = Literal["error", "skip"]
"""What damaged images do: they end the work, or are left out and counted."""


class InputError(ValueError):
    """Tells that something the user gave cannot be used.

    The message is one line that says what was expected, what was received and how to fix it. The
    command line prints it without a traceback and exits with code 2.
    """
