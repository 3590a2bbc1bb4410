"""How fast a training step is, and what share of the machine it reaches.

For each trunk, at 256x128 with 32 images a batch: images a second of the step alone (one batch,
again and again), of the same training fed by the input pipeline from records, and their ratio; the
arithmetic of a step, and the share that it reaches of the rate at which this machine multiplies two
matrices, measured in the same run.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --trunks osnet_x0_25 --image_size 128 64 --steps 20

Everything is measured as it comes: on a busy machine compare the two sides of a ratio, never a
number of one run with that of another.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from siamese.data.batches import batch_image_size, train_batches
from siamese.data.pedestrians import write_mars_tree
from siamese.data.records import build_records, read_manifest, shard_paths
from siamese.recipes import BatchSection, Recipe, change_recipe, osnet
from siamese.train.objective import build_training_model
from siamese.train.precision import computing_in

TRUNKS = ("resnet50", "efficientnet_b0", "osnet_x0_25", "osnet_x1_0")
PUBLISHED = {
    "resnet50": "torchreid 3.7 to 5.3, plain Keras 8.5",
    "efficientnet_b0": "torchreid 11.3, plain Keras 20.6",
    "osnet_x0_25": "torchreid 13 to 82, plain Keras 55 to 68",
    "osnet_x1_0": "torchreid 6, plain Keras 13",
}
"""Images a second of others, measured elsewhere: 2 cores with AVX512, 256x128, batch 32."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trunks", nargs="+", default=list(TRUNKS))
    parser.add_argument("--image_size", nargs=2, type=int, default=[256, 128])
    parser.add_argument("--batch", type=int, default=32, help="images, a multiple of 4")
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after two others")
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    chosen = parser.parse_args()
    size = (chosen.image_size[0], chosen.image_size[1])

    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; "
        f"{', '.join(_features()) or 'no vector extensions named'}; Keras {keras.__version__} on "
        f"{keras.config.backend()}"
    )
    rates = {precision: _matrix_rate(precision) for precision in chosen.precisions}
    for precision, rate in rates.items():
        print(f"matrix product, {precision}: {rate / 1e9:,.1f} billion operations a second")
    print(f"{size[0]}x{size[1]}, batch {chosen.batch}, {chosen.steps} steps each\n")
    print(
        f"{'trunk':<16}{'precision':<16}{'operations':>11}{'step alone':>12}{'of matrix':>11}"
        f"{'end to end':>12}{'ratio':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        records = _draw_records(Path(folder))
        for trunk in chosen.trunks:
            for precision in chosen.precisions:
                recipe = _recipe(trunk, precision, size, chosen.batch)
                alone, whole, operations = _measure(recipe, records, chosen.steps)
                share = operations * alone / rates[precision]
                print(
                    f"{trunk:<16}{precision:<16}{operations / 1e9:>8.2f} G "
                    f"{alone:>8.1f}/s{share:>10.0%} {whole:>9.1f}/s{whole / alone:>8.2f}",
                    flush=True,
                )
            if size == (256, 128) and trunk in PUBLISHED:
                print(f"{'':<16}measured elsewhere: {PUBLISHED[trunk]}")


def _recipe(trunk: str, precision: str, size: tuple[int, int], batch: int) -> Recipe:
    """The recipe osnet on a trunk: two heads, batch-hard triplets, all its augmentation."""
    recipe = change_recipe(
        osnet(), trunk=trunk, weights="none", image_size=size, precision=precision
    )
    return dataclasses.replace(recipe, batches=BatchSection(people=batch // 4, images=4))


def _draw_records(folder: Path) -> Path:
    """400 crops of 100 drawn people, 128x64 as those of Market-1501 are."""
    write_mars_tree(folder / "tree", people=100, cameras=2, frames=2, image_size=(128, 64))
    return build_records(folder / "tree", folder / "records", validation_size=0.1)[0]


def _measure(recipe: Recipe, records: Path, steps: int) -> tuple[float, float, float]:
    """Images a second of the step alone and end to end, and operations of a step for an image."""
    manifest = read_manifest(records)
    part = manifest.parts["train"]
    size = batch_image_size(part, recipe.model.image_size)
    batches = train_batches(
        shard_paths(records, manifest, "train"), part, image_size=size, **vars(recipe.batches)
    )[0]
    model = build_training_model(recipe, image_size=size, classes=part.people, steps=100)
    fed = batches.map(lambda images, labels: (images, dict.fromkeys(model.output, labels)))
    images = recipe.batches.people * recipe.batches.images
    repeated = fed.take(1).cache().repeat()
    _time_steps(model, repeated, 2)  # traces, and fills the caches
    # In turns, so that what else the machine does meets both sides.
    seconds: dict[str, list[float]] = {"alone": [], "whole": []}
    for _ in range(3):
        for name, data in (("alone", repeated), ("whole", fed)):
            seconds[name].append(_time_steps(model, data, steps))
    alone, whole = (images / min(each) for each in seconds.values())
    # Forward, and twice as much backward: for the weights and for what lies before them.
    return alone, whole, 3 * _operations(model)


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


def _matrix_rate(precision: str, side: int = 2048) -> float:
    """Operations a second of a matrix product in the precision that a trunk computes in."""
    with computing_in(precision):
        layer = layers.Dense(side, use_bias=False)
        inputs = keras.Input((side,), dtype=layer.compute_dtype)
        model = keras.Model(inputs, layer(inputs))
    rows = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    batch = keras.ops.cast(rows, layer.compute_dtype)
    keras.ops.convert_to_numpy(model(batch))
    best = min(_seconds(lambda: keras.ops.convert_to_numpy(model(batch)[:1])) for _ in range(5))
    return 2.0 * side**3 / best


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
