"""The state that the tabs share: the open model, the gallery, its review; and questions to them.

Nothing here knows of the page; one desk serves all visitors at once.
"""

import csv
import io
import secrets
import shutil
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese.app.chart import calibration_at
from siamese.app.uploads import Kept, dataset_root, inside
from siamese.datasets import UNLABELLED, PeopleUnclearError
from siamese.errors import InputError
from siamese.explain import explain
from siamese.gallery import Added, Gallery, GalleryImage, SearchResult, answer, open_or_blank
from siamese.gallery.own_calibration import FEWEST_IMAGES
from siamese.gallery.results import judge_result
from siamese.gallery.sources import whole_path
from siamese.inference import Model
from siamese.inference.reading import Progress
from siamese.metrics.calibration import LEANINGS, Calibration, Verdict
from siamese.plots import overlay_heat
from siamese.review import Answer, Review, ReviewPair

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Found:
    """An answer of a search.

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
        """Gives plain values for JSON."""
        return {
            "verdict": self.verdict,
            "in_gallery": LEANINGS[self.verdict],
            "images_searched": self.looked_at,
            "expected_by_chance": self.by_chance,
            "left_out": list(self.left_out),
            "matches": [match.to_dict() for match in self.matches],
        }


@dataclass(frozen=True)
class Snapshot:
    """Images of the gallery as they were before a change, with their answers and uploaded files."""

    images: tuple[GalleryImage, ...]
    files: Mapping[Path, bytes]
    answers: tuple[Answer, ...]


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
        self.model = model
        self.gallery = Gallery(gallery, model)
        self.home = Path(f"{gallery}-page")
        self.uploads = self.home / "images"
        self.shown: list[Path] = []  # folders of what browsers are sent of the gallery's images
        self.review = Review(self.gallery, self.home / "review")
        self._explaining = threading.Lock()
        self._writing = threading.RLock()  # the gallery: its writers wait for each other

    @property
    def calibration(self) -> Calibration:
        """The calibration in use: of the answers, else of the gallery's images, else the model."""
        return self.review.calibration

    def calibrate(self) -> None:
        """Reads distances by a calibration made of the gallery's images now.

        Raises:
            InputError: There are too few images.
        """
        self.gallery.own_calibration.used = True
        with self._writing:
            if self.gallery.calibrate() is None:
                raise InputError(
                    f"a gallery is calibrated on {FEWEST_IMAGES} images or more of two cameras, or "
                    "of several tracklets. Add images whose names tell them."
                )
        self.review.use_model_calibration()

    def use_model_calibration(self) -> None:
        """Reads distances as the model's own calibration says, until the page ends."""
        self.gallery.own_calibration.used = False
        self.review.use_model_calibration()

    # Compare.

    def compare(self, first: Pixels, second: Pixels) -> tuple[float, float | None]:
        """Measures the Euclidean distance of two images, and how unlike the calibration's they are.

        The second is None where it cannot be told, as of another calibration than the model's own.
        """
        found = self.model.verify(first, second)
        own = self.calibration is self.review.model_calibration
        return found.distance, found.unlikeness if own else None

    def heat_maps(self, first: Pixels, second: Pixels) -> tuple[Pixels, Pixels, float]:
        """Shows where the two images were found alike.

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
            overlay_heat(np.asarray(shrink(image, 480)), heat, strongest)
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
        distance, unlikeness = self.compare(first, second)
        answer = self.model.judge(distance, calibration)
        name = self.model.path.name  # no path is a visitor's
        return replace(answer, model=name, unlikeness=unlikeness).to_dict()

    # Search.

    def search(
        self,
        image: Pixels | Path,
        k: int = 10,
        *,
        cameras: Sequence[int] = (),
        person: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Found:
        """Looks for a person in the gallery.

        Args:
            image: The query; as a file, it is not found in the gallery itself.
            k: How many images, 1 to 100.
            cameras: Of these; empty: of all.
            person: Of this person; None or "": of everybody.
            since: Not earlier, as in "2026-11-20" or "2026-11-20 08:15"; None or "": no limit.
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
            "camera": list(cameras) or None,
            "since": (since or "").strip() or None,
            "until": (until or "").strip() or None,
            "person": person or None,
        }
        found = self.gallery.search(image, k, **filters)
        calibration = self.calibration
        matches = tuple(judge_result(match, calibration) for match in found)
        own = self.gallery.own_images([image])[0] if isinstance(image, Path) else []
        looked_at = len(self.gallery)
        if any(filters.values()):
            looked_at = len(self.gallery.images(**filters))
        by_chance = 0.0
        if matches:
            by_chance = looked_at * calibration.error_rates(matches[0].distance)[0]
        return Found(matches, answer(matches), looked_at, by_chance, tuple(own))

    # Gallery.

    def add(self, kept: Kept, *, progress: Progress | None = None) -> Added:
        """Adds images that have been taken in; what cannot be used does not stay on the disk.

        Where it is not clear which folders are people, nobody is named.
        """
        root = dataset_root(kept.folder)
        with self._writing:
            try:
                return self.gallery.add(root, progress=progress)
            except PeopleUnclearError:
                return self.gallery.add(root, pattern=UNLABELLED, progress=progress)
            finally:
                known = {e.path for e in self.gallery.images()} if len(self.gallery) else set()
                for path in kept.folder.rglob("*"):
                    if path.is_file() and whole_path(path) not in known:
                        path.unlink()

    def rename(self, name: str, **whom: Sequence[str]) -> int:
        """Gives `images`, or all images of `people`, one name and returns how many there are."""
        name = " ".join(name.split())
        if not name or len(name) > 100:
            raise InputError("a name of 1 to 100 letters is needed. Type one.")
        with self._writing:
            changed = self.gallery.merge(name, **whom)
        self.review.save()
        return changed

    def erase(self, *, people: Sequence[str] = (), images: Sequence[str] = ()) -> int:
        """Erases people or images: rows, answers, and the files that came in through the page."""
        with self._writing:
            paths = [each.path for each in self._choose(people, images)]
            erased = self.gallery.remove(people=people, images=images)
            for path in paths:
                if inside(path, self.uploads):
                    Path(path).unlink(missing_ok=True)
        self.review.forget(paths)
        _thumbnail.cache_clear()
        for folder in self.shown:
            shutil.rmtree(folder, ignore_errors=True)
        return erased

    def snapshot(
        self, *, people: Sequence[str] = (), images: Sequence[str] = (), files: bool = False
    ) -> Snapshot:
        """Notes in memory what `restore` needs to undo a change.

        Args:
            people: Everyone who will be changed.
            images: Paths of images that will be changed.
            files: Whether uploaded files will be deleted.
        """
        rows = [each for each in self._choose(people, images) if Path(each.path).is_file()]
        paths = {each.path for each in rows}
        uploaded = [Path(path) for path in paths if files and inside(path, self.uploads)]
        answers = (each for each in self.review.answers if each.pair & paths)
        return Snapshot(tuple(rows), {path: path.read_bytes() for path in uploaded}, tuple(answers))

    def restore(self, before: Snapshot) -> int:
        """Puts images, files and answers back as they were and returns how many images."""
        with self._writing:
            for path, data in before.files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            rows = [each for each in before.images if Path(each.path).is_file()]
            if there := self._choose((), [each.path for each in rows]):
                self.gallery.remove(images=[each.path for each in there])
            self.gallery.add(rows)
        self.review.put_back(before.answers)
        return len(rows)

    # Review.

    def answer(self, pair: ReviewPair, same: bool) -> tuple[Answer, Snapshot | None]:
        """Keeps an answer; "same" merges two people, or names the image that has no name.

        Returns:
            What `take_back` needs to undo it.
        """
        nameless = [each.path for each in (pair.first, pair.second) if each.person is None]
        names = [each.person for each in (pair.first, pair.second) if each.person is not None]
        if not same or not names or (names[0] == names[-1] and not nameless):
            return self.review.answer(pair, same), None
        before = self.snapshot(people=names[1:], images=nameless)
        said = self.review.answer(pair, same)
        self.rename(names[0], **({"images": nameless} if nameless else {"people": names[1:]}))
        return said, before

    def take_back(self, said: Answer, before: Snapshot | None) -> None:
        """Forgets an answer and puts the names back, unless an image was erased meanwhile."""
        if self.review.take_back(said) and before is not None:
            self.restore(before)

    def thumbnail(self, path: str, height: int = 160) -> Image.Image:
        """Gives a small picture of an image of the gallery; a grey one where the file has gone."""
        try:
            return _thumbnail(path, height)
        except InputError:
            return Image.new("RGB", (height // 2, height), (200, 200, 200))

    def _choose(self, people: Sequence[str], images: Sequence[str]) -> list[GalleryImage]:
        rows = self.gallery.images() if len(self.gallery) else []
        return [each for each in rows if each.path in images or each.person in people]


def write_archive(rows: Sequence[SearchResult | GalleryImage], folder: Path) -> str:
    """Writes a ZIP of images and of `images.csv`, the table of what is known of them.

    Args:
        rows: Of a search or of the gallery.
        folder: It is written to a new folder in this one, whose name nobody can guess.

    Returns:
        The path of the file.
    """
    path = folder / secrets.token_hex(16) / "images.zip"
    path.parent.mkdir(parents=True)
    table = io.StringIO(newline="")
    with zipfile.ZipFile(path, "w") as archive:
        for place, row in enumerate(rows, 1):
            fields = asdict(row)
            source = Path(fields.pop("image" if "image" in fields else "path"))
            name = f"{place:06d}-{source.name}"
            writer = csv.DictWriter(table, ["file", *fields])
            if place == 1:
                writer.writeheader()
            writer.writerow({"file": name, **fields})
            if source.is_file():
                archive.write(source, f"images/{name}")
        archive.writestr("images.csv", table.getvalue())
    return str(path)


def shrink(pixels: Pixels, longest: int) -> Image.Image:
    """Makes an image smaller, never larger: its longer side at most `longest` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return image


@lru_cache(maxsize=4000)
def _thumbnail(path: str, height: int) -> Image.Image:
    return shrink(open_or_blank(path), height)
