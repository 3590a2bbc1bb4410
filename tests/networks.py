"""Small ONNX networks of other people's making, which run without TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
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


def _write(path: Path, nodes: list[Any], constants: dict[str, Any], shape: list[Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [None, 3, 64, 32])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9)
    save_model(model, path)
    return path
