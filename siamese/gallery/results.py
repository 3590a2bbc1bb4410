"""Answers of a gallery: places of a rank list, what was added, what it holds."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.metrics.calibration import Calibration, Verdict


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One place of a rank list: what `GalleryImage` says of the image, and how like it is.

    Attributes:
        distance: To the query, Euclidean between unit vectors, 0 to 2.
        prior: The probability, before the images were compared, that this is who is looked for: 0.5
            that the person is there at all, divided by the number of people searched.
        probability: That both are one person, 0 to 1, with this prior; None for a model without
            calibration.
        verdict: One of `siamese.metrics.calibration.VERDICTS`, with this prior; None for a model
            without calibration.
    """

    image: str
    person: str | None
    camera: int | None
    time: datetime | None
    tracklet: int | None
    distance: float
    prior: float
    probability: float | None = None
    verdict: Verdict | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives the fields by name, ready for JSON."""
        return _plain(self)


@dataclass(frozen=True, slots=True)
class Added:
    """Says what became of the images that were to be added.

    Attributes:
        added: New ones.
        replaced: Files whose content has changed since.
        unchanged: Files that the gallery had already.
        refused: A sentence for each that cannot be used.
    """

    added: int
    replaced: int
    unchanged: int
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """Says what a gallery holds.

    Attributes:
        people: People with a name; `unnamed` counts the images of others.
        first: The earliest known time, as `last` is the latest.
        preprocessing: What was stated of a model made elsewhere; None for others.
        version: Of its content: each commit counts one.
        index: Whether there is an approximate index.
        calibration: Facts of the gallery's own, see `GalleryCalibration`; None where the model's
            own answers.
    """

    images: int
    people: int
    unnamed: int
    cameras: tuple[int, ...]
    first: datetime | None
    last: datetime | None
    dimensions: int
    fingerprint: str
    preprocessing: dict[str, Any] | None
    schema_version: int
    version: int
    index: bool
    calibration: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives the fields by name, ready for JSON."""
        return _plain(self)


def _plain(record: SearchResult | Info) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(record).items()
    }


def make_results(
    rows: Any,
    distances: NDArray[np.float64],
    calibration: Calibration | None,
    people: Mapping[str | None, int],
    own: Collection[str] = (),
) -> list[SearchResult]:
    """Reads the distances of a rank list as a model's calibration says.

    Args:
        rows: A `pyarrow.Table` of `IMAGE_COLUMNS`.
        distances: `(rows,)`, Euclidean, between unit vectors.
        calibration: The model's, or None.
        people: How many of the rows searched each person has; of None: those without a name.
        own: Paths of rows that are the query itself; they are left out.
    """
    found = list(zip(rows.to_pylist(), distances.tolist(), strict=True))
    itself = [row["person"] for row, _ in found if row["path"] in own]
    prior = 0.5 / max(1, _count_others(people, itself))
    results = [
        SearchResult(row.pop("path"), **row, distance=distance, prior=prior)
        for row, distance in found
        if row["path"] not in own
    ]
    return results if calibration is None else [judge_result(each, calibration) for each in results]


def _count_others(people: Mapping[str | None, int], own: Sequence[str | None]) -> int:
    """Counts the people of the rows searched but those of the query itself, given by their names.

    A row without a name counts as a person of its own.
    """
    gone = Counter(own)
    unnamed = people.get(None, 0) - gone.pop(None, 0)
    named = len(people) - (None in people)
    return unnamed + named - sum(people.get(person) == rows for person, rows in gone.items())


def judge_result(result: SearchResult, calibration: Calibration) -> SearchResult:
    """Says what a calibration makes of the distance of a result, with the result's prior."""
    return replace(
        result,
        probability=float(calibration.probability(result.distance, result.prior)),
        verdict=calibration.verdict(result.distance, result.prior),
    )


def answer(matches: Sequence[SearchResult]) -> Verdict | None:
    """Says whether whom a search was for is in the gallery at all: by the nearest of its results.

    Returns:
        "same": in the gallery; "different": not in it; or a word between; None for a model without
        calibration, and where there was no image to compare with.
    """
    return matches[0].verdict if matches else None
