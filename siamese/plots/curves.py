"""Curves: training, distances, CMC, ROC, reliability."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from siamese.plots.style import CURVES, DIFFERENT, NEUTRAL, SAME


def _open_axes(title: str, x: str, y: str, *, grid: bool = True) -> tuple[Figure, Axes]:
    """Makes a figure of one pair of named axes."""
    figure = Figure(figsize=(4.6, 3.4), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, size=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if grid:
        axes.grid(alpha=0.25)
    return figure, axes


def _number_from_one(axes: Axes, last: int) -> None:
    axes.set_xlim(0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def plot_history(history: Sequence[Mapping[str, float]]) -> Figure:
    """Draws the curves of a run: losses on the left, scores of the held-out people on the right.

    The loss of the held-out people is the metric loss alone, without augmentation. The history has
    a row an epoch, with `epoch` from 0, `loss` and what else was measured.
    """
    figure = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for axes in (losses, scores):
        axes.set_prop_cycle(color=CURVES)
    for name, label in (
        ("loss", "total"),
        ("metric_loss", "metric"),
        ("identity_loss", "identity"),
        ("same_different_loss", "same / different"),
    ):
        _plot_curve(losses, history, name, label)
    if len(losses.lines) == 2:  # a total of one part is that part
        losses.lines[-1].remove()
    _plot_curve(losses, history, "val_loss", "held-out people")
    losses.set_title("loss in training and of held-out people", size=10)
    losses.set_ylim(bottom=0)
    for name, label in (("val_rank1", "Rank-1"), ("val_mAP", "mAP"), ("val_eer", "EER")):
        _plot_curve(scores, history, name, label)
    scores.set_title("held-out people", size=10)
    scores.set_ylim(0, 1.02)
    for axes in (losses, scores):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.25)
        _number_from_one(axes, int(max((row["epoch"] for row in history), default=0)) + 1)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    return figure


def plot_distances(
    distances: ArrayLike,
    same: ArrayLike,
    different: ArrayLike,
    *,
    threshold: float,
    name: str = "threshold",
) -> Figure:
    """Draws histograms of the distances of same and of different pairs, and the threshold.

    Args:
        distances: `(bins,)`, the middle of each bin.
        same: `(bins,)`, pairs of one person in it.
        different: `(bins,)`, pairs of two people in it.
        threshold: The largest distance that counts as the same person.
        name: The word of the legend for it.
    """
    title = "distances between two images"
    figure, axes = _open_axes(title, "distance", "share of the pairs", grid=False)
    places = np.asarray(distances)
    for counts, colour, label in (
        (np.asarray(different, np.float64), DIFFERENT, "two people"),
        (np.asarray(same, np.float64), SAME, "one person"),
    ):
        axes.fill_between(
            places, counts / max(counts.sum(), 1), step="mid", color=colour, alpha=0.45, label=label
        )
    axes.axvline(threshold, color=NEUTRAL, lw=1.2, label=f"{name} {threshold:.3f}")
    found = np.flatnonzero(np.asarray(same) + np.asarray(different))
    axes.set_xlim(0, places[found[-1]] * 1.05)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    return figure


def plot_cmc(cmc: Sequence[float], *, queries: int, gallery: int) -> Figure:
    """Draws the cumulative matching characteristic: Rank-1, Rank-2, ... as shares from 0 to 1."""
    title = f"CMC, {queries:,} queries, gallery of {gallery:,}"
    figure, axes = _open_axes(title, "rank", "queries with a match up to it")
    ranks = np.arange(1, len(cmc) + 1)
    axes.plot(ranks, cmc, color=SAME, marker="o", markersize=3, clip_on=False)
    _number_from_one(axes, len(cmc))
    axes.set_ylim(min(0.5, cmc[0]) if cmc else 0, 1.01)
    return figure


def plot_roc(
    roc: ArrayLike, *, eer: float, auc: float, tar_at_far: Mapping[float, float]
) -> Figure:
    """Draws the receiver operating characteristic; the axis is logarithmic: few accepts matter.

    The arguments are fields of `siamese.metrics.verification.VerificationScores`, 0 to 1; the
    true-accept rates are marked.
    """
    x = "false-accept rate: two people taken for one"
    figure, axes = _open_axes(f"ROC, area {auc:.4f}", x, "true-accept rate")
    points = np.asarray(roc, np.float64)
    left = 1e-5
    shown = np.concatenate(
        [[[left, np.interp(left, points[:, 0], points[:, 1])]], points[points[:, 0] > left]]
    )
    axes.plot(shown[:, 0], shown[:, 1], color=SAME, lw=1.6)
    axes.plot(shown[:, 0], shown[:, 0], color=NEUTRAL, lw=0.8, ls=":", label="chance")
    axes.plot([eer], [1 - eer], "D", color=DIFFERENT, markersize=5, label=f"EER {eer:.1%}")
    for number, (far, tar) in enumerate(sorted(tar_at_far.items(), reverse=True)):
        label = "true accepts at a chosen rate" if number == 0 else None
        axes.plot([far], [tar], "o", color=NEUTRAL, markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_xlim(left, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def plot_reliability(
    predicted: ArrayLike, observed: ArrayLike, share: ArrayLike, *, error: float
) -> Figure:
    """Draws predicted probabilities against what came true: on the diagonal they did.

    The arguments are the fields of `siamese.metrics.calibration.Reliability`; arrays are `(bins,)`.
    """
    title = f"reliability, expected calibration error {error:.3f}"
    x = "predicted probability of one person"
    figure, axes = _open_axes(title, x, "share that was one person")
    axes.plot([0, 1], [0, 1], color=NEUTRAL, lw=0.8, ls=":", label="promise kept")
    places, shares = np.asarray(predicted, np.float64), np.asarray(share, np.float64)
    axes.bar(places, shares, width=0.05, color=NEUTRAL, alpha=0.25, label="share of the pairs")
    axes.plot(
        places, np.asarray(observed), color=SAME, marker="o", markersize=4, label="came true",
        clip_on=False,
    )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def _plot_curve(axes: Axes, history: Sequence[Mapping[str, float]], name: str, label: str) -> None:
    points = [(row["epoch"] + 1, row[name]) for row in history if name in row]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, marker="o", markersize=2.5, lw=1.4)
