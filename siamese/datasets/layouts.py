"""Recognises the layout of a dataset folder by the names of its folders and files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from siamese.datasets import mars, tables
from siamese.datasets.people import (
    FOLDERS,
    NAMES,
    OFFICIAL_FOLDERS,
    PeopleUnclearError,
    commonest_form,
    find_crossed_folders,
    find_parts,
    number_cameras,
    propose_pattern,
    refuse_other_folders,
    sample_tree,
)
from siamese.datasets.samples import (
    DISTRACTOR_PERSON,
    NAME_FORMS,
    compile_pattern,
    folder_names,
    holds_file,
    holds_folder,
    image_names,
    no_image_in,
    walk_images,
    walk_unread,
)
from siamese.datasets.small_sets import (
    READINGS,
    UNLABELLED,
    SmallSet,
    find_small_set,
    small_set_named,
)
from siamese.errors import InputError
from siamese.filesystem import as_path

PartName = Literal["train", "query", "gallery", "all"]

DISTRACTOR_SETS = ("mars", "mars-names", "market1501", "prid2011", "grid")
MARKET_FORMS = ("market1501", "dukemtmc-reid", "cuhk03-np")
MSMT17_FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
MSMT17_LISTS = {
    "train": ("list_train.txt", "list_val.txt"),
    "query": ("list_query.txt",),
    "gallery": ("list_gallery.txt",),
}
_OWN_FOLDERS = ("folders", "mars-categories", "pattern")
NOTES = {
    "dukemtmc-reid": "DukeMTMC-reID was withdrawn by its authors in 2019: do not publish with it.",
    "msmt17": "train is list_train.txt and list_val.txt together (the same people are in both).",
    "mars-names": "Read by its file names: for tracklets and queries copy the folder `info` of the "
    "official tables into it.",
    UNLABELLED: "Crops without identities: an unlabelled source. If the names tell people, say how "
    "by --pattern.",
}
TABLE_FOLDERS = ("train", "images")
"""Folders of the images of a table that lies beside them."""
NO_IDENTITY_FIX = (
    "Expected categories/<identity>/*.jpg, <identity>/*.jpg, a folder of a known dataset, or give "
    "a pattern that reads the identity from the names."
)


@dataclass(frozen=True)
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
        pattern: The expression that reads the paths: the user's, or one that was found.
        nested: Whether images of known names lie in folders of a part's folder too.
    """

    name: str
    folder: str
    parts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    small_set: SmallSet | None = None
    pattern: str | None = None
    nested: bool = False

    @property
    def distractor_person(self) -> str | None:
        """Returns the identity that stands for all distractors, where the dataset has one."""
        return DISTRACTOR_PERSON if self.name in DISTRACTOR_SETS else None

    @property
    def distractors(self) -> tuple[str, ...]:
        """Returns the distractors as scores take them."""
        return () if self.distractor_person is None else (self.distractor_person,)

    @property
    def of_identities(self) -> bool:
        """Returns whether each folder is a person."""
        return self.name in ("folders", "mars-categories")

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """Lists the images that a pattern reads: the folder of each part to paths below it."""
        return {folder: walk_images(folder) for folder in set(self.parts.values())}

    @cached_property
    def cameras(self) -> dict[str, int]:
        """Numbers the cameras that are named otherwise than by numbers.

        Name to number, counted on from the largest number, in sorted order over all parts; nothing
        where all cameras are numbers.
        """
        if self.name == "identity-csv":
            return tables.list_table_cameras(self.folder)
        form = None if self.pattern is None else compile_pattern(self.pattern)
        if form is None or "camera" not in form.groupindex:
            return {}
        matches = (form.search(name) for names in self.names.values() for name in names)
        cameras = (match["camera"] for match in matches if match)
        return number_cameras(camera for camera in cameras if camera is not None)


def recognise(folder: str | Path, pattern: str | None = None) -> Layout:
    """Finds out which dataset a folder holds.

    Args:
        folder: A dataset's folder, or one folder of it, or the folder around it, or a CSV file; a
            local path or an address such as `s3://bucket/folder`.
        pattern: A regular expression that reads names of the user's own form; or the name of a
            small set whose form they have; or "folders" (each is a person), "names" (the file names
            say who), "unlabelled" (nobody is known), whatever they look like.

    Returns:
        The layout.

    Raises:
        PeopleUnclearError: It may be read in several ways; the message has the pattern for each.
        InputError: The folder is missing, empty, or of no known layout; or the pattern is wrong.
    """
    root = as_path(folder)
    if not root.exists():
        raise InputError(f"{root}: no such folder. Give the folder of a dataset.")
    if pattern is not None and pattern not in READINGS:
        compile_pattern(pattern)
    if root.is_file():
        if root.suffix.lower() not in tables.TABLE_SUFFIXES:
            packed = root.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")
            fix = (
                "Unpack it, and give the folder."
                if packed
                else "Give the folder of a dataset, or a CSV file."
            )
            raise InputError(f"{root}: is a file. {fix}")
        if pattern is not None:
            raise InputError(
                f"{root}: a pattern goes with a folder, not with a CSV file. Leave it."
            )
        kind = tables.csv_kind(root)
        names = tables.list_table_parts(root) if kind == "identity" else ("train",)
        return Layout(f"{kind}-csv", str(root), dict.fromkeys(names, str(root.parent)))
    if pattern == UNLABELLED:
        return _unlabelled(root)
    if pattern == FOLDERS:
        return _read_folders(root)
    if pattern == NAMES:
        return _read_names(root)
    if pattern in READINGS:
        return _small_set(root, small_set_named(pattern, root))
    if pattern is not None:
        parts = find_parts(root)
        if any(name in pattern for name in parts.values()):  # it reads the parts' folders itself
            parts = {}
        if not parts:
            return Layout("pattern", str(root), {"train": str(root)}, pattern=pattern)
        return Layout("pattern", str(root), _places(root, parts), pattern=pattern)
    if any(holds_folder(root, each) for each in TABLE_FOLDERS) and not find_parts(root):
        table = tables.find_triplet_table(root)
        if table is not None:
            return recognise(table)
    found = _recognise_folder(root)
    if found is None:
        found = _unlabelled(root) if image_names(root) else _recognise_below(root)
    return found


def _recognise_folder(root: Path) -> Layout | None:
    """Recognises a dataset that lies in `root` itself."""
    if parts := mars.part_folders(root):
        return Layout("mars", str(root), parts)
    parts = find_parts(root)
    if not parts and holds_folder(root, "query"):
        alone = commonest_form(image_names(root / "query"), MARKET_FORMS)
        parts = {"query": "query"} if alone else {}
    if set(parts.values()) & set(OFFICIAL_FOLDERS) or len(parts) == 1:
        return _read_parts(root, parts)
    for train, test in MSMT17_FOLDERS:
        lists = {p for p, files in MSMT17_LISTS.items() if msmt17_list(root, files[0])}
        folders = {p: train if p == "train" else test for p in MSMT17_LISTS if p in lists}
        there = {p: f for p, f in folders.items() if holds_folder(root, f)}
        if there:
            return Layout("msmt17", str(root), _places(root, there), _notes("msmt17"))
    if small_set := find_small_set(root, flat=False):
        return _small_set(root, small_set)
    if parts:
        return _read_parts(root, parts)
    if root.absolute().name.lower() in (UNLABELLED, "unlabeled"):
        return _unlabelled(root)
    if holds_folder(root, "categories"):
        root = root / "categories"
    if any(find_small_set(root / each, flat=True, by_name=True) for each in folder_names(root)):
        return None  # they are sets, and no people
    names = sample_tree(root)
    flat = [name for name in names if "/" not in name]
    if 2 * len(flat) > len(names) and (found := _read_flat(root, flat)):
        return found
    if crossed := find_crossed_folders(names):
        note = f"Read as {crossed[1]}. If that is wrong, give an expression by --pattern."
        return Layout("pattern", str(root), {"train": str(root)}, (note,), pattern=crossed[0])
    if any(name.count("/") == 1 for name in names):
        refuse_other_folders(root, names)
        return _read_folders(root)
    return _read_flat(root, flat) if flat else None


def _read_flat(root: Path, names: list[str]) -> Layout | None:
    """Reads images that lie beside each other, by their names."""
    if form := commonest_form(names, NAME_FORMS):
        # Without its tables and folders it is not the dataset.
        name = "mars-names" if form == "mars" else form
        notes = () if form == "mars" else _notes(name)
        return Layout(name, str(root), {"train": str(root)}, notes)
    small_set = find_small_set(root, flat=True)
    return _small_set(root, small_set) if small_set else None


def _read_parts(root: Path, parts: Mapping[str, str]) -> Layout:
    """Tells apart the datasets whose parts have folders of their own, by the names of images."""
    trees = {root / folder: sample_tree(root / folder) for folder in parts.values()}
    names = [name for tree in trees.values() for name in tree]
    inside = [name for name in names if "/" in name]
    form = commonest_form((name.rpartition("/")[2] for name in names), NAME_FORMS)
    if form or not names:
        name = "mars-names" if form == "mars" else form or "market1501"
        return Layout(name, str(root), _places(root, parts), _notes(name), nested=bool(inside))
    if len(inside) == len(names):
        note = "Read as folders of people in each part; cameras are not known."
        return Layout("folders", str(root), _places(root, parts), (note,))
    folder = next(folder for folder, tree in trees.items() if any("/" not in n for n in tree))
    flat = [name for name in trees[folder] if "/" not in name]
    raise InputError(
        f"{folder}: expected names such as 0002_c1s1_000451_03.jpg. Received: "
        f"{flat[0]}. Give a pattern that reads the identity "
        f"from the names, perhaps --pattern '{propose_pattern(flat)}'."
    )


def _read_folders(root: Path) -> Layout:
    """Reads each folder as a person."""
    parts = _places(root, find_parts(root))
    if not parts and holds_folder(root, "categories"):
        root = root / "categories"
    names = sample_tree(root)
    if not any("/" in name for name in names):
        raise InputError(f"{root}: holds no folder with images. {NO_IDENTITY_FIX}")
    of_mars = any(NAME_FORMS["mars"].match(name.rpartition("/")[2]) for name in names)
    layout = "mars-categories" if of_mars and not parts else "folders"
    return Layout(layout, str(root), parts or {"train": str(root)})


def _read_names(root: Path) -> Layout:
    """Reads the file names, wherever the images lie."""
    form = commonest_form((name.rpartition("/")[2] for name in walk_images(root)), NAME_FORMS)
    if form is None:
        raise InputError(
            f"{root}: has no image whose name is of a known form, such as 0002_c1s1_000451_03.jpg. "
            "Give --pattern an expression that reads the names."
        )
    name = "mars-names" if form == "mars" else form
    parts = _places(root, find_parts(root)) or {"train": str(root)}
    return Layout(name, str(root), parts, _notes(name), nested=True)


def _places(root: Path, parts: Mapping[str, str]) -> dict[str, str]:
    return {part: str(root / folder) for part, folder in parts.items()}


def msmt17_list(root: Path, name: str) -> Path | None:
    """Finds a list of MSMT17, also where it lost its suffix; None where it is not there."""
    named = (each for each in (name, name.removesuffix(".txt")) if holds_file(root, each))
    return next((root / each for each in named), None)


def _small_set(root: Path, small_set: SmallSet) -> Layout:
    parts = {"train": str(root)}
    return Layout(small_set.name, str(root), parts, (small_set.note,), small_set)


def _unlabelled(root: Path) -> Layout:
    return Layout(UNLABELLED, str(root), {"train": str(root)}, _notes(UNLABELLED))


def _recognise_below(root: Path) -> Layout:
    """Recognises the one dataset in a folder inside `root`, as unpacked archives have it."""
    found: list[Layout] = []
    unclear: list[PeopleUnclearError] = []
    folders = folder_names(root)
    for name in folders:
        try:
            if layout := _recognise_folder(root / name):
                found.append(layout)
        except PeopleUnclearError as error:
            unclear.append(error)
    if len(found) == 1 and not unclear:
        return found[0]
    if len(unclear) == 1 and not found:
        raise unclear[0]
    if found:
        if unclear or all(layout.name in _OWN_FOLDERS for layout in found):
            refuse_other_folders(root, sample_tree(root))
        inside = ", ".join(Path(layout.folder).name for layout in found[:5])
        raise InputError(f"{root}: holds several datasets ({inside}). Give the folder of one.")
    if len(folders) == 1 and folder_names(root / folders[0]):
        return _recognise_below(root / folders[0])
    if not any(root.iterdir()):
        raise InputError(f"{root}: is empty. {NO_IDENTITY_FIX}")
    if names := sample_tree(root):
        refuse_other_folders(root, names)
    if not names and walk_unread(root):
        raise no_image_in(root)
    raise InputError(f"{root}: no identity was found in it. {NO_IDENTITY_FIX}")


def _notes(name: str) -> tuple[str, ...]:
    return (NOTES[name],) if name in NOTES else ()
