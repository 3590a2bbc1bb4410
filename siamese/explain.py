"""Stage: two images -> where on both of them the model found them alike.

The embedding is affine in the pooled feature map, so its cosine similarity to another embedding is
a sum over the positions of the map, and each position's summand says how much it adds: Stylianou,
Souvenir and Pless, "Visualizing Deep Similarity Networks", WACV 2019. No gradient is
taken, nothing is tuned, and the summands of a picture add up to the similarity.

With pooled features `v = sum over positions p of u_p`, the affine layers `h(v) = A v + b` between
pooling and normalisation, and the embedding `e = h(v) / |h(v)|` of the one image and `f` of the
other, over `n` positions:

    <e, f> = sum over p of <A u_p + b / n, f> / |h(v)|

For average pooling `u_p = a_p / n`. The generalised mean is homogeneous of degree one, so that by
Euler's theorem `u_p = a_p dv/da_p = v a_p^power / sum over q of a_q^power`, channel by channel.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.images import resize_pixels
from siamese.inference import ImageLike, Model, Verification, find_model, load_model
from siamese.inference.networks import KerasNetwork
from siamese.inference.reading import read_any
from siamese.models.checkpoint import read_metadata


@dataclass(frozen=True)
class Explanation:
    """The places where two images were found alike.

    Attributes:
        first: Contributions `(rows, columns)` of the positions of the first image; their sum is
            `similarity`. A position that speaks against is negative.
        second: The same of the second image.
        similarity: Cosine of the two embeddings, -1 to 1.
        images: Pixels of both, `(height, width, 3)`, uint8.
        verification: The verdict; None where the model holds no calibration.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    similarity: float
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    verification: Verification | None


def explain(a: ImageLike, b: ImageLike, model: str | Path | Model | None = None) -> Explanation:
    """Explains the similarity of two images.

    Args:
        a: An image: a file, a Pillow image or an array `(height, width, 3)`, RGB 0 to 255.
        b: Another.
        model: A `.keras` file that training wrote, or an open model; None: the one of
            `siamese.inference.find_model`. For an ONNX file, which holds no feature map, the
            `.keras` file beside it that it was exported from.

    Returns:
        The contributions of the positions of both images.

    Raises:
        InputError: An image or the model cannot be used.
    """
    images = (read_any(a), read_any(b))
    opened = _open(model)
    pixels = np.stack([resize_pixels(image, opened.image_size) for image in images])
    parts, rest, features = _split(opened)(pixels)
    lengths = np.linalg.norm(features, axis=1)
    units = features / np.maximum(lengths, 1e-12)[:, None]
    positions = parts.shape[1] * parts.shape[2]
    maps = [
        (parts[one] @ units[other] + rest @ units[other] / positions) / max(lengths[one], 1e-12)
        for one, other in ((0, 1), (1, 0))
    ]
    return Explanation(
        first=maps[0],
        second=maps[1],
        similarity=float(units[0] @ units[1]),
        images=images,
        verification=None if opened.calibration is None else opened.verify(*images),
    )


def _open(model: str | Path | Model | None) -> Model:
    """Opens a model with Keras behind it."""
    if isinstance(model, Model) and isinstance(model.network, KerasNetwork):
        return model
    path = model.path if isinstance(model, Model) else find_model(model)
    if path.suffix.lower() not in (".onnx", ".xml", ".bin"):
        return load_model(path)
    source = path.with_suffix(".keras")
    if source.is_file():
        exported = model if isinstance(model, Model) else load_model(path)
        if read_metadata(source)["fingerprint"] == exported.fingerprint:
            return _original(source, exported.fingerprint)
    raise InputError(
        f"{path}: holds no feature map to explain, and {source.name}, which an ONNX file is "
        "exported from, does not lie beside it. Give the .keras file."
    )


@functools.lru_cache(maxsize=2)
def _original(path: Path, fingerprint: str) -> Model:  # noqa: ARG001  # tells a new file from an old
    """Opens the file that an ONNX file was exported from, once: a page asks at every pair."""
    return load_model(path)


@functools.lru_cache(maxsize=2)
def _split(model: Model) -> Callable[[NDArray[np.float32]], tuple[NDArray[np.float64], ...]]:
    """Builds the function from images to `A u_p`, `b` and `h(v)` of the derivation above."""
    import keras
    from keras import ops

    from siamese.models.checkpoint import BNNECK, FEATURE_EXTRACTOR
    from siamese.models.layers import GeneralisedMean

    assert isinstance(model.network, KerasNetwork)
    embedder = model.network.embedder
    try:
        feature_extractor = embedder.get_layer(FEATURE_EXTRACTOR)
        pool = feature_extractor.get_layer("pool")
        until = keras.Model(feature_extractor.input, pool.input)
    except (ValueError, AttributeError):
        raise InputError(
            f"{model.path}: has no layer `pool` to look into. Give a model that "
            "train_siamese_network.py wrote."
        ) from None
    after = feature_extractor.layers[feature_extractor.layers.index(pool) + 1 :]
    after += [each for each in embedder.layers if each.name == BNNECK]

    def affine(features: Any) -> Any:
        for layer in after:
            features = layer(features, training=False)
        return ops.cast(features, "float32")

    def run(images: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
        maps = ops.cast(until(images, training=False), "float32")
        pooled = pool(maps)
        if isinstance(pool, GeneralisedMean):
            logarithms = pool.p * ops.log(ops.maximum(maps, pool.epsilon))
            shares = ops.softmax(ops.reshape(logarithms, (len(images), -1, maps.shape[-1])), axis=1)
            parts = ops.reshape(shares, maps.shape) * pooled[:, None, None, :]
        else:
            parts = maps / (maps.shape[1] * maps.shape[2])
        rest = affine(ops.zeros_like(pooled[:1]))
        places = ops.reshape(parts, (-1, maps.shape[-1]))
        turned = ops.reshape(affine(places) - rest, (*maps.shape[:3], -1))
        found = (turned, rest[0], affine(pooled))
        return tuple(np.asarray(ops.convert_to_numpy(each), np.float64) for each in found)

    return run
