"""The manifest of a record set, as `manifest.json` holds it. No TensorFlow here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from siamese.datasets import Coverage
from siamese.files import check_fields, from_plain

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
LABELS = "labels.txt"
SUMMARY = "data_summary.txt"
UNKNOWN_LABEL = -1
"""The label of images of unknown people."""


@dataclass(frozen=True)
class Shard:
    """One file.

    Attributes:
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
        cameras: Number of known cameras.
        tracklets: Number of known tracklets (person, camera and tracklet number together).
        images_by_label: Label to number of images.
        image_sizes: `"heightxwidth"` to number of images, the 50 commonest.
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
        """Returns one more than the largest label: people, unless a label between has no image."""
        return max(self.images_by_label, default=-1) + 1


@dataclass(frozen=True)
class Source:
    """One of several datasets that a record set was made from.

    Attributes:
        name: What its people's names begin with: `name/person`.
        dataset: The layout that its images came from.
        cameras: The first and the last of its camera numbers in the set; None where none is known.
        camera_offset: What was added to the dataset's own camera numbers.
        labels: The first and the last label of its training people, who are numbered in a row;
            None where it has none.
        people: Part to number of people.
        images: Part to number of images.
    """

    name: str
    dataset: str
    cameras: tuple[int, int] | None
    camera_offset: int
    labels: tuple[int, int] | None
    people: dict[str, int]
    images: dict[str, int]


@dataclass(frozen=True)
class Manifest:
    """Describes a record set, as `manifest.json` does.

    Attributes:
        name: First part of the shards' names.
        dataset: The layout that the images came from, for example `market1501`.
        source: Sixteen hexadecimal digits of the names of all images and their people.
        split: Rule, share and seed of the split: `by`, `validation_size`, `random_seed`; and
            `hold_out` and `max_images_per_person` where these were given.
        parts: `train` and `validation`; and `unlabelled`, images of unknown people, where there
            are such.
        labels: Person to label; the people of `train` have 0..C-1, in sorted order. Images of
            unknown people have the label -1.
        pattern: The regular expression that read the file names, where one was given.
        skipped: Images that were left out because they are damaged.
        schema_version: `SCHEMA_VERSION` of the writer.
        sources: The datasets, where there are several.
        camera_names: The numbers of cameras that the dataset names otherwise; of several datasets
            each as `source/name`.
        coverage: How many images the folder held, and what was left out and why.
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
    sources: tuple[Source, ...] = ()
    camera_names: dict[str, int] = field(default_factory=dict)
    coverage: Coverage | None = None

    @property
    def reading(self) -> str | None:
        """Returns the pattern that reads the dataset's folder again as it was read."""
        folders = self.dataset in ("folders", "mars-categories")
        return self.pattern or ("folders" if folders else None)

    @property
    def source_labels(self) -> dict[str, tuple[int, int]]:
        """Names the sources with training people, with the first and the last label of theirs."""
        return {each.name: each.labels for each in self.sources if each.labels is not None}

    @property
    def held_out_sources(self) -> tuple[str, ...]:
        """Names the sources whose people are in validation, where there are several datasets."""
        return tuple(each.name for each in self.sources if each.people["validation"])

    def to_json(self) -> str:
        """Returns the text of `manifest.json`, without what is empty of its last fields."""
        values = asdict(self)
        for name in ("sources", "camera_names", "coverage"):
            if not values[name]:
                del values[name]
        return json.dumps(values, indent=1, ensure_ascii=False)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Manifest":
        """Makes a manifest of the values in `manifest.json`.

        Raises:
            KeyError, TypeError, AttributeError, ValueError: These are not the values of one.
        """
        read: Manifest = check_fields(from_plain(cls, values))
        for name in ("train", "validation"):
            # Where nobody or everybody is held out, one part is empty.
            whole = read.split.get("validation_size") in (0, 1)
            if name not in read.parts or not (read.parts[name].shards or whole):
                raise ValueError(f"it has no files of the part {name}")
        files = [shard.file for part in read.parts.values() for shard in part.shards]
        if odd := [file for file in files if Path(file).name != file[:255]]:
            raise ValueError(f"it names a file outside its folder: {odd[0]}")
        return read


def describe(manifest: Manifest) -> str:
    """Returns the data summary, a small table in plain text."""
    split = manifest.split
    cameras = ", ".join(f"{number} {name}" for name, number in manifest.camera_names.items())
    lines = [
        f"record set   {manifest.name}",
        f"dataset      {manifest.dataset or 'not named'}",
        *([f"pattern      {manifest.pattern}"] if manifest.pattern else []),
        f"split        by {split.get('by', 'not known')}, "
        f"validation size {split.get('validation_size', 'not known')}, "
        f"seed {split.get('random_seed', 'not known')}",
        *([f"cameras      {cameras}"] if cameras else []),
        *([f"images       {manifest.coverage.describe()}"] if manifest.coverage else []),
        *_describe_caps(split.get("max_images_per_person")),
        *([f"skipped      {len(manifest.skipped)} damaged images"] if manifest.skipped else []),
        "",
        f"{'part':<12}{'images':>9}{'people':>9}{'cameras':>9}{'tracklets':>11}{'shards':>8}",
    ]
    for name, part in manifest.parts.items():
        lines.append(
            f"{name:<12}{part.images:>9,}{part.people:>9,}{part.cameras:>9,}"
            f"{part.tracklets:>11,}{len(part.shards):>8,}"
        )
    if manifest.sources:
        width = max(12, 2 + max(len(source.name) for source in manifest.sources))
        head = f"{'images':>9}{'train people':>14}{'validation people':>19}  cameras"
        lines += ["", f"{'source':<{width}}{head}"]
    for source in manifest.sources:
        cameras = " to ".join(map(str, dict.fromkeys(source.cameras or ("not known",))))
        lines.append(
            f"{source.name:<{width}}{sum(source.images.values()):>9,}"
            f"{source.people['train']:>14,}{source.people['validation']:>19,}  {cameras}"
        )
    return "\n".join(lines) + "\n"


def _describe_caps(caps: int | Mapping[str, int] | None) -> list[str]:
    if caps is None:
        return []
    limits = {"all": caps} if isinstance(caps, int) else caps
    shown = ", ".join(f"{name} {limit}" for name, limit in limits.items())
    return [f"images       of a person at most: {shown}"]
