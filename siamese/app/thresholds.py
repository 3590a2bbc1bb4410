"""From the false-accept rate that somebody can bear to a threshold; histograms of distances."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from siamese.metrics.calibration import Calibration

Floats = NDArray[np.float64]

LOWEST_RATE, HIGHEST_RATE = 1e-4, 0.2


@dataclass(frozen=True)
class Histograms:
    """How the distances of known pairs are spread.

    Attributes:
        edges: `(bins + 1,)`, rising distances.
        same: `(bins,)`, the share of the pairs of one person in each bin, together 1 or less.
        different: `(bins,)`, the same of the pairs of two people.
    """

    edges: Floats
    same: Floats
    different: Floats


def calibration_at(calibration: Calibration, false_accept_rate: float) -> Calibration:
    """Moves the threshold to another false-accept rate.

    Args:
        calibration: As the model holds it.
        false_accept_rate: Wanted, 0..1; taken into 1e-4..0.2.

    Returns:
        The calibration with `threshold` and `false_accept_rate` moved; `calibration` itself at its
        own rate.
    """
    rate = min(max(false_accept_rate, LOWEST_RATE), HIGHEST_RATE)
    if np.isclose(rate, calibration.false_accept_rate, rtol=1e-6):
        return calibration
    return replace(calibration, threshold=calibration.threshold_at(rate), false_accept_rate=rate)


def histograms(calibration: Calibration, bins: int = 48) -> Histograms:
    """Makes the histograms of the measured pairs from the table of error rates.

    The share of pairs of two people nearer than a distance is the false-accept rate there, that of
    pairs of one person is one minus the false-reject rate: a bin holds the difference of its edges.

    Args:
        calibration: With its table.
        bins: How many.

    Returns:
        The histograms. They leave out the nearest 0.05 % and the farthest 1.5 % of the pairs, where
        the table is too coarse to draw.
    """
    thresholds, accepts, rejects = np.array(calibration.table).T
    accepted_same = 1 - rejects
    nearest = np.minimum(accepts, accepted_same)
    either = np.maximum(accepts, accepted_same)
    starts = thresholds[np.searchsorted(either, 5e-4, side="left")]
    ends = thresholds[np.searchsorted(nearest, 0.985, side="left")]
    margin = 0.06 * (ends - starts) or 0.05
    edges = np.linspace(max(0.0, starts - margin), ends + margin, bins + 1)
    return Histograms(
        edges,
        np.diff(np.interp(edges, thresholds, accepted_same)),
        np.diff(np.interp(edges, thresholds, accepts)),
    )
