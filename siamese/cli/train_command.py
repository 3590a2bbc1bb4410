"""The command train."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from siamese.aliases import BACKBONE_FLAG
from siamese.cli.dataset_commands import Limits, Names, at_images, folder_of_records, read_limits
from siamese.cli.evaluation_commands import print_scores
from siamese.cli.program import Option, counting, import_quietly, open_console, say
from siamese.cli.recipe_choice import check_backbone, check_teachers, choose_recipe, say_start
from siamese.errors import InputError, OnCorrupt

if TYPE_CHECKING:
    from siamese.evaluate import ScoreReport

LEAST_GAIN = 0.02
"""Gain of mAP below which a run is said to have ended no better than it began."""
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16", "auto"]


def train(
    data: Annotated[tuple[Path, ...] | None, Option(metavar="PATH [PATH ...]")] = None,
    recipe: str | None = None,
    run: Path | None = None,
    resume: bool = False,
    epochs: int | None = None,
    backbone: Annotated[str | None, Option(aliases=(BACKBONE_FLAG,))] = None,
    weights: str | None = None,
    image_size: tuple[int, int] | None = None,
    seed: int | None = None,
    precision: Precision | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    margin: float | None = None,
    embed_size: int | None = None,
    set_: Annotated[
        tuple[str, ...],
        Option(name="set", metavar="FIELD=VALUE ..."),
    ] = (),
    teacher: Annotated[tuple[Path, ...], Option(metavar="PATH ...")] = (),
    records: Path | None = None,
    validation_size: float | None = None,
    hold_out: Names = None,
    max_images_per_person: Limits = None,
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    log: Path = Path("train.log"),
    patience: int | None = None,
    seeds: int | None = None,
    devices: int | Literal["all"] = 1,
    train_dir: Path | None = None,
    query_dir: Path | None = None,
    gallery_dir: Path | None = None,
    images: Path | None = None,
) -> int:
    """Train a Siamese network; build the records first where they are missing.

    Ends with the scores on held-out people, beside those of the pretrained model, and a calibrated
    model file in the run folder; the better of the two is in use from then on (siamese info). Watch
    it with: tensorboard --logdir train.log

    Exits with 1 where a network that started from other weights than a whole model ended no better
    than it began.

    Three folders may stand in place of --data: --train_dir is then trained on, a part of its people
    held out for the curves and the best epoch, and the model that comes out is scored once on
    --query_dir against --gallery_dir.

    Args:
        data: A dataset folder, or the folder of a record set; to resume, by default the run's own.
            The records of several dataset folders go where --records says.
        recipe: fine_tune (the default), contrastive, apn, triplet_csv, batch_hard, bag_of_tricks,
            agw, efficientnet, osnet, mars, adapt, distill or demo. Of three folders the default is
            batch_hard where the ImageNet weights of ResNet-50 are to be had.
        run: Run folder; by default runs/RECIPE, and to resume the newest in runs.
        resume: Continue an interrupted run, with its own recipe, from its last whole epoch.
        epochs: Epochs, in place of the recipe's.
        backbone: Backbone, in place of the recipe's: osnet_x0_25, resnet50, efficientnet_b0, ...
        weights: imagenet, none, or a weights file of the backbone; or a model to go on from,
            backbone, BNNeck and all: a model.keras, or pretrained, the one that comes with the
            package.
        image_size: Height and width of the network's input, in pixels.
        seed: Seed of weights, order and augmentation.
        precision: What the backbone computes in; auto measures here which is fastest.
        batch_size: Images in a batch; of the recipes apn and triplet_csv, triplets.
        lr: Highest learning rate.
        margin: Margin of the contrastive, triplet or circle loss.
        embed_size: Numbers in an embedding.
        set_: Other fields of the recipe (docs/recipes.md), such as batches.balance=source.
        teacher: Models that are imitated beside what the labels teach; of several, .keras or
            .onnx, the embeddings are joined.
        records: Where the records are or go; by default the folder records in the dataset folder,
            and those of --train_dir runs/records.
        validation_size: Expected share of the people of each dataset who are held out; by default
            0.3.
        hold_out: Of several datasets those whose people are held out; by default all.
        max_images_per_person: Most images of a person; one number, or NAME=INT for some datasets.
        pattern: How the file names are read, as `siamese records make` takes it.
        on_corrupt: Damaged images end the work, all named, or are skipped where records are made.
        log: Folder of the TensorBoard logs.
        patience: End early after this many scorings without a better mAP; by default never.
        seeds: Train so often, with the seed and those after it, and print mean and spread.
        devices: Devices of this machine that share each batch: a number, or all.
        train_dir: Images to train on, in place of --data, such as bounding_box_train.
        query_dir: Images to ask with, such as query.
        gallery_dir: Images to find them in, such as bounding_box_test.
        images: Folder of the images of a CSV file that lie elsewhere; its records go to
            runs/records.
    """
    from siamese import recipes

    if resume and not any((data, train_dir, query_dir, gallery_dir)):
        import_quietly("keras")
        from siamese.train.run_dir import data_of_run

        data = (data_of_run(run),)
    folders = _choose_data(data, train_dir, query_dir, gallery_dir)
    if images is not None:
        if len(folders) != 1 or train_dir is not None:
            raise InputError("--images goes with one CSV file as --data. Leave it out.")
        folders = (Path(at_images(folders[0], images)),)
    if seeds is not None and query_dir is not None:
        raise InputError(
            "--seeds goes with --data: each of its runs is scored on held-out people. Leave it "
            "out, or give the dataset by --data and score the runs with siamese evaluate."
        )
    split = _given(
        validation_size=validation_size,
        hold_out=hold_out,
        max_images_per_person=read_limits(max_images_per_person),
        pattern=pattern,
    )
    changes = _given(
        backbone=backbone,
        weights=weights,
        image_size=image_size,
        epochs=epochs,
        seed=seed,
        precision=precision,
        batch_size=batch_size,
        learning_rate=lr,
        margin=margin,
        embedding_size=embed_size,
    )
    chosen = None
    if resume:
        if teacher or split or set_ or changes or _given(recipe=recipe, patience=patience):
            raise InputError(
                "--resume continues with the run's own recipe and split. Leave out --recipe, "
                "--epochs, --backbone, --weights, --image_size, --seed, --precision, --batch_size, "
                "--lr, --margin, --embed_size, --set, --teacher, --patience, --validation_size, "
                "--hold_out, --max_images_per_person and --pattern, or start a new run."
            )
    else:
        named, why = choose_recipe(
            recipe, backbone, weights, embed_size, folders=train_dir is not None
        )
        named = recipes.set_fields(named, set_)
        chosen = recipes.change_recipe(named, **changes, teachers=[str(each) for each in teacher])
        check_teachers(chosen.name, teacher)
        own_size = check_backbone(chosen.model, backbone, embed_size)
        if image_size is None and own_size is not None:
            chosen = recipes.change_recipe(chosen, image_size=own_size)
        say(f"recipe {chosen.name}{why}: {say_start(chosen.model)}")
    if chosen is None:
        from siamese.train.run_dir import find_run, read_run_config
        from siamese.train.seeds import is_seeded

        adapts = not is_seeded(run) and read_run_config(find_run(run)).recipe.adaptation.radius > 0
    else:
        adapts = chosen.adaptation.radius > 0
    if adapts:
        if len(folders) > 1 or split or _given(records=records, train_dir=train_dir, seeds=seeds):
            raise InputError(
                "adaptation takes one folder of crops, whoever they show, as --data. Leave out "
                "--records, --train_dir, --seeds, --validation_size, --hold_out, "
                "--max_images_per_person and --pattern."
            )
        records = folders[0]
    # Without TensorFlow nothing reads records: the images are held in memory.
    elif importlib.util.find_spec("tensorflow") is not None:
        if train_dir is not None and records is None:  # nothing goes into the user's own folder
            records = folder_of_records(train_dir.absolute().name, train_dir)
        records = _find_records(folders, records, split, on_corrupt)
        if chosen is not None and recipe is None and epochs is None:
            from siamese.records import read_manifest

            counts = read_manifest(records).parts["train"].images_by_label
            chosen = recipes.fit_epochs(chosen, counts.values())
    elif len(folders) == 1 and not split:
        records = folders[0]
    else:
        raise InputError(
            "several datasets, and another split, go through records, which TensorFlow reads. "
            "Received: an installation without it. Install tensorflow, or give one dataset."
        )
    from siamese.train import train as train_stage
    from siamese.train.seeds import is_seeded, train_seeds

    if query_dir is not None and gallery_dir is not None:
        from siamese.datasets import list_samples
        from siamese.train.finalize import score_queries

        for each in (query_dir, gallery_dir):  # what cannot be scored is said before the training
            list_samples(each, "all")
    how: dict[str, Any] = {"run": run, "log": log, "patience": patience, "console": open_console()}
    how["devices"] = None if devices == "all" else devices
    if seeds is not None or (resume and is_seeded(run)):
        _print_seeds(train_seeds(records, chosen, seeds, **how))
        return 0
    finished = train_stage(records, chosen, **how)
    if adapts:
        _print_adaptation(finished.scores, finished.folder, records)
        print(f"in use       {finished.in_use}")
        return 0
    from siamese.evaluate import ScoreReport

    report = ScoreReport.from_dict(finished.scores)
    print_scores(report, title=f"trained, {report.source}")
    if query_dir is not None and gallery_dir is not None:
        report = ScoreReport.from_dict(score_queries(finished.folder, query_dir, gallery_dir))
        print_scores(report, title=f"{query_dir} against {gallery_dir}")
    print(f"run folder   {finished.folder}")
    print(f"model        {finished.folder / 'model.keras'}")
    print(f"TensorBoard  tensorboard --logdir {finished.log.parent}")
    print(f"in use       {finished.in_use}")
    return _say_whether_it_learned(ScoreReport.from_dict(finished.scores), finished.folder)


def _say_whether_it_learned(report: "ScoreReport", folder: Path) -> int:
    """Says so where a run ended no better than it began, and returns the exit code."""
    from siamese.models.transfer import is_model
    from siamese.train.run_dir import read_run_config

    before = report.untrained
    if before is None or before.mAP is None or report.mAP - before.mAP >= LEAST_GAIN:
        return 0
    scores = f"mAP {before.mAP:.3f} before, {report.mAP:.3f} after"
    if is_model(read_run_config(folder).recipe.model.weights):
        print(
            f"hardly better than the model that it started from: {scores}. Try images of more "
            "people or cameras; siamese inspect says what is wrong with those"
        )
        return 0
    print(
        f"no better than it began: {scores}. Try the default recipe, which starts from the "
        "pretrained model (leave out --recipe), more --epochs or another --lr; siamese inspect "
        "says what is wrong with the images"
    )
    return 1


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _print_seeds(runs: Any) -> None:
    print(f"seeds {', '.join(str(seed) for seed in runs.seeds)}: mean and standard deviation")
    for name, score in runs.scores.items():
        values = "  ".join(f"{value:.3f}" for value in score["values"])
        print(f"  {name:<8} {score['mean']:.3f} +- {score['deviation']:.3f}   ({values})")
    print(f"run folders  {runs.folder}")


def _print_adaptation(scores: dict[str, Any], folder: Path, data: Path) -> None:
    before, after = (scores[name]["val_silhouette"] for name in ("before", "after"))
    print(
        f"silhouette of {scores['aside']} crops kept aside: {before:.3f} before, {after:.3f} after"
    )
    if not scores["best_epoch"]:
        print(
            "no epoch was better than the start, which is kept. Try more crops, of more cameras; "
            "siamese calibrate gains most of what there is to gain and trains nothing"
        )
    model = folder / "model.keras"
    print(f"run folder   {folder}")
    print(f"model        {model}")
    print(f"next         siamese calibrate {data} --model {model} --output profile.json")


def _choose_data(
    data: tuple[Path, ...] | None,
    train_dir: Path | None,
    query_dir: Path | None,
    gallery_dir: Path | None,
) -> tuple[Path, ...]:
    """Returns what to train on: --data, or --train_dir of all three folders."""
    folders = {"--train_dir": train_dir, "--query_dir": query_dir, "--gallery_dir": gallery_dir}
    missing = [name for name, folder in folders.items() if folder is None]
    if data and len(missing) == 3:
        return data
    if data is None and train_dir is not None and not missing:
        for name, folder in folders.items():
            if folder is not None and not folder.is_dir():
                raise InputError(f"{folder}: no such folder. Give {name} a folder of images.")
        return (train_dir,)
    received = [name for name in folders if name not in missing]
    raise InputError(
        "expected either --data, or --train_dir, --query_dir and --gallery_dir together. Received: "
        f"{', '.join(['--data'] * bool(data) + received) or 'none of them'}"
    )


def _find_records(
    folders: tuple[Path, ...],
    records: Path | None,
    split: dict[str, Any],
    on_corrupt: OnCorrupt,
) -> Path:
    """Returns the records of datasets, built where they are missing."""
    import_quietly("keras")
    from siamese.datasets import list_sources
    from siamese.records import (
        MANIFEST,
        build_records,
        check_source,
        default_folder,
        is_record_set,
        read_manifest,
        renew_triplets,
    )

    data = folders[0]
    if len(folders) > 1 and records is None:
        raise InputError(
            "--data takes one dataset, or several with a folder of their own for the records "
            f"(--records). Received: {len(folders)} datasets."
        )
    if records is None and (data / MANIFEST).exists():
        if split:
            raise InputError(
                f"{data}: holds records, which are split already. Received: --"
                f"{', --'.join(split)}. Leave them out, or make other records."
            )
        return data
    folder = records or default_folder(data)
    if is_record_set(folder) and not split:
        if (folder / MANIFEST).exists() and (len(folders) > 1 or not data.samefile(folder)):
            manifest = read_manifest(folder)
            limits = manifest.split.get("max_images_per_person")
            sources = list_sources(folders, manifest.reading, limits)
            check_source(folder, manifest, sources)
            renew_triplets(folder, manifest, sources)
        return folder
    if records is None and is_record_set(data):
        note = f"takes the records of the earlier project in {data}"
        if read_manifest(data).split["by"] != "identity":
            note += ": the same people are in training and validation, scores look too good"
        say(note)
        return data
    with counting("records") as progress:
        _, manifest, new = build_records(
            folders, records, **split, on_corrupt=on_corrupt, progress=progress
        )
    if new:
        say(f"wrote {folder}")
        for skip in manifest.skipped:
            say(f"skipped: {skip.reason}")
        if manifest.coverage:
            say(f"images       {manifest.coverage.describe()}")
    return folder
