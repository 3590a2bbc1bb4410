"""Many pairs at once: each image is embedded a single time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from siamese.errors import InputError
from siamese.inference.model import Model, Verification
from siamese.inference.reading import Progress
from siamese.metrics.blocks import exact_distances
from siamese.metrics.masks import UNKNOWN_CAMERA

if TYPE_CHECKING:
    from siamese.profiles import Profile


def verify_pairs(
    model: Model,
    pairs: Sequence[tuple[str | Path, str | Path]],
    prior: float = 0.5,
    *,
    profile: "Profile | None" = None,
    cameras: Sequence[tuple[int, int]] | None = None,
    progress: Progress | None = None,
) -> list[Verification]:
    """Says of each pair whether both images show the same person.

    Args:
        model: An open model.
        pairs: Image files.
        prior: As in `Model.verify`.
        profile: As in `Model.verify`.
        cameras: Of each pair, numbers in the profile; None: all unknown.
        progress: Called with the images done and all images.

    Returns:
        What `Model.verify` says, in the order of the pairs.

    Raises:
        InputError: An image is missing or damaged, or as in `Model.verify`.
    """
    calibration = model.choose_calibration(profile)
    files = list(dict.fromkeys(str(each) for pair in pairs for each in pair))
    for file in files:  # a wrong path is answered before an hour of work
        if not Path(file).is_file():
            raise InputError(f"{file}: no such file. Give the path of an image.")
    rows = model.embed(files, progress=progress)
    places = {file: place for place, file in enumerate(files)}
    sides = [rows[[places[str(pair[side])] for pair in pairs]] for side in (0, 1)]
    if profile is not None:
        known = np.full((len(pairs), 2), UNKNOWN_CAMERA) if cameras is None else np.array(cameras)
        sides = [profile.standardise(each, known[:, side]) for side, each in enumerate(sides)]
    distances = exact_distances(*sides).tolist()
    return [model.judge(distance, calibration, prior) for distance in distances]
