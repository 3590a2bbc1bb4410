"""Who has a run folder."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from siamese.errors import InputError

LOCK = "in_use.lock"


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Holds a run folder for this process; a kill lets go of it as well.

    The operating system keeps the lock, on the file `in_use.lock`. Not on Windows, which has no
    such locks: there two processes in one folder are not noticed.

    Raises:
        InputError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise InputError(
                f"{folder}: is in use by {owner}. Wait for it, stop it, or give another --run."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
