"""Teachers: models whose embeddings a training imitates, and the cache of what they said."""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from siamese.augment import restart_random_numbers
from siamese.datasets.splits import hash_content
from siamese.errors import InputError
from siamese.files import whole_file
from siamese.images import decode_image
from siamese.inference import Model, load_model
from siamese.inference.reading import Progress

Embeddings = NDArray[np.float32]

CHUNK = 512
"""Crops whose embeddings are written together: what a killed run loses, at most."""


class Teacher:
    """One model, or several whose embeddings are joined to one."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = models
        self.dimensions = sum(model.dimensions for model in models)

    @property
    def fingerprint(self) -> str:
        """Returns sixteen hexadecimal digits: teachers with equal ones say the same."""
        fingerprints = [model.fingerprint for model in self.models]
        if len(fingerprints) == 1:
            return fingerprints[0]
        return blake2b(" ".join(fingerprints).encode(), digest_size=8).hexdigest()

    def embed(self, images: Iterable[NDArray[Any]]) -> Embeddings:
        """Embeds images.

        Args:
            images: `(height, width, 3)` each, RGB 0 to 255; sizes may differ.

        Returns:
            `(images, dimensions)`, float32 unit vectors: those of the models one after another,
            over the root of their number, so that distances are the root mean squares of theirs.

        Raises:
            InputError: A model gives something that is no number.
        """
        held = list(images)
        parts = [model.embed(held) for model in self.models]
        for model, part in zip(self.models, parts, strict=True):
            if not np.isfinite(part).all():
                raise InputError(
                    f"{model.path}: as a teacher must give numbers. Received: embeddings that hold "
                    "NaN or infinity. Give another model."
                )
        return np.concatenate(parts, axis=1) / np.float32(np.sqrt(len(parts)))

    def describe(self) -> list[str]:
        """Gives the lines that a model file is to have about its teachers."""
        return [
            f"distilled from {each.path.name} ({each.fingerprint}): what the licence and the "
            "training data of that model allow holds for this one too"
            for each in self.models
        ]


def open_teacher(paths: Sequence[str | Path]) -> Teacher | None:
    """Opens the models that a training imitates.

    Raises:
        InputError: A file is missing or not a model.
    """
    return Teacher([load_model(path) for path in paths]) if paths else None


def embed_crops(
    teacher: Teacher,
    crops: Callable[[], Iterator[bytes]],
    folder: Path,
    progress: Progress | None = None,
) -> Embeddings:
    """Gives the embeddings of crops, `(crops, dimensions)` float32, and keeps them for next time.

    What was embedded lies in the folder of the teacher's fingerprint, by a digest of the bytes of
    each crop, a file a chunk, each whole or not there: a killed run goes on where it was, and
    another run, with more crops or fewer, embeds only what is new.

    Args:
        teacher: Whom to ask.
        crops: Opens the crops: the bytes of image files.
        folder: Where embeddings are kept; made when missing.
        progress: Called with the new crops done and all new crops.

    Raises:
        InputError: There is no crop, or one cannot be decoded.
    """
    folder = folder / teacher.fingerprint
    digests = [hash_content(crop) for crop in crops()]
    if not digests:
        raise InputError("a teacher needs at least one training image. Received none.")
    known = _read(folder, teacher.dimensions)
    missing = dict.fromkeys(digests).keys() - known.keys()
    total, fresh = len(missing), _pick(crops(), missing)
    while chunk := dict(islice(fresh, CHUNK)):
        found = teacher.embed(decode_image(crop, "a training image") for crop in chunk.values())
        _write(folder, list(chunk), found)
        known.update(zip(chunk, found, strict=True))
        if progress is not None:
            progress(total - len(missing), total)
    return np.stack([known[digest] for digest in digests])


@dataclass
class Views:
    """Augmentation ahead of the training step, so that a teacher sees what the student sees.

    Args:
        teacher: Who embeds each view.
        layers: As of `siamese.augment.build_augmentation`.
        seed: The seed of the run.
        steps: Batches in an epoch.
    """

    teacher: Teacher
    layers: Sequence[keras.layers.Layer]
    seed: int
    steps: int

    def change(self, images: Any) -> Embeddings:
        """Augments a batch, `(images, height, width, 3)`, 0 to 255; float32."""
        for layer in self.layers:
            images = layer(images, training=True)
        return np.asarray(keras.ops.convert_to_numpy(images), np.float32).clip(0, 255)

    def teach(
        self, batches: Iterable[Any], first_epoch: int
    ) -> Iterator[tuple[Embeddings, Any, Embeddings]]:
        """Gives views of batches and what the teacher says of them, the same for a resumed run.

        Args:
            batches: Endless images and labels.
            first_epoch: Number of the epoch that they begin with.

        Yields:
            Views `(images, height, width, 3)`, labels, and embeddings `(images, dimensions)`.
        """
        for number, (images, labels) in enumerate(batches):
            if number % self.steps == 0:
                epoch = first_epoch + number // self.steps
                restart_random_numbers(self.layers, self.seed, epoch)
            views = self.change(images)
            yield views, np.asarray(labels), self.teacher.embed(views)


def _pick(crops: Iterator[bytes], missing: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Takes the crops that are missing, each once, with its digest, out of them all."""
    for crop in crops:
        if not missing:
            return
        if (digest := hash_content(crop)) in missing:
            missing.remove(digest)
            yield digest, crop


def _read(folder: Path, dimensions: int) -> dict[bytes, Embeddings]:
    """Reads what was kept; a file that is damaged counts as not there."""
    known: dict[bytes, Embeddings] = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                digests, found = kept["digests"], kept["embeddings"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
        if digests.shape == (len(found), 16) and found.shape == (len(found), dimensions):
            known.update(zip((digest.tobytes() for digest in digests), found, strict=True))
    return known


def _write(folder: Path, digests: Sequence[bytes], embeddings: Embeddings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    with whole_file(folder / f"{digests[0].hex()}.npz") as temporary:
        np.savez(temporary, digests=rows, embeddings=embeddings)
