"""What the tabs share: the open model, the gallery, the answers, and what is asked of them.

Nothing here knows of the page; one desk serves all visitors at once.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.app import html
from siamese.app.annotations import (
    TRIPLETS,
    Answer,
    group,
    read_answers,
    recalibrate,
    uncertain_pairs,
    write_answers,
)
from siamese.app.thresholds import calibration_at
from siamese.app.uploads import Kept, Progress, dataset_root, inside
from siamese.errors import InputError
from siamese.explain import explain
from siamese.files import whole_file
from siamese.gallery import Added, Gallery, GalleryImage, SearchResult, answer, open_image
from siamese.gallery.results import judge_result
from siamese.inference import Model
from siamese.metrics.blocks import exact_distances
from siamese.metrics.calibration import LEANINGS, Calibration, Verdict
from siamese.plots import overlay_heat

Pixels = NDArray[np.uint8]

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        matches: Nearest first.
        verdict: On the nearest: "same" is in the gallery, "different" is not; None where the
            filters left nothing to compare with.
        looked_at: How many images of the gallery the filters left.
        by_chance: How many of them would be as near as the nearest if all showed other people.
        left_out: Images of the gallery that are the query's own file.
    """

    matches: tuple[SearchResult, ...]
    verdict: Verdict | None
    looked_at: int
    by_chance: float
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict,
            "in_gallery": LEANINGS[self.verdict],
            "images_searched": self.looked_at,
            "expected_by_chance": self.by_chance,
            "left_out": list(self.left_out),
            "matches": [match.to_dict() for match in self.matches],
        }


@dataclass(frozen=True)
class Pair:
    """Two images of the gallery that somebody is asked about."""

    first: GalleryImage
    second: GalleryImage
    distance: float


class Desk:
    """The model and the gallery of one page.

    Beside the gallery's folder it keeps another, named after it with `-page` added: the images that
    came in through the page, the answers of the review, and the calibration made from them.

    Args:
        model: An open model with a calibration.
        gallery: The gallery's folder; it need not exist.

    Raises:
        InputError: The model holds no calibration, or the review's files are damaged.
    """

    def __init__(self, model: Model, gallery: str | Path) -> None:
        if model.calibration is None:
            raise InputError(
                f"{model.path}: holds no calibration, so that a distance says nothing. Finish its "
                "training with train_siamese_network.py --resume, or give another model."
            )
        self.model = model
        self.model_calibration = model.calibration
        self.gallery = Gallery(gallery, model)
        self.home = Path(f"{gallery}-page")
        self._guard = threading.RLock()  # answers and calibration
        self._explaining = threading.Lock()
        self._writing = threading.Lock()  # the gallery: its writers wait for each other
        self._answers = read_answers(self.home / "review")
        self._own = self._read_own()

    # Compare.

    @property
    def calibration(self) -> Calibration:
        """The calibration in use: that of this gallery where one was made, else the model's."""
        return self._own or self.model_calibration

    @property
    def is_recalibrated(self) -> bool:
        """Whether the calibration in use was made from this gallery."""
        return self._own is not None

    def distance(self, first: Pixels, second: Pixels) -> float:
        """The Euclidean distance of two images."""
        one, other = self.model.embed([first, second])
        return float(exact_distances(one, other))

    def heat_maps(self, first: Pixels, second: Pixels) -> tuple[Pixels, Pixels, float]:
        """Where the two images were found alike.

        Returns:
            Both images with the contributions of their places laid over them, at most 480 pixels
            high, and the cosine similarity that the contributions sum up to.

        Raises:
            InputError: The model is an ONNX file and the file that it was exported from is not
                beside it.
        """
        with self._explaining:  # the first call builds a network, which is not for two at a time
            found = explain(first, second, self.model)
        strongest = max(float(each.max()) for each in (found.first, found.second))
        one, other = (
            overlay_heat(html.shrink(image, 480), heat, strongest)
            for image, heat in ((first, found.first), (second, found.second))
        )
        return one, other, found.similarity

    def verify(self, first: Pixels, second: Pixels, false_accept_rate: float) -> dict[str, Any]:
        """Compares two images: what the endpoint `/verify` answers."""
        if not isinstance(false_accept_rate, int | float) or not 0 < false_accept_rate < 1:
            raise InputError(
                "the false-accept rate must be above 0 and below 1, such as 0.01. Received: "
                f"{false_accept_rate}."
            )
        calibration = calibration_at(self.calibration, false_accept_rate)
        answer = self.model.judge(self.distance(first, second), calibration)
        return replace(answer, model=self.model.path.name).to_dict()  # no path is a visitor's

    # Search.

    def search(
        self,
        image: Pixels | Path,
        k: int = 10,
        *,
        cameras: Sequence[int] = (),
        person: str | None = None,
        since: str = "",
        until: str = "",
    ) -> Found:
        """Looks for a person in the gallery.

        Args:
            image: The query; as a file, it is not found in the gallery itself.
            k: How many images, 1 to 100.
            cameras: Of these; empty: of all.
            person: Of this person; None or "": of everybody.
            since: Not earlier, as in "2026-11-20" or "2026-11-20 08:15"; "": no limit.
            until: Not later.

        Returns:
            The matches and whether the person is there at all.

        Raises:
            InputError: The gallery is empty, of another model, or a filter cannot be read.
        """
        if not 1 <= k <= 100:
            raise InputError(f"`k` must be 1 to 100. Received: k={k}.")
        if not len(self.gallery):
            raise InputError("the gallery is empty. Add images in the tab Gallery.")
        filters: dict[str, Any] = {
            "camera": [int(each) for each in cameras] or None,
            "since": since.strip() or None,
            "until": until.strip() or None,
            "person": person or None,
        }
        found = self.gallery.search(image, k, **filters)
        calibration = self.calibration
        matches = tuple(judge_result(match, calibration) for match in found)
        own = self.gallery.own_images([image])[0] if isinstance(image, Path) else []
        looked_at = len(self.gallery)
        if any(filters.values()):
            looked_at = len(self.gallery.images(**filters))
        if not matches:
            return Found((), None, looked_at, 0.0, tuple(own))
        by_chance = looked_at * calibration.error_rates(matches[0].distance)[0]
        return Found(matches, answer(matches), looked_at, by_chance, tuple(own))

    # Gallery.

    @property
    def uploads(self) -> Path:
        """The folder of the images that came in through the page."""
        return self.home / "images"

    def add(self, kept: Kept, *, progress: Progress | None = None) -> Added:
        """Adds images that have been taken in."""
        with self._writing:
            return self.gallery.add(dataset_root(kept.folder), progress=progress)

    def name(self, images: Sequence[str], name: str) -> int:
        """Gives images a person's name."""
        return self._rename(name, images=images)

    def merge(self, people: Sequence[str], name: str) -> int:
        """Makes several people one."""
        return self._rename(name, people=people)

    def erase(self, *, people: Sequence[str] = (), images: Sequence[str] = ()) -> int:
        """Erases people or images: rows, answers, and the files that came in through the page."""
        with self._writing:
            paths = list(images)
            for person in people:
                paths += [each.path for each in self.gallery.images(person=person)]
            erased = self.gallery.remove(people=people, images=images)
            for path in paths:
                if inside(path, self.uploads):
                    Path(path).unlink(missing_ok=True)
        gone = set(paths)
        with self._guard:
            kept = [each for each in self._answers if not {each.first, each.second} & gone]
            if len(kept) < len(self._answers):
                self._answers = kept
                self._save_answers()
        _thumbnail.cache_clear()
        return erased

    def picture(self, path: str, height: int = html.THUMBNAIL) -> str:
        """A thumbnail of an image of the gallery; an empty picture where the file has gone."""
        try:
            return _thumbnail(path, height)
        except InputError:
            return html.thumbnail(np.full((height, height // 2, 3), 200, np.uint8), height)

    # Review.

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What was answered so far."""
        return tuple(self._answers)

    @property
    def triplets(self) -> Path:
        """The table of triplets, for training."""
        return self.home / "review" / TRIPLETS

    def pairs(self, count: int = 20) -> list[Pair]:
        """The pairs that are to be asked about next."""
        if len(self.gallery) < 2:
            return []
        embeddings, rows = self._rows()
        paths = [row.path for row in rows]
        row_of = {path: place for place, path in enumerate(paths)}
        with self._guard:
            answered = {
                frozenset((row_of[each.first], row_of[each.second]))
                for each in self._answers
                if each.first in row_of and each.second in row_of
            }
        chosen = uncertain_pairs(
            embeddings,
            [row.camera for row in rows],
            self.calibration.threshold,
            skip=answered,
            last=[row.person for row in rows],
            count=count,
        )
        return [
            Pair(
                rows[one],
                rows[other],
                float(exact_distances(embeddings[one], embeddings[other])),
            )
            for one, other in chosen
        ]

    def answer(self, pair: Pair, same: bool) -> Answer:
        """Keeps an answer.

        Raises:
            InputError: An image was erased since the pair was shown.
        """
        given = Answer(pair.first.path, pair.second.path, same, round(pair.distance, 6))
        with self._guard:
            if not {given.first, given.second} <= {each.path for each in self._images()}:
                raise InputError("an image of this pair was erased meanwhile. Skip it.")
            self._answers = [*self._answers, given]
            self._save_answers()
        return given

    def take_back(self, given: Answer) -> bool:
        """Forgets an answer; False where it is there no longer."""
        with self._guard:
            if given not in self._answers:
                return False
            last = len(self._answers) - 1 - self._answers[::-1].index(given)
            self._answers = [*self._answers[:last], *self._answers[last + 1 :]]
            self._save_answers()
            return True

    def contradictions(self) -> int:
        """How many images names and answers contradict each other on."""
        return len(group(self._answers, self._names()).contradictions)

    def recalibrate(self) -> Calibration:
        """Measures the error rates on this gallery and uses them from now on."""
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
            path = self.home / "review" / CALIBRATION
            path.parent.mkdir(parents=True, exist_ok=True)
            values = {"fingerprint": self.model.fingerprint, "calibration": calibration.to_dict()}
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(values), encoding="utf-8")
            self._own = calibration
            return calibration

    def use_model_calibration(self) -> None:
        """Goes back to the calibration that the model holds."""
        with self._guard:
            (self.home / "review" / CALIBRATION).unlink(missing_ok=True)
            self._own = None

    # How it is done.

    def _rename(self, name: str, **whom: Sequence[str]) -> int:
        with self._writing:
            changed = self.gallery.merge(_checked(name), **whom)
        with self._guard:
            if self._answers:
                self._save_answers()  # triplets go by names too
        return changed

    def _rows(self) -> tuple[NDArray[np.float32], list[GalleryImage]]:
        embeddings, table = self.gallery.read_rows()
        columns = ("path", "person", "camera", "time", "tracklet")
        return embeddings, [GalleryImage(**row) for row in table.select(columns).to_pylist()]

    def _names(self) -> dict[str, str]:
        return {each.path: each.person for each in self._images() if each.person is not None}

    def _images(self) -> list[GalleryImage]:
        return self.gallery.images() if len(self.gallery) else []

    def _save_answers(self) -> int:
        return write_answers(self.home / "review", self._answers, self._names())

    def _read_own(self) -> Calibration | None:
        path = self.home / "review" / CALIBRATION
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["fingerprint"] != self.model.fingerprint:
                return None  # of another model's distances
            return Calibration.from_dict(values["calibration"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}: is damaged. Remove it and recalibrate.") from None


@lru_cache(maxsize=4000)
def _thumbnail(path: str, height: int) -> str:
    return html.thumbnail(open_image(path), height)


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 100:
        raise InputError("a name of 1 to 100 letters is needed. Type one.")
    return name
