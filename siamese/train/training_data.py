"""The images of a run: a record set, or image files held in memory."""

import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from siamese.datasets import list_samples, recognise
from siamese.datasets.splits import SplitRule, refuse_duplicates, split_samples
from siamese.datasets.triplets import find_triplets, kept_triplets
from siamese.errors import InputError
from siamese.evaluate import embed_records, name_images
from siamese.evaluate.embedded import read_record_pictures
from siamese.images import read_bytes
from siamese.inference.reading import Progress
from siamese.loader.from_files import array_batches, read_images
from siamese.models.embedder import embed
from siamese.recipes import Recipe
from siamese.sampler import count_groups, fit_groups
from siamese.train.objective import pair_targets
from siamese.train.teacher import embed_crops, open_teacher
from siamese.vectors import Embeddings

logger = logging.getLogger(__name__)

FEW_PEOPLE = 20
"""Fewer training people than this teach nothing about others."""

TEACHER = "teacher"
"""The folder of what teachers said: beside the records, or in the run folder where there are none
or their folder may not be written to."""
Images = NDArray[np.uint8]
EmbedBatch: TypeAlias = Callable[[Images], NDArray[np.float32]]
"""`(images, height, width, 3)`, uint8, to `(images, dimensions)`."""


class TrainingData:
    """Gives the training stage its images; a subclass says where they come from.

    Attributes:
        recipe: What is trained; without images of unknown people where there are none.
        teacher: Whom the recipe has the training imitate.
        people: Training people; their labels are 0..people-1.
        images: Training images of them.
        image_size: Height and width in pixels of the images in a batch.
        sources: The datasets whose people are held out, where there are several datasets.

    Args:
        recipe: What is trained.
        hosts: `host`, the number of this process from 0, and `hosts`, which share each batch.
    """

    people: int
    images: int
    image_size: tuple[int, int]
    sources: tuple[str, ...] = ()

    def __init__(self, recipe: Recipe, hosts: dict[str, int]) -> None:
        self.recipe = recipe
        self.hosts: dict[str, Any] = hosts
        self.teacher = open_teacher(recipe.distillation.teachers)
        self.taught: Any = None

    def set_unlabelled(self, available: int) -> None:
        """Leaves images of unknown people out of the batches where there are none.

        Raises:
            InputError: There are some, and nobody who says anything of them.
        """
        batches = self.recipe.batches
        if batches.unlabelled and not available:
            self.recipe = replace(self.recipe, batches=replace(batches, unlabelled=0))
        elif batches.unlabelled and self.teacher is None:
            raise InputError(
                "`unlabelled` must be 0 without a teacher, as nothing is known of those images. "
                f"Received: {batches.unlabelled}. Give --teacher, or a recipe with 0."
            )

    def fit_batches(self, counts: Sequence[int], triplets: int = 0) -> None:
        """Makes batches smaller where the set is small, and says so.

        `counts` are the images of each person, `triplets` how many there are to draw batches from.

        Raises:
            InputError: The set is too small for any batch.
        """
        batches = self.recipe.batches
        groups = triplets or count_groups(counts, batches.num_instances)
        fitting = fit_groups(
            groups, batches.num_identities, sampler=batches.sampler, hosts=self.hosts["hosts"]
        )
        if len(counts) < FEW_PEOPLE and max(counts, default=0) < 2 and not triplets:
            raise InputError(
                f"nobody of {len(counts)} people has two images to learn from: too little for any "
                "recipe. Add images of them, or take the pretrained model, which needs none: "
                "siamese calibrate fits its thresholds to your cameras."
            )
        if len(counts) < FEW_PEOPLE:
            logger.warning(
                "%d people to learn from: the model will know them and hardly anybody else. The "
                "pretrained model needs none (siamese calibrate fits its thresholds to your "
                "cameras); the recipe fine_tune starts from it.",
                len(counts),
            )
        if fitting < batches.num_identities:
            logger.warning(
                "batches have %d groups of %d images in place of %d: the training set has no more.",
                fitting,
                batches.num_instances,
                batches.num_identities,
            )
            self.recipe = replace(self.recipe, batches=replace(batches, num_identities=fitting))

    def reading(self) -> AbstractContextManager[None]:
        """Returns what goes around all that reads images: says in one line what is damaged."""
        return nullcontext()

    def ask_teacher(self, folder: Path, progress: Progress) -> None:
        """Has the teacher embed all training images, each once; `batches` then give what it says.

        Args:
            folder: The run folder.
            progress: Called with the images done and all that the teacher had not seen yet.
        """
        raise NotImplementedError

    def batches(self, epoch: int) -> tuple[Any, int]:
        """Opens endless batches of images and labels from an epoch on; and counts an epoch's."""
        raise NotImplementedError

    def for_fit(self, batches: Any, outputs: list[str]) -> Any:
        """Gives `fit` what each output of the model is compared with."""
        known = self.recipe.batches.labelled
        pair = functools.partial(pair_targets, outputs, known // self.hosts["hosts"])
        return batches.map(pair) if hasattr(batches, "map") else (pair(*each) for each in batches)

    def first_batches(self, count: int) -> Iterator[tuple[Any, Any]]:
        """Gives the first images and labels, without taking them from the training."""
        for images, labels, *_ in islice(self.batches(0)[0], count):
            yield np.asarray(images), np.asarray(labels)

    def embed(self, embedder: keras.Model) -> Embeddings:
        """Embeds the validation images by a model in memory."""
        size = self.recipe.model.image_size
        return self.embed_by(lambda images: embed(embedder, [images]), size)

    def embed_by(self, embed_batch: EmbedBatch, image_size: tuple[int, int]) -> Embeddings:
        """Embeds the validation images, resized to height and width, a batch at a time."""
        raise NotImplementedError

    def pictures(self, rows: set[int]) -> dict[int, Images]:
        """Reads some validation images, by their row in `embed`."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Describes what a resumed run must find unchanged: people, images, the teacher if any."""
        return {} if self.teacher is None else {"teacher": self.teacher.fingerprint}

    def name_validation(self) -> str:
        """Says who the scores are of; only a split by identity holds people out."""
        raise NotImplementedError


def open_training_data(
    data: str | Path, recipe: Recipe, *, process: int = 0, processes: int = 1
) -> TrainingData:
    """Opens a record set, or a dataset folder whose images are then held in memory.

    Raises:
        InputError: It cannot be used.
    """
    hosts = {"host": process, "hosts": processes}
    if find_spec("tensorflow") is None:
        if (Path(data) / "manifest.json").exists():
            raise InputError(
                f"{data}: holds records, which TensorFlow reads, and it is not installed. Give the "
                "dataset folder, whose images are then held in memory; or install tensorflow."
            )
        return MemoryData(data, recipe, hosts)
    from siamese.records import is_record_set

    kind = RecordData if is_record_set(data) else MemoryData
    return kind(data, recipe, hosts)


def name_held_out(people: int, sources: Sequence[str] = ()) -> str:
    """Says who is held out.

    Example:
        >>> name_held_out(47, ["market1501", "cuhk01"])
        '47 held-out people of market1501, cuhk01'
    """
    return f"{people} held-out people" + (f" of {', '.join(sources)}" if sources else "")


class RecordData(TrainingData):
    """A record set, read by TensorFlow."""

    def __init__(self, folder: str | Path, recipe: Recipe, hosts: dict[str, int]) -> None:
        from siamese.loader.from_records import batch_image_size
        from siamese.records import read_manifest

        super().__init__(recipe, hosts)
        self.folder = folder
        self.manifest = read_manifest(folder)
        part = self.manifest.parts["train"]
        self.people = part.classes
        self.images = part.images
        if not part.images:
            raise InputError(
                f"{folder}: holds no training images, as all people are held out (validation size "
                "1). Make other records."
            )
        self.scored = "validation" if self.manifest.parts["validation"].images else "train"
        self.sources = self.manifest.held_out_sources
        self.image_size = batch_image_size(part, recipe.model.image_size)
        unknown = self.manifest.parts.get("unlabelled")
        self.set_unlabelled(unknown.images if unknown is not None else 0)
        given = kept_triplets(folder) if recipe.batches.sampler == "triplets" else []
        self.fit_batches(list(part.images_by_label.values()), len(given))

    def reading(self) -> AbstractContextManager[None]:
        """As `TrainingData`."""
        from siamese.loader.from_records import naming_damage

        return naming_damage(self.folder)

    def ask_teacher(self, folder: Path, progress: Progress) -> None:
        """As `TrainingData`."""
        from siamese.loader.from_records import encoded_images

        assert self.teacher is not None
        shards = [*self._shards("train"), *self._unlabelled_shards()]
        kept = Path(self.folder if os.access(self.folder, os.W_OK) else folder) / TEACHER
        self.taught = embed_crops(self.teacher, lambda: encoded_images(shards), kept, progress)

    def _shards(self, part: str) -> list[str]:
        from siamese.records import shard_paths

        return shard_paths(self.folder, self.manifest, part)

    def _unlabelled_shards(self) -> list[str]:
        return self._shards("unlabelled") if self.recipe.batches.unlabelled else []

    def batches(self, epoch: int) -> tuple[Any, int]:
        """As `TrainingData`."""
        from siamese.loader.from_records import train_batches

        return train_batches(
            self._shards("train"),
            self.manifest.parts["train"],
            image_size=self.image_size,
            **vars(self.recipe.batches),
            sources=self.manifest.source_labels,
            unlabelled_shards=self._unlabelled_shards(),
            taught=self.taught,
            person_share=self.recipe.distillation.person_share,
            seed=self.recipe.seed,
            first_epoch=epoch,
            **self.hosts,
        )

    def embed_by(self, embed_batch: EmbedBatch, image_size: tuple[int, int]) -> Embeddings:
        """As `TrainingData`."""
        return embed_records(embed_batch, self.folder, self.scored, image_size)

    def pictures(self, rows: set[int]) -> dict[int, Images]:
        """As `TrainingData`; one more pass over the shards."""
        size = self.recipe.model.image_size
        return read_record_pictures(self.folder, rows, size, part=self.scored)

    def describe(self) -> dict[str, Any]:
        """As `TrainingData`."""
        return {
            "labels": self.manifest.labels,
            "split": self.manifest.split,
            "images": {name: part.images for name, part in self.manifest.parts.items()},
            **super().describe(),
        }

    def name_validation(self) -> str:
        """As `TrainingData`."""
        people = self.manifest.parts[self.scored].people
        if self.scored == "train":
            return f"{people} training people, as nobody is held out"
        if self.manifest.split.get("by") == "identity":
            return name_held_out(people, self.sources)
        return f"validation images of {people} people, whom training sees too"


class MemoryData(TrainingData):
    """A dataset folder, read into memory: no records and no TensorFlow.

    It is split as `siamese records make` splits by default: by identity, with seed 0.
    """

    split = SplitRule()

    def __init__(self, folder: str | Path, recipe: Recipe, hosts: dict[str, int]) -> None:
        super().__init__(recipe, hosts)
        layout = recognise(folder)
        samples = list_samples(layout, "train")
        refuse_duplicates(samples)
        train, held_out = split_samples(
            samples, self.split.by, self.split.validation_size, self.split.random_seed
        )
        self.triplets: list[list[str]] = []
        if layout.name == "triplet-csv":
            self.triplets = find_triplets(folder, train)
        self.paths = [sample.path for sample in train]
        self.train = read_images(train, image_size=recipe.model.image_size)
        self.held_out = read_images(held_out, image_size=recipe.model.image_size)
        pairs = zip(self.train.people.tolist(), self.train.labels.tolist(), strict=True)
        self.labels = dict(sorted(pairs))
        self.people = len(self.labels)
        self.images = len(train)
        height, width = self.train.images.shape[1:3]
        self.image_size = (height, width)
        self.set_unlabelled(int((self.train.labels < 0).sum()))
        known = self.train.labels[self.train.labels >= 0]
        given = self.triplets if recipe.batches.sampler == "triplets" else []
        self.fit_batches(np.unique(known, return_counts=True)[1].tolist(), len(given))

    def ask_teacher(self, folder: Path, progress: Progress) -> None:
        """As `TrainingData`; the files are read once more, as large as they are."""
        assert self.teacher is not None
        self.taught = embed_crops(
            self.teacher, lambda: map(read_bytes, self.paths), folder / TEACHER, progress
        )

    def batches(self, epoch: int) -> tuple[Any, int]:
        """As `TrainingData`."""
        return array_batches(
            self.train,
            **vars(self.recipe.batches),
            taught=self.taught,
            person_share=self.recipe.distillation.person_share,
            triplets=self.triplets,
            seed=self.recipe.seed,
            first_epoch=epoch,
            **self.hosts,
        )

    def embed_by(self, embed_batch: EmbedBatch, image_size: tuple[int, int]) -> Embeddings:
        """As `TrainingData`; the images in memory have the size of the recipe."""
        del image_size
        held_out = self.held_out
        return Embeddings(
            np.concatenate([embed_batch(batch.images) for batch in held_out.batches()]),
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
            "split": self.split.to_dict(),
            "images": {"train": self.images, "validation": len(self.held_out.images)},
            **super().describe(),
        }

    def name_validation(self) -> str:
        """As `TrainingData`."""
        return name_held_out(len(set(self.held_out.people.tolist())))
