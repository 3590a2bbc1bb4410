"""The rules of the dataset doctor: each looks at samples and says what it found."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from siamese.datasets import Layout, Sample
from siamese.datasets.samples import (
    JUNK_PERSONS,
    folder_names,
    images_by_folder,
    printable,
    read_name,
    walk_dead_links,
    walk_images,
)
from siamese.filesystem import as_path, join
from siamese.inspect.image_statistics import MOST_COMPARED, MOST_PAIRS, ImageStatistics, near_pairs
from siamese.inspect.inspection_report import Finding
from siamese.records.reader import is_record_set
from siamese.records.shards import BUILDING

SMALLEST_SIZE = (32, 16)
"""Height and width below which an image shows too little of a person: a quarter of 128 x 64."""

_EXAMPLES = 5


def people_findings(parts: Mapping[str, Sequence[Sample]], layout: Layout) -> list[Finding]:
    """Too few people, people of one image, and people on both sides of the official split."""
    findings = []
    people = {
        part: Counter(s.person for s in samples if s.person != layout.distractor_person)
        for part, samples in parts.items()
    }
    everyone = set().union(*people.values())
    if len(everyone) < 2:
        findings.append(
            Finding(
                "error",
                f"only {len(everyone)} person: training and scoring compare people.",
                tuple(everyone),
                "Add images of at least one other person.",
            )
        )
    singles = sorted(p for p, images in people.get("train", Counter()).items() if images == 1)
    if singles:
        findings.append(
            Finding(
                "note",
                f"{len(singles):,} of {len(people['train']):,} people in train have one image: "
                "they are never a positive pair.",
                _few(singles),
                "Add images of them, or leave it: they still serve as other people.",
            )
        )
    tested = people.get("query", Counter()) | people.get("gallery", Counter())
    both = sorted(set(people.get("train", ())) & set(tested))
    if both:
        findings.append(
            Finding(
                "error",
                f"{len(both):,} people are both in train and in query or gallery: scores on them "
                "say nothing about new people.",
                _few(both),
                "Remove them from one side.",
            )
        )
    return findings


def camera_findings(parts: Mapping[str, Sequence[Sample]], layout: Layout) -> list[Finding]:
    """Cameras that are not known, or too few for the cross-camera rule."""
    samples = [s for group in parts.values() for s in group]
    unknown = [s.path for s in samples if s.camera < 0]
    cameras = {s.camera for s in samples if s.camera >= 0}
    if not cameras:
        return [
            Finding(
                "warning",
                "no camera is known: scores cannot be cross-camera, only the query image itself "
                "is left out of its ranking.",
                _few(unknown),
                "Give a pattern with the group camera, or a CSV file with a column camera.",
            )
        ]
    findings = []
    if unknown:
        findings.append(
            Finding(
                "warning",
                f"{len(unknown):,} of {len(samples):,} images have no camera, because their names "
                "do not parse.",
                _few(unknown),
                "Rename them like the others, or give a pattern with the group camera.",
            )
        )
    if len(cameras) == 1:
        findings.append(
            Finding(
                "warning",
                f"all images are of camera {min(cameras)}: scores cannot be cross-camera, only "
                "the query image itself is left out of its ranking.",
                (),
                "Add images of another camera, or read the scores as those of one camera.",
            )
        )
        return findings
    seen = defaultdict(set)
    for sample in samples:
        if sample.person != layout.distractor_person:
            seen[sample.person].add(sample.camera)
    lonely = sorted(p for p, of_person in seen.items() if len(of_person) == 1)
    if lonely:
        findings.append(
            Finding(
                "note",
                f"{len(lonely):,} of {len(seen):,} people are seen by one camera only: they teach "
                "nothing across cameras and are never a match.",
                _few(lonely),
                "Add images of them from another camera, or leave it.",
            )
        )
    return findings


def query_findings(parts: Mapping[str, Sequence[Sample]]) -> list[Finding]:
    """Queries that have no match in the gallery, after the cross-camera rule."""
    queries, gallery = parts.get("query", ()), parts.get("gallery", ())
    if not queries or not gallery:
        return []
    across = len({s.camera for s in (*queries, *gallery) if s.camera >= 0}) > 1
    matches = defaultdict(list)
    for sample in gallery:
        matches[sample.person].append(sample)
    # Where cameras are not known the rule cannot tell, so the entry counts as a match.
    unmatched = [
        query
        for query in queries
        if not any(
            entry.path != query.path and not (across and entry.camera == query.camera >= 0)
            for entry in matches[query.person]
        )
    ]
    if not unmatched:
        return []
    return [
        Finding(
            "error" if len(unmatched) == len(queries) else "warning",
            f"{len(unmatched):,} of {len(queries):,} queries have no match in the gallery"
            f"{' under another camera' if across else ''}: they are not scored.",
            _few(s.path for s in unmatched),
            "Add images of these people from another camera to the gallery, or remove the queries.",
        )
    ]


def image_findings(statistics: Mapping[str, ImageStatistics]) -> list[Finding]:
    """Images that cannot be read, are tiny, or are not stored as RGB."""
    findings = []
    broken = [each.trouble for each in statistics.values() if each.trouble]
    if broken:
        findings.append(
            Finding(
                "error",
                f"{len(broken):,} of {len(statistics):,} images cannot be read.",
                _few(broken),
                "Copy them again or remove them.",
            )
        )
    height, width = SMALLEST_SIZE
    tiny = [
        f"{path} ({each.size[0]} x {each.size[1]})"
        for path, each in statistics.items()
        if not each.trouble and (each.size[0] < height or each.size[1] < width)
    ]
    if tiny:
        findings.append(
            Finding(
                "warning",
                f"{len(tiny):,} images are smaller than {height} x {width} (height x width).",
                _few(tiny),
                "Remove them, or crop the people again from a larger picture.",
            )
        )
    other = [
        f"{path} ({each.mode})" for path, each in statistics.items() if each.mode not in ("", "RGB")
    ]
    if other:
        findings.append(
            Finding(
                "note",
                f"{len(other):,} images are not stored as RGB: they are read as RGB.",
                _few(other),
                "Nothing, unless grey images of one camera or person would be a clue.",
            )
        )
    return findings


def duplicate_findings(
    samples: Sequence[Sample], statistics: Mapping[str, ImageStatistics]
) -> list[Finding]:
    """The same image, or almost the same, under different people, and plain copies."""
    readable = [s for s in samples if not statistics[s.path].trouble]
    groups = defaultdict(list)
    for sample in readable:
        groups[statistics[sample.path].content].append(sample)
    mixed: list[str] = []
    copies: list[str] = []
    for group in groups.values():
        # Copies of one image stand together in the examples.
        target = mixed if len({s.person for s in group}) > 1 else copies
        target.extend(f"{group[0].path} = {other.path}" for other in group[1:])
    findings = []
    if mixed:
        findings.append(
            Finding(
                "error",
                f"{len(mixed):,} images are byte by byte the image of another person.",
                _few(mixed),
                "Remove the copies under the wrong person.",
            )
        )
    if copies:
        findings.append(
            Finding(
                "note",
                f"{len(copies):,} images are copies of another image"
                + (" of the same person." if samples[0].person else "."),
                _few(copies),
                "Remove the copies: they count twice.",
            )
        )
    # Exact copies were named above: compare one of each content.
    compared = [group[0] for group in groups.values()]
    step = -(-len(compared) // MOST_COMPARED)
    compared = compared[:: max(step, 1)]
    if not compared:
        return findings
    hashes = np.array([statistics[s.path].perceptual for s in compared], dtype=np.uint64)
    # An image without any rise of brightness says nothing: flat pictures would all be alike.
    telling = np.flatnonzero(hashes.any(axis=1))
    hashes, compared = hashes[telling], [compared[row] for row in telling]
    people = np.unique([s.person for s in compared], return_inverse=True)[1]
    near = near_pairs(hashes, people)
    if near:
        limited = f" (one image in {step} was compared)" if step > 1 else ""
        count = f"{'at least ' if len(near) == MOST_PAIRS else ''}{len(near):,}"
        findings.append(
            Finding(
                "warning",
                f"{count} pairs of images of different people look almost the same{limited}.",
                _few(f"{compared[a].path} ~ {compared[b].path}" for a, b in near),
                "Look at them: merge people who are one, remove images of the wrong person.",
            )
        )
    return findings


def folder_findings(layout: Layout, samples: Iterable[Sample]) -> list[Finding]:
    """Folders without images, images that are left out, and folders that mix people."""
    if layout.name.endswith("-csv"):
        return []
    findings = []
    of_identities = layout.name in ("folders", "mars-categories")
    used = {s.path for s in samples}
    empty: list[str] = []
    junk: list[str] = []
    distractors: list[str] = []
    left_out: list[str] = []
    dead: list[str] = []
    for folder in sorted(set(layout.parts.values())):
        if of_identities:
            filled = images_by_folder(folder)
            hollow = [join(folder, name) for name in folder_names(folder) if not filled.get(name)]
            # `records make` puts its records into the dataset's folder unless told otherwise.
            empty += [
                each
                for each in hollow
                if not is_record_set(each) and not (as_path(each) / BUILDING).exists()
            ]
        dead += [join(folder, name) for name in walk_dead_links(folder)]
        for name in walk_images(folder):
            path = join(folder, name)
            if path not in used:
                read = read_name(name.rsplit("/", 1)[-1])
                person = read.person if read else None
                if person in JUNK_PERSONS:
                    junk.append(path)
                elif person is not None and person == layout.distractor_person:
                    distractors.append(path)
                else:
                    left_out.append(path)
    if empty:
        findings.append(
            Finding(
                "warning",
                f"{len(empty):,} identity folders hold no image.",
                _few(empty),
                "Fill them or remove them.",
            )
        )
    if junk:
        findings.append(
            Finding(
                "note",
                f"{len(junk):,} junk images (-1) are left out, as the protocol says.",
                _few(junk),
                "Nothing.",
            )
        )
    if distractors:
        findings.append(
            Finding(
                "note",
                f"{len(distractors):,} distractors ({layout.distractor_person}) in train are left "
                "out: they are several people.",
                _few(distractors),
                "Nothing.",
            )
        )
    if dead:
        findings.append(
            Finding(
                "warning",
                f"{len(dead):,} links lead to no file: their images are not there.",
                _few(dead),
                "Copy the images to where the links lead, or remove the links.",
            )
        )
    if left_out:
        findings.append(
            Finding(
                "warning",
                f"{len(left_out):,} images are left out: their names do not parse, or no list "
                "or identity folder has them.",
                _few(left_out),
                "Rename them like the others, move them into identity folders, or give a pattern.",
            )
        )
    if of_identities:
        findings += _mixed_folders(samples)
    return findings


def _mixed_folders(samples: Iterable[Sample]) -> list[Finding]:
    named = defaultdict(set)
    for sample in samples:
        if read := read_name(Path(sample.path).name):
            home = os.path.dirname(sample.path)  # noqa: PTH120 - `pathlib` would spoil an address
            named[home].add(read.person)
    mixed = [f"{f} ({', '.join(sorted(names))})" for f, names in named.items() if len(names) > 1]
    if not mixed:
        return []
    return [
        Finding(
            "warning",
            f"{len(mixed):,} identity folders hold images that are named after several people.",
            _few(mixed),
            "Move the images to the folders of their people; the folder counts, not the name.",
        )
    ]


def _few(examples: Iterable[str]) -> tuple[str, ...]:
    return tuple(printable(example) for example, _ in zip(examples, range(_EXAMPLES), strict=False))
