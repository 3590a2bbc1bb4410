"""From frames to tracklets: one embedding for each walk of a person past a camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import Floats, Indices, checked_embeddings

TrackletPooling: TypeAlias = Literal["mean", "max", "median"]
MarsProtocol: TypeAlias = Literal["official", "torchreid"]


@dataclass(frozen=True)
class PooledTracklets:
    """One row a tracklet, in sorted order of their names.

    Attributes:
        embeddings: `(tracklets, dimensions)`, float32, of length 1.
        tracklets: `(tracklets,)`, the names.
        frames: `(tracklets,)`, how many frames each was pooled from.
        first_frames: `(tracklets,)`, the row of the first frame of each: who it shows and which
            camera took it can be looked up there.
    """

    embeddings: NDArray[np.float32]
    tracklets: NDArray[Any]
    frames: Indices
    first_frames: Indices


def pool_tracklets(
    embeddings: ArrayLike,
    tracklets: Sequence[str] | Sequence[int] | NDArray[Any],
    *,
    pooling: TrackletPooling = "mean",
) -> PooledTracklets:
    """Pools the embeddings of each tracklet's frames and gives the result length 1.

    Args:
        embeddings: `(frames, dimensions)`, float16, float32 or float64.
        tracklets: `(frames,)`, the tracklet of each frame, text or whole numbers, unique across
            people and cameras. Frames of a tracklet need not stand together.
        pooling: "mean", "max" or "median" of each dimension.

    Returns:
        The tracklets. One whose pooled embedding is zero stays zero.

    Raises:
        InputError: Something is empty, not finite or disagrees, or the pooling is unknown.

    Example:
        >>> pooled = pool_tracklets([[3.0, 0.0], [0.0, 1.0], [0.0, 4.0]], ["b", "a", "b"])
        >>> pooled.tracklets.tolist(), pooled.frames.tolist(), pooled.embeddings.tolist()
        (['a', 'b'], [1, 2], [[0.0, 1.0], [0.6000000238418579, 0.800000011920929]])
    """
    table = checked_embeddings(embeddings, "embeddings")
    names = np.asarray(tracklets)
    if names.shape != (len(table),) or names.dtype.kind not in "iuU":
        raise InputError(
            f"`tracklets` must name the tracklet of each of {len(table)} frames, as text or whole "
            f"numbers. Received: shape {names.shape}, {names.dtype}. Give one name a frame."
        )
    if pooling not in get_args(TrackletPooling):
        raise InputError(
            f'`pooling` must be "mean", "max" or "median". Received: pooling={pooling!r}.'
        )
    unique, first, codes, frames = np.unique(
        names, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(codes, kind="stable")
    pooled = np.empty((len(unique), table.shape[1]), np.float64)
    stops = np.cumsum(frames)
    for place, (stop, count) in enumerate(zip(stops, frames, strict=True)):
        pooled[place] = _pool(table[order[stop - count : stop]].astype(np.float64), pooling)
    lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
    pooled /= np.where(lengths > 0, lengths, 1)
    return PooledTracklets(pooled.astype(np.float32), unique, frames, first)


def _pool(frames: Floats, pooling: TrackletPooling) -> Floats:
    if pooling == "mean":
        return np.asarray(frames.mean(axis=0))
    return np.asarray(frames.max(axis=0) if pooling == "max" else np.median(frames, axis=0))


def mars_gallery(tracklets: int, query_rows: ArrayLike, *, protocol: MarsProtocol) -> Indices:
    """Chooses the gallery of MARS among its test tracklets.

    Args:
        tracklets: How many test tracklets there are, 12,180 in MARS.
        query_rows: `(queries,)`, which of them are queries, from 0 (`query_IDX` minus 1).
        protocol: "official" keeps the query tracklets in the gallery, so that every query has a
            match; "torchreid" takes them out, and 140 of 1,980 queries lose every match. Junk is
            left out by the scores themselves, in both.

    Returns:
        Row numbers, rising, int64.

    Raises:
        InputError: A query is not among the tracklets, or the protocol is unknown.

    Example:
        >>> mars_gallery(4, [1], protocol="official").tolist()
        [0, 1, 2, 3]
        >>> mars_gallery(4, [1], protocol="torchreid").tolist()
        [0, 2, 3]
    """
    rows = np.asarray(query_rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or ((rows < 0) | (rows >= tracklets)).any():
        raise InputError(
            f"`query_rows` must be row numbers from 0 to {tracklets - 1}. Received: shape "
            f"{rows.shape}, {rows.dtype}. Subtract 1 from the numbers of MARS's query_IDX."
        )
    if protocol not in get_args(MarsProtocol):
        raise InputError(
            f'`protocol` must be "official" or "torchreid". Received: protocol={protocol!r}.'
        )
    everything = np.arange(tracklets)
    return everything if protocol == "official" else np.setdiff1d(everything, rows)
