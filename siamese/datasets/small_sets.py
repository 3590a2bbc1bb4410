"""The small sets of the field: known by all of their names together, or by the folder's own name.

A single name such as `0001001.jpg` says nothing: CUHK01 and i-LIDS both have it, with other
meanings.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from siamese.datasets.people import FOLDERS, NAMES
from siamese.datasets.samples import holds_folder, image_names
from siamese.errors import InputError

UNLABELLED = "unlabelled"
"""A folder of crops without identities; `pattern` takes this word too."""

_Numbers: TypeAlias = Mapping[str, set[int]]
_LEAST_SHARE = 0.9  # of the names in a folder must have the form


def _form(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SmallSet:
    """Describes how the images of a small set are named.

    Attributes:
        name: Of the set; `pattern` takes it in place of an expression.
        form: Read from the start of the path below the set's folder, with the groups of
            `compile_pattern` and `image`, the number of the image among those of its person. An
            image without a person is a distractor.
        reading: The same in words.
        words: What a folder is called that is this set, or that the set lies in (lower case).
        folders: What holds the images; none: they lie in the set's folder itself.
        proved_by: Whether the image numbers of every person prove the set; None: they never do.
        sides: The folders whose images ask and are searched, where the set has such.
        other: What else such names may be, for `pattern`.
    """

    name: str
    form: re.Pattern[str]
    reading: str
    words: str
    folders: tuple[str, ...] = ()
    proved_by: Callable[[_Numbers], bool] | None = lambda _: True
    sides: tuple[str, str] | None = None
    other: str = "unlabelled"

    @property
    def note(self) -> str:
        """Says how the names are read, and how else they could be."""
        return (
            f"Read as {self.name}: {self.reading}. If that is wrong, give --pattern {self.other}, "
            "or an expression of your own."
        )

    def names(self, root: Path) -> list[str]:
        """Lists the images that lie where the set has them, as sorted paths below `root`."""
        if not self.folders:
            return image_names(root)
        return [f"{inner}/{name}" for inner in self.folders for name in image_names(root / inner)]


_CAMERA_FOLDERS = r"(?:(?P<camera1>cam_a)|(?P<camera2>cam_b))/"

SMALL_SETS = (
    SmallSet(
        "viper",
        _form(_CAMERA_FOLDERS + r"(?P<person>\d{3})_\d{1,3}\."),
        "person and angle, cam_a is camera 1, cam_b camera 2",
        "viper",
        ("cam_a", "cam_b"),
    ),
    SmallSet(
        "prid2011",
        _form(_CAMERA_FOLDERS + r"person_(?:(?P<person>0[01]\d\d|0200)|\d{4})\."),
        "persons 0001 to 0200 of cam_a (camera 1) and cam_b (camera 2) are the same, all others "
        "are distractors",
        "prid",
        ("cam_a", "cam_b"),
        sides=("cam_a", "cam_b"),
    ),
    SmallSet(
        "grid",
        _form(r"(?:probe|gallery)/(?P<person>\d{4})_(?P<camera>[1-8])_\d+_"),
        "person and camera, 0000 are distractors",
        "grid|underground_reid",
        ("probe", "gallery"),
        sides=("probe", "gallery"),
    ),
    SmallSet(
        "viper",
        _form(r"(?P<person>\d{3})_(?:0|45|90|135|180|225|270|315)_(?P<camera>[12])\."),
        "person, angle, camera",
        "viper",
    ),
    SmallSet(
        "cuhk01",
        _form(r"(?P<person>\d{4})(?P<image>(?P<camera1>00[12])|(?P<camera2>00[34]))\."),
        "four digits of the person, then images 001 and 002 of camera 1, 003 and 004 of camera 2",
        "cuhk-?_?01|^campus$",
        proved_by=lambda people: all(images == {1, 2, 3, 4} for images in people.values()),
        other="ilids, --pattern unlabelled",
    ),
    SmallSet(
        "ilids",
        _form(r"(?P<person>\d{4})(?P<image>\d{3})\."),
        "four digits of the person, three of the image, cameras not known",
        "i-?_?lids",
        # A counter of seven digits, as of video frames, has other numbers.
        proved_by=lambda people: all(1 <= n <= 20 for images in people.values() for n in images),
        other="cuhk01, --pattern unlabelled",
    ),
    SmallSet(
        "cuhk03",
        _form(r"(?P<person>\d{4})_(?P<image>(?P<camera1>0[0-4])|(?P<camera2>0[5-9]))\."),
        "person, then images 00 to 04 of camera 1, 05 to 09 of camera 2",
        "cuhk-?_?03|^(images_)?(labeled|detected)",
        proved_by=lambda people: all({0, 5} <= images for images in people.values()),
    ),
    SmallSet(
        "cuhk03",
        _form(r"(?P<person>[1-5]_\d{3})_(?P<camera>[12])_(?:0[1-9]|10)\."),
        "pair of cameras and person, camera of the pair, image",
        "cuhk-?_?03|^(images_)?(labeled|detected)",
    ),
    SmallSet(
        "3dpes",
        _form(r"(?P<person>\d+)_(?:B_)?(?P<tracklet>\d+)_FRAME_(?P<frame>\d+)_RGB\."),
        "person, sequence (a tracklet), frame, cameras not known",
        "3dpes",
    ),
    SmallSet(
        "caviar4reid",
        _form(r"(?P<person>\d{4})_(?P<image>(?P<camera1>00[1-9]|010)|(?P<camera2>01[1-9]|020))\."),
        "person, then images 001 to 010 of camera 1, 011 to 020 of camera 2",
        "caviar",
        proved_by=lambda people: (
            20 in {max(images) for images in people.values()} <= {10, 20}
            and all(images == set(range(1, max(images) + 1)) for images in people.values())
        ),
    ),
    SmallSet(
        "sarc3d",
        _form(r"(?P<person>\d{3})_(?:front|back|left|right)(?P<camera1>)\."),
        "person, view, one camera",
        "sarc3d",
    ),
    SmallSet(
        "towncentre",
        _form(r"(?P<person>\d+)_(?P<frame>\d+)(?P<camera1>)\."),
        "person, frame, one camera",
        "town_?-?cent",
        proved_by=None,  # any crop may be called 12_3.jpg
    ),
)
"""Sets of the field, those in folders first; where several fit, the first one is taken."""

_WORDS = re.compile("|".join(each.words for each in SMALL_SETS))

READINGS = frozenset({UNLABELLED, FOLDERS, NAMES, *(each.name for each in SMALL_SETS)})
"""Words that `pattern` takes besides an expression."""


def find_small_set(root: Path, *, flat: bool, by_name: bool = False) -> SmallSet | None:
    """Finds the small set that lies in a folder.

    Args:
        root: The folder.
        flat: Look for sets whose images lie in it directly; else for those in folders of it.
        by_name: Believe the name of the folder, or of the one around it, alone.

    Returns:
        The set that these names say, or the first one that its image names prove, of at least two
        people; None without one.
    """
    here = root.absolute()
    called = here.name.lower(), here.parent.name.lower()
    if by_name and not any(map(_WORDS.search, called)):
        return None
    proved = None
    for each in SMALL_SETS:
        said = any(re.search(each.words, name) for name in called)
        if bool(each.folders) == flat or (by_name and not said):
            continue
        if not all(holds_folder(root, inner) for inner in each.folders):
            continue
        people = _read_numbers(each, each.names(root))
        if len(people) < 2:
            continue
        if said:
            return each
        if proved is None and each.proved_by is not None and each.proved_by(people):
            proved = each
    return proved


def small_set_named(name: str, root: Path) -> SmallSet:
    """Finds the small set of this name whose form the images of a folder have.

    Raises:
        InputError: No image is named so.
    """
    for each in SMALL_SETS:
        there = each.name == name and all(holds_folder(root, inner) for inner in each.folders)
        if there and any(map(each.form.match, each.names(root))):
            return each
    raise InputError(
        f"{root}: has no image that is named as {name} names them. Give the folder that holds its "
        "images, or another pattern."
    )


def _read_numbers(small_set: SmallSet, names: list[str]) -> _Numbers:
    """The image numbers of each person; nobody where too many names are of another form."""
    matches = [match for name in names if (match := small_set.form.match(name))]
    numbers: dict[str, set[int]] = defaultdict(set)
    if len(matches) >= _LEAST_SHARE * len(names):
        for match in matches:
            groups = match.groupdict()
            if groups["person"]:
                numbers[groups["person"]].add(int(groups.get("image") or 0))
    return numbers
