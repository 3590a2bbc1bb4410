"""Stage: a folder -> stored embeddings in one file; an image -> the nearest of them."""

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import Sample, list_samples
from siamese.datasets.coverage import drop_damaged
from siamese.datasets.samples import no_image_in, read_name, walk_images
from siamese.errors import InputError, OnCorrupt, brief
from siamese.extras import missing
from siamese.files import whole_file, write_text
from siamese.filesystem import as_path
from siamese.images import naming_all_damaged
from siamese.inference import ImageLike, Model, load_model, reopen_model
from siamese.inference.channels import warn_of_channels
from siamese.inference.reading import Progress
from siamese.vectors import Embeddings, nearest_rows

if TYPE_CHECKING:
    from siamese.profiles import Profile

STORE_SUFFIXES = (".csv", ".npz", ".parquet")
BLOCK = 1024
"""Images whose embeddings are written at a time: so many are computed again after a kill."""
_FLIPPED = "-flip"
_PROFILE = "-profile-"


@dataclass(frozen=True)
class SimilarImage:
    """One of the nearest images; what is not known of it is written as in `Embeddings`.

    `distance` is Euclidean, between unit vectors: 0 to 2.
    """

    image: str
    person: str
    camera: int
    tracklet: int
    distance: float

    def to_dict(self) -> dict[str, Any]:
        """Gives the fields by name, ready for JSON."""
        return asdict(self)


def embed_folder(
    folder: str | Path,
    output: str | Path,
    model: str | Path | Model | None = None,
    *,
    flip: bool = False,
    on_corrupt: OnCorrupt = "error",
    profile: "Profile | None" = None,
    progress: Progress | None = None,
) -> Embeddings:
    """Embeds all images of a folder into one file.

    While it works, finished blocks lie in a folder beside the output; after an interruption the
    same call goes on from there.

    Args:
        folder: Images at any depth. People, cameras and tracklets are read where it is a known
            dataset, or from names of a known form.
        output: The file to write: `.csv`, `.npz` or `.parquet` (with pyarrow).
        model: A model file, an open model, or None as for `siamese.load_model`.
        flip: Average each embedding with that of the mirrored image.
        on_corrupt: "error" or "skip", see `list_all`.
        profile: Of the cameras, as `siamese.calibrate` makes it: embeddings are standardised. They
            compare with others of this profile alone.
        progress: Called with the images done and all images.

    Raises:
        InputError: The folder, an image, the model or the output cannot be used, or the profile is
            of another model.
    """
    folder, output = Path(folder), Path(output)
    check_output(output)
    samples = list_all(folder, on_corrupt)
    opened = model if isinstance(model, Model) else load_model(model)
    if profile is not None:
        profile.check(opened.fingerprint, opened.path)
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

            with naming_all_damaged([each.path for each in samples]):
                embeddings = opened.embed([each.path for each in block], flip=flip, progress=report)
            with whole_file(path) as temporary:
                np.save(temporary, embeddings)
        found.append(np.load(path, allow_pickle=False))
        if progress is not None:
            progress(first + len(block), len(samples))
    rows = np.concatenate(found)
    if profile is not None:
        rows = profile.standardise(rows, [each.camera for each in samples])
    space = {"fingerprint": _space(opened, flip, profile), "preprocessing": opened.preprocessing}
    store = Embeddings.of_samples(rows, samples, **space)
    write_embeddings(store, output)
    shutil.rmtree(parts)
    return store


def list_all(folder: Path, on_corrupt: OnCorrupt = "error") -> list[Sample]:
    """Lists every image under a folder, with what a dataset or its name tells about it.

    With `on_corrupt` "skip" every image is read, those that cannot be used are left out, and a
    warning names them; with "error" they are left to who reads them.

    Returns:
        Samples sorted by path; the person is "" where nothing tells it.

    Raises:
        InputError: There is no such folder, or no image in it that can be used.
    """
    if not as_path(folder).is_dir():
        what = "is a file" if as_path(folder).exists() else "no such folder"
        raise InputError(f"{folder}: {what}. Give a folder of images.")
    names = walk_images(folder)
    if not names:
        raise no_image_in(folder)
    try:
        known = {Path(each.path): each for each in list_samples(folder, "all")}
    except InputError:  # not a dataset: its names may still be of a known form
        known = {}
    samples = []
    for path in (folder / name for name in names):
        told = known.get(path) or read_name(path.name) or Sample(str(path), "")
        samples.append(Sample(str(path), told.person, told.camera, told.tracklet, told.frame))
    return drop_damaged(samples, on_corrupt)


def find_similar_images(
    image: ImageLike,
    embeddings: str | Path | Embeddings,
    k: int = 5,
    *,
    model: str | Path | Model | None = None,
    profile: "Profile | None" = None,
    camera: int = -1,
) -> list[SimilarImage]:
    """Finds the stored images that are nearest to an image.

    Args:
        image: An image file, or an image of another kind that `Model.embed` takes.
        embeddings: A file of `embed_folder` or `Gallery.export`, or what `embed_folder` returned.
        k: How many; fewer where there are no more.
        model: The model that made the embeddings: a file, which is opened as it was then, an open
            model, or None as for `siamese.load_model`.
        profile: The one that the embeddings were standardised by, where they were.
        camera: The number in the profile of the camera of the image, -1 where unknown.

    Returns:
        The nearest first; of equal distances the one stored first.

    Raises:
        InputError: Something cannot be used, or another model or profile made the embeddings.
    """
    if k < 1:
        raise InputError(f"`k` must be at least 1. Received: k={k}.")
    store = embeddings if isinstance(embeddings, Embeddings) else read_embeddings(embeddings)
    opened = model
    if not isinstance(opened, Model):
        fingerprint = store.fingerprint.partition("-")[0]
        opened = reopen_model(opened, fingerprint, store.preprocessing)
    flip = store.fingerprint == _space(opened, True, profile)
    if not flip and store.fingerprint != _space(opened, False, profile):
        if store.fingerprint.partition("-")[0] == opened.fingerprint:
            raise InputError(
                f"these embeddings are {_describe_profile(store.fingerprint)}. Received: "
                f"{_describe_profile(_space(opened, flip, profile))}. Give that profile or none, "
                "as when they were made, or embed the folder again."
            )
        raise InputError(
            f"these embeddings were made by the model {store.fingerprint}, but {opened.path} is "
            f"{opened.fingerprint}. Give that model, or embed the folder again."
        )
    query = opened.embed(image, flip=flip)
    if len(query) != 1:
        raise InputError(f"one image is needed. Received: {len(query)}. Give a single image.")
    if profile is not None:
        query = profile.standardise(query, [camera])
    [rows], [distances] = nearest_rows(store.embeddings, query, k)
    tracklets = np.full(len(store), -1) if store.tracklets is None else store.tracklets
    columns = (store.images, store.people, store.cameras, tracklets)
    found = [each[rows].tolist() for each in columns]
    return [SimilarImage(*each) for each in zip(*found, distances.tolist(), strict=True)]


def write_embeddings(store: Embeddings, path: str | Path) -> None:
    """Writes embeddings under a temporary name and renames it.

    The columns are image, person, camera, tracklet, frame and time (where known), embedding.

    Args:
        store: What to write.
        path: Ends in `.csv` (a row an image, the numbers of an embedding separated by spaces, the
            model's fingerprint and preprocessing as last columns), `.npz` (an array a column, no
            pickle) or `.parquet` (these two in the metadata).

    Raises:
        InputError: The suffix is another, or pyarrow is not installed.
        OSError: The file cannot be written.
    """
    path = Path(path)
    suffix = check_output(path)
    columns: dict[str, NDArray[Any]] = {
        "image": store.images,
        "person": store.people,
        "camera": store.cameras,
    }
    for name in ("tracklet", "frame", "time"):
        if (column := getattr(store, f"{name}s")) is not None:
            columns[name] = column
    origin = {"fingerprint": store.fingerprint}
    if store.preprocessing is not None:
        origin["preprocessing"] = json.dumps(store.preprocessing)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        if suffix == ".npz":
            with temporary.open("wb") as opened:  # to a name, NumPy would add another suffix
                np.savez(
                    opened, allow_pickle=False, embedding=store.embeddings, **columns, **origin
                )
        elif suffix == ".csv":
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow([*columns, "embedding", *origin])
                for *row, embedding in zip(*columns.values(), store.embeddings, strict=True):
                    # Nine digits give every float32 back as it was.
                    numbers = " ".join(f"{value:.9g}" for value in embedding.tolist())
                    writer.writerow([*row, numbers, *origin.values()])
        else:
            import pyarrow
            from pyarrow import parquet

            values = pyarrow.array(store.embeddings.ravel())
            vectors = pyarrow.FixedSizeListArray.from_arrays(values, store.embeddings.shape[1])
            lists = {name: pyarrow.array(each.tolist()) for name, each in columns.items()}
            made = pyarrow.table({**lists, "embedding": vectors})
            parquet.write_table(made.replace_schema_metadata(origin), temporary)


def read_embeddings(path: str | Path) -> Embeddings:
    """Reads what `write_embeddings` wrote, also that of version 0.1.0.

    Raises:
        InputError: The file is missing, damaged, empty or another.
    """
    path = Path(path)
    suffix = check_output(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Make it with siamese embed FOLDER --output {path}")
    readers = {".csv": _read_csv, ".npz": _read_npz, ".parquet": _read_parquet}
    try:
        columns = readers[suffix](path)
        known: dict[str, Any] = {
            f"{name}s": np.array(columns[name], kind)
            for name, kind in (("tracklet", "i8"), ("frame", "i8"), ("time", "datetime64[us]"))
            if name in columns
        }
        store = Embeddings(
            embeddings=np.array(columns["embedding"], np.float32),
            people=np.array(columns["person"], np.str_),
            cameras=np.array(columns["camera"], np.int64),
            images=np.array(columns["image"], np.str_),
            fingerprint=str(columns["fingerprint"]),
            preprocessing=json.loads(str(columns.get("preprocessing", "null"))),
            **known,
        )
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the readers raise anything
        raise InputError(
            f"{path}: is not a file of embeddings, or a damaged one "
            f"({brief(error)}). Make it again with siamese embed."
        ) from None
    if store.embeddings.ndim != 2 or not len(store) or not np.isfinite(store.embeddings).all():
        raise InputError(
            f"{path}: must hold a finite embedding of equal length for each image. Received: shape "
            f"{store.embeddings.shape}. Make it again with siamese embed."
        )
    return store


def _read_csv(path: Path) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    prints = {row["fingerprint"] for row in rows}
    if len(prints) > 1:
        raise ValueError(f"embeddings of {len(prints)} models in one file")
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["embedding"] = np.stack(
        [np.array(text.split(), np.float32) for text in columns["embedding"]]
    )
    origin = {
        name: columns[name][0] for name in ("fingerprint", "preprocessing") if name in columns
    }
    return columns | origin


def _read_npz(path: Path) -> dict[str, Any]:
    # Opened here, because NumPy forgets to close a damaged file.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return dict(file)


def _read_parquet(path: Path) -> dict[str, Any]:
    from pyarrow import parquet

    read = parquet.read_table(path)
    columns = {name: read.column(name).to_pylist() for name in read.column_names[:-1]}
    vectors = read.column("embedding").combine_chunks().flatten().to_numpy()
    origin = {name.decode(): text.decode() for name, text in (read.schema.metadata or {}).items()}
    return {**columns, "embedding": vectors.reshape(len(read), -1), **origin}


def _space(model: Model, flip: bool, profile: "Profile | None" = None) -> str:
    """Returns what tells embeddings apart that do not compare."""
    standardised = "" if profile is None else f"{_PROFILE}{profile.digest}"
    return model.fingerprint + (_FLIPPED if flip else "") + standardised


def _describe_profile(space: str) -> str:
    _, marked, digest = space.partition(_PROFILE)
    return f"standardised by the profile {digest}" if marked else "of no profile"


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
    write_text(file, json.dumps(plan))


def check_output(path: str | Path) -> str:
    """Returns the suffix of a file of embeddings, in lower case.

    Raises:
        InputError: There is no such format, or pyarrow is not installed for it.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in STORE_SUFFIXES:
        raise InputError(
            f"{path}: the name of a file of embeddings must end in one of "
            f"{' '.join(STORE_SUFFIXES)}. Give another name."
        )
    if suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise missing(f"{path}:", "pyarrow") from None
    return suffix
