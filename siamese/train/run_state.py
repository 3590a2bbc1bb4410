"""What a run writes at the end of an epoch, and how a resumed run finds it again."""

import csv
import zipfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from siamese.errors import InputError
from siamese.files import whole_file
from siamese.train.norms import fuse_norms, unsynchronised
from siamese.train.small_maps import speed_up_small_maps

LAST = "last.keras"
PREVIOUS = "previous.keras"
EPOCHS = "epochs.txt"
"""The member of a state that says how many epochs it has seen."""
Logs = dict[str, Any]


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


def has_state(folder: Path) -> bool:
    """Whether the run folder holds a state to resume from."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def load_state(folder: Path, architecture: str, console: Console) -> tuple[keras.Model, int]:
    """The training model with its optimiser, as the last whole epoch left them.

    Args:
        folder: The run folder.
        architecture: What `describe_architecture` said when the run started.
        console: Where a damaged state is noted.

    Returns:
        A compiled model, and the epochs that it has seen.

    Raises:
        InputError: No state is whole, or one is of another architecture.
    """
    damaged = []
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                if (broken := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(broken)
                epochs = int(archive.read(EPOCHS))
            model = keras.saving.load_model(path)
        except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile):
            damaged.append(path.name)
            continue
        if describe_architecture(model) != architecture:
            raise InputError(
                f"{path}: holds a model of another architecture than this run trains. Put back the "
                "run's own file, or start a new run."
            )
        if damaged:
            console.print(
                f"{damaged[0]} is damaged; the state of the epoch before, {path.name}, is used",
                highlight=False,
                soft_wrap=True,
            )
        fuse_norms(model)
        speed_up_small_maps(model)
        return model, epochs
    raise InputError(
        f"{folder / damaged[0]}: is damaged, and there is no older state. Remove it; --resume then "
        "starts this run from its first epoch."
    )


def describe_architecture(model: keras.Model) -> str:
    """Sixteen hexadecimal digits of the shapes of input and weights, in order."""
    shapes = [tuple(model.input_shape), *(tuple(weight.shape) for weight in model.weights)]
    return blake2b(repr(shapes).encode(), digest_size=8).hexdigest()


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
