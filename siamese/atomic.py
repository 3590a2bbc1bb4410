"""Files that are whole or not there."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


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
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
