"""Images of record files as they are encoded: read, shuffled, and found again by their content."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from siamese.records import compression_of
from siamese.records.tensors import FEATURES

SHUFFLE_RECORDS = 16_384
"""Encoded images held for shuffling: some 50 MB of 3 kB crops."""


class TaughtImages:
    """What a teacher says of the images of record files, found by the images themselves.

    Args:
        shards: Record files.
        embeddings: `(images, dimensions)`, in the order of the files and their records.
    """

    def __init__(self, shards: Sequence[str], embeddings: NDArray[np.float32]) -> None:
        encoded = _encoded(list(shards), compression_of(shards))
        keys = np.concatenate(list(encoded.map(_key).as_numpy_iterator()))
        order = np.argsort(keys, kind="stable")
        self.keys = tf.constant(keys[order])
        self.embeddings = tf.constant(embeddings[order])

    def find(self, encoded: Any) -> Any:
        """Looks up images `(images,)`, encoded as in the records; `(images, dimensions)`."""
        return tf.gather(self.embeddings, tf.searchsorted(self.keys, _key(encoded)))


def encoded_images(shards: Sequence[str]) -> Iterator[bytes]:
    """Reads the images of record files, as encoded as they are, in order."""
    for batch in _encoded(list(shards), compression_of(shards)).as_numpy_iterator():
        yield from batch


def stream_images(shards: Sequence[str], draw: Any) -> tf.data.Dataset:
    """Shuffles the encoded images of record files, without end: each once before any comes again.

    Args:
        shards: Record files.
        draw: Seed of the order, a number or a scalar tensor.

    Returns:
        A dataset of scalars, text.
    """

    def one_pass(number: Any) -> tf.data.Dataset:
        seed = draw + number * 1_009
        files = tf.data.Dataset.from_tensor_slices(list(shards))
        files = files.shuffle(len(shards), seed=seed, reshuffle_each_iteration=False)
        images = files.flat_map(lambda shard: _encoded([shard], compression_of(shards)).unbatch())
        return images.shuffle(SHUFFLE_RECORDS, seed=seed + 1, reshuffle_each_iteration=False)

    return tf.data.Dataset.counter().flat_map(one_pass)


def _encoded(shards: Any, compression: str) -> tf.data.Dataset:
    """Reads the encoded images of record files in order, many at a time."""
    key = "image/encoded"
    records = tf.data.TFRecordDataset(shards, compression_type=compression)
    return records.batch(128).map(
        lambda batch: tf.io.parse_example(batch, {key: FEATURES[key]})[key]
    )


def _key(encoded: Any) -> Any:
    """Gives 63 bits of each image's content: with a chance of 5e-8 two of a million share them."""
    return tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1)
