"""One model in four forms, and in batches of many sizes: do embeddings and verdicts stay the same?

    python benchmarks/numerics.py

Embeds drawn crops by Keras, ONNX Runtime, a SavedModel and LiteRT and compares the verdicts of
10,000 pairs; then by batches of several sizes, in another order and by other numbers of threads.
Exits with 1 where a verdict differs whose distance is not within `ROUNDING` of a border, or an
embedding by more than `ROUNDING`.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from siamese.export import export_model
from siamese.images import read_image, resize_image
from siamese.inference import load_model
from siamese.models.checkpoint import PRETRAINED, load_checkpoint
from siamese.synthetic import write_mars_tree
from siamese.telemetry import import_silent

PAIRS, ROUNDING = 10_000, 1e-5

Embed = Callable[[NDArray[np.float32]], Any]


def forms(folder: Path) -> dict[str, Embed]:
    """Exports the pretrained model; gives what embeds a batch of its own size, by form."""
    checkpoint = load_checkpoint(PRETRAINED)
    for form, name in (("onnx", "m.onnx"), ("savedmodel", "saved"), ("litert", "m.tflite")):
        export_model(PRETRAINED, folder / name, format=form)  # type: ignore[arg-type]
    network = load_model(folder / "m.onnx").network
    saved = tf.saved_model.load(str(folder / "saved")).signatures["serving_default"]
    lite = tf.lite.Interpreter(str(folder / "m.tflite"))
    lite.allocate_tensors()

    def embed_lite(images: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = []
        for image in images:
            lite.set_tensor(lite.get_input_details()[0]["index"], image[None])
            lite.invoke()
            rows.append(lite.get_tensor(lite.get_output_details()[0]["index"])[0])
        return np.stack(rows)

    return {
        "Keras": lambda images: keras.ops.convert_to_numpy(checkpoint.embedder(images)),
        "ONNX Runtime": network.run,
        "SavedModel": lambda images: next(iter(saved(tf.constant(images)).values())).numpy(),
        "LiteRT": embed_lite,
    }


def in_parts(embed: Embed, images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Embeds images, a number at a time."""
    parts = [embed(images[first : first + size]) for first in range(0, len(images), size)]
    return np.concatenate(parts).astype(np.float32)


def main() -> None:
    """Prints both tables."""
    model = load_model(PRETRAINED.with_suffix(".onnx"))
    calibration = model.calibration
    assert calibration is not None
    chance, wrong = np.random.default_rng(0), 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_mars_tree(folder / "people", people=100, cameras=2, frames=2)
        size = model.image_size
        paths = sorted((folder / "people").rglob("*.jpg"))
        images = np.stack([resize_image(read_image(path), size) for path in paths])
        images = images.astype(np.float32)
        pairs = chance.integers(0, len(images), (PAIRS, 2))
        embedders = forms(folder)
        first: NDArray[np.float64] | None = None
        print(f"{'form':<14}{'largest difference of a distance':>34}{'other words':>13}")
        for name, embed in embedders.items():
            rows = in_parts(embed, images, 64).astype(np.float64)
            distances = np.linalg.norm(rows[pairs[:, 0]] - rows[pairs[:, 1]], axis=1)
            if first is None:
                first = distances
                continue
            words = [[calibration.verdict(each) for each in all_] for all_ in (first, distances)]
            other = np.array(words[0]) != np.array(words[1])
            print(f"{name:<14}{np.abs(distances - first).max():>34.2e}{other.sum():>13}")
            for distance in first[other]:
                near = {calibration.verdict(distance + step) for step in (-ROUNDING, ROUNDING)}
                wrong += len(near) < 2
        print(f"\n{'batches':<26}{'largest difference of an embedding':>36}")
        run = embedders["ONNX Runtime"]
        usual = in_parts(run, images, 64)
        order = chance.permutation(len(images))
        cases = {f"{each} images at a time": in_parts(run, images, each) for each in (1, 7, 256)}
        cases["in another order"] = in_parts(run, images[order], 64)[np.argsort(order)]
        onnxruntime = import_silent("onnxruntime")
        for threads in (1, 4):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(str(folder / "m.onnx"), options)
            cases[f"{threads} threads"] = in_parts(
                lambda part, session=session: session.run(None, {"images": part})[0], images, 64
            )
        for name, rows in cases.items():
            print(f"{name:<26}{np.abs(rows - usual).max():>36.2e}")
            wrong += bool(np.abs(rows - usual).max() > ROUNDING)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
