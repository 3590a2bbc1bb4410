"""Records to batches: one pipeline for training, one for evaluation.

Training reads its shards as a stream: shuffle, gather the images of a person, deal them to groups
of K, shuffle the groups, batch P of them. Nothing is looked up by position, so shards may lie on an
object store. The order depends on the seed and on the number of the epoch alone: a run that resumes
at an epoch sees what the uninterrupted run saw.

Pixels stay uint8 until they are inside the model.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from siamese.datasets.triplets import (
    count_triplet_batches,
    kept_triplets,
    name_image,
    place_triplets,
)
from siamese.errors import InputError
from siamese.loader.encoded_images import SHUFFLE_RECORDS, TaughtImages, stream_images
from siamese.loader.from_files import LabelledImages, kept_size
from siamese.records import Part, compression_of
from siamese.records.tensors import FEATURES, parse_record
from siamese.sampler import Sampler, check_batches, check_unlabelled

SHUFFLE_GROUPS = 4_096
"""Groups held for shuffling."""
WINDOW = 16
"""Groups of a person that are dealt together; more images of a person come in several windows."""
KEYS = ("image/encoded", "image/class/label", "image/camera")


def train_batches(
    shards: Sequence[str],
    part: Part,
    *,
    image_size: tuple[int, int],
    sampler: Sampler = "pk",
    num_identities: int = 16,
    num_instances: int = 4,
    spread_cameras: bool = True,
    unlabelled: int = 0,
    unlabelled_shards: Sequence[str] = (),
    taught: TaughtImages | None = None,
    seed: int = 0,
    first_epoch: int = 0,
    host: int = 0,
    hosts: int = 1,
) -> tuple[tf.data.Dataset, int]:
    """Endless batches of images and labels, in epochs.

    An epoch deals every image once into groups of one person, and the groups into batches; what
    is missing in its last batch are groups of the batch before, once more.

    A person with more than `num_instances` images comes in several groups, so two groups of a batch
    may be of one person; a group that is short of images repeats its own.

    Where `sampler` is `triplets` and `triplets.csv` lies beside the shards, its rows are the
    triplets, each once an epoch. Their images are held in memory, as encoded as in the records.

    Args:
        shards: Record files.
        part: The manifest's word on them.
        image_size: Height and width in pixels of the images in a batch.
        sampler: `pk`: groups one after another; `pairs`: rows 2i and 2i+1 are a pair, half of
            the pairs of one person; `triplets`: rows 3i, 3i+1, 3i+2 are anchor, positive, negative
            (of another person, if the batch has one).
        num_identities: P, groups in a batch; a multiple of 4 for `pairs`.
        num_instances: K, images in a group; 2 for `pairs`, 3 for `triplets`.
        spread_cameras: Groups have as many cameras as the person's images allow, so that images of
            one person are of two cameras wherever they can be.
        unlabelled: Images of unknown people that follow in each batch, with the label -1. An epoch
            draws them anew, each once before any comes again.
        unlabelled_shards: Record files of these.
        taught: What a teacher says of the images; it then comes with each.
        seed: Seed of the order.
        first_epoch: Number of the epoch that comes first, from 0.
        host: Number of this host, from 0.
        hosts: Hosts that share each batch; every host decodes its own slice of it, and the slices
            in the order of the hosts are the batch of a single host. `num_identities` must be a
            multiple.

    Returns:
        A dataset of (images `(rows, height, width, 3)` uint8, labels `(rows,)` int32), where they
        are taught with a third member, `(rows, dimensions)` float32, and
        `rows = num_identities * num_instances / hosts + unlabelled`; and the number of batches in
        an epoch.

    Raises:
        InputError: There are fewer people than two, fewer groups than `num_identities`,
            `num_identities` and `num_instances` do not fit the sampler, the hosts cannot share a
            batch, or there are no images of unknown people.
    """
    counts = part.images_by_label
    steps = check_batches(
        sampler, num_identities, num_instances, np.array(list(counts.values())), host, hosts
    )
    check_unlabelled(unlabelled, len(unlabelled_shards), hosts)
    given = kept_triplets(Path(shards[0]).parent) if sampler == "triplets" else []
    held: _Held | None = None
    if given:
        held = _hold_triplets(shards, given)
        steps = count_triplet_batches(len(held.rows), num_identities)

    def one_epoch(epoch: Any) -> tf.data.Dataset:
        # Of this function's graph alone: the order must not depend on the seed of the process.
        tf.compat.v1.set_random_seed(1)
        draw = tf.cast(epoch, tf.int64) * 3 + seed * 1_000_003
        if held is not None:
            groups = _stream_triplets(held, draw)
        else:
            groups = _stream_groups(shards, counts, num_instances, spread_cameras, draw)
        batches = _whole_batches(groups, num_identities, num_instances)
        if not unlabelled:
            return batches
        unknown = stream_images(unlabelled_shards, draw).batch(unlabelled, True).take(steps)
        return tf.data.Dataset.zip(batches, unknown).map(lambda known, more: (*known, more))

    rows_of_host = num_identities * num_instances // hosts
    as_stored = set(part.image_sizes) == {"{}x{}".format(*image_size)}

    def decode_batch(encoded: Any, labels: Any, *unknown: Any) -> tuple[Any, ...]:
        rows = (
            tf.range(num_identities * num_instances)
            if held is not None
            else _row_order(sampler, labels)
        )
        rows = rows[host * rows_of_host : (host + 1) * rows_of_host]
        encoded = tf.ensure_shape(tf.gather(tf.reshape(encoded, [-1]), rows), (rows_of_host,))
        labels = tf.ensure_shape(tf.gather(tf.reshape(labels, [-1]), rows), (rows_of_host,))
        pixels = _decode_all(encoded, image_size, as_stored)
        for more in unknown:
            pixels = tf.concat([pixels, _decode_all(more, image_size, False)], axis=0)
            encoded = tf.concat([encoded, more], axis=0)
            labels = tf.concat([labels, tf.fill((unlabelled,), tf.constant(-1, tf.int64))], axis=0)
        batch = pixels, tf.cast(labels, tf.int32)
        return batch if taught is None else (*batch, taught.find(encoded))

    dataset = (
        tf.data.Dataset.counter(first_epoch)
        .flat_map(one_epoch)
        .map(decode_batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(4)
    )
    return dataset, steps


def evaluation_batches(
    shards: Sequence[str], *, image_size: tuple[int, int], batch_size: int = 64
) -> Iterator[LabelledImages]:
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
    records = tf.data.TFRecordDataset(list(shards), compression_type=compression_of(shards))
    parsed = records.map(
        lambda record: _parse_whole(record, image_size),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    try:
        for batch in parsed.batch(batch_size).prefetch(2).as_numpy_iterator():
            yield LabelledImages(
                images=batch["pixels"],
                labels=batch["image/class/label"],
                people=_text(batch["image/class/text"]),
                cameras=batch["image/camera"],
                tracklets=batch["image/tracklet"],
                names=_text(batch["image/filename"]),
            )
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, ValueError) as error:
        raise InputError(
            f"{shards[0]}: the records cannot be read ({_reason(error)}). Remove the folder "
            "and build the records again."
        ) from None


@contextlib.contextmanager
def naming_damage(folder: str | Path) -> Iterator[None]:
    """Says in one line that a record is damaged, wherever in a training that is found.

    Args:
        folder: Of the record set.

    Raises:
        InputError: A record is damaged, or its image cannot be decoded.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        raise InputError(
            f"{folder}: a record is damaged ({_reason(error)}). See which by `siamese records "
            f"verify {folder}`; then remove the folder and build the records again."
        ) from None
    except tf.errors.InvalidArgumentError as error:
        if not re.search(r"node \S*(Decode|Parse)", str(error)):
            raise  # of the model, not of what was read
        raise InputError(
            f"{folder}: a record cannot be used ({_reason(error)}). Remove the folder and build "
            "the records again."
        ) from None


def _reason(error: Exception) -> str:
    """What TensorFlow says is wrong, without the names of its nodes."""
    # The sentence comes last, after where in the program it was, and before the nodes.
    lines = str(error).partition("\n\t [[")[0].splitlines() or [""]
    return re.sub(r"\{\{.*?\}\} ?|.*Iterator::\S* | \[Op:.*", "", lines[-1])[:160]


def batch_image_size(part: Part, image_size: tuple[int, int]) -> tuple[int, int]:
    """The size that images are handled at before the model resizes them.

    Crops that are stored at one size, smaller than the model's, stay at it: fewer bytes to augment.

    Args:
        part: The manifest's word on the records.
        image_size: Height and width of the model's input.

    Returns:
        Height and width in pixels.
    """
    sizes = (tuple(int(side) for side in size.split("x")) for size in part.image_sizes)
    return kept_size(sizes, image_size)


def _stream_groups(
    shards: Sequence[str],
    counts: Mapping[int, int],
    num_instances: int,
    spread_cameras: bool,
    draw: Any,
) -> tf.data.Dataset:
    """The groups of an epoch, as (encoded, labels), each `(num_instances,)`."""
    compression = compression_of(shards)
    records = tf.data.Dataset.from_tensor_slices(list(shards))
    records = records.shuffle(len(shards), seed=draw, reshuffle_each_iteration=False)
    records = records.interleave(
        lambda shard: tf.data.TFRecordDataset(shard, compression_type=compression),
        cycle_length=min(len(shards), 16),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    total = sum(counts.values())
    records = records.shuffle(
        min(total, SHUFFLE_RECORDS), seed=draw + 1, reshuffle_each_iteration=False
    )
    features = {key: FEATURES[key] for key in KEYS}
    # A hundred records at a time: one by one, parsing costs as much as decoding.
    records = records.batch(128).map(lambda batch: tf.io.parse_example(batch, features))
    records = records.unbatch().map(lambda record: tuple(record[key] for key in KEYS))
    windows = np.ones(max(counts) + 1, np.int64)
    for label, count in counts.items():
        windows[label] = min(count, WINDOW * num_instances)
    window_of = tf.constant(windows)
    groups = records.group_by_window(
        key_func=lambda _, label, __: label,
        reduce_func=lambda _, window: window.batch(WINDOW * num_instances),
        window_size_func=lambda label: tf.gather(window_of, label),
    ).map(
        lambda encoded, label, camera: _deal(
            encoded, label, camera, num_instances, spread_cameras, draw
        )
    )
    expected = sum(-(-count // num_instances) for count in counts.values())
    return groups.unbatch().shuffle(
        min(expected, SHUFFLE_GROUPS), seed=draw + 2, reshuffle_each_iteration=False
    )


def _deal(
    encoded: Any, label: Any, camera: Any, num_instances: int, spread_cameras: bool, draw: Any
) -> tuple[Any, Any]:
    """One person's images to groups in turn, as cards are dealt; `(groups, num_instances)` each."""
    total = tf.shape(label)[0]
    count = -(-total // num_instances)
    # Sorted by camera, neighbours go to different groups.
    order = tf.argsort(camera if spread_cameras else tf.zeros_like(camera), stable=True)
    group = tf.range(count)[:, None]
    held = (total - group + count - 1) // count  # images that a group has of its own
    turn = tf.range(num_instances)[None]
    chosen = tf.gather(order, turn % held * count + group)
    # Within a group the order is drawn, so that an anchor is of any camera; repeats stay last.
    drawn = tf.random.stateless_uniform(tf.shape(chosen), tf.stack([draw, label[0]]))
    drawn += tf.cast(turn >= held, tf.float32)
    chosen = tf.gather(chosen, tf.argsort(drawn, axis=1), batch_dims=1)
    chosen = tf.ensure_shape(chosen, (None, num_instances))
    return tf.gather(encoded, chosen), tf.gather(label, chosen)


def _whole_batches(
    groups: tf.data.Dataset, num_identities: int, num_instances: int
) -> tf.data.Dataset:
    """Batches of groups; the last is filled with groups of the one before."""

    def fill(previous: Any, batch: Any) -> tuple[Any, Any]:
        missing = num_identities - tf.shape(batch[0])[0]
        filled = tuple(
            tf.ensure_shape(
                tf.concat([new, old[:missing]], axis=0), (num_identities, num_instances)
            )
            for new, old in zip(batch, previous, strict=True)
        )
        return filled, filled

    nothing = (
        tf.fill((num_identities, num_instances), ""),
        tf.zeros((num_identities, num_instances), tf.int64),
    )
    return groups.batch(num_identities).scan(nothing, fill)


@dataclass(frozen=True)
class _Held:
    """Given triplets: tensors of encoded images and labels, and `(triplets, 3)` places in them."""

    encoded: Any
    labels: Any
    rows: NDArray[np.int64]


def _hold_triplets(shards: Sequence[str], given: Sequence[Sequence[str]]) -> _Held:
    """Reads the images of triplets."""
    wanted = {name for row in given for name in row}
    records = tf.data.TFRecordDataset(list(shards), compression_type=compression_of(shards))
    encoded, labels, names = [], [], []
    for record in records.map(parse_record).as_numpy_iterator():
        person, file = (record[key].decode() for key in ("image/class/text", "image/filename"))
        if (name := name_image(person, file)) in wanted:
            names.append(name)
            encoded.append(record["image/encoded"])
            labels.append(int(record["image/class/label"]))
    rows = place_triplets(given, names)
    return _Held(tf.constant(encoded), tf.constant(labels, tf.int64), rows)


def _stream_triplets(held: _Held, draw: Any) -> tf.data.Dataset:
    """The triplets of an epoch, as (encoded, labels), each `(3,)`."""
    rows = tf.data.Dataset.from_tensor_slices(held.rows)
    rows = rows.shuffle(len(held.rows), seed=draw, reshuffle_each_iteration=False)
    return rows.map(lambda row: (tf.gather(held.encoded, row), tf.gather(held.labels, row)))


def _row_order(sampler: Sampler, labels: Any) -> Any:
    """Where in the flattened groups each row of the batch comes from; labels: `(P, K)`."""
    num_identities, num_instances = labels.shape
    rows = np.arange(num_identities * num_instances, dtype=np.int32).reshape(
        num_identities, num_instances
    )
    person = labels[:, 0]
    if sampler == "pairs":
        # The first half stays; of the others (c1 c2) and (d1 d2) become (c1 d1) (c2 d2). In order
        # of the label, a quarter on is another person, unless one has more than a quarter.
        half, quarter = num_identities // 2, num_identities // 4
        crossed = tf.gather(tf.constant(rows[half:]), tf.argsort(person[half:], stable=True))
        crossed = tf.stack([crossed[:quarter], crossed[quarter:]], axis=2)
        return tf.concat([rows[:half].ravel(), tf.reshape(crossed, [-1])], axis=0)
    if sampler != "triplets":
        return tf.constant(rows.ravel())
    # The negative is the third image of the next group of another person.
    following = (np.arange(num_identities)[:, None] + np.arange(1, num_identities)) % num_identities
    other = tf.gather(person, following) != person[:, None]
    first = tf.argmax(tf.cast(other, tf.int32), axis=1, output_type=tf.int32)
    group = tf.gather(tf.constant(following, tf.int32), first, batch_dims=1)
    return tf.reshape(tf.stack([rows[:, 0], rows[:, 1], group * num_instances + 2], axis=1), [-1])


def _decode_all(encoded: Any, image_size: tuple[int, int], as_stored: bool) -> Any:
    pixels = tf.map_fn(
        lambda data: _decode(data, image_size, as_stored), encoded, fn_output_signature=tf.uint8
    )
    return tf.ensure_shape(pixels, (encoded.shape[0], *image_size, 3))


def _decode(data: Any, image_size: tuple[int, int], as_stored: bool = False) -> Any:
    # The accurate transform is Pillow's: a verdict on a file equals one on its record.
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    if as_stored:  # to ask each image again takes a sixth of the time of decoding it
        return tf.ensure_shape(pixels, (*image_size, 3))
    shape = tf.shape(pixels)
    pixels = tf.cond(
        tf.reduce_all(shape[:2] == image_size),
        lambda: pixels,
        lambda: tf.cast(tf.round(tf.image.resize(pixels, image_size)), tf.uint8),
    )
    return tf.ensure_shape(pixels, (*image_size, 3))


def _parse_whole(record: Any, image_size: tuple[int, int]) -> Mapping[str, Any]:
    features = parse_record(record)
    features["pixels"] = _decode(features.pop("image/encoded"), image_size)
    return features


def _text(values: NDArray[np.object_]) -> NDArray[np.str_]:
    return np.array([value.decode() for value in values], dtype=np.str_)
