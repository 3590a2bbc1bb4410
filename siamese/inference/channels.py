"""Finds a model of others that gets its colours in the wrong order, without labels."""

import contextlib
import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.inference.model import Model
from siamese.inference.reading import ImageLike, read_any

logger = logging.getLogger(__name__)

SAMPLE = 64
LEAST = 16
LIMIT = 4.0
"""Standard errors. Of three networks on eight sets of crops, 24 cases, the right order was never on
the wrong side of 0, and the wrong one was beyond this limit in all but one."""


def doubt_channels(model: Model, images: Sequence[ImageLike]) -> str | None:
    """Looks for a sign that the other colour order is the one that a model was trained with.

    A network that is given red for blue sees clothes and skin of colours that it never saw, and
    finds all people more alike. So embeddings of many people are compared, as the model is used and
    with red and blue exchanged: where the latter lie further apart, beyond chance, the order is
    doubtful. Chance is judged by images (the variance of a U-statistic, Hoeffding 1948).

    Args:
        model: The model.
        images: Of many people; `SAMPLE` of them, evenly spaced, are looked at. Images that cannot
            be read are left out.

    Returns:
        A sentence that says so; None where there is no sign, where fewer than `LEAST` images can be
        read, or where the model's file itself says which order it takes.
    """
    if model.tells_channels or len(images) < LEAST:
        return None
    read: list[NDArray[np.uint8]] = []
    for row in np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(int)).tolist():
        with contextlib.suppress(InputError):
            read.append(read_any(images[row]))
    count = len(read)
    if count < LEAST:
        return None
    exchanged = [pixels[..., ::-1] for pixels in read]
    rows = (model.embed(each).astype(np.float64) for each in (read, exchanged))
    # The mean cosine of each image with all others.
    used, turned = (((e @ e.T).sum(axis=1) - (e * e).sum(axis=1)) / (count - 1) for e in rows)
    excess = used - turned
    if excess.mean() <= LIMIT * 2 * excess.std(ddof=1) / np.sqrt(count):
        return None
    order = (model.preprocessing or {}).get("channels", "rgb")
    other = {"rgb": "bgr", "bgr": "rgb"}[order]
    return (
        f"{model.path.name}: its colours are probably in the wrong order: it finds {count} of "
        f"these images less alike as {other} (mean cosine {turned.mean():.3f}) than as {order} "
        f"({used.mean():.3f}). Give --channels {other} if it was trained so."
    )


def warn_of_channels(model: Model, images: Sequence[ImageLike]) -> None:
    """Logs the sentence of `doubt_channels`, if there is one."""
    doubt = doubt_channels(model, images)
    if doubt is not None:
        logger.warning(doubt)
