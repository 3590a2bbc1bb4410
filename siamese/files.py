"""Files that are whole or not there."""

import contextlib
import glob
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

_STALE = 24 * 3600.0
"""Seconds after which what was not finished is taken for the remains of a killed process."""


@contextlib.contextmanager
def whole_file(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Gives a temporary name beside a file, to write to; renames it when the block ends well.

    The suffix stays, as some writers go by it. After an error nothing is left behind. Of several
    writers of one file the last one wins.

    Args:
        path: The file to make or to replace.
        temporary: A name on the same file system to use in place of one beside it.

    Yields:
        The temporary name, another one each time unless given.

    Raises:
        OSError: The file cannot be written. It names `path`, not the temporary name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with whole_file(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [each.name for each in path.parent.iterdir()]
        ['a.txt']
    """
    if temporary is None:
        # At most 255 bytes. Process numbers are not unique on shared disks.
        name = f".{path.stem[:40]}."
        temporary = path.with_name(f"{name}{secrets.token_hex(6)}.partial{path.suffix}")
        if isinstance(path, Path):
            _sweep(path.parent, f"{glob.escape(name)}*.partial{glob.escape(path.suffix)}")
    try:
        yield temporary
        move(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            remove(temporary)
        if isinstance(path, Path) and isinstance(error, OSError) and error.errno is not None:
            named = None if error.filename is None else Path(str(error.filename)).name
            if named in (None, temporary.name):  # a write that fails does not say where
                raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _sweep(folder: Path, pattern: str) -> None:
    """Removes what killed writers left."""
    for left in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another process sweeps too
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()


def move(source: Path, target: Path) -> None:
    """Gives a file another name, in place of the file that has it.

    Object stores copy and then remove; what is copied has its name only when it is whole.

    Args:
        source: A file; a `UPath` where it is not on a local path.
        target: Its new name, on the same file system.
    """
    if isinstance(source, Path):
        source.replace(target)
        return
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

    old, new = cast(Any, source), cast(Any, target)
    system = old.fs
    if type(system).mv is AbstractFileSystem.mv:
        # Object stores: its own `mv` asks for much that is known, and takes brackets for a pattern.
        system.cp_file(old.path, new.path)
        system.rm_file(old.path)
        return
    try:
        system.mv(old.path, new.path)
    except OSError:  # HDFS and SFTP do not replace
        if not target.exists():
            raise
        remove(target)
        system.mv(old.path, new.path)


def remove(path: Path) -> None:
    """Removes a file, where it is there; a `UPath` where it is not on a local path."""
    if isinstance(path, Path):
        path.unlink(missing_ok=True)
        return
    place = cast(Any, path)
    with contextlib.suppress(FileNotFoundError):
        place.fs.rm_file(place.path)
