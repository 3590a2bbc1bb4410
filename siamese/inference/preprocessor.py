"""Makes of RGB images 0 to 255 what a network made elsewhere takes."""

from collections.abc import Sequence
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
    describe_preprocessing,
)

PORT_DTYPES = ("float32", "float16", "uint8")
CHOICES = {
    "image_size": "height and width, such as 256 128",
    "channels": " or ".join(get_args(Channels)),
    "pixels": ", ".join(get_args(Pixels)),
}


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
        height, width = port.shape[2:4] if port.channels_first else port.shape[1:3]
        if height is not None and width is not None:
            told = replace(told, image_size=(height, width))
        if port.dtype == "uint8":
            told = replace(told, pixels="0..255")
        if given.image_size is not None:
            size = (int(given.image_size[0]), int(given.image_size[1]))
            given = replace(given, image_size=size if min(size) > 0 else None)
        _check_told(path, given, told)
        custom = given.mean is not None or given.deviation is not None
        if custom and given.pixels is not None:
            raise InputError(
                f"mean and deviation go in place of pixels. Received: pixels={given.pixels} too. "
                "Leave it out."
            )
        mean, deviation = NORMALISATIONS["imagenet"]
        if custom:
            default = replace(default, pixels=None, mean=mean, deviation=deviation)
        whole = default.updated(told).updated(given)
        missing = [
            f"{name} ({choices})"
            for name, choices in CHOICES.items()
            if getattr(whole, name) is None and not (custom and name == "pixels")
        ]
        if missing:
            raise InputError(
                f"{path}: does not say what it expects of its images. Give {' and '.join(missing)}."
            )
        if whole.pixels is not None:
            mean, deviation = NORMALISATIONS[whole.pixels]
        self._port = port
        self._center = 255 * _three("mean", whole.mean or mean, 0)
        self._spread = 255 * _three("deviation", whole.deviation or deviation, 1e-6)
        self.preprocessing = whole

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


def find_port(path: Path, ports: Sequence[Port]) -> Port:
    """Returns the one input of a network that takes images.

    Raises:
        InputError: There are several inputs, or it takes something else.
    """
    port = ports[0] if len(ports) == 1 and len(ports[0].shape) == 4 else None
    # A number of channels that is not said may be three.
    if (
        port is None
        or port.dtype not in PORT_DTYPES
        or not {port.shape[1], port.shape[3]} & {3, None}
    ):
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


def _check_told(path: Path, given: Preprocessing, told: Preprocessing) -> None:
    """Refuses what contradicts the file; mean and deviation are in place of pixels."""
    wrong, expected = [], {}
    for name, value in given.given().items():
        place = "pixels" if name in ("mean", "deviation") else name
        said = told.given().get(place)
        if said not in (None, value):
            wrong.append(name)
            expected[place] = said
    if wrong:
        found = ", ".join(f"{name}={getattr(given, name)}" for name in wrong)
        raise InputError(
            f"{path}: takes {describe_preprocessing(expected)}, as the file says. Received: "
            f"{found}. Leave out {' and '.join(wrong)}."
        )


def _three(name: str, values: Sequence[float], least: float) -> NDArray[np.float32]:
    array = np.asarray(values, np.float32)
    if array.shape != (3,) or not ((array >= least) & (array <= 1)).all():
        raise InputError(
            f"`{name}` must be three numbers for red, green and blue of pixels scaled to 1, such "
            f"as 0.485 0.456 0.406. Received: {' '.join(f'{each:g}' for each in array.flat)}."
        )
    return array


def _shown(port: Port) -> str:
    return f"({', '.join('n' if each is None else str(each) for each in port.shape)})"
