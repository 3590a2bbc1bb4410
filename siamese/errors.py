"""The one error that is the user's to fix."""


class InputError(ValueError):
    """Tells that something the user gave cannot be used.

    The message is one line that says what was expected, what was received and how to fix it. The
    command line prints it without a traceback and exits with code 2.
    """
