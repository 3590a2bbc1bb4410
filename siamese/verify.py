"""Stage: two images -> do they show the same person, and how sure is that."""

from pathlib import Path

from siamese.inference import ImageLike, Model, Verification, find_model, load_model

__all__ = ["Verification", "find_model", "verify"]


def verify(first: ImageLike, second: ImageLike, model: str | Path | Model) -> Verification:
    """Compares two images.

    Args:
        first: An image: a file, a Pillow image or an array `(height, width, 3)`, RGB 0 to 255.
        second: Another.
        model: A model file that holds its calibration, or one that is open already.

    Returns:
        Verdict, distance, probability and error rates.

    Raises:
        InputError: An image or the model cannot be used.
    """
    return (model if isinstance(model, Model) else load_model(model)).verify(first, second)
