"""Decides whether the folders of a dataset are people, cameras, parts, dates or sequences.

It is decided once, when a folder is recognised; every command that needs people takes the answer.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from siamese.datasets.samples import (
    NAME_FORMS,
    folder_names,
    image_names,
    read_name,
    walk_images,
)
from siamese.errors import InputError
from siamese.filesystem import is_remote

FOLDERS, NAMES = "folders", "names"
"""Words that `pattern` takes: each folder is a person; the file names say who, in a known form."""

PART_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "train": ("bounding_box_train", "bbox_train", "train_all", "image_train", "images_train",
              "train", "training", "train_set", "trainset"),
    "query": ("query", "queries", "probe", "image_query", "images_query", "query_images",
              "bounding_box_query", "bbox_query"),
    "gallery": ("bounding_box_test", "bbox_test", "gallery", "image_gallery", "image_test",
                "images_test", "gallery_images", "bounding_box_gallery", "test"),
}  # fmt: skip
"""What the folder of each part is called, in lower case; the first that is there is taken."""

OFFICIAL_FOLDERS = ("bounding_box_train", "bounding_box_test", "bbox_train", "bbox_test")
"""No person is called so, whatever else lies beside."""

_CAMERA = re.compile(
    r"(?:.*[^a-z])?(?:cam|camera|kamera|cctv|view|channel|ch)[ _-]?(?:\d{1,3}|[a-z])|c\d{1,2}"
    r"|\d{1,3}(?:[._]\d{1,3}){3}|(?:in|out)(?:door|side)s?|left|right|front|back|rear|entrance|exit"
    r"|north|south|east|west|rgb|ir|nir|infrared|thermal|visible"
    r"|(?:ipc|nvr|dvr|gopro|sensor|device|stream|feed|gate|door|floor|room|zone|area|site|store"
    r"|location|lane|aisle|entrance|exit)[ _-]?\d{1,4}", re.I
)  # fmt: skip
_PART = re.compile(
    r"(?:(?:images?|imgs?|bbox|bounding_box|crops?)[ _-])?"
    r"(?:train|training|test|testing|val|valid|validation|dev|trainval|query|queries|probe|gallery)"
    r"(?:[ _-]?(?:all|set|images?|data|\d{1,2}))?|distractors?|multi[ _-]query|gt_bbox|gt_query"
    r"|anchors?|positives?|negatives?|labell?ed|detected"
    r"|(?:fold|split|subset|part|batch|set)[ _-]?\d{1,4}",
    re.I,
)
_DATE = re.compile(
    r"(?:.*\D)?(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?:\D.*)?"
    r"|\d\d?[-_.]\d\d?[-_.](?:19|20)\d\d|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|[012]?\d ?(?:h|am|pm)(?:[0-5]\d)?|1[5-9]\d{8}(?:\d{3})?"
    r"|(?:19|20)\d\d[-_.](?:0[1-9]|1[0-2]|W\d\d)|week[ _-]?\d{1,2}"
    r"|(?:\d\d?[-_. ])?(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*"
    r"[-_. ]\d{1,4}|day|night|morning|noon|afternoon|evening",
    re.I,
)
_SEQUENCE = re.compile(
    r"(?:seq|sequence|video|vid|clip|scene|session|day|shift)[ _-]?\d{1,6}|"
    r"(?:images?|imgs?|crops?|frames?|pictures?|raw|data|jpe?gs?)", re.I
)  # fmt: skip
_CLASS = re.compile(r"persons?|people|pedestrians?", re.I)
_WORDS = {
    "cameras": _CAMERA,
    "parts": _PART,
    "dates": _DATE,
    "sequences": _SEQUENCE,
    "the classes of a detector": _CLASS,
}
_MOST_FOLDERS = 64
_MOST_SHARING = 8  # more folders than this with the same file names are people with numbered images
_LAST_FOLDER = "(?P<person>[^/]+)/[^/]+$"
_FIRST_FOLDER = "^(?P<person>[^/]+)/"
_CAMERA_FOLDERS = (r"[^/]*?(?P<camera>\d+|(?<![A-Za-z])[A-Za-z]+)/", r"(?P<camera>[^/]+)/")
_USUAL_NAMES = (
    r"(?=.*person(?P<person>\d+))(?=.*cam(?P<camera>\d+))",
    r"(?P<person>\d+)[^/]*?[_.-]c(?:am|amera)?_?(?P<camera>\d+)[^/]*$",
    r"(?P<person>[^/_.-]+)[_.-][^/]*$",
)
_BY_NAME = (r"(?P<person>[^_./-]+)[_.-]", r"[^/\d]*(?P<person>\d+)[^/]*$")
_IN_CAMERAS = tuple(f"^{camera}{person}" for camera in _CAMERA_FOLDERS for person in _BY_NAME)
_IN_FOLDERS = tuple(f"^[^/]+/{person}" for person in _BY_NAME)


class PeopleUnclearError(InputError):
    """A folder may be read in several ways, and only its owner can say which is right."""


def find_parts(root: Path) -> dict[str, str]:
    """Finds the folders of the parts of a dataset, whatever they are called.

    Returns:
        Part to the folder's name; nothing where the names might as well be people's or leave open
        what asks and what is searched.
    """
    there = {name.lower(): name for name in folder_names(root)}
    found = {
        part: there[alias]
        for part, aliases in PART_FOLDERS.items()
        for alias in aliases[::-1]
        if alias in there
    }
    official = any(name in there for name in OFFICIAL_FOLDERS)
    return found if official or {"query", "gallery"} <= found.keys() else {}


def sample_tree(root: Path) -> list[str]:
    """Lists images below a folder, as paths relative to it: all of some folders, evenly chosen."""
    if is_remote(root):
        return walk_images(root)
    folders = folder_names(root)
    chosen = folders[:: -(-len(folders) // _MOST_FOLDERS) or 1]
    return image_names(root) + [f"{each}/{n}" for each in chosen for n in walk_images(root / each)]


def find_crossed_folders(names: Iterable[str]) -> tuple[str, str] | None:
    """Reads `person/camera/image` and `camera/person/image`, where folders are called like cameras.

    Returns:
        An expression that reads the paths, and the same in words; None where it is something else.
    """
    names = list(names)
    pairs = [parts[:2] for name in names if len(parts := name.split("/")) == 3]
    if 2 * len(pairs) <= len(names):
        return None
    outer, inner = ({pair[place] for pair in pairs} for place in (0, 1))
    cameras = [bool(each) and all(map(_CAMERA.fullmatch, each)) for each in (outer, inner)]
    # Two folders may be two datasets, each in folders of its cameras.
    if cameras == [False, True] and len(outer) > 2 and not any(map(_word_of, outer)):
        return f"^(?P<person>[^/]+)/{_read_cameras(inner)}[^/]+$", "person/camera/image"
    if cameras == [True, False] and not any(map(_word_of, inner)):
        return f"^{_read_cameras(outer)}{_LAST_FOLDER}", "camera/person/image"
    return None


def _read_cameras(folders: Iterable[str]) -> str:
    """An expression that tells all of these folders apart, by their numbers where they have any."""
    folders = [f"{folder}/" for folder in folders]
    short, whole = _CAMERA_FOLDERS
    found = {match["camera"] for match in map(re.compile(short).match, folders) if match}
    return short if len(found) == len(folders) else whole


def refuse_other_folders(root: Path, names: Sequence[str]) -> None:
    """Makes sure that the folders of a dataset, which hold images of these names, can be people.

    Raises:
        PeopleUnclearError: File names say other people than the folders do, or the folders are
            called like cameras, parts, dates or sequences, or a few folders have the same file
            names. The message has the flag for each reading.
    """
    paths = [name.split("/") for name in names if "/" in name]
    folders = sorted({parts[0] for parts in paths})
    deep = sum(len(parts) > 2 for parts in paths) > len(paths) / 2
    kind = _kind_of(folders)
    if deep:
        shown = ", ".join(folders[:3])
        raise PeopleUnclearError(
            f"{root}: its folders ({shown}) hold folders{f' and are {kind}' if kind else ''}: who "
            f"is a person? Give --pattern '{_LAST_FOLDER}' if the last folder of each path is, "
            f"'{_FIRST_FOLDER}' if the first one is, names if the file names tell; or one of the "
            "folders by itself."
        )
    reason = f"its folders ({', '.join(folders[:3])}) are called like {kind}" if kind else ""
    by_name = _disagreement(paths)
    reason = by_name or reason or _sharing(folders, paths)
    if reason:
        raise PeopleUnclearError(f"{root}: {reason}. {_choices(paths, bool(by_name), kind)}")


def propose_pattern(names: Sequence[str]) -> str:
    """Returns the first of some usual expressions that reads all names, or else most of them."""
    forms = [(re.compile(each), each) for each in _USUAL_NAMES]
    return max(forms, key=lambda each: sum(map(bool, map(each[0].search, names))))[1]


def _word_of(folder: str) -> str:
    return next((kind for kind, form in _WORDS.items() if form.fullmatch(folder)), "")


def _kind_of(folders: Sequence[str]) -> str:
    """Returns what at least half of the folders are called like; "" where they may be people."""
    kinds = Counter(map(_word_of, folders))
    words = len(folders) - kinds.pop("", 0)
    enough = words >= max(min(2, len(folders)), len(folders) / 2)
    return kinds.most_common(1)[0][0] if words and enough else ""


def _disagreement(paths: Iterable[Sequence[str]]) -> str:
    """Says where the people of file names of a known form are not those of the folders."""
    people, folders = defaultdict(set), defaultdict(set)
    for folder, *_, name in paths:
        if read := read_name(name):
            people[folder].add(read.person)
            folders[read.person].add(folder)
    for where, what in (
        (people, "its folder {} holds images named after {} people ({})"),
        (folders, "images named after person {} lie in {} folders ({})"),
    ):
        several = {key: sorted(found) for key, found in where.items() if len(found) > 1}
        if 2 * len(several) > len(where):
            key, found = next(iter(sorted(several.items())))
            return what.format(key, len(found), ", ".join(found[:3]))
    return ""


def _sharing(folders: Sequence[str], paths: Sequence[Sequence[str]]) -> str:
    """Says where a few folders hold the same long list of names, as cameras or days do."""
    if not 2 <= len(folders) <= _MOST_SHARING:
        return ""
    stems = {(parts[-1].rpartition(".")[0], parts[0]) for parts in paths}
    begins = {(re.split("[_.-]", stem)[0], folder) for stem, folder in stems}
    for found, what in ((stems, "of the same {} names"), (begins, "whose names begin alike ({})")):
        times = Counter(each for each, _ in found)
        shared = sum(n > 1 for n in times.values())
        if len(times) >= max(20, 10 * len(folders)) and 2 * shared >= len(times):
            return f"its {len(folders)} folders hold images {what.format(len(times))}"
    return ""


def _choices(paths: Sequence[Sequence[str]], named: bool, kind: str) -> str:
    """Names the flag of each reading, the one that fits best first."""
    readings = []
    if named or sum(read_name(parts[-1]) is not None for parts in paths) * 2 > len(paths):
        example = next(parts[-1] for parts in paths if read_name(parts[-1]))
        readings.append(f"--pattern names (people as in {example})")
    elif kind in ("", "cameras") and (fits := [e for e in _IN_CAMERAS if _joins_folders(e, paths)]):
        readings.append(f"--pattern '{fits[0]}' (cameras by folder, people by file name)")
    elif kind in ("dates", "sequences", "parts") and (
        fits := [e for e in _IN_FOLDERS if _gathers(e, paths, kind == "parts")]
    ):
        readings.append(f"--pattern '{fits[0]}' (people by file name, cameras are not known)")
    elif kind:
        readings.append("--pattern unlabelled (nobody is known)")
    readings.append("--pattern folders (each folder is a person)")
    if not any("unlabelled" in each for each in readings):
        readings.append("--pattern unlabelled (nobody is known)")
    return f"Say how they are to be read: {', '.join(readings)}, or an expression of your own."


def _joins_folders(expression: str, paths: Iterable[Sequence[str]]) -> bool:
    """Returns whether an expression tells all folders apart and finds people in several of them."""
    form, seen, cameras = re.compile(expression), defaultdict(set), defaultdict(set)
    for parts in paths:
        if match := form.search("/".join(parts)):
            seen[match["person"]].add(parts[0])
            cameras[match["camera"]].add(parts[0])
    if any(len(folders) > 1 for folders in cameras.values()):
        return False
    return len(seen) > 1 and 3 * sum(len(each) > 1 for each in seen.values()) >= len(seen)


def _gathers(expression: str, paths: Sequence[Sequence[str]], within: bool) -> bool:
    """Returns whether an expression reads all paths and gives most people several images.

    Several in one folder are needed `within` parts, which share numbers of images, and no people.
    """
    form, images = re.compile(expression), Counter[tuple[str, str]]()
    for parts in paths:
        match = form.search("/".join(parts))
        if match is None or _CAMERA.fullmatch(re.split("[_.-]", parts[-1])[0]):
            return False
        images[match["person"], parts[0] if within else ""] += 1
    people = {person for person, _ in images}
    return len(people) > 1 and 2 * sum(n > 1 for n in images.values()) > len(images)


def commonest_form(names: Iterable[str], forms: Iterable[str]) -> str | None:
    """Returns the form of `NAME_FORMS` that most of the names have; None where none has any."""
    names = list(names)
    counts = {form: sum(map(bool, map(NAME_FORMS[form].match, names))) for form in forms}
    form = max(counts, key=counts.__getitem__)
    return form if counts[form] else None


def number_cameras(texts: Iterable[str]) -> dict[str, int]:
    """Numbers cameras that are named otherwise than by numbers, which may be among the texts.

    Returns:
        Each name that is no number to a number above all that are, in sorted order.

    Example:
        >>> number_cameras(["b", "a", "b"]), number_cameras(["2", "gate"])
        ({'a': 1, 'b': 2}, {'gate': 3})
    """
    texts = set(texts)
    highest = max((int(text) for text in texts if text.isdecimal()), default=0)
    named = sorted(text for text in texts if not text.isdecimal())
    return {text: number for number, text in enumerate(named, start=highest + 1)}
