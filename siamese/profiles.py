"""Stage: crops of your own cameras -> a profile: how to read a model's distances there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.datasets import Sample
from siamese.datasets.coverage import drop_damaged
from siamese.embeddings import list_all
from siamese.errors import InputError, OnCorrupt, refusing_damage
from siamese.files import check_fields, write_text
from siamese.inference import Model, load_model
from siamese.inference.reading import Progress
from siamese.metrics.bootstrap import calibrate_pairs
from siamese.metrics.calibration import Calibration, fit_calibration
from siamese.metrics.masks import UNKNOWN_CAMERA, known_people
from siamese.metrics.pairs import count_pairs, sample_pairs
from siamese.metrics.unlabelled import (
    CameraStatistics,
    Pairing,
    bootstrap_unlabelled,
    calibrate_unlabelled,
    camera_statistics,
    count_unlabelled,
    standardise,
)

PROFILE_FORMAT = 1
"""Version of the file."""
FEWEST_PEOPLE = 20
"""Known people from which on false accepts and false rejects are measured on their pairs."""


@dataclass(frozen=True)
class Profile:
    """Holds what `siamese calibrate` finds out: a JSON file; the model stays as it is.

    So one model serves several places, and models of others, whose files hold no such thing, too.

    Attributes:
        fingerprint: Of the model.
        calibration: Of distances between standardised embeddings.
        cameras: Statistics by camera; those of -1 are for any other.
        pairing: Which pairs of unlabelled images gave the false-accept rates; None where people
            were known.
        same_person_share: The estimated share of pairs of one person among them; None likewise.
        own_false_accept_rate: What the model's own threshold accepts of pairs of two people on
            these images, not standardised; None where the model holds no threshold.
        images: How many images it was made of.
    """

    fingerprint: str
    calibration: Calibration
    cameras: Mapping[int, CameraStatistics]
    pairing: Pairing | None
    same_person_share: float | None
    own_false_accept_rate: float | None
    images: int

    def standardise(self, embeddings: ArrayLike, cameras: ArrayLike) -> NDArray[np.float32]:
        """Standardises embeddings by their cameras; see `siamese.metrics.unlabelled`."""
        return standardise(embeddings, cameras, self.cameras)

    @property
    def digest(self) -> str:
        """Returns eight hexadecimal digits: files of standardised embeddings are marked by them."""
        return blake2b(json.dumps(self._values()).encode(), digest_size=4).hexdigest()

    def check(self, fingerprint: str, path: str | Path) -> None:
        """Checks that the profile belongs to a model.

        Raises:
            InputError: It is of another one.
        """
        if fingerprint != self.fingerprint:
            raise InputError(
                f"{path}: has the fingerprint {fingerprint}, but the profile is of a model with "
                f"{self.fingerprint}. Run siamese calibrate with this model."
            )

    def write(self, path: str | Path) -> None:
        """Writes the profile, whole or not at all."""
        write_text(Path(path), json.dumps({"format": PROFILE_FORMAT, **self._values()}))

    def _values(self) -> dict[str, Any]:
        cameras = {
            str(number): {
                "mean": np.round(each.mean, 6).tolist(),
                "deviation": np.round(each.deviation, 6).tolist(),
                "images": each.images,
            }
            for number, each in self.cameras.items()
        }
        return {**vars(self), "calibration": self.calibration.to_dict(), "cameras": cameras}


def calibrate(
    folder: str | Path | Sequence[Sample],
    model: str | Path | Model | None = None,
    *,
    false_accept_rate: float = 1e-2,
    labels: bool = True,
    on_corrupt: OnCorrupt = "error",
    progress: Progress | None = None,
) -> Profile:
    """Calibrates a model for the cameras of a folder of crops; nobody has to be known in it.

    Embeddings are standardised by camera. Where at least `FEWEST_PEOPLE` people are known, with
    several images each, error rates are measured on their pairs. Else false-accept rates come from
    pairs of unknown people (`siamese.metrics.unlabelled`), and false-reject rates are not known.

    Args:
        folder: Images at any depth; cameras, tracklets and people as their dataset or names tell.
            Or such images, listed.
        model: A model file, an open model, or None as for `siamese.load_model`.
        false_accept_rate: What the threshold is set for, above 0 and below 1.
        labels: Use people where they are known.
        on_corrupt: What damaged images do: "error" names them all and ends, "skip" leaves them out.
        progress: Called with the images done and all images.

    Returns:
        The profile; `Profile.write` keeps it, `Model.verify` takes it.

    Raises:
        InputError: The folder, an image or the model cannot be used, or there are no pairs.
    """
    from siamese.evaluate import embed_samples  # brings matplotlib, which verifying does not need

    listed = list_all(Path(folder)) if isinstance(folder, str | Path) else folder
    samples = drop_damaged(listed, on_corrupt)
    opened = model if isinstance(model, Model) else load_model(model)
    images = embed_samples(opened, samples, progress=progress)
    raw, people, cameras = images.embeddings, images.people, images.cameras
    tracklets = images.tracklets
    assert tracklets is not None
    statistics = camera_statistics(raw, cameras)
    rows = standardise(raw, cameras, statistics)
    own, before = opened.calibration, None
    known = known_people(people)
    repeated = np.unique(people[known], return_counts=True)[1] > 1
    pairing, share = None, None
    if labels and repeated.sum() >= FEWEST_PEOPLE:
        chosen = (people[known], cameras[known])
        calibration = calibrate_pairs(
            count_pairs(rows[known], *chosen),
            sample_pairs(rows[known], *chosen),
            false_accept_rate=false_accept_rate,
        )
        if own is not None:
            before = fit_calibration(count_pairs(raw[known], *chosen))
    else:
        calibration, pairing, share = calibrate_rows(
            rows, cameras, tracklets, reference=own, false_accept_rate=false_accept_rate
        )
        if own is not None:
            before, _ = calibrate_unlabelled(count_unlabelled(raw, cameras, tracklets))
    own_rate = None
    if own is not None and before is not None:
        own_rate = before.error_rates(own.threshold)[0]
    return Profile(
        opened.fingerprint, calibration, statistics, pairing, share, own_rate, len(samples)
    )


def calibrate_rows(
    rows: NDArray[np.float32],
    cameras: NDArray[np.int64],
    tracklets: NDArray[np.int64],
    *,
    reference: Calibration | None = None,
    false_accept_rate: float = 1e-2,
) -> tuple[Calibration, Pairing, float]:
    """Calibrates as `calibrate_unlabelled`, of embeddings, with the interval of the error rate.

    Arguments are those of `count_unlabelled` and `calibrate_unlabelled`.

    Returns:
        The calibration, which pairs it is of, and the estimated share of one person among them.
    """
    pairs = count_unlabelled(rows, cameras, tracklets)
    calibration, share = calibrate_unlabelled(
        pairs, reference=reference, false_accept_rate=false_accept_rate
    )
    interval = bootstrap_unlabelled(rows, cameras, tracklets, false_accept_rate=false_accept_rate)
    return replace(calibration, false_accept_interval=interval), pairs.pairing, share


def read_profile(path: str | Path) -> Profile:
    """Reads what `Profile.write` wrote.

    Raises:
        InputError: There is no such file, or it is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such profile. Make one with siamese calibrate.")
    fix = "Make it again with siamese calibrate."
    with refusing_damage(path, fix, "is not a profile, or a damaged one"):
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != PROFILE_FORMAT:
            raise ValueError("another version")
        values["calibration"] = Calibration.from_dict(values["calibration"])
        values["cameras"] = {
            int(number): CameraStatistics(
                np.array(each["mean"], np.float64),
                np.array(each["deviation"], np.float64),
                int(each["images"]),
            )
            for number, each in values["cameras"].items()
        }
        profile = check_fields(Profile(**values))
        sizes = {each.mean.shape + each.deviation.shape for each in profile.cameras.values()}
        if len(sizes) != 1 or UNKNOWN_CAMERA not in profile.cameras:
            raise ValueError("its cameras do not agree")
    return profile
