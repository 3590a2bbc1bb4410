"""The dataset doctor: what a folder is, what is wrong with it, and how to fix it.

inspection_report  what it reports
image_statistics  reads every image
findings    its rules
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import cast

from siamese.datasets import (
    UNLABELLED,
    Layout,
    PartName,
    Sample,
    list_samples,
    recognise,
)
from siamese.datasets.coverage import count_coverage, find_left_out
from siamese.errors import InputError
from siamese.filesystem import listed_once, reaching
from siamese.inspect.findings import (
    camera_findings,
    duplicate_findings,
    folder_findings,
    image_findings,
    people_findings,
    query_findings,
)
from siamese.inspect.image_statistics import measure_images
from siamese.inspect.inspection_report import SEVERITIES, Finding, PartSummary, Report

__all__ = ["Finding", "PartSummary", "Report", "inspect_folder"]


def inspect_folder(
    folder: str | Path,
    pattern: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Inspects a dataset: recognises it, reads every image, and says what to fix.

    Args:
        folder: What `siamese.datasets.recognise` takes.
        pattern: A regular expression for names of the user's own form.
        progress: Called with (images done, images in all), now and then and at the end.

    Returns:
        The report. `report.spoils` tells whether a finding would spoil a result.

    Raises:
        InputError: There is no such folder, no dataset was recognised, or it has no image.
        OSError: An address cannot be reached.
    """
    with reaching(folder), listed_once():
        layout = recognise(folder, pattern)
        parts: dict[str, list[Sample]] = {}
        findings: list[Finding] = []
        for part in layout.parts:
            # A dataset in one part may be a gallery: "train" would leave its distractors out.
            asked = cast(PartName, part) if len(layout.parts) > 1 else "all"
            try:
                parts[part] = list_samples(layout, asked, unlabelled=True)
            except InputError as error:
                fix = "See the end of the message."
                findings.append(Finding("error", str(error), (layout.parts[part],), fix))
        if not parts:
            raise InputError(findings[0].what)
        # Query tracklets of MARS are in the gallery too: look at each image once.
        samples = list({s.path: s for group in parts.values() for s in group}.values())
        statistics = measure_images([s.path for s in samples], progress)
        if layout.name != UNLABELLED:
            findings += people_findings(parts, layout)
            findings += query_findings(parts)
            findings += camera_findings(parts, layout)
        findings += image_findings(statistics)
        findings += duplicate_findings(samples, statistics)
        left_out = find_left_out(folder, layout, {sample.path for sample in samples})
        findings += folder_findings(folder, layout, samples, left_out)
        findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
        nobody = ("", layout.distractor_person)
        named = [s for s in samples if s.person not in nobody]
        readable = [s for s in named or samples if not statistics[s.path].trouble]
        damaged = [s.path for s in samples if statistics[s.path].trouble]
        return Report(
            folder=str(folder),
            layout=layout.name,
            notes=layout.notes,
            parts={part: _summarise(group, layout) for part, group in parts.items()},
            images_a_person=dict(sorted(Counter(s.person for s in named).items())),
            image_sizes=Counter(each.size for each in statistics.values() if not each.trouble),
            contact_sheet=_spread(readable, 24),
            findings=tuple(findings),
            coverage=count_coverage(len(samples), left_out).without(damaged),
            folders=dict(layout.parts),
        )


def _summarise(samples: Sequence[Sample], layout: Layout) -> PartSummary:
    unknown = sum(s.person == "" for s in samples)
    images = Counter(s.person for s in samples if s.person not in ("", layout.distractor_person))
    counts = list(images.values()) or [0]
    return PartSummary(
        people=len(images),
        cameras=len({s.camera for s in samples if s.camera >= 0}),
        tracklets=len({(s.person, s.camera, s.tracklet) for s in samples if s.tracklet >= 0}),
        images=len(samples),
        distractors=len(samples) - sum(images.values()) - unknown,
        fewest=min(counts),
        median=median(counts),
        most=max(counts),
    )


def _spread(samples: Sequence[Sample], count: int) -> tuple[str, ...]:
    """Chooses paths of people evenly spread over the sorted identities, more of each if few."""
    paths = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: (sample.person, sample.path)):
        paths[sample.person].append(sample.path)
    people = list(paths)
    chosen = people[:: max(1, len(people) // count)][:count]
    # Turn by turn: everyone's first image, then everyone's second.
    turns = max((len(paths[person]) for person in chosen), default=0)
    in_turn = [paths[p][turn] for turn in range(turns) for p in chosen if turn < len(paths[p])]
    return tuple(in_turn[:count])
