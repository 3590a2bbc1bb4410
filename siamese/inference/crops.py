"""The embedder as trackers take it: a frame and boxes, or crops, to an array."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.inference.model import Model, load_model
from siamese.inference.reading import read_any
from siamese.preprocessing import Channels


class CropEmbedder:
    """Embeds people in the frames of a video: a plain callable.

    Args:
        model: An open model, a model file, or None: what `siamese.load_model()` finds.
        channels: The order of the colours of what it is given: "bgr" as OpenCV reads, or "rgb".
        flip: Average each embedding with that of the mirrored crop.
        batch_size: Crops computed at a time.

    Attributes:
        model: The open model.
    """

    def __init__(
        self,
        model: str | Path | Model | None = None,
        *,
        channels: Channels,
        flip: bool = False,
        batch_size: int = 64,
    ) -> None:
        if channels not in ("bgr", "rgb"):
            raise InputError(f'`channels` must be "bgr" or "rgb". Received: {channels!r}.')
        self.model = model if isinstance(model, Model) else load_model(model)
        self._turn = -1 if channels == "bgr" else 1
        self._flip = flip
        self._batch_size = batch_size

    def __call__(
        self, images: Sequence[ArrayLike] | ArrayLike, boxes: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Embeds what boxes show of a frame, or crops.

        Args:
            images: A frame, `(height, width, 3)`, 0 to 255, with `boxes`; without, crops: a list of
                such arrays, of any sizes.
            boxes: `(boxes, 4)`: left, top, right and bottom in pixels; further columns, as of
                trackers' detections, are left alone. What lies outside the frame is cut off; a box
                of which nothing is left is taken for the nearest pixel of the frame.

        Returns:
            `(boxes or crops, dimensions)`, float32 unit vectors, in the order given; of none,
            `(0, dimensions)`.

        Raises:
            InputError: An array is no image, or the boxes are not finite rows of four numbers.
        """
        if boxes is None:
            crops = [read_any(each, f"crop {place}") for place, each in enumerate(images)]  # type: ignore[arg-type]
        else:
            frame = read_any(images, "frame")
            crops = [
                frame[top:bottom, left:right] for left, top, right, bottom in _cut(boxes, frame)
            ]
        turned = [crop[..., :: self._turn] for crop in crops]
        return self.model.embed(turned, flip=self._flip, batch_size=self._batch_size)


def _cut(boxes: ArrayLike, frame: NDArray[np.uint8]) -> list[list[int]]:
    """Returns boxes in whole pixels, each of at least one pixel of the frame."""
    rows = np.asarray(boxes, np.float64)
    if not rows.size:
        return []
    if rows.ndim != 2 or rows.shape[1] < 4 or not np.isfinite(rows[:, :4]).all():
        raise InputError(
            "`boxes` must be finite rows of left, top, right and bottom. Received: shape "
            f"{rows.shape}."
        )
    ends = np.array([frame.shape[1], frame.shape[0]])
    low = np.floor(rows[:, :2]).clip(0, ends - 1)
    high = np.ceil(rows[:, 2:4]).clip(low + 1, ends)
    return np.hstack([low, high]).astype(int).tolist()  # type: ignore[no-any-return]
