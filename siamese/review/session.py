"""A review: the answers on one gallery, in a folder."""

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError, refusing_damage
from siamese.files import write_text
from siamese.gallery import Gallery, GalleryImage
from siamese.metrics.blocks import pair_distances
from siamese.metrics.calibration import Calibration
from siamese.review.answers import Answer, group, read_answers, write_answers
from siamese.review.questions import recalibrate, uncertain_pairs

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class ReviewPair:
    """Two images of the gallery that somebody is asked about, and their distance."""

    first: GalleryImage
    second: GalleryImage
    distance: float


class Review:
    """The answers on a gallery: asked for, kept, and put to use; for several threads at once.

    Args:
        gallery: An open gallery.
        folder: Where the files of the review are; it is made by the first answer.

    Raises:
        InputError: The model holds no calibration, or a file of the review is damaged.
    """

    def __init__(self, gallery: Gallery, folder: str | Path) -> None:
        model = gallery.model
        if model.calibration is None:
            raise InputError(
                f"{model.path}: holds no calibration, so that a distance says nothing. Finish its "
                "training with train_siamese_network.py --resume, or give another model."
            )
        self.gallery = gallery
        self.folder = Path(folder)
        self.model_calibration = model.calibration
        self._guard = threading.RLock()
        self._answers = read_answers(self.folder)
        self._own = self._read_calibration()

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers so far, in the order in which they were given."""
        return tuple(self._answers)

    @property
    def calibration(self) -> Calibration:
        """The calibration in use: of the answers, else of the gallery's images, else the model."""
        chosen = self._own or self.gallery.own_calibration.choose(self.model_calibration)
        return chosen or self.model_calibration

    @property
    def is_recalibrated(self) -> bool:
        """Tells whether the calibration in use was made from this gallery."""
        return self._own is not None

    def pairs(self, count: int = 20) -> list[ReviewPair]:
        """Chooses up to `count` unanswered pairs to ask about next, as `uncertain_pairs` does."""
        if len(self.gallery) < 2:
            return []
        embeddings, rows = self._rows()
        row_of = {row.path: place for place, row in enumerate(rows)}
        with self._guard:
            answered = {
                frozenset(row_of[path] for path in each.pair)
                for each in self._answers
                if each.pair <= row_of.keys()
            }
        chosen = uncertain_pairs(
            embeddings,
            [row.camera for row in rows],
            self.calibration.threshold,
            skip=answered,
            last=[row.person for row in rows],
            count=count,
        )
        first, second = np.array(chosen, np.int64).reshape(-1, 2).T
        distances = pair_distances(embeddings, first, second).tolist()
        return [
            ReviewPair(rows[one], rows[other], distance)
            for (one, other), distance in zip(chosen, distances, strict=True)
        ]

    def answer(self, pair: ReviewPair, same: bool) -> Answer:
        """Keeps an answer.

        Raises:
            InputError: An image was erased since the pair was shown.
        """
        given = Answer(pair.first.path, pair.second.path, same, round(pair.distance, 6))
        with self._guard:
            images = self._images()
            if not given.pair <= {each.path for each in images}:
                raise InputError("an image of this pair was erased meanwhile. Skip it.")
            self._answers = [*self._answers, given]
            self.save(images)
        return given

    def take_back(self, given: Answer) -> bool:
        """Forgets an answer, the last of equal ones; False where it is there no longer."""
        with self._guard:
            if given not in self._answers:
                return False
            last = len(self._answers) - 1 - self._answers[::-1].index(given)
            self._answers = [*self._answers[:last], *self._answers[last + 1 :]]
            self.save()
            return True

    def forget(self, images: Iterable[str]) -> None:
        """Forgets every answer on images that were erased, given by their paths."""
        gone = set(images)
        with self._guard:
            kept = [each for each in self._answers if not each.pair & gone]
            if len(kept) < len(self._answers):
                self._answers = kept
                self.save()

    def put_back(self, answers: Iterable[Answer]) -> None:
        """Brings answers back that `forget` forgot; those that are there already stay once."""
        with self._guard:
            self._answers = list(dict.fromkeys([*self._answers, *answers]))
            self.save()

    def save(self, images: Sequence[GalleryImage] | None = None) -> None:
        """Writes the answers, if any, and triplets, which go by the names in the gallery too.

        `images` are those of the gallery, where they have been listed already.
        """
        with self._guard:
            if self._answers or self.folder.is_dir():
                write_answers(self.folder, self._answers, self._names(images))

    def contradictions(self) -> int:
        """Counts the images on which names and answers contradict each other."""
        return len(group(self._answers, self._names()).contradictions)

    def recalibrate(self) -> Calibration:
        """Measures the error rates on this gallery, keeps them, and uses them from now on."""
        with self._guard:
            embeddings, rows = self._rows()
            calibration = recalibrate(
                self._answers,
                {row.path: row.person for row in rows if row.person is not None},
                embeddings,
                [row.path for row in rows],
                [row.camera for row in rows],
                false_accept_rate=self.model_calibration.false_accept_rate,
            )
            self.folder.mkdir(parents=True, exist_ok=True)
            fingerprint = self.gallery.model.fingerprint
            values = {"fingerprint": fingerprint, "calibration": calibration.to_dict()}
            write_text(self.folder / CALIBRATION, json.dumps(values))
            self._own = calibration
            return calibration

    def use_model_calibration(self) -> None:
        """Goes back to the calibration that the model holds."""
        with self._guard:
            (self.folder / CALIBRATION).unlink(missing_ok=True)
            self._own = None

    def _rows(self) -> tuple[NDArray[np.float32], list[GalleryImage]]:
        embeddings, table = self.gallery.read_rows()
        columns = ("path", "person", "camera", "time", "tracklet")
        return embeddings, [GalleryImage(**row) for row in table.select(columns).to_pylist()]

    def _images(self) -> list[GalleryImage]:
        return self.gallery.images() if len(self.gallery) else []

    def _names(self, images: Sequence[GalleryImage] | None = None) -> dict[str, str]:
        images = self._images() if images is None else images
        return {each.path: each.person for each in images if each.person is not None}

    def _read_calibration(self) -> Calibration | None:
        path = self.folder / CALIBRATION
        if not path.is_file():
            return None
        with refusing_damage(path, "Remove it and recalibrate."):
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["fingerprint"] != self.gallery.model.fingerprint:
                return None  # of another model's distances
            return Calibration.from_dict(values["calibration"])
