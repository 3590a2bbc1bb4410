"""Makes of RGB images 0 to 255 what a network made elsewhere takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.preprocessing import (
    NORMALISATIONS,
    Channels,
    Pixels,
    Preprocessing,
)

DTYPES = ("float32", "float16", "uint8")


@dataclass(frozen=True)
class Port:
    """Describes the input of a network.

    Attributes:
        name: Of the input.
        shape: Of a batch; None where any number is taken.
        dtype: Of its elements, by NumPy's name.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def channels_first(self) -> bool:
        """Returns whether a batch is `(n, 3, height, width)`."""
        return self.shape[1] == 3 and self.shape[-1] != 3


class Preprocessor:
    """Turns batches of RGB 0 to 255 into what a network takes.

    Args:
        path: The model file, for errors.
        port: The network's input.
        given: What the caller states.
        told: What the file states; what is given may not contradict it.
        default: What holds where neither does.

    Attributes:
        preprocessing: What is done, whole: opening the file with it again gives the same.

    Raises:
        InputError: Something is neither given nor told, or given and told differ.
    """

    def __init__(
        self,
        path: Path,
        port: Port,
        given: Preprocessing,
        told: Preprocessing,
        default: Preprocessing,
    ) -> None:
        size = _find_image_size(path, port, given.image_size)
        if port.dtype == "uint8":
            told = replace(told, pixels="0..255")
        _check_told(path, given, told)
        channels = given.channels or told.channels or default.channels
        custom = given.mean is not None or given.deviation is not None
        pixels = None if custom else given.pixels or told.pixels or default.pixels
        if channels is None or (pixels is None and not custom):
            raise InputError(
                f"{path}: does not say what it expects of its images. Give channels "
                f"({_words(Channels)}) and pixels ({_words(Pixels)})."
            )
        if custom and given.pixels is not None:
            raise InputError(
                f"mean and deviation go in place of pixels. Received: pixels={given.pixels} too. "
                "Leave it out."
            )
        mean, deviation = NORMALISATIONS[pixels or "imagenet"]
        self._port = port
        self._center = 255 * _three("mean", given.mean or mean, 0)
        self._spread = 255 * _three("deviation", given.deviation or deviation, 1e-6)
        self.preprocessing = Preprocessing(
            size,
            channels,
            pixels,
            (given.mean or mean) if custom else None,
            (given.deviation or deviation) if custom else None,
        )

    def __call__(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Prepares a batch `(images, height, width, 3)`, float32, RGB 0 to 255."""
        if self.preprocessing.pixels != "0..255":
            images = (images - self._center) / self._spread
        if self.preprocessing.channels == "bgr":
            images = images[..., ::-1]
        return feed(images, self._port)

    def make_metadata(self, *files: Path) -> dict[str, Any]:
        """Returns the metadata of a model made elsewhere, which holds none.

        Args:
            *files: The files that hold the network: equal weights with another preprocessing are
                another space of embeddings, and have another fingerprint.
        """
        digest = blake2b(digest_size=8)
        for file in files:
            digest.update(file.read_bytes())
        raw = self._port.dtype == "uint8"
        normalised = [] if raw else [self._center.tolist(), self._spread.tolist()]
        digest.update(repr((self.preprocessing.image_size, normalised)).encode())
        if self.preprocessing.channels == "bgr":
            digest.update(b"bgr")
        preprocessing = self.preprocessing.given()
        return {
            "fingerprint": digest.hexdigest(),
            "image_size": preprocessing["image_size"],
            "preprocessing": preprocessing,
        }


def feed(images: NDArray[np.float32], port: Port) -> NDArray[Any]:
    """Lays out a batch `(images, height, width, 3)` as an input has it: axes, dtype, contiguous."""
    if port.channels_first:
        images = images.transpose(0, 3, 1, 2)
    if port.dtype == "uint8":
        images = images.round()
    return np.ascontiguousarray(images, port.dtype)


def run_in_steps(
    run: Callable[[NDArray[Any]], NDArray[Any]], batch: NDArray[Any], step: int | None
) -> NDArray[Any]:
    """Runs a network that takes a fixed number of images, or any number where `step` is None.

    Args:
        run: Embeds `(step, ...)` to `(step, dimensions)`.
        batch: `(images, ...)`.
        step: Images at a time; the last are filled up with zeros.

    Returns:
        `(images, dimensions)`.
    """
    if step is None:
        return run(batch)
    parts = []
    for first in range(0, len(batch), step):
        part = batch[first : first + step]
        padding = [(0, step - len(part))] + [(0, 0)] * (batch.ndim - 1)
        parts.append(run(np.pad(part, padding))[: len(part)])
    return np.concatenate(parts)


def find_port(path: Path, ports: Sequence[Port]) -> Port:
    """Returns the one input of a network that takes images.

    Raises:
        InputError: There are several inputs, or it takes something else.
    """
    port = ports[0] if len(ports) == 1 and len(ports[0].shape) == 4 else None
    # A number of channels that is not said may be three.
    if port is None or port.dtype not in DTYPES or not {port.shape[1], port.shape[3]} & {3, None}:
        found = ", ".join(f"{each.name} {_shown(each)} {each.dtype}" for each in ports)
        raise InputError(
            f"{path}: must take one batch of images, (n, 3, height, width) or (n, height, width, "
            f"3), as floats or uint8. Received: {found}. Give a network that embeds images."
        )
    return port


def check_none_given(path: Path, given: Preprocessing) -> None:
    """Refuses a stated preprocessing for a file that holds its own."""
    if given.given():
        raise InputError(
            f"{path}: holds its image size, colour order and normalisation. Received: "
            f"{', '.join(given.given())}. Leave out what was given."
        )


def _find_image_size(path: Path, port: Port, given: tuple[int, int] | None) -> tuple[int, int]:
    height, width = port.shape[2:4] if port.channels_first else port.shape[1:3]
    if height is not None and width is not None:
        if given is not None and tuple(given) != (height, width):
            raise InputError(
                f"{path}: takes images of {height} x {width} pixels. Received: image_size="
                f"{tuple(given)}. Leave image_size out."
            )
        return height, width
    if given is None or min(given) < 1:
        raise InputError(
            f"{path}: does not say which image size it takes. Give image_size as height and width, "
            "such as 256 128."
        )
    return int(given[0]), int(given[1])


def _check_told(path: Path, given: Preprocessing, told: Preprocessing) -> None:
    wrong = []
    if told.channels is not None and given.channels not in (None, told.channels):
        wrong.append("channels")
    if told.pixels is not None:
        names = ("pixels", "mean", "deviation")
        wrong += [name for name in names if getattr(given, name) not in (None, told.pixels)]
    if wrong:
        expected = ", ".join(f"{name} {each}" for name, each in told.given().items())
        found = ", ".join(f"{name}={getattr(given, name)}" for name in wrong)
        raise InputError(
            f"{path}: takes {expected}, as the file says. Received: {found}. Leave out "
            f"{' and '.join(wrong)}."
        )


def _three(name: str, values: Sequence[float], least: float) -> NDArray[np.float32]:
    array = np.asarray(values, np.float32)
    if array.shape != (3,) or not ((array >= least) & (array <= 1)).all():
        raise InputError(
            f"`{name}` must be three numbers for red, green and blue of pixels scaled to 1, such "
            f"as 0.485 0.456 0.406. Received: {' '.join(f'{each:g}' for each in array.flat)}."
        )
    return array


def _words(choices: Any) -> str:
    *others, last = get_args(choices)
    return f"{', '.join(others)} or {last}"


def _shown(port: Port) -> str:
    return f"({', '.join('n' if each is None else str(each) for each in port.shape)})"
