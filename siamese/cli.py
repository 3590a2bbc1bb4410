"""The command line: one function a stage; its signature is the options, its docstring the help.

Nothing heavy is imported before the options are parsed, so that `--help` answers at once.
"""

import contextlib
import errno
import functools
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from siamese.errors import InputError

Flag = tyro.conf.FlagCreatePairsOff[bool]


def create_records(
    dataset_dir: Path,
    tfrecord_filename: str = "mars",
    validation_size: float = 0.3,
    num_shards: int = 1,
    random_seed: int = 0,
    output_dir: Path | None = None,
    split: Literal["identity", "tracklet", "image"] = "identity",
) -> None:
    """Make a training and a validation set of TFRecords from a folder of pedestrian crops.

    An existing complete set is left alone; a partial one is built anew.

    Args:
        dataset_dir: Folder with categories/ID/*.jpg or ID/*.jpg, or another known dataset.
        tfrecord_filename: First part of the names of the TFRecord files.
        validation_size: Expected share of the people (tracklets, images) in the validation set.
        num_shards: TFRecord files for each of the two sets.
        random_seed: Seed of the split.
        output_dir: Where to write; by default the folder records in dataset_dir.
        split: What stays whole. Only identity keeps people apart.
    """
    _import_quietly("tensorflow")
    from siamese.data.records import build_records, describe

    console = _console()
    with _progress(console, "images") as progress:
        folder, manifest, new = build_records(
            dataset_dir,
            output_dir,
            name=tfrecord_filename,
            validation_size=validation_size,
            num_shards=num_shards,
            random_seed=random_seed,
            split=split,
            progress=progress,
        )
    print(describe(manifest))
    print(f"{'wrote' if new else 'left alone, complete already:'} {folder}")


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
    console = _console()
    records = _find_records(data, records, console)
    from siamese.train import train as train_stage

    finished = train_stage(records, chosen, run=run, log=log, console=console)
    _print_scores(finished.scores, title=f"trained, {finished.scores['source']}")
    print(f"run folder   {finished.folder}")
    print(f"model        {finished.folder / 'model.keras'}")
    print(f"TensorBoard  tensorboard --logdir {finished.log.parent}")


def verify(
    img1: Annotated[Path, tyro.conf.arg(aliases=["-i1"])],
    img2: Annotated[Path, tyro.conf.arg(aliases=["-i2"])],
    model: Path | None = None,
    output: Path | None = None,
    json_: Annotated[Flag, tyro.conf.arg(name="json")] = False,
) -> None:
    """Say whether two images show the same person, and how sure that is.

    Args:
        img1: The first image.
        img2: The second image.
        model: Model file; by default the newest in runs.
        output: Picture of the pair with the verdict; by default pair.png, with --json none.
        json_: Print one JSON object and nothing else.
    """
    from siamese.data.images import read_image

    images = [read_image(path) for path in (img1, img2)]  # a wrong path is answered at once
    _import_quietly("keras")
    from siamese import verify as stage

    path = stage.find_model(model)
    answer = stage.verify(img1, img2, path)
    if output is None and not json_:
        output = Path("pair.png")
    if output is not None:
        from siamese import plots

        figure = plots.plot_pair(
            *images,
            verdict=answer.verdict,
            distance=answer.distance,
            threshold=answer.threshold,
            probability=answer.probability,
            names=(img1.name, img2.name),
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        plots.save(figure, output)
    if json_:
        print(json.dumps(answer.to_dict(), ensure_ascii=False))
        return
    sentence = {
        "same": "Similar: the same person",
        "different": "Dissimilar: two people",
        "unsure": "Unsure: too near to call",
    }
    print(sentence[answer.verdict])
    print(f"distance     {answer.distance:.4f}  (threshold {answer.threshold:.4f})")
    print(f"probability  {answer.probability:.1%} that it is the same person")
    print(
        f"error rates  at this threshold {answer.false_accept_rate:.1%} of the pairs of two people "
        f"are accepted, {answer.false_reject_rate:.1%} of the pairs of one person are missed"
    )
    print(f"model        {answer.model} ({answer.fingerprint})")
    print(f"picture      {output}")


def evaluate(
    data: Path,
    model: Path | None = None,
    flip: Flag = False,
    json_: Annotated[Flag, tyro.conf.arg(name="json")] = False,
) -> None:
    """Score a model on people it has not seen: Rank-k, mAP, mINP, EER.

    Args:
        data: A dataset folder with a query and a gallery part, or the folder of a record set.
        model: Model file; by default the newest in runs.
        flip: Average each embedding with that of the mirrored image.
        json_: Print one JSON object and nothing else.
    """
    _import_quietly("keras")
    from siamese.evaluate import evaluate as stage
    from siamese.verify import find_model

    with _progress(_console(), "images") as progress:
        card = stage(find_model(model), data, flip=flip, progress=progress)
    if json_:
        print(json.dumps(card, ensure_ascii=False))
        return
    _print_scores(card, title=str(card["source"]))
    print(f"model        {card['model']} ({card['fingerprint']})")


def inspect(
    folder: Annotated[Path, tyro.conf.Positional],
    pattern: str | None = None,
    output: Path | None = None,
    json_: Annotated[Flag, tyro.conf.arg(name="json")] = False,
) -> int:
    """Say what a dataset folder is, what is wrong with it, and how to mend it.

    Exits with 1 where something would spoil a result.

    Args:
        folder: A dataset folder, or a CSV file of identities or triplets.
        pattern: Regular expression with the groups person, camera, tracklet, frame, for file names
            of your own form.
        output: Picture: some of the images, images a person, image sizes; none by default.
        json_: Print one JSON object and nothing else.
    """
    from siamese.data.inspection import inspect_folder

    with _progress(_console(), "images") as progress:
        report = inspect_folder(folder, pattern, progress)
    print(json.dumps(report.to_dict(), ensure_ascii=False) if json_ else report.text())
    if output is not None and report.contact_sheet:
        from siamese import plots
        from siamese.data.images import read_image

        figure = plots.plot_dataset(
            [read_image(path) for path in report.contact_sheet],
            images_a_person=list(report.images_a_person.values()),
            image_sizes=report.image_sizes,
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        plots.save(figure, output)
    return 1 if report.spoils else 0


def draw(
    folder: Annotated[Path, tyro.conf.Positional],
    people: int = 100,
    cameras: int = 4,
    frames: int = 6,
    seed: int = 0,
) -> None:
    """Draw a small MARS tree of pedestrians: a dataset without a download.

    Args:
        folder: Where to; categories/ID/*.jpg is made in it.
        people: Number of people.
        cameras: Number of cameras; each sees everybody once.
        frames: Images of a person by a camera.
        seed: Another seed, other people and cameras.
    """
    from siamese.data.pedestrians import write_mars_tree

    with _progress(_console(), "images") as progress:
        count = write_mars_tree(
            folder, people=people, cameras=cameras, frames=frames, seed=seed, progress=progress
        )
    print(f"{count:,} images of {people} people by {cameras} cameras in {folder}")


COMMANDS: dict[str, Callable[..., int | None]] = {
    "inspect": inspect,
    "records": create_records,
    "train": train,
    "verify": verify,
    "evaluate": evaluate,
    "draw": draw,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The `siamese` command.

    Args:
        arguments: What follows the program's name; by default of this process.

    Returns:
        The exit code: 0, 1 where `inspect` found an error in a dataset, 2 for what the user can
        mend, 130 after Ctrl-C.
    """
    call = functools.partial(
        tyro.extras.subcommand_cli_from_dict,
        COMMANDS,
        prog="siamese",
        description="Person re-identification: folders of pedestrian crops to verdicts.",
        args=arguments,
        use_underscores=True,
    )
    return _guard(call)


def run(command: Callable[..., int | None], arguments: Sequence[str] | None = None) -> int:
    """One command as a program of its own: what the three scripts are.

    Args:
        command: A value of `COMMANDS`.
        arguments: What follows the program's name; by default of this process.

    Returns:
        The exit code, as `main`.
    """
    return _guard(functools.partial(tyro.cli, command, args=arguments, use_underscores=True))


def _guard(call: Callable[[], Any]) -> int:
    try:
        code: int | None = call()
    except InputError as error:
        message = " ".join(str(error).split())
    except BrokenPipeError:  # the reader of our output has gone, as in `... | head`
        sys.stderr.close()
        return 0
    except OSError as error:
        message = str(error)
        if error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            message += ". Free some space, or choose another folder."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            message += ". Change the permissions, or choose another folder."
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    else:
        return code or 0
    print(f"error: {message}", file=sys.stderr)
    return 2


def _check_trunk(trunk: str, weights: str) -> None:
    """Answers a wrong name before a large dataset is converted, not after."""
    _import_quietly("keras")
    from siamese.models.trunks import find_trunk

    find_trunk(trunk)
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise InputError(
            f"{weights}: no such weights file. Give `imagenet`, `none` or a .weights.h5 file."
        )


def _find_records(data: Path, records: Path | None, console: Any) -> Path:
    """The records of a dataset folder, built where they are missing."""
    _import_quietly("tensorflow")
    from siamese.data.datasets import list_samples
    from siamese.data.records import MANIFEST, build_records, check_source, read_manifest

    if records is None and (data / MANIFEST).exists():
        return data
    folder = records or data / "records"
    if (folder / MANIFEST).exists():
        if not data.samefile(folder):
            check_source(folder, read_manifest(folder), list_samples(data, "train"))
        return folder
    with _progress(console, "records") as progress:
        build_records(data, folder, progress=progress)
    console.print(f"wrote {folder}", highlight=False, soft_wrap=True)
    return folder


def _import_quietly(name: str) -> None:
    """Imports a library whose C++ part writes start-up notes to standard error, past Python.

    TF_CPP_MIN_LOG_LEVEL does not reach the notes that come before TensorFlow's logging starts; they
    would bury the program's own lines. Where the import fails they are shown.
    """
    saved = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            importlib.import_module(name)
        except ImportError:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@contextlib.contextmanager
def _progress(console: Any, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while something counts; nothing where that is no terminal."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_scores(card: dict[str, Any], *, title: str) -> None:
    left_out = card["queries_without_match"]
    print(title)
    print(
        f"  {card['protocol']}: {card['queries']:,} queries"
        + (f" ({left_out:,} more have no match)" if left_out else "")
        + f", gallery of {card['gallery']:,}"
    )
    if "untrained" in card:
        untrained = card["untrained"]
        print(
            f"  untrained    Rank-1 {untrained['rank1']:.3f}   mAP {untrained['mAP']:.3f}   "
            f"EER {untrained['eer']:.3f}"
        )
    print(
        f"  ranking      Rank-1 {card['rank1']:.3f}   Rank-5 {card['rank5']:.3f}   "
        f"Rank-10 {card['rank10']:.3f}   mAP {card['mAP']:.3f} (trapezoid "
        f"{card['mAP_trapezoid']:.3f})   mINP {card['mINP']:.3f}"
    )
    tar = "   ".join(f"{rate:.3f} at FAR {far}" for far, rate in card["tar_at_far"].items())
    print(f"  verification EER {card['eer']:.3f}   AUC {card['auc']:.3f}   accepted: {tar}")
    if "intervals" in card:
        names = {"rank1": "Rank-1", "mAP": "mAP", "mINP": "mINP", "eer": "EER"}
        shown = "   ".join(
            "{} {:.3f} to {:.3f}".format(label, *card["intervals"][name])
            for name, label in names.items()
        )
        print(f"  95 %         {shown}  (bootstrap over people)")
