"""Commands on datasets, records and images: inspect, records, draw, augment."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from siamese.cli.program import POSITIONAL, Json, Option, counting, import_quietly, say, say_dry
from siamese.errors import InputError, OnCorrupt

# Text: `Path` folds the slashes of an address.
Place = Annotated[str, Option(metavar="PATH", positional=True)]
Places = Annotated[tuple[str, ...], Option(metavar="PATH [PATH ...]")]
Names = Annotated[tuple[str, ...] | None, Option(metavar="NAME [NAME ...]")]
Limits = Annotated[tuple[str, ...] | None, Option(metavar="INT|NAME=INT [NAME=INT ...]")]


def at_images(table: str | Path, images: Path | None, folder: Path | None = None) -> str:
    """Returns a dataset; where a table's images lie elsewhere, the table with their whole paths.

    Args:
        table: The dataset.
        images: The folder of its images, where it is a table and they lie elsewhere.
        folder: Where the table with whole paths goes; by default a folder of its own in
            runs/records.
    """
    if images is None:
        return str(table)
    if not images.is_dir():
        raise InputError(f"{images}: no such folder. Give --images the folder of the images.")
    from siamese.datasets.tables import place_table

    own = folder or folder_of_records(Path(table).stem, Path(table), images)
    return str(place_table(table, images, own))


def folder_of_records(name: str, *sources: Path) -> Path:
    """Names the folder of records in `runs` that are of these files or folders."""
    import hashlib

    paths = "\n".join(str(each.absolute()) for each in sources)
    digest = hashlib.blake2b(paths.encode(), digest_size=4).hexdigest()
    return Path("runs") / "records" / f"{name}-{digest}"


def create_records(
    dataset_dir: Places,
    tfrecord_filename: str = "mars",
    validation_size: float = 0.3,
    num_shards: int | None = None,
    random_seed: int = 0,
    output_dir: Annotated[str | None, Option(metavar="PATH")] = None,
    split: Literal["identity", "tracklet", "image"] = "identity",
    hold_out: Names = None,
    max_images_per_person: Limits = None,
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    compress: bool = False,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    images: Path | None = None,
    dry_run: bool = False,
) -> None:
    """Make a training and a validation set of TFRecords from folders of pedestrian crops.

    An existing complete set is left alone; an interrupted one is continued. Images may come from,
    and records go to, addresses such as s3://bucket/folder or gs://bucket/folder.

    Several folders become one set: people are then named SOURCE/PERSON, and each source has cameras
    of its own. A source is called as its folder is.

    Args:
        dataset_dir: Folder with categories/ID/*.jpg or ID/*.jpg, or another known dataset, or a CSV
            file of identities or triplets; a path or an address. Several become one set.
        tfrecord_filename: First part of the names of the TFRecord files.
        validation_size: Expected share of the people (tracklets, images) in the validation set, of
            each source.
        num_shards: TFRecord files for each of the two sets; by default as many as make files of
            some 128 MB.
        random_seed: Seed of the split.
        output_dir: Where to write, a path or an address; by default the folder records in
            dataset_dir.
        split: What stays whole. Only identity keeps people apart.
        hold_out: Sources whose people are held out for validation; by default all.
        max_images_per_person: Most images of a person, drawn evenly over cameras and tracklets; one
            number for all sources, or NAME=INT for some.
        pattern: Regular expression with the groups person, camera, tracklet, frame, for file names
            of your own form; or how to read them (docs/datasets.md): folders, names, unlabelled,
            cuhk01, ...
        on_corrupt: What damaged images do: error names them all and ends, skip leaves them out and
            names them in manifest.json.
        compress: Write GZIP files (.tfrecord.gz).
        engine: local uses the processors of this computer, ray those of a Ray cluster.
        address: Address of a running Ray cluster; by default one is started on this computer.
        images: Folder of the images of a CSV file that lie elsewhere; records then go to
            runs/records by default.
        dry_run: Say what would be written, and write nothing.
    """
    from siamese.datasets import recognise
    from siamese.datasets.splits import SplitRule
    from siamese.records import build_records, count_records, describe

    if images is not None:
        if len(dataset_dir) != 1:
            raise InputError(
                f"--images goes with one CSV file. Received: {len(dataset_dir)} datasets."
            )
        dataset_dir = (at_images(dataset_dir[0], images),)
    if address is not None and engine != "ray":
        raise InputError(
            f"--address is for --engine ray. Received: --address {address} --engine {engine}"
        )
    if dry_run:
        rule = SplitRule(
            split, validation_size, random_seed, hold_out, read_limits(max_images_per_person)
        )
        folder, parts = count_records(dataset_dir, output_dir, split=rule, pattern=pattern)
        counted = ", ".join(f"{count:,} images for {part}" for part, count in parts.items())
        say_dry(folder, counted or "nothing, its records are complete")
        return
    writing: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if engine == "ray":
        from siamese.records.cluster import open_ray

        writing = open_ray(address)
    with writing as writer, counting("images") as progress:
        folder, manifest, new = build_records(
            dataset_dir,
            output_dir,
            name=tfrecord_filename,
            validation_size=validation_size,
            num_shards=num_shards,
            random_seed=random_seed,
            split=split,
            hold_out=hold_out,
            max_images_per_person=read_limits(max_images_per_person),
            pattern=pattern,
            on_corrupt=on_corrupt,
            compress=compress,
            engine=writer,
            progress=progress,
        )
    for place in dataset_dir if new else ():
        for note in recognise(place, pattern).notes:
            source = f"{place}: " if len(dataset_dir) > 1 else ""
            say(f"note: {source}{note}")
    for skip in manifest.skipped if new else ():
        say(f"skipped: {skip.reason}")
    print(describe(manifest))
    print(f"{'wrote' if new else 'left alone, complete already:'} {folder}")


def read_limits(words: Sequence[str] | None) -> int | dict[str, int] | None:
    """Reads --max_images_per_person: one number, or SOURCE=NUMBER for some sources.

    Raises:
        InputError: It is neither.
    """
    if words is None:
        return None
    try:
        if len(words) == 1 and "=" not in words[0]:
            return int(words[0])
        pairs = [word.rpartition("=") for word in words]
        limits = {name: int(number) for name, _, number in pairs if name}
    except ValueError:
        limits = {}
    if not words or len(limits) < len(words):
        raise InputError(
            "--max_images_per_person takes one number, or SOURCE=NUMBER for some sources. "
            f"Received: {' '.join(words) or 'nothing'}"
        )
    return limits


def verify_records(
    folder: Place,
    json_: Json = False,
) -> int:
    """Read every record of a set and say which file is broken, and where.

    Compares checksums, records and counts with manifest.json. Exits with 1 where something is
    wrong.

    Args:
        folder: A folder of records, or its address, such as s3://bucket/records.
        json_: Print one JSON object and nothing else.
    """
    from siamese import records
    from siamese.filesystem import join

    with counting("records") as progress:
        manifest, faults = records.verify_records(folder, progress)
    shards = [shard for part in manifest.parts.values() for shard in part.shards]
    count = sum(shard.records for shard in shards)
    if json_:
        found = [dataclasses.asdict(fault) for fault in faults]
        print(json.dumps({"folder": str(folder), "files": len(shards), "records": count,
                          "faults": found}, ensure_ascii=False))  # fmt: skip
        return 1 if faults else 0
    for fault in faults:
        place = "" if fault.offset is None else f" at byte {fault.offset:,}"
        print(f"{join(folder, fault.file)}{place}: {fault.reason}")
    if faults:
        print("Remove the folder and make the records again, or copy the broken files again.")
        return 1
    print(f"{count:,} records in {len(shards)} files are as manifest.json says: {folder}")
    return 0


def inspect(
    folder: Place,
    pattern: str | None = None,
    output: Path | None = None,
    json_: Json = False,
    images: Path | None = None,
) -> int:
    """Say what a dataset folder is, what is wrong with it, and how to fix it.

    Exits with 1 where something would spoil a result.

    Args:
        folder: A dataset folder, or a CSV file of identities or triplets; a path or an address
            such as s3://bucket/folder.
        pattern: Regular expression with the groups person, camera, tracklet, frame, for file names
            of your own form; or how to read them (docs/datasets.md): folders, names, unlabelled,
            cuhk01, ...
        output: Picture: some of the images, images a person, image sizes; none by default.
        json_: Print one JSON object and nothing else.
        images: Folder of the images of a CSV file that lie elsewhere.
    """
    import tempfile

    from siamese.inspect import inspect_folder

    with tempfile.TemporaryDirectory() as scratch, counting("images") as progress:
        report = inspect_folder(at_images(folder, images, Path(scratch)), pattern, progress)
    print(json.dumps(report.to_dict(), ensure_ascii=False) if json_ else report.text())
    if not json_ and len(report.contact_sheet) > 1:
        _print_likeness(report.contact_sheet)
    if output is not None and report.contact_sheet:
        from siamese import plots
        from siamese.images import read_image

        figure = plots.plot_dataset(
            [read_image(path) for path in report.contact_sheet],
            images_a_person=list(report.images_a_person.values()),
            image_sizes=report.image_sizes,
        )
        plots.save(figure, output)
    return 1 if report.spoils else 0


def _print_likeness(paths: Sequence[str]) -> None:
    """Says whether images look as those that the model at hand was calibrated on."""
    from siamese.images import read_image
    from siamese.inference import find_model
    from siamese.metrics.likeness import Likeness, measure_appearance
    from siamese.models.checkpoint import read_metadata

    try:
        path = find_model(None)
        values = read_metadata(path).get("likeness")
    except InputError:  # there is no model, or one that tells nothing
        return
    if values is None:
        return
    appearances = measure_appearance(read_image(each) for each in paths)
    share = Likeness.from_dict(values).share_unlike(appearances)
    if share > 0.2:
        print(
            f"unlike    {share:.0%} of the pairs of {len(paths)} of the images are unlike those "
            f"that {path} was calibrated on: its error rates do not hold for them. Run siamese "
            "calibrate on this folder."
        )


def draw(
    folder: Annotated[Path, POSITIONAL],
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
    from siamese.synthetic import write_mars_tree

    with counting("images") as progress:
        count = write_mars_tree(
            folder, people=people, cameras=cameras, frames=frames, seed=seed, progress=progress
        )
    print(f"{count:,} images of {people} people by {cameras} cameras in {folder}")


def augment(
    images: Annotated[list[Path], POSITIONAL],
    recipe: str = "osnet",
    output: Path = Path("augmented.png"),
    copies: int = 9,
    each: bool = False,
    seed: int = 0,
) -> None:
    """Draw what training sees: each image beside changed copies of it, in one picture.

    Args:
        images: One or more image files.
        recipe: Whose augmentation.
        output: The picture; the first column has the images as they are.
        copies: Changed copies of an image.
        each: Show every augmentation there is by itself, one a row, in place of a recipe's; the
            images come in turn.
        seed: Another seed, other copies.
    """
    from siamese.recipes import find_recipe

    if not 1 <= copies <= 100:
        raise InputError(f"`copies` must be 1 to 100. Received: {copies}")
    chosen = find_recipe(recipe)
    import_quietly("keras")
    import keras
    import numpy as np

    from siamese import plots
    from siamese.augment import build_augmentation
    from siamese.images import read_image, resize_image

    size = chosen.model.image_size
    crops = [resize_image(read_image(path), size) for path in images]
    options = [("", dataclasses.asdict(chosen.augmentation)) for _ in crops]
    if each:
        options = [(name, {"flip": False, name: value}) for name, value in EACH.items()]
    pictures, captions = [], []
    for row, (name, values) in enumerate(options):
        crop = crops[row % len(crops)]
        other = crops[(row + 1) % len(crops)] if len(crops) > 1 else crop[:, ::-1]
        # Each copy comes after another image, which CutMix takes a part of.
        batch = np.tile(np.stack([other, crop]).astype(np.float32), (copies, 1, 1, 1))
        for layer in build_augmentation(**values, seed=seed + row):
            batch = layer(batch, training=True)
        pictures += [crop, *keras.ops.convert_to_numpy(batch)[1::2].round().astype(np.uint8)]
        captions += [name or "as it is", *[""] * copies]
    plots.save(plots.plot_images(pictures, captions, columns=copies + 1), output)
    print(f"{len(options)} rows, {copies} changed copies each: {output}")


EACH: dict[str, float] = {
    "flip": True,
    "padding": 10,
    "rotation": 15.0,
    "perspective": 0.4,
    "auto_augment": 1.0,
    "rand_augment": 9.0,
    "aug_mix": 1.0,
    "cut_mix": 1.0,
    "brightness": 0.3,
    "contrast": 0.5,
    "saturation": 0.6,
    "hue": 0.1,
    "grayscale_patch": 1.0,
    "erasing": 1.0,
}
"""Strong enough to be seen."""
