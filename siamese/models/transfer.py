"""A model of ours as the start of another: its architecture and its weights."""

from pathlib import Path
from typing import Any

import keras

from siamese.errors import InputError
from siamese.models.backbones import find_backbone, put_weights
from siamese.models.checkpoint import (
    BNNECK,
    FEATURE_EXTRACTOR,
    PRETRAINED,
    PRETRAINED_LICENCE,
    load_checkpoint,
    read_metadata,
)

ARCHITECTURE = {"pooling": "average", "last_stride": 2, "bnneck": False, "dropout": 0.0}
"""Arguments of `build_embedder` that a model has beside its backbone and its embedding size; where
its file does not name one, it is this."""


def is_model(weights: str) -> bool:
    """Returns whether `weights` names a model of ours, and not a backbone's weights file."""
    return weights == "pretrained" or weights.endswith(".keras")


def model_path(weights: str) -> Path:
    """Returns the file that `weights` names.

    Raises:
        InputError: It is `pretrained`, and the package holds no model.
    """
    if weights != "pretrained":
        return Path(weights)
    if not PRETRAINED.is_file():
        raise InputError(
            f"{PRETRAINED}: the package comes without its model. Give the model file to start "
            "from: --weights runs/NAME/model.keras"
        )
    return PRETRAINED


def architecture_of(weights: str) -> dict[str, Any]:
    """Reads from a model's file what it is built of.

    Returns:
        Arguments of `build_embedder`: `backbone`, `embedding_size`, `image_size` and those of
        `ARCHITECTURE`.

    Raises:
        InputError: There is no such model, or its file does not name what it is built of.
    """
    path = model_path(weights)
    metadata = read_metadata(path)
    section = metadata.get("recipe", {}).get("model")
    if section is None:
        raise InputError(
            f"{path}: does not say what it is built of (no recipe inside), so no training can go "
            "on from it. Give a model.keras that train_siamese_network.py wrote."
        )
    height, width = metadata["image_size"]
    return {
        "backbone": section["backbone"],
        "embedding_size": section["embedding_size"],
        "image_size": (int(height), int(width)),
        **{name: section.get(name, default) for name, default in ARCHITECTURE.items()},
    }


def describe_start(backbone: str, weights: str) -> dict[str, str]:
    """Says what a training starts from, and the licence that those weights bring along.

    Returns:
        `weights`: what they are, in words; `licence`: what its holders allow, in words.

    Raises:
        InputError: `weights` names a model that is missing or damaged.
    """
    if weights == "none":
        return {"weights": f"{backbone} with random weights", "licence": "none"}
    if is_model(weights):
        path = model_path(weights)
        metadata = read_metadata(path)
        network = metadata.get("recipe", {}).get("model", {}).get("backbone", "unknown backbone")
        if weights == "pretrained":
            return {"weights": f"the pretrained model ({network})", "licence": PRETRAINED_LICENCE}
        licence = metadata.get("starting_weights", {}).get("licence", "not named in its file")
        return {"weights": f"the model {path} ({network})", "licence": licence}
    if weights != "imagenet":
        return {"weights": f"{backbone} from {weights}", "licence": "that of this file"}
    package = find_backbone(backbone).package
    licence = "as published with Keras, https://keras.io/api/applications"
    if package:
        licence = f"Apache 2.0 (package {package.replace('_', '-')})"
    return {"weights": f"{backbone} with ImageNet weights", "licence": licence}


def copy_weights(
    weights: str, feature_extractor: keras.Model, bnneck: keras.layers.Layer | None
) -> None:
    """Puts the weights of a model into the parts of an embedder of the same architecture.

    The size of the images may differ: every backbone is convolutional. A BNNeck is built here where
    it is not yet.

    Raises:
        InputError: There is no such model, or it is of another architecture.
    """
    loaded = load_checkpoint(model_path(weights))
    source = loaded.embedder.get_layer(FEATURE_EXTRACTOR)
    neck = next((each for each in loaded.embedder.layers if each.name == BNNECK), None)
    shapes, wanted = (
        [tuple(weight.shape) for weight in each.weights] for each in (source, feature_extractor)
    )
    if shapes != wanted or (neck is None) != (bnneck is None):
        section = loaded.metadata.get("recipe", {}).get("model", {})
        raise InputError(
            f"{loaded.path}: is a model of another architecture than the one to be trained "
            f"(backbone {section.get('backbone', 'unknown')}, {loaded.embedder.output_shape[-1]} "
            "dimensions). Build what the file says: siamese.models.transfer.architecture_of"
        )
    put_weights(feature_extractor, source.get_weights())
    if bnneck is not None and neck is not None:
        bnneck.build(feature_extractor.output_shape)
        bnneck.set_weights(neck.get_weights())
