"""In what precision a backbone computes: chosen by the clock, since no name of a device tells.

Half precision makes a ResNet-50 train half as fast again on a CPU with AVX512-BF16 and an OSNet
slower; on a CPU without it, and in float16 on any CPU, everything is slower.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

STEPS = 3
WORTH = 1.1
"""Half precision is taken only where it is at least so many times as fast as float32."""


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers that are made inside, and name no precision of their own, compute in this one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def candidates() -> list[str]:
    """What is worth a try here: float16 wants a GPU."""
    try:
        gpus = keras.distribution.list_devices("gpu")
    except RuntimeError:  # JAX, where it has no GPU
        gpus = []
    return ["float32", "mixed_bfloat16", *(["mixed_float16"] if gpus else [])]


def time_precisions(
    build: Callable[[str], keras.Model],
    pair: Callable[[Any, Any, Iterable[str]], tuple[Any, dict[str, Any]]],
    *,
    image_size: tuple[int, int],
    images: int,
) -> dict[str, float]:
    """Times training steps in each precision that is worth a try.

    Args:
        build: Makes a compiled training model in a precision.
        pair: Gives images, and each output what it is compared with, of images, labels and outputs.
        image_size: Height and width of the images in a batch, in pixels.
        images: Images in a batch; in groups of 4, 3 or 2 of one person.

    Returns:
        Images a second by precision: of the fastest of `STEPS` steps.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (images, *image_size, 3), np.uint8)
    labels = np.arange(images, dtype=np.int32) // 6 % 2
    rates = {}
    for precision in candidates():
        model = build(precision)
        batch = pair(pixels, labels, model.output)
        seconds = []
        for _ in range(1 + STEPS):  # the first one compiles
            started = time.perf_counter()
            model.train_on_batch(*batch)
            seconds.append(time.perf_counter() - started)
        rates[precision] = images / min(seconds[1:])
    return rates


def fastest(rates: dict[str, float]) -> str:
    """The precision to train in.

    Args:
        rates: As from `time_precisions`.

    Returns:
        The fastest; float32 where no other is `WORTH` it.

    Example:
        >>> fastest({"float32": 8.5, "mixed_bfloat16": 12.8})
        'mixed_bfloat16'
        >>> fastest({"float32": 60.0, "mixed_bfloat16": 62.0})
        'float32'
    """
    best = max(rates, key=rates.__getitem__)
    return best if rates[best] >= WORTH * rates["float32"] else "float32"


def describe(rates: dict[str, float]) -> str:
    """What was measured and what follows, in a line.

    Example:
        >>> describe({"float32": 8.5, "mixed_bfloat16": 12.8})
        'precision mixed_bfloat16: a trial gave float32 8.5, mixed_bfloat16 12.8 images/s'
    """
    measured = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
    return f"precision {fastest(rates)}: a trial gave {measured} images/s"
