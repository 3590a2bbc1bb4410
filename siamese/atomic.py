"""Files that are whole or not there."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside a file, to write to; renames it when the block ends well.

    The suffix stays, as some writers go by it. After an error nothing is left behind.

    Args:
        path: The file to make or to replace.

    Yields:
        The temporary name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with whole_file(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [each.name for each in path.parent.iterdir()]
        ['a.txt']
    """
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield temporary
        move(temporary, path)
    except BaseException:
        remove(temporary)
        raise


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
