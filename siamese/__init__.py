"""Person re-identification with Siamese networks on TensorFlow and Keras 3.

The few names that most programs need; they are loaded when they are used, so that importing this
package takes no time:

    model = siamese.load_model()
    model.verify("a.jpg", "b.jpg")      # -> Verification
    model.embed("crops")                # -> (images, dimensions) float32
    siamese.calibrate("crops")          # -> Profile: thresholds for your own cameras
    siamese.Gallery("people")           # a searchable database
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siamese.embeddings import find_similar_images
    from siamese.errors import InputError
    from siamese.identities import find_identities
    from siamese.inference import CropEmbedder, Model, Verification, load_model
    from siamese.models.pair import pair_model
    from siamese.profiles import calibrate, read_profile

__version__ = "0.1.0"

__all__ = [
    "CropEmbedder",
    "Gallery",
    "InputError",
    "Model",
    "Verification",
    "__version__",
    "calibrate",
    "find_identities",
    "find_similar_images",
    "load_model",
    "pair_model",
    "read_profile",
]

# TensorFlow's start-up notes (no GPU, instruction sets) would bury the program's own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On by itself only where the CPU has VNNI; with AVX2 alone a training step is twice as fast too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_HOMES = {
    "CropEmbedder": "siamese.inference",
    "Gallery": "siamese.gallery",
    "InputError": "siamese.errors",
    "Model": "siamese.inference",
    "Verification": "siamese.inference",
    "calibrate": "siamese.profiles",
    "find_identities": "siamese.identities",
    "find_similar_images": "siamese.embeddings",
    "load_model": "siamese.inference",
    "pair_model": "siamese.models.pair",
    "read_profile": "siamese.profiles",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'siamese' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
