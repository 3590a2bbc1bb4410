"""Rank lists of distances that pass by block by block, such as re-ranked ones."""

import numpy as np
from numpy.typing import NDArray

from siamese.metrics.blocks import DistanceBlocks, Indices, smallest
from siamese.metrics.masks import ProtocolMask


class RankLists:
    """Keeps the nearest gallery images of each query while blocks pass by to whoever scores them.

    Attributes:
        indices: Gallery numbers `(queries, places)`, int64, nearest first; -1 where fewer are left.
        distances: Their distances `(queries, places)`, float32; infinity where fewer are left.

    Example:
        >>> from siamese.metrics.ranking import score_distances
        >>> mask = ProtocolMask([7], [1], [8, 7, 7], [2, 1, 2])
        >>> lists = RankLists(mask, places=2)
        >>> blocks = iter([(0, np.array([[0.5, 0.1, 0.4]], np.float32))])
        >>> score_distances(lists.watch(blocks), mask).mAP, lists.indices.tolist()
        (1.0, [[2, 0]])
    """

    def __init__(self, mask: ProtocolMask, *, places: int) -> None:
        """Makes empty lists.

        Args:
            mask: What is left out for each query; junk is left out for all.
            places: The length of a list, at least 1.
        """
        self._mask = mask
        self.indices: Indices = np.full((mask.queries, places), -1, np.int64)
        self.distances: NDArray[np.float32] = np.full((mask.queries, places), np.inf, np.float32)

    def watch(self, blocks: DistanceBlocks) -> DistanceBlocks:
        """Passes blocks on, having read them.

        Args:
            blocks: The number of the first query of each block and its distances `(rows, gallery)`,
                float32.

        Yields:
            The same blocks.
        """
        for start, block in blocks:
            left = block.copy()
            if self._mask.columns is not None:
                left[:, np.setdiff1d(np.arange(left.shape[1]), self._mask.columns)] = np.inf
            for row, distances in enumerate(left):
                distances[self._mask.of(start + row)[0]] = np.inf
            count = min(self.indices.shape[1], left.shape[1])
            found, values = smallest(left, count)
            rows = slice(start, start + len(block))
            self.indices[rows, :count] = np.where(np.isinf(values), -1, found)
            self.distances[rows, :count] = values
            yield start, block
