"""Samples, the images of a dataset, and the forms of file names that say who is on them."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from siamese.errors import InputError
from siamese.filesystem import FileState, is_remote, list_remote
from siamese.images import (
    IMAGE_SUFFIXES,
    OTHER_SUFFIXES,
    begins_like_image,
    begins_like_other,
)

NAME_FORMS: dict[str, re.Pattern[str]] = {
    # 0001C1T0002F003.jpg: identity, camera, tracklet, frame; junk is 00-1.
    "mars": re.compile(
        r"(?P<person>\d{4}|00-1)C(?P<camera>\d+)T(?P<tracklet>\d+)F(?P<frame>\d+)", re.ASCII
    ),
    # 0002_c1s1_000451_03.jpg: identity, camera, sequence, frame, box; junk is -1.
    "market1501": re.compile(
        r"(?P<person>-1|\d+)_c(?P<camera>\d+)s(?P<tracklet>\d+)_(?P<frame>\d+)", re.ASCII
    ),
    # 0001_c2_f0046182.jpg: identity, camera, frame.
    "dukemtmc-reid": re.compile(r"(?P<person>-1|\d+)_c(?P<camera>\d+)_f(?P<frame>\d+)", re.ASCII),
    # 0001_c1_1.png: identity, camera, number of the image.
    "cuhk03-np": re.compile(r"(?P<person>-1|\d+)_c(?P<camera>\d+)_\d+", re.ASCII),
    # 0000_002_01_0303morning_0036_1.jpg: identity, number, camera, time of day, and two more.
    "msmt17": re.compile(r"(?P<person>\d{4})_\d+_(?P<camera>\d+)_\d{4}[a-z]+_", re.ASCII),
}
"""Forms of file names by dataset; they are matched from the start of the name, in this order."""

JUNK_PERSONS = frozenset({"-1", "00-1"})
"""Market-1501 and MARS name badly detected boxes so: never a sample."""

DISTRACTOR_PERSON = "0000"
"""Market-1501 and MARS name all people who are never asked for so: in the gallery, never a match.
In any other dataset `0000` is a person like others."""

_NO_IMAGE_SUFFIXES = (
    ".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".html", ".log", ".mat",
    ".npy", ".npz", ".pkl", ".parquet", ".tfrecord", ".gz", ".zip", ".tar", ".py", ".ipynb",
    ".keras", ".h5", ".onnx", ".pth", ".pt", ".db", ".ini", ".partial", ".lance",
)  # fmt: skip
"""Files that lie beside images by the thousand: nobody looks into them."""

_NOT_THERE = FileState(0, 0)
_CAMERA_GROUP = re.compile(r"camera\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of one person.

    Attributes:
        path: The image file.
        person: The identity as the dataset names it, as in "0002"; "" when not known.
        camera: The camera's number in the dataset, -1 when not known.
        tracklet: The tracklet's number, -1 when not known. It is unique together with `person` and
            `camera`. For Market-1501 it is the sequence (`s1` in the name), for official MARS the
            row of the track table, counted from 1.
        frame: The frame's number, -1 when not known.
    """

    path: str
    person: str
    camera: int = -1
    tracklet: int = -1
    frame: int = -1


def read_name(name: str) -> Sample | None:
    """Reads what a file name of a known form tells; the name is the sample's path.

    Returns:
        A sample, or None when the name, without folders, has none of `NAME_FORMS`.

    Example:
        >>> read_name("0001C1T0002F003.jpg")
        Sample(path='0001C1T0002F003.jpg', person='0001', camera=1, tracklet=2, frame=3)
        >>> read_name("0002_c1s1_000451_03.jpg").frame
        451
        >>> read_name("holiday.jpg") is None
        True
    """
    for form in NAME_FORMS.values():
        if match := form.match(name):
            return sample_from_match(match, name)
    return None


def sample_from_match(
    match: re.Match[str], path: str, cameras: Mapping[str, int] | None = None
) -> Sample:
    """Makes a sample of what the named groups of a pattern, at least `person`, have matched.

    Cameras that are not called by numbers have theirs in `cameras`.

    Returns:
        The sample; a number whose group is absent or took no part in the match is -1, a person
        whose group took no part is `DISTRACTOR_PERSON`.

    Raises:
        InputError: camera, tracklet or frame matched something that is not digits, or too many.
    """
    groups = match.groupdict()
    numbers = {}
    for group, text in groups.items():
        if text is None:
            continue
        if _CAMERA_GROUP.fullmatch(group):
            numbers["camera"] = int(group.removeprefix("camera"))
        elif group in ("camera", "tracklet", "frame"):
            number = read_number(text)
            if number is None and cameras and group == "camera":
                number = cameras.get(text)
            if number is None:
                raise InputError(
                    f"{path}: group `{group}` of the pattern must match digits, 18 at most. "
                    f"Received: {text!r}. Write it as (?P<{group}>\\d+)."
                )
            numbers[group] = number
    return Sample(path, groups["person"] or DISTRACTOR_PERSON, **numbers)


def read_number(text: str) -> int | None:
    """Reads a number that goes into 64 bits, as records have it; None where it is none.

    Example:
        >>> read_number("0451"), read_number("-1"), read_number("20240101123045123451")
        (451, None, None)
    """
    return int(text) if text.isdecimal() and len(text.lstrip("0")) < 19 else None


def read_text(path: Path) -> str:
    """Reads a list of files that comes with a dataset, without a byte order mark.

    Raises:
        InputError: It is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: must be UTF-8 text ({error}). Copy it again.") from None


def printable(path: str) -> str:
    """Returns a path that can be printed: bytes that are not UTF-8 become numbers."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""Compiles a user's regular expression for file names.

    Args:
        pattern: A regular expression with the named group `person` and, as far as names tell,
            `camera`, `tracklet` and `frame`, such as `(?P<person>\w+)/cam(?P<camera>\d+)_`. Where
            cameras are not numbered, a group `camera1` stands for camera 1 wherever it matches:
            `(?:(?P<camera1>left)|(?P<camera2>right))/(?P<person>\w+)`.

    Raises:
        InputError: It is not a regular expression, or lacks `person`, or has an unknown group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"pattern must be a regular expression. Received: {pattern!r} ({error}). "
            r"An example: (?P<person>\d+)_cam(?P<camera>\d+)"
        ) from None
    unknown = set(compiled.groupindex) - {"person", "camera", "tracklet", "frame"}
    unknown = {group for group in unknown if not _CAMERA_GROUP.fullmatch(group)}
    if "person" not in compiled.groupindex or unknown:
        raise InputError(
            "pattern must have the named group `person` and may have camera (or camera1, camera2, "
            "...), tracklet and frame. "
            f"Received: {pattern!r}. An example: (?P<person>\\d+)_cam(?P<camera>\\d+)"
        )
    return compiled


def is_image_name(name: str) -> bool:
    """Returns whether a file of this name is an image whatever it holds, and not hidden."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _may_be_image(name: str) -> bool:
    return not (name.startswith(".") or name.lower().endswith(_NO_IMAGE_SUFFIXES))


def _is_image(entry: "os.DirEntry[str]") -> bool:
    """Returns whether a file is an image: by its suffix, else by its first bytes."""
    if not _is(entry.is_file):
        return False
    return is_image_name(entry.name) or begins_like_image(_beginning(entry))


def _is_unread(entry: "os.DirEntry[str]") -> bool:
    """Returns whether a file is a picture of a kind that nothing here reads."""
    if _is_image(entry) or not _is(entry.is_file):
        return False
    return entry.name.lower().endswith(OTHER_SUFFIXES) or bool(begins_like_other(_beginning(entry)))


def _beginning(entry: "os.DirEntry[str]") -> bytes:
    """Reads the first 16 bytes of a file; none where it may not be read."""
    try:
        with open(entry.path, "rb") as file:  # noqa: PTH123 - speed
            return file.read(16)
    except OSError:
        return b""


def image_names(folder: str | Path) -> list[str]:
    """Lists the names of the images that lie directly in a folder, sorted."""
    if is_remote(folder):
        return sorted(name for name, inner in _entries(folder, is_image_name) if not inner)
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if _may_be_image(e.name) and _is_image(e))


def folder_names(folder: str | Path) -> list[str]:
    """Lists the names of the folders that lie directly in a folder, sorted; hidden ones are not."""
    return sorted(name for name, inner in _entries(folder, _seen) if inner)


def _entries(folder: str | Path, named: Callable[[str], bool]) -> Iterator[tuple[str, bool]]:
    """The names, of those wanted, that lie directly in a folder, and whether each is a folder."""
    if is_remote(folder):
        remote = list_remote(folder).items()
        yield from ((name, state is None) for name, state in remote if named(name))
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if named(entry.name):  # its type may cost a question to the file system
                inner = _is(entry.is_dir)
                if inner or _is(entry.is_file):
                    yield entry.name, inner


def holds_folder(folder: Path, name: str) -> bool:
    """Returns whether a folder has another of this name."""
    if is_remote(folder):
        return list_remote(folder).get(name, _NOT_THERE) is None
    return (folder / name).is_dir()


def holds_file(folder: Path, name: str) -> bool:
    """Returns whether a folder has a file of this name."""
    if is_remote(folder):
        return list_remote(folder).get(name) is not None
    return (folder / name).is_file()


def walk_images(folder: str | Path) -> list[str]:
    """Lists all images under a folder at any depth, as sorted paths relative to it with `/`."""
    if is_remote(folder):
        split = ((name, name.split("/")) for name in list_remote(folder, below=True))
        return sorted(n for n, p in split if is_image_name(p[-1]) and all(map(_seen, p[:-1])))
    return sorted(name for name, entry in _walk(folder, "", ()) if _is_image(entry))


def walk_unread(folder: str | Path) -> list[str]:
    """Lists pictures of kinds that nothing here reads, such as HEIC, under a folder at any depth.

    At addresses the suffix alone tells them.
    """
    if is_remote(folder):
        names = (n for n in list_remote(folder, below=True) if n.lower().endswith(OTHER_SUFFIXES))
        return sorted(n for n in names if all(map(_seen, n.split("/"))))
    return sorted(name for name, entry in _walk(folder, "", ()) if _is_unread(entry))


def no_image_in(folder: str | Path) -> InputError:
    """Makes the error about a folder without an image; it names pictures of other kinds."""
    unread = walk_unread(folder) if Path(folder).is_dir() or is_remote(folder) else []
    if unread:
        return InputError(
            f"{folder}: holds no image of a kind that is read. Received: {len(unread):,} others, "
            f"such as {printable(unread[0])}. Save them as JPEG or PNG."
        )
    return InputError(f"{folder}: holds no image. Give a folder of images.")


def walk_dead_links(folder: str | Path) -> list[str]:
    """Lists what is named like an image, under a folder at any depth, but leads to nothing."""
    if is_remote(folder):
        return []
    return sorted(
        name
        for name, entry in _walk(folder, "", ())
        if is_image_name(entry.name) and entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110 - speed
    )


def _walk(
    folder: str | Path, prefix: str, above: tuple[os.stat_result, ...]
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yields files and dead links that may be images; follows links to folders."""
    here = os.stat(folder)  # noqa: PTH116 - speed
    if any(os.path.samestat(here, each) for each in above):
        return  # a link to a folder that it is in
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is(entry.is_dir):
                if _seen(entry.name):
                    yield from _walk(entry.path, f"{prefix}{entry.name}/", (*above, here))
            elif _may_be_image(entry.name):
                yield prefix + entry.name, entry


def images_by_folder(folder: str | Path) -> dict[str, list[str]]:
    """Lists the folders that lie directly in a folder, sorted, with the images in each, sorted.

    Folders without an image may be left out.
    """
    if not is_remote(folder):
        return {name: image_names(Path(folder) / name) for name in folder_names(folder)}
    found: dict[str, list[str]] = {}
    for inner, separator, name in (path.partition("/") for path in walk_images(folder)):
        if separator and "/" not in name:
            found.setdefault(inner, []).append(name)
    return {inner: sorted(found[inner]) for inner in sorted(found)}


def _is(kind: Callable[[], bool]) -> bool:
    """Asks an entry for its kind."""
    try:
        return kind()
    except OSError:  # a link to itself
        return False


def _seen(folder: str) -> bool:
    """Returns whether a folder of this name is not hidden."""
    return not folder.startswith((".", "__"))


def sort_samples(samples: Iterable[Sample]) -> list[Sample]:
    """Sorts samples by path, so that labels and records never depend on the file system."""
    return sorted(samples, key=lambda sample: sample.path)
