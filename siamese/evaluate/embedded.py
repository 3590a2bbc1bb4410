"""Images of people -> embeddings with who is on them; frames -> tracklets."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import Sample
from siamese.errors import InputError
from siamese.inference import Model
from siamese.inference.reading import read_batches
from siamese.metrics.blocks import Indices
from siamese.metrics.masks import query_rows
from siamese.metrics.tracklets import TrackletPooling, pool_tracklets

if TYPE_CHECKING:
    import keras

Progress = Callable[[int, int], None]
BATCH_SIZE = 64
_FRAMES = 4096  # embedded before they are pooled: all frames of MARS would be 1.4 GB


@dataclass(frozen=True)
class EmbeddedImages:
    """Embeddings and who is on the images.

    Attributes:
        embeddings: `(images, dimensions)`, float32.
        people: `(images,)`, text.
        cameras: `(images,)`, int64; -1 is not known.
        names: `(images,)`, text that tells images apart, such as `person/file name`.
        distractors: Names of the distractors: never asked for, never a match.
    """

    embeddings: NDArray[np.float32]
    people: NDArray[np.str_]
    cameras: NDArray[np.int64]
    names: NDArray[np.str_]
    distractors: tuple[str, ...] = ()

    def rows(self, chosen: Indices) -> "EmbeddedImages":
        """The images of some rows."""
        return EmbeddedImages(
            self.embeddings[chosen],
            self.people[chosen],
            self.cameras[chosen],
            self.names[chosen],
            self.distractors,
        )


@dataclass(frozen=True)
class Tracklets:
    """How rows of `EmbeddedImages` came to be tracklets.

    Attributes:
        frames: `(tracklets,)`, how many frames each was pooled from.
        shown: `(tracklets,)`, of each the image that stands for it, the middle one: a row of the
            images before they were pooled.
    """

    frames: Indices
    shown: Indices


def first_queries(images: EmbeddedImages) -> EmbeddedImages:
    """The query set of images that have none of their own: the first of each person and camera."""
    return images.rows(query_rows(images.people, images.cameras, distractors=images.distractors))


def embed_records(
    embedder: "keras.Model",
    folder: str | Path,
    part: str,
    image_size: tuple[int, int],
    *,
    flip: bool = False,
    progress: Progress | None = None,
) -> EmbeddedImages:
    """Embeds one part of a record set, in the order of its shards.

    Args:
        embedder: A model of `siamese.models.embedder.join_embedder`.
        folder: The folder of the record set.
        part: "train" or "validation".
        image_size: Height and width in pixels that the model resizes to.
        flip: Average each embedding with that of the mirrored image.
        progress: Called with the images done and all images.

    Returns:
        The images.

    Raises:
        InputError: The records cannot be read.
    """
    from siamese.models.embedder import embed

    def embed_batch(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return embed(embedder, [images], flip=flip)

    return embed_record_set(embed_batch, folder, part, image_size, progress=progress)[0]


def embed_record_set(
    embed_batch: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    folder: str | Path,
    part: str,
    image_size: tuple[int, int],
    *,
    progress: Progress | None = None,
) -> tuple[EmbeddedImages, NDArray[np.int64]]:
    """Embeds one part of a record set by any means.

    Args:
        embed_batch: `(images, height, width, 3)`, uint8, to `(images, dimensions)`.
        folder: The folder of the record set.
        part: "train" or "validation".
        image_size: Height and width in pixels of the model's input.
        progress: Called with the images done and all images.

    Returns:
        The images, and the tracklet number of each; -1 is not known.
    """
    from siamese.loader.from_records import batch_image_size, evaluation_batches
    from siamese.records import read_manifest, shard_paths

    manifest = read_manifest(folder)
    shards, total = shard_paths(folder, manifest, part), manifest.parts[part].images
    size = batch_image_size(manifest.parts[part], image_size)
    found, tracklets, done = [], [], 0
    for batch in evaluation_batches(shards, image_size=size, batch_size=BATCH_SIZE):
        found.append(
            EmbeddedImages(embed_batch(batch.images), batch.people, batch.cameras, batch.names)
        )
        tracklets.append(batch.tracklets)
        done += len(batch.names)
        if progress is not None:
            progress(done, total)
    people = np.concatenate([each.people for each in found])
    images = EmbeddedImages(
        np.concatenate([each.embeddings for each in found]),
        people,
        np.concatenate([each.cameras for each in found]),
        name_images(people, np.concatenate([each.names for each in found])),
    )
    return images, np.concatenate(tracklets)


def name_images(people: NDArray[np.str_], files: NDArray[np.str_]) -> NDArray[np.str_]:
    """Names that tell images apart where file names, without their folders, may occur twice.

    Args:
        people: `(images,)`.
        files: `(images,)`, names of files.

    Returns:
        `person/file`, and `person/file#2` for the second one of such a name.

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


def embed_samples(
    embedder: "keras.Model",
    samples: Sequence[Sample],
    image_size: tuple[int, int],
    *,
    flip: bool = False,
) -> EmbeddedImages:
    """Embeds image files by a model that is in memory, in order; their names are their paths.

    Args:
        embedder: A model of `siamese.models.embedder.join_embedder`.
        samples: At least one.
        image_size: Height and width in pixels that the model resizes to.
        flip: Average each embedding with that of the mirrored image.

    Returns:
        The images.

    Raises:
        InputError: There is no sample, or an image is damaged.
    """
    from siamese.models.embedder import embed

    if not samples:
        raise InputError("at least one image is needed. Received: none. Check the folder.")
    paths = [sample.path for sample in samples]
    batches: Any = read_batches(paths, image_size, BATCH_SIZE)
    return EmbeddedImages(
        embed(embedder, batches, flip=flip),
        *_who(samples),
        np.array(paths),
    )


def embed_files(
    model: Model,
    samples: Sequence[Sample],
    names: Sequence[str],
    *,
    flip: bool = False,
    progress: Progress | None = None,
) -> EmbeddedImages:
    """Embeds image files, in order.

    Args:
        model: What embeds.
        samples: At least one.
        names: `(samples,)`, what the images are called.
        flip: Average each embedding with that of the mirrored image.
        progress: Called with the images done and all images.

    Returns:
        The images.

    Raises:
        InputError: An image is missing or damaged, or its embedding is not a number.
    """
    paths = [sample.path for sample in samples]
    embeddings = model.embed(paths, flip=flip, batch_size=BATCH_SIZE, progress=progress)
    return EmbeddedImages(check_finite(embeddings, paths, model), *_who(samples), np.array(names))


def _who(samples: Sequence[Sample]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    people = np.array([sample.person for sample in samples])
    return people, np.array([sample.camera for sample in samples], np.int64)


def embed_tracklets(
    model: Model,
    samples: Sequence[Sample],
    *,
    pooling: TrackletPooling,
    most_frames: int | None,
    flip: bool = False,
    progress: Progress | None = None,
) -> tuple[EmbeddedImages, Tracklets]:
    """Embeds the frames of tracklets and pools them, a few thousand frames at a time.

    Args:
        model: What embeds.
        samples: Frames with known tracklets, in any order.
        pooling: "mean", "max" or "median".
        most_frames: Of a longer tracklet so many frames are used, evenly spaced; None: all.
        flip: Average each frame's embedding with that of the mirrored frame.
        progress: Called with the frames done and all frames.

    Returns:
        One row a tracklet, sorted by person, camera and number; `Tracklets.shown` numbers
        `samples`.

    Raises:
        InputError: A sample is of no tracklet, an image is missing or damaged, or an embedding is
            not a number.
    """
    groups = _group_frames(
        [(each.person, each.camera, each.tracklet) for each in samples],
        [(each.frame, each.path) for each in samples],
        most_frames,
    )
    total = sum(len(rows) for _, rows in groups)
    parts, done = [], 0
    for chunk in _chunks(groups):
        rows = [row for _, members in chunk for row in members]
        paths = [samples[row].path for row in rows]

        def count(images: int, _: int, before: int = done) -> None:
            if progress is not None:
                progress(before + images, total)

        embeddings = model.embed(paths, flip=flip, batch_size=BATCH_SIZE, progress=count)
        owners = np.repeat(np.arange(len(chunk)), [len(members) for _, members in chunk])
        pooled = pool_tracklets(check_finite(embeddings, paths, model), owners, pooling=pooling)
        parts.append(pooled.embeddings)
        done += len(rows)
    return _name_tracklets(groups, np.concatenate(parts))


def pool_images(
    images: EmbeddedImages,
    tracklets: NDArray[np.int64],
    *,
    pooling: TrackletPooling,
    most_frames: int | None,
) -> tuple[EmbeddedImages, Tracklets]:
    """Pools images that are embedded already, such as those of a record set.

    Args:
        images: The frames.
        tracklets: `(images,)`, the tracklet number of each.
        pooling: "mean", "max" or "median".
        most_frames: Of a longer tracklet so many frames are used, evenly spaced; None: all.

    Returns:
        As `embed_tracklets`; `Tracklets.shown` numbers `images`.

    Raises:
        InputError: An image is of no tracklet.
    """
    people, cameras, numbers = images.people.tolist(), images.cameras.tolist(), tracklets.tolist()
    groups = _group_frames(
        list(zip(people, cameras, numbers, strict=True)),
        [(0, name) for name in images.names.tolist()],
        most_frames,
    )
    rows = np.concatenate([members for _, members in groups])
    owners = np.repeat(np.arange(len(groups)), [len(members) for _, members in groups])
    pooled = pool_tracklets(images.embeddings[rows], owners, pooling=pooling)
    return _name_tracklets(groups, pooled.embeddings)


def check_finite(
    embeddings: NDArray[np.float32], names: Sequence[str], model: Model
) -> NDArray[np.float32]:
    """Names the image whose embedding is not a number.

    Args:
        embeddings: `(images, dimensions)`.
        names: `(images,)`.
        model: What made them.

    Returns:
        The embeddings.

    Raises:
        InputError: One is NaN or infinite.
    """
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(embeddings).all(axis=1))
    if not finite.all():
        raise InputError(
            f"{names[int(np.argmin(finite))]}: its embedding is not a number (NaN), as of "
            f"{int((~finite).sum())} of {len(finite)} images. The model {model.path} may have "
            "diverged, or want another normalisation."
        )
    return embeddings


_Key = tuple[str, int, int]
_Group = tuple[_Key, list[int]]


def _group_frames(
    keys: Sequence[_Key], order: Sequence[tuple[int, str]], most_frames: int | None
) -> list[_Group]:
    """The rows of each tracklet in the order of its frames, evenly thinned; tracklets sorted."""
    if most_frames is not None and most_frames < 1:
        raise InputError(f"`frames` must be at least 1. Received: frames={most_frames}.")
    groups: dict[_Key, list[int]] = {}
    for row, key in enumerate(keys):
        if key[2] < 0:
            raise InputError(
                f"{order[row][1]}: its tracklet is not known, so its frames cannot be pooled. "
                "Leave --pooling out, or give names such as 0001C1T0002F003.jpg."
            )
        groups.setdefault(key, []).append(row)
    found = []
    for key in sorted(groups):
        rows = sorted(groups[key], key=order.__getitem__)
        if most_frames is not None and len(rows) > most_frames:
            # The middles of equal stretches: neither end of a walk is preferred.
            places = ((np.arange(most_frames) + 0.5) * len(rows) / most_frames).astype(np.int64)
            rows = [rows[place] for place in places.tolist()]
        found.append((key, rows))
    return found


def _chunks(groups: Sequence[_Group]) -> Iterator[list[_Group]]:
    chunk: list[_Group] = []
    frames = 0
    for group in groups:
        chunk.append(group)
        frames += len(group[1])
        if frames >= _FRAMES:
            yield chunk
            chunk, frames = [], 0
    if chunk:
        yield chunk


def _name_tracklets(
    groups: Sequence[_Group], embeddings: NDArray[np.float32]
) -> tuple[EmbeddedImages, Tracklets]:
    images = EmbeddedImages(
        embeddings,
        np.array([person for (person, _, _), _ in groups]),
        np.array([camera for (_, camera, _), _ in groups], np.int64),
        np.array([f"{person} C{camera} T{number}" for (person, camera, number), _ in groups]),
    )
    frames = np.array([len(rows) for _, rows in groups], np.int64)
    return images, Tracklets(
        frames, np.array([rows[len(rows) // 2] for _, rows in groups], np.int64)
    )
