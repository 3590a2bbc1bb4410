"""Queries and filters -> rank lists, from memory or by the index."""

import contextlib
import functools
import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.gallery.contents import count_people, quote
from siamese.gallery.table import IMAGE_COLUMNS, PARTITION_ROWS, Table, vectors_of
from siamese.metrics.blocks import exact_distances
from siamese.vectors import nearest_rows

EXACT_ROWS = 1_000_000
"""Beyond it an approximate index is used where there is one."""

SELECTIVE_ROWS = 100_000
"""A filter that leaves fewer rows is searched exactly: few probes of an index would miss them."""

RankedRows: TypeAlias = tuple[Any, NDArray[np.float64]]
"""A `pyarrow.Table` of `IMAGE_COLUMNS`, nearest first, and Euclidean distances."""

PROBES = 32
REFINE = 30
"""Candidates of the index, in multiples of k, that are measured with the embeddings themselves."""


class WhereAndWhen(TypedDict, total=False):
    """The images that a search looks at, as a user says it; what is left out, or None, leaves all.

    Attributes:
        camera: Only images of this camera, or of these.
        since: Only images of this time or later: a `datetime`, or text as "2026-11-20 08:15".
        until: Only images of this time or earlier; a day counts to its end.
    """

    camera: int | Collection[int] | None
    since: datetime | str | None
    until: datetime | str | None


class Filters(WhereAndWhen, total=False):
    """`WhereAndWhen`, and who.

    Attributes:
        person: Only images of this person.
    """

    person: str | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Rows that a search looks at; what is None or empty leaves all.

    Attributes:
        cameras: Any of these cameras.
        since: At this time or later. Rows without a time are left out.
        until: At this time or earlier.
        person: This person.
        without: Not this person.
    """

    cameras: frozenset[int] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    person: str | None = None
    without: str | None = None

    def sql(self) -> str | None:
        """Writes the condition for LanceDB; None where all rows are looked at."""
        parts = []
        if self.cameras:
            parts.append(f"camera IN ({', '.join(map(str, sorted(self.cameras)))})")
        for limit, sign in ((self.since, ">="), (self.until, "<=")):
            if limit is not None:
                parts.append(f"time {sign} TIMESTAMP '{limit.isoformat(sep=' ')}'")
        if self.person is not None:
            parts.append(f"person = {quote(self.person)}")
        if self.without is not None:
            parts.append(f"(person IS NULL OR person <> {quote(self.without)})")
        return " AND ".join(parts) or None

    def mask(self, columns: Any) -> NDArray[np.bool_] | None:
        """Applies the condition to a `pyarrow.Table`: `(rows,)`; None where all are looked at."""
        import pyarrow
        from pyarrow import compute

        camera, times, person = (columns[name] for name in ("camera", "time", "person"))
        masks = []
        if self.cameras:
            wanted = pyarrow.array(sorted(self.cameras), pyarrow.int64())
            masks.append(compute.is_in(camera, value_set=wanted))
        kind = pyarrow.timestamp("us")
        if self.since is not None:
            masks.append(compute.greater_equal(times, pyarrow.scalar(self.since, kind)))
        if self.until is not None:
            masks.append(compute.less_equal(times, pyarrow.scalar(self.until, kind)))
        if self.person is not None:
            masks.append(compute.equal(person, self.person))
        if self.without is not None:
            masks.append(compute.fill_null(compute.not_equal(person, self.without), True))
        if not masks:
            return None
        chosen = compute.fill_null(functools.reduce(compute.and_, masks), False)
        return np.asarray(chosen.to_numpy(), np.bool_)


def make_filter(
    camera: int | Collection[int] | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    person: str | None = None,
    without: str | None = None,
) -> Filter:
    """Reads what a user gives: `Filters`, and a person whose rows are left out.

    Raises:
        InputError: A time is none, or the times are the wrong way round.

    Example:
        >>> print(make_filter([1, 2], until="2026-11-20").sql())
        camera IN (1, 2) AND time <= TIMESTAMP '2026-11-20 23:59:59.999999'
    """
    cameras = () if camera is None else (camera,) if isinstance(camera, int) else camera
    first = _read_time(since, "since", time.min)
    last = _read_time(until, "until", time.max)
    if first is not None and last is not None and first > last:
        raise InputError(
            f"`since` must not be after `until`. Received: {first} and {last}. Exchange them."
        )
    return Filter(frozenset(int(each) for each in cameras), first, last, person, without)


def _read_time(value: datetime | str | None, name: str, of_day: time) -> datetime | None:
    if isinstance(value, str):
        try:
            with contextlib.suppress(ValueError):
                return datetime.combine(date.fromisoformat(value), of_day)
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InputError(
                f"`{name}` must be a day or a time. Received: {value!r}. Write it as 2026-11-20 or "
                "2026-11-20T08:15:00"
            ) from None
    if value is not None and value.tzinfo is not None:
        raise InputError(
            f"`{name}` must have no time zone, for the gallery keeps what the cameras' clocks said."
            f" Received: {value}. Leave the zone out."
        )
    return value


class Searcher:
    """Searches one table; holds its rows in memory until they change."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._cached: tuple[int, NDArray[np.float32], Any] | None = None
        self._people: tuple[tuple[int, Filter], dict[str | None, int]] | None = None
        self._guard = threading.Lock()

    def forget(self) -> None:
        """Frees the rows."""
        with self._guard:
            self._cached = None

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
            embeddings, columns = self._table.read_embeddings(IMAGE_COLUMNS, where)
            mask = None
        else:
            embeddings, columns = self.rows()
            mask = chosen.mask(columns)
        found, distances = nearest_rows(embeddings, queries, k, mask)
        return [(columns.take(rows), each) for rows, each in zip(found, distances, strict=True)]

    def count_people(self, chosen: Filter) -> dict[str | None, int]:
        """Counts the rows of each person that a search looks at; of None: those without a name."""
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
        rows = self._table.search_index(query, k, where, probes, REFINE)
        exact = exact_distances(vectors_of(rows), query)
        order = np.argsort(exact, kind="stable")
        return rows.select(IMAGE_COLUMNS).take(order), exact[order]

    def rows(self) -> tuple[NDArray[np.float32], Any]:
        """Reads the embeddings and `IMAGE_COLUMNS` of the newest version, once."""
        with self._guard:
            version = self._table.version()
            if self._cached is None or self._cached[0] != version:
                self._cached = None  # a large gallery is not held twice
                self._cached = version, *self._table.read_embeddings(IMAGE_COLUMNS)
            return self._cached[1:]
