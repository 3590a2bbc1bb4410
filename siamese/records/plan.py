"""The plan of a record set: images dealt to shards, and what an interrupted set has already."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

from siamese.datasets import Sample
from siamese.errors import WRONG_VALUES, InputError, OnCorrupt
from siamese.files import from_plain, remove, write_text
from siamese.filesystem import FileState, as_path, make_folder, remove_folder
from siamese.records.manifest import MANIFEST, Manifest
from siamese.records.shards import BUILDING, ShardJob, WrittenShard

SHARD_BYTES = 128 * 2**20
"""A shard is about this large where no number of shards is asked for."""
_PLAN = "plan.json"
_NOTE = re.compile(r"\.?plan\..*|.+\.tfrecord(\.gz)?\..+")  # what this program has in BUILDING


def plan_part(
    stem: Path,
    samples: Sequence[Sample],
    labels: Mapping[str, int],
    num_shards: int | None,
    states: Mapping[str, FileState],
    *,
    compress: bool = False,
    on_corrupt: OnCorrupt = "error",
    verify: bool = True,
) -> Iterator[ShardJob]:
    """Deals the images of a part into shards, whose paths begin with the stem.

    `states` has size and version of the images that are there; the rest is as in `write_records`.
    """
    ordered = sorted(samples, key=_scatter)
    found = [states.get(sample.path, FileState(0, 0)) for sample in ordered]
    if num_shards is None:
        total = sum(state.size for state in found)
        num_shards = min(max(1, -(-total // SHARD_BYTES)), len(ordered))
    for number in range(num_shards if ordered else 0):
        mine = slice(number, None, num_shards)
        chosen, sizes = tuple(ordered[mine]), tuple(state.size for state in found[mine])
        numbers = tuple(labels[sample.person] for sample in chosen)
        digest = blake2b(digest_size=16)
        for sample, label, state in zip(chosen, numbers, found[mine], strict=True):
            digest.update(
                f"{sample.path}\t{sample.person}\t{sample.camera}\t{sample.tracklet}\t"
                f"{sample.frame}\t{label}\t{state.size}\t{state.version}\n".encode()
            )
        file = f"{stem}_{number:05d}-of-{num_shards:05d}.tfrecord{'.gz' if compress else ''}"
        yield ShardJob(file, chosen, numbers, sizes, on_corrupt, verify, digest.hexdigest())


def _scatter(sample: Sample) -> bytes:
    """A fixed order that has nothing to do with people or cameras."""
    name = os.path.basename(sample.path)  # noqa: PTH119 - speed
    return blake2b(name.encode(), digest_size=8).digest()


def begin(
    folder: Path, plan: Mapping[str, Any], jobs: Sequence[ShardJob], texts: Sequence[str]
) -> dict[str, WrittenShard]:
    """Clears the folder of what is not of this plan, and finds the shards that are finished.

    Args:
        folder: Where the records go.
        plan: What is to be built: anything that goes through JSON unchanged; `shards` by file name.
        jobs: The shards.
        texts: Names of the other files that are to be written, the manifest excepted.

    Returns:
        File name to finished shard.

    Raises:
        InputError: A name is taken by a file that no manifest and no plan of this program lists.
    """
    building = folder / BUILDING
    manifest, old = _read_manifest(folder), _read_json(building / _PLAN)
    planned = old.get("shards") if isinstance(old, dict) else None
    mine = set(planned) if isinstance(planned, dict) else set()
    if manifest is not None:
        mine |= {MANIFEST, *(each.file for part in manifest.parts.values() for each in part.shards)}
    if mine:
        mine |= set(texts)
    # What a file holds proves nothing: others write records with the keys of ours.
    asked = (*(job.file for job in jobs), *texts, MANIFEST)
    taken = [name for name in asked if name not in mine and (folder / name).exists()]
    if building.is_dir() and not all(_NOTE.fullmatch(each.name) for each in building.iterdir()):
        taken.append(BUILDING)
    if taken:
        one = len(taken) == 1
        raise InputError(
            f"{folder}: has {', '.join(taken[:3])}{'' if len(taken) < 4 else ', ...'} already, "
            f"which no manifest of this program lists, and records would replace. Remove "
            f"{'it' if one else 'them'}, or give another folder for the records (--output_dir, of "
            "train --records)."
        )
    if manifest is not None:
        remove(folder / MANIFEST)
    if old == plan:
        finished = {job.path: _finished(building, job) for job in jobs}
        return {each.shard.file: each for each in finished.values() if each is not None}
    for file in mine.intersection(planned or ()):
        remove(folder / file)
    remove_folder(building)
    make_folder(building)
    write_text(building / _PLAN, json.dumps(plan))
    return {}


def _read_manifest(folder: Path) -> Manifest | None:
    """Reads the manifest, if there is one and it is of this program."""
    try:
        return Manifest.from_values(_read_json(folder / MANIFEST))
    except WRONG_VALUES:
        return None


def _finished(building: Path, job: ShardJob) -> WrittenShard | None:
    """Reads the note of a finished shard; None where it has to be written (again)."""
    path = as_path(job.path)
    note = _read_json(building / f"{job.file}.json")
    if note is None or not path.is_file():
        return None
    try:
        written: WrittenShard = from_plain(WrittenShard, note)
    except WRONG_VALUES:
        return None
    with path.open("rb") as file:
        whole = file_digest(file, "sha256").hexdigest() == written.shard.sha256
    return written if whole and (job.on_corrupt == "skip" or not written.skipped) else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
