"""What a gallery answers: places of a rank list, what was added, what it holds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.metrics.calibration import Calibration, Verdict


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One place of a rank list.

    Attributes:
        image: The image file, or a record: `shard.tfrecord#12`.
        person: Who it shows; None when not known.
        camera: The camera's number; None when not known.
        time: When it was taken; None when not known.
        tracklet: The number of the walk past the camera; None when not known.
        distance: To the query, Euclidean between unit vectors, 0 to 2 (cosine, where the model was
            calibrated so).
        probability: That both are one person, 0 to 1, were both answers equally likely beforehand;
            None for a model without calibration.
        verdict: "same", "unsure" or "different"; None for a model without calibration.
    """

    image: str
    person: str | None
    camera: int | None
    time: datetime | None
    tracklet: int | None
    distance: float
    probability: float | None
    verdict: Verdict | None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return {**asdict(self), "time": None if self.time is None else self.time.isoformat()}


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the images that were to be added.

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
    """What a gallery holds.

    Attributes:
        images: Rows.
        people: People with a name.
        unnamed: Images of unknown people.
        cameras: Known cameras, sorted.
        first: The earliest known time.
        last: The latest.
        dimensions: Of an embedding.
        fingerprint: Of the model that made them.
        schema_version: Of the table.
        version: Of its content: each commit counts one.
        index: Whether there is an approximate index.
    """

    images: int
    people: int
    unnamed: int
    cameras: tuple[int, ...]
    first: datetime | None
    last: datetime | None
    dimensions: int
    fingerprint: str
    schema_version: int
    version: int
    index: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        times = {"first": self.first, "last": self.last}
        shown = {name: None if t is None else t.isoformat() for name, t in times.items()}
        return {**asdict(self), **shown}


def make_results(
    rows: Any, distances: NDArray[np.float64], calibration: Calibration | None
) -> list[SearchResult]:
    """Reads the distances of a rank list as a model's calibration says.

    Args:
        rows: A `pyarrow.Table` of `COLUMNS`.
        distances: `(rows,)`, Euclidean, between unit vectors.
        calibration: The model's, or None.

    Returns:
        The places of the rank list.
    """
    if calibration is not None and calibration.metric == "cosine":
        distances = distances**2 / 2  # of unit vectors
    found = []
    for row, distance in zip(rows.to_pylist(), distances.tolist(), strict=True):
        image = row.pop("path")
        if calibration is None:
            found.append(
                SearchResult(image, **row, distance=distance, probability=None, verdict=None)
            )
            continue
        probability = float(calibration.probability(distance))
        verdict = calibration.verdict(distance)
        found.append(
            SearchResult(image, **row, distance=distance, probability=probability, verdict=verdict)
        )
    return found


def answer(matches: Sequence[SearchResult]) -> Verdict | None:
    """Says whether whom a search was for is in the gallery at all: by the nearest image.

    Args:
        matches: What a search gave.

    Returns:
        "same": in the gallery; "different": not in it; "unsure"; None for a model without
        calibration, and where there was no image to compare with.
    """
    return matches[0].verdict if matches else None
