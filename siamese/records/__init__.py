"""Samples to TFRecord shards and back: one schema for the writer and the reader.

A record set is a folder with `<name>_<part>_<shard>-of-<shards>.tfrecord` files, `labels.txt`,
`data_summary.txt` and `manifest.json`. Each file is written under a temporary name and renamed; the
manifest comes last, so a set without one is a partial one.

schema      one record: keys, bytes, and its frame in a file
manifest    what a record set is
shards      images -> one shard
counting    what the manifest says of the images
plan        which images go into which shard, and what an interrupted set has already
writer      dataset folder -> record set
preview     dataset folder -> what the writer would write
reader      folder -> manifest; reads a set through
legacy      record sets of the earlier project
"""

from siamese.records.manifest import MANIFEST, UNKNOWN_LABEL, Manifest, Part, describe
from siamese.records.preview import count_records
from siamese.records.reader import (
    is_record_set,
    read_manifest,
    shard_paths,
    verify_records,
)
from siamese.records.writer import (
    Engine,
    build_records,
    check_source,
    default_folder,
    local_engine,
    renew_triplets,
    write_records,
)

__all__ = [
    "MANIFEST",
    "UNKNOWN_LABEL",
    "Engine",
    "Manifest",
    "Part",
    "build_records",
    "check_source",
    "count_records",
    "default_folder",
    "describe",
    "is_record_set",
    "local_engine",
    "read_manifest",
    "renew_triplets",
    "shard_paths",
    "verify_records",
    "write_records",
]
