"""The run folder: its name, who has it, how it was started, and what its last epochs left."""

import contextlib
import csv
import datetime
import json
import os
import socket
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from siamese import __version__
from siamese.errors import InputError, refusing_damage
from siamese.files import check_fields, write_csv, write_json
from siamese.recipes import Recipe, recipe_from_dict
from siamese.train.speed import speed_up

RECIPE = "recipe.json"
SCORES = "scores.json"
SEEDS = "seeds.json"
LAST = "last.keras"
PREVIOUS = "previous.keras"
EPOCHS = "epochs.txt"
"""The member of a state that says how many epochs it has seen."""
LOCK = "in_use.lock"


@dataclass(frozen=True)
class RunConfig:
    """Holds what `recipe.json` says: how a run was started, so that it can go on alike.

    Attributes:
        recipe: What is trained.
        source: What the images were: labels, split and counts.
        log: The folder of its TensorBoard log.
        patience: Scorings without a better mAP after which it ends early; None: never.
        architecture: Sixteen hexadecimal digits of the model's shapes.
        data: The folder that it was started on.
        starting_weights: What it started from, and their licence, as `describe_start` says.
    """

    recipe: Recipe
    source: dict[str, Any]
    log: str
    patience: int | None
    architecture: str
    data: str
    starting_weights: dict[str, str] = field(default_factory=dict)


def find_run(run: str | Path | None) -> Path:
    """Returns the run folder to resume: the given one, or the newest unfinished one in `runs`.

    Raises:
        InputError: There is none.
    """
    if run is None:
        runs = sorted(Path("runs").glob(f"*/{RECIPE}"), key=lambda path: path.stat().st_mtime)
        unfinished = [path for path in runs if not path.with_name(SCORES).exists()]
        if not unfinished:
            raise InputError("runs: holds no unfinished run. Start one without --resume.")
        return unfinished[-1].parent
    if not (Path(run) / RECIPE).exists():
        raise InputError(f"{run}: holds no run to resume. Start one without --resume.")
    return Path(run)


def data_of_run(run: str | Path | None) -> Path:
    """Returns what the run to resume, or the first one of a series of seeds, was started on.

    Raises:
        InputError: There is no such run.
    """
    started = sorted(Path(run).glob(f"seed-*/{RECIPE}")) if run is not None else []
    return Path(read_run_config(started[0].parent if started else find_run(run)).data)


def new_folder(run: str | Path | None, name: str) -> Path:
    """Names the folder of a new run: the given one, or a free one of `runs/<name>`, `<name>-2`, ...

    Raises:
        InputError: The given one holds a run already.
    """
    if run is None:
        return free_folder(Path("runs") / name)
    if any((Path(run) / file).exists() for file in (RECIPE, LAST, SEEDS)):
        raise InputError(
            f"{run}: already holds a run. Add --resume to continue it, or give another --run."
        )
    return Path(run)


def free_folder(wanted: Path) -> Path:
    """Returns a folder that is not there yet: the wanted one, or with -2, -3, ... at its name."""
    folder, number = wanted, 2
    while folder.exists():
        folder, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    return folder


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Holds a run folder for this process; a kill lets go of it as well. An empty one is removed.

    The operating system keeps the lock, on the file `in_use.lock`. Not on Windows, which has no
    such locks: there two processes in one folder are not noticed.

    Raises:
        InputError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    path = folder / LOCK
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"{folder}: is in use by {file.read().strip() or 'another process'}. Wait for it, "
                "stop it, or give another --run."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # of a start that was refused nothing is left
                folder.rmdir()


def write_run_config(folder: Path, start: RunConfig) -> None:
    """Writes `recipe.json`."""
    started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    write_json(folder / RECIPE, {**asdict(start), "started": started, "versions": versions()})


def read_run_config(folder: Path) -> RunConfig:
    """Reads `recipe.json`.

    Raises:
        InputError: It is damaged.
    """
    path = folder / RECIPE
    with refusing_damage(path, "Start a new run."):
        values = json.loads(path.read_text(encoding="utf-8"))
        values["recipe"] = recipe_from_dict(values["recipe"])
        fields = RunConfig.__dataclass_fields__
        found = {name: value for name, value in values.items() if name in fields}
        return check_fields(RunConfig(**found))


def refuse_other_images(folder: Path, start: RunConfig, source: dict[str, Any]) -> None:
    """Makes sure that a resumed run has the images and the teacher that it started with.

    Raises:
        InputError: It has others.
    """
    if start.source.get("teacher") != source.get("teacher"):
        raise InputError(
            f"{folder}: was started with another teacher than its file is now. Put back the "
            f"file ({', '.join(start.recipe.distillation.teachers)}), or start a new run."
        )
    if start.source != source:
        raise InputError(
            f"{folder}: was started on other records (people, split or images). Give --resume "
            "with the same data, or start a new run."
        )


def load_state(folder: Path, architecture: str, console: Console) -> tuple[keras.Model, int]:
    """Loads the training model with its optimiser, as the last whole epoch left them.

    Its shapes must be those that `describe_architecture` told when the run started.

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
            used = f"the state of the epoch before, {path.name}, is used"
            note(console, f"{damaged[0]} is damaged; {used}")
        speed_up(model)
        return model, epochs
    raise InputError(
        f"{folder / damaged[0]}: is damaged, and there is no older state. Remove it; --resume then "
        "starts this run from its first epoch."
    )


def describe_architecture(model: keras.Model) -> str:
    """Returns sixteen hexadecimal digits of the shapes of input and weights, in order."""
    shapes = [tuple(model.input_shape), *(tuple(weight.shape) for weight in model.weights)]
    return blake2b(repr(shapes).encode(), digest_size=8).hexdigest()


def read_history(folder: Path, *, before: int | None = None) -> list[dict[str, float]]:
    """Reads `history.csv`: a row an epoch, numbered from 0; what was not measured is left out.

    Args:
        folder: The run folder.
        before: Leave out this epoch and those after it.
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
    names = list(dict.fromkeys(name for row in rows for name in row))
    numbers = [{**{name: float(each[name]) for name in each}, "epoch": int(each["epoch"])}
               for each in rows]  # fmt: skip
    write_csv(
        folder / "history.csv", [names, *([row.get(name, "") for name in names] for row in numbers)]
    )


def note(console: Console, text: str) -> None:
    """Says a line as it is: without colours, and not broken where the terminal ends."""
    console.print(text, highlight=False, soft_wrap=True)


def versions() -> dict[str, str]:
    """Returns the versions that a run depends on."""
    return {
        "siamese": __version__,
        "keras": keras.__version__,
        "backend": keras.config.backend(),
        "numpy": np.__version__,
    }
