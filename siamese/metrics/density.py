"""Clusters of crops of unknown people, as pseudo-identities, and how well they are set apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from siamese.metrics.blocks import Floats, Indices, mean_rows
from siamese.metrics.masks import UNKNOWN_CAMERA
from siamese.metrics.reranking import jaccard_distances

NEIGHBOURS = {4: 2, 8: 2, 15: 5, 20: 6, 30: 6}
"""Numbers of neighbours that are tried, and how many of them are averaged: few where there are two
crops of a person, as in VIPeR, and those of the literature (20 to 30) where there are many."""
_ROWS = 1024


@dataclass(frozen=True)
class DensityClusters:
    """Clusters of crops.

    Attributes:
        numbers: `(crops,)`, clusters from 0; -1 for crops without one.
        silhouettes: `(crops,)`, of `camera_silhouettes`.
        neighbours: With how many nearest neighbours they were found.
    """

    numbers: Indices
    silhouettes: Floats
    neighbours: int

    @property
    def count(self) -> int:
        """Returns the number of clusters."""
        return int(self.numbers.max(initial=-1)) + 1

    @property
    def share(self) -> float:
        """Returns the share of the crops that are in a cluster."""
        return float((self.numbers >= 0).mean())


def find_density_clusters(
    embeddings: NDArray[np.float32],
    cameras: Indices,
    *,
    radius: float,
    together: Indices | None = None,
    neighbours: int | None = None,
) -> DensityClusters:
    """Clusters crops of unknown people by DBSCAN on k-reciprocal Jaccard distances.

    A crop with one other within the radius is a core, so the clusters of DBSCAN (Ester et al., KDD
    1996) are the connected components of the graph of such pairs. As in Cluster Contrast (Dai et
    al., ACCV 2022, arXiv 2103.11568) and SpCL (Ge et al., NeurIPS 2020), but for the number of
    neighbours, which has to fit the number of crops of a person: of `NEIGHBOURS` the one whose
    clusters have the highest mean silhouette is taken. Only pairs within the radius are held.

    Args:
        embeddings: `(crops, dimensions)`, unit vectors.
        cameras: `(crops,)`, -1 where unknown.
        radius: Jaccard distance up to which crops are neighbours, above 0 and below 1.
        together: `(crops,)`: crops of equal numbers from 0 are one person, as in a tracklet.
        neighbours: One of `NEIGHBOURS`; None: all are tried.

    Returns:
        The clusters, by descending number of crops; all numbers are -1 where there are none.

    Example:
        >>> rows = np.float32([[1, 0], [0, 1], [1, 0], [0, 1]])
        >>> find_density_clusters(rows, np.array([1, 1, 2, 2]), radius=0.5, neighbours=4).numbers
        array([0, 1, 0, 1])
    """
    found = []
    for k1 in NEIGHBOURS if neighbours is None else (neighbours,):
        numbers = _connect(embeddings, radius, k1, together)
        found.append(DensityClusters(numbers, camera_silhouettes(embeddings, cameras, numbers), k1))
    return max(found, key=lambda each: float(each.silhouettes.mean()))


def camera_silhouettes(
    embeddings: NDArray[np.float32], cameras: Indices, numbers: Indices
) -> Floats:
    """Measures how much nearer each crop is to its own cluster than to any other, across cameras.

    (b - a) / max(a, b), with a and b the mean squared distances to the crops of the cluster and to
    those of the nearest other one (Rousseeuw, Journal of Computational and Applied Mathematics
    1987), both of other cameras alone: near-duplicates of one camera are close in any model. A crop
    without a cluster is one of its own. 0 where the cluster has no crop of another camera, or no
    other one has. Of unknown cameras all other crops count.

    Args:
        embeddings: `(crops, dimensions)`, unit vectors.
        cameras: `(crops,)`, -1 where unknown.
        numbers: `(crops,)`, clusters from 0; -1 for crops without one.

    Returns:
        `(crops,)`, -1 to 1.

    Example:
        >>> rows = np.float32([[1, 0], [1, 0], [0, 1], [0, 1]])
        >>> camera_silhouettes(rows, np.array([1, 2, 1, 2]), np.array([0, 0, 1, 1])).tolist()
        [1.0, 1.0, 1.0, 1.0]
        >>> camera_silhouettes(rows, np.array([1, 1, 2, 2]), np.array([0, 0, 1, 1])).tolist()
        [0.0, 0.0, 0.0, 0.0]
    """
    alone = numbers.max(initial=-1) + 1 + np.arange(len(numbers))
    codes = np.unique(np.where(numbers < 0, alone, numbers), return_inverse=True)[1]
    sizes = np.bincount(codes)
    sums = mean_rows(embeddings, codes) * sizes[:, None]
    found = np.zeros(len(embeddings))
    for camera in np.unique(cameras):
        seen = np.flatnonzero(cameras == camera)
        known = camera != UNKNOWN_CAMERA
        others, counts = sums, sizes
        if known:
            others = sums.copy()
            np.subtract.at(others, codes[seen], embeddings[seen])
            counts = sizes - np.bincount(codes[seen], minlength=len(sizes))
        means = others / np.maximum(counts, 1)[:, None]
        for rows in np.split(seen, range(_ROWS, len(seen), _ROWS)):
            # The mean squared distance to crops is 2 - 2 x their mean.
            away = np.where(counts > 0, 2 - 2 * embeddings[rows] @ means.T, np.inf)
            places, own = np.arange(len(rows)), codes[rows]
            inside = away[places, own]
            if not known:  # less the crop itself, at a distance of 0
                size = sizes[own]
                inside = np.where(size > 1, inside * size / np.maximum(size - 1, 1), np.inf)
            away[places, own] = np.inf
            outside = away.min(axis=1)
            both = np.isfinite(inside) & np.isfinite(outside)
            a, b = inside[both], outside[both]
            found[rows[both]] = (b - a) / np.maximum(np.maximum(a, b), 1e-12)
    return found


def _connect(
    embeddings: NDArray[np.float32], radius: float, k1: int, together: Indices | None
) -> Indices:
    """Numbers the connected components of two crops or more, the largest first."""
    count = len(embeddings)
    edges = []
    for start, block in jaccard_distances(embeddings, k1=k1, k2=NEIGHBOURS[k1]):
        near, far = np.nonzero(block <= radius)
        edges.append(np.stack([near + start, far]))
    if together is not None:
        order = np.argsort(together, kind="stable")
        order = order[together[order] >= 0]
        joined = together[order[1:]] == together[order[:-1]]
        edges.append(np.stack([order[:-1], order[1:]])[:, joined])
    ends = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(count, count))
    found = connected_components(graph, directed=False)[1]
    sizes = np.bincount(found)
    order = np.argsort(-sizes, kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return np.asarray(np.where(sizes[found] > 1, ranks[found], -1), np.int64)
