"""A dataset folder, a CSV file or a record set -> embedded images, queries and gallery."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import PartName, Sample, list_samples, recognise
from siamese.datasets.splits import choose_people
from siamese.errors import InputError
from siamese.evaluate.embedded import (
    EmbeddedImages,
    Progress,
    Tracklets,
    check_finite,
    embed_files,
    embed_record_set,
    embed_tracklets,
    pool_images,
)
from siamese.images import read_image
from siamese.inference import Model
from siamese.metrics.blocks import Indices
from siamese.metrics.masks import JUNK, query_rows
from siamese.metrics.tracklets import TrackletPooling

Image = NDArray[np.uint8]
_SEARCH: tuple[PartName, PartName] = ("query", "gallery")


@dataclass(frozen=True)
class QueryGallery:
    """Who is scored: embedded images (or tracklets), who of them asks and where is searched.

    Attributes:
        images: All of them, each once: the pairs that verification counts.
        query: Rows of `images` that are looked for.
        gallery: Rows of `images` that are searched, without junk; queries may be among them.
        dataset: The layout: "market1501", "mars", "records", ...
        source: Where queries and gallery come from, in words.
        notes: What a reader of the scores must know.
        pooling: How frames became tracklets; None for single images.
        frames: `(images,)`, frames in each tracklet; None for single images.
        junk: How many images were junk and left out.
        sources: The datasets that the people are from, where there are several.
        read_pictures: Gives the pictures of some rows.
    """

    images: EmbeddedImages
    query: Indices
    gallery: Indices
    dataset: str
    source: str
    notes: tuple[str, ...]
    pooling: TrackletPooling | None
    frames: Indices | None
    junk: int
    sources: tuple[str, ...]
    read_pictures: Callable[[Sequence[int]], Mapping[int, Image]]

    def digest(self) -> str:
        """Sixteen hexadecimal digits of who asks and where is searched, in order.

        Two reports with equal digests are of the same people in the same images, wherever the
        folder lay.
        """
        digest = blake2b(digest_size=8)
        for rows in (self.query, self.gallery):
            for row in rows.tolist():
                facts = self.images.names[row], self.images.people[row], self.images.cameras[row]
                digest.update("\0".join(str(each) for each in facts).encode() + b"\n")
            digest.update(b"\f")
        return digest.hexdigest()


def embed_query_gallery(
    model: Model,
    data: str | Path,
    *,
    flip: bool = False,
    pooling: TrackletPooling | None = None,
    most_frames: int | None = None,
    people: str | None = None,
    pattern: str | None = None,
    progress: Progress | None = None,
) -> QueryGallery:
    """Finds out what a folder holds and embeds it.

    A folder with a query and a gallery part is scored by these. Of a record set, and of a folder
    that has one in its folder `records`, the validation part is scored; of any other folder of
    people, all images: the first image of each person and camera asks, all images are searched.

    Args:
        model: What embeds.
        data: A dataset folder, a CSV file of identities, or the folder of a record set.
        flip: Average each embedding with that of the mirrored image.
        pooling: Scores tracklets instead of images; official MARS is always scored so, by "mean"
            unless said otherwise.
        most_frames: Of a longer tracklet so many frames are used, evenly spaced; None: all.
        people: A slice of the people of a folder, sorted by number; records in it are not taken.
        pattern: How the names in a folder are read; likewise.
        progress: Called with the images done and all images.

    Returns:
        Who is scored.

    Raises:
        InputError: The data cannot be used.
    """
    data = Path(data)
    if people is not None or pattern is not None:
        refuse_records(data)
    elif (records := _records_of(data)) is not None:
        return _embed_validation(model, records, flip, pooling, most_frames, progress)
    layout = recognise(data, pattern)
    if layout.name == "mars":
        pooling = pooling or "mean"
    listed: dict[str, list[Sample]]
    if {"query", "gallery"} & set(layout.parts):
        listed = {part: list_samples(data, part, pattern) for part in _SEARCH}
        source, notes = "query and gallery folders", layout.notes
    else:
        listed = {"train": list_samples(data, "all", pattern)}
        source = "all images of a folder without queries: the first of each person and camera asks"
        notes = (*layout.notes, "Nothing says that the model was not trained on these people.")
    if people is not None:
        everybody = [sample for part in listed.values() for sample in part]
        chosen = {s.path for s in choose_people(everybody, people, layout.distractors)}
        listed = {part: [s for s in found if s.path in chosen] for part, found in listed.items()}
        source += f"; people {people} by number"
    roots = {part: Path(layout.parts[part]) for part in listed}
    if pooling is not None:
        images, tracklets, query, gallery, shown = _embed_tracklet_parts(
            model, listed, layout.distractors, pooling, most_frames, flip, progress
        )
    else:
        tracklets = None
        samples = [sample for part in listed for sample in listed[part]]
        names = [_name(sample, roots[part], data) for part in listed for sample in listed[part]]
        _refuse_duplicates(data, {part: len(found) for part, found in listed.items()}, names)
        images = embed_files(model, samples, names, flip=flip, progress=progress)
        images = replace(images, distractors=layout.distractors)
        shown = [sample.path for sample in samples]
        query, gallery = _query_and_gallery(images, listed)
    gallery, junk = _without_junk(images, gallery)
    return QueryGallery(
        images=images,
        query=query,
        gallery=gallery,
        dataset=layout.name,
        source=source,
        notes=notes,
        pooling=pooling,
        frames=None if tracklets is None else tracklets.frames,
        junk=junk,
        sources=(),
        read_pictures=lambda rows: {row: read_image(shown[row]) for row in rows},
    )


def refuse_records(data: str | Path) -> None:
    """Refuses a record set where a folder of images is needed.

    Raises:
        InputError: It is one.
    """
    from siamese.records import is_record_set

    if is_record_set(data):
        raise InputError(
            f"{data}: holds records. Expected the dataset folder itself: this protocol, --people "
            "and --pattern are of images in folders."
        )


def _records_of(data: Path) -> Path | None:
    """The record set that is to be scored, unless the folder has a query part of its own."""
    from siamese.records import is_record_set, read_manifest

    if is_record_set(data):
        return data
    inside = data / "records"
    if is_record_set(inside):
        layout = recognise(data, read_manifest(inside).pattern)
        return None if "query" in layout.parts else inside
    return None


def _embed_validation(
    model: Model,
    records: Path,
    flip: bool,
    pooling: TrackletPooling | None,
    most_frames: int | None,
    progress: Progress | None,
) -> QueryGallery:
    from siamese.records import read_manifest

    images, numbers = embed_record_set(
        lambda batch: model.embed(batch, flip=flip),
        records,
        "validation",
        model.image_size,
        progress=progress,
    )
    check_finite(images.embeddings, images.names.tolist(), model)
    tracklets: Tracklets | None = None
    if pooling is not None:
        images, tracklets = pool_images(images, numbers, pooling=pooling, most_frames=most_frames)
    manifest = read_manifest(records)
    split = manifest.split
    notes: tuple[str, ...] = ()
    if split.get("by") != "identity":
        notes = (f"The split is by {split.get('by')}: training saw these people too.",)
    # Distractors never come into records: "0000" is a person like others here.
    query = query_rows(images.people, images.cameras, distractors=images.distractors)
    gallery, junk = _without_junk(images, np.arange(len(images.names)))
    shown = np.arange(len(images.names)) if tracklets is None else tracklets.shown

    def read_pictures(rows: Sequence[int]) -> Mapping[int, Image]:
        wanted = {int(shown[row]): row for row in rows}
        found = _read_record_pictures(records, set(wanted), model.image_size)
        return {wanted[place]: picture for place, picture in found.items()}

    return QueryGallery(
        images=images,
        query=query,
        gallery=gallery,
        dataset="records",
        source="validation part of a record set: the first of each person and camera asks",
        notes=notes,
        pooling=pooling,
        frames=None if tracklets is None else tracklets.frames,
        junk=junk,
        sources=manifest.held_out_sources,
        read_pictures=read_pictures,
    )


def _read_record_pictures(
    records: Path, rows: set[int], image_size: tuple[int, int]
) -> dict[int, Image]:
    """The images of some rows of the validation part; one more pass over the shards."""
    from siamese.loader.from_records import batch_image_size, evaluation_batches
    from siamese.records import read_manifest, shard_paths

    manifest = read_manifest(records)
    shards = shard_paths(records, manifest, "validation")
    size = batch_image_size(manifest.parts["validation"], image_size)
    pictures: dict[int, Image] = {}
    first = 0
    for batch in evaluation_batches(shards, image_size=size):
        for row in rows & set(range(first, first + len(batch.images))):
            pictures[row] = batch.images[row - first]
        first += len(batch.images)
    return pictures


def _embed_tracklet_parts(
    model: Model,
    listed: Mapping[str, Sequence[Sample]],
    distractors: tuple[str, ...],
    pooling: TrackletPooling,
    most_frames: int | None,
    flip: bool,
    progress: Progress | None,
) -> tuple[EmbeddedImages, Tracklets, Indices, Indices, list[str]]:
    """Tracklets of all parts, each once, with the rows of queries and gallery."""
    samples = list({each.path: each for part in listed.values() for each in part}.values())
    images, tracklets = embed_tracklets(
        model,
        samples,
        pooling=pooling,
        most_frames=most_frames,
        flip=flip,
        progress=progress,
    )
    images = replace(images, distractors=distractors)
    shown = [samples[row].path for row in tracklets.shown.tolist()]
    if "query" not in listed:
        query, gallery = _query_and_gallery(images, listed)
        return images, tracklets, query, gallery, shown
    keys = [f"{s.person} C{s.camera} T{s.tracklet}" for s in listed["query"]]
    others = [f"{s.person} C{s.camera} T{s.tracklet}" for s in listed["gallery"]]
    query = np.flatnonzero(np.isin(images.names, keys))
    gallery = np.flatnonzero(np.isin(images.names, others))
    return images, tracklets, query, gallery, shown


def _query_and_gallery(
    images: EmbeddedImages, listed: Mapping[str, Sequence[Sample]]
) -> tuple[Indices, Indices]:
    everything = np.arange(len(images.names))
    if "query" in listed:
        return np.split(everything, [len(listed["query"])])[0], everything[len(listed["query"]) :]
    return query_rows(images.people, images.cameras, distractors=images.distractors), everything


def _without_junk(images: EmbeddedImages, gallery: Indices) -> tuple[Indices, int]:
    junk = np.isin(images.people[gallery], JUNK)
    return gallery[~junk], int(junk.sum())


def _name(sample: Sample, root: Path, data: Path) -> str:
    """The path inside the part's folder: one image that lies in two parts has one name."""
    path = Path(sample.path)
    for folder in (root, data if data.is_dir() else data.parent):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.as_posix()


def _refuse_duplicates(data: Path, counts: Mapping[str, int], names: Sequence[str]) -> None:
    first = 0
    for part, count in counts.items():
        name, times = Counter(names[first : first + count]).most_common(1)[0]
        first += count
        if times > 1:
            raise InputError(
                f"{data}: the {part} names the image {name} {times} times. Each may stand there "
                "once: remove the other lines or files."
            )


def describe_frames(query_gallery: QueryGallery) -> dict[str, Any] | None:
    """What is to be said of tracklets in a score report; None for single images."""
    if query_gallery.frames is None:
        return None
    return {
        "pooling": query_gallery.pooling,
        "frames": {
            "least": int(query_gallery.frames.min()),
            "median": float(np.median(query_gallery.frames)),
            "most": int(query_gallery.frames.max()),
            "total": int(query_gallery.frames.sum()),
        },
    }
