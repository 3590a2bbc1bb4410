"""Reads a record set through, to see whether it is what its manifest says. No TensorFlow here."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from siamese.filesystem import as_path, local_copy, reaching
from siamese.records.manifest import UNKNOWN_LABEL, Manifest, Shard
from siamese.records.reader import read_manifest
from siamese.records.schema import DamagedRecord, read_examples


@dataclass(frozen=True)
class Fault:
    """What is wrong with a record set.

    Attributes:
        file: The shard.
        offset: Where in the (uncompressed) file the broken record begins, in bytes; None where the
            fault is no single record's.
        reason: What is wrong.
    """

    file: str
    offset: int | None
    reason: str


def verify_records(
    folder: str | Path, progress: Callable[[int, int], None] | None = None
) -> tuple[Manifest, list[Fault]]:
    """Reads every record of a set and compares it with the manifest.

    Checked are size and checksum of each file, the checksums and the form of each record, label and
    person against the manifest, and the number of records of each shard and label.

    Args:
        folder: A record set, at a path or an address; each file at an address is copied here for
            as long as it is read.
        progress: Called with the records read and all records.

    Returns:
        The manifest, and what is wrong; nothing when all is well.

    Raises:
        InputError: There is no manifest, or it cannot be read.
        OSError: An address cannot be reached.
    """
    with reaching(folder):
        return _verify(as_path(folder), progress)


def _verify(
    folder: Path, progress: Callable[[int, int], None] | None
) -> tuple[Manifest, list[Fault]]:
    manifest = read_manifest(folder, check_shards=False)
    total = sum(shard.records for part in manifest.parts.values() for shard in part.shards)
    done = 0
    faults: list[Fault] = []
    people = {label: person.encode() for person, label in manifest.labels.items()}
    people[UNKNOWN_LABEL] = b""
    for name, part in manifest.parts.items():
        by_label = Counter[int]()
        before = len(faults)
        for shard in part.shards:
            labels, fault = _read_shard(folder / shard.file, shard, people)
            by_label.update(labels)
            faults += [fault] if fault else []
            done += shard.records
            if progress is not None:
                progress(done, total)
        if len(faults) == before and by_label != part.images_by_label:
            faults.append(Fault("manifest.json", None, f"counts other images a label in {name}"))
    return manifest, faults


def _read_shard(
    path: Path, shard: Shard, people: dict[int, bytes]
) -> tuple[list[int], Fault | None]:
    """The labels in a shard, up to its first fault, and that fault."""
    if not path.is_file():
        return [], Fault(shard.file, None, "is missing")
    with local_copy(path) as copy:
        return _read_local(copy, shard, people)


def _read_local(
    path: Path, shard: Shard, people: dict[int, bytes]
) -> tuple[list[int], Fault | None]:
    labels: list[int] = []
    try:
        for offset, label, _, values in read_examples(path):
            person = values.get("image/class/text")
            if label not in people or (person is not None and person != people[label]):
                reason = f"label {label} is not that of its person in the manifest"
                return labels, Fault(shard.file, offset, reason)
            labels.append(label)
    except DamagedRecord as damage:
        return labels, Fault(shard.file, damage.offset, damage.reason)
    if len(labels) != shard.records:
        reason = f"holds {len(labels)} records, not {shard.records}"
        return labels, Fault(shard.file, None, reason)
    with path.open("rb") as raw:
        checksum = hashlib.file_digest(raw, "sha256").hexdigest()
    if shard.sha256 and checksum != shard.sha256:
        return labels, Fault(shard.file, None, "is another file than the manifest has (checksum)")
    return labels, None
