"""Numbers, times, names and verdicts as a person reads them."""

import math
import string
from collections.abc import Iterable
from datetime import datetime

from siamese.metrics.calibration import Verdict

WORDS: dict[Verdict, str] = {
    "same": "Same person",
    "probably same": "Probably the same person",
    "unsure": "Unsure",
    "probably different": "Probably different people",
    "different": "Different people",
}
_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in string.punctuation})


def plain(text: object) -> str:
    r"""Escapes text from outside, so that Markdown shows it letter by letter.

    Example:
        >>> print(plain("<b>**x**"))
        \<b\>\*\*x\*\*
    """
    return " ".join(str(text).split()).translate(_ESCAPES)


def percent(share: float) -> str:
    """Writes a share of 0..1 in per cent, with more digits where it is small.

    Example:
        >>> percent(0.5), percent(0.0123), percent(0.0004), percent(0.99996), percent(0)
        ('50 %', '1.2 %', '0.04 %', 'over 99.9 %', '0 %')
        >>> percent(float("nan"))  # as without labels
        'an unknown share'
    """
    if math.isnan(share):
        return "an unknown share"
    if 0 < share < 1e-4:
        return "under 0.01 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    digits = 0 if share == 0 or 0.1 <= share <= 0.99 else 1 if share >= 1e-3 else 2
    return f"{share:.{digits}%}".replace(".0%", "%").replace("%", " %")


def count(number: int, one: str, many: str | None = None) -> str:
    """Writes a number with its noun.

    Example:
        >>> count(1, "image"), count(2000, "image"), count(0, "person", "people")
        ('1 image', '2,000 images', '0 people')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def when(time: datetime | None) -> str:
    """Writes a time; "" where it is not known.

    Example:
        >>> when(datetime(2026, 11, 20, 8, 15))
        '2026-11-20 08:15:00'
    """
    return "" if time is None else time.isoformat(sep=" ", timespec="seconds")


def describe_image(person: str | None, camera: int | None, time: datetime | None) -> str:
    """Writes what is known of an image of the gallery, in one line.

    Example:
        >>> describe_image(None, 2, None)
        'no name, camera 2'
    """
    parts = [person or "no name", "" if camera is None else f"camera {camera}", when(time)]
    return ", ".join(part for part in parts if part)


def table(title: str, value: str, rows: Iterable[tuple[str, object]]) -> str:
    """Writes a table of two columns in Markdown; the first row names them."""
    lines = [f"| {plain(name)} | {plain(value)} |" for name, value in rows]
    return "\n".join([f"| {title} | {value} |", "|---|---|", *lines, "", ""])
