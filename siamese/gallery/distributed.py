"""Very large collections: read and embedded by actors of a Ray cluster, committed from here."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.gallery.ingest import COMMIT_IMAGES
from siamese.gallery.sources import GalleryImage, ReadImage, read_gallery_images
from siamese.inference import Model
from siamese.telemetry import import_silent

ACTOR_IMAGES = 128


def embed_on_cluster(
    images: Sequence[GalleryImage], known: Mapping[str, str], model: Model, workers: int
) -> Iterator[tuple[list[ReadImage], NDArray[np.float32]]]:
    """Reads and embeds images on a Ray cluster: the one of `RAY_ADDRESS`, or a local one.

    Every machine must see the image files and the model file at the same paths.

    Args:
        images: Which; paths are absolute.
        known: Path to digest of what the gallery has: it is not embedded again.
        model: The model, whose file is opened again by each actor.
        workers: Actors; each holds the model.

    Yields:
        What was read, without pixels, in any order; and the embeddings of those that are to be
        committed, `(images, dimensions)`, float32.

    Raises:
        InputError: Ray is not installed, or the number of workers is negative.
    """
    if workers < 1:
        raise InputError(f"`workers` must be at least 0. Received: workers={workers}.")
    try:
        ray = import_silent("ray")
    except ImportError:
        raise InputError(
            'workers need Ray. Install it: pip install "siamese-reid[cluster]", or leave --workers '
            "out."
        ) from None
    mine = not ray.is_initialized()
    if mine:
        _start(ray, workers)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [
            {"row": row, "path": image.path, "known": known.get(image.path, "")}
            for row, image in enumerate(images)
        ]
        blocks = max(workers, len(rows) // (4 * ACTOR_IMAGES))
        embedded = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            _Embedder,
            fn_constructor_args=[str(model.path.absolute()), model.preprocessing or {}],
            batch_size=ACTOR_IMAGES,
            concurrency=workers,
        )
        for batch in embedded.iter_batches(batch_size=COMMIT_IMAGES, batch_format="numpy"):
            read = [_read(images, batch, place) for place in range(len(batch["row"]))]
            yield read, np.asarray(batch["embedding"][batch["fresh"]], np.float32)
    finally:
        if mine:
            ray.shutdown()


def _start(ray: Any, workers: int) -> None:
    quiet = {"logging_level": "error", "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        # One more than the actors hold, so that Ray's own tasks always find a place.
        processors = max(os.cpu_count() or 1, workers + 1)
        ray.init("local", num_cpus=processors, include_dashboard=False, **quiet)
        return
    try:
        ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"no Ray cluster answers at {address} ({reason}). Start one with `ray start --head`, "
            "or unset RAY_ADDRESS."
        ) from None


class _Embedder:
    """An actor: opens the model once, then reads and embeds batch after batch."""

    def __init__(self, model: str, preprocessing: dict[str, Any]) -> None:
        from siamese.inference import load_model

        self._model = load_model(model, **preprocessing)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        images = [GalleryImage(str(path)) for path in batch["path"]]
        known = {
            str(path): str(digest)
            for path, digest in zip(batch["path"], batch["known"], strict=True)
        }
        read = list(read_gallery_images(images, known))
        fresh = np.array([each.pixels is not None for each in read])
        embeddings = np.zeros((len(read), self._model.dimensions), np.float32)
        if fresh.any():
            embeddings[fresh] = self._model.embed(
                [each.pixels for each in read if each.pixels is not None]
            )
        times = [each.image.time for each in read]
        return {
            "row": batch["row"],
            "digest": np.array([each.digest for each in read]),
            "error": np.array([each.error for each in read]),
            "time": np.array(["" if time is None else time.isoformat() for time in times]),
            "fresh": fresh,
            "embedding": embeddings,
        }


def _read(images: Sequence[GalleryImage], batch: dict[str, Any], place: int) -> ReadImage:
    image = images[int(batch["row"][place])]
    if text := str(batch["time"][place]):
        image = replace(image, time=datetime.fromisoformat(text))
    return ReadImage(image, str(batch["digest"][place]), None, str(batch["error"][place]))
