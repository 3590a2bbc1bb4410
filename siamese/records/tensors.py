"""Records as tensors. The only module of this package that needs TensorFlow."""

from typing import Any

import tensorflow as tf

from siamese.records.schema import DEFAULTS

FEATURES: dict[str, Any] = {
    key: tf.io.FixedLenFeature(
        [],
        tf.int64 if isinstance(default, int) or key == "image/class/label" else tf.string,
        default_value=default,
    )
    for key, default in DEFAULTS.items()
}
"""The keys of a record, for `tf.io.parse_single_example`. What has a default may be missing."""


def parse_record(record: Any) -> dict[str, Any]:
    """Parses a record of this program or of the earlier project, for `tf.data.Dataset.map`.

    Args:
        record: A serialised example, text.

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
