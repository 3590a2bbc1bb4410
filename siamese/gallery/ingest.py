"""Images -> rows: reading, embedding and committing side by side, whole batches at a time.

A batch is what was read, and the embeddings of those images that are new: made in this process, or
by the actors of a Ray cluster.
"""

import os
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError, OnCorrupt
from siamese.gallery import sources
from siamese.gallery.contents import missing_files, one_of, read_digests
from siamese.gallery.results import Added
from siamese.gallery.sources import GalleryImage, ReadImage, read_gallery_images
from siamese.gallery.table import IMAGE_COLUMNS, NEW_ROWS, Space, Table, make_rows
from siamese.inference import Model
from siamese.inference.reading import Progress

COMMIT_IMAGES = 512
"""Images in a batch that is committed whole: what a power cut can cost."""

COMPACT_COMMITS = 500
ACTOR_IMAGES = 128

EmbeddedBatch: TypeAlias = tuple[list[ReadImage], NDArray[np.float32]]
"""What was read, without pixels, and the embeddings of those that had pixels, in order."""


def add_images(
    table: Table,
    model: Model,
    images: Sequence[GalleryImage],
    anonymous: bool,
    workers: int,
    on_corrupt: OnCorrupt,
    progress: Progress | None,
) -> Added:
    """Adds images to a gallery, see `Gallery.add`; the caller holds the right to write."""
    known = read_digests(table) if table.exists() else {}
    space = space_of(model)
    if workers:
        batches = embed_on_cluster(images, known, model, workers)
    else:
        reads = read_gallery_images(images, known=known)
        batches = _embed(_counted(reads, len(images), progress), model)
    counts: Counter[str] = Counter()
    refused: list[str] = []
    commits = 0
    for read, embeddings in batches:
        refused += [each.error for each in read if each.error]
        if refused and on_corrupt == "error":
            raise InputError(refused[0])
        fresh = [e for e in read if not e.error and e.digest != known.get(e.image.path)]
        replaced = [each.image.path for each in fresh if each.image.path in known]
        counts.update(read=len(read), added=len(fresh) - len(replaced), replaced=len(replaced))
        if fresh:
            columns = {name: [getattr(e.image, name) for e in fresh] for name in IMAGE_COLUMNS}
            if anonymous:
                columns["person"] = [None] * len(fresh)
            if replaced:
                # A name that was given to an image by hand outlives a change of its file.
                there = table.read(["path", "person"], one_of("path", replaced)).to_pylist()
                names = {row["path"]: row["person"] for row in there}
                both = zip(columns["path"], columns["person"], strict=True)
                columns["person"] = [names.get(path) or person for path, person in both]
            columns["digest"] = [each.digest for each in fresh]
            rows = make_rows(space, columns, embeddings)
            table.create(space)
            table.append(rows, replace=bool(replaced))
            commits += 1
            if commits % COMPACT_COMMITS == 0:
                table.clean()
        if workers and progress is not None:
            progress(counts["read"], len(images))
    if commits:
        table.clean()
    added, changed = counts["added"], counts["replaced"]
    unchanged = counts["read"] - added - changed - len(refused)
    return Added(added, changed, unchanged, tuple(refused))


def _counted(
    reads: Iterator[ReadImage], total: int, progress: Progress | None
) -> Iterator[ReadImage]:
    for done, read in enumerate(reads, start=1):
        yield read
        if progress is not None:
            progress(done, total)


def _embed(reads: Iterator[ReadImage], model: Model) -> Iterator[EmbeddedBatch]:
    """Embeds images as they are read; the threads that read are ahead meanwhile."""
    kept: list[ReadImage] = []

    def pixels() -> Iterator[NDArray[np.uint8]]:
        for each in islice(reads, COMMIT_IMAGES):
            kept.append(replace(each, pixels=None))  # so that pixels are soon freed
            if each.pixels is not None:
                yield each.pixels

    while True:
        embeddings = model.embed(pixels())
        if not kept:
            return
        yield kept, embeddings
        kept = []


def space_of(model: Model) -> Space:
    """Returns the space that a model embeds into."""
    file = str(model.path.absolute())
    return Space(model.fingerprint, model.dimensions, preprocessing=model.preprocessing, model=file)


def reembed(table: Table, model: Model, progress: Progress | None = None) -> int:
    """Embeds all images anew, see `Gallery.reembed`; the caller holds the right to write.

    The new rows are gathered in a table beside the old one, which stays in use until all are done.
    """
    space = space_of(model)
    if table.space().fingerprint == space.fingerprint:
        table.drop(NEW_ROWS)
        return 0
    rows = table.read([*IMAGE_COLUMNS, "digest"]).to_pylist()
    missing = missing_files(table)
    if missing:
        raise InputError(
            f"{table.uri}: {len(missing):,} image files have gone, the first is {missing[0]}. "
            "Copy them back, or erase them with `siamese gallery remove --missing`."
        )
    # The table says whose it is before it has a row.
    if table.exists(NEW_ROWS) and table.space(name=NEW_ROWS) != space:
        table.drop(NEW_ROWS)
    table.create(space, name=NEW_ROWS)
    done = set(table.read(["path"], name=NEW_ROWS)["path"].to_pylist())
    left = {row["path"]: row for row in rows if row["path"] not in done}
    count = len(rows) - len(left)
    reads = read_gallery_images([GalleryImage(path) for path in left])
    for read, embeddings in _embed(reads, model):
        errors = [each.error for each in read if each.error]
        if errors:
            raise InputError(" ".join(errors))
        chosen = [left[each.image.path] | {"digest": each.digest} for each in read]
        columns = {name: [row[name] for row in chosen] for name in (*IMAGE_COLUMNS, "digest")}
        table.append(make_rows(space, columns, embeddings), name=NEW_ROWS)
        count += len(read)
        if progress is not None:
            progress(count, len(rows))
    table.rewrite(source=NEW_ROWS)
    table.drop(NEW_ROWS)
    return len(left)


def embed_on_cluster(
    images: Sequence[GalleryImage], known: Mapping[str, str], model: Model, workers: int
) -> Iterator[EmbeddedBatch]:
    """Reads and embeds images on a Ray cluster: the one of `RAY_ADDRESS`, or a local one.

    Every machine must see the image files and the model file, which each of the workers opens, at
    the same absolute paths. Batches come from them in any order. Images whose digest is among those
    known are not embedded again.

    Raises:
        InputError: Ray is not installed, the number of workers is negative, or there are records.
    """
    if workers < 1:
        raise InputError(f"`workers` must be at least 0. Received: workers={workers}.")
    if any(sources.is_record(each.path) for each in images):
        raise InputError("workers go with image files. Received: a record set. Leave --workers out")
    from siamese.records.cluster import open_ray
    from siamese.telemetry import import_silent

    address = os.environ.get("RAY_ADDRESS")
    with open_ray(address):
        ray = import_silent("ray")
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [
            {"image": pickle.dumps(image), "known": known.get(image.path, "")} for image in images
        ]
        # On this computer the actors leave a processor to Ray's own tasks; shares have two digits.
        left = 100 * ((os.cpu_count() or 1) - 1)
        share = 1.0 if address else min(1.0, left // workers / 100)
        embedded = ray.data.from_items(
            rows, override_num_blocks=max(workers, len(rows) // (4 * ACTOR_IMAGES))
        ).map_batches(
            _Embedder,
            fn_constructor_args=[str(model.path.absolute()), model.preprocessing or {}],
            batch_size=ACTOR_IMAGES,
            concurrency=workers,
            num_cpus=share,
        )
        for batch in embedded.iter_batches(batch_size=COMMIT_IMAGES, batch_format="numpy"):
            embeddings = np.asarray(batch["embedding"][batch["fresh"]], np.float32)
            yield [pickle.loads(each) for each in batch["read"]], embeddings


class _Embedder:
    """An actor: opens the model once, then reads and embeds batch after batch."""

    def __init__(self, model: str, preprocessing: dict[str, Any]) -> None:
        from siamese.inference import load_model

        self._model = load_model(model, **preprocessing)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        images = [pickle.loads(each) for each in batch["image"]]
        digests = (str(each) for each in batch["known"])
        known = {image.path: digest for image, digest in zip(images, digests, strict=True)}
        read = list(read_gallery_images(images, known=known))
        fresh = np.array([each.pixels is not None for each in read])
        embeddings = np.zeros((len(read), self._model.dimensions), np.float32)
        embeddings[fresh] = self._model.embed([e.pixels for e in read if e.pixels is not None])
        done = [pickle.dumps(replace(each, pixels=None)) for each in read]
        return {"read": np.array(done, object), "fresh": fresh, "embedding": embeddings}
