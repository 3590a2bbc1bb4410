"""The calibration that a gallery makes of its own images, in a file beside its table."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError, refusing_damage
from siamese.files import check_fields, remove, write_text
from siamese.gallery.contents import one_of
from siamese.gallery.table import Table
from siamese.metrics.calibration import Calibration
from siamese.metrics.unlabelled import LARGEST, Pairing
from siamese.profiles import calibrate_rows

FEWEST_IMAGES = 100
"""Images of known cameras or tracklets from which a gallery calibrates itself."""
GROWTH = 1.1
"""A calibration is renewed when the gallery has so many times the images that it was made of."""
FILE = "calibration.json"
_COLUMNS = ("digest", "camera", "tracklet")


@dataclass(frozen=True)
class GalleryCalibration:
    """Holds how to read the distances of a gallery: made of its images, whose people do not count.

    Attributes:
        calibration: Of distances between the embeddings as they are: ranking does not change.
        images: Images of the gallery when it was made.
        version: Of the gallery then.
        pairing: The pairs that false-accept rates come from.
        same_person_share: The estimated share of pairs of one person among them.
        fingerprint: Of the model.
        reference: The model's own calibration.
    """

    calibration: Calibration
    images: int
    version: int
    pairing: Pairing
    same_person_share: float
    fingerprint: str
    reference: Calibration | None

    @property
    def own_false_accept_rate(self) -> float | None:
        """Returns the share of strangers here that the model's own threshold accepts."""
        if self.reference is None:
            return None
        return self.calibration.error_rates(self.reference.threshold)[0]

    def describe(self) -> str:
        """Says in words what it is made of."""
        return (
            f"the gallery's own, made of {self.images:,} images at version {self.version} "
            f"(pairs of {self.pairing})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives the facts for JSON, of the calibration its threshold and rate alone."""
        calibration = self.calibration
        return {
            "images": self.images,
            "version": self.version,
            "pairing": self.pairing,
            "same_person_share": self.same_person_share,
            "threshold": calibration.threshold,
            "false_accept_rate": calibration.error_rates(calibration.threshold)[0],
            "false_accept_interval": calibration.false_accept_interval,
            "own_false_accept_rate": self.own_false_accept_rate,
        }


class OwnCalibration:
    """Makes, keeps and reads the calibration of one gallery; whoever writes holds the right to.

    Args:
        table: Of the gallery.
        used: Whether the gallery calibrates itself; otherwise the model's own calibration answers,
            and a file that is there is left alone but for erasures.
    """

    def __init__(self, table: Table, used: bool = True) -> None:
        self.used = used
        self._table = table
        self._read: tuple[bytes, GalleryCalibration] | None = None

    def find(self) -> GalleryCalibration | None:
        """Reads the calibration in use; None where the model's own answers.

        Raises:
            InputError: The file is damaged.
        """
        if not self._usable():
            return None
        try:
            data = self._path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if self._read is None or self._read[0] != data:
            self._read = data, _parse(data, self._path)
        found = self._read[1]
        return found if found.fingerprint == self._table.space().fingerprint else None

    def choose(self, model: Calibration | None) -> Calibration | None:
        """Gives the calibration that answers: the gallery's own, else the model's."""
        found = self.find()
        return model if found is None else found.calibration

    def facts(self) -> dict[str, Any] | None:
        """Gives the facts of the gallery's own calibration for JSON; None where there is none."""
        found = self.find()
        return None if found is None else found.to_dict()

    def renew(
        self, reference: Calibration | None, *, anew: bool = False
    ) -> GalleryCalibration | None:
        """Makes a calibration where there is none, or the gallery has grown by a tenth, or `anew`.

        Equal rows give an equal calibration, in whatever order they were added.

        Returns:
            What answers from now on; None: the model's own, which is the reference.
        """
        if not self._usable():
            return None
        old = None if anew else self._whole()
        count = self._table.count()
        if find_spec("scipy") is None:  # of the extra `evaluate`; the model's own answers
            return old
        if old is not None and count < GROWTH * old.images:
            return old
        digests, cameras, tracklets = _columns(self._table.read(_COLUMNS))
        numbers = cameras if len(np.unique(cameras[cameras >= 0])) > 1 else tracklets
        known = np.unique(digests[numbers >= 0])[:LARGEST]  # digests are in no order: a fair draw
        if (numbers >= 0).sum() < FEWEST_IMAGES or len(np.unique(numbers[numbers >= 0])) < 2:
            remove(self._path)
            return None
        embeddings, rows = self._table.read_embeddings(_COLUMNS, one_of("digest", known.tolist()))
        digests, cameras, tracklets = _columns(rows)
        order = np.lexsort((tracklets, cameras, digests))
        calibration, pairing, share = calibrate_rows(
            embeddings[order],
            cameras[order],
            tracklets[order],
            reference=reference,
            false_accept_rate=0.01 if reference is None else reference.false_accept_rate,
        )
        space, version = self._table.space(), self._table.version()
        values = {
            "calibration": calibration.to_dict(),
            "images": count,
            "version": version,
            "pairing": pairing,
            "same_person_share": share,
            "fingerprint": space.fingerprint,
            "reference": None if reference is None else reference.to_dict(),
        }
        write_text(self._path, json.dumps(values))
        return self.find()

    @contextlib.contextmanager
    def leaving(self) -> Iterator[Callable[[], None]]:
        """Gives what is called before rows are erased: the file goes, and is made anew after."""
        old = self._whole()
        yield lambda: remove(self._path) if self._table.is_local else None
        if old is not None and not self._path.exists():  # something was erased
            self.renew(old.reference, anew=True)

    @property
    def _path(self) -> Path:
        return Path(self._table.uri) / FILE

    def _whole(self) -> GalleryCalibration | None:
        """Reads the calibration in use; a damaged one is as none, for who makes it anew."""
        with contextlib.suppress(InputError):
            return self.find()
        return None

    def _usable(self) -> bool:
        # Elsewhere nothing holds the right to write, so a file could be of another version.
        return self.used and self._table.is_local and self._table.exists()


def _columns(rows: Any) -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.int64]]:
    cameras, tracklets = (rows[name].fill_null(-1).to_numpy() for name in _COLUMNS[1:])
    return np.array(rows["digest"].to_pylist(), np.str_), cameras, tracklets


def _parse(data: bytes, path: Path) -> GalleryCalibration:
    with refusing_damage(path, "Make it again with siamese gallery calibrate."):
        values: Mapping[str, Any] = json.loads(data)
        calibration, reference = (
            None if values[name] is None else Calibration.from_dict(values[name])
            for name in ("calibration", "reference")
        )
        read = {**values, "calibration": calibration, "reference": reference}
        return check_fields(GalleryCalibration(**read))
