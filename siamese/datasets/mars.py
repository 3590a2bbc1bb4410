"""Official MARS: frames in folders, tracklets in tables of MATLAB."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.datasets.matlab import read_matrix, whole_numbers
from siamese.datasets.samples import Sample, holds_file, holds_folder, read_name, read_text
from siamese.errors import InputError
from siamese.filesystem import join


def part_folders(root: Path) -> dict[str, str]:
    """Finds which parts of official MARS are in a folder: `bbox_train`, `bbox_test`, and `info`.

    Returns:
        The folder that holds the images of each part; nothing without the tables in `info`.
    """
    return {
        part: str(root / f"bbox_{side}")
        for part, side in {"train": "train", "query": "test", "gallery": "test"}.items()
        if holds_folder(root, f"bbox_{side}")
        and holds_folder(root, "info")
        and holds_file(root / "info", f"tracks_{side}_info.mat")
    }


def list_tracklets(root: Path, part: str) -> list[Sample]:
    """Lists the frames of the tracklets of one part.

    The tables `track_train_info` and `track_test_info` hold a row a tracklet: its first and last
    image (from 1, inclusive, into the list of names), identity and camera. `query_IDX` holds rows
    of the test table, from 1.

    Args:
        root: The folder that holds `bbox_train`, `bbox_test` and `info`.
        part: "train", "query" (the query tracklets) or "gallery" (all test tracklets, the query
            tracklets included, as the official protocol has it).

    Returns:
        One sample a frame; its tracklet is the row of the table, from 1. Junk is not there;
        distractors are `0000`.

    Raises:
        InputError: A table is missing, of another shape, or speaks of images that have no name.
    """
    side = "train" if part == "train" else "test"
    info = root / "info"
    tracks = _read_matrix(info / f"tracks_{side}_info.mat", f"track_{side}_info")
    names_file = info / f"{side}_name.txt"
    if not names_file.is_file():
        raise InputError(f"{names_file}: no such file. Copy the folder `info` of MARS completely.")
    names = read_text(names_file).split()
    if tracks.shape[1] != 4 or tracks[:, 0].min() < 1 or tracks[:, 1].max() > len(names):
        raise InputError(
            f"{names_file}: expected the names of all images of track_{side}_info. "
            f"Received: {len(names)} names for images up to {tracks[:, 1].max()}. Copy it again."
        )
    rows = np.arange(1, len(tracks) + 1)
    if part == "query":
        rows = _read_matrix(info / "query_IDX.mat", "query_IDX").ravel()
        if rows.min() < 1 or rows.max() > len(tracks):
            raise InputError(
                f"{info / 'query_IDX.mat'}: expected rows 1 to {len(tracks)} of track_test_info. "
                f"Received: {rows.min()} to {rows.max()}. Copy it again."
            )
    folder = str(root / f"bbox_{side}")
    samples = []
    for row in rows.tolist():
        first, last, person, camera = tracks[row - 1].tolist()
        if person == -1:
            continue
        for name in names[first - 1 : last]:
            # The folder is the identity as the name writes it.
            path = join(folder, f"{name[:4]}/{name}")
            read = read_name(name)
            frame = -1 if read is None else read.frame
            samples.append(Sample(path, f"{person:04d}", camera, row, frame))
    return samples


def _read_matrix(path: Path, variable: str) -> NDArray[np.int64]:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Copy the folder `info` of MARS completely.")
    try:
        content = path.read_bytes()
        if content[:6] == b"MATLAB" and content[124:126] in (b"\x00\x02", b"\x02\x00"):
            return _read_hdf5(content, variable)
        return read_matrix(content, variable)
    except (ValueError, OSError, ImportError) as error:
        raise InputError(
            f"{path}: is not a MATLAB file of MARS ({error}). Copy it again."
        ) from None


def _read_hdf5(content: bytes, variable: str) -> NDArray[np.int64]:
    """Reads a table of version 7.3, which is HDF5 with its axes turned round."""
    import h5py

    with h5py.File(io.BytesIO(content)) as file:
        if variable not in file:
            raise ValueError(f"no table {variable}")
        return whole_numbers(np.atleast_2d(np.asarray(file[variable]).T), variable)
