"""A dataset folder to a record set that is whole, or not there, or goes on where it stopped.

While a set is built, the folder `.building` holds the plan (which images go into which shard, as a
digest) and a note for each shard that is finished. A later call with the same plan keeps these
shards; one with another plan removes them. The manifest comes last.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from siamese.datasets import (
    Caps,
    Coverage,
    DatasetPaths,
    Sample,
    SourceDataset,
    add_coverage,
    as_list,
    list_sources,
)
from siamese.datasets.splits import SplitBy, SplitRule, refuse_duplicates, split_sources
from siamese.datasets.triplets import TRIPLETS, find_triplets, kept_triplets, write_triplets
from siamese.errors import InputError, OnCorrupt
from siamese.files import write_text
from siamese.filesystem import (
    as_path,
    file_states,
    is_remote,
    listed_once,
    make_folder,
    reaching,
    remove_folder,
)
from siamese.images import naming_all_damaged
from siamese.records.counting import count_part, count_source, number_people
from siamese.records.legacy import has_legacy_records
from siamese.records.manifest import (
    LABELS,
    MANIFEST,
    SCHEMA_VERSION,
    SUMMARY,
    UNKNOWN_LABEL,
    Manifest,
    describe,
)
from siamese.records.plan import begin, plan_part
from siamese.records.reader import is_record_set, read_manifest
from siamese.records.shards import BUILDING, ShardJob, WrittenShard, write_shard

logger = logging.getLogger(__name__)

Engine = Callable[[Sequence[ShardJob], Callable[[int], None]], Iterable[WrittenShard]]
"""Writes shards, in any order, and calls back with the number of images done."""


def build_records(
    dataset_dir: DatasetPaths,
    folder: str | Path | None = None,
    *,
    name: str = "mars",
    validation_size: float = 0.3,
    num_shards: int | None = None,
    random_seed: int = 0,
    split: SplitBy = "identity",
    hold_out: Sequence[str] | None = None,
    max_images_per_person: Caps = None,
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    compress: bool = False,
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, Manifest, bool]:
    """Makes the record set of one or several datasets, unless it is there already.

    A set whose writing was interrupted is continued. A set of the earlier project in the folder is
    left alone. The triplets of a single triplet CSV file are kept beside the records. Of several
    datasets, people and cameras are kept apart (`list_sources`).

    Args:
        dataset_dir: Any folder or CSV file that `siamese.datasets.recognise` knows; a local
            path or an address such as `s3://bucket/market1501`; or several of them.
        folder: Where the records go, a path or an address; by default `default_folder`. For several
            datasets it must be given.
        name: First part of the shards' names.
        validation_size: Share of people (tracklets, images) of each source in validation, 0 to 1.
        num_shards: Files for each part; None: as many as make some 128 MB each.
        random_seed: Seed of the split.
        split: What stays whole: "identity", "tracklet" or "image".
        hold_out: Names of the sources whose people are held out; None: all.
        max_images_per_person: As `list_sources` takes it.
        pattern: A regular expression that reads the file names, as `list_samples` takes it.
        on_corrupt: "error": a damaged image ends the writing; "skip": it is left out, and the
            manifest names it.
        compress: Write GZIP files. Images hardly shrink; other readers may want it.
        engine: What writes the shards; by default threads of this process.
        progress: Called with the images done and all images.

    Returns:
        The folder of the records, the manifest, and whether they were written now.

    Raises:
        InputError: A dataset cannot be used, or the folder holds a complete set that was made
            with other arguments.
        OSError: The folder cannot be written, or an address cannot be reached.
    """
    rule = SplitRule(split, validation_size, random_seed, hold_out, max_images_per_person)
    if not name or Path(name).name != name:
        raise InputError(f"`name` must be a file name without a folder. Received: {name}")
    datasets = as_list(dataset_dir)
    if not datasets or (folder is None and len(datasets) > 1):
        raise InputError(
            "`dataset_dir` must be one dataset, or several with a folder of their own for the "
            f"records (--output_dir). Received: {len(datasets)} datasets."
        )
    place = datasets[0] if folder is None else folder
    with reaching(place), listed_once():
        elsewhere = folder is None and default_folder(place).name != "records"
        folder = default_folder(place) if folder is None else as_path(folder)
        if elsewhere:
            logger.warning(
                "%s may not be written: its records are in %s. Choose another folder by "
                "--output_dir, of train --records.",
                place,
                folder.absolute(),
            )
        complete = (folder / MANIFEST).exists()
        manifest = read_manifest(folder) if complete else None
        reading = manifest.reading if manifest and pattern is None else pattern
        sources = list_sources(datasets, reading, max_images_per_person)
        if manifest:
            given = {"hold_out": None, "max_images_per_person": None, **rule.to_dict()}
            asked = {"name": name, "compress": compress, "pattern": pattern, **given}
            _refuse_other_arguments(folder, manifest, asked, num_shards)
            check_source(folder, manifest, sources)
            renew_triplets(folder, manifest, sources)
            return folder, manifest, False
        if has_legacy_records(folder, name):
            return folder, read_manifest(folder), False
        parts = split_sources(sources, rule)
        refuse_duplicates([sample for part in parts.values() for sample in part])
        triplets = None
        if len(sources) == 1 and sources[0].layout == "triplet-csv":
            if (folder / TRIPLETS).resolve() == as_path(datasets[0]).resolve():
                raise InputError(
                    f"{folder}: the records come with a file {TRIPLETS}, which is the name of the "
                    "dataset's own. Give another output folder."
                )
            triplets = find_triplets(datasets[0], parts["train"])
        manifest = write_records(
            parts,
            folder,
            name=name,
            num_shards=num_shards,
            dataset=sources[0].layout if len(sources) == 1 else "several",
            split=rule.to_dict(),
            pattern=pattern,
            on_corrupt=on_corrupt,
            compress=compress,
            triplets=triplets,
            sources=sources if len(sources) > 1 else (),
            camera_names={
                f"{each.prefix}{name}": number + each.camera_offset
                for each in sources
                for name, number in each.camera_names.items()
            },
            coverage=add_coverage([each.coverage for each in sources if each.coverage]),
            engine=engine,
            progress=progress,
        )
    return folder, manifest, True


def _refuse_other_arguments(
    folder: Path, manifest: Manifest, asked: Mapping[str, Any], num_shards: int | None
) -> None:
    """Makes sure that a complete set was made with these arguments."""
    shards = manifest.parts["train"].shards or manifest.parts["validation"].shards
    there = {
        "name": manifest.name,
        "compress": shards[0].file.endswith(".gz"),
        "pattern": manifest.pattern,
        **manifest.split,
    }
    if num_shards is not None:
        asked, there["num_shards"] = {**asked, "num_shards": num_shards}, len(shards)
    other = [f"{key} {there.get(key)} (asked: {asked[key]})" for key in asked
             if there.get(key) != asked[key]]  # fmt: skip
    if other:
        raise InputError(
            f"{folder}: holds a complete record set made with other arguments: "
            f"{', '.join(other)}. Remove it, or give another output folder."
        )


def default_folder(dataset_dir: str | Path) -> Path:
    """Returns the folder of the records of a dataset, unless another one is named.

    It is `records` in the dataset's folder; where that may not be written and holds none,
    `NAME-records` in the working directory.
    """
    dataset_dir = as_path(dataset_dir)
    home = dataset_dir.parent if dataset_dir.is_file() else dataset_dir
    folder = home / "records"
    if is_remote(home) or is_record_set(folder) or not home.is_dir():
        return folder
    if os.access(folder if folder.is_dir() else home, os.W_OK):
        return folder
    return Path(f"{home.resolve().name}-records")


def check_source(folder: Path, manifest: Manifest, sources: Sequence[SourceDataset]) -> None:
    """Makes sure that a record set is of the images of these datasets.

    Raises:
        InputError: It is of others: of another dataset, or images came or went since.
    """
    samples = (sample for source in sources for sample in source.rename(source.samples))
    if manifest.source != source_digest(samples):
        raise InputError(
            f"{folder}: holds the records of other images than the dataset folder has now. Remove "
            "it to build them again, or give another folder for the records."
        )


def renew_triplets(
    folder: str | Path, manifest: Manifest, sources: Sequence[SourceDataset]
) -> None:
    """Keeps the triplets of a triplet CSV file as it is now beside records of its images.

    Nothing is done for any other sources than one such file.
    """
    if len(sources) == 1 and sources[0].layout == "triplet-csv":
        parts = split_sources(sources, SplitRule.from_dict(manifest.split))
        triplets = find_triplets(sources[0].folder, parts["train"])
        if triplets != kept_triplets(folder):
            write_triplets(folder, triplets)


def source_digest(samples: Iterable[Sample]) -> str:
    """Digests names of images and their people, in any order, to sixteen hexadecimal digits."""
    lines = sorted(f"{sample.person}/{os.path.basename(sample.path)}" for sample in samples)  # noqa: PTH119 - speed
    return blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def write_records(
    parts: Mapping[str, Sequence[Sample]],
    folder: str | Path,
    *,
    name: str = "mars",
    num_shards: int | None = None,
    dataset: str = "",
    split: Mapping[str, Any] | None = None,
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    compress: bool = False,
    verify: bool = True,
    triplets: Sequence[Sequence[str]] | None = None,
    sources: Sequence[SourceDataset] = (),
    camera_names: Mapping[str, int] | None = None,
    coverage: Coverage | None = None,
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Writes a record set; every image is decoded once to verify it.

    Images keep their bytes when they are RGB or grey JPEG or RGB PNG; all others are stored as RGB
    PNG. Records are in an order drawn from their names, so that a reader with a small shuffle
    buffer still sees many people. The bytes of the files depend on the images and the arguments,
    not on the engine or the number of processors.

    `parts` are `train` and `validation` to their samples, of which one may have none, and
    `unlabelled` to those of unknown people (""), where there are such. A folder is made when
    missing; a partial set of the same arguments in it is continued. Without `verify` images are not
    decoded. `triplets` (names of anchor, positive and negative) are kept beside the records.
    `sources` are the datasets where there are several; these and `dataset`, `split`, `pattern`,
    `camera_names` and `coverage` are for the manifest (`Manifest`). The others are as in
    `build_records`.

    Returns:
        The manifest, as written.

    Raises:
        InputError: An image is damaged or missing, or a part has none, or `num_shards` is out of
            range, or the folder holds files of another program under the names of a set. Nothing
            that looks whole is left behind.
        OSError: The disk is full or the folder may not be written; the same holds.
    """
    counts = [len(samples) for samples in parts.values() if samples]
    if not counts:
        raise InputError("`parts` must hold images. Received: none. Add some.")
    fewest = min(counts)
    if not 1 <= (1 if num_shards is None else num_shards) <= fewest:
        raise InputError(
            f"`num_shards` must be between 1 and the images of the smaller part ({fewest}). "
            f"Received: {num_shards}"
        )
    folder = as_path(folder)
    make_folder(folder)
    labels = number_people(parts)
    numbers = {**labels, "": UNKNOWN_LABEL}
    jobs: dict[str, list[ShardJob]] = {}
    for part, samples in parts.items():
        stem, states = folder / f"{name}_{part}", file_states(sample.path for sample in samples)
        how: dict[str, Any] = {"compress": compress, "on_corrupt": on_corrupt, "verify": verify}
        jobs[part] = list(plan_part(stem, samples, numbers, num_shards, states, **how))
    every_job = [job for part_jobs in jobs.values() for job in part_jobs]
    shards = {job.file: job.digest for job in every_job}
    plan = {"schema_version": SCHEMA_VERSION, "verify": verify, "shards": shards}
    texts = [LABELS, SUMMARY] if triplets is None else [LABELS, SUMMARY, TRIPLETS]
    written = begin(folder, plan, every_job, texts)
    missing = [job for job in every_job if job.file not in written]
    total = sum(len(job.samples) for job in every_job)
    done = total - sum(len(job.samples) for job in missing)

    def step(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, total)

    step(0)
    with naming_all_damaged([each.path for job in missing for each in job.samples]):
        for each in (engine or local_engine())(missing, step):
            write_text(folder / BUILDING / f"{each.shard.file}.json", json.dumps(asdict(each)))
            written[each.shard.file] = each
    skipped = [skip for job in every_job for skip in written[job.file].skipped]
    left_out = {skip.file for skip in skipped}
    kept = {
        part: [each for job in jobs[part] for each in job.samples if each.path not in left_out]
        for part in jobs
    }
    manifest = Manifest(
        name,
        dataset,
        source_digest(sample for samples in parts.values() for sample in samples),
        dict(split or {}),
        {
            part: count_part(kept[part], [written[job.file] for job in jobs[part]], numbers)
            for part in jobs
        },
        labels,
        pattern,
        tuple(skipped),
        sources=tuple(count_source(source, kept, labels) for source in sources),
        camera_names=dict(camera_names or {}),
        coverage=coverage and coverage.without([skip.file for skip in skipped]),
    )
    for part, counted in manifest.parts.items():
        if not counted.images and parts[part]:
            raise InputError(
                f"{skipped[0].file}: is damaged, and so are all images of the part {part}. "
                "Copy the dataset again."
            )
    by_label = sorted(labels.items(), key=lambda item: item[1])
    write_text(folder / LABELS, "".join(f"{label}:{person}\n" for person, label in by_label))
    write_text(folder / SUMMARY, describe(manifest))
    if triplets is not None:
        write_triplets(folder, triplets)
    write_text(folder / MANIFEST, manifest.to_json())
    remove_folder(folder / BUILDING)
    return manifest


def local_engine(workers: int | None = None) -> Engine:
    """Makes what `write_records` takes: shards one after another, by threads of this process.

    By default they are one a processor, eight at most: more wait for each other in Python.
    """
    threads = workers or min(os.cpu_count() or 1, 8)

    def write(jobs: Sequence[ShardJob], step: Callable[[int], None]) -> Iterator[WrittenShard]:
        for job in jobs:
            yield write_shard(job, threads, step)

    return write
