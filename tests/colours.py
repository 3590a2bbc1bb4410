"""A real model that opens at once: the mean colours of a grid of patches, as an ONNX file."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from siamese.datasets import list_samples
from siamese.inference import Model, load_model
from siamese.metrics.calibration import fit_calibration
from siamese.metrics.pairs import count_pairs

IMAGE_SIZE = (32, 16)
DIMENSIONS = 24


def write_colour_model(
    path: Path, fingerprint: str = "c0105", *, people: Path | None = None, seed: int | None = None
) -> Model:
    """Writes a model of 4 x 2 patches and opens it.

    Args:
        path: Ends in `.onnx`.
        fingerprint: What its card says.
        people: A dataset folder to calibrate it on; None: it holds no calibration.
        seed: Turns the space of the embeddings: another model.
    """
    card: dict[str, object] = {"fingerprint": fingerprint, "image_size": list(IMAGE_SIZE)}
    _write(path, card, seed)
    model = load_model(path)
    if people is None:
        return model
    samples = list_samples(people, "all")
    embeddings = model.embed([sample.path for sample in samples])
    pairs = count_pairs(embeddings, [s.person for s in samples], [s.camera for s in samples])
    card["calibration"] = fit_calibration(pairs).to_dict()
    _write(path, card, seed)
    return load_model(path)


def _write(path: Path, card: dict[str, object], seed: int | None) -> None:
    turn = np.eye(DIMENSIONS, dtype=np.float32)
    if seed is not None:
        random = np.random.default_rng(seed).standard_normal((DIMENSIONS, DIMENSIONS))
        turn = np.linalg.qr(random)[0].astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["planes"], ["patches"], kernel_shape=[8, 8], strides=[8, 8]
        ),
        helper.make_node("Flatten", ["patches"], ["flat"]),
        helper.make_node("Sub", ["flat", "grey"], ["centred"]),
        helper.make_node("MatMul", ["centred", "turn"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", *IMAGE_SIZE, 3])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", DIMENSIONS])],
        [
            numpy_helper.from_array(np.array([110.0], np.float32), "grey"),
            numpy_helper.from_array(turn, "turn"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    helper.set_model_props(model, {"siamese": json.dumps(card)})
    onnx.save(model, path)
