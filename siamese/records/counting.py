"""Counts what a record set holds, for its manifest."""

from collections import Counter
from collections.abc import Mapping, Sequence

from siamese.datasets import Sample, SourceDataset
from siamese.records.manifest import Part, Source
from siamese.records.shards import WrittenShard


def number_people(parts: Mapping[str, Sequence[Sample]]) -> dict[str, int]:
    """Numbers the training people first, in sorted order: 0..C-1 is what training classifies.

    Unknown people have no number.
    """
    labels: dict[str, int] = {}
    for part in sorted(parts, key=lambda part: part != "train"):
        for person in sorted({sample.person for sample in parts[part]} - {""}):
            labels.setdefault(person, len(labels))
    return labels


def count_part(
    samples: Sequence[Sample], written: Sequence[WrittenShard], labels: Mapping[str, int]
) -> Part:
    """Counts one part: the samples that were written, its shards, and the label of each person."""
    images = Counter([sample.person for sample in samples])
    tracklets = {
        (sample.person, sample.camera, sample.tracklet)
        for sample in samples
        if sample.tracklet != -1
    }
    sizes = sum((Counter(each.image_sizes) for each in written), Counter[str]())
    commonest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:50]
    return Part(
        images=len(samples),
        people=len(set(images) - {""}),
        cameras=len({sample.camera for sample in samples} - {-1}),
        tracklets=len(tracklets),
        images_by_label=dict(sorted((labels[person], n) for person, n in images.items())),
        image_sizes=dict(commonest),
        shards=tuple(each.shard for each in written),
    )


def count_source(
    source: SourceDataset, parts: Mapping[str, Sequence[Sample]], labels: Mapping[str, int]
) -> Source:
    """Counts what one of several datasets gave of the samples that were written, by part."""
    paths = {sample.path for sample in source.samples}
    mine = {part: [s for s in samples if s.path in paths] for part, samples in parts.items()}
    people = {part: {s.person for s in samples} - {""} for part, samples in mine.items()}
    cameras = {s.camera for samples in mine.values() for s in samples} - {-1}
    numbers = {labels[person] for person in people["train"]}
    return Source(
        name=source.name,
        dataset=source.layout,
        cameras=(min(cameras), max(cameras)) if cameras else None,
        camera_offset=source.camera_offset,
        labels=(min(numbers), max(numbers)) if numbers else None,
        people={part: len(each) for part, each in people.items()},
        images={part: len(each) for part, each in mine.items()},
    )
