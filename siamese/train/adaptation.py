"""Adapts a model to cameras by crops of people whom nobody has named: the recipe `adapt`."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from siamese.datasets import Sample
from siamese.embeddings import list_all
from siamese.errors import InputError
from siamese.files import write_json
from siamese.loader.from_files import array_batches, read_images
from siamese.metrics.blocks import mean_rows, unit_rows
from siamese.metrics.calibration import Calibration
from siamese.metrics.density import DensityClusters, find_density_clusters
from siamese.metrics.likeness import fit_likeness, measure_appearance
from siamese.metrics.masks import UNKNOWN_CAMERA
from siamese.metrics.unlabelled import camera_statistics, standardise
from siamese.models.backbones import put_weights
from siamese.models.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from siamese.models.embedder import embed
from siamese.models.transfer import is_model, model_path
from siamese.profiles import calibrate_rows
from siamese.recipes import Recipe
from siamese.sampler import count_groups, fit_groups
from siamese.train import run_dir
from siamese.train.averaging import NORM_BATCHES, embedder_of, update_embedder
from siamese.train.callbacks import (
    Checkpoints,
    EarlyStopping,
    Logs,
    ProgressBar,
    RandomNumbers,
    RunCallback,
    Watchdog,
)
from siamese.train.objective import MEMORY
from siamese.train.tensorboard import TensorBoard
from siamese.train.training_data import TrainingData

ASIDE = 0.2
"""Share of the crops that are never trained on: what they say of an epoch chooses the best."""
PATIENCE = 3
"""Epochs without a better silhouette after which a run ends, where the caller names no number."""
FEWEST_STEPS = 20
"""Batches in an epoch of a small set, whose crops come several times in it."""
FEWEST_CROPS = 10
MEASURED = 500
"""Crops whose appearance the model file keeps."""
SILHOUETTE = "val_silhouette"


class UnlabelledCrops(TrainingData):
    """Crops of unknown people, in memory; who they show is forgotten where their names say it.

    Attributes:
        aside: `(crops,)`, whether a crop is kept out of the training.
        labels: `(crops,)`, the clusters that stand in for people, from 0; -1 for crops that are not
            trained on.
        rows: `(crops, dimensions)`, the embeddings by the model that last was asked.
    """

    def __init__(self, folder: str | Path, recipe: Recipe) -> None:
        super().__init__(recipe, {"host": 0, "hosts": 1})
        _check_recipe(recipe)
        if (Path(folder) / "manifest.json").exists():
            raise InputError(f"{folder}: holds records. Adapt on the folder of the crops.")
        samples = list_all(Path(folder))
        known = {each.camera for each in samples} - {UNKNOWN_CAMERA}
        if len(samples) < FEWEST_CROPS or (len(known) == 1 and len(samples) > 1):
            what = f"{len(samples)} crops" + (f", all of camera {known.pop()}" if known else "")
            raise InputError(
                f"{folder}: at least {FEWEST_CROPS} crops are needed, of two cameras or more. "
                f"Received: {what}. Add crops of others."
            )
        self.crops = read_images(
            [Sample(each.path, "", each.camera) for each in samples],
            image_size=recipe.model.image_size,
        )
        self.together = _number_tracklets(samples) if recipe.adaptation.tracklets else None
        self.tracklets = np.array([each.tracklet for each in samples], np.int64)
        self.images = len(samples)
        self.people = self.images // 2  # clusters of two crops or more
        height, width = self.crops.images.shape[1:3]
        self.image_size = (height, width)
        order = np.random.default_rng(recipe.seed).permutation(self.images)
        self.aside = np.isin(np.arange(self.images), order[: round(ASIDE * self.images)])
        self.labels = np.full(self.images, -1)
        self.steps = max(FEWEST_STEPS, -(-int((~self.aside).sum()) // recipe.batches.labelled))

    def embed_crops(self, embedder: keras.Model) -> None:
        """Sets the embeddings of all crops."""
        self.rows = embed(embedder, (each.images for each in self.crops.batches()))

    def find_clusters(self, embedder: keras.Model, neighbours: int | None) -> DensityClusters:
        """Finds clusters by a model among all crops, standardised by camera.

        `neighbours` is as for `find_density_clusters`.
        """
        cameras = self.crops.cameras
        self.embed_crops(embedder)
        return find_density_clusters(
            standardise(self.rows, cameras, camera_statistics(self.rows, cameras)),
            cameras,
            radius=self.recipe.adaptation.radius,
            together=self.together,
            neighbours=neighbours,
        )

    def take_clusters(self, found: DensityClusters, memory: keras.layers.Layer) -> bool:
        """Has clusters stand in for people, their centres in the memory.

        Returns:
            Whether there are two at least to train on; else all is left as it is.
        """
        labels = np.where(self.aside, -1, found.numbers)
        numbers, codes = np.unique(labels[labels >= 0], return_inverse=True)
        if len(numbers) < 2:
            return False
        centres = np.zeros(memory.centres.shape, np.float32)
        centres[numbers] = unit_rows(mean_rows(self.rows[labels >= 0], codes))
        memory.centres.assign(centres)
        self.labels = labels
        return True

    def batches(self, epoch: int) -> tuple[Any, int]:
        """As `TrainingData`; none before there are clusters."""
        if self.labels.max() < 0:
            return iter(()), self.steps
        section = self.recipe.batches
        counts = np.unique(self.labels[self.labels >= 0], return_counts=True)[1]
        groups = fit_groups(count_groups(counts, section.num_instances), section.num_identities)
        options = {**vars(section), "num_identities": groups, "seed": self.recipe.seed}
        data = replace(self.crops, labels=self.labels)
        return array_batches(data, first_epoch=epoch, **options)[0], self.steps

    def describe(self) -> dict[str, Any]:
        """As `TrainingData`."""
        names = blake2b("\n".join(self.crops.names.tolist()).encode(), digest_size=8).hexdigest()
        return {"split": {}, "crops": self.images, "aside": int(self.aside.sum()), "names": names}

    def name_validation(self) -> str:
        """As `TrainingData`."""
        return f"{int(self.aside.sum())} crops kept aside"


@dataclass
class Adaptation:
    """A run of the recipe `adapt` that has its folder, its crops and its model."""

    folder: Path
    start: run_dir.RunConfig
    source: UnlabelledCrops
    model: keras.Model
    board: TensorBoard
    console: Console

    def run(self, first_epoch: int) -> dict[str, Any]:
        """Trains from an epoch on, keeps the best one, the start among them, and calibrates it.

        Returns:
            What `scores.json` says.

        Raises:
            InputError: Nothing clusters.
        """
        recipe, source, folder = self.start.recipe, self.source, self.folder
        self.embedder = embedder_of(self.model)
        before = folder / "untrained.json"
        if first_epoch:
            run_dir.note(self.console, f"resumes after epoch {first_epoch}")
            untrained = self.untrained = json.loads(before.read_text(encoding="utf-8"))
        else:
            self.found = source.find_clusters(self.embedder, None)
            untrained = self.untrained = self._measure(None)
            write_json(before, untrained)
            self._save()
            self.board.settings(recipe.to_dict(), folder.name)
        self.board.restart(first_epoch)
        run_dir.note(
            self.console,
            f"{source.images:,} crops, {int(source.aside.sum())} of them kept aside; before: "
            f"{untrained['clusters']} clusters of {untrained['clustered']:.0%} of the crops, by "
            f"{untrained['neighbours']} neighbours; silhouette {untrained[SILHOUETTE]:.3f}",
        )
        history = run_dir.read_history(folder, before=first_epoch)
        scored = [untrained, *history]
        bar = ProgressBar(self.console, recipe.epochs, source.steps, batch=recipe.batches.labelled)
        patience = PATIENCE if self.start.patience is None else self.start.patience
        stopping = EarlyStopping(patience, scored, self.console, SILHOUETTE)
        best = max(row[SILHOUETTE] for row in scored)
        callbacks = [
            RandomNumbers(recipe.seed),
            Watchdog(self.console, history, alone=False),
            EpochClusters(self._cluster_again, images=source.steps * recipe.batches.labelled),
            self.board,
            Checkpoints(folder, save_best=self._save, best=best, score=SILHOUETTE),
            bar,
            stopping,
        ]
        if first_epoch and not stopping.over:
            self.found = source.find_clusters(self.embedder, untrained["neighbours"])
        try:
            for epoch in range(first_epoch, recipe.epochs):
                if stopping.over or not self._take_clusters(epoch):
                    break
                self.model.fit(
                    source.for_fit(source.batches(epoch)[0], list(self.model.output)),
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    steps_per_epoch=source.steps,
                    verbose=0,
                    shuffle=False,
                    callbacks=callbacks,
                )
        finally:
            bar.stop()
        return self._finish(untrained)

    def _take_clusters(self, epoch: int) -> bool:
        if self.source.take_clusters(self.found, self.model.get_layer(MEMORY)):
            return True
        what = f"the {self.source.images} crops make fewer than two clusters to train on"
        if epoch == 0:
            raise InputError(
                f"{self.start.data}: {what}, so there is nothing to learn from. Add crops of other "
                "people and by other cameras, or give another --set adaptation.radius."
            )
        run_dir.note(self.console, f"stops after epoch {epoch}: {what}")
        return False

    def _cluster_again(self) -> dict[str, float]:
        update_embedder(self.embedder, self.model, self._norm_images)
        self.found = self.source.find_clusters(self.embedder, self.found.neighbours)
        return self._measure(self.untrained["val_spread"])

    def _measure(self, spread_before: float | None) -> dict[str, float]:
        """Measures the crops kept aside, and says what the clusters are.

        A silhouette does not see how large the differences are that it compares: embeddings that
        have nearly collapsed may cluster well. So it counts less, in proportion, where embeddings
        lie closer together than those of the start.
        """
        silhouette = float(self.found.silhouettes[self.source.aside].mean())
        spread = float(np.sqrt(max(1 - (self.source.rows.mean(axis=0) ** 2).sum(), 0)))
        if spread_before:
            silhouette *= min(spread / spread_before, 1.0)
        return {
            SILHOUETTE: silhouette,
            "val_spread": spread,
            "clusters": self.found.count,
            "clustered": self.found.share,
            "neighbours": self.found.neighbours,
        }

    def _norm_images(self) -> Iterator[Any]:
        for images, _ in self.source.first_batches(NORM_BATCHES):
            yield images

    def _save(self) -> None:
        path, image_size = self.folder / "model.keras", self.start.recipe.model.image_size
        save_checkpoint(path, self.embedder, image_size=image_size)

    def _finish(self, untrained: dict[str, float]) -> dict[str, Any]:
        """Calibrates the best epoch on pairs of unknown people and writes the report."""
        folder, source, recipe = self.folder, self.source, self.start.recipe
        put_weights(self.embedder, load_checkpoint(folder / "model.keras").embedder.get_weights())
        source.embed_crops(self.embedder)
        own = read_metadata(model_path(recipe.model.weights)).get("calibration")
        calibration, pairing, share = calibrate_rows(
            source.rows,
            source.crops.cameras,
            source.tracklets,
            reference=None if own is None else Calibration.from_dict(own),
        )
        shown = np.linspace(0, source.images - 1, MEASURED).astype(int)
        likeness = fit_likeness(
            measure_appearance(source.crops.images[row] for row in np.unique(shown))
        )
        saved = save_checkpoint(
            folder / "model.keras",
            self.embedder,
            image_size=recipe.model.image_size,
            metadata={
                "starting_weights": self.start.starting_weights,
                "recipe": recipe.to_dict(),
                "calibration": calibration.to_dict(),
                "likeness": likeness.to_dict(),
            },
        )
        history = run_dir.read_history(folder)
        best = max([untrained, *history], key=lambda row: row[SILHOUETTE])
        card = {
            "data": self.start.data,
            "crops": source.images,
            "aside": int(source.aside.sum()),
            "epochs": len(history),
            "best_epoch": int(best.get("epoch", -1)) + 1,  # 0: the start
            "before": untrained,
            "after": {name: best[name] for name in untrained},
            "pairing": pairing,
            "same_person_share": share,
            "starting_weights": self.start.starting_weights,
            "fingerprint": saved["fingerprint"],
            "versions": run_dir.versions(),
        }
        write_json(folder / run_dir.SCORES, card)
        return card


@dataclass(eq=False)
class EpochClusters(RunCallback):
    """Clusters the crops after each epoch, and times the epoch, into the logs."""

    cluster: Callable[[], dict[str, float]]
    images: int  # in an epoch

    def on_epoch_begin(self, _epoch: int, _logs: Logs | None = None) -> None:
        """Starts the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, _epoch: int, logs: Logs) -> None:
        """Adds rate, and what the clusters say."""
        logs["images_per_second"] = self.images / (time.perf_counter() - self.started)
        schedule = self.model.optimizer.learning_rate
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(schedule))
        logs.update(self.cluster())


def _check_recipe(recipe: Recipe) -> None:
    """Answers, in one line, what a recipe for unknown people cannot have."""
    if not 0 < recipe.adaptation.radius < 1:
        raise InputError(
            "`adaptation.radius` must be above 0 and below 1. Received: "
            f"{recipe.adaptation.radius}. Give --set adaptation.radius=0.4."
        )
    if not is_model(recipe.model.weights):
        raise InputError(
            "clusters of unknown people come from a trained model. Received: weights "
            f"{recipe.model.weights}. Give --weights pretrained, or a model.keras."
        )
    section = recipe.loss
    if section.identity_weight or section.centre_weight or section.same_different_weight:
        raise InputError(
            "clusters are numbered anew in each epoch, so only the metric loss may go with "
            "adaptation. Set loss.identity_weight, centre_weight and same_different_weight to 0."
        )
    if recipe.distillation.teachers or recipe.batches.sampler != "pk":
        raise InputError(
            "adaptation has no teacher and batches of P clusters x K crops. Received: "
            f"{len(recipe.distillation.teachers)} teachers and the sampler "
            f"{recipe.batches.sampler}. Leave out --teacher, and set batches.sampler=pk."
        )


def _number_tracklets(samples: Sequence[Sample]) -> NDArray[np.int64]:
    """Numbers tracklets from 0, -1 for crops of none; datasets number those of each person."""
    places: dict[tuple[str, int, int], int] = {}
    found = [
        places.setdefault((each.person, each.camera, each.tracklet), len(places))
        if each.tracklet >= 0
        else -1
        for each in samples
    ]
    return np.array(found, np.int64)
