"""A gallery's rows as one file for other programs: CSV, Parquet or NumPy."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.files import whole_file

SUFFIXES = (".csv", ".parquet", ".npz")


def check_name(path: str | Path) -> Path:
    """The path of an export, if its suffix is a known one.

    Raises:
        InputError: It is not.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}: an export's name must end in one of {' '.join(SUFFIXES)}. Give another name."
        )
    return path


def write_export(path: Path, embeddings: NDArray[np.float32], rows: Any) -> None:
    """Writes rows and embeddings under a temporary name that is renamed.

    CSV: a line a row, unknown cells empty, the embedding in the columns `e0`, `e1`, ...
    Parquet: a column `embedding` of lists. NPZ: an array a column, without pickle; unknown people
    are "", cameras and tracklets -1, times NaT.

    Args:
        path: Where to; its suffix says the format.
        embeddings: `(rows, dimensions)`, float32.
        rows: A `pyarrow.Table` with the other columns.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        if path.suffix.lower() == ".parquet":
            _write_parquet(temporary, embeddings, rows)
        elif path.suffix.lower() == ".npz":
            with temporary.open("wb") as file:  # to a name, NumPy would add a `.npz`
                np.savez(file, allow_pickle=False, embedding=embeddings, **_arrays(rows))
        else:
            _write_csv(temporary, embeddings, rows)


def _write_parquet(path: Path, embeddings: NDArray[np.float32], rows: Any) -> None:
    import pyarrow
    from pyarrow import parquet

    vectors = pyarrow.FixedSizeListArray.from_arrays(embeddings.ravel(), embeddings.shape[1])
    parquet.write_table(rows.append_column("embedding", vectors), path)


def _arrays(rows: Any) -> dict[str, NDArray[Any]]:
    from pyarrow import compute

    arrays = {}
    for name in rows.column_names:
        column = rows[name]
        if name in ("camera", "tracklet"):
            column = compute.fill_null(column, -1)
        if name == "time":
            arrays[name] = np.array(column.to_pylist(), "datetime64[us]")
        elif name in ("camera", "tracklet"):
            arrays[name] = column.to_numpy()
        else:
            arrays[name] = np.array([text or "" for text in column.to_pylist()], np.str_)
    return arrays


def _write_csv(path: Path, embeddings: NDArray[np.float32], rows: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        numbers = [f"e{number}" for number in range(embeddings.shape[1])]
        writer.writerow([*rows.column_names, *numbers])
        done = 0
        for batch in rows.to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                time = row["time"]
                row["time"] = None if time is None else time.isoformat()
                # Nine digits give a float32 back exactly.
                vector = [f"{value:.9g}" for value in embeddings[done].tolist()]
                writer.writerow([*row.values(), *vector])
                done += 1
