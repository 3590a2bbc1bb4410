"""What all pictures share: colours, frames, and how a figure becomes a file."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from siamese.atomic import whole_file
from siamese.errors import InputError

Image = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf")

SAME = "#1a7f37"
DIFFERENT = "#c62828"
UNSURE = "#b26a00"
NEUTRAL = "#455a64"

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
    """Writes a figure as PNG (or what the suffix says), under a temporary name that is renamed."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}: a picture's name must end in one of {' '.join(SUFFIXES)}. Give another name."
        )
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=figure.dpi)
    return path


def to_svg(draw: Callable[[], Figure]) -> str:
    """Draws a figure as an SVG element that takes its colours from the page it stands in.

    Text and axes are in `currentColor`, the rest in the CSS variables `--same`, `--different`,
    `--unsure` and `--neutral`: one drawing serves light and dark pages.

    Args:
        draw: Makes the figure; without pictures in it.

    Returns:
        `<svg ...>...</svg>`.
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


def show_image(axes: Axes, image: Any, colour: str, caption: str) -> None:
    """Shows an image without axes, in a coloured frame (none for "none"), with words below."""
    axes.imshow(image, interpolation="bicubic", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(colour != "none")
        side.set_color(colour)
        side.set_linewidth(3)
    if caption:
        # A name may hold $, which is no formula.
        axes.set_xlabel(caption, size=7, color=NEUTRAL, labelpad=3, parse_math=False)
