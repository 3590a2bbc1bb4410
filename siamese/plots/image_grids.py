"""Rank lists, grids of images, and the looks of a dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
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
)

_WIDE = 6
"""Columns of a rank list below which the legend has a line for each of its words."""
_PAIR_LINE = 30
"""Letters that fit below two images side by side."""
_INCHES = 0.84
"""Width of an image."""
_GAP, _CAPTION = 0.06, 0.24
"""Between two images, and below one with a line of words, in widths of an image."""
FRAMES: dict[bool | None, str] = {
    True: "the same person",
    False: "another person",
    None: "the query, or not known",
}
"""What the frames of a rank list mean."""
_COLOURS = {True: SAME, False: DIFFERENT, None: NEUTRAL}


@dataclass(frozen=True)
class RankedImage:
    """One place of a rank list: the picture, if it is correct (None: not known), its words."""

    image: Image
    correct: bool | None
    caption: str


def plot_rank_lists(
    queries: Sequence[tuple[Image, str]],
    ranked: Sequence[Sequence[RankedImage]],
    *,
    titles: bool = True,
    frames: Mapping[bool | None, str] = FRAMES,
) -> Figure:
    """Draws a row for each query: itself, then its ranks, framed green if correct, red if not.

    Where a place has one of the two colours, a legend below says what they mean.

    Args:
        queries: Picture and caption of each; a line longer than 14 letters loses its middle.
        ranked: The places of each, nearest first.
        titles: Write "query" and the ranks above the columns.
        frames: The words of the legend.
    """
    columns = 1 + max(len(places) for places in ranked)
    told = {place.correct for places in ranked for place in places} - {None}
    lines = 0 if not told else 1 if columns >= _WIDE else len(frames)
    high = 2.5 * len(queries) + 0.2 + 0.25 * lines
    figure, axes = _open_sheet(width=1.1 * columns + 0.25, height=high)
    for row, ((picture, caption), places) in enumerate(zip(queries, ranked, strict=True)):
        top = 2.5 * row + 0.2
        _lay(axes, picture, 0, top, NEUTRAL, caption)
        for column, place in enumerate(places):
            colour = _COLOURS[place.correct]
            _lay(axes, place.image, 1.1 * column + 1.25, top, colour, place.caption)
    names = ["query", *(f"rank {place}" for place in range(1, columns))] if titles else []
    for column, title in enumerate(names):
        left = 1.1 * column + (0.15 if column else 0)
        axes.text(left + 0.5, 0.12, title, size=8, color=NEUTRAL, ha="center", va="bottom")
    if told:
        signs = [Line2D([], [], color=_COLOURS[each], lw=3, label=frames[each]) for each in frames]
        axes.legend(
            handles=signs, loc="lower left", ncols=len(signs) // lines, frameon=False, fontsize=8,
            borderaxespad=0, handlelength=1, columnspacing=1, labelcolor=NEUTRAL,
        )  # fmt: skip
    return figure


def plot_pairs(
    pairs: Sequence[tuple[Image, Image]], captions: Sequence[str], *, same: bool, columns: int = 4
) -> Figure:
    """Draws pairs of images side by side, such as those a model gets most wrong, with captions.

    `same` colours the frames: True where the two images of a pair show one person. `columns` is the
    number of pairs in a row.
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
    """Opens a figure with one pair of axes all over it: one for each image takes ten times as long.

    Lengths are in widths of an image, from the upper left corner down.
    """
    figure = Figure(figsize=((width + 0.12) * _INCHES, (height + 0.12) * _INCHES), dpi=110)
    return figure, _add_sheet(figure, 0, width, height)


def _add_sheet(figure: Figure, bottom: float, width: float, height: float) -> Axes:
    axes = figure.add_axes((0, bottom, 1, 1 - bottom))
    axes.set_axis_off()
    axes.set_xlim(-0.06, width + 0.06)
    axes.set_ylim(height + 0.06, -0.06)
    return axes


def _lay(
    axes: Axes, image: Image, left: float, top: float, colour: str, caption: str, high: float = 2
) -> None:
    """Lays an image into a cell 1 wide, framed (not for "none"), with words below."""
    height, width = image.shape[:2]
    scale = min(1 / width, high / height)
    width, height = width * scale, height * scale
    left, upper = left + (1 - width) / 2, top + (high - height) / 2
    axes.imshow(
        image,
        extent=(left, left + width, upper + height, upper),
        interpolation="bicubic",
        aspect="auto",
    )
    axes.add_patch(Rectangle((left, upper), width, height, fill=False, edgecolor=colour, lw=3))
    if caption:
        words = shorten(caption, CELL_COLUMNS)
        axes.text(
            left + width / 2, top + high + 0.06, words, ha="center", va="top", **caption_style()
        )


def _lay_grid(
    axes: Axes, images: Sequence[Image], captions: Sequence[str], columns: int, high: float
) -> None:
    step = high + (_CAPTION if captions else _GAP)
    for number, image in enumerate(images):
        left, top = (1 + _GAP) * (number % columns), step * (number // columns)
        _lay(axes, image, left, top, "none", captions[number] if captions else "", high)


def plot_images(images: ArrayLike, captions: Sequence[str] = (), columns: int = 8) -> Figure:
    """Draws a grid of images of one size, with words below each where there are some.

    Args:
        images: `(images, height, width, 3)`, uint8 or float with values 0 to 255.
        captions: The words.
        columns: Images in a row.
    """
    pictures = np.asarray(images).clip(0, 255).astype(np.uint8)
    rows, high = -(-len(pictures) // columns), pictures.shape[1] / pictures.shape[2]
    height = rows * (high + (_CAPTION if captions else _GAP))
    figure, axes = _open_sheet(width=(1 + _GAP) * columns - _GAP, height=height)
    _lay_grid(axes, list(pictures), captions, columns, high)
    return figure


def plot_dataset(
    images: Sequence[Image],
    *,
    images_a_person: Sequence[int],
    image_sizes: Mapping[tuple[int, int], int],
) -> Figure:
    """Draws some images of a dataset, the numbers that a person has, and their sizes.

    Args:
        images: Any number, of any sizes, `(height, width, 3)` uint8 each.
        images_a_person: Number of images of each person.
        image_sizes: `(height, width)` to number of images.
    """
    columns = 12
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(9.6, 1.7 * rows + 2.6), dpi=110)
    share = 2.6 / (1.7 * rows + 2.6)
    axes = _add_sheet(figure, share, (1 + _GAP) * columns - _GAP, (2 + _GAP) * rows)
    _lay_grid(axes, images, (), columns, 2)
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
