"""Stage: a folder -> a table of embeddings in one file; an image -> the nearest of a table."""

import csv
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import Sample, list_samples
from siamese.datasets.samples import read_name, walk_images
from siamese.errors import InputError
from siamese.files import whole_file
from siamese.filesystem import as_path
from siamese.inference import ImageLike, Model, load_model, reopen_model
from siamese.inference.channels import warn_of_channels
from siamese.inference.reading import Progress

SUFFIXES = (".csv", ".npz", ".parquet")
COLUMNS = ("image", "person", "camera", "tracklet", "embedding")
_FLIPPED = "-flip"
BLOCK = 1024
"""Images whose embeddings are written at a time: so many are computed again after a kill."""


@dataclass(frozen=True)
class EmbeddingTable:
    """Embeddings of a folder of images.

    Attributes:
        images: `(images,)`, text, paths of the files.
        people: `(images,)`, text; "" is not known.
        cameras: `(images,)`, int64; -1 is not known.
        tracklets: `(images,)`, int64; -1 is not known.
        embeddings: `(images, dimensions)`, float32 unit vectors.
        fingerprint: Of the model that made them; others' do not compare.
        preprocessing: What was stated of a model made elsewhere, as `Model.preprocessing`.
    """

    images: NDArray[np.str_]
    people: NDArray[np.str_]
    cameras: NDArray[np.int64]
    tracklets: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    fingerprint: str
    preprocessing: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class SimilarImage:
    """One of the nearest images.

    Attributes:
        image: Its file.
        person: Who it shows; "" is not known.
        camera: -1 is not known.
        tracklet: -1 is not known.
        distance: Euclidean, between unit vectors: 0 to 2.
    """

    image: str
    person: str
    camera: int
    tracklet: int
    distance: float

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return asdict(self)


def embed_folder(
    folder: str | Path,
    output: str | Path,
    model: str | Path | Model | None = None,
    *,
    flip: bool = False,
    progress: Progress | None = None,
) -> EmbeddingTable:
    """Embeds all images of a folder into one file.

    While it works, finished blocks lie in a folder beside the output; after an interruption the
    same call goes on from there.

    Args:
        folder: Images at any depth. People, cameras and tracklets are read where it is a known
            dataset, or from names of a known form.
        output: The file to write: `.csv`, `.npz` or `.parquet` (with pyarrow).
        model: A model file, an open model, or None as for `siamese.load_model`.
        flip: Average each embedding with that of the mirrored image.
        progress: Called with the images done and all images.

    Returns:
        What was written.

    Raises:
        InputError: The folder, an image, the model or the output cannot be used.
    """
    folder, output = Path(folder), Path(output)
    _check_output(output)
    samples = list_all(folder)
    opened = model if isinstance(model, Model) else load_model(model)
    warn_of_channels(opened, [each.path for each in samples])
    output.parent.mkdir(parents=True, exist_ok=True)
    parts = output.with_name(f".{output.name}.parts")
    _start_or_resume(parts, opened, samples, flip)
    found = []
    for first in range(0, len(samples), BLOCK):
        block = samples[first : first + BLOCK]
        path = parts / f"{first:09d}.npy"
        if not path.exists():

            def report(done: int, _: int, before: int = first) -> None:
                if progress is not None:
                    progress(before + done, len(samples))

            embeddings = opened.embed([each.path for each in block], flip=flip, progress=report)
            with whole_file(path) as temporary:
                np.save(temporary, embeddings)
        found.append(np.load(path, allow_pickle=False))
        if progress is not None:
            progress(first + len(block), len(samples))
    table = EmbeddingTable(
        np.array([each.path for each in samples]),
        np.array([each.person for each in samples]),
        np.array([each.camera for each in samples], np.int64),
        np.array([each.tracklet for each in samples], np.int64),
        np.concatenate(found),
        _space(opened, flip),
        opened.preprocessing,
    )
    write_embeddings(table, output)
    shutil.rmtree(parts)
    return table


def list_all(folder: Path) -> list[Sample]:
    """Lists every image under a folder, with what a dataset or its name tells about it.

    Args:
        folder: Any folder of images.

    Returns:
        Samples sorted by path; the person is "" where nothing tells it.

    Raises:
        InputError: There is no such folder, or no image in it.
    """
    if not as_path(folder).is_dir():
        what = "is a file" if as_path(folder).exists() else "no such folder"
        raise InputError(f"{folder}: {what}. Give a folder of images.")
    names = walk_images(folder)
    if not names:
        raise InputError(f"{folder}: holds no image. Give a folder of images.")
    try:
        known = {Path(each.path): each for each in list_samples(folder, "all")}
    except InputError:  # not a dataset: its names may still be of a known form
        known = {}
    samples = []
    for path in (folder / name for name in names):
        told = known.get(path) or read_name(path.name) or Sample(str(path), "")
        samples.append(Sample(str(path), told.person, told.camera, told.tracklet, told.frame))
    return samples


def find_similar_images(
    image: ImageLike,
    embeddings: str | Path | EmbeddingTable,
    k: int = 5,
    *,
    model: str | Path | Model | None = None,
) -> list[SimilarImage]:
    """Finds the stored images that are nearest to an image.

    Args:
        image: A file, a Pillow image or an array `(height, width, 3)`, RGB 0 to 255.
        embeddings: A file of `embed_folder`, or what it returned.
        k: How many; fewer where there are no more.
        model: The model that made the embeddings: a file, which is opened as it was then, an open
            model, or None as for `siamese.load_model`.

    Returns:
        The nearest first; of equal distances the one stored first.

    Raises:
        InputError: Something cannot be used, or another model made the embeddings.
    """
    if k < 1:
        raise InputError(f"`k` must be at least 1. Received: k={k}.")
    table = embeddings if isinstance(embeddings, EmbeddingTable) else read_embeddings(embeddings)
    opened = model
    if not isinstance(opened, Model):
        fingerprint = table.fingerprint.removesuffix(_FLIPPED)
        opened = reopen_model(opened, fingerprint, table.preprocessing)
    flip = table.fingerprint == _space(opened, flip=True)
    if not flip and table.fingerprint != _space(opened, flip=False):
        raise InputError(
            f"these embeddings were made by the model {table.fingerprint}, but {opened.path} is "
            f"{opened.fingerprint}. Give that model, or embed the folder again."
        )
    query = opened.embed(image, flip=flip)
    if len(query) != 1:
        raise InputError(f"one image is needed. Received: {len(query)}. Give a single image.")
    distances = np.concatenate(
        [
            np.linalg.norm(table.embeddings[first : first + 65_536] - query, axis=1)
            for first in range(0, len(table), 65_536)
        ]
    )
    return [
        SimilarImage(
            str(table.images[row]),
            str(table.people[row]),
            int(table.cameras[row]),
            int(table.tracklets[row]),
            float(distances[row]),
        )
        for row in np.argsort(distances, kind="stable")[:k]
    ]


def write_embeddings(table: EmbeddingTable, path: str | Path) -> None:
    """Writes a table under a temporary name and renames it.

    Args:
        table: What to write.
        path: Ends in `.csv` (a row an image, the numbers of an embedding separated by spaces, the
            model's fingerprint and preprocessing as last columns), `.npz` (an array a column, no
            pickle) or `.parquet`.

    Raises:
        InputError: The suffix is another, or pyarrow is not installed.
    """
    path = Path(path)
    _check_output(path)
    with whole_file(path) as temporary:
        if path.suffix == ".csv":
            _write_csv(table, temporary)
        elif path.suffix == ".npz":
            arrays: dict[str, Any] = dict(zip(COLUMNS, _columns(table), strict=True))
            np.savez(temporary, **arrays, **_origin(table))
        else:
            _write_parquet(table, temporary)


def read_embeddings(path: str | Path) -> EmbeddingTable:
    """Reads what `write_embeddings` wrote.

    Raises:
        InputError: The file is missing, damaged, empty or another.
    """
    path = Path(path)
    _check_output(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Make it with siamese embed FOLDER --output {path}")
    readers = {".csv": _read_csv, ".npz": _read_npz, ".parquet": _read_parquet}
    try:
        *columns, origin = readers[path.suffix](path)
        images, people, cameras, tracklets, embeddings = columns
        table = EmbeddingTable(
            np.array(images, np.str_),
            np.array(people, np.str_),
            np.array(cameras, np.int64),
            np.array(tracklets, np.int64),
            np.array(embeddings, np.float32),
            str(origin["fingerprint"]),
            json.loads(str(origin.get("preprocessing", "null"))),
        )
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(
            f"{path}: is not a file of embeddings, or a damaged one "
            f"({' '.join(str(error).split())[:120]}). Make it again with siamese embed."
        ) from None
    if table.embeddings.ndim != 2 or not len(table) or not np.isfinite(table.embeddings).all():
        raise InputError(
            f"{path}: must hold a finite embedding of equal length for each image. Received: shape "
            f"{table.embeddings.shape}. Make it again with siamese embed."
        )
    return table


def _space(model: Model, flip: bool) -> str:
    """What tells embeddings apart that do not compare."""
    return model.fingerprint + (_FLIPPED if flip else "")


def _start_or_resume(parts: Path, model: Model, samples: Sequence[Sample], flip: bool) -> None:
    """Keeps the finished blocks of the same work, and throws away those of another."""
    digest = blake2b(json.dumps([each.path for each in samples]).encode(), digest_size=8)
    for sample in samples:
        status = Path(sample.path).stat()
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    plan = {"fingerprint": _space(model, flip), "images": digest.hexdigest(), "block": BLOCK}
    file = parts / "plan.json"
    if file.is_file() and json.loads(file.read_text()) == plan:
        return
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    with whole_file(file) as temporary:
        temporary.write_text(json.dumps(plan))


def _check_output(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: the name of a file of embeddings must end in {' '.join(SUFFIXES)}. Give "
            "another name."
        )
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise InputError(
                f"{path}: needs pyarrow, which is not installed. Install it with pip install "
                "pyarrow, or write .npz"
            ) from None


def _origin(table: EmbeddingTable) -> dict[str, Any]:
    """Returns what a file says about the model, as text; preprocessing only where it was stated."""
    origin = {"fingerprint": table.fingerprint}
    if table.preprocessing is not None:
        origin["preprocessing"] = json.dumps(table.preprocessing)
    return origin


def _columns(table: EmbeddingTable) -> tuple[NDArray[Any], ...]:
    return table.images, table.people, table.cameras, table.tracklets, table.embeddings


def _write_csv(table: EmbeddingTable, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        origin = _origin(table)
        writer.writerow([*COLUMNS, *origin])
        for *row, embedding in zip(*_columns(table), strict=True):
            # Nine digits give every float32 back as it was.
            numbers = " ".join(f"{value:.9g}" for value in embedding.tolist())
            writer.writerow([*row, numbers, *origin.values()])


def _read_csv(path: Path) -> tuple[Any, ...]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    prints = {row["fingerprint"] for row in rows}
    if len(prints) > 1:
        raise ValueError(f"embeddings of {len(prints)} models in one file")
    embeddings = [np.array(row["embedding"].split(), np.float32) for row in rows]
    text = [[row[name] for row in rows] for name in COLUMNS[:-1]]
    images, people, cameras, tracklets = text
    numbers = ([int(each) for each in column] for column in (cameras, tracklets))
    return images, people, *numbers, np.stack(embeddings), rows[0]


def _read_npz(path: Path) -> tuple[Any, ...]:
    # Opened here, because NumPy forgets to close a damaged file.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        columns = tuple(file[name] for name in COLUMNS)
        return *columns, {name: file[name] for name in file.files if name not in COLUMNS}


def _write_parquet(table: EmbeddingTable, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    dimensions = table.embeddings.shape[1]
    *columns, embeddings = _columns(table)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), dimensions)
    arrays = [*(pa.array(each.tolist()) for each in columns), vectors]
    made = pa.Table.from_arrays(arrays, names=list(COLUMNS))
    parquet.write_table(made.replace_schema_metadata(_origin(table)), path)


def _read_parquet(path: Path) -> tuple[Any, ...]:
    from pyarrow import parquet

    read = parquet.read_table(path)
    columns = [read.column(name).to_pylist() for name in COLUMNS[:-1]]
    vectors = read.column("embedding").combine_chunks()
    embeddings = vectors.flatten().to_numpy().reshape(len(read), -1)
    metadata = read.schema.metadata or {}
    return *columns, embeddings, {name.decode(): text.decode() for name, text in metadata.items()}
