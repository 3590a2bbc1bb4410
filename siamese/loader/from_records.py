"""Records to batches: one pipeline for training, one for evaluation.

Training draws row numbers (`siamese.sampler`) and reads these records where they lie in the files:
an index of offsets, labels and cameras is made by one pass over the files, so the memory needed
does not grow with the images. Pixels stay uint8 until they are inside the model.
"""

import contextlib
import functools
import gzip
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from siamese.datasets.triplets import kept_triplets, name_image, place_triplets
from siamese.errors import InputError
from siamese.loader.from_files import LabelledImages, kept_size
from siamese.records import UNKNOWN_LABEL, Part
from siamese.records.schema import DEFAULTS
from siamese.sampler import RowSampler
from siamese.vectors import mix_person_means

ENCODED, LABEL, CAMERA = "image/encoded", "image/class/label", "image/camera"
_LENGTH_BYTES, _FRAME_BYTES = 12, 16  # before a record, and around it
FEATURES: dict[str, Any] = {
    key: tf.io.FixedLenFeature(
        [],
        tf.int64 if isinstance(default, int) or key == "image/class/label" else tf.string,
        default_value=default,
    )
    for key, default in DEFAULTS.items()
}
"""The keys of a record, for `tf.io.parse_single_example`. What has a default may be missing."""


def train_batches(
    shards: Sequence[str],
    part: Part,
    *,
    image_size: tuple[int, int],
    unlabelled_shards: Sequence[str] = (),
    taught: NDArray[np.float32] | None = None,
    person_share: float = 0.0,
    first_epoch: int = 0,
    **options: Any,
) -> tuple[tf.data.Dataset, int]:
    """Returns endless batches of images and labels, in epochs.

    Where `sampler` is `triplets` and `triplets.csv` lies beside the shards, its rows are the
    triplets, each once an epoch.

    Args:
        shards: Record files.
        part: Entry of the manifest for these shards.
        image_size: Height and width in pixels of the images in a batch.
        unlabelled_shards: Record files of images of unknown people, where batches have such.
        taught: What a teacher says of the images, `(images, dimensions)`, float32, in the order of
            `encoded_images([*shards, *unlabelled_shards])`; it then comes with each.
        person_share: Of the mean of the person in what the teacher says
            (`siamese.vectors.mix_person_means`).
        first_epoch: Number of the epoch that comes first, from 0.
        **options: Of `siamese.sampler.RowSampler`.

    Returns:
        A dataset of (images `(rows, height, width, 3)` uint8, labels `(rows,)` int32), where they
        are taught with a third member, `(rows, dimensions)` float32; and the number of batches in
        an epoch.

    Raises:
        InputError: As `RowSampler`.
    """
    index = _open_records(_states([*shards, *unlabelled_shards]))
    labels = np.where(index.files < len(shards), index.labels, UNKNOWN_LABEL)
    given = kept_triplets(Path(shards[0]).parent) if options.get("sampler") == "triplets" else []
    sampler = RowSampler(
        labels,
        index.cameras,
        triplets=place_triplets(given, _names(shards)) if given else None,
        **options,
    )
    if taught is not None and person_share:
        taught = mix_person_means(taught, labels, index.cameras, person_share)
    as_stored = not unlabelled_shards and set(part.image_sizes) == {"{}x{}".format(*image_size)}

    def read() -> Iterator[tuple[NDArray[Any], ...]]:
        for rows in sampler.endless(first_epoch):
            records = np.array([index.read(row) for row in rows], object)
            batch = records, labels[rows].astype(np.int32)
            yield batch if taught is None else (*batch, taught[rows])

    def decode(records: Any, *others: Any) -> tuple[Any, ...]:
        encoded = tf.io.parse_example(records, {ENCODED: FEATURES[ENCODED]})[ENCODED]
        pixels = tf.map_fn(
            lambda data: decode_record(data, image_size, as_stored),
            encoded,
            fn_output_signature=tf.uint8,
        )
        return tf.ensure_shape(pixels, (sampler.size, *image_size, 3)), *others

    signature = [tf.TensorSpec(sampler.size, tf.string), tf.TensorSpec(sampler.size, tf.int32)]
    if taught is not None:
        signature.append(tf.TensorSpec((sampler.size, taught.shape[1]), tf.float32))
    dataset = tf.data.Dataset.from_generator(read, output_signature=tuple(signature))
    return dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4), sampler.steps


def evaluation_batches(
    shards: Sequence[str], *, image_size: tuple[int, int], batch_size: int = 64
) -> Iterator[LabelledImages]:
    """Yields every record once, in order, in batches; the last one may be short.

    Raises:
        InputError: A shard is damaged, or not of this schema.
    """

    def parse(record: Any) -> Mapping[str, Any]:
        features = parse_record(record)
        return {**features, ENCODED: decode_record(features[ENCODED], image_size)}

    parsed = _records(shards).map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    try:
        for batch in parsed.batch(batch_size).prefetch(2).as_numpy_iterator():
            yield LabelledImages(
                images=batch[ENCODED],
                labels=batch[LABEL],
                people=_text(batch["image/class/text"]),
                cameras=batch[CAMERA],
                tracklets=batch["image/tracklet"],
                names=_text(batch["image/filename"]),
            )
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, ValueError) as error:
        raise InputError(
            f"{shards[0]}: the records cannot be read ({_reason(error)}). Remove the folder "
            "and build the records again."
        ) from None


def encoded_images(shards: Sequence[str]) -> Iterator[bytes]:
    """Reads the images of record files, as encoded as they are, in order."""
    wanted = {ENCODED: FEATURES[ENCODED]}
    encoded = _records(shards).batch(128).map(lambda batch: tf.io.parse_example(batch, wanted))
    for batch in encoded.as_numpy_iterator():
        yield from batch[ENCODED]


@contextlib.contextmanager
def naming_damage(folder: str | Path) -> Iterator[None]:
    """Says in one line that a record of a set is damaged, wherever in a training that is found.

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


def batch_image_size(part: Part, image_size: tuple[int, int]) -> tuple[int, int]:
    """Returns the `kept_size` of the images of a part."""
    sizes = (tuple(int(side) for side in size.split("x")) for size in part.image_sizes)
    return kept_size(sizes, image_size)


def parse_record(record: Any) -> dict[str, Any]:
    """Parses a record of this program or of the earlier project, for `tf.data.Dataset.map`.

    Returns:
        A scalar for each of `FEATURES`. Where a record does not say the person's name, its label
        stands for it, unless the person is unknown (label -1); and for a missing file name a hash
        of the image does.
    """
    values = dict(tf.io.parse_single_example(record, FEATURES))
    label, encoded = values["image/class/label"], values["image/encoded"]
    stand_ins = {
        "image/class/text": tf.where(label < 0, "", tf.strings.as_string(label)),
        "image/filename": tf.strings.as_string(tf.strings.to_hash_bucket_fast(encoded, 2**62)),
    }
    for key, stand_in in stand_ins.items():
        values[key] = tf.where(tf.equal(values[key], b""), stand_in, values[key])
    return values


def decode_record(data: Any, image_size: tuple[int, int], as_stored: bool = False) -> Any:
    """Decodes and resizes one image, as `siamese.images` does with Pillow.

    Args:
        data: An encoded image, scalar text.
        image_size: Height and width wanted, in pixels.
        as_stored: It has that size: to ask each image takes a sixth of the time of decoding it.

    Returns:
        `(*image_size, 3)`, uint8.
    """
    # The accurate transform is Pillow's: a verdict on a file equals one on its record.
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    if not as_stored:
        pixels = tf.cond(
            tf.reduce_all(tf.shape(pixels)[:2] == image_size),
            lambda: pixels,
            lambda: tf.cast(tf.round(tf.image.resize(pixels, image_size)), tf.uint8),
        )
    return tf.ensure_shape(pixels, (*image_size, 3))


class _RecordIndex:
    """Finds records where they lie in files: `files`, `labels` and `cameras`, each `(records,)`."""

    def __init__(self, shards: Sequence[str]) -> None:
        wanted = {key: FEATURES[key] for key in (LABEL, CAMERA)}
        parts = []
        for number, shard in enumerate(shards):
            batches = _records([shard]).batch(1024)
            batches = batches.map(
                lambda records: (tf.strings.length(records), tf.io.parse_example(records, wanted)),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            end = 0
            for lengths, values in batches.as_numpy_iterator():
                ends = end + np.cumsum(lengths.astype(np.int64) + _FRAME_BYTES)
                starts, end = ends - _FRAME_BYTES - lengths + _LENGTH_BYTES, ends[-1]
                files = np.full(len(lengths), number)
                parts.append((files, values[LABEL], values[CAMERA], starts, lengths))
        columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.files, self.labels, self.cameras, self._starts, self._lengths = columns
        self._contents = [_map_file(shard) for shard in shards]

    def read(self, row: int) -> bytes:
        """Reads one record."""
        start = self._starts[row]
        return bytes(self._contents[self.files[row]][start : start + self._lengths[row]])


def _states(shards: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    states = ((str(shard), Path(shard).stat()) for shard in shards)
    return tuple((shard, state.st_size, state.st_mtime_ns) for shard, state in states)


# A training opens its batches several times.
@functools.lru_cache(maxsize=4)
def _open_records(states: tuple[tuple[str, int, int], ...]) -> _RecordIndex:
    return _RecordIndex([shard for shard, _, _ in states])


def _map_file(shard: str) -> NDArray[np.uint8]:
    """Maps a file into memory, a compressed one as it is unpacked."""
    if not shard.endswith(".gz"):
        return (
            np.memmap(shard, np.uint8, "r") if Path(shard).stat().st_size else np.empty(0, np.uint8)
        )
    with gzip.open(shard) as packed, tempfile.TemporaryFile() as file:
        shutil.copyfileobj(packed, file)
        file.flush()
        return np.memmap(file, np.uint8, "r")


def _records(shards: Sequence[str]) -> tf.data.Dataset:
    packed = any(shard.endswith(".gz") for shard in shards)
    return tf.data.TFRecordDataset(list(shards), compression_type="GZIP" if packed else "")


def _names(shards: Sequence[str]) -> list[str]:
    """Names all images as `triplets.csv` does, in order."""
    columns = (
        _text(record[key] for record in _records(shards).map(parse_record).as_numpy_iterator())
        for key in ("image/class/text", "image/filename")
    )
    return [name_image(*both) for both in zip(*columns, strict=True)]


def _reason(error: Exception) -> str:
    """Returns what TensorFlow says is wrong, without the names of its nodes."""
    # The sentence comes last, after where in the program it was, and before the nodes.
    lines = str(error).partition("\n\t [[")[0].splitlines() or [""]
    return re.sub(r"\{\{.*?\}\} ?|.*Iterator::\S* | \[Op:.*", "", lines[-1])[:160]


def _text(values: Any) -> NDArray[np.str_]:
    return np.array([value.decode() for value in values], dtype=np.str_)
