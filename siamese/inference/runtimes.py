"""Networks that run without TensorFlow and Keras: ONNX files and OpenVINO's."""

import importlib.util
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.aliases import rename_recipe
from siamese.errors import InputError
from siamese.inference.networks import Network
from siamese.inference.preprocessor import (
    Port,
    Preprocessor,
    check_none_given,
    feed,
    find_port,
    run_in_steps,
)
from siamese.preprocessing import Preprocessing
from siamese.telemetry import import_silent

METADATA = "siamese"
"""The name under which an exported ONNX file holds the model's metadata, as JSON."""


class OnnxNetwork:
    """An `.onnx` file, computed by onnxruntime: one that this program exported, or another's."""

    runtime = "onnxruntime"

    def __init__(self, path: Path, given: Preprocessing | None = None) -> None:
        given = given or Preprocessing()
        self._path = path
        self._session = _open_session(path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._port = find_port(path, [_describe(each) for each in self._session.get_inputs()])
        self._prepare: Preprocessor | None = None
        self.tells_channels = METADATA in metadata
        if self.tells_channels:
            check_none_given(path, given)
            self.metadata = json.loads(metadata[METADATA])
            if isinstance(self.metadata.get("recipe"), dict):
                self.metadata["recipe"] = rename_recipe(self.metadata["recipe"])
        else:
            default = Preprocessing(channels="rgb", pixels="imagenet")
            self._prepare = Preprocessor(path, self._port, given, Preprocessing(), default)
            self.metadata = self._prepare.make_metadata(path)
        height, width = self.metadata["image_size"]
        self.image_size = (int(height), int(width))
        last = self._session.get_outputs()[0].shape[1:]
        self.dimensions = _find_dimensions(self, last)

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch."""
        prepared = self._prepare(images) if self._prepare else feed(images, self._port)
        return run_in_steps(self._run, prepared, self._port.shape[0])

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch; nothing is compiled here, so there is one way only."""
        return self.run(images)

    def _run(self, prepared: NDArray[Any]) -> NDArray[Any]:
        try:
            found = np.asarray(self._session.run(None, {self._port.name: prepared})[0])
        except Exception as error:  # onnxruntime's own errors share no other base
            raise _cannot_embed(self._path, self.image_size, error) from None
        return found.reshape(len(prepared), -1)


class OpenVinoNetwork:
    """An `.xml` file with its `.bin`, computed by OpenVINO on the processor, in float32."""

    runtime = "openvino"

    def __init__(self, path: Path, given: Preprocessing | None = None) -> None:
        self._path = path
        weights = _find_weights(path)
        openvino = import_silent("openvino")
        core = openvino.Core()
        try:
            network = core.read_model(path, weights)
        except RuntimeError as error:
            raise InputError(
                f"{path}: is not a model of OpenVINO, or it or {weights.name} is damaged "
                f"({_shorten(error)}). Copy both files again."
            ) from None
        port = find_port(path, [_describe_openvino(each) for each in network.inputs])
        told = _read_conversion(network)
        self._prepare = Preprocessor(path, port, given or Preprocessing(), told, Preprocessing())
        self.tells_channels = told.channels is not None
        self.metadata = self._prepare.make_metadata(path, weights)
        height, width = self.metadata["image_size"]
        self.image_size = (int(height), int(width))
        size = [3, height, width] if port.channels_first else [height, width, 3]
        self._step: int | None = None
        try:
            network.reshape(openvino.PartialShape([-1, *size]))
            free = network.outputs[0].partial_shape[0].is_dynamic
            if not free:  # the number of images is written into the layers behind the input
                self._step = port.shape[0] or 1
                network = core.read_model(path, weights)
                network.reshape(openvino.PartialShape([self._step, *size]))
            # Its own choice is bfloat16 where the processor has it, which is 7e-4 off.
            hint = {"INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = core.compile_model(network, "CPU", hint)
        except RuntimeError as error:
            raise _cannot_embed(path, self.image_size, error) from None
        shape = network.outputs[0].partial_shape
        self.dimensions = _find_dimensions(self, [_length(each) for each in shape][1:])

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch."""
        return run_in_steps(self._run, self._prepare(images), self._step)

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch; it was compiled when it was opened, so there is one way only."""
        return self.run(images)

    def _run(self, prepared: NDArray[Any]) -> NDArray[Any]:
        try:
            # A request of its own, because threads may share the network.
            found = self._compiled.create_infer_request().infer({0: prepared})[0]
        except RuntimeError as error:
            raise _cannot_embed(self._path, self.image_size, error) from None
        return np.asarray(found).reshape(len(prepared), -1)


def can_run_onnx() -> bool:
    """Returns whether onnxruntime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def _open_session(path: Path) -> Any:
    _check_file(path, "Make one with siamese export.")
    if not can_run_onnx():
        raise InputError(
            f"{path}: needs onnxruntime, which is not installed. Install it with pip install "
            "onnxruntime"
        )
    onnxruntime = import_silent("onnxruntime")
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
        raise InputError(
            f"{path}: is not an ONNX model, or a damaged one ({_shorten(error)}). Export it again."
        ) from None


def _find_weights(path: Path) -> Path:
    """Returns the `.bin` beside an `.xml`, where all is there that OpenVINO needs."""
    network = path.with_suffix(".xml")
    if path.suffix.lower() == ".bin":
        raise InputError(f"{path}: holds weights alone. Give {network}, which lies beside it.")
    _check_file(path, "Give the .xml file of a model of OpenVINO.")
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(
            f"{path}: its weights, {weights.name}, do not lie beside it. Copy both files to one "
            "folder."
        )
    if importlib.util.find_spec("openvino") is None:
        raise InputError(
            f"{path}: needs OpenVINO, which is not installed. Install it: pip install "
            '"siamese-reid[openvino]"'
        )
    return weights


def _check_file(path: Path, fix: str) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Give the path of an {path.suffix} file.")
    if not path.is_file():
        raise InputError(f"{path}: no such model file. {fix}")


def _describe(port: Any) -> Port:
    """Describes an input of onnxruntime."""
    shape = tuple(each if isinstance(each, int) else None for each in port.shape)
    return Port(port.name, shape, _ONNX_TYPES.get(port.type, port.type))


def _describe_openvino(port: Any) -> Port:
    shape = tuple(_length(each) for each in port.partial_shape)
    kind = port.element_type.get_type_name()
    return Port(next(iter(port.names), "input"), shape, _OPENVINO_TYPES.get(kind, kind))


_ONNX_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
}
_OPENVINO_TYPES = {"f32": "float32", "f16": "float16", "u8": "uint8"}


def _length(dimension: Any) -> int | None:
    return int(dimension.get_length()) if dimension.is_static else None


def _read_conversion(network: Any) -> Preprocessing:
    """Reads from an OpenVINO model what its conversion put in front of it.

    Where mean and scale were put in, it takes pixels 0 to 255. Means of ImageNet fall from red to
    blue, so their order is that of the original model; the conversion may have turned it round.
    """

    def read(name: str) -> str:
        place = ["conversion_parameters", name]
        return str(network.get_rt_info(place).astype(str)) if network.has_rt_info(place) else ""

    means, scales = (_numbers(read(name)) for name in ("mean_values", "scale_values"))
    if not means and not scales:
        return Preprocessing()
    if len(means) != 3 or means[0] == means[2]:
        return Preprocessing(pixels="0..255")
    turned = read("reverse_input_channels") == "True"
    return Preprocessing(
        pixels="0..255", channels="rgb" if (means[0] > means[2]) != turned else "bgr"
    )


def _numbers(text: str) -> list[float]:
    """Reads `data[123.675,116.28,103.53]`."""
    return [float(each) for each in re.findall(r"[\d.]+", text.partition("[")[2])]


def _find_dimensions(network: Network, shape: Sequence[Any]) -> int:
    """Returns the length of an embedding, by a run where the output's shape does not say."""
    if shape and all(isinstance(each, int) for each in shape):
        return math.prod(shape)
    return int(network.run(np.zeros((1, *network.image_size, 3), np.float32)).shape[1])


def _cannot_embed(path: Path, image_size: tuple[int, int], error: Exception) -> InputError:
    return InputError(
        f"{path}: cannot embed images of {image_size[0]} x {image_size[1]} pixels "
        f"({_shorten(error)}). Give the image_size that it was made for."
    )


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
