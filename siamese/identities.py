"""Stage: crops -> who is who: identities across cameras, without a label."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import Sample
from siamese.embeddings import list_all
from siamese.errors import InputError, OnCorrupt
from siamese.evaluate import embed_samples
from siamese.files import write_csv
from siamese.inference import Model, load_model
from siamese.inference.reading import Progress
from siamese.metrics.blocks import Floats, Indices, mean_rows
from siamese.metrics.calibration import Calibration
from siamese.metrics.clustering import (
    ClusterScores,
    cluster_people,
    pairs_apart,
    score_clusters,
)
from siamese.metrics.masks import known_people
from siamese.profiles import Profile

MOST_LINKS = 1000
"""Unsure links that are listed."""


@dataclass(frozen=True)
class UnsureLink:
    """Two identities that may be one person, the lower number first.

    `probability` is that of one person, at even odds, 0 to 1.
    """

    first: int
    second: int
    probability: float


@dataclass(frozen=True)
class Identities:
    """Holds who is who in a folder.

    Attributes:
        samples: The images.
        numbers: The identity of each, from 0, `(images,)`; the largest identity is 0.
        confidence: How probable it is, `(images,)`, 0 to 1, that an image belongs to the others of
            its identity; of a single image, that it does not belong to the nearest other identity.
        threshold: The distance up to which identities were joined.
        links: Pairs of identities that were not joined, though one person is no less probable than
            "unsure" says; the most probable first, at most `MOST_LINKS`.
        scores: Agreement with the people, where they are known.
    """

    samples: Sequence[Sample]
    numbers: Indices
    confidence: Floats
    threshold: float
    links: tuple[UnsureLink, ...]
    scores: ClusterScores | None

    def write(self, path: str | Path) -> None:
        """Writes a CSV file, whole or not at all: image, identity, confidence."""
        columns = self.samples, self.numbers.tolist(), self.confidence.tolist()
        rows = [
            (each.path, number, f"{sure:.4f}") for each, number, sure in zip(*columns, strict=True)
        ]
        write_csv(Path(path), [("image", "identity", "confidence"), *rows])


def find_identities(
    folder: str | Path,
    model: str | Path | Model | None = None,
    *,
    profile: Profile | None = None,
    false_accept_rate: float = 1e-2,
    on_corrupt: OnCorrupt = "error",
    tracklets: bool = False,
    frames: bool = False,
    progress: Progress | None = None,
) -> Identities:
    """Finds out which images of a folder show one person, across cameras.

    Identities are joined by `siamese.metrics.clustering.cluster_people` up to the distance at which
    the stated share of pairs of two people would be taken for one. Names of people in the folder
    are not looked at but for the scores.

    Args:
        folder: Images at any depth.
        model: A model file, an open model, or None as for `siamese.load_model`.
        profile: Of these cameras, as `siamese.calibrate` makes it; by default the model's own
            calibration is taken.
        false_accept_rate: Of the threshold, above 0 and below 1.
        on_corrupt: What damaged images do: "error" names them all and ends, "skip" leaves them out.
        tracklets: A tracklet is one person; see `group_images`.
        frames: Two boxes of one frame are two people; likewise.
        progress: Called with the images done and all images.

    Raises:
        InputError: The folder, an image or the model cannot be used, there is no calibration, or
            the profile is of another model.
    """
    samples = list_all(Path(folder), on_corrupt)
    opened = model if isinstance(model, Model) else load_model(model)
    calibration = opened.calibration
    if profile is not None:
        profile.check(opened.fingerprint, opened.path)
        calibration = profile.calibration
    if calibration is None:
        raise InputError(
            f"{opened.path}: holds no calibration, so no distance says who is who. Make a profile "
            "with siamese calibrate and give it as --profile"
        )
    images = embed_samples(opened, samples, progress=progress)
    rows = images.embeddings
    if profile is not None:
        rows = profile.standardise(rows, images.cameras)
    return group_images(
        samples,
        rows,
        calibration,
        false_accept_rate=false_accept_rate,
        tracklets=tracklets,
        frames=frames,
    )


def group_images(
    samples: Sequence[Sample],
    rows: NDArray[np.float32],
    calibration: Calibration,
    *,
    false_accept_rate: float = 1e-2,
    tracklets: bool = False,
    frames: bool = False,
) -> Identities:
    """Finds out which images show one person, by their embeddings.

    Args:
        samples: The images.
        rows: Their embeddings, `(images, dimensions)`, unit vectors.
        calibration: Of distances between them.
        false_accept_rate: Of the threshold, above 0 and below 1.
        tracklets: Images of one camera, tracklet and name of a person are one person. (Datasets
            number the tracklets of each person from 1.) Market-1501's names hold a sequence there,
            which is none.
        frames: Images of one camera and frame number, but of another tracklet, are two people. Not
            for datasets that number the frames of each tracklet from 1, or keep two boxes of one
            person in a frame, as Market-1501 does.

    Raises:
        InputError: The rate is not between 0 and 1.
    """
    people = np.array([each.person for each in samples])
    threshold = calibration.threshold_at(false_accept_rate)
    together = _number(
        [(each.person, each.camera, each.tracklet) if each.tracklet >= 0 else None
         for each in samples]
    )  # fmt: skip
    apart = _number(
        [(each.camera, each.frame) if min(each.camera, each.frame) >= 0 else None
         for each in samples]
    )  # fmt: skip
    numbers = cluster_people(
        rows,
        threshold,
        together=together if tracklets else None,
        apart=apart if frames else None,
    )
    never = {tuple(each) for each in pairs_apart(numbers, apart if frames else None).tolist()}
    sizes = np.bincount(numbers)
    means = mean_rows(rows, numbers)
    nearest, links = _between(means, calibration.bounds()[2], threshold)
    others = np.einsum("ij,ij->i", rows, means[numbers]) * sizes[numbers] - 1
    own = np.sqrt(np.maximum(2 - 2 * others / np.maximum(sizes[numbers] - 1, 1), 0))
    confidence = np.where(
        sizes[numbers] > 1,
        calibration.probability(own),
        1 - calibration.probability(nearest[numbers]),
    )
    known = known_people(people)
    return Identities(
        samples=samples,
        numbers=numbers,
        confidence=confidence,
        threshold=threshold,
        links=tuple(
            UnsureLink(first, second, float(calibration.probability(distance)))
            for distance, first, second in links
            if (first, second) not in never
        ),
        scores=score_clusters(numbers[known], people[known]) if known.any() else None,
    )


def _number(keys: Sequence[Hashable]) -> Indices:
    """Numbers equal keys alike from 0; -1 for None."""
    places: dict[Hashable, int] = {}
    found = [-1 if key is None else places.setdefault(key, len(places)) for key in keys]
    return np.array(found, np.int64)


def _between(
    means: NDArray[np.float64], farthest: float, threshold: float
) -> tuple[Floats, list[tuple[float, int, int]]]:
    """Returns of each identity the distance to the nearest other, and the links worth a look."""
    nearest = np.full(len(means), 2.0)
    links: list[tuple[float, int, int]] = []
    for start in range(0, len(means), 512):
        distances = np.sqrt(np.maximum(2 - 2 * means[start : start + 512] @ means.T, 0))
        own = np.arange(len(distances))
        distances[own, start + own] = np.inf
        nearest[start : start + 512] = np.minimum(distances.min(axis=1), 2.0)
        first, second = np.nonzero((distances > threshold) & (distances <= farthest))
        kept = second > first + start
        found = zip(
            distances[first[kept], second[kept]].tolist(),
            (first[kept] + start).tolist(),
            second[kept].tolist(),
            strict=True,
        )
        links = sorted([*links, *found])[:MOST_LINKS]
    return nearest, links
