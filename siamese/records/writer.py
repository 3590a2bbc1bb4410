"""A dataset folder to a record set that is whole, or not there, or goes on where it stopped.

While a set is built, the folder `.building` holds the plan (which images go into which shard, as a
digest) and a note for each shard that is finished. A later call with the same plan keeps these
shards; one with another plan removes them. The manifest comes last.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from siamese.datasets import Sample, list_samples, recognise
from siamese.datasets.splits import SplitBy, refuse_duplicates, split_samples
from siamese.datasets.triplets import TRIPLETS, find_triplets, kept_triplets, write_triplets
from siamese.errors import InputError
from siamese.filesystem import (
    FileState,
    as_path,
    file_states,
    is_remote,
    listed_once,
    make_folder,
    reaching,
    remove_folder,
)
from siamese.records.legacy import has_legacy_records
from siamese.records.manifest import (
    LABELS,
    MANIFEST,
    SCHEMA_VERSION,
    SUMMARY,
    Manifest,
    Part,
    describe,
)
from siamese.records.plan import begin, plan_part, write_text
from siamese.records.reader import read_manifest
from siamese.records.shards import BUILDING, OnCorrupt, ShardJob, WrittenShard, write_shard

Progress = Callable[[int, int], None]
"""Called with the number of finished items and of all items."""

Engine = Callable[[Sequence[ShardJob], Callable[[int], None]], Iterable[WrittenShard]]
"""Writes shards, in any order, and calls back with the number of images done."""


def build_records(
    dataset_dir: str | Path,
    folder: str | Path | None = None,
    *,
    name: str = "mars",
    validation_size: float = 0.3,
    num_shards: int | None = None,
    random_seed: int = 0,
    split: SplitBy = "identity",
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    compress: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> tuple[Path, Manifest, bool]:
    """Makes the record set of a dataset, unless it is there already.

    A set whose writing was interrupted is continued. A set of the earlier project in the folder is
    left alone. The triplets of a triplet CSV file are kept beside the records.

    Args:
        dataset_dir: Any folder or CSV file that `siamese.datasets.recognise` knows; a local
            path or an address such as `s3://bucket/market1501`.
        folder: Where the records go, a path or an address; by default `records` in the dataset
            folder.
        name: First part of the shards' names.
        validation_size: Expected share of people (tracklets, images) in validation, in (0, 1).
        num_shards: Files for each part; None: as many as make some 128 MB each.
        random_seed: Seed of the split.
        split: What stays whole: "identity", "tracklet" or "image".
        pattern: A regular expression that reads the file names, as `list_samples` takes it.
        on_corrupt: "error": a damaged image ends the writing; "skip": it is left out, and the
            manifest names it.
        compress: Write GZIP files. Images hardly shrink; other readers may want it.
        engine: What writes the shards; by default threads of this process.
        progress: Called with the images done and all images.

    Returns:
        The folder of the records, the manifest, and whether they were written now.

    Raises:
        InputError: The dataset cannot be used, or the folder holds a complete set that was made
            with other arguments.
        OSError: The folder cannot be written, or an address cannot be reached.
    """
    if not 0 < validation_size < 1:
        raise InputError(
            f"`validation_size` must be between 0 and 1, both excluded. Received: {validation_size}"
        )
    if not name or Path(name).name != name:
        raise InputError(f"`name` must be a file name without a folder. Received: {name}")
    rule = {"by": split, "validation_size": validation_size, "random_seed": random_seed}
    with reaching(dataset_dir if folder is None else folder):
        folder = default_folder(dataset_dir) if folder is None else as_path(folder)
        complete = (folder / MANIFEST).exists()
        with reaching(dataset_dir), listed_once():
            samples = list_samples(dataset_dir, "train", pattern)
            layout = recognise(dataset_dir, pattern)
            # On the disk it is cheaper to ask again than to remember.
            remember = not complete and all(is_remote(sample.path) for sample in samples)
            states = file_states(sample.path for sample in samples) if remember else None
        if complete:
            manifest = read_manifest(folder)
            asked = {"name": name, "compress": compress, "pattern": pattern, **rule}
            _refuse_other_arguments(folder, manifest, asked, num_shards)
            check_source(folder, manifest, samples)
            renew_triplets(folder, manifest, dataset_dir, samples)
            return folder, manifest, False
        if has_legacy_records(folder, name):
            return folder, read_manifest(folder), False
        refuse_duplicates(samples, states)
        train, validation = split_samples(samples, split, validation_size, random_seed)
        triplets = None
        if layout.name == "triplet-csv":
            if (folder / TRIPLETS).resolve() == as_path(layout.folder).resolve():
                raise InputError(
                    f"{folder}: the records come with a file {TRIPLETS}, which is the name of the "
                    "dataset's own. Give another output folder."
                )
            triplets = find_triplets(layout.folder, train)
        manifest = write_records(
            {"train": train, "validation": validation},
            folder,
            name=name,
            num_shards=num_shards,
            dataset=layout.name,
            split=rule,
            pattern=pattern,
            on_corrupt=on_corrupt,
            compress=compress,
            states=states,
            triplets=triplets,
            engine=engine,
            progress=progress,
        )
    return folder, manifest, True


def _refuse_other_arguments(
    folder: Path, manifest: Manifest, asked: Mapping[str, Any], num_shards: int | None
) -> None:
    """Makes sure that a complete set was made with these arguments."""
    shards = manifest.parts["train"].shards
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
    """Where the records of a dataset are unless another folder is named."""
    dataset_dir = as_path(dataset_dir)
    return (dataset_dir.parent if dataset_dir.is_file() else dataset_dir) / "records"


def check_source(folder: Path, manifest: Manifest, samples: Sequence[Sample]) -> None:
    """Makes sure that a record set is of these images.

    Raises:
        InputError: It is of others: of another dataset, or images came or went since.
    """
    if manifest.source != source_digest(samples):
        raise InputError(
            f"{folder}: holds the records of other images than the dataset folder has now. Remove "
            "it to build them again, or give another folder for the records."
        )


def renew_triplets(
    folder: str | Path, manifest: Manifest, dataset_dir: str | Path, samples: Sequence[Sample]
) -> None:
    """Keeps the triplets of a triplet CSV file as it is now beside records of its images.

    Args:
        folder: The folder of the records.
        manifest: Theirs.
        dataset_dir: What the images were listed from; nothing is done for any other than such a
            file.
        samples: All of its images.
    """
    layout = recognise(dataset_dir, manifest.pattern)
    if layout.name == "triplet-csv":
        rule = manifest.split
        train, _ = split_samples(samples, rule["by"], rule["validation_size"], rule["random_seed"])
        triplets = find_triplets(layout.folder, train)
        if triplets != kept_triplets(folder):
            write_triplets(folder, triplets)


def source_digest(samples: Iterable[Sample]) -> str:
    """Sixteen hexadecimal digits of the names of images and their people, in any order."""
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
    states: Mapping[str, FileState] | None = None,
    triplets: Sequence[Sequence[str]] | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Writes a record set; every image is decoded once to verify it.

    Images keep their bytes when they are RGB or grey JPEG or RGB PNG; all others are stored as RGB
    PNG. Records are in an order drawn from their names, so that a reader with a small shuffle
    buffer still sees many people. The bytes of the files depend on the images and the arguments,
    not on the engine or the number of processors.

    Args:
        parts: `train` and `validation` to their samples.
        folder: Where to, a path or an address; made when missing. A partial set of the same
            arguments is continued.
        name: First part of the shards' names.
        num_shards: Files for each part; None: as many as make some 128 MB each.
        dataset: What the images came from, for the manifest.
        split: How the parts were split, for the manifest.
        pattern: How the file names were read, for the manifest.
        on_corrupt: "error" or "skip".
        compress: Write GZIP files.
        verify: Decode every image.
        states: Path to size and version of the images at addresses, where they are known already.
        triplets: Names of anchor, positive and negative, to be kept beside the records.
        engine: What writes the shards; by default threads of this process.
        progress: Called with the images done and all images.

    Returns:
        The manifest, as written.

    Raises:
        InputError: An image is damaged or missing, or a part has none, or `num_shards` is out of
            range, or the folder holds files of another program under the names of a set. Nothing
            that looks whole is left behind.
        OSError: The disk is full or the folder may not be written; the same holds.
    """
    for part, samples in parts.items():
        if not samples:
            raise InputError(
                f"`parts` must hold images of each part. Received: none of {part}. Add some."
            )
    fewest = min(len(samples) for samples in parts.values())
    if not 1 <= (1 if num_shards is None else num_shards) <= fewest:
        raise InputError(
            f"`num_shards` must be between 1 and the images of the smaller part ({fewest}). "
            f"Received: {num_shards}"
        )
    folder = as_path(folder)
    make_folder(folder)
    if states is None:
        states = file_states(
            [each.path for part in parts.values() for each in part if is_remote(each.path)]
        )
    labels = _number_people(parts)
    jobs: dict[str, list[ShardJob]] = {}
    plan: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "verify": verify, "shards": {}}
    for part, samples in parts.items():
        stem = folder / f"{name}_{part}"
        jobs[part] = []
        for job, digest in plan_part(stem, samples, labels, num_shards, compress, states):
            jobs[part].append(ShardJob(*job, on_corrupt=on_corrupt, verify=verify))
            plan["shards"][Path(job[0]).name] = digest
    every_job = [job for part_jobs in jobs.values() for job in part_jobs]
    texts = [LABELS, SUMMARY] if triplets is None else [LABELS, SUMMARY, TRIPLETS]
    written = begin(folder, plan, every_job, texts)
    missing = [job for job in every_job if Path(job.path).name not in written]
    total = sum(len(job.samples) for job in every_job)
    done = total - sum(len(job.samples) for job in missing)

    def step(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, total)

    step(0)
    for each in (engine or local_engine())(missing, step):
        write_text(folder / BUILDING / f"{each.shard.file}.json", json.dumps(asdict(each)))
        written[each.shard.file] = each
    skipped = [skip for job in every_job for skip in written[Path(job.path).name].skipped]
    manifest = Manifest(
        name,
        dataset,
        source_digest(sample for samples in parts.values() for sample in samples),
        dict(split or {}),
        {
            part: _summarise(part_jobs, [written[Path(job.path).name] for job in part_jobs], labels)
            for part, part_jobs in jobs.items()
        },
        labels,
        pattern,
        tuple(skipped),
    )
    for part, counts in manifest.parts.items():
        if not counts.images:
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
    """Writes shards one after another with the threads of this process.

    Args:
        workers: Threads; by default one a processor, eight at most: more wait for each other in
            Python.

    Returns:
        What `write_records` takes.
    """
    threads = workers or min(os.cpu_count() or 1, 8)

    def write(jobs: Sequence[ShardJob], step: Callable[[int], None]) -> Iterator[WrittenShard]:
        for job in jobs:
            yield write_shard(job, threads, step)

    return write


def _number_people(parts: Mapping[str, Sequence[Sample]]) -> dict[str, int]:
    """Labels of the training people first, in sorted order: 0..C-1 is what training classifies."""
    labels: dict[str, int] = {}
    for part in sorted(parts, key=lambda part: part != "train"):
        for person in sorted({sample.person for sample in parts[part]}):
            labels.setdefault(person, len(labels))
    return labels


def _summarise(
    jobs: Sequence[ShardJob], written: Sequence[WrittenShard], labels: Mapping[str, int]
) -> Part:
    skipped = {skip.file for each in written for skip in each.skipped}
    samples = [sample for job in jobs for sample in job.samples if sample.path not in skipped]
    people = Counter([sample.person for sample in samples])
    tracklets = {
        (sample.person, sample.camera, sample.tracklet)
        for sample in samples
        if sample.tracklet != -1
    }
    sizes = sum((Counter(each.image_sizes) for each in written), Counter[str]())
    commonest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:50]
    return Part(
        images=len(samples),
        people=len(people),
        cameras=len({sample.camera for sample in samples} - {-1}),
        tracklets=len(tracklets),
        images_by_label=dict(sorted((labels[person], n) for person, n in people.items())),
        image_sizes=dict(commonest),
        shards=tuple(each.shard for each in written),
    )
