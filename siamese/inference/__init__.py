"""A model file and images of any kind -> embeddings and verdicts.

model      what `siamese.load_model` gives, and which file it opens
networks   what computes: Keras, or onnxruntime alone
reading    images of any kind to batches
"""

from siamese.inference.model import Model, Verification, find_fastest, find_model, load_model
from siamese.inference.reading import ImageLike, Images

__all__ = [
    "ImageLike",
    "Images",
    "Model",
    "Verification",
    "find_fastest",
    "find_model",
    "load_model",
]
