"""Counts what of a dataset's folder is used, and what is left out and why."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from siamese.datasets.layouts import Layout
from siamese.datasets.samples import (
    JUNK_PERSONS,
    Sample,
    printable,
    read_name,
    walk_dead_links,
    walk_images,
    walk_unread,
)
from siamese.datasets.tables import read_identities
from siamese.errors import InputError, OnCorrupt
from siamese.filesystem import as_path, join
from siamese.images import find_damaged

logger = logging.getLogger(__name__)

DAMAGED = "damaged"
NO_PART = "in folders that are no part of the dataset"
JUNK = "junk (-1)"
DISTRACTORS = "distractors, on which nobody trains"
OTHER_PARTS = "in other parts of the dataset"
DEAD_LINKS = "links to nothing"
UNREAD = "of kinds that are not read"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Images that are left out for one reason: how many, and one of them, as a path below."""

    reason: str
    images: int
    example: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Tells how many images a folder holds, how many are used, and why the others are not."""

    found: int
    used: int
    left_out: tuple[LeftOut, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns the line as a note, where something is left out."""
        return (f"Images: {self.describe()}.",) if self.left_out else ()

    def without(self, damaged: Sequence[str]) -> "Coverage":
        """Returns the counts after reading has found some of the used images to be damaged."""
        if not damaged:
            return self
        counted = LeftOut(DAMAGED, len(damaged), damaged[0])
        return Coverage(self.found, self.used - len(damaged), (counted, *self.left_out))

    def describe(self) -> str:
        """Returns one line: `118 found, 60 used; left out: 58 deeper than ... (a/b/1.jpg)`."""
        text = f"{self.found:,} found, {self.used:,} used"
        if self.left_out:
            each = (f"{e.images:,} {e.reason} ({printable(e.example)})" for e in self.left_out)
            text += f"; left out: {', '.join(each)}"
        return text


def measure_coverage(
    folder: str | Path, layout: Layout | None, used: Iterable[str], damaged: Iterable[str] = ()
) -> Coverage:
    """Compares the images that a folder holds with those that are used.

    Args:
        folder: What the user gave: the dataset's folder, one around it, or a table.
        layout: How it was read; None: all images below it are asked for.
        used: Paths of the images that are used.
        damaged: Paths of those that are left out because they are damaged.

    Returns:
        The counts, with one reason for each image that is left out.
    """
    used = set(used)
    return count_coverage(len(used), find_left_out(folder, layout, used, damaged))


def count_coverage(used: int, left_out: Mapping[str, Sequence[str]]) -> Coverage:
    """Counts what `find_left_out` has found, and the images that are used."""
    counts = tuple(LeftOut(reason, len(each), each[0]) for reason, each in left_out.items())
    return Coverage(used + sum(each.images for each in counts), used, counts)


def find_left_out(
    folder: str | Path, layout: Layout | None, used: set[str], damaged: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Finds the images of a folder that are not used: reason to paths below; see the above."""
    root = as_path(folder)
    home, left_out = str(root), defaultdict[str, list[str]](list)
    unused = () if layout is None else _unused_parts(layout, used)
    damaged = list(damaged)
    if damaged:
        left_out[DAMAGED] += [path_below(path, home) for path in damaged]
    named = used.union(damaged)
    # What lies beside a table is not of the dataset.
    for name in walk_images(root) if root.is_dir() else ():
        if (path := join(home, name)) not in named:
            left_out[_reason(path, layout, unused) if layout else DAMAGED].append(name)
    if layout and layout.name == "identity-csv":
        listed = {each.path for each in read_identities(root)}
        if others := sorted(listed - named):
            left_out[OTHER_PARTS] += others
    if root.is_dir() and (dead := walk_dead_links(root)):
        left_out[DEAD_LINKS] += dead
    if root.is_dir() and (unread := walk_unread(root)):
        left_out[UNREAD] += unread
    return left_out


def path_below(path: str, folder: str | Path) -> str:
    """Shortens a path to what follows a folder, where it lies in it.

    Example:
        >>> path_below("crops/anna/1.jpg", "crops"), path_below("else/1.jpg", "crops")
        ('anna/1.jpg', 'else/1.jpg')
    """
    home = str(folder).rstrip("/\\")
    return path[len(home) + 1 :].replace("\\", "/") if _is_below(path, home) else path


def drop_damaged(samples: Sequence[Sample], on_corrupt: OnCorrupt = "skip") -> list[Sample]:
    """Leaves out the images that cannot be used; one warning names them all.

    With "error" nothing is left out, and nothing is read.

    Raises:
        InputError: None is left.
    """
    damaged = find_damaged([each.path for each in samples]) if on_corrupt == "skip" else {}
    if len(damaged) == len(samples) > 0:
        raise InputError(f"no image can be used: {' '.join(damaged.values())}")
    if damaged:
        logger.warning(
            "%d of %d images are damaged and left out: %s",
            len(damaged),
            len(samples),
            " ".join(damaged.values()),
        )
    return [each for each in samples if each.path not in damaged]


def add_coverage(counts: Sequence[Coverage]) -> Coverage:
    """Adds up what was counted in several folders."""
    left_out: dict[str, LeftOut] = {}
    for each in (one for count in counts for one in count.left_out):
        before = left_out.get(each.reason, LeftOut(each.reason, 0, each.example))
        left_out[each.reason] = LeftOut(each.reason, before.images + each.images, before.example)
    found, used = (sum(getattr(count, name) for count in counts) for name in ("found", "used"))
    return Coverage(found, used, tuple(left_out.values()))


def _unused_parts(layout: Layout, used: set[str]) -> list[str]:
    """Lists the parts of which no image is used."""
    parts = layout.parts.items()
    return [part for part, home in parts if not any(_is_below(path, home) for path in used)]


def _reason(path: str, layout: Layout, unused: Sequence[str]) -> str:
    """Says why an image of the folder is not used."""
    homes = [(part, folder) for part, folder in layout.parts.items() if _is_below(path, folder)]
    if not homes:
        return NO_PART
    part, home = homes[0]
    inner = path[len(home) :].replace("\\", "/").strip("/")
    person = read.person if (read := read_name(inner.rpartition("/")[2])) else None
    if person in JUNK_PERSONS:
        return JUNK
    if person is not None and person == layout.distractor_person and part == "train":
        return DISTRACTORS
    if layout.of_identities and inner.count("/") != 1:
        return f"{'deeper than' if '/' in inner else 'beside'} the folders of people"
    if part in unused and len(layout.parts) > 1:
        return OTHER_PARTS
    if layout.name in ("msmt17", "mars"):
        return "in no list of the dataset"
    if "/" in inner and not (layout.nested or layout.pattern or layout.small_set):
        return "deeper than the other images"
    return "with names of another form, or beyond the limit for a person"


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/\\")) and path[len(folder.rstrip("/\\")) :][:1] in "/\\"
