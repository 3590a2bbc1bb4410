"""The report of the dataset doctor."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from siamese.datasets import Coverage

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a dataset.

    Attributes:
        severity: "error" spoils a result or stops a stage, "warning" may lower a score or mislead,
            "note" is to be known.
        what: What was found, with numbers.
        where: A few examples: paths or identities.
        fix: How to fix it.
    """

    severity: Severity
    what: str
    where: tuple[str, ...]
    fix: str


@dataclass(frozen=True, slots=True)
class PartSummary:
    """The numbers of one part of a dataset.

    Attributes:
        people: Identities, distractors not counted; so in the images a person, `fewest` to `most`.
        cameras: Known cameras; `tracklets` likewise.
        images: Images, distractors included.
        distractors: Images of people who are never asked for.
    """

    people: int
    cameras: int
    tracklets: int
    images: int
    distractors: int
    fewest: int
    median: float
    most: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that the dataset doctor found.

    Attributes:
        folder: What was inspected.
        layout: The name of its layout, as in `siamese.datasets.Layout`.
        notes: What a user of this dataset should know.
        parts: Numbers by part.
        images_a_person: Number of images by identity, all parts together, without distractors.
        image_sizes: Number of readable images by (height, width).
        contact_sheet: Paths of up to 24 readable images, spread over the people.
        findings: Errors first, notes last.
        coverage: How many images the folder holds, and what is left out and why.
        folders: The folder of each part, as it was understood.
    """

    folder: str
    layout: str
    notes: tuple[str, ...]
    parts: Mapping[str, PartSummary]
    images_a_person: Mapping[str, int]
    image_sizes: Counter[tuple[int, int]]
    contact_sheet: tuple[str, ...]
    findings: tuple[Finding, ...]
    coverage: Coverage | None = None
    folders: Mapping[str, str] = field(default_factory=dict)

    @property
    def spoils(self) -> bool:
        """Returns whether a finding would spoil a result."""
        return any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Gives the report as plain lists, dicts, strings and numbers, ready for JSON."""
        sizes = [{"height": h, "width": w, "images": images} for (h, w), images in self._sizes()]
        values = {**asdict(self), "spoils": self.spoils, "image_sizes": sizes}
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    def text(self) -> str:
        """Gives the report as plain text of at most some 100 columns, without a last newline."""
        lines = [f"{self.folder}: {self.layout}", *(f"  {note}" for note in self.notes), ""]
        header = ("part", "people", "cameras", "tracklets", "images", "distractors", "a person")
        rows: list[tuple[str, ...]] = [header]
        for name, part in self.parts.items():
            spread = f"{part.fewest} / {part.median:g} / {part.most}"
            numbers = (part.people, part.cameras, part.tracklets, part.images, part.distractors)
            rows.append((name, *(f"{number:,}" for number in numbers), spread))
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        for row in rows:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells))
        lines.append("(a person: fewest / median / most images)")
        width = max(map(len, self.folders), default=0)
        lines += [f"{part:<{width}}  {folder}" for part, folder in self.folders.items()]
        lines += [f"images: {self.coverage.describe()}"] if self.coverage else []
        sizes = self._sizes()
        if sizes:
            shown = ", ".join(f"{h} x {w} ({images:,})" for (h, w), images in sizes[:5])
            more = f" and {len(sizes) - 5:,} other sizes" if len(sizes) > 5 else ""
            lines += ["", f"Sizes, height x width: {shown}{more}"]
        lines.append("")
        if not self.findings:
            lines.append("Nothing to fix.")
        for finding in self.findings:
            lines.append(f"{finding.severity}: {finding.what}")
            lines += [f"    {example}" for example in finding.where]
            lines.append(f"  To fix it: {finding.fix}")
        return "\n".join(lines)

    def _sizes(self) -> list[tuple[tuple[int, int], int]]:
        """Sizes, the most common first; equal ones by size, so that reports repeat."""
        return sorted(self.image_sizes.items(), key=lambda item: (-item[1], item[0]))
