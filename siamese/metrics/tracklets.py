"""From frames to tracklets: one embedding for each walk of a person past a camera."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import checked_embeddings, unit_rows
from siamese.metrics.masks import group_rows

TrackletPooling: TypeAlias = Literal["mean", "max", "median"]

_POOLING: dict[str, Callable[..., Any]] = {"mean": np.mean, "max": np.max, "median": np.median}


def pool_tracklets(
    embeddings: ArrayLike,
    tracklets: Sequence[str] | Sequence[int] | NDArray[Any],
    *,
    pooling: TrackletPooling = "mean",
) -> NDArray[np.float32]:
    """Pools the embeddings of each tracklet's frames and gives the result length 1.

    Args:
        embeddings: `(frames, dimensions)`, float16, float32 or float64.
        tracklets: `(frames,)`, the tracklet of each frame, text or whole numbers, unique across
            people and cameras. Frames of a tracklet need not stand together.
        pooling: "mean", "max" or "median" of each dimension; what becomes zero stays zero.

    Returns:
        `(tracklets, dimensions)`, in sorted order of their names, as `np.unique` lists them.

    Raises:
        InputError: Something is empty, not finite or disagrees, or the pooling is unknown.

    Example:
        >>> pool_tracklets([[3.0, 0.0], [0.0, 1.0], [0.0, 4.0]], ["b", "a", "b"]).round(3).tolist()
        [[0.0, 1.0], [0.6000000238418579, 0.800000011920929]]
    """
    table = checked_embeddings(embeddings, "embeddings")
    names = np.asarray(tracklets)
    if names.shape != (len(table),) or names.dtype.kind not in "iuU":
        raise InputError(
            f"`tracklets` must name the tracklet of each of {len(table)} frames, as text or whole "
            f"numbers. Received: shape {names.shape}, {names.dtype}. Give one name a frame."
        )
    if pooling not in _POOLING:
        raise InputError(
            f'`pooling` must be "mean", "max" or "median". Received: pooling={pooling!r}.'
        )
    groups = group_rows(names)
    pooled = np.empty((len(groups), table.shape[1]), np.float64)
    for place, rows in enumerate(groups.values()):
        pooled[place] = _POOLING[pooling](table[rows].astype(np.float64), axis=0)
    return unit_rows(pooled)
