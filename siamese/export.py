"""Stage: a model file -> ONNX, SavedModel or LiteRT, checked against the original."""

import functools
import io
import itertools
import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.extras import missing
from siamese.images import resize_image
from siamese.inference import Images
from siamese.inference.networks import METADATA, OnnxNetwork
from siamese.inference.reading import list_images, read_any
from siamese.models.checkpoint import (
    MEMBER,
    OWN_FIELDS,
    LoadedModel,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from siamese.telemetry import import_silent

if TYPE_CHECKING:
    import tensorflow as tf

Format: TypeAlias = Literal["onnx", "savedmodel", "litert", "keras"]
Compute: TypeAlias = Callable[[NDArray[np.float32]], NDArray[Any]]

FORMAT_SUFFIXES: dict[Format, str] = {
    "onnx": ".onnx",
    "litert": ".tflite",
    "savedmodel": "",
    "keras": ".keras",
}
TOLERANCE = 1e-4
"""Largest allowed difference of an exported embedding from the original: 1 - cosine."""
OPSET = 15
CHECKED_IMAGES = 32
SMALLEST_HALVED = 256
"""Smaller constants, such as the scales of a preparation, stay as exact as they are."""


@dataclass(frozen=True)
class Export:
    """A model that was written, and its agreement with the original.

    Attributes:
        path: The file, or the folder of a SavedModel.
        format: "onnx", "savedmodel", "litert" or "keras".
        fingerprint: Of the model it came from, whose embeddings compare; a Keras file's own.
        images: How many images were compared.
        largest_difference: Of an embedding from the original's, 1 - cosine, over these images.
    """

    path: str
    format: Format
    fingerprint: str
    images: int
    largest_difference: float


def export_model(
    model: str | Path,
    output: str | Path,
    *,
    format: Format = "onnx",  # noqa: A002
    images: Images | None = None,
    half: bool = False,
) -> Export:
    """Writes a model in another format, once it has been seen to agree with the original.

    What the formats take, RGB 0 to 255 as float32, and give, unit vectors:

    - ONNX, opset 15: `images` `(images, height, width, 3)` of any size to `embeddings`; resizing is
      inside. The metadata with calibration and fingerprint is in `metadata_props`, as JSON under
      `siamese`. `siamese.load_model` opens it, with onnxruntime alone.
    - SavedModel: the same by the signature `serving_default`; the metadata is `siamese.json` in it.
    - LiteRT: images of the model's own size only, one at a time unless its input is resized; the
      metadata is `siamese.json` in a zip archive at the end of the file, as LiteRT's own metadata
      are.
    - Keras: the model file again; of use with `half`. Its rounded kernels are other weights, so the
      fingerprint is new: export the other formats from it.

    Args:
        model: A `.keras` model file.
        output: The file to write, or the folder for a SavedModel.
        format: "onnx", "savedmodel", "litert" or "keras".
        half: Store kernels in half precision, ONNX and Keras only: half the size, computed in
            float32 as before.
        images: What to compare on, of any kind that `Model.embed` takes, the first 32 of them; by
            default crops of made-up colours.

    Returns:
        What was written, and how well it agrees.

    Raises:
        InputError: The model cannot be used, a package is missing, the output exists as something
            else, or the embeddings differ by more than `TOLERANCE`; then no file is left.
    """
    output = Path(output)
    _check_output(output, format, half)
    loaded = load_checkpoint(model)
    import keras

    if keras.config.backend() != "tensorflow":
        raise InputError(
            f"export needs Keras on TensorFlow. Received: KERAS_BACKEND={keras.config.backend()}. "
            "A .keras file that was trained on it can be exported without that setting."
        )
    given = _made_up_crops() if images is None else list_images(images)
    pictures = [read_any(each) for each in itertools.islice(given, CHECKED_IMAGES)]
    if not pictures:
        raise InputError("at least one image is needed to compare on. Received: none.")
    output.parent.mkdir(parents=True, exist_ok=True)
    with _quietly(), tempfile.TemporaryDirectory(dir=output.parent, prefix=".") as scratch:
        temporary = Path(scratch) / output.name
        compute = _WRITERS[format](loaded, temporary, half)
        difference = largest_difference(loaded, compute, pictures, resized=format == "litert")
        if not difference <= TOLERANCE:
            raise InputError(
                f"{output}: was not written, as its embeddings differ from the original's by "
                f"{difference:.2g} in cosine; at most {TOLERANCE:g} is allowed. Try another format."
            )
        temporary.replace(output)
    made = read_metadata(output) if format == "keras" else loaded.metadata
    return Export(str(output), format, made["fingerprint"], len(pictures), difference)


def largest_difference(
    loaded: LoadedModel, compute: Compute, images: Sequence[NDArray[np.uint8]], *, resized: bool
) -> float:
    """Returns the largest 1 - cosine from the original's embeddings; NaN where an embedding is.

    `compute` is the exported model: one image `(1, height, width, 3)`, float32, to its embedding.
    `resized` resizes the images to the model's size for both.
    """
    differences = []
    for image in images:
        pixels = resize_image(image, loaded.image_size) if resized else image
        batch = pixels[None].astype(np.float32)
        original = np.asarray(loaded.embedder(batch, training=False), np.float64)[0]
        exported = np.asarray(compute(batch), np.float64)[0]
        cosine = original @ exported / np.linalg.norm(original) / np.linalg.norm(exported)
        differences.append(max(0.0, 1 - cosine) if np.isfinite(cosine) else np.nan)
    return float(np.max(differences))


def _made_up_crops() -> list[NDArray[np.uint8]]:
    """Paints crops of several sizes, each of rough patches of colours."""
    random = np.random.default_rng(0)
    sizes = [(128, 64), (96, 40), (256, 128), (160, 71)]
    patches = [random.integers(0, 256, (8, 4, 3), dtype=np.uint8) for _ in range(2 * len(sizes))]
    return [resize_image(each, size) for each, size in zip(patches, 2 * sizes, strict=True)]


def _check_output(output: Path, kind: Format, half: bool) -> None:
    suffix = FORMAT_SUFFIXES[kind]
    if half and kind not in ("onnx", "keras"):
        raise InputError(
            f"`half` is for the formats onnx and keras. Received: {kind}. Leave it out."
        )
    if suffix and output.suffix.lower() != suffix:
        raise InputError(
            f"{output}: the name of this format must end in {suffix}. Give another --output."
        )
    if kind == "savedmodel" and output.exists():
        raise InputError(f"{output}: exists already. Give the name of a new folder.")
    if kind == "onnx":
        try:
            import_silent("onnxruntime")
            import onnx  # noqa: F401
            import tf2onnx  # noqa: F401
        except ImportError as error:
            raise missing("export to ONNX", str(error.name), "export") from None


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps back what converters write about their steps."""
    names = ("tensorflow", "tf2onnx", "absl")
    loggers = {each: each.level for each in map(logging.getLogger, names)}
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in loggers.items():
            each.setLevel(level)


def _card(loaded: LoadedModel) -> str:
    return json.dumps(loaded.metadata, indent=1, ensure_ascii=False)


def _function(loaded: LoadedModel, image_size: tuple[int | None, int | None]) -> Any:
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *image_size, 3), tf.float32, name="images")]

    def embed(images: "tf.Tensor") -> dict[str, Any]:
        return {"embeddings": loaded.embedder(images, training=False)}

    return tf.function(embed, signature)


def _write_onnx(loaded: LoadedModel, path: Path, half: bool) -> Compute:
    import onnx
    import tf2onnx

    function = _function(loaded, (None, None))
    made, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=OPSET)
    for value, names in (
        (made.graph.input[0], ("images", "height", "width")),
        (made.graph.output[0], ("images",)),
    ):
        for axis, name in enumerate(names):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    if half:
        _store_constants_in_half(made.graph)
    made.producer_name = "siamese"
    onnx.helper.set_model_props(made, {METADATA: _card(loaded)})
    onnx.checker.check_model(made)
    onnx.save(made, path)
    return OnnxNetwork(path).run


def _store_constants_in_half(graph: Any) -> None:
    """Stores kernels as float16 and casts them back, which onnxruntime does once, when it opens."""
    import onnx

    casts = []
    for constant in graph.initializer:
        values = onnx.numpy_helper.to_array(constant)
        if values.dtype == np.float32 and values.ndim > 1 and values.size >= SMALLEST_HALVED:
            stored = f"{constant.name}/half"
            casts.append(
                onnx.helper.make_node("Cast", [stored], [constant.name], to=onnx.TensorProto.FLOAT)
            )
            constant.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
    for node in reversed(casts):
        graph.node.insert(0, node)


def _write_keras(loaded: LoadedModel, path: Path, half: bool) -> Compute:
    card = {name: value for name, value in loaded.metadata.items() if name not in OWN_FIELDS}
    copy = load_checkpoint(loaded.path).embedder
    save_checkpoint(path, copy, image_size=loaded.image_size, metadata=card, half=half)
    return functools.partial(load_checkpoint(path).embedder, training=False)


def _write_saved_model(loaded: LoadedModel, path: Path, _half: bool) -> Compute:
    import tensorflow as tf

    function = _function(loaded, (None, None))
    module = tf.Module()
    module.embedder = loaded.embedder  # keeps the weights with the function
    module.embed = function
    tf.saved_model.save(
        module, str(path), signatures={"serving_default": function.get_concrete_function()}
    )
    (path / MEMBER).write_text(_card(loaded), encoding="utf-8")
    opened = tf.saved_model.load(str(path))  # is held by the answer: without it the weights go
    return lambda images: opened.signatures["serving_default"](images=images)["embeddings"]


def _write_litert(loaded: LoadedModel, path: Path, _half: bool) -> Compute:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = _function(loaded, loaded.image_size)
    # Left as variables, the weights of a Keras 3 model stay out of the file: every answer is NaN.
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr(MEMBER, _card(loaded))
    path.write_bytes(converter.convert() + archive.getvalue())
    with warnings.catch_warnings():
        # It moves to a package of its own, which the export itself does not need.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def compute(images: NDArray[np.float32]) -> NDArray[Any]:
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(given["index"]))

    return compute


_WRITERS: dict[Format, Callable[[LoadedModel, Path, bool], Compute]] = {
    "onnx": _write_onnx,
    "savedmodel": _write_saved_model,
    "litert": _write_litert,
    "keras": _write_keras,
}
