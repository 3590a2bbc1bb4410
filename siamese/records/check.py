"""Reads a record set through, to see whether it is what its manifest says. No TensorFlow here."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from siamese.filesystem import as_path, local_copy, reaching
from siamese.records.manifest import MANIFEST, UNKNOWN_LABEL, Manifest, Shard
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
        folder = as_path(folder)
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
                try:
                    by_label += _count_labels(folder / shard.file, shard, people)
                except DamagedRecord as damage:
                    faults.append(Fault(shard.file, damage.offset, damage.reason))
                done += shard.records
                if progress is not None:
                    progress(done, total)
            if len(faults) == before and by_label != part.images_by_label:
                faults.append(Fault(MANIFEST, None, f"counts other images a label in {name}"))
    return manifest, faults


def _count_labels(path: Path, shard: Shard, people: dict[int, bytes]) -> Counter[int]:
    """Counts the images of each label in a shard.

    Raises:
        DamagedRecord: It is not what the manifest says.
    """
    if not path.is_file():
        raise DamagedRecord(None, "is missing")
    found = Counter[int]()
    with local_copy(path) as copy:
        for offset, label, _, values in read_examples(copy):
            person = values.get("image/class/text")
            if label not in people or (person is not None and person != people[label]):
                raise DamagedRecord(
                    offset, f"label {label} is not that of its person in the manifest"
                )
            found[label] += 1
        if found.total() != shard.records:
            raise DamagedRecord(None, f"holds {found.total()} records, not {shard.records}")
        with copy.open("rb") as raw:
            checksum = hashlib.file_digest(raw, "sha256").hexdigest()
    if shard.sha256 and checksum != shard.sha256:
        raise DamagedRecord(None, "is another file than the manifest has (checksum)")
    return found
