"""The embedder: RGB pixels 0 to 255 of a person to a unit vector, preprocessing included."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from siamese.models.trunks import build_trunk, preparation_layers


class EmbedderParts(NamedTuple):
    """The two parts of an embedder; training looks at what passes between them.

    Attributes:
        backbone: Images `(images, height, width, 3)`, RGB 0 to 255, to features
            `(images, embedding_size)`.
        bottleneck: Batch normalisation of the features, or None.
    """

    backbone: keras.Model
    bottleneck: keras.layers.Layer | None


def build_embedder(
    *,
    trunk: str = "resnet50",
    weights: str = "imagenet",
    image_size: tuple[int, int] = (256, 128),
    embedding_size: int = 128,
    bottleneck: bool = False,
    dropout: float = 0.0,
) -> EmbedderParts:
    """Builds the parts of an embedder on a trunk.

    Args:
        trunk: A key of `siamese.models.trunks.TRUNKS`.
        weights: `imagenet`, `none` or the path of a weights file of the trunk.
        image_size: Height and width in pixels that crops of any size are resized to.
        embedding_size: Dimensions of the embedding.
        bottleneck: Batch normalisation between feature and embedding (BNNeck, Luo et al. 2019,
            section 3.5): the metric loss sees the feature, the identity loss what follows.
        dropout: Share of the pooled features that training sets to 0.

    Returns:
        The parts; `join_embedder` makes one model of them.

    Raises:
        InputError: From `build_trunk`.
    """
    inputs = keras.Input((None, None, 3), name="images")
    outputs = layers.Resizing(
        *image_size, interpolation="bilinear", dtype="float32", name="resize"
    )(inputs)
    for layer in preparation_layers(trunk):
        outputs = layer(outputs)
    outputs = build_trunk(trunk, weights, image_size)(outputs)
    outputs = layers.GlobalAveragePooling2D(name="pool")(outputs)
    if dropout:
        outputs = layers.Dropout(dropout, name="dropout")(outputs)
    outputs = layers.Dense(embedding_size, name="feature")(outputs)
    backbone = keras.Model(inputs, outputs, name="backbone")

    neck = layers.BatchNormalization(center=False, epsilon=1e-5, momentum=0.9, name="bottleneck")
    return EmbedderParts(backbone, neck if bottleneck else None)


def join_embedder(parts: EmbedderParts) -> keras.Model:
    """One model of the parts: images, RGB 0 to 255 of any size, to unit vectors."""
    inputs = keras.Input((None, None, 3), name="images")
    outputs = parts.backbone(inputs)
    if parts.bottleneck is not None:
        outputs = parts.bottleneck(outputs)
    outputs = layers.UnitNormalization(dtype="float32", name="embedding")(outputs)
    return keras.Model(inputs, outputs, name="embedder")


def embed(
    embedder: keras.Model, batches: Iterable[NDArray[np.uint8]], *, flip: bool = False
) -> NDArray[np.float32]:
    """Embeds batches of images.

    Args:
        embedder: A model of `join_embedder`.
        batches: Arrays `(images, height, width, 3)`, RGB 0 to 255; sizes may differ from batch to
            batch.
        flip: Average with the embedding of the mirrored image, then normalise again.

    Returns:
        Embeddings, `(images, embedding_size)`, float32, in the order of the images.
    """
    parts = list(_embed_each(embedder, batches, flip))
    if not parts:
        return np.zeros((0, embedder.output_shape[-1]), np.float32)
    return np.concatenate(parts)


def _embed_each(
    embedder: keras.Model, batches: Iterable[Any], flip: bool
) -> Iterator[NDArray[np.float32]]:
    for batch in batches:
        images = np.asarray(batch)
        embeddings = np.asarray(embedder.predict_on_batch(images), np.float32)
        if flip:
            embeddings = embeddings + embedder.predict_on_batch(images[:, :, ::-1])
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)
        yield embeddings
