"""What TensorBoard shows of an epoch beside curves: distances, and the hardest triplets."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from siamese import plots
from siamese.evaluate import EmbeddedImages
from siamese.metrics.blocks import distance_blocks, exact_distances
from siamese.metrics.pairs import sample_pairs
from siamese.models.embedder import embed
from siamese.train.tensorboard import TensorBoard

HARDEST = 8
PAIRS = 20_000


class EpochPictures(keras.callbacks.Callback):  # type: ignore[misc]
    """After each scoring: distances of held-out pairs, and the hardest triplets of some batches.

    The training images are the same at each epoch, so that pictures can be compared.

    Args:
        board: Where to.
        embedder: The model that was scored.
        gallery: The held-out people, as they were scored last.
        images: Training images, `(images, height, width, 3)`, uint8.
        labels: Their people, `(images,)`.
    """

    def __init__(
        self,
        board: TensorBoard,
        embedder: keras.Model,
        gallery: Callable[[], EmbeddedImages],
        images: NDArray[np.uint8],
        labels: NDArray[np.int32],
    ) -> None:
        super().__init__()
        self.board = board
        self.embedder = embedder
        self.gallery = gallery
        self.images = images
        self.labels = labels

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes them, where the epoch was scored."""
        if "val_mAP" not in logs:
            return
        gallery = self.gallery()
        pairs = sample_pairs(gallery.embeddings, gallery.people, gallery.cameras, size=PAIRS)
        same = pairs.first_person == pairs.second_person
        self.board.histogram("distances/same_person", pairs.distances[same], epoch)
        self.board.histogram("distances/two_people", pairs.distances[~same], epoch)
        embeddings = embed(self.embedder, [self.images])
        picture = plot_hardest(self.images, self.labels, embeddings)
        if picture is not None:
            self.board.picture("batch/hardest_triplets", picture, epoch)


def plot_hardest(
    images: NDArray[np.uint8], labels: NDArray[np.int32], embeddings: NDArray[np.float32]
) -> Figure | None:
    """The anchors that lie farthest on the wrong side, each of another person, a row a triplet.

    Args:
        images: `(images, height, width, 3)`, uint8.
        labels: `(images,)`.
        embeddings: `(images, dimensions)`.

    Returns:
        A figure: anchor, farthest image of the same person, nearest image of another. None where
        the images hold no triplet: the first batches of an epoch may be of one person alone.
    """
    rows = hardest_triplets(labels, embeddings)
    if not len(rows):
        return None
    captions = [
        caption
        for anchor, positive, negative in rows
        for caption in (
            f"anchor: {labels[anchor]}",
            f"same: {exact_distances(embeddings[anchor], embeddings[positive]):.2f}",
            f"other: {exact_distances(embeddings[anchor], embeddings[negative]):.2f}",
        )
    ]
    return plots.plot_images(images[rows.ravel()], captions, columns=6)


def hardest_triplets(
    labels: NDArray[np.int32], embeddings: NDArray[np.float32], count: int = HARDEST
) -> NDArray[np.int64]:
    """The hardest triplets: farthest positive, nearest negative, largest gap between the two.

    Args:
        labels: `(images,)`.
        embeddings: `(images, dimensions)`.
        count: The most triplets wanted; each has another person as its anchor.

    Returns:
        Rows of anchor, positive and negative, `(triplets, 3)`, hardest first.

    Example:
        >>> places = np.float32([[0], [5], [1], [9]])
        >>> hardest_triplets(np.int32([7, 7, 8, 8]), places).tolist()
        [[2, 3, 0], [0, 1, 2]]
    """
    blocks = distance_blocks(embeddings, embeddings)
    distances = np.concatenate([block.copy() for _, block in blocks])
    same = labels[:, None] == labels[None]
    positive = np.where(same & ~np.eye(len(labels), dtype=bool), distances, -np.inf)
    negative = np.where(same, np.inf, distances)
    gaps = positive.max(axis=1) - negative.min(axis=1)
    chosen: list[int] = []
    for anchor in np.argsort(-gaps, kind="stable"):
        fresh = np.isfinite(gaps[anchor]) and labels[anchor] not in labels[chosen]
        if fresh and len(chosen) < count:
            chosen.append(int(anchor))
    rows = np.array(chosen, np.int64)
    return np.stack([rows, positive[rows].argmax(axis=1), negative[rows].argmin(axis=1)], axis=1)
