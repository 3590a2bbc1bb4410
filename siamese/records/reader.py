"""Reads the manifest of a record set, and the set through to verify it. No TensorFlow here."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from siamese.errors import WRONG_VALUES, InputError
from siamese.filesystem import as_path, is_remote, local_copy, reaching
from siamese.records.legacy import has_legacy_records, scan_legacy_records
from siamese.records.manifest import MANIFEST, SCHEMA_VERSION, UNKNOWN_LABEL, Manifest, Shard
from siamese.records.schema import DamagedRecord, read_examples


def is_record_set(folder: str | Path) -> bool:
    """Returns whether a folder holds a complete record set, ours or of the earlier project."""
    return (as_path(folder) / MANIFEST).is_file() or has_legacy_records(folder)


def read_manifest(folder: str | Path, check_shards: bool = True) -> Manifest:
    """Reads the manifest of a record set; `check_shards` sees that its files are whole in size.

    A record set of the earlier project has none: its manifest is made by reading all its records.

    Raises:
        InputError: There is no manifest, it is of another version or damaged, or a shard is missing
            or of another size.
    """
    folder = as_path(folder)
    path = folder / MANIFEST
    if not path.exists() and has_legacy_records(folder):
        return scan_legacy_records(folder)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["schema_version"]
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: has schema version {version}; this program reads {SCHEMA_VERSION}. "
                "Remove the folder and build the records again."
            )
        manifest = Manifest.from_values(values)
    except FileNotFoundError:
        raise InputError(
            f"{folder}: holds no complete record set (no {MANIFEST}). "
            "Build it with create_tf_record.py"
        ) from None
    except WRONG_VALUES as error:
        raise InputError(
            f"{path}: is not a manifest of a record set ({_explain(error)}). "
            "Give another folder for the records; or, if it was one, remove it together with its "
            ".tfrecord files and build them again."
        ) from None
    for part in manifest.parts.values() if check_shards else ():
        for shard in part.shards:
            file = folder / shard.file
            size = file.stat().st_size if file.is_file() else None
            if size != shard.bytes:
                what = "is missing" if size is None else f"has {size} bytes, not {shard.bytes}"
                raise InputError(f"{file}: {what}. Remove the folder and build the records again.")
    return manifest


def _explain(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def shard_paths(folder: str | Path, manifest: Manifest, part: str) -> list[str]:
    """Lists the files of one part of a record set, in order, for TensorFlow to read.

    Raises:
        InputError: The folder is an address.
    """
    if is_remote(folder):
        raise InputError(
            f"{folder}: training, scoring and embedding read records from a local folder. Copy "
            "the set to this computer, and give its path."
        )
    return [str(Path(folder) / shard.file) for shard in manifest.parts[part].shards]


@dataclass(frozen=True)
class Fault:
    """Describes what is wrong with a record set.

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
