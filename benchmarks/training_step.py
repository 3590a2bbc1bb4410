"""How fast a training step is, and what share of the machine it reaches.

For each backbone, at 256x128 with 32 images a batch: images a second of the step alone (one batch,
again and again), of the same training fed by the input pipeline from records, and their ratio; the
arithmetic of a step (multiplications and additions, forward and backward, for an image), and the
share that it reaches of the rate at which this machine multiplies two matrices. That rate is
measured in turns with the steps, so that what else the machine does meets all sides: the best of
NumPy's product in float32 and of the backend's in float32 and in the precision of the backbone.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --backbones osnet_x0_25 --image_size 128 64 --steps 20

Everything is measured as it comes: on a busy machine compare the two sides of a ratio, never a
number of one run with that of another.
"""

import argparse
import dataclasses
import functools
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import siamese  # isort: skip  # first: it says how TensorFlow is to compute
import keras
import numpy as np
from keras import layers

from siamese.loader.from_records import batch_image_size, train_batches
from siamese.recipes import BatchSection, Recipe, change_recipe, osnet
from siamese.records import build_records, read_manifest, shard_paths
from siamese.synthetic import write_mars_tree
from siamese.train.objective import build_training_model

BACKBONES = ("resnet50", "efficientnet_b0", "osnet_x0_25", "osnet_x1_0")
PUBLISHED = {
    "resnet50": "torchreid 3.7 to 5.3, plain Keras 8.5",
    "efficientnet_b0": "torchreid 11.3, plain Keras 20.6",
    "osnet_x0_25": "torchreid 13 to 82, plain Keras 55 to 68",
    "osnet_x1_0": "torchreid 6, plain Keras 13",
}
"""Images a second of others, measured elsewhere: 2 cores with AVX512, 256x128, batch 32."""
TURNS = 3
SIDE = 3072
"""Rows and columns of the matrices: at 2,048 two cores still wait for each other."""
OPERATIONS = 2.0 * SIDE**3


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--image_size", nargs=2, type=int, default=[256, 128])
    parser.add_argument("--batch", type=int, default=32, help="images, a multiple of 4")
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after two others")
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    chosen = parser.parse_args()
    size = (chosen.image_size[0], chosen.image_size[1])

    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; "
        f"{', '.join(_features()) or 'no vector extensions named'}; Keras {keras.__version__} on "
        f"{keras.config.backend()}, siamese {siamese.__version__}"
    )
    if peak := _nominal_peak():
        print(f"by its data sheet, float32, without boost: {peak / 1e9:,.0f} G operations a second")
    products = _matrix_products(chosen.precisions)
    for name, product in products.items():
        rate = OPERATIONS / min(_seconds(product) for _ in range(5))
        print(f"matrix product, {name}: {rate / 1e9:,.0f} G operations a second")
    print(f"{size[0]}x{size[1]}, batch {chosen.batch}, {chosen.steps} steps each\n")
    print(
        f"{'backbone':<16}{'precision':<16}{'operations':>11}{'step alone':>12}{'matrix':>9}"
        f"{'of matrix':>11}{'end to end':>12}{'ratio':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        records = _draw_records(Path(folder))
        for backbone in chosen.backbones:
            for precision in chosen.precisions:
                recipe = _recipe(backbone, precision, size, chosen.batch)
                # A product in float32 is one in half precision too, where that is slower.
                able = [
                    product
                    for name, product in products.items()
                    if "float32" in name or precision in name
                ]
                alone, whole, rate, operations = _measure(recipe, records, chosen.steps, able)
                print(
                    f"{backbone:<16}{precision:<16}{operations / 1e9:>8.2f} G "
                    f"{alone:>8.1f}/s{rate / 1e9:>7.0f} G{operations * alone / rate:>10.0%} "
                    f"{whole:>9.1f}/s{whole / alone:>8.2f}",
                    flush=True,
                )
            if size == (256, 128) and backbone in PUBLISHED:
                print(f"{'':<16}measured elsewhere: {PUBLISHED[backbone]}")


def _recipe(backbone: str, precision: str, size: tuple[int, int], batch: int) -> Recipe:
    """The recipe osnet on a backbone: two heads, batch-hard triplets, all its augmentation."""
    recipe = change_recipe(
        osnet(), backbone=backbone, weights="none", image_size=size, precision=precision
    )
    return dataclasses.replace(
        recipe, batches=BatchSection(num_identities=batch // 4, num_instances=4)
    )


def _draw_records(folder: Path) -> Path:
    """400 crops of 100 drawn people, 128x64 as those of Market-1501 are."""
    write_mars_tree(folder / "tree", people=100, cameras=2, frames=2, image_size=(128, 64))
    return build_records(folder / "tree", folder / "records", validation_size=0.1)[0]


def _measure(
    recipe: Recipe, records: Path, steps: int, products: list[Callable[[], Any]]
) -> tuple[float, float, float, float]:
    """How fast the step is, alone and end to end, and a matrix product meanwhile.

    Returns:
        Images a second alone and end to end; operations a second of the best product; operations
        of a step for an image.
    """
    manifest = read_manifest(records)
    part = manifest.parts["train"]
    size = batch_image_size(part, recipe.model.image_size)
    batches = train_batches(
        shard_paths(records, manifest, "train"), part, image_size=size, **vars(recipe.batches)
    )[0]
    model = build_training_model(recipe, image_size=size, classes=part.people, steps=100)
    fed = batches.map(lambda images, labels: (images, dict.fromkeys(model.output, labels)))
    images = recipe.batches.num_identities * recipe.batches.num_instances
    repeated = fed.take(1).cache().repeat()
    _time_steps(model, repeated, 2)  # traces, and fills the caches
    # In turns, so that what else the machine does meets both sides.
    seconds: dict[str, list[float]] = {"alone": [], "whole": [], "matrix": []}
    for _ in range(TURNS):
        for name, data in (("alone", repeated), ("whole", fed)):
            seconds[name].append(_time_steps(model, data, steps))
            seconds["matrix"] += [_seconds(product) for product in products for _ in range(3)]
    alone, whole = (images / min(seconds[name]) for name in ("alone", "whole"))
    # Forward, and twice as much backward: for the weights and for what lies before them.
    return alone, whole, OPERATIONS / min(seconds["matrix"]), 3 * _operations(model)


def _time_steps(model: keras.Model, data: Any, steps: int) -> float:
    """Seconds a step; the first one, which opens the data, is left out."""
    clock = _Clock()
    model.fit(data, steps_per_epoch=steps + 1, verbose=0, shuffle=False, callbacks=[clock])
    return float(np.median(np.diff(clock.ends)))


class _Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """When each step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Reads the clock."""
        del batch, logs
        self.ends.append(time.perf_counter())


def _operations(model: keras.Model) -> float:
    """Multiplications and additions of convolutions and dense layers, forward, for one image."""
    total = 0.0
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, layers.DepthwiseConv2D):
            _, height, width, channels = layer.output.shape
            total += 2 * height * width * channels * np.prod(layer.kernel_size)
        elif isinstance(layer, layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += 2 * height * width * np.prod(layer.kernel.shape)
        elif isinstance(layer, layers.Dense) and layer.kernel is not None:
            total += 2 * np.prod(layer.kernel.shape)
    return float(total)


def _matrix_products(precisions: list[str]) -> dict[str, Callable[[], Any]]:
    """Products of two square matrices, by what computes them and in what."""
    matrix = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    products: dict[str, Callable[[], Any]] = {"NumPy, float32": lambda: matrix @ matrix}
    for precision in ("float32", *(each for each in precisions if each != "float32")):
        factor = keras.ops.cast(matrix, keras.DTypePolicy(precision).compute_dtype)
        products[f"{keras.config.backend()}, {precision}"] = functools.partial(_multiply, factor)
    for product in products.values():
        product()  # starts its threads
    return products


def _multiply(factor: Any) -> None:
    # A corner of the answer, so that it is there, without the time of a copy.
    keras.ops.convert_to_numpy(keras.ops.matmul(factor, factor)[:1, :1])


def _nominal_peak() -> float | None:
    """Operations a second of all cores at the clock that Linux names; None where it does not.

    A core of today's servers adds and multiplies two vectors in a cycle.
    """
    features, info = _features(), Path("/proc/cpuinfo")
    if "avx2" not in features:
        return None
    clock = re.search(r"cpu MHz\s*:\s*([0-9.]+)", info.read_text(encoding="utf-8"))
    lanes = 16 if "avx512f" in features else 8
    return None if clock is None else (os.cpu_count() or 1) * float(clock[1]) * 1e6 * 2 * 2 * lanes


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _features() -> list[str]:
    """The vector extensions of the processor that matter here, where Linux names them."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(encoding="utf-8").split()) if info.exists() else set()
    return [each for each in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if each in flags]


if __name__ == "__main__":
    main()
