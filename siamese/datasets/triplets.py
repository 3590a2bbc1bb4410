"""The given triplets of a triplet CSV file, kept beside the records that are made from it.

A record set knows images and people; which anchor goes with which positive and negative is a table
of its own, `triplets.csv` in the folder of the records.
"""

import csv
import io
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import Sample, read_triplets, recognise
from siamese.errors import InputError
from siamese.files import write_csv
from siamese.filesystem import as_path, make_folder

logger = logging.getLogger(__name__)

TRIPLETS = "triplets.csv"
COLUMNS = ("anchor", "positive", "negative")


def name_image(person: str, file: str) -> str:
    """Names an image as the table does: by its person and its file name.

    Example:
        >>> name_image("0002", "0002_c1s1_000451_03.jpg")
        '0002/0002_c1s1_000451_03.jpg'
    """
    return f"{person}/{file}"


def find_triplets(table: str | Path, samples: Iterable[Sample]) -> list[list[str]]:
    """Reads the triplets of a CSV file whose three images are all among the samples that train.

    A warning says how many there are, where others are left out.

    Returns:
        Names of anchor, positive and negative (`name_image`).

    Raises:
        InputError: The table cannot be read, or two of its images have the same person and name.
    """
    table = recognise(table).folder
    there = {sample.path for sample in samples}
    paths: dict[str, str] = {}
    rows, total = [], 0
    for triplet in read_triplets(table):
        names = [name_image(sample.person, Path(sample.path).name) for sample in triplet]
        for name, sample in zip(names, triplet, strict=True):
            if paths.setdefault(name, sample.path) != sample.path:
                raise InputError(
                    f"{table}: {paths[name]} and {sample.path} have one person and one name. "
                    "Rename one of them."
                )
        total += 1
        if all(sample.path in there for sample in triplet):
            rows.append(names)
    if len(rows) < total:
        logger.warning(
            "%s: %s of %s triplets are kept; the other %s have an image of a person who is held "
            "out. A validation size of 0 (--validation_size 0) keeps all of them.",
            table,
            *(f"{count:,}" for count in (len(rows), total, total - len(rows))),
        )
    return rows


def write_triplets(folder: str | Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes the triplets that `find_triplets` gives into the folder of the records."""
    folder = as_path(folder)
    make_folder(folder)
    write_csv(folder / TRIPLETS, [COLUMNS, *rows], line_end="\n")


def kept_triplets(folder: str | Path) -> list[list[str]]:
    """Reads the triplets kept in the folder of records; none where no table was kept."""
    path = as_path(folder) / TRIPLETS
    if not path.is_file():
        return []
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))[1:]


def place_triplets(triplets: Sequence[Sequence[str]], names: Sequence[str]) -> NDArray[np.int64]:
    """Finds the rows of the images of triplets, among the names of the images that there are.

    Returns:
        `(triplets, 3)`, places in `names`; a triplet with an image that there is not (one that was
        left out as damaged) is left out.

    Raises:
        InputError: No triplet is left.

    Example:
        >>> place_triplets([["a/1", "a/2", "b/1"], ["b/1", "b/9", "a/1"]], ["b/1", "a/1", "a/2"])
        array([[1, 2, 0]])
    """
    place = {name: number for number, name in enumerate(names)}
    rows = [[place[name] for name in row] for row in triplets if all(n in place for n in row)]
    if not rows:
        raise InputError(
            f"{TRIPLETS}: no triplet has all its images in the training set. Give more triplets, "
            "or a smaller validation size."
        )
    return np.array(rows, np.int64)
