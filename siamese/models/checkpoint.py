"""One model file: the embedder with its preprocessing, and what it was made and calibrated with.

It is a Keras file (`.keras`, a zip archive) with one more member, `siamese.json`, that any zip
program shows: format version, fingerprint, recipe, calibration, scores and versions.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from siamese.aliases import rename_recipe
from siamese.errors import InputError, brief
from siamese.files import whole_file

if TYPE_CHECKING:  # a card is read without Keras, whose import takes seconds
    import keras

MEMBER = "siamese.json"
WEIGHTS = "model.weights.h5"
"""The member of a Keras file that holds the weights."""
FORMAT_VERSION = 1
OWN_FIELDS = ("format_version", "fingerprint", "image_size", "versions")
"""Fields that `save_checkpoint` writes by itself."""
FEATURE_EXTRACTOR = "backbone"
"""The layer of an embedder from images to features; named so since version 0.1.0."""
BNNECK = "bottleneck"
"""The layer after it, batch normalisation; named so since version 0.1.0."""

PRETRAINED = Path(__file__).parents[1] / "pretrained" / "model.keras"
"""The model that comes with the package; model.onnx beside it computes the same."""
PRETRAINED_LICENCE = (
    "research use only, as the images it learned from (siamese/pretrained/README.md)"
)


@dataclass(frozen=True)
class LoadedModel:
    """A model file, open.

    Attributes:
        embedder: Images `(images, height, width, 3)`, RGB 0 to 255, to unit vectors.
        metadata: The content of `siamese.json`.
        path: Where it was read from.
    """

    embedder: "keras.Model"
    metadata: dict[str, Any]
    path: Path

    @property
    def fingerprint(self) -> str:
        """Returns sixteen hexadecimal digits; models with equal ones give equal embeddings."""
        return str(self.metadata["fingerprint"])

    @property
    def image_size(self) -> tuple[int, int]:
        """Returns height and width in pixels that the model resizes to."""
        height, width = self.metadata["image_size"]
        return int(height), int(width)


def save_checkpoint(
    path: str | Path,
    embedder: "keras.Model",
    *,
    image_size: tuple[int, int],
    metadata: Mapping[str, Any] | None = None,
    half: bool = False,
) -> dict[str, Any]:
    """Writes a model file under a temporary name and renames it.

    Args:
        path: Where to; ends in `.keras`.
        embedder: A model of `siamese.models.embedder.join_embedder`.
        image_size: Height and width in pixels that it resizes to.
        metadata: What else the file is to say: `recipe`, `calibration`, `scores`, ...; ready for
            JSON.
        half: Store kernels in half precision. They are rounded in `embedder` too, so that file and
            memory compute the same; vectors (biases, statistics) stay float32.

    Returns:
        The content of `siamese.json`, with fingerprint and versions.
    """
    import keras

    path = Path(path)
    if half:
        for weight in embedder.weights:
            if len(weight.shape) > 1:
                weight.assign(weight.numpy().astype(np.float16))
    whole = {
        "format_version": FORMAT_VERSION,
        "fingerprint": fingerprint(embedder),
        "image_size": list(image_size),
        "versions": {"keras": keras.__version__, "backend": keras.config.backend()},
        **(metadata or {}),
    }
    with whole_file(path) as temporary:
        embedder.save(temporary)
        if half:
            _store_kernels_in_half(temporary)
        with zipfile.ZipFile(temporary, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(MEMBER, json.dumps(whole, indent=1, ensure_ascii=False))
    return whole


def _store_kernels_in_half(path: Path) -> None:
    """Rewrites the weights of a Keras file, which reads any number type into its own."""
    import h5py

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stored = io.BytesIO()
    with h5py.File(io.BytesIO(members[WEIGHTS])) as source, h5py.File(stored, "w") as target:

        def copy(name: str, found: Any) -> None:
            if isinstance(found, h5py.Dataset):
                kind = np.float16 if found.ndim > 1 else found.dtype
                copied = target.create_dataset(name, data=found[()].astype(kind))
            else:
                copied = target.require_group(name)
            copied.attrs.update(found.attrs)

        source.visititems(copy)
        target.attrs.update(source.attrs)
    members[WEIGHTS] = stored.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def read_metadata(path: str | Path, *, whole: bool = True) -> dict[str, Any]:
    """Reads `siamese.json` of a model file, without building the model.

    Args:
        path: The file.
        whole: Check all of the file for damage, which takes a while where it is large.

    Raises:
        InputError: The file is missing, damaged, or not a model of this program.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Give the path of a model.keras file.")
    if not path.is_file():
        raise InputError(f"{path}: no such model file. Train one with train_siamese_network.py")
    try:
        with zipfile.ZipFile(path) as archive:
            metadata: dict[str, Any] = json.loads(archive.read(MEMBER))
            broken = archive.testzip() if whole else None
    except (zipfile.BadZipFile, zlib.error):
        raise InputError(
            f"{path}: is not a .keras file, or a truncated one. Copy it again, or train a model."
        ) from None
    except KeyError:
        raise InputError(
            f"{path}: is not a model of this program (no {MEMBER} inside). Give a model.keras "
            "that train_siamese_network.py wrote."
        ) from None
    if broken is not None:
        raise InputError(f"{path}: is damaged ({broken}). Copy it again, or train a model.")
    if metadata.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: has format version {metadata.get('format_version')}; this program reads "
            f"{FORMAT_VERSION}. Train a model with this version."
        )
    if isinstance(metadata.get("recipe"), dict):
        metadata["recipe"] = rename_recipe(metadata["recipe"])
    return metadata


def load_checkpoint(path: str | Path) -> LoadedModel:
    """Opens a model file.

    Raises:
        InputError: The file is missing, damaged, or not a model of this program.
    """
    if Path(path).suffix.lower() == ".tflite":
        raise InputError(
            f"{path}: is for other programs. Give the .keras file that it was exported from, or an "
            ".onnx file."
        )
    metadata = read_metadata(path)
    import keras

    import siamese.models.layers  # noqa: F401  # Keras finds our layers only once defined

    try:
        embedder = keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise InputError(f"{path}: cannot be opened ({brief(error)}). Train a model.") from None
    return LoadedModel(embedder, metadata, Path(path))


def fingerprint(embedder: "keras.Model") -> str:
    """Returns sixteen hexadecimal digits of what an embedder computes: its identity.

    They follow the weights, the size that images are resized to, and the strides: equal weights
    compute other embeddings where these differ.
    """
    digest = blake2b(digest_size=8)
    layers = embedder._flatten_layers(include_self=False, recursive=True)
    sizes = [[getattr(each, name, None) for name in ("image_size", "strides")] for each in layers]
    digest.update(repr(sorted(repr(each) for each in sizes)).encode())
    for weight in embedder.weights:
        digest.update(weight.path.encode())
        digest.update(np.ascontiguousarray(weight.numpy(), np.float32).tobytes())
    return digest.hexdigest()
