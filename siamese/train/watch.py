"""What happens around an epoch: random numbers, scores, history, checkpoints, progress."""

import csv
import math
import time
from collections.abc import Callable
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

from siamese.atomic import whole_file
from siamese.data.augment import restart_random_numbers
from siamese.errors import InputError
from siamese.evaluate import Scores

Logs = dict[str, Any]


class RandomNumbers(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws the numbers of an epoch from seed and epoch alone, so that runs resume alike."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Restarts the augmentation layers, and dropout, which has no state of its own to save."""
        del logs
        flattened = self.model._flatten_layers(include_self=False, recursive=True)
        restart_random_numbers(list(flattened), self.seed, epoch)


class Watchdog(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops a run whose loss is no longer a number."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Looks at the loss of each step."""
        if logs and not math.isfinite(float(logs["loss"])):
            raise InputError(
                f"the loss is {float(logs['loss'])} at step {batch} of this epoch. Likely the "
                "learning rate is too high: write a recipe with a lower one."
            )


class EpochScores(keras.callbacks.Callback):  # type: ignore[misc]
    """Scores the held-out people and times the epoch; puts both into the logs.

    Args:
        score: Scores the model as it is.
        every: Epochs between two scorings.
        epochs: Epochs of the run; the last is always scored.
        images: Images in an epoch.
    """

    def __init__(self, score: Callable[[], Scores], *, every: int, epochs: int, images: int):
        super().__init__()
        self.score = score
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
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            scores = self.score()
            logs["val_rank1"] = scores.ranking.rank1
            logs["val_mAP"] = scores.ranking.mAP
            logs["val_eer"] = scores.verification.eer


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the history, the last state and the best embedder, each written whole or not at all.

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
        """Writes the three."""
        write_history(
            self.folder, [*read_history(self.folder, before=epoch), {"epoch": epoch, **logs}]
        )
        if logs.get("val_mAP", -1.0) > self.best:
            self.best = logs["val_mAP"]
            self.save_best()
        with whole_file(self.folder / "last.keras") as temporary:
            self.model.save(temporary)


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """One bar with images a second and the time left of the run, and a line an epoch.

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
        self.task = self.bar.add_task(
            "", total=self.steps * self.epochs, epoch="", loss=math.nan, rate=0.0
        )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the clock of the epoch."""
        del logs
        self.epoch = epoch
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Moves the bar."""
        assert self.bar is not None
        if self.bar.disable:
            return
        seconds = time.perf_counter() - self.started
        self.bar.update(
            self.task,
            completed=self.epoch * self.steps + batch + 1,
            epoch=f"{self.epoch + 1}/{self.epochs}",
            loss=float((logs or {}).get("loss", math.nan)),
            rate=(batch + 1) * self.batch / seconds,
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

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Takes the bar away."""
        del logs
        self.stop()

    def stop(self) -> None:
        """Takes the bar away, also after an error."""
        if self.bar is not None:
            self.bar.stop()


def read_history(folder: Path, *, before: int | None = None) -> list[dict[str, float]]:
    """Reads `history.csv`: a row an epoch, numbered from 0; what was not measured is left out.

    Args:
        folder: The run folder.
        before: Leave out this epoch and those after it.

    Returns:
        Rows in order; none when there is no file.
    """
    path = folder / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if before is None or row["epoch"] < before]


def write_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Writes `history.csv` whole, under a temporary name that is then renamed."""
    names = dict.fromkeys(name for row in rows for name in row)
    with (
        whole_file(folder / "history.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(names))
        writer.writeheader()
        writer.writerows(
            {name: int(v) if name == "epoch" else float(v) for name, v in row.items()}
            for row in rows
        )
