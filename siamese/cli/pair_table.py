"""A table of pairs -> a table of verdicts: `siamese verify --pairs`."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from siamese.cli.program import counting
from siamese.cli.verification_commands import camera_of
from siamese.errors import InputError
from siamese.files import whole_file

if TYPE_CHECKING:
    from siamese.inference import Model
    from siamese.profiles import Profile

COLUMNS = ("img1", "img2")
_SAME_IN_ALL = ("bounds", "model", "fingerprint")
"""Fields of a verdict that a table does not repeat in each row."""


def read_pairs(path: Path) -> list[dict[str, str]]:
    """Reads a CSV file with the columns img1 and img2, and any others.

    Raises:
        InputError: There is no such file, it is no such table, or it has no rows.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give a CSV file with the columns img1 and img2.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV file in UTF-8 ({error}). Save it as one.") from None
    names = reader.fieldnames or ()
    if not set(COLUMNS) <= set(names):
        raise InputError(
            f"{path}: its first line must name the columns img1 and img2. Received: "
            f"{', '.join(names) or 'nothing'}."
        )
    for number, row in enumerate(rows, 1):
        if not all(row[column] for column in COLUMNS) or None in row:
            raise InputError(f"{path}: pair {number} must have as many cells as the first line.")
    if not rows:
        raise InputError(f"{path}: holds no pair. Add lines such as a.jpg,b.jpg.")
    return rows


def verify_table(
    rows: Sequence[Mapping[str, str]],
    model: "Model",
    prior: float,
    profile: "Profile | None",
    output: Path | None,
    as_json: bool,
) -> None:
    """Writes the rows with their verdicts, as CSV or as JSON lines.

    Args:
        rows: From `read_pairs`; the columns camera1 and camera2 are numbers in the profile, by
            default as the file names tell.
        model: An open model.
        prior: As in `Model.verify`.
        profile: As in `Model.verify`.
        output: The file; None: standard output.
        as_json: Write JSON lines.
    """
    from siamese.inference import verify_pairs

    pairs = [(row["img1"], row["img2"]) for row in rows]
    cameras = [(_camera(row, "1"), _camera(row, "2")) for row in rows] if profile else None
    with counting("images") as progress:
        said = verify_pairs(
            model, pairs, prior, profile=profile, cameras=cameras, progress=progress
        )
    answers = [
        {**row, **{k: v for k, v in each.to_dict().items() if k not in _SAME_IN_ALL}}
        for row, each in zip(rows, said, strict=True)
    ]
    if output is None:
        _write(answers, sys.stdout, as_json)
        return
    with whole_file(output) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        _write(answers, file, as_json)


def _write(answers: Sequence[Mapping[str, Any]], file: TextIO, as_json: bool) -> None:
    if as_json:
        file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in answers)
        return
    writer = csv.DictWriter(file, list(answers[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(answers)


def _camera(row: Mapping[str, str], side: str) -> int:
    told = row.get(f"camera{side}")
    if told:
        try:
            return int(told)
        except ValueError:
            raise InputError(f"camera{side} must be a number. Received: {told}.") from None
    return camera_of(Path(row[f"img{side}"]))
