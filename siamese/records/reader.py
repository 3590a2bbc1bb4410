"""What a folder of records says about itself. No TensorFlow here."""

import json
from collections.abc import Sequence
from pathlib import Path

from siamese.errors import InputError
from siamese.filesystem import as_path, is_remote
from siamese.records.legacy import has_legacy_records, scan_legacy_records
from siamese.records.manifest import MANIFEST, SCHEMA_VERSION, Manifest


def is_record_set(folder: str | Path) -> bool:
    """Whether a folder holds a complete record set, of this program or of the earlier project."""
    return (as_path(folder) / MANIFEST).is_file() or has_legacy_records(folder)


def read_manifest(folder: str | Path, check_shards: bool = True) -> Manifest:
    """Reads the manifest of a record set and checks that its shards are there, whole in size.

    A record set of the earlier project has none: its manifest is made by reading all its records.

    Args:
        folder: The folder of the record set.
        check_shards: Look whether the shards are there.

    Returns:
        The manifest.

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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is not a manifest of a record set ({_explain(error)}). "
            "Remove this file and build the records again, or give another folder."
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
    """The files of one part of a record set, in order, for TensorFlow to read.

    Raises:
        InputError: The folder is an address.
    """
    if is_remote(folder):
        raise InputError(
            f"{folder}: training, scoring and embedding read records from a local folder. Copy "
            "the set to this computer, and give its path."
        )
    return [str(Path(folder) / shard.file) for shard in manifest.parts[part].shards]


def compression_of(shards: Sequence[str]) -> str:
    """The `compression_type` that `tf.data.TFRecordDataset` needs for the shards of a record set.

    Example:
        >>> compression_of(["mars_train_00000-of-00001.tfrecord.gz"])
        'GZIP'
        >>> compression_of(["mars_train_00000-of-00001.tfrecord"])
        ''
    """
    return "GZIP" if any(str(shard).endswith(".gz") for shard in shards) else ""
