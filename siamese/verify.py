"""Stage: two images -> do they show the same person, and how sure is that."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from siamese.data.images import read_image
from siamese.errors import InputError
from siamese.models.files import LoadedModel, load_model
from siamese.scores.verification import Calibration


@dataclass(frozen=True)
class Verification:
    """The answer for a pair of images.

    Attributes:
        verdict: "same", "different" or "unsure".
        distance: Euclidean, between the two unit vectors: 0 to 2.
        threshold: The largest distance that counts as the same person when no "unsure" is wanted.
        probability: Of the same person, 0 to 1, were both answers equally likely beforehand.
        false_accept_rate: Share of pairs of two people that this threshold takes for one, 0 to 1,
            measured on people that training never saw.
        false_reject_rate: Share of pairs of one person that it takes for two.
        model: The model file.
        fingerprint: Of its weights.
    """

    verdict: str
    distance: float
    threshold: float
    probability: float
    false_accept_rate: float
    false_reject_rate: float
    model: str
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON."""
        return asdict(self)


def verify(first: str | Path, second: str | Path, model: str | Path | LoadedModel) -> Verification:
    """Compares two images.

    Args:
        first: An image file.
        second: Another.
        model: A model file that holds its calibration, or one that is open already.

    Returns:
        Verdict, distance, probability and error rates.

    Raises:
        InputError: An image or the model cannot be used.
    """
    images = [read_image(path) for path in (first, second)]
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    if loaded.card.get("calibration") is None:
        raise InputError(
            f"{loaded.path}: holds no calibration, because its training has not ended. Finish it "
            "with train_siamese_network.py --resume"
        )
    calibration = Calibration.from_dict(loaded.card["calibration"])
    # A plain call answers for two images before `predict` would have traced its graph.
    one, other = (
        keras.ops.convert_to_numpy(loaded.embedder(image[None], training=False))[0]
        for image in images
    )
    distance = float(np.linalg.norm(one.astype(np.float64) - other))
    false_accept_rate, false_reject_rate = calibration.error_rates(calibration.threshold)
    return Verification(
        verdict=calibration.verdict(distance),
        distance=distance,
        threshold=calibration.threshold,
        probability=float(calibration.probability(distance)),
        false_accept_rate=false_accept_rate,
        false_reject_rate=false_reject_rate,
        model=str(loaded.path),
        fingerprint=loaded.fingerprint,
    )


def find_model(model: str | Path | None) -> Path:
    """The model file to use: the given one, or the newest of a finished run in `runs`.

    Raises:
        InputError: None was given and there is none.
    """
    if model is not None:
        return Path(model)
    found = sorted(Path("runs").glob("*/scores.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(
            "runs: holds no finished run. Give --model PATH, or train with train_siamese_network.py"
        )
    return found[-1].with_name("model.keras")
