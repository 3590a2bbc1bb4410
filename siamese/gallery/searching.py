"""Queries and a filter -> rank lists, from memory or by the index."""

import threading
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.gallery.exact import nearest_rows
from siamese.gallery.filters import Filter
from siamese.gallery.rows import COLUMNS, embeddings_of
from siamese.gallery.selection import count_people
from siamese.gallery.table import PARTITION_ROWS, Table

EXACT_ROWS = 1_000_000
"""Beyond it an approximate index is used where there is one."""

SELECTIVE_ROWS = 100_000
"""A filter that leaves fewer rows is searched exactly: few probes of an index would miss them."""

RankedRows: TypeAlias = tuple[Any, NDArray[np.float64]]
"""A `pyarrow.Table` of `COLUMNS`, nearest first, and Euclidean distances."""

PROBES = 32
REFINE = 30
"""Candidates of the index, in multiples of k, that are measured with the embeddings themselves."""


@dataclass(frozen=True, slots=True)
class CachedRows:
    """The rows of one version in memory."""

    version: int
    embeddings: NDArray[np.float32]
    columns: Any


class Searcher:
    """Searches one table; holds its rows in memory until they change.

    Args:
        table: The gallery's.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._cache: CachedRows | None = None
        self._people: tuple[tuple[int, Filter], dict[str | None, int]] | None = None
        self._guard = threading.Lock()

    def has_read(self) -> bool:
        """Whether the rows are in memory."""
        return self._cache is not None

    def forget(self) -> None:
        """Frees the rows."""
        with self._guard:
            self._cache = None

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        chosen: Filter,
        approximate: bool | None = None,
    ) -> list[RankedRows]:
        """Finds the nearest rows of each query.

        Args:
            queries: `(queries, dimensions)`, float32, of length 1.
            k: How many.
            chosen: The rows to look at.
            approximate: Whether to use the index; None: beyond `EXACT_ROWS` where there is one.

        Returns:
            For each query the rows, nearest first, and their distances.

        Raises:
            InputError: There is no index to use, or the gallery is damaged.
        """
        if self._uses_index(approximate):
            where = chosen.sql()
            if where is None or self._table.count(where) > SELECTIVE_ROWS:
                return [self._search_index(query, k, where) for query in queries]
            embeddings, columns = self._table.read_embeddings(COLUMNS, where)
            mask = None
        else:
            cached = self.rows()
            embeddings, columns = cached.embeddings, cached.columns
            mask = chosen.mask(columns)
        found, distances = nearest_rows(embeddings, queries, k, mask)
        return [(columns.take(rows), each) for rows, each in zip(found, distances, strict=True)]

    def count_people(self, chosen: Filter) -> dict[str | None, int]:
        """Counts the rows that a search looks at: each person's, and of None those without a name.

        Args:
            chosen: The rows to look at.
        """
        counted = self._people
        key = self._table.version(), chosen
        if counted is None or counted[0] != key:
            counted = self._people = key, count_people(self._table, chosen.sql())
        return counted[1]

    def _uses_index(self, approximate: bool | None) -> bool:
        if approximate is None:
            return self._table.count() > EXACT_ROWS and self._table.has_index()
        if approximate and not self._table.has_index():
            raise InputError(
                f"{self._table.uri}: has no approximate index. Build it with `siamese gallery "
                "index`, or search exactly."
            )
        return approximate

    def _search_index(self, query: NDArray[np.float32], k: int, where: str | None) -> RankedRows:
        # Of people whom nothing groups, neighbours lie in half of all partitions.
        probes = max(PROBES, self._table.count() // PARTITION_ROWS // 2)
        rows = self._table.search_index(
            query, k, COLUMNS, where=where, probes=probes, refine=REFINE
        )
        exact = np.linalg.norm(embeddings_of(rows).astype(np.float64) - query, axis=1)
        order = np.argsort(exact, kind="stable")
        return rows.select(COLUMNS).take(order), exact[order]

    def rows(self) -> CachedRows:
        """The rows of the newest version, read once."""
        with self._guard:
            version = self._table.version()
            if self._cache is None or self._cache.version != version:
                self._cache = None  # a large gallery is not held twice
                self._cache = CachedRows(version, *self._table.read_embeddings(COLUMNS))
            return self._cache
