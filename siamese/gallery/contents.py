"""The content of a gallery: people and images that a user names, counts, and faults."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.embeddings import check_output, write_embeddings
from siamese.errors import InputError
from siamese.gallery import sources
from siamese.gallery.results import Info
from siamese.gallery.sources import GalleryImage, digest_of, whole_path
from siamese.gallery.table import IMAGE_COLUMNS, Table, bad_lengths
from siamese.images import read_bytes
from siamese.vectors import Embeddings


def quote(text: str) -> str:
    """Writes a text as SQL has it.

    Example:
        >>> print(quote("O'Brien"))
        'O''Brien'
    """
    return "'" + text.replace("'", "''") + "'"


def one_of(column: str, texts: Iterable[str]) -> str:
    """Writes the SQL condition that a column is one of some texts."""
    return f"{column} IN ({', '.join(quote(text) for text in texts)})"


def listed(texts: str | Iterable[str]) -> list[str]:
    """Gives one text or several as a list."""
    return [texts] if isinstance(texts, str) else list(texts)


def select_rows(table: Table, people: str | Iterable[str], images: str | Iterable[str]) -> str:
    """Writes the SQL condition that a row is of these people or images.

    Raises:
        InputError: One of them is not there, or nothing was named.
    """
    names, paths = listed(people), [whole_path(path) for path in listed(images)]
    if not names and not paths:
        raise InputError("people or images must be given. Received: none. Name at least one.")
    unknown = sorted(set(names) - named_people(table).keys())
    if unknown:
        raise unknown_person(table, unknown[0])
    missing = sorted(set(paths) - read_digests(table).keys()) if paths else []
    if missing:
        raise InputError(
            f"{table.uri}: has no image {missing[0]}. `siamese gallery export` lists them."
        )
    parts = {"person": names, "path": paths}
    return " OR ".join(one_of(column, texts) for column, texts in parts.items() if texts)


def find_own(table: Table, files: Sequence[str | Path]) -> list[list[str]]:
    """Finds the images that are the given files, by path or content; see `Gallery.own_images`."""
    keys = [(whole_path(file), digest_of(read_bytes(whole_path(file)))) for file in files]
    paths, digests = zip(*keys, strict=True)
    found = defaultdict(set)
    where = f"{one_of('path', paths)} OR {one_of('digest', digests)}"
    for row in table.read(["path", "digest"], where).to_pylist():
        for key in (row["path"], row["digest"]):
            found[key].add(row["path"])
    return [sorted(found[path] | found[digest]) for path, digest in keys]


def made_with(gallery: str | Path) -> tuple[str, str | None] | None:
    """Returns fingerprint and file of the model that made a gallery; None where there is none."""
    table = Table(str(gallery))
    if not table.exists():
        return None
    space = table.space()
    return space.fingerprint, space.model


def read_digests(table: Table) -> dict[str, str]:
    """Reads path and digest of every row."""
    rows = table.read(["path", "digest"])
    return dict(zip(rows["path"].to_pylist(), rows["digest"].to_pylist(), strict=True))


def count_people(table: Table, where: str | None = None) -> dict[str | None, int]:
    """Counts the rows of each person, or those that an SQL condition holds for; None: unnamed."""
    from pyarrow import compute

    counts = compute.value_counts(table.read(["person"], where)["person"]).to_pylist()
    return {row["values"]: row["counts"] for row in counts}


def named_people(table: Table) -> dict[str, int]:
    """Counts the images of each named person, sorted by name."""
    return dict(sorted((name, n) for name, n in count_people(table).items() if name is not None))


def unknown_person(table: Table, person: str) -> InputError:
    """Makes the error that nobody has a name, with some of those who are there."""
    names = list(named_people(table))
    some = f"There are {len(names):,} people: {', '.join(names[:5])}{', ...' * (len(names) > 5)}"
    if not names:
        some = "No image has a name yet; give names with `siamese gallery merge`."
    return InputError(f"{table.uri}: nobody is named {person!r}. {some}")


def give_names(table: Table, names: Mapping[str, str | None]) -> int:
    """Gives each of some images its name or none, in one commit; see `Gallery.rename`."""
    if not names:
        return 0
    import pyarrow

    where = select_rows(table, (), names)
    rows = table.read([*IMAGE_COLUMNS, "digest", "model", "embedding"], where)
    given = pyarrow.array([names[path] for path in rows["path"].to_pylist()], pyarrow.string())
    place = rows.schema.get_field_index("person")
    table.append(rows.set_column(place, rows.schema.field(place), given), replace=True)
    return len(rows)


def mean_of_person(table: Table, person: str) -> NDArray[np.float32]:
    """Takes the mean of the embeddings of a person's images, given length 1: `(1, dimensions)`.

    Raises:
        InputError: Nobody has this name.
    """
    embeddings, _ = table.read_embeddings(["path"], f"person = {quote(person)}")
    if not len(embeddings):
        raise unknown_person(table, person)
    mean = embeddings.mean(axis=0, dtype=np.float64)
    return np.asarray(mean / max(np.linalg.norm(mean), 1e-12), np.float32)[None]


def missing_files(table: Table) -> list[str]:
    """Lists the paths of images whose file has gone."""
    paths = table.read(["path"])["path"].to_pylist()
    return [path for path in paths if not sources.exists(path)]


def find_problems(table: Table, *, contents: bool = False) -> list[str]:
    """Checks every row; see `Gallery.verify`."""
    space = table.space()
    embeddings, rows = table.read_embeddings(["path", "digest", "model"])
    paths, digests, models = (rows[name].to_pylist() for name in ("path", "digest", "model"))
    missing = [path for path in paths if not sources.exists(path)]
    changed = []
    if contents:
        known = dict(zip(paths, digests, strict=True))
        files = [p for p in sorted(set(paths) - set(missing)) if not sources.is_record(p)]
        read = sources.read_gallery_images([GalleryImage(path) for path in files], known=known)
        changed = [each.image.path for each in read if each.digest != known[each.image.path]]
    lengths = [paths[row] for row in bad_lengths(embeddings)]
    others = [p for p, model in zip(paths, models, strict=True) if model != space.fingerprint]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    again = "Remove and add them."
    found = [
        (lengths, "images have an embedding whose length is not 1", again),
        (others, "images were embedded by another model", "Run `siamese gallery reembed`."),
        (twice, "images are there twice", again),
        (missing, "image files have gone", "Copy them back, or `remove --missing`."),
        (changed, "image files have changed", "Add their folder again."),
    ]
    return [
        f"{len(wrong):,} {what}, the first is {wrong[0]}. {fix}"
        for wrong, what, fix in found
        if wrong
    ]


def select_erased(
    table: Table, people: str | Iterable[str], images: str | Iterable[str], missing: bool
) -> str | None:
    """Writes the condition of the rows that `Gallery.remove` erases; None where there are none."""
    people, images = listed(people), listed(images)
    if missing:
        images += missing_files(table)
        if not (people or images):
            return None
    return select_rows(table, people, images)


def count_erased(
    table: Table, people: str | Iterable[str], images: str | Iterable[str], missing: bool
) -> int:
    """Counts the rows that `Gallery.remove` would erase."""
    where = select_erased(table, people, images, missing)
    return 0 if where is None else table.count(where)


def erase_rows(
    table: Table,
    people: str | Iterable[str],
    images: str | Iterable[str],
    missing: bool,
    before: Callable[[], None],
) -> int:
    """Erases rows, see `Gallery.remove`; `before` is called when it is sure that some will go."""
    where = select_erased(table, people, images, missing)
    if where is None:
        return 0
    rows = table.count(where)
    before()
    # A condition on a person who is not known is neither true nor false.
    table.rewrite(f"({where}) IS NOT TRUE")
    return rows


def describe_gallery(table: Table, calibration: dict[str, Any] | None) -> Info:
    """Says what the gallery holds; see `Gallery.info`."""
    from pyarrow import compute

    space = table.space()
    rows = table.read(["person", "camera", "time"])
    times = compute.min_max(rows["time"]).as_py()
    return Info(
        images=rows.num_rows,
        people=compute.count_distinct(rows["person"]).as_py(),
        unnamed=rows["person"].null_count,
        cameras=tuple(sorted(compute.unique(rows["camera"].drop_null()).to_pylist())),
        first=times["min"],
        last=times["max"],
        dimensions=space.dimensions,
        fingerprint=space.fingerprint,
        preprocessing=space.preprocessing,
        schema_version=space.schema_version,
        version=table.version(),
        index=table.has_index(),
        calibration=calibration,
    )


def export_rows(table: Table, path: str | Path) -> int:
    """Writes all rows to a file of embeddings; see `Gallery.export`."""
    check_output(path)
    space = table.space()
    embeddings, rows = table.read_embeddings(IMAGE_COLUMNS)
    store = Embeddings(
        embeddings=embeddings,
        people=np.array(rows["person"].fill_null("").to_pylist(), np.str_),
        cameras=rows["camera"].fill_null(-1).to_numpy(),
        images=np.array(rows["path"].to_pylist(), np.str_),
        tracklets=rows["tracklet"].fill_null(-1).to_numpy(),
        fingerprint=space.fingerprint,
        preprocessing=space.preprocessing,
        times=np.array(rows["time"].to_pylist(), "datetime64[us]"),
    )
    write_embeddings(store, path)
    return len(store)
