"""The people and images that a user names -> the rows of a gallery."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from siamese.errors import InputError
from siamese.gallery.ingest import read_digests
from siamese.gallery.sources import digest_of, whole_path
from siamese.gallery.table import Table, one_of
from siamese.images import read_bytes


def select_rows(table: Table, people: str | Iterable[str], images: str | Iterable[str]) -> str:
    """The SQL condition that a row is of these people or images.

    Args:
        table: The gallery's.
        people: Names.
        images: Paths, absolute or from the working directory.

    Returns:
        The condition.

    Raises:
        InputError: One of them is not there, or nothing was named.
    """
    parts = []
    names, paths = listed(people), [whole_path(path) for path in listed(images)]
    if names:
        known = named_people(table)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(f"{table.uri}: nobody is named {unknown[0]!r}. {name_some(table)}")
        parts.append(one_of("person", names))
    if paths:
        there = read_digests(table)
        missing = [path for path in paths if path not in there]
        if missing:
            raise InputError(
                f"{table.uri}: has no image {missing[0]}. `siamese gallery export` lists them."
            )
        parts.append(one_of("path", paths))
    if not parts:
        raise InputError("people or images must be given. Received: none. Name at least one.")
    return " OR ".join(parts)


def find_own(table: Table, files: Sequence[str | Path]) -> list[list[str]]:
    """Finds the images of a gallery that are the given files: of the same path or content.

    Args:
        table: The gallery's.
        files: Image files.

    Returns:
        For each file the paths of these images.
    """
    paths = [whole_path(file) for file in files]
    digests = [digest_of(read_bytes(path)) for path in paths]
    found = defaultdict(list)
    where = f"{one_of('path', paths)} OR {one_of('digest', digests)}"
    for row in table.read(["path", "digest"], where).to_pylist():
        found[row["path"]].append(row["path"])
        found[row["digest"]].append(row["path"])
    return [
        sorted({*found[path], *found[digest]}) for path, digest in zip(paths, digests, strict=True)
    ]


def count_people(table: Table, where: str | None = None) -> dict[str | None, int]:
    """How many rows that an SQL condition holds for each person has; those without a name: None."""
    from pyarrow import compute

    counts = compute.value_counts(table.read(["person"], where)["person"]).to_pylist()
    return {row["values"]: row["counts"] for row in counts}


def named_people(table: Table) -> dict[str, int]:
    """The named people and how many images each has, sorted by name."""
    return dict(sorted((name, n) for name, n in count_people(table).items() if name is not None))


def name_some(table: Table) -> str:
    """Who is in the gallery, for someone who asked for another."""
    names = list(named_people(table))
    if not names:
        return "No image has a name yet; give names with `siamese gallery merge`."
    more = ", ..." if len(names) > 5 else ""
    return f"There are {len(names):,} people: {', '.join(names[:5])}{more}"


def listed(texts: str | Iterable[str]) -> list[str]:
    """One text or several as a list."""
    return [texts] if isinstance(texts, str) else list(texts)
