"""A model file and images of any kind -> embeddings and verdicts.

model         what `siamese.load_model` gives
in_use        which file it opens: the model in use, the newest, the pretrained one
networks      what computes: Keras, onnxruntime or OpenVINO; files of ours or of others
preprocessor  RGB 0 to 255 to what a network made elsewhere takes
channels      finds a model that gets its colours in the wrong order
crops         a frame and boxes to embeddings, as trackers ask
reading       images of any kind to arrays and batches
"""

from siamese.inference.channels import doubt_channels
from siamese.inference.crops import CropEmbedder
from siamese.inference.in_use import (
    Choice,
    find_by_fingerprint,
    find_fastest,
    find_model,
    model_in_use,
    use_model,
)
from siamese.inference.model import Model, Verification, load_model, reopen_model, verify_pairs
from siamese.inference.reading import ImageLike, Images

__all__ = [
    "Choice",
    "CropEmbedder",
    "ImageLike",
    "Images",
    "Model",
    "Verification",
    "doubt_channels",
    "find_by_fingerprint",
    "find_fastest",
    "find_model",
    "load_model",
    "model_in_use",
    "reopen_model",
    "use_model",
    "verify_pairs",
]
