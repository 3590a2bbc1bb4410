"""Clusters images to people, and scores how well that agrees with the truth."""

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from siamese.metrics.blocks import Indices, mean_rows

LARGEST_COMPONENT = 12_000
"""Images that are clustered exactly together: their distances take 580 MB."""
_ROWS = 512
_NEVER = 1e12
"""A squared distance whose mean over all pairs of two clusters is still beyond every threshold."""


@dataclass(frozen=True)
class ClusterScores:
    """Agreement of found identities with people; all but the counts 0 to 1.

    Attributes:
        people: Number of people.
        identities: Number of identities found.
        pair_precision: Share of the pairs of images of one identity that show one person.
        pair_recall: Share of the pairs of images of one person that are of one identity.
        bcubed_precision: Mean over images of the share of their identity that shows their person.
        bcubed_recall: Mean over images of the share of their person's images in their identity.
        bcubed_f1: Harmonic mean of the two (Bagga and Baldwin, ACL 1998).
        bcubed_f1_interval: Its 95 % interval, by drawing people with replacement.
        v_measure: Harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg, EMNLP
            2007).
    """

    people: int
    identities: int
    pair_precision: float
    pair_recall: float
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f1: float
    bcubed_f1_interval: tuple[float, float]
    v_measure: float

    def to_dict(self) -> dict[str, Any]:
        """Gives the fields by name, ready for JSON."""
        return asdict(self)


def cluster_people(
    embeddings: NDArray[np.float32],
    threshold: float,
    *,
    together: Indices | None = None,
    apart: Indices | None = None,
) -> Indices:
    """Joins images to identities by average linkage of squared distances.

    Two clusters are joined, the nearest first, while the mean squared distance of their images is
    at most the square of the threshold. No two images are compared that a chain of distances within
    the threshold does not connect, as they cannot be joined. A component of more than
    `LARGEST_COMPONENT` images is split at smaller thresholds first, and the clusters of its parts
    are joined by their means.

    Args:
        embeddings: `(images, dimensions)`, unit vectors.
        threshold: A distance.
        together: `(images,)`: images of equal numbers from 0 are one identity, as of a tracklet;
            they are joined first and count as one image then.
        apart: `(images,)`: images of equal numbers from 0 are of different identities, as of a
            frame, but where `together` joins them. A join that would break this is not made
            (constrained agglomerative clustering; Davidson and Ravi, PKDD 2005).

    Returns:
        Numbers of identities from 0, `(images,)`, the largest identity first; of equal ones that of
        the earlier image.
    """
    units: Indices = np.arange(len(embeddings))
    if together is not None:
        alone = -1 - units  # below 0 and each once
        units = np.unique(np.where(together < 0, alone, together), return_inverse=True)[1]
        embeddings = mean_rows(embeddings, units).astype(np.float32)
    barred = pairs_apart(units, apart)
    labels = _cluster(embeddings, threshold, threshold, barred)[units]
    _, first, codes, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    numbers = np.empty_like(order)
    numbers[order] = np.arange(len(order))
    return np.asarray(numbers[codes], np.int64)


def pairs_apart(numbers: Indices, apart: Indices | None) -> Indices:
    """Lists the pairs of clusters, numbered by image, that hold two images which must be apart.

    Returns:
        `(pairs, 2)`, the lower number first, each pair once; `apart` as in `cluster_people`.

    Example:
        >>> pairs_apart(np.array([0, 1, 2, 2]), np.array([7, 7, 8, 8])).tolist()
        [[0, 1]]
    """
    if apart is None:
        return np.zeros((0, 2), np.int64)
    order = np.argsort(apart, kind="stable")
    order = order[apart[order] >= 0]
    frames = np.split(order, np.flatnonzero(np.diff(apart[order])) + 1)
    found = [(numbers[a], numbers[b]) for rows in frames for a, b in combinations(rows.tolist(), 2)]
    pairs = np.sort(np.array(found, np.int64).reshape(-1, 2), axis=1)
    return np.asarray(np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0), np.int64)


def score_clusters(
    identities: ArrayLike, people: ArrayLike, *, samples: int = 1000, seed: int = 0
) -> ClusterScores:
    """Compares identities with people, all known.

    Precision and recall of pairs are 1 where there is no pair. The interval is made from `samples`
    draws.

    Example:
        >>> scores = score_clusters([0, 0, 1, 1], ["a", "a", "a", "b"])
        >>> scores.pair_precision, scores.pair_recall, scores.bcubed_precision
        (0.5, 0.3333333333333333, 0.75)
    """
    found = np.unique(np.asarray(identities), return_inverse=True)[1]
    truth = np.unique(np.asarray(people), return_inverse=True)[1]
    _, inverse, both = np.unique(
        np.stack([found, truth]), axis=1, return_inverse=True, return_counts=True
    )
    of_identity, of_person = np.bincount(found), np.bincount(truth)
    together, joined, true = (_pairs(each) for each in (both, of_identity, of_person))
    precision, recall = both[inverse] / of_identity[found], both[inverse] / of_person[truth]
    sums = np.stack([np.bincount(truth, each) for each in (precision, recall, np.ones(len(truth)))])
    random = np.random.default_rng(seed)
    draws = random.integers(0, len(of_person), (samples, len(of_person)))
    low, high = np.quantile([_f1(*sums[:, each].sum(axis=1)) for each in draws], [0.025, 0.975])
    whole = len(truth)
    mutual = _entropy(of_identity, whole) + _entropy(of_person, whole) - _entropy(both, whole)
    mean = (_entropy(of_identity, whole) + _entropy(of_person, whole)) / 2
    return ClusterScores(
        people=len(of_person),
        identities=len(of_identity),
        pair_precision=together / joined if joined else 1.0,
        pair_recall=together / true if true else 1.0,
        bcubed_precision=float(precision.mean()),
        bcubed_recall=float(recall.mean()),
        bcubed_f1=_f1(*sums.sum(axis=1)),
        bcubed_f1_interval=(float(low), float(high)),
        v_measure=float(mutual / mean) if mean else 1.0,
    )


def _cluster(
    embeddings: NDArray[np.float32], threshold: float, within: float, barred: Indices
) -> Indices:
    labels = np.empty(len(embeddings), np.int64)
    start = 0
    components = _components(embeddings, within)
    for rows in np.split(np.argsort(components, kind="stable"), np.cumsum(np.bincount(components))):
        place = np.full(len(embeddings), -1)
        place[rows] = np.arange(len(rows))
        inside = place[barred]
        inside = inside[(inside >= 0).all(axis=1)]
        if len(rows) > LARGEST_COMPONENT:
            found = _cluster(embeddings[rows], threshold, within * 0.9, inside)
            means = mean_rows(embeddings[rows], found)
            if len(means) <= LARGEST_COMPONENT:
                found = _link(means, threshold, np.unique(found[inside], axis=0))[found]
        elif len(rows):
            found = _link(embeddings[rows], threshold, inside)
        else:
            continue
        labels[rows] = start + found
        start += int(found.max()) + 1
    return labels


def _components(embeddings: NDArray[np.float32], threshold: float) -> Indices:
    """Numbers the connected components of the graph of distances within the threshold."""
    count = len(embeddings)
    components: Indices = np.arange(count)
    for first in range(0, count, _ROWS):
        similar = embeddings[first : first + _ROWS] @ embeddings.T >= 1 - threshold**2 / 2
        near, far = np.nonzero(similar)
        # Components that are known already keep the graph of each block small.
        edges = np.unique(np.stack([components[near + first], components[far]]), axis=1)
        graph = coo_array((np.ones(edges.shape[1], bool), tuple(edges)), shape=(count, count))
        found = connected_components(graph, directed=False)[1]
        components = np.asarray(found[components], np.int64)
    return np.asarray(np.unique(components, return_inverse=True)[1], np.int64)


def _link(rows: NDArray[np.floating[Any]], threshold: float, barred: Indices) -> Indices:
    """Clusters rows by average linkage, no barred pair in one cluster; numbers from 0."""
    if len(rows) == 1:
        return np.zeros(1, np.int64)
    exact = rows.astype(np.float64)
    # 2 - 2 a.b, which for means of unit vectors is the mean over their images.
    squares = np.maximum(2 - 2 * (exact @ exact.T), 0)
    np.fill_diagonal(squares, 0)
    squares[barred[:, 0], barred[:, 1]] = squares[barred[:, 1], barred[:, 0]] = _NEVER
    tree = linkage(squareform(squares, checks=False), "average")
    return np.asarray(fcluster(tree, threshold**2, "distance"), np.int64) - 1


def _pairs(counts: Indices) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _f1(precision: float, recall: float, count: float) -> float:
    return float(2 * precision * recall / (precision + recall) / count)


def _entropy(counts: Indices, whole: int) -> float:
    shares = counts / whole
    return float(-(shares * np.log(shares)).sum())
