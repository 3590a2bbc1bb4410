"""What computes embeddings behind a `Model`: Keras, or onnxruntime without TensorFlow and Keras."""

import functools
import importlib.util
import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from siamese.aliases import rename_recipe
from siamese.errors import InputError

METADATA = "siamese"
"""The name under which an exported ONNX file holds the model's card, as JSON."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of the channels red, green, blue, for pixels scaled to 1: what most published models expect."""


class Network(Protocol):
    """Images to embeddings, with what the file says about itself."""

    metadata: dict[str, Any]
    image_size: tuple[int, int]
    dimensions: int

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch `(images, *image_size, 3)`, RGB 0 to 255, to `(images, dimensions)`."""

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """The same, by the way that gives the first answer soonest."""


class KerasNetwork:
    """A `.keras` file, computed by Keras on any backend."""

    def __init__(self, path: Path) -> None:
        from siamese.models.checkpoint import load_checkpoint

        loaded = load_checkpoint(path)
        self.metadata = loaded.metadata
        self.image_size = loaded.image_size
        self.embedder = loaded.embedder
        self.dimensions = int(self.embedder.output_shape[-1])

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch, by a function that is compiled at the first call and kept."""
        return np.asarray(self._compiled(images))

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch without compiling: for a single pair that is three times faster."""
        import keras

        if keras.config.backend() != "tensorflow" or "_compiled" in vars(self):
            return self.run(images)
        return np.asarray(self.embedder(images, training=False))

    @functools.cached_property
    def _compiled(self) -> Any:
        import keras

        if keras.config.backend() != "tensorflow":
            return self.embedder.predict_on_batch
        import tensorflow as tf

        # One trace for every batch size; `predict_on_batch` would trace again for the last batch.
        signature = [tf.TensorSpec((None, *self.image_size, 3), tf.float32)]
        return tf.function(functools.partial(self.embedder, training=False), signature)


class OnnxNetwork:
    """An `.onnx` file, computed by onnxruntime: one that this program exported, or another's."""

    def __init__(
        self,
        path: Path,
        image_size: tuple[int, int] | None = None,
        mean: Sequence[float] | None = None,
        deviation: Sequence[float] | None = None,
    ) -> None:
        self._path = path
        self._session = _open_session(path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._input = _only_input(path, self._session.get_inputs())
        self._fixed_batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else None
        self._prepare: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        if METADATA in metadata:
            check_no_options(path, image_size, mean, deviation)
            self.metadata = json.loads(metadata[METADATA])
            if isinstance(self.metadata.get("recipe"), dict):
                self.metadata["recipe"] = rename_recipe(self.metadata["recipe"])
            height, width = self.metadata["image_size"]
            self.image_size = (int(height), int(width))
            self._channels_first = False
        else:
            self._read_foreign(path, image_size, mean, deviation)
        self.dimensions = self._find_dimensions()

    def _read_foreign(
        self,
        path: Path,
        image_size: tuple[int, int] | None,
        mean: Sequence[float] | None,
        deviation: Sequence[float] | None,
    ) -> None:
        shape = self._input.shape
        self._channels_first = shape[1] == 3 and shape[-1] != 3
        height, width = shape[2:4] if self._channels_first else shape[1:3]
        if isinstance(height, int) and isinstance(width, int):
            if image_size is not None and tuple(image_size) != (height, width):
                raise InputError(
                    f"{path}: takes images of {height} x {width} pixels. Received: image_size="
                    f"{tuple(image_size)}. Leave image_size out."
                )
            image_size = (height, width)
        if image_size is None or min(image_size) < 1:
            raise InputError(
                f"{path}: does not say which image size it takes. Give image_size as height and "
                "width, such as 256 128."
            )
        self.image_size = (int(image_size[0]), int(image_size[1]))
        floats = self._input.type in ("tensor(float)", "tensor(float16)")
        if floats:
            center = _three("mean", IMAGENET_MEAN if mean is None else mean, 0)
            spread = _three(
                "deviation", IMAGENET_DEVIATION if deviation is None else deviation, 1e-6
            )
            self._prepare = (255 * center, 255 * spread)
        elif mean is not None or deviation is not None:
            raise InputError(
                f"{path}: takes whole numbers 0 to 255, so nothing is normalised. Leave mean and "
                "deviation out."
            )
        # Equal weights with another preparation are another space of embeddings.
        digest = blake2b(path.read_bytes(), digest_size=8)
        digest.update(repr((self.image_size, [each.tolist() for each in self._prepare or ()]))
                      .encode())  # fmt: skip
        self.metadata = {"fingerprint": digest.hexdigest(), "image_size": list(self.image_size)}
        if self._prepare is not None:
            names = ("mean", "deviation")
            values = [(each / 255).round(6).tolist() for each in self._prepare]
            self.metadata["normalisation"] = dict(zip(names, values, strict=True))

    def _find_dimensions(self) -> int:
        last = self._session.get_outputs()[0].shape[1:]
        if last and all(isinstance(each, int) for each in last):
            return int(np.prod(last))
        return int(self.run(np.zeros((1, *self.image_size, 3), np.float32)).shape[1])

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch."""
        if self._prepare is not None:
            center, spread = self._prepare
            images = (images - center) / spread
        if self._channels_first:
            images = images.transpose(0, 3, 1, 2)
        if self._input.type == "tensor(uint8)":
            images = images.round()
        prepared = np.ascontiguousarray(images, _DTYPES[self._input.type])
        if self._fixed_batch is None:
            return self._run(prepared)
        step = self._fixed_batch
        parts = []
        for first in range(0, len(prepared), step):
            part = prepared[first : first + step]
            padding = [(0, step - len(part))] + [(0, 0)] * 3
            parts.append(self._run(np.pad(part, padding))[: len(part)])
        return np.concatenate(parts)

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch; nothing is compiled here, so there is one way only."""
        return self.run(images)

    def _run(self, prepared: NDArray[Any]) -> NDArray[Any]:
        try:
            found = np.asarray(self._session.run(None, {self._input.name: prepared})[0])
        except Exception as error:  # onnxruntime's own errors share no other base
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"{self._path}: cannot embed images of {self.image_size[0]} x "
                f"{self.image_size[1]} pixels ({reason}). Give the image_size that it was made for."
            ) from None
        return found.reshape(len(prepared), -1)


_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


def check_no_options(
    path: Path,
    image_size: tuple[int, int] | None,
    mean: Sequence[float] | None,
    deviation: Sequence[float] | None,
) -> None:
    """Refuses options about preprocessing for a file that holds its own."""
    if image_size is not None or mean is not None or deviation is not None:
        raise InputError(
            f"{path}: holds its image size and normalisation. Leave out image_size, mean and "
            "deviation."
        )


def can_run_onnx() -> bool:
    """Whether onnxruntime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def _open_session(path: Path) -> Any:
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Give the path of an .onnx file.")
    if not path.is_file():
        raise InputError(f"{path}: no such model file. Make one with siamese export.")
    if not can_run_onnx():
        raise InputError(
            f"{path}: needs onnxruntime, which is not installed. Install it with pip install "
            "onnxruntime"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    # Threads that spin while they wait halve the speed where other work shares the processor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    usable = onnxruntime.get_available_providers()
    providers = [
        each for each in ("CUDAExecutionProvider", "CPUExecutionProvider") if each in usable
    ]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's own errors share no other base
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: is not an ONNX model, or a damaged one ({reason}). Export it again."
        ) from None


def _only_input(path: Path, inputs: Sequence[Any]) -> Any:
    one = inputs[0] if len(inputs) == 1 and len(inputs[0].shape) == 4 else None
    # A number of channels that is not said may be three.
    colours = () if one is None else (one.shape[1], one.shape[3])
    if (
        one is None
        or one.type not in _DTYPES
        or not any(each == 3 or not isinstance(each, int) for each in colours)
    ):
        found = ", ".join(f"{each.name} {each.shape} {each.type}" for each in inputs)
        raise InputError(
            f"{path}: must take one batch of images, (n, 3, height, width) or (n, height, width, "
            f"3), as floats or uint8. Received: {found}. Give a network that embeds images."
        )
    return one


def _three(name: str, values: Sequence[float], least: float) -> NDArray[np.float32]:
    array = np.asarray(values, np.float32)
    if array.shape != (3,) or not ((array >= least) & (array <= 1)).all():
        raise InputError(
            f"`{name}` must be three numbers for red, green and blue of pixels scaled to 1, such "
            f"as 0.485 0.456 0.406. Received: {' '.join(f'{each:g}' for each in array.flat)}."
        )
    return array
