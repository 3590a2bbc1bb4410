"""Two images and the verdict on them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from siamese.plots.style import DIFFERENT, NEUTRAL, PAIR_COLUMNS, SAME, UNSURE, Image, show_image

VERDICT_COLOURS = {
    "same": SAME,
    "probably same": "#2e9c83",
    "unsure": UNSURE,
    "probably different": "#d9602f",
    "different": DIFFERENT,
}
VERDICT_WORDS = {
    "same": "Similar",
    "probably same": "Probably similar",
    "unsure": "Unsure",
    "probably different": "Probably dissimilar",
    "different": "Dissimilar",
}


def plot_pair(
    first: Image,
    second: Image,
    *,
    verdict: str,
    distance: float,
    threshold: float,
    probability: float,
    bounds: Sequence[float],
    names: tuple[str, str] = ("", ""),
) -> Figure:
    """Draws two images `(height, width, 3)`, uint8, of any size side by side with their verdict.

    Args:
        first: The one image.
        second: The other.
        verdict: One of `VERDICT_WORDS`.
        distance: Between their embeddings.
        threshold: The largest distance that counts as the same person.
        probability: Of the same person, 0 to 1.
        bounds: The four distances at which the verdict changes, rising.
        names: Captions below the images; the middle of a name longer than 28 letters is left out.
    """
    figure = Figure(figsize=(4.4, 4.9), dpi=120)
    colour = VERDICT_COLOURS[verdict]
    _write_title(figure, VERDICT_WORDS[verdict], 19, colour)
    _write_title(figure, f"same person: {min(probability, 0.999):.1%}", 11)
    for left, image, name in ((0.07, first, names[0]), (0.53, second, names[1])):
        axes = figure.add_axes((left, 0.20, 0.40, 0.63))
        show_image(axes, image, colour, name, PAIR_COLUMNS)
    scale = figure.add_axes((0.10, 0.075, 0.80, 0.035))
    _plot_scale(scale, distance, threshold, bounds, colour)
    return figure


def _write_title(figure: Figure, words: str, size: int, colour: str | None = None) -> None:
    """Writes a title where a colour is given, else the line below it."""
    figure.text(
        0.5, 0.94 if colour else 0.875, words, ha="center", va="center", size=size,
        weight="bold" if colour else "normal", color=colour or NEUTRAL,
    )  # fmt: skip


def _plot_scale(
    axes: Axes, distance: float, threshold: float, bounds: Sequence[float], colour: str
) -> None:
    """Marks the distance on a line from 0 to the largest, in the colours of the verdicts."""
    largest = max(2.0, distance * 1.1)
    axes.set_xlim(0, largest)
    axes.set_ylim(0, 1)
    edges = np.clip([0.0, *bounds, largest], 0.0, largest).tolist()
    for (left, right), zone in zip(pairwise(edges), VERDICT_COLOURS.values(), strict=True):
        axes.axvspan(left, right, color=zone, alpha=0.6, lw=0)
    axes.plot([distance], [0.5], marker="o", markersize=9, color=colour, clip_on=False)
    axes.axvline(threshold, color=NEUTRAL, lw=1.2)
    axes.set_yticks([])
    axes.set_xticks([0, largest], ["0", f"{largest:.3g}"], size=8, color=NEUTRAL)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel(
        f"distance {distance:.3f}   threshold {threshold:.3f}", size=9, color=NEUTRAL, labelpad=-6
    )


def overlay_heat(image: Image, contributions: NDArray[np.float64], strongest: float) -> Image:
    """Lays contributions over an image: the stronger, the brighter; the rest is dimmed and grey.

    Args:
        image: `(height, width, 3)`, uint8, as is what is returned.
        contributions: `(rows, columns)`, of equal parts of the image. What is below 0 spoke against
            and stays dark.
        strongest: The contribution shown at full strength; the same for both images of a pair, so
            that their colours compare.
    """
    height, width = image.shape[:2]
    places = [
        ((np.arange(size) + 0.5) * cells / size - 0.5)
        for size, cells in ((height, contributions.shape[0]), (width, contributions.shape[1]))
    ]
    smooth = map_coordinates(
        contributions, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest"
    )
    strength = (smooth / max(strongest, 1e-12)).clip(0, 1)[..., None]
    grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    dimmed = 0.35 * grey + 0.15 * image
    colours = colormaps["inferno"](0.25 + 0.7 * strength[..., 0])[..., :3] * 255
    shown = dimmed + strength**0.8 * (0.55 * colours + 0.45 * image - dimmed)
    return np.asarray(shown.clip(0, 255), np.uint8)


def plot_explanation(
    images: tuple[Image, Image],
    contributions: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    similarity: float,
    verdict: str | None = None,
    names: tuple[str, str] = ("", ""),
) -> Figure:
    """Draws a pair, each image beside its heat map of where it was found like the other.

    Args:
        images: `(height, width, 3)`, uint8 each, of any sizes.
        contributions: `(rows, columns)` each; both sum up to the similarity.
        similarity: Cosine of the two embeddings.
        verdict: One of `VERDICT_WORDS`, or None where it is not known.
        names: As in `plot_pair`.
    """
    strongest = max(float(each.max()) for each in contributions)
    figure = Figure(figsize=(7.2, 4.9), dpi=120)
    colour = NEUTRAL if verdict is None else VERDICT_COLOURS[verdict]
    title = "Where they are alike" if verdict is None else VERDICT_WORDS[verdict]
    _write_title(figure, title, 17, colour)
    _write_title(figure, f"cosine similarity {similarity:.3f}: the sum of what the places add", 9)
    for left, image, heat, name in zip((0.03, 0.53), images, contributions, names, strict=True):
        shown = figure.add_axes((left, 0.14, 0.22, 0.70))
        show_image(shown, image, colour, name, PAIR_COLUMNS)
        shown = figure.add_axes((left + 0.225, 0.14, 0.22, 0.70))
        show_image(shown, overlay_heat(image, heat, strongest), "none", "", PAIR_COLUMNS)
    scale = figure.add_axes((0.35, 0.075, 0.30, 0.025))
    ramp = np.linspace(0, 1, 200)[None]
    grey = np.full((1, 200, 3), 128, np.uint8)
    scale.imshow(overlay_heat(grey, ramp, 1.0), aspect="auto", extent=(0, 1, 0, 1))
    scale.set_yticks([])
    scale.set_xticks([0, 1], ["adds nothing", "adds most"], size=7, color=NEUTRAL)
    for side in scale.spines.values():
        side.set_visible(False)
    return figure
