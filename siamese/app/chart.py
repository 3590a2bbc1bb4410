"""The distances of known pairs, and the threshold of a false-accept rate."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from siamese.app.wording import count
from siamese.metrics.blocks import Floats
from siamese.metrics.calibration import Calibration
from siamese.plots import DIFFERENT, NEUTRAL, SAME, VERDICT_COLOURS

LOWEST_RATE, HIGHEST_RATE = 1e-4, 0.2


@dataclass(frozen=True)
class Histograms:
    """The spread of the distances of known pairs.

    Attributes:
        edges: `(bins + 1,)`, rising distances.
        same: `(bins,)`, the share of the pairs of one person in each bin, together 1 or less; 0
            where it is not known.
        different: `(bins,)`, the same of the pairs of two people.
    """

    edges: NDArray[np.float64]
    same: Floats
    different: Floats


def calibration_at(calibration: Calibration, false_accept_rate: float) -> Calibration:
    """Moves the threshold to another false-accept rate, taken into 1e-4..0.2.

    The calibration itself is returned at its own rate.
    """
    rate = min(max(false_accept_rate, LOWEST_RATE), HIGHEST_RATE)
    if np.isclose(rate, calibration.false_accept_rate, rtol=1e-6):
        return calibration
    return replace(calibration, threshold=calibration.threshold_at(rate), false_accept_rate=rate)


def histograms(calibration: Calibration, bins: int = 48) -> Histograms:
    """Makes the histograms of the measured pairs from the table of error rates.

    The share of pairs of two people nearer than a distance is the false-accept rate there, that of
    pairs of one person is one minus the false-reject rate: a bin holds the difference of its edges.

    Returns:
        The histograms. They leave out the nearest 0.05 % and the farthest 1.5 % of the pairs, where
        the table is too coarse to draw.
    """
    thresholds, accepts, rejects = np.array(calibration.table).T
    known = [] if np.isnan(rejects).all() else [1 - rejects]  # not without labels
    accepted = np.stack([*known, accepts])
    starts = thresholds[np.searchsorted(accepted.max(0), 5e-4)]
    ends = thresholds[np.searchsorted(accepted.min(0), 0.985)]
    margin = 0.06 * (ends - starts) or 0.05
    edges = np.linspace(max(0.0, starts - margin), ends + margin, bins + 1)
    *same, different = (np.diff(np.interp(edges, thresholds, each)) for each in accepted)
    return Histograms(edges, same[0] if same else np.zeros(bins), different)


def plot_threshold(
    calibration: Calibration, distance: float | None = None, *, unseen: bool = True
) -> Figure:
    """Draws the histograms of known pairs, the threshold, the words, and the pair asked about.

    Args:
        calibration: In use.
        distance: Of the pair; None for none.
        unseen: Whether the known pairs show people whom training never saw.
    """
    found = histograms(calibration)
    low, high = found.edges[0], found.edges[-1]
    if distance is not None:
        low, high = min(low, distance), max(high, distance)
    figure = Figure(figsize=(5.6, 2.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    for shares, colour, label in (
        (found.same, SAME, f"{count(calibration.same_pairs, 'pair')} of one person"),
        (found.different, DIFFERENT, f"{count(calibration.different_pairs, 'pair')} of two people"),
    ):
        if shares.any():
            axes.stairs(shares, found.edges, fill=True, color=colour, alpha=0.45, label=label)
    edges = np.clip([low, *calibration.bounds(), high], low, high).tolist()
    for (left, right), colour in zip(pairwise(edges), VERDICT_COLOURS.values(), strict=True):
        axes.axvspan(left, right, 0, 0.04, color=colour, lw=0)
    threshold = calibration.threshold
    axes.axvline(threshold, color=NEUTRAL, ls="--", lw=1.2, label=f"threshold {threshold:.3f}")
    if distance is not None:
        colour = VERDICT_COLOURS[calibration.verdict(distance)]
        axes.axvline(distance, color=colour, lw=2.4, label=f"this pair {distance:.3f}")
    axes.set_xlim(low, high)
    axes.set_yticks([])
    whom = "people whom training never saw" if unseen else "people of this gallery"
    whom = f"{calibration.people:,} {whom}"
    if not calibration.people:  # without labels
        whom = "unknown people of this gallery, nearly every pair of two"
    axes.set_xlabel(f"distance; {whom}", size=8)
    axes.tick_params(labelsize=8)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure
