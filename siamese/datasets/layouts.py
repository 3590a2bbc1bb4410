"""Recognises the layout of a dataset folder and lists its samples.

A dataset is data: the names of its folders and the form of its file names.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from siamese.datasets import mars, tables
from siamese.datasets.samples import (
    DISTRACTOR_PERSON,
    JUNK_PERSONS,
    NAME_FORMS,
    Sample,
    compile_pattern,
    folder_names,
    holds_file,
    holds_folder,
    image_names,
    images_by_folder,
    printable,
    read_name,
    read_text,
    sample_from_match,
    sort_samples,
    walk_images,
)
from siamese.datasets.small_sets import (
    READINGS,
    UNLABELLED,
    SmallSet,
    find_small_set,
    small_set_named,
)
from siamese.errors import InputError
from siamese.filesystem import as_path, join

logger = logging.getLogger(__name__)

PartName = Literal["train", "query", "gallery", "all"]

MARKET_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
DISTRACTOR_SETS = ("mars", "mars-names", "market1501", "prid2011", "grid")
MARKET_FORMS = ("market1501", "dukemtmc-reid", "cuhk03-np")
MSMT17_FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
MSMT17_LISTS = {
    "train": ("list_train.txt", "list_val.txt"),
    "query": ("list_query.txt",),
    "gallery": ("list_gallery.txt",),
}
NOTES = {
    "dukemtmc-reid": "DukeMTMC-reID was withdrawn by its authors in 2019: do not publish with it.",
    "msmt17": "train is list_train.txt and list_val.txt together (the same people are in both).",
    UNLABELLED: "Crops without identities: an unlabelled source. If the names tell people, say how "
    "by --pattern.",
}
_FIX = (
    "Expected categories/<identity>/*.jpg, <identity>/*.jpg, a folder of a known dataset, or give "
    "a pattern that reads the identity from the names."
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Describes how a dataset lies on the disk.

    Attributes:
        name: "mars-categories", "folders" (one a person), "market1501", "dukemtmc-reid",
            "cuhk03-np", "msmt17", "mars", "mars-names" (its file names alone), "pattern",
            "identity-csv", "triplet-csv", the name of a small set, or "unlabelled".
        folder: Where it was found: `PATH/categories` for PATH, the file for a CSV.
        parts: The folder that holds the images of each part that was found. A dataset without
            an official split is all "train".
        notes: What a user of this dataset should know.
        small_set: How the names are read, of a small set.
    """

    name: str
    folder: str
    parts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    small_set: SmallSet | None = None

    @property
    def distractor_person(self) -> str | None:
        """Returns the identity that stands for all distractors, where the dataset has one."""
        return DISTRACTOR_PERSON if self.name in DISTRACTOR_SETS else None

    @property
    def distractors(self) -> tuple[str, ...]:
        """Returns the distractors as scores take them."""
        return () if self.distractor_person is None else (self.distractor_person,)


def recognise(folder: str | Path, pattern: str | None = None) -> Layout:
    """Finds out which dataset a folder holds.

    Args:
        folder: A dataset's folder, or one folder of it, or the folder around it, or a CSV file; a
            local path or an address such as `s3://bucket/folder`.
        pattern: A regular expression that reads names of the user's own form; or the name of a
            small set whose form they have; or "unlabelled", whatever they say.

    Returns:
        The layout.

    Raises:
        InputError: The folder is missing, empty, or of no known layout; or the pattern is wrong.
    """
    root = as_path(folder)
    if not root.exists():
        raise InputError(f"{root}: no such folder. Give the folder of a dataset.")
    if pattern is not None and pattern not in READINGS:
        compile_pattern(pattern)
    if root.is_file():
        if root.suffix.lower() != ".csv":
            raise InputError(f"{root}: is a file. Give the folder of a dataset, or a CSV file.")
        if pattern is not None:
            raise InputError(
                f"{root}: a pattern goes with a folder, not with a CSV file. Leave it."
            )
        return Layout(f"{tables.csv_kind(root)}-csv", str(root), {"train": str(root.parent)})
    if pattern == UNLABELLED:
        return _unlabelled(root)
    if pattern in READINGS:
        return _small_set(root, small_set_named(pattern, root))
    found = _recognise_folder(root, own_names=pattern is not None)
    if found is None:
        found = _unlabelled(root) if image_names(root) else _recognise_below(root)
    return found


def list_samples(
    folder: str | Path | Layout,
    part: PartName = "train",
    pattern: str | None = None,
    *,
    unlabelled: bool = False,
) -> list[Sample]:
    r"""Lists the samples of a dataset folder of any known layout.

    Junk boxes are never listed (a folder of one's own may be called -1); distractors are, except
    in "train". Identities of MSMT17's test
    part are prefixed with `test/`, because its train and test number different people alike.

    Official MARS: "gallery" holds every test tracklet, query tracklets included; the tracklet
    numbers of the part "query" tell which ones these are.

    Args:
        folder: What `recognise` takes, or what it gave for the same pattern.
        part: "train", "query", "gallery", or "all" parts together. A dataset without an official
            split is all "train".
        pattern: A regular expression for names of the user's own form, with the named group
            person and perhaps camera, tracklet and frame. It is searched in each image's path
            relative to the part's folder, with `/`: `(?P<person>\w+)/cam(?P<camera>\d+)`. Or
            another word that `recognise` takes.
        unlabelled: Take a folder of crops without identities too; their person is "".

    Returns:
        Samples sorted by path, at least one.

    Raises:
        InputError: There is no such folder or part, no image in it, or no name that can be read.
            A name is not UTF-8: records and results could not hold it. Nobody's identity is known,
            and that was not asked for.
    """
    if isinstance(folder, Layout):
        layout, folder = folder, folder.folder
    else:
        layout = recognise(folder, pattern)
    if layout.name == UNLABELLED and not unlabelled:
        raise InputError(
            f"{folder}: no identity was found in it: its images are crops of people who are not "
            f"known. {_FIX}"
        )
    if part == "all":
        # A MARS query tracklet is also in the gallery: one image is one sample.
        by_path = {s.path: s for name in layout.parts for s in _list_part(layout, name, pattern)}
        samples = sort_samples(by_path.values())
    elif part in layout.parts:
        samples = sort_samples(_list_part(layout, part, pattern))
        if part == "train":
            samples = [s for s in samples if s.person != layout.distractor_person]
    elif part in ("train", "query", "gallery"):
        raise InputError(
            f"{folder}: has no part {part!r}. Received a folder of layout {layout.name} with: "
            f"{', '.join(layout.parts)}. Copy the missing folder into it, or use part='all'."
        )
    else:
        raise InputError(f"part must be train, query, gallery or all. Received: {part!r}.")
    if layout.name not in ("folders", "msmt17"):
        samples = [s for s in samples if s.person not in JUNK_PERSONS]
    for path in (sample.path for sample in samples):
        try:
            path.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"{printable(path)}: its name is not UTF-8. Rename the file or its folder."
            ) from None
    if not samples:
        raise InputError(f"{folder}: has no image that can be used in part {part!r}. {_FIX}")
    return samples


def _recognise_folder(root: Path, own_names: bool) -> Layout | None:
    """Recognises a dataset that lies in `root` itself."""
    if (parts := mars.part_folders(root)) and not own_names:
        return Layout("mars", str(root), parts)
    market = {p: str(root / f) for p, f in MARKET_FOLDERS.items() if holds_folder(root, f)}
    # A person may be called "query"; no person is called "bounding_box_train".
    if market and (
        set(market) != {"query"} or _commonest_form(image_names(root / "query"), MARKET_FORMS)
    ):
        name = "pattern" if own_names else _market_name(market)
        return Layout(name, str(root), market, _notes(name))
    for train, test in MSMT17_FOLDERS:
        lists = {p for p, files in MSMT17_LISTS.items() if holds_file(root, files[0])}
        folders = {p: train if p == "train" else test for p in MSMT17_LISTS if p in lists}
        parts = {p: str(root / f) for p, f in folders.items() if holds_folder(root, f)}
        if parts and not own_names:
            return Layout("msmt17", str(root), parts, _notes("msmt17"))
    if own_names:
        return Layout("pattern", str(root), {"train": str(root)})
    if small_set := find_small_set(root, flat=False):
        return _small_set(root, small_set)
    if root.absolute().name.lower() in (UNLABELLED, "unlabeled"):
        return _unlabelled(root)
    if holds_folder(root, "categories"):
        root = root / "categories"
    parts = {"train": str(root)}
    people = folder_names(root)
    if any(find_small_set(root / each, flat=True, by_name=True) for each in people):
        return None  # they are sets, and no people
    for person in people:
        if names := image_names(root / person):
            of_mars = any(NAME_FORMS["mars"].match(name) for name in names)
            return Layout("mars-categories" if of_mars else "folders", str(root), parts)
    if names := image_names(root):
        if form := _commonest_form(names, NAME_FORMS):
            # Without its tables and folders it is not the dataset.
            name = "mars-names" if form == "mars" else form
            return Layout(name, str(root), parts, _notes(name))
        if small_set := find_small_set(root, flat=True):
            return _small_set(root, small_set)
    return None


def _small_set(root: Path, small_set: SmallSet) -> Layout:
    parts = {"train": str(root)}
    return Layout(small_set.name, str(root), parts, (small_set.note,), small_set)


def _unlabelled(root: Path) -> Layout:
    return Layout(UNLABELLED, str(root), {"train": str(root)}, _notes(UNLABELLED))


def _recognise_below(root: Path) -> Layout:
    """Recognises the one dataset in a folder inside `root`, as unpacked archives have it."""
    found = []
    for name in folder_names(root):
        if layout := _recognise_folder(root / name, own_names=False):
            found.append(layout)
    if len(found) == 1:
        return found[0]
    if found:
        inside = ", ".join(Path(layout.folder).name for layout in found[:5])
        raise InputError(f"{root}: holds several datasets ({inside}). Give the folder of one.")
    if not any(root.iterdir()):
        raise InputError(f"{root}: is empty. {_FIX}")
    raise InputError(f"{root}: no identity was found in it. {_FIX}")


def _commonest_form(names: Iterable[str], forms: Iterable[str]) -> str | None:
    """Returns the form that most of the names have; None where none has any."""
    counts = {form: sum(map(bool, map(NAME_FORMS[form].match, names))) for form in forms}
    form = max(counts, key=counts.__getitem__)
    return form if counts[form] else None


def _market_name(market: Mapping[str, str]) -> str:
    """Tells apart the datasets that have Market-1501's folders, by the names of their images."""
    for folder in market.values():
        names = image_names(folder)
        if form := _commonest_form(names, MARKET_FORMS):
            return form
        if names:
            raise InputError(
                f"{folder}: expected names such as 0002_c1s1_000451_03.jpg. Received: {names[0]}. "
                "Give a pattern that reads the identity from the names."
            )
    return "market1501"


def _notes(name: str) -> tuple[str, ...]:
    return (NOTES[name],) if name in NOTES else ()


def _list_part(layout: Layout, part: str, pattern: str | None) -> list[Sample]:
    folder = as_path(layout.parts[part])
    if layout.name == UNLABELLED:
        return [Sample(join(layout.parts[part], name), "") for name in walk_images(folder)]
    if small_set := layout.small_set:
        distractors = layout.distractor_person is not None
        return _list_by_pattern(folder, small_set.form, small_set.names, distractors=distractors)
    if pattern is not None:
        return _list_by_pattern(folder, compile_pattern(pattern))
    if layout.name == "identity-csv":
        return tables.read_identities(layout.folder)
    if layout.name == "triplet-csv":
        return list(
            {s.path: s for row in tables.read_triplets(layout.folder) for s in row}.values()
        )
    if layout.name == "mars":
        return mars.list_tracklets(as_path(layout.folder), part)
    if layout.name in ("mars-categories", "folders"):
        return _list_identity_folders(folder)
    if layout.name == "msmt17" and folder != as_path(layout.folder):
        return _list_msmt17(as_path(layout.folder), folder, part)
    form = NAME_FORMS[layout.name.removesuffix("-names")]
    return _list_by_pattern(folder, form, image_names)


def _list_identity_folders(folder: Path) -> list[Sample]:
    samples = []
    for person, names in images_by_folder(folder).items():
        home = join(folder, person)
        for name in names:
            path = join(home, name)
            read = read_name(name)
            if read is None:
                samples.append(Sample(path, person))
            else:
                samples.append(Sample(path, person, read.camera, read.tracklet, read.frame))
    return samples


def _list_by_pattern(
    folder: Path,
    pattern: re.Pattern[str],
    names_of: Callable[[Path], Iterable[str]] = walk_images,
    distractors: bool = False,
) -> list[Sample]:
    samples, left_out = [], []
    home = str(folder)
    for name in names_of(folder):
        # The known forms begin where the name begins; a user's pattern may match anywhere.
        match = pattern.search(name) if names_of is walk_images else pattern.match(name)
        if match and (match["person"] or distractors):
            samples.append(sample_from_match(match, join(home, name)))
        else:
            left_out.append(name)
    if left_out:
        logger.warning(
            "%s: %d of %d images left out, their names do not match the form: %s",
            folder,
            len(left_out),
            len(left_out) + len(samples),
            ", ".join(left_out[:3]),
        )
    return samples


def _list_msmt17(root: Path, folder: Path, part: str) -> list[Sample]:
    samples = []
    home = str(folder)
    for list_name in MSMT17_LISTS[part]:
        if list_name != MSMT17_LISTS[part][0] and not (root / list_name).is_file():
            continue  # Some copies come without list_val.txt.
        lines = read_text(root / list_name).splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            # A line is "0000/0000_000_01_0303morning_0015_0.jpg 0": the file and a label.
            relative = line.rsplit(maxsplit=1)[0]
            match = NAME_FORMS["msmt17"].match(relative.rsplit("/", 1)[-1])
            if match is None:
                raise InputError(
                    f"{root / list_name}: line {number} must be like "
                    f"0000/0000_000_01_0303morning_0015_0.jpg 0. Received: {line!r}. "
                    "Copy the list again."
                )
            prefix = "" if part == "train" else "test/"
            path = join(home, str(PurePosixPath(relative)))
            samples.append(Sample(path, prefix + match["person"], int(match["camera"])))
    return samples
