"""Datasets that are a table: triplets, or an identity a file."""

import contextlib
import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from siamese.datasets.people import number_cameras
from siamese.datasets.samples import Sample, read_name, read_number
from siamese.errors import InputError
from siamese.files import write_csv
from siamese.filesystem import as_path, file_states, is_remote, join

TRIPLET_COLUMNS = ("Anchor", "Positive", "Negative")
IDENTITY_COLUMNS = ("identity", "path")
TABLE_SUFFIXES = (".csv", ".tsv")
NUMBER_COLUMNS = ("camera", "tracklet")
COLUMN_ALIASES = {
    "identity": ("label", "person", "person_id", "pid"),
    "path": ("image", "image_path", "img_path", "file", "filename"),
    "camera": ("camera_id", "camid"),
    "tracklet": ("sequence", "track_id"),
}
"""What else programs call a column, where a table has none of its own name."""
_YES = ("true", "1", "1.0", "yes")


def csv_kind(table: str | Path) -> Literal["triplet", "identity"]:
    """Tells triplets from identities by the header of a CSV file.

    Raises:
        InputError: There is no such file, or its columns are of neither kind.
    """
    header = list(_read_table(as_path(table))[0][1])
    if {column.lower() for column in TRIPLET_COLUMNS} <= set(header):
        return "triplet"
    if set(IDENTITY_COLUMNS) <= set(header):
        return "identity"
    raise InputError(
        f"{table}: expected the columns Anchor, Positive, Negative or identity, path[, camera, "
        f"tracklet, split]. Received: {', '.join(header)}. Name the columns so in the first line."
    )


def find_triplet_table(folder: Path) -> Path | None:
    """Returns the one CSV file of triplets in a folder, if there is one."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(InputError):
            if path.suffix.lower() == ".csv" and csv_kind(path) == "triplet":
                found.append(path)
    return found[0] if len(found) == 1 else None


def read_triplets(
    table: str | Path, image_folder: str | Path | None = None
) -> list[tuple[Sample, Sample, Sample]]:
    """Reads a CSV file of triplets.

    Identities are read from the file names where all of them have a known form, such as
    Market-1501's. Otherwise images that are linked as anchor and positive, directly or through
    others, are one person, named after its first image; two such people may be the same one.

    Args:
        table: A CSV file with the columns Anchor, Positive and Negative, in any order.
        image_folder: What the file names are relative to. When None the CSV file's folder, or the
            one folder in it that has the first image.

    Returns:
        Anchor, positive and negative of each row, in the file's order.

    Raises:
        InputError: A column or an image is missing, or an anchor and its positive (negative) are
            two people (one person) by their names. The message names the row.
    """
    table = as_path(table)
    rows = [
        (line, [cells[column.lower()] for column in TRIPLET_COLUMNS])
        for line, cells in _read_table(table, TRIPLET_COLUMNS)
    ]
    samples = _samples_of_triplets([names for _, names in rows])
    paths = _find_images(table, image_folder, rows)
    triplets = []
    for line, row in rows:
        anchor, positive, negative = (replace(samples[name], path=paths[name]) for name in row)
        if anchor.person != positive.person or anchor.person == negative.person:
            raise InputError(
                f"{table}: row {line}: anchor and positive must show one person, the negative "
                f"another. Received: {', '.join(row)}. Correct or remove the row."
            )
        triplets.append((anchor, positive, negative))
    return triplets


def read_identities(
    table: str | Path, image_folder: str | Path | None = None, part: str | None = None
) -> list[Sample]:
    """Reads a CSV file with an identity a file.

    The columns are identity and path (see `COLUMN_ALIASES`), perhaps camera and tracklet. Cameras
    that are not numbered are numbered, see `Layout.cameras`. `image_folder` is as in
    `read_triplets`. A column split says where an image belongs: train, query or gallery; or, as
    open-metric-learning writes it, train or validation, where `is_query` and `is_gallery` say
    which, perhaps both.

    Returns:
        Samples in the file's order, of one part or of all. Empty numbers are -1, not known.

    Raises:
        InputError: A column, an identity or a file is missing, or a number or a split is not one.
            The message names the row.
    """
    table = as_path(table)
    rows = _read_table(table, IDENTITY_COLUMNS)
    cameras = _number_cameras(rows)
    paths = _find_images(table, image_folder, [(line, [cells["path"]]) for line, cells in rows])
    samples = []
    for line, cells in rows:
        numbers = {}
        for column in NUMBER_COLUMNS:
            text = cells.get(column, "").removesuffix(".0")  # pandas, where some are not known
            number = read_number(text) if text else -1
            number = cameras.get(text) if number is None and column == "camera" else number
            if number is None:
                raise InputError(
                    f"{table}: row {line}: {column} must be a whole number of at most 18 digits, "
                    f"or empty. Received: {text!r}. Number the {column}s."
                )
            numbers[column] = number
        if not cells["identity"]:
            raise InputError(f"{table}: row {line}: has no identity. Name it or remove the row.")
        if part is None or part in _parts_of(table, line, cells):
            samples.append(Sample(paths[cells["path"]], cells["identity"], **numbers))
    return samples


def list_table_parts(table: str | Path) -> tuple[str, ...]:
    """Lists the parts, of train, query and gallery, that a table of identities has images of."""
    table = as_path(table)
    rows = _read_table(table, IDENTITY_COLUMNS)
    found = {part for line, cells in rows for part in _parts_of(table, line, cells)}
    return tuple(part for part in ("train", "query", "gallery") if part in found)


def _parts_of(table: Path, line: int, cells: dict[str, str]) -> tuple[str, ...]:
    """The parts that an image of a table belongs to."""
    split = cells.get("split", "").lower() or "train"
    asked = [part for part in ("query", "gallery") if f"is_{part}" in cells]
    if asked and split in ("validation", "valid", "val", "test"):
        return tuple(part for part in asked if cells[f"is_{part}"].lower() in _YES)
    if split not in ("train", "query", "gallery"):
        raise InputError(
            f"{table}: row {line}: split must be train, query or gallery, or validation with the "
            f"columns is_query and is_gallery. Received: {split!r}. Correct the row."
        )
    return (split,)


def list_table_cameras(table: str | Path) -> dict[str, int]:
    """Numbers the cameras of a table of identities that are named otherwise than by numbers."""
    return _number_cameras(_read_table(as_path(table), IDENTITY_COLUMNS))


def _number_cameras(rows: Sequence[tuple[int, dict[str, str]]]) -> dict[str, int]:
    named = (cells.get("camera", "").removesuffix(".0") for _, cells in rows)
    return number_cameras(camera for camera in named if camera)


def place_table(table: str | Path, images: str | Path, folder: str | Path) -> Path:
    """Writes a table of triplets or identities whose images lie elsewhere with their whole paths.

    Args:
        table: A CSV file that `csv_kind` knows.
        images: What its file names are relative to.
        folder: Where the new table, of the same name, goes; made when missing.

    Raises:
        InputError: The table cannot be read.
    """
    table = as_path(table)
    columns = TRIPLET_COLUMNS if csv_kind(table) == "triplet" else ("path",)
    named = {column.lower() for column in columns}
    rows = [cells for _, cells in _read_table(table, columns)]
    home = str(as_path(images).absolute())
    target = Path(folder) / table.name
    target.parent.mkdir(parents=True, exist_ok=True)
    placed = (
        [join(home, text) if name in named else text for name, text in row.items()] for row in rows
    )
    write_csv(target, [rows[0], *placed])
    return target


def _samples_of_triplets(names: list[list[str]]) -> dict[str, Sample]:
    """Gives every file name of the triplets its person."""
    all_names = dict.fromkeys(name for row in names for name in row)
    read = {name: read_name(Path(name).name) for name in all_names}
    samples = {name: sample for name, sample in read.items() if sample is not None}
    if len(samples) == len(all_names):
        return samples
    parent = {name: name for name in all_names}

    def first_of(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for anchor, positive, _ in names:
        # The alphabetically first name leads, whatever the order of the rows.
        low, high = sorted((first_of(anchor), first_of(positive)))
        parent[high] = low
    return {name: Sample(name, first_of(name)) for name in all_names}


def _find_images(
    table: Path, folder: str | Path | None, rows: Sequence[tuple[int, Sequence[str]]]
) -> dict[str, str]:
    """The path of every file that the rows name; each row comes with its line number."""
    if folder is None:  # the table's folder, or the one folder in it that has the first image
        folder, first = table.parent, rows[0][1][0].replace("\\", "/")
        if not (folder / first).is_file():
            inside = [each for each in folder.iterdir() if (each / first).is_file()]
            folder = inside[0] if len(inside) == 1 else folder
    home = str(as_path(folder))
    paths = {
        name: name
        if is_remote(name) or PurePosixPath(name).is_absolute()
        else join(home, str(PurePosixPath(name)))
        for _, names in rows
        for name in names
    }
    there = file_states(paths.values())
    windows = [name for name in paths if "\\" in name and paths[name] not in there]
    if windows:
        for name in windows:
            paths[name] = join(home, str(PurePosixPath(name.replace("\\", "/"))))
        there = file_states(paths.values())
    for line, names in rows:
        for name in names:
            if not name or paths[name] not in there:
                raise InputError(
                    f"{table}: row {line}: no such file: {paths[name]}. Put the CSV file into the "
                    "folder that the names are relative to, or beside that folder; or correct the "
                    "row."
                )
    return paths


def _read_table(table: Path, columns: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Reads rows by the names of the columns, in lower case, each with its line number."""
    if not table.is_file():
        raise InputError(f"{table}: no such file. Give the path of a CSV file.")
    try:
        with table.open("rb") as raw:
            begins = raw.read(4096)
        # Spreadsheets write a byte order mark before the first column's name, of UTF-8 or UTF-16.
        encoding = "utf-16" if begins[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        first = begins.replace(b"\0", b"").partition(b"\n")[0]
        separator = max(",;\t", key=lambda each: first.count(each.encode()))
        with table.open(newline="", encoding=encoding) as file:
            reader = csv.reader(file, delimiter=separator)
            header = _name_columns([cell.strip().lower() for cell in next(reader, [])])
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeError as error:
        raise InputError(f"{table}: must be UTF-8 text ({error}). Save it as UTF-8.") from None
    except csv.Error as error:
        raise InputError(
            f"{table}: row {reader.line_num}: is not CSV ({error}). Look for a quotation mark that "
            "is not closed."
        ) from None
    if not rows:
        raise InputError(f"{table}: has no rows. Give a CSV file with a header and rows.")
    if not {column.lower() for column in columns} <= set(header):
        raise InputError(
            f"{table}: expected the columns {', '.join(columns)}. Received: {', '.join(header)}. "
            "Name the columns so in the first line."
        )
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{table}: row {line}: expected {len(header)} cells. Received: {len(row)}. "
                "Correct the row."
            )
    return [(line, dict(zip(header, map(str.strip, row), strict=True))) for line, row in rows]


def _name_columns(header: list[str]) -> list[str]:
    """Gives the columns of a table of identities that are called otherwise their names."""
    named = list(header)
    for column, aliases in COLUMN_ALIASES.items():
        found = [alias for alias in aliases if alias in header]
        if column not in header and len(found) == 1:
            named[header.index(found[0])] = column
    return named if set(IDENTITY_COLUMNS) <= set(named) else header
