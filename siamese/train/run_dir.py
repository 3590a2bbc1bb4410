"""The run folder: its name, how it was started, and what a resumed run must find in it."""

import datetime
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from siamese import __version__
from siamese.errors import InputError
from siamese.files import whole_file
from siamese.recipes import Recipe, recipe_from_dict

RECIPE = "recipe.json"
SCORES = "scores.json"


@dataclass(frozen=True)
class RunConfig:
    """What `recipe.json` says: how a run was started, so that it can go on alike.

    Attributes:
        recipe: What is trained.
        source: What the images were: labels, split and counts.
        log: The folder of its TensorBoard log.
        patience: Scorings without a better mAP after which it ends early; None: never.
        architecture: Sixteen hexadecimal digits of the model's shapes.
        data: The folder that it was started on.
    """

    recipe: Recipe
    source: dict[str, Any]
    log: str
    patience: int | None
    architecture: str
    data: str


def find_run(run: str | Path | None) -> Path:
    """The run folder to resume: the given one, or the newest unfinished one in `runs`.

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
    """What the run to resume, or the first one of a series of seeds, was started on.

    Raises:
        InputError: There is no such run.
    """
    started = sorted(Path(run).glob(f"seed-*/{RECIPE}")) if run is not None else []
    return Path(read_run_config(started[0].parent if started else find_run(run)).data)


def new_folder(run: str | Path | None, name: str) -> Path:
    """The folder of a new run: the given one, or `runs/<name>` with a number when that is taken.

    Raises:
        InputError: The given one holds a run already.
    """
    if run is not None:
        if any((Path(run) / file).exists() for file in (RECIPE, "last.keras", "seeds.json")):
            raise InputError(
                f"{run}: already holds a run. Add --resume to continue it, or give another --run."
            )
        return Path(run)
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


def new_log(log: str | Path, name: str) -> Path:
    """A folder for the TensorBoard log of a new run: never one that another run has written to."""
    folder, number = Path(log) / name, 2
    while folder.exists():
        folder, number = Path(log) / f"{name}-{number}", number + 1
    return folder


def write_run_config(folder: Path, start: RunConfig) -> None:
    """Writes `recipe.json`."""
    write_json(
        folder / RECIPE,
        {
            **asdict(start),
            "recipe": start.recipe.to_dict(),
            "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "versions": versions(),
        },
    )


def read_run_config(folder: Path) -> RunConfig:
    """Reads `recipe.json`.

    Raises:
        InputError: It is damaged.
    """
    path = folder / RECIPE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["recipe"] = recipe_from_dict(values["recipe"])
        return RunConfig(**{name: values[name] for name in RunConfig.__dataclass_fields__})
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged. Start a new run.") from None


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


def versions() -> dict[str, str]:
    """The versions that a run depends on."""
    return {
        "siamese": __version__,
        "keras": keras.__version__,
        "backend": keras.config.backend(),
        "numpy": np.__version__,
    }


def write_json(path: Path, values: Any) -> None:
    """Writes a file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
