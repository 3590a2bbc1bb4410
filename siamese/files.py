"""Files that are whole or not there."""

import contextlib
import csv
import dataclasses
import glob
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

_STALE = 24 * 3600.0
"""Seconds after which what was not finished is taken for the remains of a killed process."""

_Made = TypeVar("_Made")


def check_fields(made: _Made) -> _Made:
    """Checks that a dataclass, read from a file, holds what it declares, and returns it.

    So do the dataclasses in its fields, and in tuples and tables there.

    Raises:
        TypeError: A field holds something else; the message names it.
    """
    import typeguard

    kinds = get_type_hints(type(made))
    for field in dataclasses.fields(made):  # type: ignore[arg-type]
        value = getattr(made, field.name)
        within = value.values() if isinstance(value, dict) else (value,)
        for each in value if isinstance(value, tuple) else within:
            if dataclasses.is_dataclass(each):
                check_fields(each)
        try:
            typeguard.check_type(
                value,
                kinds[field.name],
                collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS,
            )
        except typeguard.TypeCheckError as error:
            raise TypeError(f"{field.name}: {' '.join(str(error).split())}") from None
    return made


def from_plain(kind: Any, value: Any, *, newer: bool = False) -> Any:
    """Puts back what JSON takes away: dataclasses, tuples, and keys that are whole numbers.

    Args:
        kind: The type that the value had, such as a dataclass; of a union its first member.
        value: What `json` read of it.
        newer: Leave out what a dataclass has no field for, as a later version may have written it.

    Raises:
        TypeError: A field is missing or unknown.
        KeyError, AttributeError, ValueError: The value is of another kind.

    Example:
        >>> from_plain(dict[int, tuple[int, ...]], {"1": [2, 3]})
        {1: (2, 3)}
    """
    if value is None:
        return None
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return from_plain(inner[0], value, newer=newer)
    if origin is tuple:
        inner = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(from_plain(*both, newer=newer) for both in zip(inner, value, strict=True))
    if origin in (dict, Mapping):
        key = int if inner[0] is int else str
        return {key(name): from_plain(inner[1], v, newer=newer) for name, v in value.items()}
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return value
    kinds = get_type_hints(kind)
    if newer:
        value = {name: each for name, each in value.items() if name in kinds}
    return kind(**{n: from_plain(kinds.get(n), each, newer=newer) for n, each in value.items()})


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


def write_text(path: Path, text: str) -> None:
    """Writes a text file, UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any) -> None:
    """Writes plain values as JSON that a person can read, UTF-8, whole or not at all."""
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Iterable[Iterable[Any]], line_end: str = "\r\n") -> None:
    """Writes a CSV file, UTF-8, whole or not at all; the names of the columns are its first row."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator=line_end).writerows(rows)


def _sweep(folder: Path, pattern: str) -> None:
    """Removes what killed writers left."""
    for left in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another process sweeps too
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()


def move(source: Path, target: Path) -> None:
    """Gives a file another name on its file system, in place of the file that has it.

    Object stores copy and then remove; what is copied has its name only when it is whole.
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
