"""Keras callbacks of a run: random numbers, scores, alarms, early stopping, states, progress.

Keras's own cannot stand in: `EarlyStopping` forgets its count when a run is resumed, `CSVLogger`
drops scores that the first epoch has not, `TerminateOnNaN` ends a run without an error, and
`BackupAndRestore` restores weights alone and never an older state.
"""

import contextlib
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from siamese.augment import restart_random_numbers
from siamese.errors import InputError
from siamese.evaluate import Scores
from siamese.files import whole_file
from siamese.train.run_dir import EPOCHS, LAST, PREVIOUS, note, read_history, write_history
from siamese.train.speed import unsynchronised

Logs = dict[str, Any]

COLLAPSED = 0.01
"""A spread of the embeddings below this is a collapse. Trained ones have 0.5 to 1; batch-hard runs
that dip to 0.05 at first were seen to recover."""
SETTLED = 20
"""Steps of an epoch before its mean spread is judged."""
IDLE = 3
"""Epochs in a row without any active triplet after which a run ends."""


@contextlib.contextmanager
def show_counts(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar while something counts; a line for each tenth where there is no terminal."""
    tenths = 0

    def count(done: int, total: int) -> None:
        nonlocal tenths
        bar.update(task, completed=done, total=total)
        if not console.is_terminal and done * 10 // total > tenths:
            tenths = done * 10 // total
            note(console, f"{done:,} of {total:,} {what}")

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield count


@dataclass(eq=False)
class RunCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback whose arguments are its fields."""

    def __post_init__(self) -> None:
        super().__init__()


@dataclass(eq=False)
class RandomNumbers(RunCallback):
    """Draws the random numbers of an epoch from seed and epoch alone, so that runs resume alike."""

    seed: int

    def on_epoch_begin(self, epoch: int, _logs: Logs | None = None) -> None:
        """Restarts the augmentation layers, and dropout, which has no state of its own to save."""
        flattened = self.model._flatten_layers(include_self=False, recursive=True)
        restart_random_numbers(list(flattened), self.seed, epoch)


@dataclass(eq=False)
class Watchdog(RunCallback):
    """Stops a run that no longer learns, and says why.

    A loss that is no number, and embeddings that are all equal, are errors: their model is of no
    use. Where no triplet has cost anything for some epochs the run ends early, with the model that
    it has.

    Args:
        console: Where the early end is noted.
        history: Earlier epochs of the run.
        alone: Whether the metric loss is the only one.
    """

    console: Console
    history: Sequence[dict[str, float]] = ()
    alone: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.active = [row["active"] for row in self.history if "active" in row]

    @property
    def over(self) -> bool:
        """Returns whether nothing is learnt any more, by the epochs so far."""
        return self.alone and len(self.active) >= IDLE and not any(self.active[-IDLE:])

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Looks at the loss of each step, and at the spread of the batch's embeddings."""
        if not logs:
            return
        measured = logs["metric_spread"] if "metric_spread" in logs else logs.get("spread", 1.0)
        spread = float(measured)
        # Mining by maxima may hide embeddings that are no numbers, so the loss alone is not enough.
        for what, value in (("loss", float(logs["loss"])), ("spread of the embeddings", spread)):
            if not math.isfinite(value):
                raise InputError(
                    f"the {what} is {value} at step {self._step(batch)}. Likely the learning rate "
                    "is too high: write a recipe with a lower one, or with a warm-up."
                )
        if batch + 1 >= SETTLED:
            self._refuse_collapse(batch, spread)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Looks at the whole epoch, and gives its measures the names that they have alone."""
        for name in ("spread", "active"):  # Keras puts the output's name before, if others exist
            if f"metric_{name}" in logs:
                logs[name] = logs.pop(f"metric_{name}")
        steps = int(self.params["steps"])
        self._refuse_collapse(steps - 1, float(logs.get("spread", 1.0)))
        if "active" not in logs:
            return
        self.active.append(float(logs["active"]))
        if self.over:
            self.model.stop_training = True
            note(
                self.console,
                f"stops after epoch {epoch + 1}, step {(epoch + 1) * steps}: for {IDLE} epochs no "
                "triplet cost anything, so nothing is learnt any more. Likely the margin is small "
                "or the triplets are easy: a recipe with a larger margin or batch-hard mining "
                "would go on.",
            )

    def on_epoch_begin(self, epoch: int, _logs: Logs | None = None) -> None:
        """Remembers the epoch."""
        self.epoch = epoch

    def _step(self, batch: int) -> int:
        """Number of the step in the run, from 1."""
        return self.epoch * int(self.params["steps"]) + batch + 1

    def _refuse_collapse(self, batch: int, spread: float) -> None:
        if self.epoch == 0 or spread >= COLLAPSED:  # an untrained network may start with little
            return
        raise InputError(
            f"all embeddings have become equal (spread {spread:.1g}) by step {self._step(batch)}: "
            "the network tells nobody apart and a triplet loss stays at its margin. Likely the "
            "learning rate is too high, batch-hard triplets start from random weights, or the "
            "images are blank: look at them, use a lower rate or pretrained weights, or a recipe "
            "with an identity head such as osnet."
        )


@dataclass(eq=False)
class EarlyStopping(RunCallback):
    """Ends a run after `patience` scorings without a better score, by its whole history."""

    patience: int
    history: Sequence[dict[str, float]]
    console: Console
    score: str = "val_mAP"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scores = [row[self.score] for row in self.history if self.score in row]

    @property
    def over(self) -> bool:
        """Returns whether the last `patience` scores are no better than one before them."""
        best = self.scores.index(max(self.scores)) if self.scores else 0
        return len(self.scores) - 1 - best >= self.patience

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Looks at the score, where there is one."""
        if self.score not in logs:
            return
        self.scores.append(float(logs[self.score]))
        if self.over:
            self.model.stop_training = True
            note(
                self.console,
                f"stops after epoch {epoch + 1}: no better {self.score.removeprefix('val_')} than "
                f"{max(self.scores):.3f} in the last {self.patience} scorings",
            )


@dataclass(eq=False)
class EpochScores(RunCallback):
    """Scores the held-out people, the last epoch always, and times the epoch, into the logs."""

    score: Callable[[], Scores]
    loss: Callable[[], float | None]  # of what was scored
    every: int  # epochs between two scorings
    epochs: int  # of the run
    images: int  # in an epoch

    def on_epoch_begin(self, _epoch: int, _logs: Logs | None = None) -> None:
        """Starts the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Adds rate, and scores where they are due."""
        logs["images_per_second"] = self.images / (time.perf_counter() - self.started)
        schedule = self.model.optimizer.learning_rate
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(schedule))
        last = epoch + 1 == self.epochs or self.model.stop_training
        if last or (epoch + 1) % self.every == 0:
            scores = self.score()
            logs["val_rank1"] = scores.ranking.rank1
            logs["val_mAP"] = scores.ranking.mAP
            logs["val_eer"] = scores.verification.eer
            if (loss := self.loss()) is not None:
                logs["val_loss"] = loss


@dataclass(eq=False)
class Checkpoints(RunCallback):
    """Keeps the history, the last two states and the best embedder, each whole or not there.

    The order matters for a kill between two writes: the last state comes last, so a resumed run
    repeats the epoch and writes the same again.
    """

    folder: Path
    save_best: Callable[[], None]
    best: float  # score so far
    score: str = "val_mAP"

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Writes them."""
        write_history(
            self.folder, [*read_history(self.folder, before=epoch), {"epoch": epoch, **logs}]
        )
        if logs.get(self.score, -1.0) > self.best:
            self.best = logs[self.score]
            self.save_best()
        last = self.folder / LAST
        with whole_file(last) as temporary:
            with unsynchronised(self.model):
                self.model.save(temporary)
            # The optimiser's own count of steps skips those that accumulate or that overflowed.
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(EPOCHS, str(epoch + 1))
            if last.exists():
                last.replace(self.folder / PREVIOUS)


@dataclass(eq=False)
class ProgressBar(RunCallback):
    """Shows a bar with images a second and the time left of the run, and a line an epoch."""

    console: Console
    epochs: int
    steps: int
    batch: int
    bar: Progress | None = None

    def on_train_begin(self, _logs: Logs | None = None) -> None:
        """Draws the bar, once for all calls of `fit`."""
        if self.bar is not None:
            return
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:.0f} images/s  left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.bar.start()
        total = self.steps * self.epochs
        self.task = self.bar.add_task("", total=total, epoch="", loss=math.nan, rate=0.0)

    def on_epoch_begin(self, epoch: int, _logs: Logs | None = None) -> None:
        """Starts the clock of the epoch."""
        self.epoch, self.started = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Moves the bar."""
        if self.bar is None or self.bar.disable:
            return
        self.bar.update(
            self.task,
            completed=self.epoch * self.steps + batch + 1,
            epoch=f"{self.epoch + 1}/{self.epochs}",
            loss=float((logs or {}).get("loss", math.nan)),
            rate=(batch + 1) * self.batch / (time.perf_counter() - self.started),
        )

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Prints the line of the epoch."""
        line = (
            f"epoch {epoch + 1:>3}/{self.epochs}  loss {logs['loss']:7.4f}"
            f"  {logs['images_per_second']:5.0f} images/s"
        )
        if "val_mAP" in logs:
            line += (
                f"  validation: Rank-1 {logs['val_rank1']:.3f}  mAP {logs['val_mAP']:.3f}"
                f"  EER {logs['val_eer']:.3f}"
            )
        if "clusters" in logs:
            line += (
                f"  {logs['clusters']} clusters of {logs['clustered']:.0%} of the crops; "
                f"silhouette {logs['val_silhouette']:.3f}"
            )
        note(self.console, line)

    def stop(self) -> None:
        """Takes the bar away, also after an error."""
        if self.bar is not None:
            self.bar.stop()
