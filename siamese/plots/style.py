"""Colours, frames and captions of all pictures; a figure becomes a file."""

import functools
import io
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.files import whole_file

Image = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf")

CELL_COLUMNS, PAIR_COLUMNS = 14, 28
"""Letters that fit below an image of a grid or rank list, and below one of two."""

SAME = "#00735c"
DIFFERENT = "#b93a00"
UNSURE = "#7a5195"
NEUTRAL = "#455a64"
"""Green, red and violet that people who see few colours tell apart, and a grey."""
CURVES = (SAME, DIFFERENT, UNSURE, NEUTRAL, "#2b6cb0")
"""Of several curves of one picture."""

_EAST_ASIAN = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "IPAexGothic",
)

_PEN = "#0a0b0c"
_INK: dict[Any, Any] = {
    **dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], _PEN
    ),
    "grid.color": _PEN,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "siamese",
}


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure as PNG (or what the suffix says), whole, into a folder that is made."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}: a picture's name must end in one of {' '.join(SUFFIXES)}. Give another name."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, warnings.catch_warnings():
        # A box stands for a letter that no font here has; the user can do nothing about it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(temporary, dpi=figure.dpi)
    return path


def to_svg(draw: Callable[[], Figure]) -> str:
    """Draws a figure, without pictures, as an SVG element that takes its colours from its page.

    Text and axes are in `currentColor`, the rest in the CSS variables `--same`, `--different`,
    `--unsure` and `--neutral`: one drawing serves light and dark pages.
    """
    with rc_context(_INK):
        figure = draw()
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = text.replace(_PEN, "currentColor")
    for name, colour in (
        ("same", SAME),
        ("different", DIFFERENT),
        ("unsure", UNSURE),
        ("neutral", NEUTRAL),
    ):
        text = text.replace(colour, f"var(--{name})")
    return text


def show_image(axes: Axes, image: Any, colour: str, caption: str, columns: int) -> None:
    """Shows an image without axes, in a coloured frame (none for "none"), with words below.

    The caption is shortened to `columns` letters, as `shorten` counts them.
    """
    axes.imshow(image, interpolation="bicubic", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(colour != "none")
        side.set_color(colour)
        side.set_linewidth(3)
    if caption:
        axes.set_xlabel(shorten(caption, columns), labelpad=3, **caption_style())


def caption_style() -> dict[str, Any]:
    """Gives the style of the words below an image."""
    families = [*rcParams["font.family"], *_east_asian_families()]
    # A name may hold $, which is no formula.
    return {"size": 7, "color": NEUTRAL, "parse_math": False, "family": families}


@functools.cache
def _east_asian_families() -> list[str]:
    """Lists the fonts of this machine that have Chinese, Japanese and Korean letters."""
    there = set(font_manager.get_font_names())  # of others matplotlib would complain
    return [name for name in _EAST_ASIAN if name in there]


def shorten(caption: str, columns: int) -> str:
    """Shortens the lines of a caption in their middle, so that they do not run over others.

    Chinese, Japanese and Korean letters count twice; what is no text becomes question marks.

    Example:
        >>> shorten("0002_c1s1_000451_03.jpg", 14)
        '0002_c…_03.jpg'
    """
    text = caption.encode("utf-8", "replace").decode()
    return "\n".join(_shorten_line(line, columns) for line in text.splitlines())


def _shorten_line(line: str, columns: int) -> str:
    if _count_columns(line) <= columns:
        return line
    head, tail = line[: len(line) // 2], line[len(line) // 2 :]
    while _count_columns(head) + _count_columns(tail) >= columns:
        if _count_columns(head) >= _count_columns(tail):
            head = head[:-1]
        else:
            tail = tail[1:]
    return f"{head}…{tail}"


def _count_columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "FW" else 1 for letter in line)
