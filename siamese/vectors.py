"""Embeddings in memory, with what is known of their images; making and searching them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from siamese.metrics.blocks import exact_distances, mean_rows, unit_rows
from siamese.metrics.masks import query_rows

if TYPE_CHECKING:
    from siamese.datasets import Sample

ELEMENTS = 1 << 25
"""Of a block of similarities: 128 MB, 32 queries at a time in a gallery of a million."""
MARGIN = 16
"""More candidates than asked for: their exact distances are measured after the quick product."""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of images or tracklets, and what is known of these.

    Attributes:
        embeddings: `(images, dimensions)`, float32 unit vectors.
        people: `(images,)`, text; "" is not known.
        cameras: `(images,)`, int64; -1 is not known.
        images: `(images,)`, text that tells images apart: paths of the files, or names.
        tracklets: `(images,)`, int64; -1 is not known; None where that is so of all.
        frames: `(images,)`, int64; as tracklets.
        times: `(images,)`, datetime64[us]; NaT is not known; None where that is so of all.
        distractors: People who are distractors: never asked for, never a match.
        fingerprint: Of the model that made them: others do not compare; "" where it is not kept.
        preprocessing: What was stated of a model made elsewhere, as `Model.preprocessing`.
    """

    embeddings: NDArray[np.float32]
    people: NDArray[np.str_]
    cameras: NDArray[np.int64]
    images: NDArray[np.str_]
    tracklets: NDArray[np.int64] | None = None
    frames: NDArray[np.int64] | None = None
    times: NDArray[np.datetime64] | None = None
    distractors: tuple[str, ...] = ()
    fingerprint: str = ""
    preprocessing: dict[str, Any] | None = None

    @classmethod
    def of_samples(
        cls, embeddings: NDArray[np.float32], samples: Sequence["Sample"], **known: Any
    ) -> "Embeddings":
        """Joins embeddings with the samples they were made of; `known` are fields, or replace."""
        columns: dict[str, Any] = {
            "people": np.array([each.person for each in samples]),
            "cameras": np.array([each.camera for each in samples], np.int64),
            "images": np.array([each.path for each in samples]),
            "tracklets": np.array([each.tracklet for each in samples], np.int64),
            "frames": np.array([each.frame for each in samples], np.int64),
        }
        return cls(embeddings, **{**columns, **known})

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "Embeddings":
        """Takes some rows."""
        taken: dict[str, Any] = {
            name: each[chosen] for name, each in vars(self).items() if isinstance(each, np.ndarray)
        }
        return replace(self, **taken)

    def first_rows(self) -> NDArray[np.int64]:
        """Chooses a query set of images that have none, as `siamese.metrics.masks.query_rows`."""
        return query_rows(self.people, self.cameras, distractors=self.distractors)

    @property
    def labelled(self) -> dict[str, Any]:
        """The arguments that the functions of `siamese.metrics.pairs` share, by name."""
        return {
            name: getattr(self, name) for name in ("embeddings", "people", "cameras", "distractors")
        }


def embed_batches(
    run: Callable[[Any], Any], batches: Iterable[Any], *, flip: bool = False
) -> Iterator[NDArray[np.float32]]:
    """Embeds batches of images: the one place where mirrored images are averaged.

    Args:
        run: Embeds `(images, height, width, 3)` to `(images, dimensions)`.
        batches: The batches; sizes may differ from one to the next.
        flip: Average each embedding with that of the mirrored image.

    Yields:
        Unit vectors, `(images, dimensions)`, float32, a batch at a time.

    Example:
        >>> batch = np.array([[[[3.0]], [[4.0]]]])
        >>> [found] = embed_batches(lambda images: images.reshape(1, -1), [batch])
        >>> found.astype(float).round(6).tolist()
        [[0.6, 0.8]]
    """
    for batch in batches:
        images = np.asarray(batch)
        found = unit_rows(np.asarray(run(images), np.float32))
        if flip:
            found = unit_rows(found + unit_rows(np.asarray(run(images[:, :, ::-1]), np.float32)))
        yield found


def nearest_rows(
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    chosen: NDArray[np.bool_] | None = None,
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Finds the nearest rows of each query by Euclidean distance, the first row first where equal.

    Args:
        embeddings: `(rows, dimensions)`, of length 1.
        queries: `(queries, dimensions)`, of length 1.
        k: How many at most.
        chosen: `(rows,)`, the rows to look at; all when None.

    Returns:
        For each query its rows, nearest first, int64, and their distances, float64, summed from
        differences (equal vectors are at exactly 0). Fewer than k where fewer rows were chosen.

    Example:
        >>> gallery = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
        >>> rows, distances = nearest_rows(gallery, gallery[1:2], 2)
        >>> rows[0].tolist(), distances[0].round(3).tolist()
        ([1, 2], [0.0, 0.632])
    """
    places = None if chosen is None else np.flatnonzero(chosen)
    if places is not None and 2 * len(places) < len(embeddings):
        # Few rows are gathered; of many, the product of all is cheaper than the copy.
        rows, distances = nearest_rows(embeddings[places], queries, k)
        return [places[row] for row in rows], distances
    count = len(embeddings) if places is None else len(places)
    candidates = min(count, k + MARGIN)
    found_rows, found_distances = [], []
    step = max(1, ELEMENTS // max(1, len(embeddings)))
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        similarities = np.empty((len(part), len(embeddings)), np.float32)
        if len(part) == 1:  # a matrix by a vector has a quicker way than by a thin matrix
            np.matmul(embeddings, part[0], out=similarities[0])
        else:
            np.matmul(part, embeddings.T, out=similarities)
        if chosen is not None:
            similarities[:, ~chosen] = -np.inf
        for query, row in zip(part, similarities, strict=True):
            if candidates == len(row):
                found = np.arange(len(row))
            else:
                found = np.argpartition(row, len(row) - candidates)[len(row) - candidates :]
            if candidates < count:  # of copies of one image, all, so that the first come first
                found = np.flatnonzero(row >= row[found].min())
            exact = exact_distances(embeddings[found], query)
            order = np.lexsort((found, exact))[:k]
            found_rows.append(found[order])
            found_distances.append(exact[order])
    return found_rows, found_distances


def mix_person_means(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    cameras: NDArray[np.integer[Any]],
    share: float,
) -> NDArray[np.float32]:
    """Moves each embedding towards the mean of its person, in which each camera weighs the same.

    Args:
        embeddings: `(images, dimensions)`, unit vectors.
        labels: `(images,)`, the person; below 0 is not known, and such images stay as they are.
        cameras: `(images,)`.
        share: Of the mean, brought to length 1, in what is returned, 0 to 1.

    Returns:
        Unit vectors, `(images, dimensions)`, float32.

    Example:
        >>> rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
        >>> mix_person_means(rows, np.zeros(3, int), np.array([1, 1, 2]), 1.0)[2].round(3)
        array([0.707, 0.707], dtype=float32)
    """
    mixed = np.array(embeddings, np.float32)
    known = np.flatnonzero(labels >= 0)
    views, view_of = np.unique(
        np.stack([labels[known], cameras[known]]), axis=1, return_inverse=True
    )
    person_of = np.unique(views[0], return_inverse=True)[1]
    means = mean_rows(embeddings[known], view_of)
    persons = unit_rows(mean_rows(means, person_of).astype(np.float32))
    mixed[known] = unit_rows((1 - share) * mixed[known] + share * persons[person_of[view_of]])
    return mixed
