"""The rows of a gallery on the disk: in LanceDB, whole batches, one writer at a time."""

import contextlib
import errno
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.extras import missing

ROWS = "images"
NEW_ROWS = "images_of_the_next_model"
IMAGE_COLUMNS = ("path", "person", "camera", "time", "tracklet")
"""What is known of an image; `digest`, `model` and `embedding` are the other columns."""

TABLE_VERSION = 1
KEY = b"siamese"
PARTITION_ROWS = 4096
RETRIES = 3
"""Times that a read is tried again while others erase."""
KEEP_VERSIONS = timedelta(hours=1)
"""Readers that hold an older version go on with it for as long."""

_RUST = re.compile(r"\S*/(?:rustc|rust|src|\.cargo)/")
"""Where Lance names a place in its own source, which helps nobody here."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Space:
    """The space of a gallery's embeddings.

    Attributes:
        fingerprint: Of the model that made them.
        dimensions: Of each.
        schema_version: Of the writer.
        preprocessing: What was stated of a model made elsewhere, as `Model.preprocessing`.
        model: Its file, when the gallery was made; None in galleries of version 0.1.0.
    """

    fingerprint: str
    dimensions: int
    schema_version: int = TABLE_VERSION
    preprocessing: dict[str, Any] | None = None
    model: str | None = None


def make_rows(
    space: Space, columns: Mapping[str, Sequence[Any]], embeddings: NDArray[np.float32]
) -> Any:
    """Makes rows for `Table.append`.

    Args:
        space: Of the gallery.
        columns: `IMAGE_COLUMNS` and `digest` of each row.
        embeddings: `(rows, dimensions)`, float32, of length 1.

    Returns:
        A `pyarrow.Table`.

    Raises:
        InputError: The embeddings are of another size, or not of length 1.
    """
    import pyarrow

    if embeddings.shape != (len(columns["path"]), space.dimensions):
        raise InputError(
            f"embeddings must have {space.dimensions} dimensions, as the gallery has. Received: "
            f"shape {embeddings.shape}. Use the gallery's model."
        )
    wrong = bad_lengths(embeddings)
    if len(wrong):
        raise InputError(
            "embeddings must have length 1. Received: another length, NaN or infinity for "
            f"{columns['path'][wrong[0]]}. Leave the image out, or check the model."
        )
    vectors = pyarrow.FixedSizeListArray.from_arrays(
        np.ascontiguousarray(embeddings, np.float32).ravel(), space.dimensions
    )
    model = [space.fingerprint] * len(embeddings)
    return pyarrow.table({**columns, "model": model, "embedding": vectors}, _make_schema(space))


def bad_lengths(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    """Finds the rows whose length is not 1, or not a number.

    Example:
        >>> bad_lengths(np.array([[1, 0], [1, 1], [np.nan, 0]], np.float32)).tolist()
        [1, 2]
    """
    lengths = np.einsum("ij,ij->i", embeddings, embeddings)
    return np.asarray(np.flatnonzero(~(np.abs(lengths - 1) < 2e-3)), np.int64)


def vectors_of(rows: Any) -> NDArray[np.float32]:
    """Gives the column `embedding` of a `pyarrow` table or batch as `(rows, dimensions)`."""
    column = rows.column("embedding")
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    values: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), column.type.list_size)


def _make_schema(space: Space) -> Any:
    import pyarrow

    kinds = {
        "path": pyarrow.string(),
        "digest": pyarrow.string(),
        "person": pyarrow.string(),
        "camera": pyarrow.int64(),
        "time": pyarrow.timestamp("us"),
        "tracklet": pyarrow.int64(),
        "model": pyarrow.string(),
        "embedding": pyarrow.list_(pyarrow.float32(), space.dimensions),
    }
    unknown = ("person", "camera", "time", "tracklet")
    return pyarrow.schema(
        [pyarrow.field(name, kind, name in unknown) for name, kind in kinds.items()],
        metadata={KEY: json.dumps(asdict(space)).encode()},
    )


def _read_space(uri: str, schema: Any) -> Space:
    values = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    version = values.get("schema_version")
    if version is None:
        raise InputError(f"{uri}: is a LanceDB table, but not a gallery. Give another folder.")
    if version != TABLE_VERSION:
        raise InputError(
            f"{uri}: has schema version {version}; this program reads {TABLE_VERSION}. Use the "
            "program's version that wrote it, or make a new gallery."
        )
    return Space(**values)


class Table:
    """The rows of one gallery.

    Nothing is read or written before it is asked for. A commit is a new version of the table: a
    reader sees all of it or nothing, and a writer that is killed leaves the version before.

    Args:
        uri: A folder, or an address that LanceDB takes, such as `s3://bucket/gallery`.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.is_local = "://" not in uri
        self._database: Any = None
        self._tables: dict[str, Any] = {}

    def exists(self, name: str = ROWS) -> bool:
        """Returns whether a table has been made."""
        if self.is_local and not (Path(self.uri) / f"{name}.lance").is_dir():
            return False
        with self._one_line():
            return name in self._connect().list_tables().tables

    def space(self, *, name: str = ROWS) -> Space:
        """Reads the space of a table's embeddings.

        Raises:
            InputError: There is no gallery, or it is damaged or of another program's version.
        """
        return _read_space(self.uri, self._open(name).schema)

    def version(self) -> int:
        """Reads the number of the newest version."""
        return self._try(lambda table: int(table.version))

    def count(self, where: str | None = None) -> int:
        """Counts the rows, or those that an SQL condition holds for."""
        return self._try(lambda table: int(table.count_rows(where)))

    def read(self, columns: Sequence[str], where: str | None = None, *, name: str = ROWS) -> Any:
        """Reads some columns of the rows, in the table's order, as a `pyarrow.Table`."""
        return self._try(lambda table: _query(table, columns, where).to_arrow(), name)

    def read_embeddings(
        self, columns: Sequence[str], where: str | None = None
    ) -> tuple[NDArray[np.float32], Any]:
        """Reads the embeddings and some other columns, in one pass and without a second copy.

        Returns:
            `(rows, dimensions)`, float32, and a `pyarrow.Table`.
        """
        import pyarrow

        def scan(table: Any) -> tuple[NDArray[np.float32], Any]:
            dimensions = table.schema.field("embedding").type.list_size
            embeddings = np.empty((table.count_rows(where), dimensions), np.float32)
            batches, done = [], 0
            for batch in _query(table, [*columns, "embedding"], where).to_batches(batch_size=8192):
                if done + len(batch) > len(embeddings):  # a writer came between
                    embeddings.resize((2 * (done + len(batch)), dimensions), refcheck=False)
                embeddings[done : done + len(batch)] = vectors_of(batch)
                done += len(batch)
                # A slice would keep the whole batch in memory, its embeddings included.
                everything = pyarrow.array(np.arange(len(batch)))
                batches.append(batch.select(list(columns)).take(everything))
            schema = pyarrow.schema([table.schema.field(name) for name in columns])
            return embeddings[:done], pyarrow.Table.from_batches(batches, schema)

        return self._try(scan)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the right to write; a killed process loses it.

        Raises:
            InputError: Another program is writing, or the folder holds something else.
        """
        if not self.is_local:
            yield
            return
        import fcntl

        folder = Path(self.uri)
        if folder.is_file():
            raise InputError(f"{folder}: is a file. Give the folder of a gallery.")
        own = {".lock", f"{ROWS}.lance", f"{NEW_ROWS}.lance"}
        if folder.is_dir() and not self.exists() and {p.name for p in folder.iterdir()} - own:
            raise InputError(
                f"{folder}: is neither a gallery nor empty. Give the folder of a gallery, or a new "
                "one."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{folder}: another program is writing to this gallery. Wait until it has "
                    "ended; searching goes on meanwhile."
                ) from None
            yield

    def create(self, space: Space, *, name: str = ROWS) -> None:
        """Makes a table without rows, unless it is there."""
        if not self.exists(name):
            with self._one_line():
                schema = _make_schema(space)
                self._tables[name] = self._connect().create_table(name, schema=schema)

    def append(self, rows: Any, *, replace: bool = False, name: str = ROWS) -> None:
        """Commits a batch of rows of `make_rows`, whole; or replaces those of the same path."""
        with self._one_line():
            if replace:
                upsert = self._open(name).merge_insert("path").when_matched_update_all()
                upsert.when_not_matched_insert_all().execute(rows)
            else:
                self._open(name).add(rows)

    def update(self, where: str, person: str | None) -> int:
        """Gives rows another person and returns how many there were."""
        with self._one_line():
            return int(self._open().update(where=where, values={"person": person}).rows_updated)

    def rewrite(self, where: str | None = None, *, source: str = ROWS) -> None:
        """Writes the table anew with the rows that a condition holds for, and keeps nothing else.

        Deleting rows would leave them in the files until enough of a file is deleted; so the rest,
        of this table or another, is copied to new files, in one commit, and every other version and
        file goes.
        """
        with self._one_line():
            table = self._open(source)
            batches = _query(table, None, where).to_batches(batch_size=8192)
            self._tables[ROWS] = self._connect().create_table(
                ROWS, data=batches, schema=table.schema, mode="overwrite"
            )
        self.clean(everything=True)

    def drop(self, name: str) -> None:
        """Removes a table that is there or not."""
        with self._one_line():
            self._tables.pop(name, None)
            self._connect().drop_table(name, ignore_missing=True)

    def clean(self, *, everything: bool = False) -> None:
        """Joins small files and removes old versions.

        With `everything` also those that a reader may hold at this moment, and the leftovers of
        writers that were killed.
        """
        with self._one_line(), warnings.catch_warnings():
            # LanceDB warns that readers of an older version will fail: they try again, see `_try`.
            warnings.simplefilter("ignore", UserWarning)
            age = timedelta(0) if everything else KEEP_VERSIONS
            self._open().optimize(cleanup_older_than=age, delete_unverified=everything)

    def build_index(self) -> None:
        """Builds the approximate index over the rows that are there."""
        with self._one_line():
            from lancedb.index import IvfPq

            # Lance's own 50 iterations on 8 times the rows take 30 times as long; the recall after
            # `refine_factor`, which measures with the embeddings themselves, is the same.
            config = IvfPq(
                distance_type="l2",
                num_partitions=max(1, self.count() // PARTITION_ROWS),
                num_sub_vectors=max(1, self.space().dimensions // 8),
                max_iterations=10,
                sample_rate=32,
            )
            self._open().create_index("embedding", config=config, replace=True)

    def has_index(self) -> bool:
        """Returns whether there is an approximate index."""
        return bool(self._try(lambda table: len(table.list_indices())))

    def search_index(
        self, query: NDArray[np.float32], k: int, where: str | None, probes: int, refine: int
    ) -> Any:
        """Finds the nearest rows of one query by the index: candidates, with their embeddings."""

        def search(table: Any) -> Any:
            found = table.search(query, vector_column_name="embedding").distance_type("l2")
            found = found.nprobes(probes).refine_factor(refine).limit(k)
            if where is not None:
                found = found.where(where, prefilter=True)
            return found.select([*IMAGE_COLUMNS, "embedding", "_distance"]).to_arrow()

        return self._try(search)

    def _try(self, read: Callable[[Any], _Answer], name: str = ROWS) -> _Answer:
        """Reads; again from the newest version where an erasure took the files away."""
        with self._one_line():
            for _ in range(RETRIES):
                with contextlib.suppress(OSError, RuntimeError, ValueError):
                    return read(self._open(name))
                self._tables.pop(name, None)
            return read(self._open(name))

    def _connect(self) -> Any:
        if self._database is None:
            try:
                import lancedb
            except ImportError:
                raise missing("a gallery", "lancedb") from None
            self._database = lancedb.connect(self.uri, read_consistency_interval=timedelta(0))
        return self._database

    def _open(self, name: str = ROWS) -> Any:
        table = self._tables.get(name)  # which another thread may take away
        if table is None:
            if not self.exists(name):
                there = self.is_local and Path(self.uri).exists()
                raise InputError(
                    f"{self.uri}: {'is not a gallery' if there else 'no such gallery'}. Give the "
                    "folder of one, or make one with `siamese gallery add`."
                )
            with self._one_line():
                table = self._connect().open_table(name)
                _read_space(self.uri, table.schema)
                self._tables[name] = table
        return table

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        """Says in one line what LanceDB says in many."""
        try:
            yield
        except InputError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())
            if "os error 28" in text:
                raise OSError(errno.ENOSPC, f"{self.uri}: no space left on the disk") from None
            if "os error 13" in text or "os error 30" in text:
                raise PermissionError(errno.EACCES, f"{self.uri}: may not be written") from None
            text = _RUST.split(text)[0].rstrip(" ,;:")
            raise InputError(
                f"{self.uri}: the gallery cannot be used ({text[:160]}). Copy it back from a "
                "backup, or add the images again to a new one."
            ) from None


def _query(table: Any, columns: Sequence[str] | None, where: str | None) -> Any:
    query = table.search() if columns is None else table.search().select(list(columns))
    return query if where is None else query.where(where)
