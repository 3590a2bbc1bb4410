"""Commands on dataset folders and records: inspect, records, draw."""

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from siamese.cli.program import Flag, counting, import_quietly


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
    import_quietly("tensorflow")
    from siamese.data.records import build_records, describe

    with counting("images") as progress:
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

    with counting("images") as progress:
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

    with counting("images") as progress:
        count = write_mars_tree(
            folder, people=people, cameras=cameras, frames=frames, seed=seed, progress=progress
        )
    print(f"{count:,} images of {people} people by {cameras} cameras in {folder}")
