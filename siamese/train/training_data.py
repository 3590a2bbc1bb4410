"""Where a run's images come from: a record set, or image files held in memory."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from siamese.datasets import list_samples, recognise
from siamese.datasets.splits import refuse_duplicates, split_samples
from siamese.datasets.triplets import find_triplets
from siamese.errors import InputError
from siamese.evaluate import EmbeddedImages, embed_records, name_images
from siamese.loader.from_files import array_batches, read_images
from siamese.models.embedder import embed
from siamese.recipes import Recipe

Images = NDArray[np.uint8]


class TrainingData(Protocol):
    """What the training stage needs of its images.

    Attributes:
        people: Training people; their labels are 0..people-1.
        images: Training images.
        image_size: Height and width in pixels of the images in a batch.
    """

    people: int
    images: int
    image_size: tuple[int, int]

    def reading(self) -> AbstractContextManager[None]:
        """Around all that reads images: says in one line what is damaged."""
        ...

    def batches(self, epoch: int) -> tuple[Any, int]:
        """Endless batches of images and labels from an epoch on, and the batches in an epoch."""
        ...

    def for_fit(self, batches: Any, outputs: list[str]) -> Any:
        """Gives `fit` the labels once for each output of the model."""
        ...

    def first_images(self, batches: Any, count: int) -> Iterator[tuple[Any, Any]]:
        """The first batches, without taking them from the training."""
        ...

    def embed(self, embedder: keras.Model) -> EmbeddedImages:
        """Embeds the validation images."""
        ...

    def pictures(self, rows: set[int]) -> dict[int, Images]:
        """Some validation images, by their row in `embed`."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a resumed run must find unchanged: labels, split and counts."""
        ...

    def name_validation(self) -> str:
        """Who the scores are of; only a split by identity holds people out."""
        ...


def open_training_data(
    data: str | Path, recipe: Recipe, *, process: int = 0, processes: int = 1
) -> TrainingData:
    """Opens a record set, or a dataset folder whose images are then held in memory.

    Args:
        data: The folder.
        recipe: What is trained.
        process: The number of this process, from 0.
        processes: Processes that share each batch.

    Returns:
        A source.

    Raises:
        InputError: It cannot be used.
    """
    if find_spec("tensorflow") is None:
        if (Path(data) / "manifest.json").exists():
            raise InputError(
                f"{data}: holds records, which TensorFlow reads, and it is not installed. Give the "
                "dataset folder, whose images are then held in memory; or install tensorflow."
            )
        return MemoryData(data, recipe, process, processes)
    from siamese.records import is_record_set

    if is_record_set(data):
        return RecordData(data, recipe, process, processes)
    return MemoryData(data, recipe, process, processes)


class RecordData:
    """A record set, read by TensorFlow."""

    def __init__(
        self, folder: str | Path, recipe: Recipe, process: int = 0, processes: int = 1
    ) -> None:
        from siamese.loader.from_records import batch_image_size
        from siamese.records import read_manifest

        self.folder = folder
        self.recipe = recipe
        self.hosts: dict[str, Any] = {"host": process, "hosts": processes}
        self.manifest = read_manifest(folder)
        part = self.manifest.parts["train"]
        self.people = part.classes
        self.images = part.images
        self.image_size = batch_image_size(part, recipe.model.image_size)

    def reading(self) -> AbstractContextManager[None]:
        """As `TrainingData`."""
        from siamese.loader.from_records import naming_damage

        return naming_damage(self.folder)

    def batches(self, epoch: int) -> tuple[Any, int]:
        """As `TrainingData`."""
        from siamese.loader.from_records import train_batches
        from siamese.records import shard_paths

        return train_batches(
            shard_paths(self.folder, self.manifest, "train"),
            self.manifest.parts["train"],
            image_size=self.image_size,
            **vars(self.recipe.batches),
            seed=self.recipe.seed,
            first_epoch=epoch,
            **self.hosts,
        )

    def for_fit(self, batches: Any, outputs: list[str]) -> Any:
        """As `TrainingData`."""
        return batches.map(lambda images, labels: (images, dict.fromkeys(outputs, labels)))

    def first_images(self, batches: Any, count: int) -> Iterator[tuple[Any, Any]]:
        """As `TrainingData`."""
        for images, labels in batches.take(count):
            yield images.numpy(), labels.numpy()

    def embed(self, embedder: keras.Model) -> EmbeddedImages:
        """As `TrainingData`."""
        return embed_records(embedder, self.folder, "validation", self.recipe.model.image_size)

    def pictures(self, rows: set[int]) -> dict[int, Images]:
        """As `TrainingData`; one more pass over the shards."""
        from siamese.loader.from_records import batch_image_size, evaluation_batches
        from siamese.records import shard_paths

        part = self.manifest.parts["validation"]
        shards = shard_paths(self.folder, self.manifest, "validation")
        size = batch_image_size(part, self.recipe.model.image_size)
        pictures: dict[int, Images] = {}
        first = 0
        for batch in evaluation_batches(shards, image_size=size):
            for row in rows & set(range(first, first + len(batch.images))):
                pictures[row] = batch.images[row - first]
            first += len(batch.images)
        return pictures

    def describe(self) -> dict[str, Any]:
        """As `TrainingData`."""
        return {
            "labels": self.manifest.labels,
            "split": self.manifest.split,
            "images": {name: part.images for name, part in self.manifest.parts.items()},
        }

    def name_validation(self) -> str:
        """As `TrainingData`."""
        people = self.manifest.parts["validation"].people
        if self.manifest.split.get("by") == "identity":
            return f"{people} held-out people"
        return f"validation images of {people} people, whom training sees too"


class MemoryData:
    """A dataset folder, read into memory: no records and no TensorFlow.

    It is split as `siamese records make` splits by default: by identity, with seed 0.
    """

    validation_size = 0.3

    def __init__(
        self, folder: str | Path, recipe: Recipe, process: int = 0, processes: int = 1
    ) -> None:
        self.recipe = recipe
        self.hosts: dict[str, Any] = {"host": process, "hosts": processes}
        samples = list_samples(folder, "train")
        refuse_duplicates(samples)
        train, held_out = split_samples(samples, "identity", self.validation_size, 0)
        self.triplets: list[list[str]] = []
        if recognise(folder).name == "triplet-csv":
            self.triplets = find_triplets(folder, train)
        self.train = read_images(train, image_size=recipe.model.image_size)
        self.held_out = read_images(held_out, image_size=recipe.model.image_size)
        self.labels = dict(
            sorted(zip(self.train.people.tolist(), self.train.labels.tolist(), strict=True))
        )
        self.people = len(self.labels)
        self.images = len(train)
        height, width = self.train.images.shape[1:3]
        self.image_size = (height, width)

    def reading(self) -> AbstractContextManager[None]:
        """As `TrainingData`; all images are read already."""
        return nullcontext()

    def batches(self, epoch: int) -> tuple[Any, int]:
        """As `TrainingData`."""
        return array_batches(
            self.train,
            **vars(self.recipe.batches),
            triplets=self.triplets,
            seed=self.recipe.seed,
            first_epoch=epoch,
            **self.hosts,
        )

    def for_fit(self, batches: Any, outputs: list[str]) -> Any:
        """As `TrainingData`."""
        return ((images, dict.fromkeys(outputs, labels)) for images, labels in batches)

    def first_images(self, batches: Any, count: int) -> Iterator[tuple[Any, Any]]:
        """As `TrainingData`."""
        return islice(batches, count)

    def embed(self, embedder: keras.Model) -> EmbeddedImages:
        """As `TrainingData`."""
        held_out = self.held_out
        return EmbeddedImages(
            embed(embedder, (batch.images for batch in held_out.batches())),
            held_out.people,
            held_out.cameras,
            name_images(held_out.people, held_out.names),
        )

    def pictures(self, rows: set[int]) -> dict[int, Images]:
        """As `TrainingData`."""
        return {row: self.held_out.images[row] for row in rows}

    def describe(self) -> dict[str, Any]:
        """As `TrainingData`."""
        return {
            "labels": self.labels,
            "split": {"by": "identity", "validation_size": self.validation_size, "random_seed": 0},
            "images": {"train": self.images, "validation": len(self.held_out.images)},
        }

    def name_validation(self) -> str:
        """As `TrainingData`."""
        return f"{len(set(self.held_out.people.tolist()))} held-out people"
