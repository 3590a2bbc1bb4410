"""Lists the samples of a dataset folder whose layout was recognised."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from siamese.datasets import mars, tables
from siamese.datasets.layouts import (
    MSMT17_LISTS,
    NO_IDENTITY_FIX,
    Layout,
    PartName,
    msmt17_list,
    recognise,
)
from siamese.datasets.samples import (
    JUNK_PERSONS,
    NAME_FORMS,
    Sample,
    compile_pattern,
    image_names,
    images_by_folder,
    printable,
    read_name,
    read_text,
    sample_from_match,
    sort_samples,
    walk_images,
)
from siamese.datasets.small_sets import UNLABELLED
from siamese.errors import InputError
from siamese.filesystem import as_path, join

logger = logging.getLogger(__name__)


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
            relative to the part's folder, with `/`: `(?P<person>\w+)/cam(?P<camera>\w+)`.
            Cameras that are not numbered are numbered, see `Layout.cameras`. Or another word that
            `recognise` takes.
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
            f"known. {NO_IDENTITY_FIX}"
        )
    if part == "all":
        # A MARS query tracklet is also in the gallery: one image is one sample.
        by_path = {s.path: s for name in layout.parts for s in _list_part(layout, name)}
        samples = sort_samples(by_path.values())
    elif part in layout.parts:
        samples = sort_samples(_list_part(layout, part))
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
        raise InputError(
            f"{folder}: has no image that can be used in part {part!r}. {NO_IDENTITY_FIX}"
        )
    return samples


def _list_part(layout: Layout, part: str) -> list[Sample]:
    folder = as_path(layout.parts[part])
    if layout.name == UNLABELLED:
        return [Sample(join(layout.parts[part], name), "") for name in walk_images(folder)]
    if small_set := layout.small_set:
        distractors = layout.distractor_person is not None
        names = small_set.names(folder)
        return _list_by_form(folder, names, small_set.form.match, distractors=distractors)
    if layout.pattern is not None:
        form, names = compile_pattern(layout.pattern), layout.names[layout.parts[part]]
        return _list_by_form(folder, names, form.search, layout.cameras)
    if layout.name == "identity-csv":
        return tables.read_identities(layout.folder, part=part)
    if layout.name == "triplet-csv":
        return list(
            {s.path: s for row in tables.read_triplets(layout.folder) for s in row}.values()
        )
    if layout.name == "mars":
        return mars.list_tracklets(as_path(layout.folder), part)
    if layout.of_identities:
        return _list_identity_folders(folder)
    root = as_path(layout.folder)
    if layout.name == "msmt17" and folder != root and msmt17_list(root, MSMT17_LISTS[part][0]):
        return _list_msmt17(root, folder, part)
    form = NAME_FORMS[layout.name.removesuffix("-names")]
    names = walk_images(folder) if layout.nested else image_names(folder)
    samples = _list_by_form(folder, names, lambda name: form.match(name.rpartition("/")[2]))
    if layout.name == "msmt17" and len(layout.parts) > 1:
        samples = [replace(each, person=_of_part(each.person, part)) for each in samples]
    return samples


def _of_part(person: str, part: str) -> str:
    """Names a person of MSMT17: training and test number different people alike."""
    return person if part == "train" else f"test/{person}"


def _list_identity_folders(folder: Path) -> list[Sample]:
    samples = []
    for person, names in images_by_folder(folder).items():
        home = join(folder, person)
        for name in names:
            read = read_name(name) or Sample(name, person)
            samples.append(replace(read, path=join(home, name), person=person))
    return samples


def _list_by_form(
    folder: Path,
    names: Iterable[str],
    read: Callable[[str], re.Match[str] | None],
    cameras: Mapping[str, int] | None = None,
    distractors: bool = False,
) -> list[Sample]:
    samples, left_out = [], []
    home = str(folder)
    for name in names:
        match = read(name)
        if match and (match["person"] or distractors):
            samples.append(sample_from_match(match, join(home, name), cameras))
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
        file = msmt17_list(root, list_name)
        if file is None:
            continue  # Some copies come without list_val.txt.
        lines = read_text(file).splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            # A line is "0000/0000_000_01_0303morning_0015_0.jpg 0": the file and a label.
            relative = line.rsplit(maxsplit=1)[0]
            match = NAME_FORMS["msmt17"].match(relative.rsplit("/", 1)[-1])
            if match is None:
                raise InputError(
                    f"{file}: line {number} must be like "
                    f"0000/0000_000_01_0303morning_0015_0.jpg 0. Received: {line!r}. "
                    "Copy the list again."
                )
            path = join(
                home, str(PurePosixPath(relative if "." in relative else f"{relative}.jpg"))
            )
            person = _of_part(match["person"], part)
            samples.append(Sample(path, person, int(match["camera"])))
    return samples
