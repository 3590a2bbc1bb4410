"""The training stage: from a recipe and a record set to a run folder."""

import datetime
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from siamese import __version__, plots
from siamese.atomic import whole_file
from siamese.data.batches import batch_image_size, evaluation_batches, train_batches
from siamese.data.records import Manifest, read_manifest, shard_paths
from siamese.errors import InputError
from siamese.evaluate import (
    EmbeddedImages,
    Scores,
    embed_records,
    first_queries,
    pairs_of,
    score_embedded,
)
from siamese.models.files import load_model, save_model
from siamese.recipes import Recipe, recipe_from_dict
from siamese.scores.matches import Matches, query_rows
from siamese.scores.ranking import nearest
from siamese.scores.verification import calibrate
from siamese.train.objective import build_training_model, embedder_of
from siamese.train.tensorboard import TensorBoard
from siamese.train.watch import (
    Checkpoints,
    EpochScores,
    ProgressBar,
    RandomNumbers,
    Watchdog,
    read_history,
)

RANK_LISTS = 6
RANKS = 8


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Its folder.
        scores: Of the held-out people, as `scores.json` says.
        log: The folder of its TensorBoard log.
    """

    folder: Path
    scores: dict[str, Any]
    log: Path


def train(
    records: str | Path,
    recipe: Recipe | None = None,
    *,
    run: str | Path | None = None,
    log: str | Path = "train.log",
    console: Console | None = None,
) -> Run:
    """Trains, scores and calibrates a model.

    The run folder holds `recipe.json`, `model.keras` (the epoch with the best mAP on held-out
    people, calibrated), `last.keras` (the state to resume from), `history.csv`, `scores.json` and
    pictures. `recipe.json` is written first and `scores.json` last.

    Args:
        records: The folder of a record set.
        recipe: What to train; None resumes a run with its own recipe, from its last whole epoch.
        run: The run folder. By default `runs/<recipe>`, with a number when that is taken; to
            resume, the newest in `runs`.
        log: Folder of TensorBoard logs; the run gets one of its own name in it.
        console: Where progress is shown; nowhere by default.

    Returns:
        The finished run.

    Raises:
        InputError: The records, the recipe or the run folder cannot be used.
    """
    console = console or Console(quiet=True)
    manifest = read_manifest(records)
    resumed = recipe is None
    if recipe is None:
        folder = find_run(run)
        recipe = _read_recipe(folder, manifest)
    else:
        folder = _new_folder(run, recipe)
    keras.utils.set_random_seed(recipe.seed)
    part = manifest.parts["train"]
    images = recipe.batches.people * recipe.batches.images
    image_size = batch_image_size(part, recipe.model.image_size)

    def batches_from(epoch: int) -> tuple[Any, int]:
        return train_batches(
            shard_paths(records, manifest, "train"),
            part,
            image_size=image_size,
            **vars(recipe.batches),
            seed=recipe.seed,
            first_epoch=epoch,
        )

    steps = batches_from(0)[1]
    resumed = resumed and (folder / "last.keras").exists()
    if resumed:
        model = _load_state(folder / "last.keras")
    else:
        model = build_training_model(
            recipe, image_size=image_size, classes=part.people, steps=steps
        )
    first_epoch = int(model.optimizer.iterations) // steps
    embedder = embedder_of(model)
    if not (folder / "recipe.json").exists():
        _start_folder(folder, recipe, records, manifest)

    def score() -> tuple[Scores, EmbeddedImages]:
        gallery = embed_records(embedder, records, "validation", recipe.model.image_size)
        return score_embedded(first_queries(gallery), gallery, gallery), gallery

    def save_best() -> None:
        save_model(folder / "model.keras", embedder, image_size=recipe.model.image_size)

    height, width = recipe.model.image_size
    console.print(
        f"recipe {recipe.name}: {recipe.model.trunk}, {embedder.count_params():,} weights, input "
        f"{height}x{width}; {part.people} people, {part.images:,} images; an epoch is {steps} "
        f"batches of {images}",
        highlight=False,
        soft_wrap=True,
    )
    board = TensorBoard(Path(log) / folder.name)
    batches = batches_from(first_epoch)[0]
    if resumed:
        console.print(f"resumes after epoch {first_epoch}", highlight=False)
    else:
        _write_json(folder / "untrained.json", score()[0].to_dict())
        board.picture("batch/augmented", _plot_batch(model, batches), 0)
    untrained = json.loads((folder / "untrained.json").read_text(encoding="utf-8"))
    console.print(
        f"untrained, {_name_validation(manifest)}: Rank-1 "
        f"{untrained['rank1']:.3f}  mAP {untrained['mAP']:.3f}  EER {untrained['eer']:.3f}",
        highlight=False,
        soft_wrap=True,
    )
    history = read_history(folder, before=first_epoch)
    bar = ProgressBar(console, epochs=recipe.epochs, steps=steps, batch=images)
    try:
        if first_epoch < recipe.epochs:
            model.fit(
                batches.map(lambda pixels, labels: (pixels, dict.fromkeys(model.output, labels))),
                epochs=recipe.epochs,
                initial_epoch=first_epoch,
                steps_per_epoch=steps,
                verbose=0,
                shuffle=False,  # the records are shuffled already
                callbacks=[
                    RandomNumbers(recipe.seed),
                    Watchdog(),
                    EpochScores(
                        lambda: score()[0],
                        every=recipe.score_every,
                        epochs=recipe.epochs,
                        images=steps * images,
                    ),
                    Checkpoints(
                        folder,
                        save_best=save_best,
                        best=max((row.get("val_mAP", 0.0) for row in history), default=0.0),
                    ),
                    board,
                    bar,
                ],
            )
    except BaseException:
        board.close()
        raise
    finally:
        bar.stop()

    # What the file keeps, and what is calibrated, is the best epoch, not the last.
    embedder.set_weights(load_model(folder / "model.keras").embedder.get_weights())
    scores, gallery = score()
    card = _finish(folder, recipe, embedder, scores, gallery, untrained, records, manifest)
    ranked = _plot_ranks(records, manifest, recipe, gallery)
    plots.save(ranked, folder / "rank_list.png")
    board.picture("held_out/rank_list", ranked, recipe.epochs - 1)
    board.close()
    _write_json(folder / "scores.json", card)
    return Run(folder, card, Path(log) / folder.name)


def find_run(run: str | Path | None) -> Path:
    """The run folder to resume: the given one, or the newest unfinished one in `runs`.

    Raises:
        InputError: There is none.
    """
    if run is None:
        runs = sorted(Path("runs").glob("*/recipe.json"), key=lambda path: path.stat().st_mtime)
        unfinished = [path for path in runs if not path.with_name("scores.json").exists()]
        if not unfinished:
            raise InputError("runs: holds no unfinished run. Start one without --resume.")
        return unfinished[-1].parent
    if not (Path(run) / "recipe.json").exists():
        raise InputError(f"{run}: holds no run to resume. Start one without --resume.")
    return Path(run)


def _new_folder(run: str | Path | None, recipe: Recipe) -> Path:
    if run is not None:
        if (Path(run) / "recipe.json").exists() or (Path(run) / "last.keras").exists():
            raise InputError(
                f"{run}: already holds a run. Add --resume to continue it, or give another --run."
            )
        return Path(run)
    folder, number = Path("runs") / recipe.name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{recipe.name}-{number}", number + 1
    return folder


def _start_folder(folder: Path, recipe: Recipe, records: str | Path, manifest: Manifest) -> None:
    """Writes `recipe.json`; the one who makes the file has the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "recipe": recipe.to_dict(),
        "records": str(records),
        "source": _describe_source(manifest),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": _versions(),
    }
    try:
        with (folder / "recipe.json").open("x", encoding="utf-8") as file:
            json.dump(values, file, indent=1, ensure_ascii=False)
    except FileExistsError:
        raise InputError(
            f"{folder}: another run took this folder a moment ago. Give another --run."
        ) from None


def _describe_source(manifest: Manifest) -> dict[str, Any]:
    """What a resumed run must find unchanged: who has which label, and who is in which part."""
    return {
        "labels": manifest.labels,
        "split": manifest.split,
        "images": {name: part.images for name, part in manifest.parts.items()},
    }


def _name_validation(manifest: Manifest) -> str:
    """Who the scores are of; only a split by identity holds people out."""
    people = manifest.parts["validation"].people
    if manifest.split.get("by") == "identity":
        return f"{people} held-out people"
    return f"validation images of {people} people, whom training sees too"


def _read_recipe(folder: Path, manifest: Manifest) -> Recipe:
    path = folder / "recipe.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        recipe, source = recipe_from_dict(values["recipe"]), values["source"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged. Start a new run.") from None
    if source != _describe_source(manifest):
        raise InputError(
            f"{folder}: was started on other records (people, split or images). Give --resume "
            "with the same data, or start a new run."
        )
    return recipe


def _load_state(path: Path) -> keras.Model:
    """The training model with its optimiser, as the last whole epoch left them."""
    try:
        return keras.saving.load_model(path)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile):
        raise InputError(
            f"{path}: is damaged. Remove it; --resume then starts this run from its first epoch."
        ) from None


def _finish(
    folder: Path,
    recipe: Recipe,
    embedder: keras.Model,
    scores: Scores,
    gallery: EmbeddedImages,
    untrained: dict[str, Any],
    records: str | Path,
    manifest: Manifest,
) -> dict[str, Any]:
    """Calibrates, writes the model file and the pictures, and returns the score card."""
    pairs = pairs_of(gallery)
    calibration = calibrate(pairs)
    history = read_history(folder)
    card: dict[str, Any] = {
        **scores.to_dict(),
        "data": str(records),
        "source": _name_validation(manifest),
        "split": manifest.split,
        "epochs": len(history),
        "images_per_second": float(np.median([row["images_per_second"] for row in history])),
        "untrained": {name: untrained[name] for name in ("rank1", "mAP", "eer")},
    }
    saved = save_model(
        folder / "model.keras",
        embedder,
        image_size=recipe.model.image_size,
        card={"recipe": recipe.to_dict(), "calibration": calibration.to_dict(), "scores": card},
    )
    middles = (np.arange(len(pairs.same)) + 0.5) * pairs.resolution
    width = max(1, round(0.01 / pairs.resolution))
    bins = len(middles) // width * width
    plots.save(
        plots.plot_distances(
            middles[:bins].reshape(-1, width).mean(1),
            pairs.same[:bins].reshape(-1, width).sum(1),
            pairs.different[:bins].reshape(-1, width).sum(1),
            threshold=calibration.threshold,
        ),
        folder / "distances.png",
    )
    ranking = scores.ranking
    cmc = plots.plot_cmc(ranking.cmc, queries=ranking.queries, gallery=ranking.gallery)
    plots.save(cmc, folder / "cmc.png")
    plots.save(plots.plot_history(history), folder / "curves.png")
    return {**card, "fingerprint": saved["fingerprint"], "versions": _versions()}


def _plot_batch(model: keras.Model, batches: Any) -> Any:
    """The first batch as the network sees it, after augmentation."""
    images = next(iter(batches.take(1)))[0]
    for layer in model.layers[1:]:
        if layer.name == "backbone":
            break
        images = layer(images, training=True)
    return plots.plot_images(keras.ops.convert_to_numpy(images)[:32])


def _plot_ranks(
    records: str | Path, manifest: Manifest, recipe: Recipe, gallery: EmbeddedImages
) -> Any:
    """Rank lists of some held-out queries, drawn by the seed of the run."""
    rows = query_rows(gallery.people, gallery.cameras)
    query = gallery.rows(rows)
    matches = Matches(
        query.people.tolist(),
        query.cameras,
        gallery.people.tolist(),
        gallery.cameras,
        query_images=query.names.tolist(),
        gallery_images=gallery.names.tolist(),
    )
    shown = np.random.default_rng(recipe.seed).permutation(len(query.names))[:RANK_LISTS]
    found, distances = nearest(query.embeddings, gallery.embeddings, RANKS, matches=matches)
    wanted = {
        *(int(row) for row in rows[shown]),
        *(int(row) for row in found[shown].ravel() if row >= 0),
    }
    pictures = _read_pictures(records, manifest, wanted, recipe.model.image_size)
    ranked = [
        [
            plots.RankedImage(
                pictures[int(row)],
                bool(gallery.people[row] == query.people[number]),
                f"{distance:.2f}  cam {gallery.cameras[row]}",
            )
            for row, distance in zip(found[number], distances[number], strict=True)
            if row >= 0
        ]
        for number in shown
    ]
    queries = [
        (pictures[int(row)], f"{gallery.people[row]}  cam {gallery.cameras[row]}")
        for row in rows[shown]
    ]
    return plots.plot_rank_lists(queries, ranked)


def _read_pictures(
    records: str | Path, manifest: Manifest, rows: set[int], image_size: tuple[int, int]
) -> dict[int, plots.Image]:
    """The images of some rows of the validation part; one more pass over the shards."""
    part = manifest.parts["validation"]
    shards = shard_paths(records, manifest, "validation")
    pictures: dict[int, plots.Image] = {}
    first = 0
    for batch in evaluation_batches(shards, image_size=batch_image_size(part, image_size)):
        for row in rows & set(range(first, first + len(batch.images))):
            pictures[row] = batch.images[row - first]
        first += len(batch.images)
    return pictures


def _versions() -> dict[str, str]:
    return {
        "siamese": __version__,
        "keras": keras.__version__,
        "backend": keras.config.backend(),
        "numpy": np.__version__,
    }


def _write_json(path: Path, values: Any) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
