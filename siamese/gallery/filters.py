"""Which rows a search looks at: cameras, times, people; as a mask and as an SQL condition."""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.gallery.table import quote


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
        """The condition for LanceDB; None where all rows are looked at."""
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
        """The same for a `pyarrow.Table`, `(rows,)`; None where all rows are looked at."""
        import pyarrow
        from pyarrow import compute

        masks = []
        if self.cameras:
            wanted = pyarrow.array(sorted(self.cameras), pyarrow.int64())
            masks.append(compute.is_in(columns["camera"], value_set=wanted))
        kind = pyarrow.timestamp("us")
        if self.since is not None:
            limit = pyarrow.scalar(self.since, kind)
            masks.append(compute.greater_equal(columns["time"], limit))
        if self.until is not None:
            masks.append(compute.less_equal(columns["time"], pyarrow.scalar(self.until, kind)))
        if self.person is not None:
            masks.append(compute.equal(columns["person"], self.person))
        if self.without is not None:
            other = compute.not_equal(columns["person"], self.without)
            masks.append(compute.fill_null(other, True))
        if not masks:
            return None
        together = masks[0]
        for mask in masks[1:]:
            together = compute.and_(together, mask)
        chosen: NDArray[np.bool_] = compute.fill_null(together, False).to_numpy()
        return chosen


def make_filter(
    camera: int | Collection[int] | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    person: str | None = None,
    without: str | None = None,
) -> Filter:
    """Reads what a user gives.

    Args:
        camera: One camera or several.
        since: A time, or text as in "2026-11-20" or "2026-11-20 08:15".
        until: The same; a day counts to its end.
        person: Of these rows.
        without: Of none of these rows.

    Returns:
        The filter.

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
