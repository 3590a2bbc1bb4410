"""Keras callbacks of a run: random numbers, scores, alarms, early stopping, states, progress.

Keras's own cannot stand in: `EarlyStopping` forgets its count when a run is resumed, `CSVLogger`
drops scores that the first epoch has not, `TerminateOnNaN` ends a run without an error, and
`BackupAndRestore` restores weights alone and never an older state.
"""

import contextlib
import math
import time
import zipfile
from collections.abc import Callable, Iterator
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
from siamese.train.run_dir import EPOCHS, LAST, PREVIOUS, read_history, write_history
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
    """Shows a bar while something counts; a line for each tenth where there is no terminal.

    Args:
        console: Where to.
        what: What is counted.

    Yields:
        To be called with those done and all.
    """
    tenths = 0

    def count(done: int, total: int) -> None:
        nonlocal tenths
        bar.update(task, completed=done, total=total)
        if not console.is_terminal and done * 10 // total > tenths:
            tenths = done * 10 // total
            console.print(f"{done:,} of {total:,} {what}", highlight=False, soft_wrap=True)

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield count


class RandomNumbers(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws the random numbers of an epoch from seed and epoch alone, so that runs resume alike."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Restarts the augmentation layers, and dropout, which has no state of its own to save."""
        del logs
        flattened = self.model._flatten_layers(include_self=False, recursive=True)
        restart_random_numbers(list(flattened), self.seed, epoch)


class Watchdog(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops a run that no longer learns, and says why.

    A loss that is no number, and embeddings that are all equal, are errors: their model is of no
    use. Where no triplet has cost anything for some epochs the run ends early, with the model that
    it has.

    Args:
        console: Where the early end is noted.
        history: Earlier epochs of the run.
        alone: Whether the metric loss is the only one.
    """

    def __init__(
        self, console: Console, history: list[dict[str, float]] | None = None, *, alone: bool = True
    ) -> None:
        super().__init__()
        self.console = console
        self.alone = alone
        self.active = [row["active"] for row in history or [] if "active" in row]

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
            self.console.print(
                f"stops after epoch {epoch + 1}, step {(epoch + 1) * steps}: for {IDLE} epochs no "
                "triplet cost anything, so nothing is learnt any more. Likely the margin is small "
                "or the triplets are easy: a recipe with a larger margin or batch-hard mining "
                "would go on.",
                highlight=False,
                soft_wrap=True,
            )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remembers the epoch."""
        del logs
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


class EarlyStopping(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run whose mAP on held-out people has stopped rising, by its whole history.

    Args:
        patience: Scorings without a better mAP after which the run ends.
        history: Earlier epochs of the run.
        console: Where the end is noted.
    """

    def __init__(self, patience: int, history: list[dict[str, float]], console: Console) -> None:
        super().__init__()
        self.patience = patience
        self.scores = [row["val_mAP"] for row in history if "val_mAP" in row]
        self.console = console

    @property
    def over(self) -> bool:
        """Returns whether the last `patience` scores are no better than one before them."""
        best = self.scores.index(max(self.scores)) if self.scores else 0
        return len(self.scores) - 1 - best >= self.patience

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Looks at the score, where there is one."""
        if "val_mAP" not in logs:
            return
        self.scores.append(float(logs["val_mAP"]))
        if self.over:
            self.model.stop_training = True
            self.console.print(
                f"stops after epoch {epoch + 1}: no better mAP than {max(self.scores):.3f} in the "
                f"last {self.patience} scorings",
                highlight=False,
                soft_wrap=True,
            )


class EpochScores(keras.callbacks.Callback):  # type: ignore[misc]
    """Scores the held-out people and times the epoch; puts both into the logs.

    Args:
        score: Scores the model as it is.
        loss: Measures the loss of what was scored; None where there is none.
        every: Epochs between two scorings.
        epochs: Epochs of the run; the last is always scored.
        images: Images in an epoch.
    """

    def __init__(
        self,
        score: Callable[[], Scores],
        loss: Callable[[], float | None],
        *,
        every: int,
        epochs: int,
        images: int,
    ):
        super().__init__()
        self.score = score
        self.loss = loss
        self.every = every
        self.epochs = epochs
        self.images = images
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the clock."""
        del epoch, logs
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


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the history, the last two states and the best embedder, each whole or not there.

    The order matters for a kill between two writes: the last state comes last, so a resumed run
    repeats the epoch and writes the same again.

    Args:
        folder: The run folder.
        save_best: Writes the embedder of the model as it is.
        best: The best mAP so far; 0 when there is none.
    """

    def __init__(self, folder: Path, *, save_best: Callable[[], None], best: float) -> None:
        super().__init__()
        self.folder = folder
        self.save_best = save_best
        self.best = best

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Writes them."""
        write_history(
            self.folder, [*read_history(self.folder, before=epoch), {"epoch": epoch, **logs}]
        )
        if logs.get("val_mAP", -1.0) > self.best:
            self.best = logs["val_mAP"]
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


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows a bar with images a second and the time left of the run, and a line an epoch.

    Args:
        console: Where to; where it is no terminal, only the lines are printed.
        epochs: Epochs of the run.
        steps: Batches in an epoch.
        batch: Images in a batch.
    """

    def __init__(self, console: Console, *, epochs: int, steps: int, batch: int) -> None:
        super().__init__()
        self.console = console
        self.epochs = epochs
        self.steps = steps
        self.batch = batch
        self.bar: Progress | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Draws the bar."""
        del logs
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

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the clock of the epoch."""
        del logs
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
        self.console.print(line, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Takes the bar away, also after an error."""
        if self.bar is not None:
            self.bar.stop()
