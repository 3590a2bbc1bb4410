"""Images of people -> embeddings with who is on them; frames -> tracklets."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import Sample
from siamese.errors import InputError
from siamese.images import naming_all_damaged
from siamese.inference import Model
from siamese.inference.reading import Progress
from siamese.metrics.tracklets import TrackletPooling, pool_tracklets
from siamese.vectors import Embeddings

BATCH_SIZE = 64
_FRAMES = 4096  # embedded before they are pooled: all frames of MARS would be 1.4 GB


def name_images(people: NDArray[np.str_], files: NDArray[np.str_]) -> NDArray[np.str_]:
    """Names images by person and file where file names, without their folders, may occur twice.

    Example:
        >>> name_images(np.array(["a", "a", "b"]), np.array(["1.jpg"] * 3)).tolist()
        ['a/1.jpg', 'a/1.jpg#2', 'b/1.jpg']
    """
    times: Counter[str] = Counter()
    names = []
    for person, file in zip(people.tolist(), files.tolist(), strict=True):
        name = f"{person}/{file}"
        times[name] += 1
        names.append(name if times[name] == 1 else f"{name}#{times[name]}")
    return np.array(names, np.str_)


def embed_records(
    embed_batch: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    folder: str | Path,
    part: str,
    image_size: tuple[int, int],
    *,
    progress: Progress | None = None,
) -> Embeddings:
    """Embeds one part of a record set, in the order of its shards.

    Args:
        embed_batch: `(images, height, width, 3)`, uint8, to `(images, dimensions)`.
        folder: The folder of the record set.
        part: "train" or "validation".
        image_size: Height and width in pixels of the model's input.
        progress: Called with the images done and all images.

    Raises:
        InputError: The records cannot be read.
    """
    from siamese.loader.from_records import batch_image_size, evaluation_batches
    from siamese.records import read_manifest, shard_paths

    manifest = read_manifest(folder)
    shards, total = shard_paths(folder, manifest, part), manifest.parts[part].images
    if not total:
        raise InputError(
            f"{folder}: holds no images in the part {part}. Make records with another validation "
            "size, or give a dataset folder."
        )
    size = batch_image_size(manifest.parts[part], image_size)
    found, done = [], 0
    for batch in evaluation_batches(shards, image_size=size, batch_size=BATCH_SIZE):
        embeddings = embed_batch(batch.images)
        found.append((embeddings, batch.people, batch.cameras, batch.names, batch.tracklets))
        done += len(batch.names)
        if progress is not None:
            progress(done, total)
    embeddings, people, cameras, names, tracklets = map(np.concatenate, zip(*found, strict=True))
    return Embeddings(embeddings, people, cameras, name_images(people, names), tracklets)


def read_record_pictures(
    folder: str | Path, rows: set[int], image_size: tuple[int, int], *, part: str = "validation"
) -> dict[int, NDArray[np.uint8]]:
    """Reads some images of a part of a record set; one more pass over its shards.

    Returns:
        RGB images `(height, width, 3)` by row, as `embed_records` orders them.
    """
    from siamese.loader.from_records import batch_image_size, evaluation_batches
    from siamese.records import read_manifest, shard_paths

    manifest = read_manifest(folder)
    size = batch_image_size(manifest.parts[part], image_size)
    batches = evaluation_batches(shard_paths(folder, manifest, part), image_size=size)
    images = (image for batch in batches for image in batch.images)
    return {row: image for row, image in enumerate(images) if row in rows}


def embed_samples(
    model: Model,
    samples: Sequence[Sample],
    *,
    flip: bool = False,
    progress: Progress | None = None,
) -> Embeddings:
    """Embeds image files, in order; their names are their paths.

    Raises:
        InputError: There is no sample, an image is damaged, or its embedding is not a number.
    """
    if not samples:
        raise InputError("at least one image is needed. Received: none. Check the folder.")
    paths = [sample.path for sample in samples]
    with naming_all_damaged(paths):
        embeddings = model.embed(paths, flip=flip, progress=progress)
    return Embeddings.of_samples(check_finite(embeddings, paths, model), samples)


def check_finite(
    embeddings: NDArray[np.float32], names: Sequence[str], model: Model
) -> NDArray[np.float32]:
    """Returns embeddings `(images, dimensions)` that are all finite.

    Raises:
        InputError: One is NaN or infinite; its image is named.
    """
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(embeddings).all(axis=1))
    if not finite.all():
        raise InputError(
            f"{names[int(np.argmin(finite))]}: its embedding is not a number (NaN), as of "
            f"{int((~finite).sum())} of {len(finite)} images. The model {model.path} may have "
            "diverged, or want another normalisation."
        )
    return embeddings


def embed_tracklets(
    embed: Callable[[list[int], int, int], NDArray[np.float32]],
    frames: Sequence[Sample],
    *,
    pooling: TrackletPooling,
    most_frames: int | None,
) -> tuple[Embeddings, list[list[int]]]:
    """Embeds the frames of tracklets and pools them, a few thousand frames at a time.

    Args:
        embed: Gives the embeddings of some frames; called with their numbers, the number of frames
            done before, and the number of all frames.
        frames: The frames, in any order.
        pooling: "mean", "max" or "median".
        most_frames: Of a longer tracklet so many frames are used, evenly spaced; None: all.

    Returns:
        One row a tracklet, sorted by person, camera and number, named after them; and the frames
        of each.

    Raises:
        InputError: A frame is of no tracklet.
    """
    groups = _group_frames(frames, most_frames)
    total, done, parts = sum(map(len, groups)), 0, []
    for members in _chunks(groups):
        rows = [row for each in members for row in each]
        owners = np.repeat(np.arange(len(members)), [len(each) for each in members])
        parts.append(pool_tracklets(embed(rows, done, total), owners, pooling=pooling))
        done += len(rows)
    first = [frames[rows[0]] for rows in groups]
    names = np.array([name_tracklet(frame) for frame in first])
    return Embeddings.of_samples(np.concatenate(parts), first, images=names), groups


def name_tracklet(frame: Sample) -> str:
    """Names the tracklet of a frame after its person, camera and number."""
    return f"{frame.person} C{frame.camera} T{frame.tracklet}"


def _group_frames(frames: Sequence[Sample], most_frames: int | None) -> list[list[int]]:
    """Lists the frames of each tracklet in their order, evenly thinned; tracklets are sorted."""
    if most_frames is not None and most_frames < 1:
        raise InputError(f"`frames` must be at least 1. Received: frames={most_frames}.")
    groups: dict[tuple[str, int, int], list[int]] = {}
    for row in sorted(range(len(frames)), key=lambda row: (frames[row].frame, frames[row].path)):
        frame = frames[row]
        if frame.tracklet < 0:
            raise InputError(
                f"{frame.path}: its tracklet is not known, so its frames cannot be pooled. "
                "Leave --pooling out, or give names such as 0001C1T0002F003.jpg."
            )
        groups.setdefault((frame.person, frame.camera, frame.tracklet), []).append(row)
    found = []
    for _, rows in sorted(groups.items()):
        if most_frames is not None and len(rows) > most_frames:
            # The middles of equal stretches: neither end of a walk is preferred.
            places = ((np.arange(most_frames) + 0.5) * len(rows) / most_frames).astype(np.int64)
            rows = [rows[place] for place in places.tolist()]
        found.append(rows)
    return found


def _chunks(groups: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    start, frames = 0, 0
    for stop, group in enumerate(groups, start=1):
        frames += len(group)
        if frames >= _FRAMES or stop == len(groups):
            yield list(groups[start:stop])
            start, frames = stop, 0
