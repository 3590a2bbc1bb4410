"""Rank lists: the nearest gallery images of each query."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import (
    Indices,
    Metric,
    check_metric,
    checked_pair,
    distance_blocks,
    smallest,
    to_distances,
)
from siamese.metrics.masks import ProtocolMask


@dataclass(frozen=True)
class RankLists:
    """The nearest gallery images of each query, with nothing in them that its ranking leaves out.

    Attributes:
        indices: Gallery numbers `(queries, places)`, int64, nearest first; -1 where fewer are left.
        distances: Their distances `(queries, places)`, float32; infinity where fewer are left.
        first_match: `(queries,)`, the gallery number of the nearest correct match; -1 where there
            is none.
        first_distance: `(queries,)`, float32, its distance; infinity where there is none.
    """

    indices: Indices
    distances: NDArray[np.float32]
    first_match: Indices
    first_distance: NDArray[np.float32]

    @classmethod
    def of_size(cls, queries: int, places: int) -> "RankLists":
        """Makes empty lists."""
        return cls(
            np.full((queries, places), -1, np.int64),
            np.full((queries, places), np.inf, np.float32),
            np.full(queries, -1, np.int64),
            np.full(queries, np.inf, np.float32),
        )

    def read(self, start: int, block: NDArray[np.float32], columns: Indices | None) -> None:
        """Keeps the smallest keys of a block in which what is left out is infinite."""
        count = min(self.indices.shape[1], block.shape[1])
        found, keys = smallest(block, count)
        found = found if columns is None else columns[found]
        rows = slice(start, start + len(block))
        self.indices[rows, :count] = np.where(np.isinf(keys), -1, found)
        self.distances[rows, :count] = keys


def nearest(
    query_embeddings: ArrayLike,
    gallery_embeddings: ArrayLike,
    k: int = 10,
    *,
    metric: Metric = "euclidean",
    mask: ProtocolMask | None = None,
) -> tuple[Indices, NDArray[np.float32]]:
    """Finds the `k` nearest gallery images of each query, for rank lists and searches.

    The mask leaves out for each query what its ranking leaves out, and junk; nothing when None.

    Returns:
        Indices and distances as in `RankLists`. Ties as in `score_ranking`.

    Raises:
        InputError: Something is empty, not finite or disagrees, or `k` is below 1.

    Example:
        >>> indices, distances = nearest([[0.0]], [[2.0], [1.0], [4.0]], k=2)
        >>> indices.tolist(), distances.tolist()
        ([[1, 0]], [[1.0, 2.0]])
    """
    if k < 1:
        raise InputError(f"`k` must be at least 1. Received: k={k}.")
    check_metric(metric)
    if mask is None:
        queries, gallery = checked_pair(query_embeddings, gallery_embeddings)
    else:
        queries, gallery = mask.checked_pair(query_embeddings, gallery_embeddings)
    columns = None if mask is None else mask.columns
    lists = RankLists.of_size(len(queries), k)
    for start, block in distance_blocks(
        queries, gallery, metric=metric, columns=columns, squared=True
    ):
        if mask is not None:
            for row in range(len(block)):
                block[row, mask.positions(mask.of(start + row)[0])] = np.inf
        lists.read(start, block, columns)
    return lists.indices, to_distances(lists.distances, metric)
