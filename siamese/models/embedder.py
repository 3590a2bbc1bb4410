"""The embedder: RGB pixels 0 to 255 of a person to a unit vector, preprocessing included."""

from collections.abc import Iterable
from typing import NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from siamese.models.backbones import LastStride, build_backbone, preparation_layers
from siamese.models.checkpoint import BNNECK, FEATURE_EXTRACTOR
from siamese.models.layers import Pooling, ResizeImages, build_pooling
from siamese.models.transfer import copy_weights, is_model


class EmbedderParts(NamedTuple):
    """The two parts of an embedder; training looks at what passes between them.

    Attributes:
        backbone: Images `(images, height, width, 3)`, RGB 0 to 255, to features
            `(images, embedding_size)`.
        bnneck: Batch normalisation of the features, or None.
    """

    feature_extractor: keras.Model
    bnneck: keras.layers.Layer | None


def build_embedder(
    *,
    backbone: str = "resnet50",
    weights: str = "imagenet",
    image_size: tuple[int, int] = (256, 128),
    embedding_size: int = 128,
    bnneck: bool = False,
    dropout: float = 0.0,
    pooling: Pooling = "average",
    last_stride: LastStride = 2,
) -> EmbedderParts:
    """Builds the parts of an embedder on a backbone.

    Args:
        backbone: A key of `siamese.models.backbones.BACKBONES`.
        weights: `imagenet`, `none` or the path of a weights file of the backbone; or a model of
            ours to start from, BNNeck and all: the path of its `.keras` file, or `pretrained`.
        image_size: Height and width in pixels that crops of any size are resized to.
        embedding_size: Dimensions of the embedding; 0: those of the backbone's pooled features,
            which then are the embedding.
        bnneck: Batch normalisation between feature and embedding (BNNeck, Luo et al. 2019,
            section 3.5): the metric loss sees the feature, the identity loss what follows.
        dropout: Share of the pooled features that training sets to 0.
        pooling: A kind of `siamese.models.layers.build_pooling`.
        last_stride: 1 for a ResNet or an EfficientNet-Lite whose last reduction is left out.

    Returns:
        The parts; `join_embedder` makes one model of them.

    Raises:
        InputError: From `build_backbone`; there is no such pooling; the model to start from is
            missing or of another architecture.
    """
    start = weights if is_model(weights) else None
    inputs = keras.Input((None, None, 3), name="images")
    outputs = inputs
    for layer in preparation_layers(backbone):
        outputs = layer(outputs)
    outputs = ResizeImages(image_size, dtype="float32", name="resize")(outputs)
    convolutions = build_backbone(backbone, "none" if start else weights, image_size, last_stride)
    # From here on float32, also when the backbone computes in half precision: distances between
    # people are smaller than what its 8 or 11 bits of mantissa leave.
    outputs = build_pooling(pooling, convolutions.output_shape[1:3])(convolutions(outputs))
    if dropout:
        outputs = layers.Dropout(dropout, dtype="float32", name="dropout")(outputs)
    if embedding_size:
        outputs = layers.Dense(embedding_size, dtype="float32", name="feature")(outputs)
    feature_extractor = keras.Model(inputs, outputs, name=FEATURE_EXTRACTOR)

    neck = None
    if bnneck:
        neck = layers.BatchNormalization(
            center=False, epsilon=1e-5, momentum=0.9, dtype="float32", name=BNNECK
        )
    if start:
        copy_weights(start, feature_extractor, neck)
    return EmbedderParts(feature_extractor, neck)


def join_embedder(parts: EmbedderParts) -> keras.Model:
    """Makes one model of the parts: images, RGB 0 to 255 of any size, to unit vectors."""
    inputs = keras.Input((None, None, 3), name="images")
    outputs = parts.feature_extractor(inputs)
    if parts.bnneck is not None:
        outputs = parts.bnneck(outputs)
    outputs = layers.UnitNormalization(dtype="float32", name="embedding")(outputs)
    return keras.Model(inputs, outputs, name="embedder")


def embed(embedder: keras.Model, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Embeds batches of images by an embedder in memory, such as one that is being trained.

    Args:
        embedder: A model of `join_embedder`.
        batches: Arrays `(images, height, width, 3)`, RGB 0 to 255; sizes may differ from batch to
            batch.

    Returns:
        Embeddings, `(images, embedding_size)`, float32, in the order of the images.
    """
    found = [embedder.predict_on_batch(np.asarray(batch)) for batch in batches]
    none = np.zeros((0, embedder.output_shape[-1]), np.float32)
    return np.concatenate([none, *(np.asarray(each, np.float32) for each in found)])
