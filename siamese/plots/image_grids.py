"""Rank lists, grids of images, and what a dataset looks like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from siamese.plots.style import (
    CELL_COLUMNS,
    DIFFERENT,
    NEUTRAL,
    SAME,
    Image,
    caption_style,
    shorten,
    show_image,
)

_PAIR_LINE = 30
"""Letters that fit below two images side by side."""


@dataclass(frozen=True)
class RankedImage:
    """One place of a rank list: the picture, whether it is correct (None: not known), its words."""

    image: Image
    correct: bool | None
    caption: str


def plot_rank_lists(
    queries: Sequence[tuple[Image, str]], ranked: Sequence[Sequence[RankedImage]]
) -> Figure:
    """A row for each query: itself, then its ranks, framed green where correct, red where not.

    Args:
        queries: Picture and caption of each; a line longer than 14 letters loses its middle.
        ranked: The places of each, nearest first.

    Returns:
        A figure.
    """
    columns = 1 + max(len(places) for places in ranked)
    figure, axes = _open_sheet(width=1.1 * columns + 0.25, height=2.5 * len(queries) + 0.2)
    for row, ((picture, caption), places) in enumerate(zip(queries, ranked, strict=True)):
        top = 2.5 * row + 0.2
        _lay(axes, picture, 0, top, NEUTRAL, caption)
        for column, place in enumerate(places):
            colour = {True: SAME, False: DIFFERENT, None: NEUTRAL}[place.correct]
            _lay(axes, place.image, 1.1 * column + 1.25, top, colour, place.caption)
    titles = ["query", *(f"rank {place}" for place in range(1, columns))]
    for column, title in enumerate(titles):
        left = 1.1 * column + (0.15 if column else 0)
        axes.text(left + 0.5, 0.12, title, size=8, color=NEUTRAL, ha="center", va="bottom")
    return figure


def plot_pairs(
    pairs: Sequence[tuple[Image, Image]], captions: Sequence[str], *, same: bool, columns: int = 4
) -> Figure:
    """Pairs of images side by side, such as those a model gets most wrong.

    Args:
        pairs: Two pictures each.
        captions: Words below each pair.
        same: Whether the two images of a pair show one person: the colour of the frames.
        columns: Pairs in a row.

    Returns:
        A figure.
    """
    rows = -(-len(pairs) // columns)
    figure, axes = _open_sheet(width=2.4 * columns, height=2.4 * rows)
    colour = SAME if same else DIFFERENT
    for number, (pair, caption) in enumerate(zip(pairs, captions, strict=True)):
        left, top = 2.4 * (number % columns), 2.4 * (number // columns)
        for side, image in enumerate(pair):
            _lay(axes, image, left + 1.06 * side, top, colour, "")
        words = shorten(caption, _PAIR_LINE)
        axes.text(left + 1.03, top + 2.06, words, ha="center", va="top", **caption_style())
    return figure


def _open_sheet(*, width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes all over it: one for each image takes ten times as long.

    Lengths are in widths of an image, from the upper left corner down.
    """
    inches, margin = 0.84, 0.06
    size = ((width + 2 * margin) * inches, (height + 2 * margin) * inches)
    figure = Figure(figsize=size, dpi=110)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-margin, width + margin)
    axes.set_ylim(height + margin, -margin)
    return figure, axes


def _lay(axes: Axes, image: Image, left: float, top: float, colour: str, caption: str) -> None:
    """Lays an image into a cell 1 wide and 2 high, framed, with words below."""
    height, width = image.shape[:2]
    scale = min(1 / width, 2 / height)
    width, height = width * scale, height * scale
    left, upper = left + (1 - width) / 2, top + (2 - height) / 2
    axes.imshow(
        image,
        extent=(left, left + width, upper + height, upper),
        interpolation="bicubic",
        aspect="auto",
    )
    axes.add_patch(Rectangle((left, upper), width, height, fill=False, edgecolor=colour, lw=3))
    words = shorten(caption, CELL_COLUMNS)
    axes.text(left + width / 2, top + 2.06, words, ha="center", va="top", **caption_style())


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
    below = 0.17 / (high * rows) if captions else 0.01
    grid = figure.add_gridspec(
        rows, columns, left=0.01, right=0.99, top=0.99, bottom=below,
        wspace=0.06, hspace=0.16 if captions else 0.05,
    )  # fmt: skip
    for number, picture in enumerate(pictures):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        caption = captions[number] if captions else ""
        show_image(axes, picture, "none", caption, CELL_COLUMNS)
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
        axes = figure.add_subplot(grid[number // columns, number % columns])
        show_image(axes, image, "none", "", CELL_COLUMNS)
    below = figure.add_gridspec(
        1, 2, left=0.07, right=0.98, top=share - 0.05, bottom=0.17 * share + 0.03
    )
    people = figure.add_subplot(below[0, 0])
    most = max(images_a_person, default=1)
    step = -(-most // 40)  # a bar for so many whole numbers, or some would stand out for nothing
    people.hist(images_a_person, bins=np.arange(0.5, most + step + 0.5, step).tolist(), color=SAME)
    for axis in (people.xaxis, people.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
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
