"""The command train."""

from pathlib import Path
from typing import Any

from siamese.cli.program import Flag, counting, import_quietly, open_console
from siamese.cli.scoring import print_scores
from siamese.errors import InputError


def train(
    data: Path,
    recipe: str | None = None,
    run: Path | None = None,
    resume: Flag = False,
    epochs: int | None = None,
    trunk: str | None = None,
    weights: str | None = None,
    image_size: tuple[int, int] | None = None,
    seed: int | None = None,
    records: Path | None = None,
    log: Path = Path("train.log"),
) -> None:
    """Train a Siamese network; build the records first where they are missing.

    Ends with the scores on held-out people and a calibrated model file in the run folder. Watch it
    with: tensorboard --logdir train.log

    Args:
        data: A dataset folder, or the folder of a record set.
        recipe: contrastive (the default), apn, batch_hard, osnet or demo.
        run: Run folder; by default runs/RECIPE, and to resume the newest in runs.
        resume: Continue an interrupted run, with its own recipe, from its last whole epoch.
        epochs: Epochs, in place of the recipe's.
        trunk: Trunk, in place of the recipe's: osnet_x0_25, resnet50, efficientnet_b0, ...
        weights: imagenet, none, or a weights file of the trunk.
        image_size: Height and width of the network's input, in pixels.
        seed: Seed of weights, order and augmentation.
        records: Where the records are or go; by default the folder records in the dataset folder.
        log: Folder of the TensorBoard logs.
    """
    from siamese import recipes

    chosen = None
    if resume:
        given = [recipe, epochs, trunk, weights, image_size, seed]
        if any(value is not None for value in given):
            raise InputError(
                "--resume continues with the run's own recipe. Leave out --recipe, --epochs, "
                "--trunk, --weights, --image_size and --seed, or start a new run."
            )
    else:
        chosen = recipes.change_recipe(
            recipes.find_recipe(recipe or "contrastive"),
            trunk=trunk,
            weights=weights,
            image_size=image_size,
            epochs=epochs,
            seed=seed,
        )
        _check_trunk(chosen.model.trunk, chosen.model.weights)
    console = open_console()
    records = _find_records(data, records, console)
    from siamese.train import train as train_stage

    finished = train_stage(records, chosen, run=run, log=log, console=console)
    print_scores(finished.scores, title=f"trained, {finished.scores['source']}")
    print(f"run folder   {finished.folder}")
    print(f"model        {finished.folder / 'model.keras'}")
    print(f"TensorBoard  tensorboard --logdir {finished.log.parent}")


def _check_trunk(trunk: str, weights: str) -> None:
    """Answers a wrong name before a large dataset is converted, not after."""
    import_quietly("keras")
    from siamese.models.trunks import find_trunk

    find_trunk(trunk)
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise InputError(
            f"{weights}: no such weights file. Give `imagenet`, `none` or a .weights.h5 file."
        )


def _find_records(data: Path, records: Path | None, console: Any) -> Path:
    """The records of a dataset folder, built where they are missing."""
    import_quietly("tensorflow")
    from siamese.data.datasets import list_samples
    from siamese.data.records import MANIFEST, build_records, check_source, read_manifest

    if records is None and (data / MANIFEST).exists():
        return data
    folder = records or data / "records"
    if (folder / MANIFEST).exists():
        if not data.samefile(folder):
            check_source(folder, read_manifest(folder), list_samples(data, "train"))
        return folder
    with counting("records") as progress:
        build_records(data, folder, progress=progress)
    console.print(f"wrote {folder}", highlight=False, soft_wrap=True)
    return folder
