"""Images -> rows: reading, embedding and committing side by side, whole batches at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.gallery import sources
from siamese.gallery.results import Added
from siamese.gallery.rows import COLUMNS, Space, make_rows
from siamese.gallery.sources import GalleryImage, ReadImage
from siamese.gallery.table import NEW_ROWS, Table, one_of
from siamese.inference import Model

Progress = Callable[[int, int], None]

COMMIT_IMAGES = 512
"""Images in a batch that is committed whole: what a power cut can cost."""

COMPACT_COMMITS = 500


class Adding:
    """Adds images to a table and counts what became of them; the caller holds the right to write.

    Args:
        table: Where to.
        model: That embeds.
        total: How many images there will be.
        progress: Called with the number of images done and of all.
    """

    def __init__(
        self, table: Table, model: Model, total: int, progress: Progress | None = None
    ) -> None:
        self._table = table
        self._model = model
        self._total = total
        self._progress = progress
        self._made = table.exists()
        self.known = read_digests(table) if self._made else {}
        self._added = self._replaced = self._unchanged = self._commits = 0
        self._refused: list[str] = []

    def embed(self, reader: Iterator[ReadImage]) -> None:
        """Embeds images as they arrive and commits them; the reader's threads are ahead."""
        fresh = (read for read in reader if self._take(read))
        while (first := next(fresh, None)) is not None:
            kept: list[ReadImage] = []
            images = chain([first], islice(fresh, COMMIT_IMAGES - 1))
            embeddings = self._model.embed(_pixels(images, kept))
            self._commit(kept, embeddings)

    def commit(self, read: Sequence[ReadImage], embeddings: NDArray[np.float32]) -> None:
        """Commits a batch that was embedded elsewhere.

        Args:
            read: Images, without pixels; those with an error or without a change have no embedding.
            embeddings: `(images, dimensions)`, of the others in their order.
        """
        self._commit([each for each in read if self._take(each)], embeddings)

    def finish(self) -> Added:
        """Joins the files of many commits, and tells the result."""
        if self._commits:
            self._table.clean()
        return Added(self._added, self._replaced, self._unchanged, tuple(self._refused))

    def _take(self, read: ReadImage) -> bool:
        """Counts an image; true where it has to be embedded."""
        path = read.image.path
        fresh = not read.error and read.digest != self.known.get(path)
        if read.error:
            self._refused.append(read.error)
        elif not fresh:
            self._unchanged += 1
        elif path in self.known:
            self._replaced += 1
        else:
            self._added += 1
        if self._progress is not None:
            done = self._added + self._replaced + self._unchanged + len(self._refused)
            self._progress(done, self._total)
        return fresh

    def _commit(self, read: Sequence[ReadImage], embeddings: NDArray[np.float32]) -> None:
        if not read:
            return
        space = space_of(self._model)
        columns: dict[str, list[Any]] = {
            name: [getattr(each.image, name) for each in read] for name in COLUMNS
        }
        columns["digest"] = [each.digest for each in read]
        replaced = [path for path in columns["path"] if path in self.known]
        if replaced:
            # A name that was given to an image by hand outlives a change of its file.
            there = self._table.read(["path", "person"], one_of("path", replaced)).to_pylist()
            names = {row["path"]: row["person"] for row in there}
            both = zip(columns["path"], columns["person"], strict=True)
            columns["person"] = [names.get(path) or person for path, person in both]
        rows = make_rows(space, columns, embeddings)
        if not self._made:
            self._table.create(space)
            self._made = True
        self._table.append(rows, replace=bool(replaced))
        self._commits += 1
        if self._commits % COMPACT_COMMITS == 0:
            self._table.clean()


def space_of(model: Model) -> Space:
    """Returns the space that a model embeds into."""
    return Space(model.fingerprint, model.dimensions, preprocessing=model.preprocessing)


def read_digests(table: Table) -> dict[str, str]:
    """Path to digest of every row."""
    rows = table.read(["path", "digest"])
    return dict(zip(rows["path"].to_pylist(), rows["digest"].to_pylist(), strict=True))


def reembed(table: Table, model: Model, progress: Progress | None = None) -> int:
    """Embeds all images with another model; the caller holds the right to write.

    The new rows are gathered in a table beside the old one, which stays in use until all are done.

    Args:
        table: The gallery's.
        model: The new model.
        progress: Called with the number of images done and of all.

    Returns:
        How many images were embedded now; 0 where all rows are of this model already.

    Raises:
        InputError: An image file has gone or is damaged.
    """
    if table.space().fingerprint == model.fingerprint:
        table.drop(NEW_ROWS)
        return 0
    rows = table.read([*COLUMNS, "digest"]).to_pylist()
    missing = [row["path"] for row in rows if not sources.exists(row["path"])]
    if missing:
        raise InputError(
            f"{table.uri}: {len(missing):,} image files have gone, the first is {missing[0]}. "
            "Copy them back, or erase them with `siamese gallery remove --missing`."
        )
    space = space_of(model)
    done = _staged_paths(table, space)
    if not table.has(NEW_ROWS):
        table.create(space, name=NEW_ROWS)
    left = {row["path"]: row for row in rows if row["path"] not in done}
    count = len(rows) - len(left)
    reader = sources.read_again([GalleryImage(path) for path in left], model.image_size)
    while (first := next(reader, None)) is not None:
        kept: list[ReadImage] = []
        images = chain([first], islice(reader, COMMIT_IMAGES - 1))
        embeddings = model.embed(_pixels(images, kept))
        chosen = [left[each.image.path] | {"digest": each.digest} for each in kept]
        columns = {name: [row[name] for row in chosen] for name in (*COLUMNS, "digest")}
        table.append(make_rows(space, columns, embeddings), name=NEW_ROWS)
        count += len(kept)
        if progress is not None:
            progress(count, len(rows))
    table.rewrite(source=NEW_ROWS)
    table.drop(NEW_ROWS)
    return len(left)


def _staged_paths(table: Table, space: Space) -> set[str]:
    """What an interrupted re-embedding into this space has done."""
    if not table.has(NEW_ROWS):
        return set()
    # The table says whose it is before it has a row.
    if table.space(name=NEW_ROWS) == space:
        return set(table.read(["path"], name=NEW_ROWS)["path"].to_pylist())
    table.drop(NEW_ROWS)
    return set()


def _pixels(images: Iterable[ReadImage], kept: list[ReadImage]) -> Iterator[NDArray[np.uint8]]:
    """Hands out pixels, and keeps what else was read, so that pixels are soon freed."""
    for each in images:
        if each.error:
            raise InputError(each.error)
        assert each.pixels is not None
        kept.append(replace(each, pixels=None))
        yield each.pixels
