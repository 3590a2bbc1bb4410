"""The table of a gallery on the disk: rows in LanceDB, whole batches, one writer at a time."""

import contextlib
import errno
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.gallery.rows import Space, copy_vectors, make_schema, read_space

ROWS = "images"
NEW_ROWS = "images_of_the_next_model"

PARTITION_ROWS = 4096
KEEP_VERSIONS = timedelta(hours=1)
"""Readers that hold an older version go on with it for as long."""

_RUST = re.compile(r"\S*/(?:rustc|rust|src|\.cargo)/")
"""Where Lance names a place in its own source, which helps nobody here."""

Answer = TypeVar("Answer")


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

    def exists(self) -> bool:
        """Whether the gallery has been made."""
        if self.is_local and not (Path(self.uri) / f"{ROWS}.lance").is_dir():
            return False
        return ROWS in self._names()

    def space(self, *, name: str = ROWS) -> Space:
        """The space of the embeddings.

        Args:
            name: Of the table.

        Raises:
            InputError: There is no gallery, or it is damaged or of a newer program.
        """
        return read_space(self.uri, self._open(name).schema)

    def version(self) -> int:
        """The number of the newest version."""
        return self._try(lambda table: int(table.version))

    def count(self, where: str | None = None) -> int:
        """The number of rows, or of those that an SQL condition holds for."""
        return self._try(lambda table: int(table.count_rows(where)))

    def read(self, columns: Sequence[str], where: str | None = None, *, name: str = ROWS) -> Any:
        """Some columns of the rows, in the table's order, as a `pyarrow.Table`."""

        def scan(table: Any) -> Any:
            query = table.search().select(list(columns))
            return (query if where is None else query.where(where)).to_arrow()

        return self._try(scan, name)

    def read_embeddings(
        self, columns: Sequence[str], where: str | None = None
    ) -> tuple[NDArray[np.float32], Any]:
        """The embeddings and some other columns, in one pass and without a second copy.

        Returns:
            `(rows, dimensions)`, float32, and a `pyarrow.Table`.
        """
        import pyarrow

        def scan(table: Any) -> tuple[NDArray[np.float32], Any]:
            query = table.search().select([*columns, "embedding"])
            if where is not None:
                query = query.where(where)
            dimensions = table.schema.field("embedding").type.list_size
            embeddings = np.empty((table.count_rows(where), dimensions), np.float32)
            batches, done = [], 0
            for batch in query.to_batches(batch_size=8192):
                if done + len(batch) > len(embeddings):  # a writer came between
                    grown = np.empty((2 * (done + len(batch)), dimensions), np.float32)
                    grown[:done] = embeddings[:done]
                    embeddings = grown
                copy_vectors(batch.column("embedding"), embeddings[done : done + len(batch)])
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
        if folder.is_dir() and not self.exists() and any(_foreign(folder)):
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
        """Makes the table, without rows."""
        with self._words():
            self._tables[name] = self._connect().create_table(name, schema=make_schema(space))

    def append(self, rows: Any, *, replace: bool = False, name: str = ROWS) -> None:
        """Commits a batch of rows, whole.

        Args:
            rows: A `pyarrow.Table` of `make_rows`.
            replace: Rows of the same path are replaced.
            name: Of the table.
        """

        def commit(table: Any) -> None:
            if replace:
                upsert = table.merge_insert("path").when_matched_update_all()
                upsert.when_not_matched_insert_all().execute(rows)
            else:
                table.add(rows)

        with self._words():
            commit(self._open(name))

    def update(self, where: str, person: str | None) -> int:
        """Gives rows another person and returns how many there were."""
        with self._words():
            return int(self._open().update(where=where, values={"person": person}).rows_updated)

    def rewrite(self, where: str | None = None, *, source: str = ROWS) -> None:
        """Writes the table anew with the rows that a condition holds for, and keeps nothing else.

        Deleting rows would leave them in the files until enough of a file is deleted; so the rest
        is copied to new files, in one commit, and every other version and file goes.

        Args:
            where: An SQL condition; all rows when None.
            source: The table to take rows from.
        """
        with self._words():
            table = self._open(source)
            query = table.search()
            batches = (query if where is None else query.where(where)).to_batches(batch_size=8192)
            self._tables[ROWS] = self._connect().create_table(
                ROWS, data=batches, schema=table.schema, mode="overwrite"
            )
        self.clean(everything=True)

    def drop(self, name: str) -> None:
        """Removes a table that is there or not."""
        with self._words():
            self._tables.pop(name, None)
            self._connect().drop_table(name, ignore_missing=True)

    def has(self, name: str) -> bool:
        """Whether there is such a table."""
        return name in self._names()

    def clean(self, *, everything: bool = False) -> None:
        """Joins small files and removes old versions.

        Args:
            everything: Also versions that a reader may hold at this moment, and the leftovers of
                writers that were killed.
        """
        with self._words(), warnings.catch_warnings():
            # LanceDB warns that readers of an older version will fail: they try again, see `_try`.
            warnings.simplefilter("ignore", UserWarning)
            age = timedelta(0) if everything else KEEP_VERSIONS
            self._open().optimize(cleanup_older_than=age, delete_unverified=everything)

    def build_index(self) -> None:
        """Builds the approximate index over the rows that are there."""
        partitions = max(1, self.count() // PARTITION_ROWS)
        with self._words():
            from lancedb.index import IvfPq

            # Lance's own 50 iterations on 8 times the rows take 30 times as long; the recall after
            # `refine_factor`, which measures with the embeddings themselves, is the same.
            config = IvfPq(
                distance_type="l2",
                num_partitions=partitions,
                num_sub_vectors=max(1, self.space().dimensions // 8),
                max_iterations=10,
                sample_rate=32,
            )
            self._open().create_index("embedding", config=config, replace=True)

    def has_index(self) -> bool:
        """Whether there is an approximate index."""
        return bool(self._try(lambda table: len(table.list_indices())))

    def search_index(
        self,
        query: NDArray[np.float32],
        k: int,
        columns: Sequence[str],
        *,
        where: str | None = None,
        probes: int,
        refine: int,
    ) -> Any:
        """The nearest rows of one query by the index: candidates, their embeddings included."""

        def search(table: Any) -> Any:
            found = table.search(query, vector_column_name="embedding").distance_type("l2")
            found = found.nprobes(probes).refine_factor(refine).limit(k)
            if where is not None:
                found = found.where(where, prefilter=True)
            return found.select([*columns, "embedding", "_distance"]).to_arrow()

        return self._try(search)

    def _try(self, read: Callable[[Any], Answer], name: str = ROWS) -> Answer:
        """Reads; once more from the newest version where an erasure took the files away."""
        with self._words():
            table = self._open(name)
            try:
                return read(table)
            except (OSError, RuntimeError, ValueError):
                self._tables.pop(name, None)
                return read(self._open(name))

    def _connect(self) -> Any:
        if self._database is None:
            try:
                import lancedb
            except ImportError:
                raise InputError(
                    'a gallery needs LanceDB. Install it: pip install "siamese-reid[gallery]"'
                ) from None
            self._database = lancedb.connect(self.uri, read_consistency_interval=timedelta(0))
        return self._database

    def _names(self) -> list[str]:
        with self._words():
            names: list[str] = list(self._connect().list_tables().tables)
            return names

    def _open(self, name: str = ROWS) -> Any:
        if name not in self._tables:
            if self.is_local and not (Path(self.uri) / f"{name}.lance").is_dir():
                what = "is not a gallery" if Path(self.uri).exists() else "no such gallery"
                raise InputError(
                    f"{self.uri}: {what}. Give the folder of one, or make one with `siamese "
                    "gallery add`."
                )
            with self._words():
                table = self._connect().open_table(name)
                read_space(self.uri, table.schema)
                self._tables[name] = table
        return self._tables[name]

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
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


def quote(text: str) -> str:
    """A text as SQL has it.

    Example:
        >>> print(quote("O'Brien"))
        'O''Brien'
    """
    return "'" + text.replace("'", "''") + "'"


def one_of(column: str, texts: Iterable[str]) -> str:
    """The SQL condition that a column is one of some texts."""
    return f"{column} IN ({', '.join(quote(text) for text in texts)})"


def _foreign(folder: Path) -> Iterator[Path]:
    own = {".lock", f"{ROWS}.lance", f"{NEW_ROWS}.lance"}
    return (path for path in folder.iterdir() if path.name not in own)
