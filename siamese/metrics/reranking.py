"""k-reciprocal re-ranking and query expansion: better ranks from the neighbours of neighbours."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_array, csr_array

from siamese.errors import InputError
from siamese.metrics.blocks import (
    DistanceBlocks,
    Metric,
    check_metric,
    checked_pair,
    distance_blocks,
    pair_distances,
    smallest,
    unit_rows,
)
from siamese.metrics.masks import ProtocolMask
from siamese.metrics.rank_lists import nearest

Neighbours: TypeAlias = NDArray[np.int32]

_TILE = 2048  # rows of distances between all images: 770 MB for MSMT17
_ELEMENTS = 1 << 20  # of a tile read at a time, within the processor's cache
_ROWS = 64  # of Jaccard distances at a time


def rerank(
    query_embeddings: ArrayLike,
    gallery_embeddings: ArrayLike,
    *,
    metric: Metric = "euclidean",
    k1: int = 20,
    k2: int = 6,
    original_weight: float = 0.3,
) -> DistanceBlocks:
    """Re-ranks by k-reciprocal encoding (Zhong et al., CVPR 2017, equations 3 to 12).

    Only the `k1` nearest neighbours of an image matter, so the encodings are sparse and no matrix
    of all images is held. Original distances are squared Euclidean ones (of vectors of length 1 for
    "cosine") over the farthest from the same image, as in the authors' code; an image is always its
    own nearest neighbour, and other ties are broken by order, queries first.

    Args:
        query_embeddings: `(queries, dimensions)`.
        gallery_embeddings: `(gallery, dimensions)`. Junk takes part as any image does: leave it
            out.
        metric: "euclidean" or "cosine".
        k1: Neighbours that may be reciprocal, at least 1.
        k2: Nearest images whose encodings are averaged, itself first, at least 1.
        original_weight: Of the original distance against the Jaccard distance, 0..1: the paper's
            lambda.

    Returns:
        An iterator of the number of the first query of a block, and its distances `(rows,
        gallery)`, float32, 0..1; for `score_distances`.

    Raises:
        InputError: Something is empty, not finite, disagrees or is out of range.

    Example:
        >>> gallery = [[0.1], [0.2], [5.0], [5.1]]
        >>> _, distances = next(rerank([[0.0]], gallery, k1=2, k2=1))
        >>> np.argsort(distances[0]).tolist()
        [0, 1, 2, 3]
    """
    queries, gallery = checked_pair(query_embeddings, gallery_embeddings)
    check_metric(metric)
    if k1 < 1 or k2 < 1 or not 0 <= original_weight <= 1:
        raise InputError(
            "`k1` and `k2` must be at least 1 and `original_weight` (lambda) within 0..1. "
            f"Received: k1={k1}, k2={k2}, original_weight={original_weight}."
        )
    images = np.concatenate([queries, gallery]).astype(np.float32, copy=False)
    if metric == "cosine":
        images = unit_rows(images)
    asked, found = slice(len(queries)), slice(len(queries), None)
    return _blocks(images, asked, found, *_encode(images, k1, k2), original_weight)


def jaccard_distances(
    embeddings: NDArray[np.float32], *, k1: int = 20, k2: int = 6
) -> DistanceBlocks:
    """Measures the Jaccard distances of `rerank` between all images of a set.

    Args:
        embeddings: `(images, dimensions)`, unit vectors.
        k1: As `rerank`.
        k2: As `rerank`.

    Returns:
        An iterator of the number of the first image of a block, and its distances `(rows, images)`,
        float32, 0..1, where images without a common neighbour have 1.

    Example:
        >>> rows = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
        >>> _, distances = next(jaccard_distances(rows, k1=1, k2=1))
        >>> (distances < 0.5).astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    """
    everything = slice(None)
    return _blocks(embeddings, everything, everything, *_encode(embeddings, k1, k2), 0.0)


def expand_queries(
    query_embeddings: ArrayLike,
    gallery_embeddings: ArrayLike,
    *,
    metric: Metric = "cosine",
    k: int = 5,
    mask: ProtocolMask | None = None,
) -> NDArray[np.float32]:
    """Replaces each query by the mean of itself and its `k` nearest gallery images.

    Average query expansion (Chum et al., ICCV 2007). Vectors get length 1 before and after the mean
    for "cosine". The mask leaves out of the gallery what it does for each query; nothing when None.
    Where the gallery holds the queries themselves, give one of the protocol "query image dropped":
    that of "cross-camera" would tell the expansion who is who.

    Returns:
        New query embeddings, `(queries, dimensions)`, float32.

    Raises:
        InputError: Something is empty, not finite or disagrees, or `k` is below 1.

    Example:
        >>> expand_queries([[0.0]], [[1.0], [2.0], [9.0]], metric="euclidean", k=2)
        array([[1.]], dtype=float32)
    """
    queries, gallery = checked_pair(query_embeddings, gallery_embeddings)
    indices, _ = nearest(queries, gallery, min(k, len(gallery)), metric=metric, mask=mask)
    expanded = np.empty(queries.shape, np.float32)
    for query, found in enumerate(indices):
        found = found[found >= 0]
        members = np.concatenate([queries[query : query + 1], gallery[found]]).astype(np.float32)
        if metric == "cosine":
            members = unit_rows(members)
        expanded[query] = members.mean(axis=0)
    return unit_rows(expanded) if metric == "cosine" else expanded


def _encode(images: NDArray[np.float32], k1: int, k2: int) -> tuple[csr_array, NDArray[np.float32]]:
    """Encodes images by their k-reciprocal neighbours, and gives the squares of their farthest."""
    neighbours, farthest = _neighbours(images, max(k1 + 1, k2))
    encodings = _encodings(images, neighbours[:, : k1 + 1], farthest, k1)
    count = min(k2, len(images))
    return csr_array(_graph(neighbours[:, :count]) @ encodings / count), farthest


def _neighbours(images: NDArray[np.float32], count: int) -> tuple[Neighbours, NDArray[np.float32]]:
    """Finds the nearest images of each, itself first, and its largest squared distance.

    Each distance is computed once, above the diagonal, and read in both directions.
    """
    total = len(images)
    count = min(count, total)
    neighbours = np.zeros((total, count), np.int32)
    nearest_yet = np.full((total, count), np.inf, np.float32)
    farthest = np.zeros(total, np.float32)
    sizes = np.einsum("ij,ij->i", images, images)
    buffer = np.empty(min(_TILE, total) * total, np.float32)

    def keep(
        rows: slice, first_column: int, block: NDArray[np.float32], *, by_column: bool = False
    ) -> None:
        length = block.shape[0 if by_column else 1]
        columns, values = smallest(block, min(count, length), by_column=by_column)
        # What is known already comes from images of smaller numbers, so it wins ties.
        known = np.concatenate([nearest_yet[rows], values], axis=1)
        numbers = np.concatenate([neighbours[rows], first_column + columns], axis=1)
        order = np.argsort(known, axis=1, kind="stable")[:, :count]
        nearest_yet[rows] = np.take_along_axis(known, order, axis=1)
        neighbours[rows] = np.take_along_axis(numbers, order, axis=1)
        farthest[rows] = np.maximum(farthest[rows], block.max(axis=0 if by_column else 1))

    for start in range(0, total, _TILE):
        rows = slice(start, min(start + _TILE, total))
        height = rows.stop - start
        block = buffer[: height * (total - start)].reshape(height, total - start)
        np.matmul(-2 * images[rows], images[start:].T, out=block)
        block += sizes[start:]
        block += sizes[rows, None]
        own = np.arange(height)
        block[own, own] = -np.inf
        step = max(1, _ELEMENTS // (total - start))
        for top in range(0, height, step):
            part = block[top : top + step]
            keep(slice(start + top, start + top + len(part)), start, part)
        step = max(1, _ELEMENTS // height)
        for left in range(height, total - start, step):
            part = block[:, left : left + step]
            columns = slice(start + left, start + left + part.shape[1])
            keep(columns, start, part, by_column=True)
    # Equal images have no farthest one; their distances of 0 stay 0 over any length.
    farthest[farthest <= 0] = 1
    return neighbours, farthest


def _encodings(
    images: NDArray[np.float32], neighbours: Neighbours, farthest: NDArray[np.float32], k1: int
) -> csr_array:
    """Equations 3 to 7: reciprocal neighbours, their expansion, and Gaussian weights of sum 1."""
    reciprocal = _reciprocal(neighbours)
    close = _reciprocal(neighbours[:, : round(k1 / 2) + 1])
    # A neighbour passes its own close neighbours on when we know more than two thirds of them.
    shared = csr_array((reciprocal @ close.T).multiply(reciprocal))
    sizes = np.diff(close.indptr)
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.int32)
    shared.eliminate_zeros()
    expanded = csr_array(reciprocal + shared @ close)
    rows = np.repeat(np.arange(len(images)), np.diff(expanded.indptr))
    distances = pair_distances(images, rows, expanded.indices, squared=True)
    weights = np.exp(-distances / farthest[rows])
    totals = np.add.reduceat(weights, expanded.indptr[:-1])
    encoding = (weights / totals[rows], expanded.indices, expanded.indptr)
    return csr_array(encoding, shape=expanded.shape)


def _reciprocal(neighbours: Neighbours) -> csr_array:
    graph = _graph(neighbours)
    return csr_array(graph.multiply(graph.T.tocsr()))


def _graph(neighbours: Neighbours) -> csr_array:
    rows, count = neighbours.shape
    starts = np.arange(0, rows * count + 1, count)
    ones = np.ones(rows * count, np.int32)
    return csr_array((ones, neighbours.ravel(), starts), shape=(rows, rows))


def _blocks(
    images: NDArray[np.float32],
    queries: slice,
    gallery: slice,
    encodings: csr_array,
    farthest: NDArray[np.float32],
    original_weight: float,
) -> DistanceBlocks:
    """Equations 10 to 12: Jaccard distances from the sums of minima, joined with the original."""
    inverted = csc_array(encodings[gallery])
    lists = np.diff(inverted.indptr)
    for start, block in distance_blocks(
        images[queries], images[gallery], metric="euclidean", squared=True
    ):
        block *= np.float32(original_weight) / farthest[start : start + len(block), None]
        for top in range(0, len(block), _ROWS):
            part = block[top : top + _ROWS]
            chosen = encodings[start + top : start + top + len(part)]
            # Each non-zero of a query meets the gallery images that share it.
            lengths = lists[chosen.indices]
            ends = np.cumsum(lengths)
            places = np.arange(ends[-1]) + np.repeat(
                inverted.indptr[chosen.indices] - ends + lengths, lengths
            )
            row = np.repeat(np.arange(len(part)), np.diff(chosen.indptr))
            target = np.repeat(row * part.shape[1], lengths) + inverted.indices[places]
            minima = np.minimum(np.repeat(chosen.data, lengths), inverted.data[places])
            shared = np.bincount(target, minima, part.size).reshape(part.shape)
            part += (1 - original_weight) * (1 - shared / (2 - shared))
        yield start, block
