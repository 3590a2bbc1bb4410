"""Pictures: pairs, rank lists, batches, curves. Arrays in, matplotlib figures out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from siamese.atomic import whole_file
from siamese.errors import InputError

Image = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf")

SAME = "#1a7f37"
DIFFERENT = "#c62828"
UNSURE = "#b26a00"
NEUTRAL = "#455a64"
VERDICT_COLOURS = {"same": SAME, "different": DIFFERENT, "unsure": UNSURE}
VERDICT_WORDS = {"same": "Similar", "different": "Dissimilar", "unsure": "Unsure"}


@dataclass(frozen=True)
class RankedImage:
    """One place of a rank list: the picture, whether it is correct (None: not known), its words."""

    image: Image
    correct: bool | None
    caption: str


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure as PNG (or what the suffix says), under a temporary name that is renamed."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}: a picture's name must end in one of {' '.join(SUFFIXES)}. Give another name."
        )
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=figure.dpi)
    return path


def plot_pair(
    first: Image,
    second: Image,
    *,
    verdict: str,
    distance: float,
    threshold: float,
    probability: float,
    names: tuple[str, str] = ("", ""),
) -> Figure:
    """Two images side by side with their verdict.

    Args:
        first: `(height, width, 3)`, uint8.
        second: The same, of any size.
        verdict: "same", "different" or "unsure".
        distance: Between their embeddings.
        threshold: The largest distance that counts as the same person.
        probability: Of the same person, 0 to 1.
        names: Captions below the images.

    Returns:
        A figure.
    """
    figure = Figure(figsize=(4.4, 4.9), dpi=120)
    colour = VERDICT_COLOURS[verdict]
    figure.text(
        0.5, 0.94, VERDICT_WORDS[verdict], ha="center", va="center", size=19, weight="bold",
        color=colour,
    )  # fmt: skip
    figure.text(
        0.5, 0.875, f"same person: {probability:.0%}", ha="center", va="center", size=11,
        color=NEUTRAL,
    )  # fmt: skip
    for left, image, name in ((0.07, first, names[0]), (0.53, second, names[1])):
        axes = figure.add_axes((left, 0.20, 0.40, 0.63))
        _show(axes, image, colour, name)
    scale = figure.add_axes((0.10, 0.075, 0.80, 0.035))
    _plot_scale(scale, distance, threshold, colour)
    return figure


def _plot_scale(axes: Axes, distance: float, threshold: float, colour: str) -> None:
    """The distance as a mark on a line from 0 to the largest, with the threshold as a tick."""
    largest = max(2.0, distance * 1.1)
    axes.set_xlim(0, largest)
    axes.set_ylim(0, 1)
    axes.axvspan(0, threshold, color=SAME, alpha=0.18, lw=0)
    axes.axvspan(threshold, largest, color=DIFFERENT, alpha=0.18, lw=0)
    axes.plot([distance], [0.5], marker="o", markersize=9, color=colour, clip_on=False)
    axes.axvline(threshold, color=NEUTRAL, lw=1.2)
    axes.set_yticks([])
    axes.set_xticks([0, largest], ["0", f"{largest:g}"], size=8, color=NEUTRAL)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel(
        f"distance {distance:.3f}   threshold {threshold:.3f}", size=9, color=NEUTRAL, labelpad=-6
    )


def plot_rank_lists(
    queries: Sequence[tuple[Image, str]], ranked: Sequence[Sequence[RankedImage]]
) -> Figure:
    """A row for each query: itself, then its ranks, framed green where correct, red where not.

    Args:
        queries: Picture and caption of each.
        ranked: The places of each, nearest first.

    Returns:
        A figure.
    """
    columns = 1 + max(len(places) for places in ranked)
    rows = len(queries)
    figure = Figure(figsize=(0.92 * columns + 0.3, 1.95 * rows + 0.25), dpi=110)
    grid = figure.add_gridspec(
        rows, columns + 1, width_ratios=[1, 0.12] + [1] * (columns - 1),
        left=0.02, right=0.98, top=1 - 0.25 / (1.95 * rows + 0.25), bottom=0.06 / rows,
        wspace=0.12, hspace=0.3,
    )  # fmt: skip
    for row, ((picture, caption), places) in enumerate(zip(queries, ranked, strict=True)):
        axes = figure.add_subplot(grid[row, 0])
        _show(axes, picture, NEUTRAL, caption)
        if row == 0:
            axes.set_title("query", size=8, color=NEUTRAL, pad=3)
        for column, place in enumerate(places):
            axes = figure.add_subplot(grid[row, column + 2])
            colour = {True: SAME, False: DIFFERENT, None: NEUTRAL}[place.correct]
            _show(axes, place.image, colour, place.caption)
            if row == 0:
                axes.set_title(f"rank {column + 1}", size=8, color=NEUTRAL, pad=3)
    return figure


def plot_images(images: ArrayLike, captions: Sequence[str] = (), columns: int = 8) -> Figure:
    """A grid of images of one size.

    Args:
        images: `(images, height, width, 3)`, uint8 or float with values 0 to 255.
        captions: Words below each; none by default.
        columns: Images in a row.

    Returns:
        A figure.
    """
    pictures = np.asarray(images).clip(0, 255).astype(np.uint8)
    rows = -(-len(pictures) // columns)
    high = 0.9 * pictures.shape[1] / pictures.shape[2] + (0.15 if captions else 0.0)
    figure = Figure(figsize=(0.9 * columns, high * rows), dpi=100)
    grid = figure.add_gridspec(
        rows, columns, left=0.01, right=0.99, top=0.99, bottom=0.05 / rows if captions else 0.01,
        wspace=0.06, hspace=0.16 if captions else 0.05,
    )  # fmt: skip
    for number, picture in enumerate(pictures):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        _show(axes, picture, "none", captions[number] if captions else "")
    return figure


def plot_dataset(
    images: Sequence[Image],
    *,
    images_a_person: Sequence[int],
    image_sizes: Mapping[tuple[int, int], int],
) -> Figure:
    """What a dataset looks like: some images, how many a person has, and how large they are.

    Args:
        images: Any number, of any sizes, `(height, width, 3)` uint8 each.
        images_a_person: Number of images of each person.
        image_sizes: `(height, width)` to number of images.

    Returns:
        A figure.
    """
    columns = 12
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(9.6, 1.7 * rows + 2.6), dpi=110)
    share = 2.6 / (1.7 * rows + 2.6)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.01,
        right=0.99,
        top=0.99,
        bottom=share + 0.01,
        wspace=0.05,
        hspace=0.05,
    )
    for number, image in enumerate(images):
        _show(figure.add_subplot(grid[number // columns, number % columns]), image, "none", "")
    below = figure.add_gridspec(
        1, 2, left=0.07, right=0.98, top=share - 0.05, bottom=0.17 * share + 0.03
    )
    people = figure.add_subplot(below[0, 0])
    people.hist(images_a_person, bins=min(40, max(images_a_person, default=1)), color=SAME)
    people.set_xlabel("images of a person", size=9)
    people.set_ylabel("people", size=9)
    sizes = figure.add_subplot(below[0, 1])
    heights = [height for height, _ in image_sizes]
    widths = [width for _, width in image_sizes]
    counts = np.array(list(image_sizes.values()), np.float64)
    sizes.scatter(widths, heights, s=20 + 300 * counts / counts.max(), color=SAME, alpha=0.5)
    sizes.set_xlabel("width in pixels", size=9)
    sizes.set_ylabel("height in pixels", size=9)
    sizes.set_xlim(0, max(widths) * 1.2)
    sizes.set_ylim(0, max(heights) * 1.2)
    for axes in (people, sizes):
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=8)
    return figure


def plot_history(history: Sequence[Mapping[str, float]]) -> Figure:
    """The curves of a run: losses on the left, scores of the held-out people on the right.

    Args:
        history: A row an epoch, with `epoch` from 0, `loss` and what else was measured.

    Returns:
        A figure.
    """
    figure = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for name, label in (
        ("loss", "total"),
        ("metric_loss", "metric"),
        ("identity_loss", "identity"),
        ("same_different_loss", "same / different"),
    ):
        _plot_curve(losses, history, name, label)
    if len(losses.lines) == 2:  # a total of one part is that part
        losses.lines[-1].remove()
    losses.set_title("training loss", size=10)
    losses.set_ylim(bottom=0)
    for name, label in (("val_rank1", "Rank-1"), ("val_mAP", "mAP"), ("val_eer", "EER")):
        _plot_curve(scores, history, name, label)
    scores.set_title("held-out people", size=10)
    scores.set_ylim(0, 1)
    for axes in (losses, scores):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    return figure


def plot_distances(
    distances: ArrayLike, same: ArrayLike, different: ArrayLike, *, threshold: float
) -> Figure:
    """Histograms of the distances of same and of different pairs, and the threshold.

    Args:
        distances: `(bins,)`, the middle of each bin.
        same: `(bins,)`, pairs of one person in it.
        different: `(bins,)`, pairs of two people in it.
        threshold: The largest distance that counts as the same person.

    Returns:
        A figure.
    """
    figure = Figure(figsize=(6, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    places = np.asarray(distances)
    for counts, colour, label in (
        (np.asarray(different, np.float64), DIFFERENT, "two people"),
        (np.asarray(same, np.float64), SAME, "one person"),
    ):
        axes.fill_between(
            places, counts / max(counts.sum(), 1), step="mid", color=colour, alpha=0.45, label=label
        )
    axes.axvline(threshold, color=NEUTRAL, lw=1.2, label=f"threshold {threshold:.3f}")
    found = np.flatnonzero(np.asarray(same) + np.asarray(different))
    axes.set_xlim(0, places[found[-1]] * 1.05)
    axes.set_xlabel("distance between two images of different cameras")
    axes.set_ylabel("share of the pairs")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    return figure


def plot_cmc(cmc: Sequence[float], *, queries: int, gallery: int) -> Figure:
    """The cumulative matching characteristic.

    Args:
        cmc: Rank-1, Rank-2, ...: shares from 0 to 1.
        queries: Queries scored.
        gallery: Images in the gallery.

    Returns:
        A figure.
    """
    figure = Figure(figsize=(4.6, 3.4), dpi=110, layout="constrained")
    axes = figure.subplots()
    ranks = np.arange(1, len(cmc) + 1)
    axes.plot(ranks, cmc, color=SAME, marker="o", markersize=3)
    axes.set_xlabel("rank")
    axes.set_ylabel("queries with a match up to it")
    axes.set_title(f"CMC, {queries:,} queries, gallery of {gallery:,}", size=10)
    axes.set_ylim(min(0.5, cmc[0]) if cmc else 0, 1.01)
    axes.grid(alpha=0.25)
    return figure


def _plot_curve(axes: Axes, history: Sequence[Mapping[str, float]], name: str, label: str) -> None:
    points = [(row["epoch"] + 1, row[name]) for row in history if name in row]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, marker="o", markersize=2.5, lw=1.4)


def _show(axes: Axes, image: Any, colour: str, caption: str) -> None:
    axes.imshow(image, interpolation="bicubic", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(colour != "none")
        side.set_color(colour)
        side.set_linewidth(3)
    if caption:
        axes.set_xlabel(caption, size=7, color=NEUTRAL, labelpad=3)
