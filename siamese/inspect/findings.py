"""The rules of the dataset doctor: each looks at samples and yields what it found."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from siamese.datasets import Layout, Sample
from siamese.datasets.coverage import DEAD_LINKS, DISTRACTORS, JUNK, NO_PART, UNREAD
from siamese.datasets.samples import folder_names, images_by_folder, printable, read_name
from siamese.filesystem import as_path, join
from siamese.inspect.image_statistics import MOST_COMPARED, MOST_PAIRS, ImageStatistics, near_pairs
from siamese.inspect.inspection_report import Finding, Severity
from siamese.records.reader import is_record_set
from siamese.records.shards import BUILDING

SMALLEST_SIZE = (32, 16)
"""Height and width below which an image shows too little of a person: a quarter of 128 x 64."""

_EXAMPLES = 5


def _found(
    severity: Severity,
    examples: Sequence[str],
    what: str,
    fix: str,
    every: int = 0,
    shown: int | None = _EXAMPLES,
) -> Iterator[Finding]:
    """Yields a finding if there are examples; `#` in `what` is their number, perhaps of `every`."""
    if examples:
        number = f"{len(examples):,}" + (f" of {every:,}" if every else "")
        where = tuple(printable(example) for example in examples[:shown])
        yield Finding(severity, what.replace("#", number, 1), where, fix)


def people_findings(parts: Mapping[str, Sequence[Sample]], layout: Layout) -> Iterator[Finding]:
    """Finds too few people, people of one image, and people on both sides of the official split."""
    people = {
        part: Counter(s.person for s in samples if s.person != layout.distractor_person)
        for part, samples in parts.items()
    }
    everyone = set().union(*people.values())
    if len(everyone) < 2:
        what = f"only {len(everyone)} person: training and scoring compare people."
        fix = "Add images of at least one other person."
        yield Finding("error", what, tuple(everyone), fix)
    train = people.get("train", Counter())
    yield from _found(
        "note",
        sorted(person for person, images in train.items() if images == 1),
        "# people in train have one image: they are never a positive pair.",
        "Add images of them, or leave it: they still serve as other people.",
        every=len(train),
    )
    tested = people.get("query", Counter()) | people.get("gallery", Counter())
    yield from _found(
        "error",
        sorted(set(train) & set(tested)),
        "# people are both in train and in query or gallery: scores on them say nothing about new "
        "people.",
        "Remove them from one side.",
    )


def camera_findings(parts: Mapping[str, Sequence[Sample]], layout: Layout) -> Iterator[Finding]:
    """Finds cameras that are not known, or too few for the cross-camera rule."""
    samples = [s for group in parts.values() for s in group]
    unknown = [s.path for s in samples if s.camera < 0]
    cameras = {s.camera for s in samples if s.camera >= 0}
    if not cameras:
        yield from _found(
            "warning",
            unknown,
            "no camera is known: scores cannot be cross-camera, only the query image itself is "
            "left out of its ranking.",
            "Give a pattern with the group camera, or a CSV file with a column camera.",
        )
        return
    yield from _found(
        "warning",
        unknown,
        "# images have no camera, because their names do not parse.",
        "Rename them like the others, or give a pattern with the group camera.",
        every=len(samples),
    )
    if len(cameras) == 1:
        yield Finding(
            "warning",
            f"all images are of camera {min(cameras)}: scores cannot be cross-camera, only the "
            "query image itself is left out of its ranking.",
            (),
            "Add images of another camera, or read the scores as those of one camera.",
        )
        return
    seen = defaultdict(set)
    for sample in samples:
        if sample.person != layout.distractor_person:
            seen[sample.person].add(sample.camera)
    yield from _found(
        "note",
        sorted(person for person, of_person in seen.items() if len(of_person) == 1),
        "# people are seen by one camera only: they teach nothing across cameras and are never a "
        "match.",
        "Add images of them from another camera, or leave it.",
        every=len(seen),
    )


def query_findings(parts: Mapping[str, Sequence[Sample]]) -> Iterator[Finding]:
    """Finds queries that have no match in the gallery, after the cross-camera rule."""
    queries, gallery = parts.get("query", ()), parts.get("gallery", ())
    if not queries or not gallery:
        return
    across = len({s.camera for s in (*queries, *gallery) if s.camera >= 0}) > 1
    matches = defaultdict(list)
    for sample in gallery:
        matches[sample.person].append(sample)
    # Where cameras are not known the rule cannot tell, so the entry counts as a match.
    unmatched = [
        query.path
        for query in queries
        if not any(
            entry.path != query.path and not (across and entry.camera == query.camera >= 0)
            for entry in matches[query.person]
        )
    ]
    yield from _found(
        "error" if len(unmatched) == len(queries) else "warning",
        unmatched,
        f"# queries have no match in the gallery{' under another camera' if across else ''}: they "
        "are not scored.",
        "Add images of these people from another camera to the gallery, or remove the queries.",
        every=len(queries),
    )


def image_findings(statistics: Mapping[str, ImageStatistics]) -> Iterator[Finding]:
    """Finds images that cannot be read, are tiny, or are not stored as RGB."""
    yield from _found(
        "error",
        [each.trouble for each in statistics.values() if each.trouble],
        "# images cannot be read.",
        "Copy them again or remove them, or leave them out by --on_corrupt skip.",
        every=len(statistics),
        shown=None,
    )
    height, width = SMALLEST_SIZE
    yield from _found(
        "warning",
        [
            f"{path} ({each.size[0]} x {each.size[1]})"
            for path, each in statistics.items()
            if not each.trouble and (each.size[0] < height or each.size[1] < width)
        ],
        f"# images are smaller than {height} x {width} (height x width).",
        "Remove them, or crop the people again from a larger picture.",
    )
    yield from _found(
        "note",
        [f"{path} ({s.mode})" for path, s in statistics.items() if s.mode not in ("", "RGB")],
        "# images are not stored as RGB: they are read as RGB.",
        "Nothing, unless grey images of one camera or person would be a clue.",
    )


def duplicate_findings(
    samples: Sequence[Sample], statistics: Mapping[str, ImageStatistics]
) -> Iterator[Finding]:
    """Finds the same image, or almost the same, under different people, and plain copies."""
    groups = defaultdict(list)
    for sample in samples:
        if not statistics[sample.path].trouble:
            groups[statistics[sample.path].content].append(sample)
    mixed: list[str] = []
    copies: list[str] = []
    for group in groups.values():
        # Copies of one image stand together in the examples.
        target = mixed if len({s.person for s in group}) > 1 else copies
        target.extend(f"{group[0].path} = {other.path}" for other in group[1:])
    yield from _found(
        "error",
        mixed,
        "# images are byte by byte the image of another person.",
        "Remove the copies under the wrong person.",
    )
    yield from _found(
        "note",
        copies,
        "# images are copies of another image"
        + (" of the same person." if samples[0].person else "."),
        "Remove the copies: they count twice.",
    )
    # Exact copies were named above: compare one of each content.
    step = max(-(-len(groups) // MOST_COMPARED), 1)
    compared = [group[0] for group in groups.values()][::step]
    hashes = np.array([statistics[s.path].perceptual for s in compared], np.uint64).reshape(-1, 2)
    # An image without any rise of brightness says nothing: flat pictures would all be alike.
    telling = np.flatnonzero(hashes.any(axis=1))
    people = np.unique([compared[row].person for row in telling], return_inverse=True)[1]
    near = near_pairs(hashes[telling], people)
    pairs = [tuple(compared[telling[row]].path for row in pair) for pair in near]
    yield from _found(
        "warning",
        [f"{one} ~ {other}" for one, other in pairs],
        f"{'at least ' if len(near) == MOST_PAIRS else ''}# pairs of images of different people "
        f"look almost the same{f' (one image in {step} was compared)' if step > 1 else ''}.",
        "Look at them: merge people who are one, remove images of the wrong person.",
    )


def folder_findings(
    folder: str | Path,
    layout: Layout,
    samples: Iterable[Sample],
    left_out: Mapping[str, Sequence[str]],
) -> Iterator[Finding]:
    """Finds folders without images, images that are left out, and folders that mix people."""
    if layout.name.endswith("-csv"):
        return
    yield from _found(
        "note",
        left_out.get(NO_PART, ()),
        f"# images lie {NO_PART}: they are left out.",
        "Give their folder by itself, or --pattern, if they belong to it.",
        shown=1,
    )
    empty: list[str] = []
    for part in sorted(set(layout.parts.values())) if layout.of_identities else ():
        filled = images_by_folder(part)
        hollow = [join(part, name) for name in folder_names(part) if not filled.get(name)]
        # `records make` puts its records into the dataset's folder unless told otherwise.
        empty += [
            each
            for each in hollow
            if not is_record_set(each) and not (as_path(each) / BUILDING).exists()
        ]
    home = as_path(folder)
    whole = {why: [join(home, name) for name in names] for why, names in left_out.items()}
    junk, distractors, dead, unread = (
        whole.pop(why, []) for why in (JUNK, DISTRACTORS, DEAD_LINKS, UNREAD)
    )
    whole.pop(NO_PART, None)
    yield from _found(
        "warning", empty, "# identity folders hold no image.", "Fill them or remove them."
    )
    yield from _found(
        "note", junk, "# junk images (-1) are left out, as the protocol says.", "Nothing."
    )
    yield from _found(
        "note",
        distractors,
        f"# distractors ({layout.distractor_person}) in train are left out: they are several "
        "people.",
        "Nothing.",
    )
    yield from _found(
        "warning",
        dead,
        "# links lead to no file: their images are not there.",
        "Copy the images to where the links lead, or remove the links.",
    )
    yield from _found(
        "warning",
        unread,
        "# pictures are of a kind that is not read.",
        "Save them as JPEG or PNG.",
    )
    yield from _found(
        "warning",
        sorted(path for paths in whole.values() for path in paths),
        "# images are left out: their names do not parse, or no list or identity folder has them.",
        "Rename them like the others, move them into identity folders, or give a pattern.",
    )
    yield from _found(
        "warning",
        [sample.path for sample in samples if "\\" in sample.path.rpartition("/")[2]],
        r"# names hold \, the folders of Windows: whoever unpacked them has not made the folders.",
        "Unpack them anew by a program that does: unzip or 7z.",
    )
    named = defaultdict(set)
    for sample in samples if layout.of_identities else ():
        if read := read_name(Path(sample.path).name):
            # `pathlib` would spoil an address.
            named[os.path.dirname(sample.path)].add(read.person)  # noqa: PTH120
    yield from _found(
        "warning",
        [f"{f} ({', '.join(sorted(names))})" for f, names in named.items() if len(names) > 1],
        "# identity folders hold images that are named after several people.",
        "Move the images to the folders of their people; the folder counts, not the name.",
    )
