"""Networks: what computes embeddings behind a `Model`, by Keras, onnxruntime or OpenVINO."""

import functools
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.aliases import rename_recipe
from siamese.errors import InputError, brief
from siamese.inference.preprocessor import Port, Preprocessor, check_none_given, feed, find_port
from siamese.models.checkpoint import load_checkpoint
from siamese.preprocessing import UNSTATED, Preprocessing
from siamese.telemetry import import_silent

METADATA = "siamese"
"""The name under which an exported ONNX file holds the model's metadata, as JSON."""
DTYPE_NAMES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "f32": "float32",
    "f16": "float16",
    "u8": "uint8",
}
"""NumPy's names of what ONNX and OpenVINO call the types of an input."""


_OPENED_IN: dict[str, int] = {}
"""The process that opened the first model of Keras; a forked one has it too."""


class Network:
    """Turns images into embeddings, with what the file says about itself.

    Attributes:
        metadata: What the file says about itself.
        image_size: Height and width in pixels.
        dimensions: Of an embedding.
        runtime: The package that computes: "tensorflow", "jax", "onnxruntime", "openvino".
        tells_channels: Whether the file itself says in which order it takes colours.
    """

    metadata: dict[str, Any]
    image_size: tuple[int, int]
    dimensions: int
    runtime: str
    tells_channels: bool = True

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch `(images, *image_size, 3)`, RGB 0 to 255, to `(images, dimensions)`."""
        raise NotImplementedError

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch by the way that gives the first answer soonest."""
        return self.run(images)


class KerasNetwork(Network):
    """A `.keras` file, computed by Keras on any backend."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._check_process()
        loaded = load_checkpoint(path)
        import keras

        self.runtime = str(keras.config.backend())
        self.metadata = loaded.metadata
        self.image_size = loaded.image_size
        self.embedder = loaded.embedder
        self.dimensions = int(self.embedder.output_shape[-1])

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch, by a function that is compiled at the first call and kept."""
        self._check_process()
        return np.asarray(self._compiled(images))

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch without compiling: for a single pair that is three times faster."""
        if self.runtime != "tensorflow" or "_compiled" in vars(self):
            return self.run(images)
        self._check_process()
        return np.asarray(self.embedder(images, training=False))

    def _check_process(self) -> None:
        """Refuses to compute in a fork of the process that opened the first model: it would hang.

        TensorFlow's and JAX's threads do not outlive a fork, their locks do.
        """
        if _OPENED_IN.setdefault("process", os.getpid()) != os.getpid():
            raise InputError(
                f"{self.path}: Keras cannot compute in a process that was forked after a model was "
                "opened. Give the .onnx file (siamese export), which forked workers share, or "
                "start the workers by multiprocessing.get_context('spawn')."
            )

    @functools.cached_property
    def _compiled(self) -> Any:
        if self.runtime != "tensorflow":
            return self.embedder.predict_on_batch
        import tensorflow as tf

        # One trace for every batch size; `predict_on_batch` would trace again for the last batch.
        signature = [tf.TensorSpec((None, *self.image_size, 3), tf.float32)]
        return tf.function(functools.partial(self.embedder, training=False), signature)


class FileNetwork(Network):
    """A network whose file is computed by another package than Keras.

    Attributes:
        step: Images that it takes at a time; None where that is any number.
    """

    path: Path
    step: int | None
    prepare: Callable[[NDArray[np.float32]], NDArray[Any]]

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch; the last step of a network of a fixed number is filled up with zeros."""
        batch = self.prepare(images)
        step = self.step or len(batch)
        parts = []
        for first in range(0, len(batch), step):
            part = batch[first : first + step]
            count = len(part)
            if count < step:
                part = np.pad(part, [(0, step - count)] + [(0, 0)] * (part.ndim - 1))
            try:
                found = np.asarray(self._compute(part))
            except Exception as error:  # the packages' own errors share no other base
                raise self._cannot_embed(error) from None
            parts.append(found.reshape(step, -1)[:count])
        return np.concatenate(parts)

    def _compute(self, batch: NDArray[Any]) -> Any:
        raise NotImplementedError

    def _complete(self, output: Sequence[Any]) -> None:
        """Sets what the metadata says, and the length of an embedding, by a run if need be."""
        height, width = self.metadata["image_size"]
        self.image_size = (int(height), int(width))
        if output and all(isinstance(each, int) for each in output):
            self.dimensions = math.prod(output)
        else:
            self.dimensions = self.run(np.zeros((1, *self.image_size, 3), np.float32)).shape[1]

    def _cannot_embed(self, error: Exception) -> InputError:
        height, width = self.metadata["image_size"]
        return InputError(
            f"{self.path}: cannot embed images of {height} x {width} pixels ({brief(error)}). "
            "Give the image_size that it was made for."
        )


class OnnxNetwork(FileNetwork):
    """An `.onnx` file, computed by onnxruntime: one that this program exported, or another's."""

    runtime = "onnxruntime"

    def __init__(self, path: Path, given: Preprocessing = UNSTATED) -> None:
        self.path = path
        self._session = _open_session(path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        port = find_port(path, [_port(e.name, e.shape, e.type) for e in self._session.get_inputs()])
        self._name, self.step = port.name, port.shape[0]
        self.tells_channels = METADATA in metadata
        if self.tells_channels:
            check_none_given(path, given)
            self.metadata = json.loads(metadata[METADATA])
            if isinstance(self.metadata.get("recipe"), dict):
                self.metadata["recipe"] = rename_recipe(self.metadata["recipe"])
            self.prepare = functools.partial(feed, port=port)
        else:
            default = Preprocessing(channels="rgb", pixels="imagenet")
            self.prepare = Preprocessor(path, port, given, UNSTATED, default)
            self.metadata = self.prepare.make_metadata(path)
        self._complete(self._session.get_outputs()[0].shape[1:])

    def _compute(self, batch: NDArray[Any]) -> Any:
        return self._session.run(None, {self._name: batch})[0]


class OpenVinoNetwork(FileNetwork):
    """An `.xml` file with its `.bin`, computed by OpenVINO on the processor, in float32."""

    runtime = "openvino"

    def __init__(self, path: Path, given: Preprocessing = UNSTATED) -> None:
        self.path = path
        weights = _find_weights(path)
        openvino = _import(path, "openvino", '"siamese-reid[openvino]"')
        core = openvino.Core()
        try:
            network = core.read_model(path, weights)
        except RuntimeError as error:
            raise InputError(
                f"{path}: is not a model of OpenVINO, or it or {weights.name} is damaged "
                f"({brief(error)}). Copy both files again."
            ) from None
        ports = [
            _port(next(iter(e.names), "input"), _lengths(e), e.element_type.get_type_name())
            for e in network.inputs
        ]
        port = find_port(path, ports)
        told = _read_conversion(network)
        self.prepare = Preprocessor(path, port, given, told, UNSTATED)
        self.tells_channels = told.channels is not None
        self.metadata = self.prepare.make_metadata(path, weights)
        height, width = self.metadata["image_size"]
        size = [3, height, width] if port.channels_first else [height, width, 3]
        self.step = None
        try:
            network.reshape(openvino.PartialShape([-1, *size]))
            free = network.outputs[0].partial_shape[0].is_dynamic
            if not free:  # the number of images is written into the layers behind the input
                self.step = port.shape[0] or 1
                network = core.read_model(path, weights)
                network.reshape(openvino.PartialShape([self.step, *size]))
            # Its own choice is bfloat16 where the processor has it, which is 7e-4 off.
            hint = {"INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = core.compile_model(network, "CPU", hint)
        except RuntimeError as error:
            raise self._cannot_embed(error) from None
        self._complete(_lengths(network.outputs[0])[1:])

    def _compute(self, batch: NDArray[Any]) -> Any:
        # A request of its own, because threads may share the network.
        return self._compiled.create_infer_request().infer({0: batch})[0]


def open_network(path: Path, given: Preprocessing) -> Network:
    """Opens a model file by its suffix.

    Raises:
        InputError: The file cannot be used, or what is given does not fit it.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return OnnxNetwork(path, given)
    if suffix in (".xml", ".bin"):
        return OpenVinoNetwork(path, given)
    if suffix in (".pth", ".pt", ".pkl", ".ckpt", ".safetensors", ".tar"):
        raise InputError(
            f"{path}: holds weights without a network. Export the model with torch.onnx.export and "
            "give the .onnx file; or start a training from them: siamese train --weights."
        )
    check_none_given(path, given)
    return KerasNetwork(path)


def _open_session(path: Path) -> Any:
    _check_file(path, "Make one with siamese export.")
    onnxruntime = _import(path, "onnxruntime", "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    # Threads that spin while they wait halve the speed where other work shares the processor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    usable = onnxruntime.get_available_providers()
    providers = [
        each for each in ("CUDAExecutionProvider", "CPUExecutionProvider") if each in usable
    ]
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # onnxruntime's own errors share no other base
        weights = path.with_name(f"{path.name}.data")
        if re.search("external.?data|external initializer|[.]data", str(error), re.IGNORECASE):
            raise InputError(
                f"{path}: its weights are in a file of their own, as a rule {weights.name}, which "
                "is not beside it or damaged. Copy both files into one folder."
            ) from None
        raise InputError(
            f"{path}: is not an ONNX model, or a damaged one ({brief(error)}). Export it again."
        ) from None


def _find_weights(path: Path) -> Path:
    """Returns the `.bin` beside an `.xml`, where all is there that OpenVINO needs."""
    if path.suffix.lower() == ".bin":
        network = path.with_suffix(".xml")
        raise InputError(f"{path}: holds weights alone. Give {network}, which lies beside it.")
    _check_file(path, "Give the .xml file of a model of OpenVINO.")
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(
            f"{path}: its weights, {weights.name}, do not lie beside it. Copy both files to one "
            "folder."
        )
    return weights


def _import(path: Path, package: str, install: str) -> Any:
    try:
        return import_silent(package)
    except ImportError:
        raise InputError(
            f"{path}: needs {package}, which is not installed. Install it: pip install {install}"
        ) from None


def _check_file(path: Path, fix: str) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Give the path of an {path.suffix} file.")
    if not path.is_file():
        raise InputError(f"{path}: no such model file. {fix}")


def _port(name: str, shape: Sequence[Any], kind: str) -> Port:
    lengths = tuple(each if isinstance(each, int) else None for each in shape)
    return Port(name, lengths, DTYPE_NAMES.get(kind, kind))


def _lengths(port: Any) -> list[int | None]:
    return [each.get_length() if each.is_static else None for each in port.partial_shape]


def _read_conversion(network: Any) -> Preprocessing:
    """Reads from an OpenVINO model what its conversion put in front of it.

    Where mean and scale were put in, it takes pixels 0 to 255. Means of ImageNet fall from red to
    blue, so their order is that of the original model; the conversion may have turned it round.
    """

    def read(name: str) -> str:
        place = ["conversion_parameters", name]
        return str(network.get_rt_info(place).astype(str)) if network.has_rt_info(place) else ""

    # As in `data[123.675,116.28,103.53]`.
    means, scales = (
        [float(each) for each in re.findall(r"[\d.]+", read(name).partition("[")[2])]
        for name in ("mean_values", "scale_values")
    )
    if not means and not scales:
        return Preprocessing()
    if len(means) != 3 or means[0] == means[2]:
        return Preprocessing(pixels="0..255")
    turned = read("reverse_input_channels") == "True"
    return Preprocessing(
        pixels="0..255", channels="rgb" if (means[0] > means[2]) != turned else "bgr"
    )
