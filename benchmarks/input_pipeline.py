"""How many training images a second reach the network at 256x128?

Decode, batches of P people x K images, pad and crop, flip, erase, and the size of the model's
input: our pipeline as training runs it (decoding in tf.data, augmentation and resizing on whole
batches on the device that trains), against the same work done image by image with Pillow and NumPy
in worker processes. Both in one run, one after the other, on the same crops and the same cores.

    python benchmarks/input_pipeline.py [--data FOLDER] [--workers 2] [--seconds 10]

`--data` is any dataset folder of at least 18 people; without it, pedestrians are drawn.
"""

import argparse
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

PEER = 1_288
"""Images a second of torchreid 1.4's loader with two workers, on a machine of two shared cores."""
SIZE = (256, 128)
PEOPLE, IMAGES = 16, 4
PADDING, ERASING = 10, 0.5
BACKBONE = "osnet_x0_25"
"""Whose normalisation."""
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


class Rate(NamedTuple):
    """Images a second by the clock, and the processor seconds that one image takes."""

    clock: float
    work: float


def main() -> None:
    """Prints both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="a dataset folder; drawn pedestrians by default")
    parser.add_argument("--workers", type=int, default=2, help="processes of the other side")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.data or _draw(Path(scratch) / "drawn")
        theirs = _measure_theirs(folder, options.workers, options.seconds)
        ours = _measure_ours(folder, Path(scratch) / "records", options.seconds)
    cores = os.cpu_count() or 1
    print(f"load of the machine when done: {os.getloadavg()[0]:.1f} on {cores} cores")
    print(f"batches of {PEOPLE} x {IMAGES}, crop, flip, erase, input {SIZE[0]}x{SIZE[1]}")
    print(f"{'':<50}{'images/s':>9}{'ratio':>7}{'us of work':>12}{'ratio':>7}{'idle/s':>9}")
    names = {
        f"Pillow and NumPy, {options.workers} processes": theirs,
        "ours: decoded and batched, uint8 as stored": ours["batches"],
        "ours: and crop, flip, erase on the device": ours["augmented"],
        f"ours: and resized to {SIZE[0]}x{SIZE[1]}": ours["resized"],
        "ours: and normalised, as the model does it": ours["normalised"],
    }
    for name, rate in names.items():
        print(
            f"{name:<50}{rate.clock:>9,.0f}{rate.clock / theirs.clock:>7.1f}"
            f"{1e6 * rate.work:>12,.0f}{theirs.work / rate.work:>7.1f}{cores / rate.work:>9,.0f}"
        )
    print(f"{f'4 x {PEER:,}, the aim':<50}{4 * PEER:>9,}")
    print("us of work: processor time an image; idle/s: what that gives with all cores to itself")


def _draw(folder: Path) -> Path:
    from siamese.synthetic import write_mars_tree

    write_mars_tree(folder, people=60, cameras=4, frames=6, image_size=(128, 64))
    return folder


def _measure_ours(folder: Path, records: Path, seconds: float) -> dict[str, Rate]:
    import tensorflow as tf

    from siamese.augment import build_augmentation
    from siamese.loader.from_records import batch_image_size, train_batches
    from siamese.models.backbones import preparation_layers
    from siamese.models.layers import ResizeImages
    from siamese.records import build_records, read_manifest, shard_paths

    build_records(folder, records, validation_size=0.01)
    manifest = read_manifest(records)
    part = manifest.parts["train"]
    stored = batch_image_size(part, SIZE)
    batches, _ = train_batches(
        shard_paths(records, manifest, "train"), part, image_size=stored,
        num_identities=PEOPLE, num_instances=IMAGES,
    )  # fmt: skip
    layers = build_augmentation(flip=True, padding=PADDING, erasing=ERASING)
    resizing = ResizeImages(SIZE, dtype="float32")
    preparation = preparation_layers(BACKBONE)

    @tf.function  # type: ignore[untyped-decorator]
    def augment(images: Any) -> Any:
        for layer in layers:
            images = layer(images, training=True)
        return images

    @tf.function  # type: ignore[untyped-decorator]
    def resize(images: Any) -> Any:
        return resizing(augment(images))

    @tf.function  # type: ignore[untyped-decorator]
    def normalise(images: Any) -> Any:
        images = augment(images)
        for layer in preparation:
            images = layer(images)
        return resizing(images)

    work: dict[str, Callable[[Any], Any]] = {
        "batches": lambda images: images,
        "augmented": augment,
        "resized": resize,
        "normalised": normalise,
    }
    return {name: _rate(_through(batches, step), seconds) for name, step in work.items()}


def _through(batches: Any, step: Callable[[Any], Any]) -> Iterator[int]:
    for images, _ in batches:
        yield int(step(images).shape[0])


def _measure_theirs(folder: Path, workers: int, seconds: float) -> Rate:
    """Each process keeps what it makes: no cost of handing batches over is counted."""
    from siamese.datasets import list_samples

    people = defaultdict(list)
    for sample in list_samples(folder):
        people[sample.person].append(sample.path)
    needed = PEOPLE + 2  # two are held out
    if len(people) < needed:
        raise SystemExit(
            f"{folder}: must hold at least {needed} people. Received: {len(people)}. "
            "Give another dataset folder, or none."
        )
    context = get_context("fork")  # before TensorFlow has started any thread
    with ProcessPoolExecutor(workers, context) as pool:
        work = [pool.submit(_work, list(people.values()), seed, seconds) for seed in range(workers)]
        found = [each.result() for each in work]
    return Rate(sum(rate.clock for rate in found), sum(rate.work for rate in found) / len(found))


def _work(people: list[list[str]], seed: int, seconds: float) -> Rate:
    return _rate(_load_batches(people, seed), seconds)


def _load_batches(people: list[list[str]], seed: int) -> Iterator[int]:
    choose, draw = random.Random(seed), np.random.default_rng(seed)
    while True:
        chosen = choose.sample(people, PEOPLE)
        paths = [path for paths in chosen for path in choose.choices(paths, k=IMAGES)]
        yield len(np.stack([_load(path, draw) for path in paths]))


def _load(path: str, draw: np.random.Generator) -> np.ndarray:
    """One image, as a loader of the field prepares it."""
    image = Image.open(path).convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if draw.random() < 0.5:
        pixels = pixels[:, ::-1]
    padding = PADDING * SIZE[0] // 128
    padded = np.pad(pixels, [(padding, padding), (padding, padding), (0, 0)])
    top, left = draw.integers(0, 2 * padding + 1, 2)
    cropped = padded[top : top + SIZE[0], left : left + SIZE[1]]
    normal = (cropped - MEAN) / DEVIATION
    if draw.random() < ERASING:
        area = draw.uniform(0.02, 0.4) * SIZE[0] * SIZE[1]
        ratio = np.exp(draw.uniform(-1, 1) * np.log(1 / 0.3))
        tall = int(min(SIZE[0], np.sqrt(area * ratio)))
        wide = int(min(SIZE[1], area / max(tall, 1)))
        row, column = draw.integers(SIZE[0] - tall + 1), draw.integers(SIZE[1] - wide + 1)
        normal[row : row + tall, column : column + wide] = 0
    return normal.transpose(2, 0, 1)


def _rate(counts: Iterator[int], seconds: float) -> Rate:
    """Measures, after a second to warm up."""
    start = time.perf_counter()
    while time.perf_counter() - start < min(1.0, seconds):
        next(counts)
    start, used, done = time.perf_counter(), time.process_time(), 0
    while (passed := time.perf_counter() - start) < seconds:
        done += next(counts)
    return Rate(done / passed, (time.process_time() - used) / done)


if __name__ == "__main__":
    main()
