"""Records to batches: one pipeline for training, one for evaluation.

Training reads its shards as a stream: shuffle, gather K images of a person, shuffle the groups,
batch P of them. Nothing is looked up by position, so shards may lie on an object store. The order
depends on the seed and on the number of the epoch alone: a run that resumes at an epoch sees what
the uninterrupted run saw.

Pixels stay uint8 until they are inside the model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from siamese.data.records import FEATURES, Part
from siamese.errors import InputError

Order = Literal["people", "pairs", "triplets"]

SHUFFLE_RECORDS = 16_384
"""Encoded images held for shuffling: some 50 MB of 3 kB crops."""
SHUFFLE_GROUPS = 4_096
"""Groups held for shuffling."""


def train_batches(
    shards: Sequence[str],
    part: Part,
    *,
    image_size: tuple[int, int],
    order: Order = "people",
    people: int = 16,
    images: int = 4,
    seed: int = 0,
    first_epoch: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """Endless batches of images and labels, in epochs.

    An epoch deals all images into groups of one person and the groups into whole batches; up to
    `people - 1` groups that fill no batch are left out, others in each epoch.

    A person with more than `images` images comes in several groups, so two groups of a batch may
    be of one person; a person with fewer comes with images repeated.

    Args:
        shards: Record files.
        part: The manifest's word on them.
        image_size: Height and width in pixels of the images in a batch.
        order: `people`: groups one after another; `pairs`: rows 2i and 2i+1 are a pair, half of
            the pairs of one person; `triplets`: rows 3i, 3i+1, 3i+2 are anchor, positive, negative
            (of another person, if the batch has one).
        people: P, groups in a batch; a multiple of 4 for `pairs`.
        images: K, images in a group; 2 for `pairs`, 3 for `triplets`.
        seed: Seed of the order.
        first_epoch: Number of the epoch that comes first, from 0.

    Returns:
        A dataset of (images `(people * images, height, width, 3)` uint8, labels
        `(people * images,)` int32), and the number of batches in an epoch.

    Raises:
        InputError: There are fewer people than two, fewer groups than `people`, or `people` and
            `images` do not fit the order.
    """
    _check_order(order, people, images)
    if part.people < 2:
        raise InputError(
            f"training needs at least two people. Received: {part.people}. Add folders of others."
        )
    groups = sum(-(-count // images) for count in part.images_by_label.values())
    if groups < people:
        raise InputError(
            f"`people` must be at most {groups}, the groups of {images} images in this set. "
            f"Received: {people}. Add images, or take a recipe with smaller batches."
        )
    steps = groups // people

    def one_epoch(epoch: Any) -> tf.data.Dataset:
        # Of this function's graph alone: the order must not depend on the seed of the process.
        tf.compat.v1.set_random_seed(1)
        draw = tf.cast(epoch, tf.int64) * 3 + seed * 1_000_003
        records = tf.data.Dataset.from_tensor_slices(list(shards))
        records = records.shuffle(len(shards), seed=draw, reshuffle_each_iteration=False)
        records = records.interleave(
            tf.data.TFRecordDataset, cycle_length=len(shards), num_parallel_calls=tf.data.AUTOTUNE
        )
        buffer = min(part.images, SHUFFLE_RECORDS)
        records = records.shuffle(buffer, seed=draw + 1, reshuffle_each_iteration=False)
        records = records.map(_parse_label, num_parallel_calls=tf.data.AUTOTUNE)
        grouped = records.group_by_window(
            key_func=lambda _, label: label,
            reduce_func=lambda _, window: window.batch(images),
            window_size=images,
        ).map(lambda encoded, label: _fill(encoded, label, images))
        grouped = grouped.shuffle(
            min(groups, SHUFFLE_GROUPS), seed=draw + 2, reshuffle_each_iteration=False
        )
        return grouped.batch(people, drop_remainder=True).take(steps)

    def decode_batch(encoded: Any, labels: Any) -> tuple[Any, Any]:
        rows = _row_order(order, labels)
        flat = tf.gather(tf.reshape(encoded, [-1]), rows)
        pixels = tf.map_fn(
            lambda data: _decode(data, image_size), flat, fn_output_signature=tf.uint8
        )
        pixels = tf.ensure_shape(pixels, (people * images, *image_size, 3))
        labels = tf.cast(tf.gather(tf.reshape(labels, [-1]), rows), tf.int32)
        return pixels, tf.ensure_shape(labels, (people * images,))

    dataset = (
        tf.data.Dataset.counter(first_epoch)
        .flat_map(one_epoch)
        .map(decode_batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(4)
    )
    return dataset, steps


@dataclass(frozen=True)
class EvaluationBatch:
    """Images in the order of the shards, and what is known of each.

    Attributes:
        images: `(images, height, width, 3)`, uint8.
        labels: `(images,)`, int64.
        people: `(images,)`, text.
        cameras: `(images,)`, int64; -1 is not known.
        tracklets: `(images,)`, int64; -1 is not known.
        names: `(images,)`, file names, text.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    people: NDArray[np.str_]
    cameras: NDArray[np.int64]
    tracklets: NDArray[np.int64]
    names: NDArray[np.str_]


def evaluation_batches(
    shards: Sequence[str], *, image_size: tuple[int, int], batch_size: int = 64
) -> Iterator[EvaluationBatch]:
    """Every record once, in order; the last batch may be short.

    Args:
        shards: Record files.
        image_size: Height and width in pixels of the images in a batch.
        batch_size: Largest number of images in a batch.

    Yields:
        Batches.

    Raises:
        InputError: A shard is damaged, or not of this schema.
    """
    records = tf.data.TFRecordDataset(list(shards))
    parsed = records.map(
        lambda record: _parse_whole(record, image_size),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    try:
        for batch in parsed.batch(batch_size).prefetch(2).as_numpy_iterator():
            yield EvaluationBatch(
                images=batch["pixels"],
                labels=batch["image/class/label"],
                people=_text(batch["image/class/text"]),
                cameras=batch["image/camera"],
                tracklets=batch["image/tracklet"],
                names=_text(batch["image/filename"]),
            )
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, ValueError) as error:
        reason = str(error).splitlines()[0][:160]
        raise InputError(
            f"{shards[0]}: the records cannot be read ({reason}). Remove the folder and build "
            "the records again."
        ) from None


def batch_image_size(part: Part, image_size: tuple[int, int]) -> tuple[int, int]:
    """The size that images are handled at before the model resizes them.

    Crops that are stored at one size, smaller than the model's, stay at it: fewer bytes to augment.

    Args:
        part: The manifest's word on the records.
        image_size: Height and width of the model's input.

    Returns:
        Height and width in pixels.
    """
    if len(part.image_sizes) == 1:
        height, width = (int(side) for side in next(iter(part.image_sizes)).split("x"))
        if height <= image_size[0] and width <= image_size[1]:
            return height, width
    return image_size


def _check_order(order: Order, people: int, images: int) -> None:
    needed = {"people": images, "pairs": 2, "triplets": 3}[order]
    if images != needed or people < 2 or images < 2 or (order == "pairs" and people % 4):
        raise InputError(
            "`people` must be at least 2 (4, 8, 12, ... for pairs) and `images` at least 2 (2 for "
            f"pairs, 3 for triplets). Received: order={order}, people={people}, images={images}"
        )


def _row_order(order: Order, labels: Any) -> Any:
    """Where in the flattened groups each row of the batch comes from; labels: `(P, K)`."""
    people, images = labels.shape
    rows = np.arange(people * images, dtype=np.int32).reshape(people, images)
    if order == "pairs":  # of groups a b c d: (a1 a2) (b1 b2) stay, (c1 d1) (c2 d2) cross
        crossed = rows[people // 2 :]
        crossed[:] = crossed.reshape(-1, 2, 2).transpose(0, 2, 1).reshape(-1, 2)
    if order != "triplets":
        return tf.constant(rows.ravel())
    # The negative is the third image of the next group of another person.
    following = (np.arange(people)[:, None] + np.arange(1, people)) % people
    person = labels[:, 0]
    other = tf.gather(person, following) != person[:, None]
    first = tf.argmax(tf.cast(other, tf.int32), axis=1, output_type=tf.int32)
    group = tf.gather(tf.constant(following, tf.int32), first, batch_dims=1)
    return tf.reshape(tf.stack([rows[:, 0], rows[:, 1], group * images + 2], axis=1), [-1])


def _parse_label(record: Any) -> tuple[Any, Any]:
    keys = ("image/encoded", "image/class/label")
    features = tf.io.parse_single_example(record, {key: FEATURES[key] for key in keys})
    return features["image/encoded"], features["image/class/label"]


def _fill(encoded: Any, label: Any, images: int) -> tuple[Any, Any]:
    """Repeats the images of a short group until there are enough."""
    chosen = tf.range(images) % tf.shape(encoded)[0]
    return (
        tf.ensure_shape(tf.gather(encoded, chosen), (images,)),
        tf.ensure_shape(tf.gather(label, chosen), (images,)),
    )


def _decode(data: Any, image_size: tuple[int, int]) -> Any:
    # The accurate transform is Pillow's: a verdict on a file equals one on its record.
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    shape = tf.shape(pixels)
    pixels = tf.cond(
        tf.reduce_all(shape[:2] == image_size),
        lambda: pixels,
        lambda: tf.cast(tf.round(tf.image.resize(pixels, image_size)), tf.uint8),
    )
    return tf.ensure_shape(pixels, (*image_size, 3))


def _parse_whole(record: Any, image_size: tuple[int, int]) -> Mapping[str, Any]:
    features = dict(tf.io.parse_single_example(record, FEATURES))
    features["pixels"] = _decode(features.pop("image/encoded"), image_size)
    return features


def _text(values: NDArray[np.object_]) -> NDArray[np.str_]:
    return np.array([value.decode() for value in values], dtype=np.str_)
