"""The preprocessing that a model of others expects: image size, colour order, range of pixels."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

Channels: TypeAlias = Literal["rgb", "bgr"]
Pixels: TypeAlias = Literal["imagenet", "0..255", "0..1", "minus_one_to_one"]
Three: TypeAlias = tuple[float, float, float]

IMAGENET_MEAN: Three = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Three = (0.229, 0.224, 0.225)
"""Of red, green and blue, for pixels scaled to 1: what most published models expect."""

NORMALISATIONS: dict[Pixels, tuple[Three, Three]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_DEVIATION),
    "0..255": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    "0..1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "minus_one_to_one": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and deviation of each range of pixels, for pixels scaled to 1."""


@dataclass(frozen=True)
class Preprocessing:
    """States what a model made elsewhere expects; what is None is as the file says, or by default.

    Attributes:
        image_size: Height and width in pixels, for a model made elsewhere that does not say.
        channels: Order of the colours that a model made elsewhere takes; by default as an .xml file
            says, and rgb for .onnx.
        pixels: Range of the pixels that it takes; by default as an .xml file says, and imagenet
            (less ImageNet's mean, over its deviation) for .onnx.
        mean: In place of --pixels: what is subtracted from red, green and blue scaled to 1.
        deviation: In place of --pixels: what they are then divided by.
    """

    image_size: tuple[int, int] | None = None
    channels: Channels | None = None
    pixels: Pixels | None = None
    mean: Three | None = None
    deviation: Three | None = None

    def given(self) -> dict[str, Any]:
        """Returns what is not None: options of `siamese.load_model`, ready for JSON."""
        values = {name: each for name, each in asdict(self).items() if each is not None}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def updated(self, other: "Preprocessing") -> "Preprocessing":
        """Returns this, with what another states in its place."""
        stated = {name: each for name, each in vars(other).items() if each is not None}
        return replace(self, **stated)


def describe_preprocessing(preprocessing: Mapping[str, Any]) -> str:
    """Says `Preprocessing.given` in a line.

    Example:
        >>> describe_preprocessing({"image_size": [256, 128], "channels": "bgr"})
        'image_size 256 128, channels bgr'
    """
    return ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in preprocessing.items()
    )


UNSTATED = Preprocessing()
"""Nothing is stated: the default of commands."""
