"""Small ONNX networks of other people's making, which run without TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save_model


def colour_network(path: Path, *, scale: Any = 1.0, cells: int = 16) -> Path:
    """Embeds an image of 64 x 32 pixels by the mean colours of its square cells.

    Drawn people wear clothes of their own colours, so this tells them apart rather well.

    Args:
        path: Where to.
        scale: Of the output, or `(3, 1, 1)` of its channels: NaN gives a network that has diverged.
        cells: Side of a cell in pixels.
    """
    nodes = [
        helper.make_node(
            "AveragePool", ["images"], ["cells"], kernel_shape=[cells, cells], strides=[cells] * 2
        ),
        helper.make_node("Mul", ["cells", "scale"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["embeddings"]),
    ]
    size = 3 * (64 // cells) * (32 // cells)
    return _write(path, nodes, {"scale": np.asarray(scale, np.float32)}, [None, size])


def mean_colour(
    path: Path, shape: list[int | str], *, kind: str = "FLOAT", inputs: int = 1
) -> Path:
    """Embeds an image by the mean of its pixels, channel by channel.

    Args:
        path: Where to.
        shape: Of its input; a word is any number.
        kind: Of its elements.
        inputs: How many inputs it has.
    """
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    names = ["images", "more"][:inputs]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["output"], axes=axes, keepdims=0),
        ],
        "mean_colour",
        [helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape) for name in names],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [shape[0], "dimensions"])],
    )
    return _save(graph, path)


RED = np.full((8, 4, 3), (255, 0, 51), np.uint8)
"""An image whose mean colour is known."""


def direction(values: Any) -> NDArray[np.float64]:
    """Returns values over their length, as an embedding is."""
    array = np.asarray(values, np.float64)
    return np.asarray(array / np.linalg.norm(array))


def first_colour(path: Path) -> Path:
    """Embeds an image of 8 x 4 pixels by the pixels of its first channel alone."""
    nodes = [
        helper.make_node("Slice", ["images", "from", "to", "axis"], ["first"]),
        helper.make_node("Flatten", ["first"], ["output"]),
    ]
    constants = {"from": [0], "to": [1], "axis": [1]}
    graph = helper.make_graph(
        nodes,
        "first_colour",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 8, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    return _save(graph, path)


def _write(path: Path, nodes: list[Any], constants: dict[str, Any], shape: list[Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [None, 3, 64, 32])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return _save(graph, path)


def _save(graph: Any, path: Path) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    save_model(model, path)
    return path
