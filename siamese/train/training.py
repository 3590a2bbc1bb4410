"""The training stage: from a recipe and images to a run folder."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from siamese import plots
from siamese.augment import build_augmentation
from siamese.errors import InputError
from siamese.evaluate import ScoreReport, Scores, score_embedded
from siamese.evaluate.score_files import QUERIES_FILE, write_queries
from siamese.files import write_json
from siamese.inference.channels import doubt_channels
from siamese.metrics.likeness import fit_likeness, measure_appearance
from siamese.models.backbones import put_weights
from siamese.models.checkpoint import load_checkpoint, save_checkpoint
from siamese.models.transfer import describe_start, is_model
from siamese.recipes import Recipe
from siamese.train import run_dir
from siamese.train.adaptation import Adaptation, UnlabelledCrops
from siamese.train.averaging import NORM_BATCHES, apply_augmentation, embedder_of, update_embedder
from siamese.train.callbacks import (
    Checkpoints,
    EarlyStopping,
    EpochScores,
    ProgressBar,
    RandomNumbers,
    Watchdog,
    show_counts,
)
from siamese.train.devices import OneDevice, open_devices, own_folder
from siamese.train.finalize import (
    calibrate_and_save,
    plot_held_out,
    score_pretrained,
    settle_in_use,
)
from siamese.train.objective import build_training_model, complete_recipe, held_out_loss
from siamese.train.teacher import Views
from siamese.train.tensorboard import EpochPictures, TensorBoard
from siamese.train.training_data import TrainingData, open_training_data

WATCHED_BATCHES = 4
"""Training batches whose hardest triplets are shown after each scoring."""
PROJECTED = 1_000
"""Held-out images in TensorBoard's projector."""
MEASURED = 500
"""Held-out images whose appearance the model file keeps."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Its folder.
        scores: Of the held-out people, as `scores.json` says.
        log: The folder of its TensorBoard log.
        in_use: Which model answers from now on where none is named, and why, in words.
    """

    folder: Path
    scores: dict[str, Any]
    log: Path
    in_use: str


def train(
    data: str | Path,
    recipe: Recipe | None = None,
    *,
    run: str | Path | None = None,
    log: str | Path = "train.log",
    patience: int | None = None,
    devices: int | None = 1,
    console: Console | None = None,
) -> Run:
    """Trains, scores and calibrates a model.

    The run folder holds `recipe.json`, `model.keras` (the epoch with the best mAP on held-out
    people, calibrated), `last.keras` and `previous.keras` (the states to resume from),
    `history.csv`, `scores.json` and pictures. `recipe.json` is written first and `scores.json`
    last. Where a run goes on from a model of ours and no epoch is better, that model is kept.
    Where the recipe says that nobody is known, `siamese.train.adaptation` does the training.

    Args:
        data: The folder of a record set; or a dataset folder, whose images are then held in
            memory, without TensorFlow.
        recipe: What to train; None resumes a run with its own recipe, from its last whole epoch.
        run: The run folder. By default `runs/<recipe>`, with a number when that is taken; to
            resume, the newest in `runs`.
        log: Folder of TensorBoard logs; a new run gets one of its own name in it, a resumed one
            goes on in its old one.
        patience: End early after this many scorings without a better mAP; None: never. A resumed
            run keeps its own.
        devices: How many devices of this machine train together; None: all. Each batch is shared
            by them. See `siamese.train.devices`, also for several machines.
        console: Where progress is shown; nowhere by default.

    Returns:
        The finished run.

    Raises:
        InputError: The images, the recipe or the run folder cannot be used, or nothing is learnt.
    """
    machine = open_devices(devices)
    if console is None or machine.process:
        console = Console(quiet=True)
    start: run_dir.RunConfig | None = None
    if recipe is None:
        folder = run_dir.find_run(run)
        start = run_dir.read_run_config(folder)
        recipe = start.recipe
    else:
        recipe = complete_recipe(recipe)
        folder = run_dir.new_folder(run, recipe.name)
    if recipe.precision == "auto" and machine.processes > 1:
        raise InputError(
            "precision `auto` is measured, and processes could measure differently. Name one: "
            "--precision float32 or mixed_bfloat16."
        )
    machine.check(
        num_identities=recipe.batches.num_identities, num_instances=recipe.batches.num_instances
    )
    adapts = bool(recipe.adaptation.radius)
    source: TrainingData
    if adapts:
        source = UnlabelledCrops(data, recipe)
    else:
        source = open_training_data(
            data, recipe, process=machine.process, processes=machine.processes
        )
    recipe, teacher = source.recipe, source.teacher
    same_view = teacher is not None and recipe.distillation.same_view
    if recipe.augmentation.cut_mix and (recipe.loss.uses_labels or not same_view):
        raise InputError(
            "`augmentation.cut_mix` goes with a teacher that sees the same (--teacher FILE, --set "
            "distillation.same_view=true) and without losses on labels (loss.metric_weight=0 "
            "loss.identity_weight=0). Set these, or cut_mix to 0."
        )
    if machine.count > 1 and (same_view or recipe.batches.unlabelled or adapts):
        raise InputError(
            "images of unknown people, and a teacher of the same view, need one device. Received: "
            f"{machine.count}. Leave out --devices, or take a recipe without."
        )
    if start is not None:
        run_dir.refuse_other_images(folder, start, source.describe())
    with source.reading():
        steps = source.batches(0)[1]
    with own_folder(machine, folder) as folder, run_dir.hold_folder(folder), source.reading():
        if teacher is not None and start is None:
            images = list(next(source.first_batches(1))[0])
            doubts = [doubt_channels(model, images) for model in teacher.models]
            for doubt in filter(None, doubts):
                run_dir.note(console, f"warning: teacher {doubt}")
        if teacher is not None and not same_view:
            with show_counts(console, "crops embedded by the teacher") as progress:
                source.ask_teacher(folder, progress)
        keras.utils.set_random_seed(recipe.seed)
        with machine.building():
            states = (folder / run_dir.LAST, folder / run_dir.PREVIOUS)
            if start is not None and any(each.exists() for each in states):
                model, epoch = run_dir.load_state(folder, start.architecture, console)
            else:
                epoch = 0
                model = build_training_model(
                    recipe,
                    image_size=source.image_size,
                    classes=source.people,
                    steps=steps,
                    teacher_size=0 if teacher is None else teacher.dimensions,
                    note=functools.partial(run_dir.note, console),
                )
        if start is None:
            own_log = run_dir.free_folder(
                Path(log if machine.process == 0 else folder) / folder.name
            )
            start = run_dir.RunConfig(
                recipe,
                source.describe(),
                str(own_log.absolute()),
                patience,
                run_dir.describe_architecture(model),
                str(data),
                describe_start(recipe.model.backbone, recipe.model.weights),
            )
            run_dir.write_run_config(folder, start)
        board = TensorBoard(start.log if machine.process == 0 else folder / "log")
        try:
            if isinstance(source, UnlabelledCrops):
                adaptation = Adaptation(folder, start, source, model, board, console)
                card = adaptation.run(epoch)
                return Run(folder, card, Path(start.log), settle_in_use(folder, start, card))
            training = _Training(folder, start, source, model, machine, board, console, steps)
            return training.run(epoch, data)
        finally:
            board.close()


@dataclass
class _Training:
    """A run that has its folder, its images and its model."""

    folder: Path
    start: run_dir.RunConfig
    source: TrainingData
    model: keras.Model
    machine: OneDevice
    board: TensorBoard
    console: Console
    steps: int

    def __post_init__(self) -> None:
        self.recipe = self.start.recipe
        self.shared = embedder_of(self.model)
        self.embedder = self.machine.own_copy(self.shared)
        # A model to start from may be better than all that comes after it, and is then kept.
        self.goes_on = is_model(self.recipe.model.weights)
        self.views: Views | None = None
        if self.source.teacher is not None and self.recipe.distillation.same_view:
            layers = build_augmentation(**vars(self.recipe.augmentation), seed=self.recipe.seed)
            self.views = Views(self.source.teacher, layers, seed=self.recipe.seed, steps=self.steps)
        self.machine.prepare(self.model)

    def run(self, first_epoch: int, data: str | Path) -> Run:
        """Trains from an epoch on, and finishes."""
        recipe, folder = self.recipe, self.folder
        batch = recipe.batches.labelled + recipe.batches.unlabelled
        self._say_what(batch)
        first = zip(*self.source.first_batches(WATCHED_BATCHES), strict=True)
        images, labels = (np.concatenate(each) for each in first)
        self.board.restart(first_epoch)
        if first_epoch:
            run_dir.note(self.console, f"resumes after epoch {first_epoch}")
        else:
            write_json(folder / "untrained.json", self._score().to_dict())
            if self.goes_on:
                self._save_best()
            self.board.settings(recipe.to_dict(), folder.name)
            with self.machine.outside():
                seen = self._augment(images[:batch])
            self.board.picture("batch/augmented", plots.plot_images(seen[:32]), 0)
        kept = json.loads((folder / "untrained.json").read_text(encoding="utf-8"))
        untrained = ScoreReport.from_dict(kept)
        run_dir.note(
            self.console,
            f"{'before' if self.goes_on else 'untrained'}, {self.source.name_validation()}: Rank-1 "
            f"{untrained.rank1:.3f}  mAP {untrained.mAP:.3f}  EER {untrained.eer:.3f}",
        )
        history = run_dir.read_history(folder, before=first_epoch)
        scored = [{"val_mAP": untrained.mAP}, *history] if self.goes_on else history
        bar = ProgressBar(self.console, epochs=recipe.epochs, steps=self.steps, batch=batch)
        known = labels >= 0
        watchdog = Watchdog(self.console, history, alone=len(self.model.output) == 1)
        callbacks: list[keras.callbacks.Callback] = [
            RandomNumbers(recipe.seed),
            watchdog,
            EpochScores(
                self._score,
                lambda: held_out_loss(recipe, self.gallery),
                every=recipe.score_every,
                epochs=recipe.epochs,
                images=self.steps * batch,
            ),
            self.board,
            EpochPictures(
                self.board, self.embedder, lambda: self.gallery, images[known], labels[known]
            ),
            Checkpoints(
                folder,
                save_best=self._save_best,
                best=max((row.get("val_mAP", 0.0) for row in scored), default=0.0),
            ),
            bar,
        ]
        ended = watchdog.over
        if self.start.patience is not None:
            stopping = EarlyStopping(self.start.patience, scored, self.console)
            ended = ended or stopping.over
            callbacks.append(stopping)
        try:
            if first_epoch < recipe.epochs and not ended:
                with self.machine.fitting():
                    self.model.fit(
                        self.machine.feed(lambda: self._open_batches(first_epoch)),
                        epochs=recipe.epochs,
                        initial_epoch=first_epoch,
                        steps_per_epoch=self.steps,
                        verbose=0,
                        shuffle=False,  # the images are shuffled already
                        callbacks=callbacks,
                    )
        finally:
            bar.stop()
        return self._finish(untrained, data)

    def _finish(self, untrained: ScoreReport, data: str | Path) -> Run:
        recipe, folder, embedder = self.recipe, self.folder, self.embedder
        # What the file keeps, and what is calibrated, is the best epoch, not the last.
        put_weights(embedder, load_checkpoint(folder / "model.keras").embedder.get_weights())
        scores = self._score_copy()
        if self.goes_on and scores.ranking.mAP <= untrained.mAP:
            run_dir.note(
                self.console,
                "no epoch was better on the held-out people than the model it started from: "
                "model.keras is that model, calibrated on your people",
            )
        facts = {
            "data": str(data),
            "source": self.source.name_validation(),
            "split": self.start.source["split"],
            "untrained": {name: getattr(untrained, name) for name in ("rank1", "mAP", "eer")},
            "starting_weights": self.start.starting_weights,
        }
        if (pretrained := score_pretrained(self.source)) is not None:
            facts["pretrained"] = pretrained
        if self.source.teacher is not None:
            facts["distilled_from"] = self.source.teacher.describe()
        measured = set(np.linspace(0, len(self.gallery) - 1, MEASURED).astype(int).tolist())
        projected = range(min(PROJECTED, len(self.gallery)))
        pictures = self.source.pictures(measured.union(projected))
        likeness = fit_likeness(measure_appearance(pictures[row] for row in sorted(measured)))
        card = calibrate_and_save(
            folder, recipe, embedder, scores, self.gallery, facts, likeness, self.source.sources
        )
        ranked = plot_held_out(self.source, recipe, self.gallery, scores.ranking)
        plots.save(ranked, folder / "rank_list.png")
        query = self.gallery.rows(self.gallery.first_rows())
        write_queries(query, self.gallery, scores.ranking, folder / QUERIES_FILE)
        self.board.picture("held_out/rank_list", ranked, len(run_dir.read_history(folder)) - 1)
        some = self.gallery.rows(np.arange(len(projected)))
        shown = [pictures[row] for row in projected]
        self.board.projector(some.embeddings, some.people.tolist(), some.cameras.tolist(), shown)
        write_json(folder / "scores.json", card)
        in_use = "" if self.machine.process else settle_in_use(folder, self.start, card)
        return Run(folder, card, Path(self.start.log), in_use)

    def _score(self) -> Scores:
        """Scores the training model as it is."""
        update_embedder(self.shared, self.model, self._norm_images)
        if self.embedder is not self.shared:
            put_weights(self.embedder, self.shared.get_weights())
        return self._score_copy()

    def _score_copy(self) -> Scores:
        """Scores the embedder as it is."""
        with self.machine.outside():
            self.gallery = self.source.embed(self.embedder)
        return score_embedded(self.gallery)

    def _save_best(self) -> None:
        path, image_size = self.folder / "model.keras", self.recipe.model.image_size
        save_checkpoint(path, self.embedder, image_size=image_size)

    def _open_batches(self, first_epoch: int) -> Any:
        batches = self.source.batches(first_epoch)[0]
        if self.views is not None:
            batches = self.views.teach(batches, first_epoch)
        return self.source.for_fit(batches, list(self.model.output))

    def _augment(self, images: Any) -> Any:
        """Changes a batch as the network sees it in training."""
        if self.views is not None:
            return self.views.change(images)
        return keras.ops.convert_to_numpy(apply_augmentation(self.model, images))

    def _norm_images(self) -> Iterator[Any]:
        """Gives images for the statistics of batch normalisation."""
        for images, _ in self.source.first_batches(NORM_BATCHES):
            yield images if self.views is None else self.views.change(images)

    def _say_what(self, batch: int) -> None:
        height, width = self.recipe.model.image_size
        count = self.recipe.batches.unlabelled
        unknown = f", {count} of them images of unknown people" if count else ""
        devices = f", shared by {self.machine.count} devices" if self.machine.count > 1 else ""
        run_dir.note(
            self.console,
            f"recipe {self.recipe.name}: {self.recipe.model.backbone}, "
            f"{self.embedder.count_params():,} weights, input {height}x{width}; "
            f"{self.source.people} people, {self.source.images:,} images; an epoch is {self.steps} "
            f"batches of {batch}{unknown}{devices}",
        )
