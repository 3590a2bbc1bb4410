"""Stage: a model and people it has not seen -> a score card."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from siamese.data.datasets import Sample, list_samples, recognise
from siamese.data.images import read_image, resize_image
from siamese.errors import InputError
from siamese.models.embedder import embed
from siamese.models.files import load_model
from siamese.scores.confidence import Interval, bootstrap_ranking, bootstrap_verification
from siamese.scores.matches import query_rows
from siamese.scores.pairs import PairCounts, count_pairs, sample_pairs
from siamese.scores.ranking import RankingScores, score_ranking
from siamese.scores.verification import VerificationScores, score_verification

Progress = Callable[[int, int], None]
BATCH_SIZE = 64


@dataclass(frozen=True)
class EmbeddedImages:
    """Embeddings and who is on the images.

    Attributes:
        embeddings: `(images, dimensions)`, float32.
        people: `(images,)`, text.
        cameras: `(images,)`, int64; -1 is not known.
        names: `(images,)`, `person/file name` or paths: text that tells images apart.
    """

    embeddings: NDArray[np.float32]
    people: NDArray[np.str_]
    cameras: NDArray[np.int64]
    names: NDArray[np.str_]

    def rows(self, chosen: NDArray[np.int64]) -> "EmbeddedImages":
        """The images of some rows."""
        return EmbeddedImages(
            self.embeddings[chosen], self.people[chosen], self.cameras[chosen], self.names[chosen]
        )


@dataclass(frozen=True)
class Scores:
    """Ranking and verification scores of one query set and gallery."""

    ranking: RankingScores
    verification: VerificationScores

    def to_dict(self) -> dict[str, Any]:
        """The score card as plain values: shares from 0 to 1, and counts."""
        card: dict[str, Any] = dict(self.ranking.to_dict())
        card["auc"] = self.verification.auc
        card["eer"] = self.verification.eer
        card["tar_at_far"] = {f"{far:g}": tar for far, tar in self.verification.tar_at_far.items()}
        return card


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    flip: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores a model file on a dataset's query and gallery, or on a record set.

    Of a record set it takes the validation part: the first image of each person and camera is a
    query, all images are the gallery. A dataset folder without a query part stands for the record
    set in its folder `records`.

    Args:
        model: A model file.
        data: A dataset folder with a query and a gallery part, or the folder of a record set.
        flip: Average each embedding with that of the mirrored image.
        progress: Called with the images done and all images.

    Returns:
        The score card, ready for JSON: scores, their 95 % intervals (bootstrap over people), sizes,
        protocol, model and versions.

    Raises:
        InputError: The model or the data cannot be used.
    """
    loaded = load_model(model)
    records = _records_of(Path(data))
    if records is not None:
        gallery = embed_records(
            loaded.embedder, records, "validation", loaded.image_size, flip=flip, progress=progress
        )
        query, everything = first_queries(gallery), gallery
        source = "validation part of a record set"
    else:
        queries, galleries = list_samples(data, "query"), list_samples(data, "gallery")
        everything = embed_samples(
            loaded.embedder, [*queries, *galleries], loaded.image_size, flip=flip, progress=progress
        )
        query = everything.rows(np.arange(len(queries)))
        gallery = everything.rows(np.arange(len(queries), len(everything.names)))
        source = "query and gallery folders"
    scores = score_embedded(query, gallery, everything)
    sample = sample_pairs(everything.embeddings, everything.people, everything.cameras)
    intervals: dict[str, Interval] = dict(bootstrap_ranking(scores.ranking).items())
    intervals.update(bootstrap_verification(sample).items())
    return {
        **scores.to_dict(),
        "intervals": {name: [each.low, each.high] for name, each in intervals.items()},
        "data": str(data),
        "source": source,
        "model": str(model),
        "fingerprint": loaded.fingerprint,
        "image_size": list(loaded.image_size),
        "flip": flip,
        "versions": {"keras": keras.__version__, "backend": keras.config.backend()},
    }


def _records_of(data: Path) -> Path | None:
    """The record set that is to be scored, unless the folder has a query part of its own."""
    if (data / "manifest.json").exists():
        return data
    inside = data / "records"
    if (inside / "manifest.json").exists() and "query" not in recognise(data).parts:
        return inside
    return None


def first_queries(images: EmbeddedImages) -> EmbeddedImages:
    """The query set of images that have none of their own: the first of each person and camera."""
    return images.rows(query_rows(images.people, images.cameras))


def score_embedded(
    query: EmbeddedImages, gallery: EmbeddedImages, everything: EmbeddedImages
) -> Scores:
    """Scores embeddings by ranking, and by verification over all pairs.

    Args:
        query: Who is looked for.
        gallery: Where.
        everything: The images whose pairs are verified: query and gallery together.

    Returns:
        The scores.

    Raises:
        InputError: A side is empty, or no query has a match.
    """
    ranking = score_ranking(
        query.embeddings,
        query.people,
        query.cameras,
        gallery.embeddings,
        gallery.people,
        gallery.cameras,
        query_images=query.names.tolist(),
        gallery_images=gallery.names.tolist(),
    )
    return Scores(ranking, score_verification(pairs_of(everything)))


def pairs_of(images: EmbeddedImages) -> PairCounts:
    """The counted distances of all cross-camera pairs of the images."""
    return count_pairs(images.embeddings, images.people, images.cameras)


def embed_records(
    embedder: keras.Model,
    folder: str | Path,
    part: str,
    image_size: tuple[int, int],
    *,
    flip: bool = False,
    progress: Progress | None = None,
) -> EmbeddedImages:
    """Embeds one part of a record set, in the order of its shards."""
    from siamese.data.batches import batch_image_size, evaluation_batches
    from siamese.data.records import read_manifest, shard_paths

    manifest = read_manifest(folder)
    shards, total = shard_paths(folder, manifest, part), manifest.parts[part].images
    size = batch_image_size(manifest.parts[part], image_size)
    found = []
    for batch in evaluation_batches(shards, image_size=size, batch_size=BATCH_SIZE):
        embeddings = embed(embedder, [batch.images], flip=flip)
        # A file name alone may occur under several people.
        names = np.strings.add(np.strings.add(batch.people, "/"), batch.names)
        found.append(EmbeddedImages(embeddings, batch.people, batch.cameras, names))
        if progress is not None:
            progress(sum(len(each.names) for each in found), total)
    return EmbeddedImages(
        np.concatenate([each.embeddings for each in found]),
        np.concatenate([each.people for each in found]),
        np.concatenate([each.cameras for each in found]),
        np.concatenate([each.names for each in found]),
    )


def embed_samples(
    embedder: keras.Model,
    samples: Sequence[Sample],
    image_size: tuple[int, int],
    *,
    flip: bool = False,
    progress: Progress | None = None,
) -> EmbeddedImages:
    """Embeds image files, in order.

    Raises:
        InputError: There is no sample, or an image is damaged.
    """
    if not samples:
        raise InputError("at least one image is needed. Received: none. Check the folder.")
    embeddings = np.zeros((len(samples), embedder.output_shape[-1]), np.float32)
    done = 0
    for images in _read_batches([sample.path for sample in samples], image_size):
        embeddings[done : done + len(images)] = embed(embedder, [images], flip=flip)
        done += len(images)
        if progress is not None:
            progress(done, len(samples))
    return EmbeddedImages(
        embeddings,
        np.array([sample.person for sample in samples]),
        np.array([sample.camera for sample in samples], np.int64),
        np.array([sample.path for sample in samples]),
    )


def _read_batches(paths: Sequence[str], image_size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Reads files in parallel, a batch ahead; the model resizes batches of one size."""
    with ThreadPoolExecutor() as pool:

        def start(first: int) -> list[Future[NDArray[np.uint8]]]:
            return [pool.submit(read_image, path) for path in paths[first : first + BATCH_SIZE]]

        following = start(0)
        for first in range(0, len(paths), BATCH_SIZE):
            waiting, following = following, start(first + BATCH_SIZE)
            yield _stack([each.result() for each in waiting], image_size)


def _stack(images: list[NDArray[np.uint8]], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    if len({image.shape for image in images}) > 1:
        images = [resize_image(image, image_size) for image in images]
    return np.stack(images)
