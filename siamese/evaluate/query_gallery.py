"""A dataset folder, a CSV file or a record set -> embedded images, queries and gallery."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import PartName, Sample, list_samples, measure_coverage, recognise
from siamese.datasets.coverage import drop_damaged
from siamese.datasets.splits import choose_people
from siamese.errors import InputError, OnCorrupt
from siamese.evaluate.embedded import (
    check_finite,
    embed_records,
    embed_tracklets,
    name_tracklet,
    read_record_pictures,
)
from siamese.evaluate.score_report import FrameCounts, PooledFrames
from siamese.images import naming_all_damaged, read_image
from siamese.inference import Model
from siamese.inference.reading import Progress
from siamese.metrics.blocks import Indices
from siamese.metrics.masks import JUNK
from siamese.metrics.tracklets import TrackletPooling
from siamese.plots import Image
from siamese.vectors import Embeddings

_SEARCH: tuple[PartName, PartName] = ("query", "gallery")


@dataclass(frozen=True)
class QueryGallery:
    """Embedded images (or tracklets), those that are looked for and those that are searched.

    Attributes:
        images: All of them, each once: the pairs that verification counts.
        query: Rows of `images` that are looked for.
        gallery: Rows of `images` that are searched, without junk; queries may be among them.
        read_pictures: Gives the pictures of some rows.
        dataset: The layout: "market1501", "mars", "records", ...
        source: The origin of queries and gallery, in words.
        notes: What a reader of the scores must know.
        pooled: How frames became tracklets; None for single images.
        junk: Number of images that were junk and left out.
        sources: The datasets that the people are from, where there are several.
    """

    images: Embeddings
    query: Indices
    gallery: Indices
    read_pictures: Callable[[Sequence[int]], Mapping[int, Image]]
    dataset: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    pooled: PooledFrames | None = None
    junk: int = 0
    sources: tuple[str, ...] = ()

    def digest(self) -> str:
        """Gives sixteen hexadecimal digits of all queries and gallery images, in order.

        Two reports with equal digests are of the same people in the same images, wherever the
        folder lay.
        """
        digest = blake2b(digest_size=8)
        for rows in (self.query, self.gallery):
            for row in rows.tolist():
                facts = self.images.images[row], self.images.people[row], self.images.cameras[row]
                digest.update("\0".join(str(each) for each in facts).encode() + b"\n")
            digest.update(b"\f")
        return digest.hexdigest()


@dataclass(frozen=True)
class _Listing:
    """Images that are not embedded yet, or not pooled; `parts` are rows of query and gallery.

    `embed` is as `embed_tracklets` takes it, the rest as in `QueryGallery`.
    """

    samples: Sequence[Sample]
    names: Sequence[str]
    parts: tuple[Indices, Indices] | None
    embed: Callable[[list[int], int, int], NDArray[np.float32]]
    read: Callable[[Sequence[int]], Mapping[int, Image]]
    dataset: str
    source: str
    notes: tuple[str, ...]
    distractors: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def embed_query_gallery(
    model: Model,
    data: str | Path,
    *,
    flip: bool = False,
    pooling: TrackletPooling | None = None,
    most_frames: int | None = None,
    people: str | None = None,
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    progress: Progress | None = None,
) -> QueryGallery:
    """Finds out what a folder holds and embeds it; arguments are those of `evaluate`.

    `most_frames` is `frames` there; official MARS is pooled by "mean" unless said otherwise.

    Raises:
        InputError: The data cannot be used.
    """
    data = Path(data)
    if people is not None or pattern is not None:
        refuse_records(data)
    elif (records := _records_of(data)) is not None:
        return _join(_list_records(model, records, flip, progress), pooling, most_frames)
    listing = _list_folder(
        model, data, flip, people, pattern, progress, pooling is None, on_corrupt
    )
    if listing.dataset == "mars":
        pooling = pooling or "mean"
    return _join(listing, pooling, most_frames)


def refuse_records(data: str | Path) -> None:
    """Raises an `InputError` for a record set where a folder of images is needed."""
    from siamese.records import is_record_set

    if is_record_set(data):
        raise InputError(
            f"{data}: holds records. Expected the dataset folder itself: this protocol, --people "
            "and --pattern are of images in folders."
        )


def _join(
    listing: _Listing, pooling: TrackletPooling | None, most_frames: int | None
) -> QueryGallery:
    """Embeds what is listed, pools it where asked for, and finds queries and gallery."""
    everything = list(range(len(listing.samples)))
    shown = np.array(everything)
    pooled, parts = None, listing.parts
    if pooling is None:
        embeddings = listing.embed(everything, 0, len(everything))
        images = Embeddings.of_samples(embeddings, listing.samples, images=np.array(listing.names))
    else:
        images, members = embed_tracklets(
            listing.embed, listing.samples, pooling=pooling, most_frames=most_frames
        )
        frames = np.array([len(rows) for rows in members])
        counts = FrameCounts(
            least=int(frames.min()),
            median=float(np.median(frames)),
            most=int(frames.max()),
            total=int(frames.sum()),
        )
        pooled = PooledFrames(pooling=pooling, frames=counts, most_frames=most_frames)
        shown = np.array([rows[len(rows) // 2] for rows in members])  # the middle one
        if parts is not None:
            named = ([name_tracklet(listing.samples[row]) for row in rows] for rows in parts)
            query, gallery = (np.flatnonzero(np.isin(images.images, names)) for names in named)
            parts = query, gallery
    images = replace(images, distractors=listing.distractors)
    if parts is None:
        parts = images.first_rows(), np.arange(len(images))
    junk = np.isin(images.people[parts[1]], JUNK)

    def read_pictures(rows: Sequence[int]) -> Mapping[int, Image]:
        pictures = listing.read(sorted({int(shown[row]) for row in rows}))
        return {row: pictures[int(shown[row])] for row in rows}

    return QueryGallery(
        images=images,
        query=parts[0],
        gallery=parts[1][~junk],
        dataset=listing.dataset,
        source=listing.source,
        notes=listing.notes,
        pooled=pooled,
        junk=int(junk.sum()),
        sources=listing.sources,
        read_pictures=read_pictures,
    )


def _list_folder(
    model: Model,
    data: Path,
    flip: bool,
    people: str | None,
    pattern: str | None,
    progress: Progress | None,
    single: bool,
    on_corrupt: OnCorrupt,
) -> _Listing:
    layout = recognise(data, pattern)
    listed: dict[str, list[Sample]]
    if {"query", "gallery"} & set(layout.parts):
        listed = {part: list_samples(layout, part) for part in _SEARCH}
        source, notes = "query and gallery folders", layout.notes
    else:
        listed = {"train": list_samples(layout, "all")}
        source = "all images of a folder without queries: the first of each person and camera asks"
        notes = (*layout.notes, "Nothing says that the model was not trained on these people.")
    named = {sample.path: sample for found in listed.values() for sample in found}
    kept = {sample.path for sample in drop_damaged(list(named.values()), on_corrupt)}
    notes = (*notes, *measure_coverage(data, layout, kept, sorted(set(named) - kept)).notes)
    listed = {part: [s for s in found if s.path in kept] for part, found in listed.items()}
    if people is not None:
        everybody = [sample for part in listed.values() for sample in part]
        chosen = {s.path for s in choose_people(everybody, people, layout.distractors)}
        listed = {part: [s for s in found if s.path in chosen] for part, found in listed.items()}
        source += f"; people {people} by number"
    by_path: dict[str, tuple[Sample, str]] = {}
    for part, found in listed.items():
        names = [_name(sample, Path(layout.parts[part]), data) for sample in found]
        if single and layout.name != "mars":
            _refuse_duplicates(data, part, names)
        for sample, name in zip(found, names, strict=True):
            by_path.setdefault(sample.path, (sample, name))
    samples, paths = [sample for sample, _ in by_path.values()], list(by_path)
    row_of = {path: row for row, path in enumerate(paths)}
    parts = None
    if "query" in listed:
        query, gallery = (np.array([row_of[s.path] for s in listed[part]]) for part in _SEARCH)
        parts = query, gallery

    def embed(rows: list[int], done: int, total: int) -> NDArray[np.float32]:
        chosen = [paths[row] for row in rows]

        def count(images: int, _: int) -> None:
            if progress is not None:
                progress(done + images, total)

        with naming_all_damaged(paths):
            found = model.embed(chosen, flip=flip, progress=count)
        return check_finite(found, chosen, model)

    return _Listing(
        samples=samples,
        names=[name for _, name in by_path.values()],
        parts=parts,
        embed=embed,
        read=lambda rows: {row: read_image(paths[row]) for row in rows},
        dataset=layout.name,
        source=source,
        notes=notes,
        distractors=layout.distractors,
    )


def _records_of(data: Path) -> Path | None:
    """Finds the record set that is to be scored, unless the folder has a query part of its own."""
    from siamese.records import default_folder, is_record_set, read_manifest

    if is_record_set(data):
        return data
    inside = default_folder(data) if data.is_dir() else data / "records"
    if is_record_set(inside):
        layout = recognise(data, read_manifest(inside).reading)
        return None if "query" in layout.parts else inside
    return None


def _list_records(model: Model, records: Path, flip: bool, progress: Progress | None) -> _Listing:
    """Embeds the validation part at once: records are read in one pass."""
    from siamese.records import read_manifest

    images = embed_records(
        lambda batch: model.embed(batch, flip=flip),
        records,
        "validation",
        model.image_size,
        progress=progress,
    )
    names = images.images.tolist()
    check_finite(images.embeddings, names, model)
    assert images.tracklets is not None
    known = images.people, images.cameras, images.tracklets
    columns = names, *(each.tolist() for each in known)
    manifest = read_manifest(records)
    by = manifest.split.get("by")
    notes = () if by == "identity" else (f"The split is by {by}: training saw these people too.",)
    # Distractors never come into records: "0000" is a person like others here.
    return _Listing(
        samples=list(map(Sample, *columns)),
        names=names,
        parts=None,
        embed=lambda rows, *_: images.embeddings[rows],
        read=lambda rows: read_record_pictures(records, set(rows), model.image_size),
        dataset="records",
        source="validation part of a record set: the first of each person and camera asks",
        notes=notes,
        sources=manifest.held_out_sources,
    )


def _name(sample: Sample, root: Path, data: Path) -> str:
    """Gives the path inside the part's folder: one image that lies in two parts has one name."""
    path = Path(sample.path)
    for folder in (root, data if data.is_dir() else data.parent):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.as_posix()


def _refuse_duplicates(data: Path, part: str, names: Sequence[str]) -> None:
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{data}: the {part} names the image {name} {times} times. Each may stand there once: "
            "remove the other lines or files."
        )
