"""Counted pairs whose curves are known, for the tests of thresholds and verdicts."""

import numpy as np

from siamese.metrics.pairs import PairCounts

BINS = 1000


def counted(same, different, people=20):
    """Pairs at given distances between 0 and 1, in bins of 0.001."""
    same, different = (
        np.bincount((np.ceil(np.asarray(d) * BINS - 1e-6) - 1).astype(int).clip(0), minlength=BINS)
        for d in (same, different)
    )
    return PairCounts(same, different, 1 / BINS, "euclidean", "cross-camera pairs", people, 0)


def overlapping(seed=0, size=20_000, gap=0.3):
    """Two bell curves of distances whose logistic curve is known."""
    random = np.random.default_rng(seed)
    return counted(
        random.normal(0.35, 0.1, size).clip(0.001, 1),
        random.normal(0.35 + gap, 0.1, size).clip(0.001, 1),
        people=10**6,
    )
