"""What a record set is, as `manifest.json` says it. No TensorFlow here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
LABELS = "labels.txt"
SUMMARY = "data_summary.txt"


@dataclass(frozen=True)
class Shard:
    """One file.

    Attributes:
        file: Its name.
        records: Number of records.
        bytes: Size of the file.
        sha256: Checksum of the file, 64 hexadecimal digits; empty where none was recorded.
    """

    file: str
    records: int
    bytes: int
    sha256: str = ""


@dataclass(frozen=True)
class Skipped:
    """An image that was left out: its file, and what is wrong with it."""

    file: str
    reason: str


@dataclass(frozen=True)
class Part:
    """The training or the validation part of a record set.

    Attributes:
        images: Number of images.
        people: Number of people.
        cameras: Number of known cameras.
        tracklets: Number of known tracklets (person, camera and tracklet number together).
        images_by_label: Label to number of images.
        image_sizes: `"heightxwidth"` to number of images, the 50 commonest.
        shards: The files.
    """

    images: int
    people: int
    cameras: int
    tracklets: int
    images_by_label: dict[int, int]
    image_sizes: dict[str, int]
    shards: tuple[Shard, ...]

    @property
    def classes(self) -> int:
        """One more than the largest label: people, unless a label between has no image."""
        return max(self.images_by_label, default=-1) + 1


@dataclass(frozen=True)
class Manifest:
    """What a record set is, as `manifest.json` says.

    Attributes:
        name: First part of the shards' names.
        dataset: The layout that the images came from, for example `market1501`.
        source: Sixteen hexadecimal digits of the names of all images and their people.
        split: Rule, share and seed of the split: `by`, `validation_size`, `random_seed`.
        parts: `train` and `validation`.
        labels: Person to label; the people of `train` have 0..C-1, in sorted order.
        pattern: The regular expression that read the file names, where one was given.
        skipped: Images that were left out because they are damaged.
        schema_version: `SCHEMA_VERSION` of the writer.
    """

    name: str
    dataset: str
    source: str
    split: dict[str, Any]
    parts: dict[str, Part]
    labels: dict[str, int]
    pattern: str | None = None
    skipped: tuple[Skipped, ...] = field(default=())
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Manifest":
        """A manifest of the values in `manifest.json`.

        Raises:
            KeyError, TypeError, AttributeError, ValueError: These are not the values of one.
        """
        parts = {name: _read_part(part) for name, part in values["parts"].items()}
        for name in ("train", "validation"):
            if name not in parts or not parts[name].shards:
                raise ValueError(f"it has no files of the part {name}")
        if not isinstance(values["labels"], dict):
            raise TypeError("its labels are no table of people")
        skipped = tuple(Skipped(**each) for each in values.get("skipped", ()))
        return cls(**{**values, "parts": parts, "skipped": skipped})


def describe(manifest: Manifest) -> str:
    """The data summary: a small table in plain text."""
    split = manifest.split
    lines = [
        f"record set   {manifest.name}",
        f"dataset      {manifest.dataset or 'not named'}",
        *([f"pattern      {manifest.pattern}"] if manifest.pattern else []),
        f"split        by {split.get('by', 'not known')}, "
        f"validation size {split.get('validation_size', 'not known')}, "
        f"seed {split.get('random_seed', 'not known')}",
        *([f"skipped      {len(manifest.skipped)} damaged images"] if manifest.skipped else []),
        "",
        f"{'part':<12}{'images':>9}{'people':>9}{'cameras':>9}{'tracklets':>11}{'shards':>8}",
    ]
    for name, part in manifest.parts.items():
        lines.append(
            f"{name:<12}{part.images:>9,}{part.people:>9,}{part.cameras:>9,}"
            f"{part.tracklets:>11,}{len(part.shards):>8,}"
        )
    return "\n".join(lines) + "\n"


def _read_part(values: Mapping[str, Any]) -> Part:
    shards = tuple(Shard(**shard) for shard in values["shards"])
    by_label = {int(key): count for key, count in values["images_by_label"].items()}
    return Part(**{**values, "shards": shards, "images_by_label": by_label})
