"""One recipe with several seeds: how much of a score is chance."""

import dataclasses
import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from siamese.errors import InputError, refusing_damage
from siamese.files import write_json
from siamese.recipes import Recipe, recipe_from_dict
from siamese.train import run_dir
from siamese.train.devices import PROCESSES
from siamese.train.training import train
from siamese.train.training_data import open_training_data

SUMMARISED = ("rank1", "rank5", "mAP", "mINP", "eer", "auc")


@dataclass(frozen=True)
class SeededRuns:
    """The runs of some seeds.

    Attributes:
        folder: Holds a run folder for each seed, `seed-0`, ..., and `seeds.json`.
        seeds: The seeds.
        scores: Score to its values (in the order of the seeds), mean and sample standard deviation.
    """

    folder: Path
    seeds: list[int]
    scores: dict[str, dict[str, Any]]


def train_seeds(
    data: str | Path,
    recipe: Recipe | None,
    seeds: int | None = None,
    *,
    run: str | Path | None = None,
    log: str | Path = "train.log",
    patience: int | None = None,
    devices: int | None = 1,
    console: Console | None = None,
) -> SeededRuns:
    """Trains one recipe with its seed s, with s + 1, s + 2, ..., one after another.

    Args:
        data: As `train`.
        recipe: What to train; None resumes: finished runs are kept, a broken one goes on.
        seeds: How many seeds; to resume, what the first call said.
        run: The folder of all runs. By default `runs/<recipe>`, with a number when that is taken;
            to resume it must be given.
        log: As `train`; the runs log into a folder of the name of `run`. To resume, what the first
            call said.
        patience: As `train`, for each of the runs.
        devices: As `train`.
        console: As `train`.

    Raises:
        InputError: As `train`; or there are fewer than two seeds, or nothing to resume; or several
            processes are to train together.
    """
    console = console or Console(quiet=True)
    if int(os.environ.get(PROCESSES, "1")) > 1:
        raise InputError(
            "several seeds are trained in one process. Unset "
            f"{PROCESSES}, or start a run of its own for each --seed."
        )
    if recipe is None:
        folder, start = _read(run)
        recipe = recipe_from_dict(start["recipe"])
        begun = [folder / f"seed-{seed}" for seed in start["seeds"]]
        begun = [one for one in begun if (one / run_dir.RECIPE).exists()]
        if begun:
            images = open_training_data(data, recipe).describe()
            run_dir.refuse_other_images(begun[0], run_dir.read_run_config(begun[0]), images)
    elif seeds is None or seeds < 2:
        raise InputError(f"`seeds` must be at least 2. Received: {seeds}")
    else:
        folder = run_dir.new_folder(run, recipe.name)
        start = {
            "seeds": [recipe.seed + number for number in range(seeds)],
            "recipe": recipe.to_dict(),
            "patience": patience,
            "log": str(Path(log).absolute()),
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / run_dir.SEEDS, start)
    cards = []
    for seed in start["seeds"]:
        one = folder / f"seed-{seed}"
        if (one / run_dir.SCORES).exists():
            cards.append(json.loads((one / run_dir.SCORES).read_text(encoding="utf-8")))
            continue
        run_dir.note(console, f"seed {seed}: {one}")
        finished = train(
            data,
            None if (one / run_dir.RECIPE).exists() else dataclasses.replace(recipe, seed=seed),
            run=one,
            log=Path(start["log"]) / folder.name,
            patience=start["patience"],
            devices=devices,
            console=console,
        )
        cards.append(finished.scores)
        keras.backend.clear_session()  # else each run keeps the graphs of those before
    scores = {
        name: summarise([float(card[name]) for card in cards])
        for name in SUMMARISED
        if all(name in card for card in cards)
    }
    write_json(folder / run_dir.SEEDS, {**start, "scores": scores})
    return SeededRuns(folder, start["seeds"], scores)


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """Summarises a score by mean and sample standard deviation (n - 1), of two values or more.

    Example:
        >>> summarise([1.0, 2.0, 3.0])
        {'values': [1.0, 2.0, 3.0], 'mean': 2.0, 'deviation': 1.0}
    """
    mean = math.fsum(values) / len(values)
    return {"values": list(values), "mean": mean, "deviation": statistics.stdev(values)}


def is_seeded(run: str | Path | None) -> bool:
    """Returns whether a folder holds the runs of several seeds."""
    return run is not None and (Path(run) / run_dir.SEEDS).exists()


def _read(run: str | Path | None) -> tuple[Path, dict[str, Any]]:
    """Returns the folder of a series, and how it was started."""
    if run is None or not is_seeded(run):
        raise InputError(
            f"{run or 'run'}: holds no runs of several seeds to resume. Give their folder: --run."
        )
    path = Path(run) / run_dir.SEEDS
    with refusing_damage(path, "Start a new run."):
        values = json.loads(path.read_text(encoding="utf-8"))
        return Path(run), {name: values[name] for name in ("seeds", "recipe", "patience", "log")}
