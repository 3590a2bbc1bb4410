"""Stage: images -> a gallery that is searched by image, folder or person."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import Sample
from siamese.datasets.coverage import drop_damaged
from siamese.errors import InputError, OnCorrupt
from siamese.gallery import contents, sources
from siamese.gallery.contents import find_problems
from siamese.gallery.ingest import add_images, reembed
from siamese.gallery.own_calibration import GalleryCalibration, OwnCalibration
from siamese.gallery.results import Added, Info, SearchResult, make_results
from siamese.gallery.search import Filter, Filters, Searcher, WhereAndWhen, make_filter
from siamese.gallery.sources import GalleryImage, GallerySource, list_gallery_images
from siamese.gallery.table import IMAGE_COLUMNS, NEW_ROWS, Table
from siamese.images import naming_all_damaged
from siamese.inference import Model, load_model, reopen_model
from siamese.inference.channels import warn_of_channels
from siamese.inference.reading import Progress, read_any


class Gallery:
    """A searchable collection of images of people.

    The table is a folder (or an address that LanceDB takes). One program writes, any number read.

    Args:
        path: The folder. It is made by the first `add`.
        model: An open model, a model file, or None: the one that made the gallery, else what
            `siamese.load_model()` finds. It is opened when an image has to be embedded, as it was.
        calibrate: False: the model's own calibration answers, never one of the gallery's images.
    """

    def __init__(
        self, path: str | Path, model: str | Path | Model | None = None, *, calibrate: bool = True
    ) -> None:
        self.path = str(path)
        self._given = model
        self._model: Model | None = None
        self._table = Table(self.path)
        self._searcher = Searcher(self._table)
        self.own_calibration = OwnCalibration(self._table, calibrate)
        self._guard = threading.Lock()

    @property
    def model(self) -> Model:
        """Returns the model, open.

        Raises:
            InputError: There is none, or it cannot be opened.
        """
        with self._guard:
            if self._model is None:
                if isinstance(self._given, Model):
                    self._model = self._given
                elif self._table.exists():
                    space = self._table.space()
                    self._model = reopen_model(
                        self._given, space.fingerprint, space.preprocessing, space.model
                    )
                else:
                    self._model = load_model(self._given)
            return self._model

    def __len__(self) -> int:
        """Counts the images; 0 before the first `add`."""
        return self._table.count() if self._table.exists() else 0

    def add(
        self,
        source: GallerySource,
        *,
        pattern: str | None = None,
        anonymous: bool = False,
        workers: int = 0,
        on_corrupt: OnCorrupt = "skip",
        progress: Progress | None = None,
    ) -> Added:
        """Embeds images and adds them.

        Images that are there already are left alone, by path and content: after an interruption the
        same call goes on. Each `COMMIT_IMAGES` are committed whole.

        Args:
            source: A folder of any known layout or of images, the folder of a record set, a CSV
                file, an image file, or images one by one.
            pattern: A regular expression for file names of your own form, with the groups person,
                camera, tracklet and frame.
            anonymous: Do not read people from folder and file names.
            workers: Processes of a Ray cluster that read and embed; 0: this process does.
            on_corrupt: What damaged images do: "skip" leaves them out, "error" ends, and names all
                of them; what was committed before stays.
            progress: Called with the number of images done and of all.

        Returns:
            How many were added, and a sentence for each image that cannot be used.

        Raises:
            InputError: There is no image, or a damaged one, the gallery was made with another
                model, or another program is writing to it.
        """
        images = list_gallery_images(source, pattern=pattern)
        with self._table.writing():
            if self._table.exists():
                self._check_model()
                self._table.drop(NEW_ROWS)
            elif not sources.is_record(images[0].path):
                warn_of_channels(self.model, [each.path for each in images])
            with naming_all_damaged([e.path for e in images if not sources.is_record(e.path)]):
                added = add_images(
                    self._table, self.model, images, anonymous, workers, on_corrupt, progress
                )
            self.own_calibration.renew(self.model.calibration)
            return added

    def search(
        self,
        image: Any,
        k: int = 10,
        *,
        approximate: bool | None = None,
        **filters: Unpack[Filters],
    ) -> list[SearchResult]:
        """Finds the images nearest to an image.

        Args:
            image: An image file, or an image of another kind that `Model.embed` takes.
            k: How many.
            approximate: Use the index of `build_index`; by default beyond `EXACT_ROWS` images where
                there is one. A filter that leaves few images is searched exactly all the same.
            **filters: `camera`, `since`, `until` and `person`; see `Filters`.

        Returns:
            At most k, nearest first, without the query's own file (see `own_images`). `answer` says
            whether the person is in the gallery at all. Probabilities and words allow for the
            number of people searched: even odds that the person is among them at all, and if so
            the same odds for each. An image without a name counts as one more person.

        Raises:
            InputError: The image or the gallery cannot be used.
        """
        chosen = make_filter(**filters)
        pixels = read_any(image)  # a wrong path is answered before the model is opened
        self._check_search(k)
        embeddings = self.model.embed(pixels)
        own = self.own_images([image]) if isinstance(image, str | Path) else []
        return self._rank(embeddings, k, chosen, approximate, own)[0]

    def search_folder(
        self,
        folder: GallerySource,
        k: int = 10,
        *,
        approximate: bool | None = None,
        on_corrupt: OnCorrupt = "error",
        progress: Progress | None = None,
        **filters: Unpack[Filters],
    ) -> dict[str, list[SearchResult]]:
        """Searches for each image of a folder, a CSV file, or images one by one; see `search`.

        With `on_corrupt` "skip" damaged images are left out, and a warning names them all.

        Returns:
            The path of each image to its rank list.

        Raises:
            InputError: An image or the gallery cannot be used.
        """
        chosen = make_filter(**filters)
        paths = [image.path for image in list_gallery_images(folder)]
        if sources.is_record(paths[0]):
            raise InputError(f"{folder}: is a record set. Give a folder of images to search for.")
        self._check_search(k)
        paths = [each.path for each in drop_damaged([Sample(p, "") for p in paths], on_corrupt)]
        with naming_all_damaged(paths):
            embeddings = self.model.embed([Path(path) for path in paths], progress=progress)
        lists = self._rank(embeddings, k, chosen, approximate, self.own_images(paths))
        return dict(zip(paths, lists, strict=True))

    def own_images(self, files: Sequence[str | Path]) -> list[list[str]]:
        """Finds the images that are the given files, by path or content: searches leave them out.

        Returns:
            For each file the paths of these images.
        """
        return contents.find_own(self._table, files)

    def search_person(
        self,
        person: str,
        k: int = 10,
        *,
        approximate: bool | None = None,
        **filters: Unpack[WhereAndWhen],
    ) -> list[SearchResult]:
        """Finds where else a person of the gallery was seen, among all images not named so.

        The query is the mean of the person's embeddings, given length 1. It is nearer to images of
        anyone than a single image would be, so a verdict leans towards "same". Arguments are as in
        `search`.

        Returns:
            At most k, nearest first.

        Raises:
            InputError: Nobody in the gallery has this name.
        """
        chosen = make_filter(**filters, without=person)
        self._check_search(k)
        query = contents.mean_of_person(self._table, person)
        return self._rank(query, k, chosen, approximate)[0]

    def images(self, **filters: Unpack[Filters]) -> list[GalleryImage]:
        """Lists the images of the gallery, or those that filters leave; see `search`."""
        rows = self._table.read(IMAGE_COLUMNS, make_filter(**filters).sql())
        return [GalleryImage(**row) for row in rows.to_pylist()]

    def people(self) -> dict[str, int]:
        """Counts the images of each named person, sorted by name."""
        return contents.named_people(self._table)

    def merge(
        self, into: str, *, people: str | Iterable[str] = (), images: str | Iterable[str] = ()
    ) -> int:
        """Gives people or images (by path) one name: they are one person.

        Args:
            into: The name; a new one or that of someone in the gallery.
            people: Everyone who is to have it.
            images: Paths of images that are to have it.

        Returns:
            How many images have been renamed.

        Raises:
            InputError: There is no such person or image, or no name was given.
        """
        if not into.strip():
            raise InputError("`into` must be a name. Received: an empty one. Give one.")
        with self._changing():
            where = contents.select_rows(self._table, people, images)
            return self._table.update(where, into)

    def rename(self, names: Mapping[str, str | None]) -> int:
        """Gives images, by path, a name each, or None for none; returns how many there were."""
        with self._changing():
            return contents.give_names(self._table, names)

    def remove(
        self,
        *,
        people: str | Iterable[str] = (),
        images: str | Iterable[str] = (),
        missing: bool = False,
    ) -> int:
        """Erases rows for good: no file of the gallery holds them any longer, in any version.

        The table and the calibration are made anew; an index goes. Image files stay as they are.

        Args:
            people: Everyone to erase.
            images: Paths of images to erase.
            missing: Also erase rows whose image file has gone.

        Returns:
            How many rows were erased.

        Raises:
            InputError: There is no such person or image.
        """
        with self._changing(), self.own_calibration.leaving() as leave:
            try:
                rows = contents.erase_rows(self._table, people, images, missing, before=leave)
            except InputError:
                self._table.clean(everything=True)  # of an erasure that was killed files are left
                raise
        self._searcher.forget()
        return rows

    def count_erased(self, people: Iterable[str], images: Iterable[str], missing: bool) -> int:
        """Counts the rows that `remove` would erase; the same arguments and errors."""
        return contents.count_erased(self._table, people, images, missing)

    def calibrate(self) -> GalleryCalibration | None:
        """Calibrates the gallery on its own images now; returns None where they are too few."""
        self._check_model()
        with self._changing():
            return self.own_calibration.renew(self.model.calibration, anew=True)

    def info(self) -> Info:
        """Says what the gallery holds; an `InputError` where there is none."""
        return contents.describe_gallery(self._table, self.own_calibration.facts())

    def verify(self, *, contents: bool = False) -> list[str]:
        """Checks every row: embedding, model, path, image file, and perhaps the `contents` of that.

        Returns:
            A sentence for each thing that is wrong; none where all is well.

        Raises:
            InputError: There is no gallery, or it is damaged.
        """
        return find_problems(self._table, contents=contents)

    def reembed(self, *, progress: Progress | None = None) -> int:
        """Embeds all images with the model in place of the one that the gallery was made with.

        The old rows stay in use until all are done. An interrupted call goes on where it was,
        unless the gallery was changed in between.

        Returns:
            How many images were embedded now; 0 where the gallery is of this model already.

        Raises:
            InputError: An image file has gone or is damaged.
        """
        with self._table.writing():
            embedded = reembed(self._table, self.model, progress)
            self.own_calibration.renew(self.model.calibration)
            return embedded

    def build_index(self) -> None:
        """Builds an approximate index (IVF_PQ) for galleries of more than `EXACT_ROWS` images.

        Images that are added later are found by a plain scan: build it again when they are many.
        """
        with self._changing():
            self._table.build_index()

    def read_rows(self) -> tuple[NDArray[np.float32], Any]:
        """Reads all embeddings and what is known of their images.

        Returns:
            `(images, dimensions)`, float32, and a `pyarrow.Table` with path, person, camera, time,
            tracklet, digest and model.
        """
        return self._table.read_embeddings([*IMAGE_COLUMNS, "digest", "model"])

    def export(self, path: str | Path) -> int:
        """Writes all rows to one file, which `siamese.embeddings.read_embeddings` reads.

        Args:
            path: Where to; ends in `.csv`, `.parquet` or `.npz`.

        Returns:
            The number of images.

        Raises:
            InputError: The suffix is another, or there is no gallery.
            OSError: The file cannot be written.
        """
        return contents.export_rows(self._table, path)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the right to write to a gallery; what is left of a re-embedding is dropped."""
        self._table.space()
        with self._table.writing():
            self._table.drop(NEW_ROWS)
            yield

    def _rank(
        self,
        queries: NDArray[np.float32],
        k: int,
        chosen: Filter,
        approximate: bool | None,
        own: Sequence[Sequence[str]] = (),
    ) -> list[list[SearchResult]]:
        own = own or [[]] * len(queries)
        most = k + max(len(paths) for paths in own)
        found = self._searcher.search(queries, most, chosen, approximate)
        people = self._searcher.count_people(chosen)
        calibration = self.own_calibration.choose(self.model.calibration)
        return [
            make_results(*ranked, calibration, people, paths)[:k]
            for ranked, paths in zip(found, own, strict=True)
        ]

    def _check_model(self) -> None:
        if (made_with := self._table.space().fingerprint) != self.model.fingerprint:
            raise InputError(
                f"{self.path}: was made with the model {made_with}. Received: "
                f"{self.model.path} ({self.model.fingerprint}). Give --model with that model, or "
                f"run siamese gallery reembed --gallery {self.path} --model {self.model.path}"
            )

    def _check_search(self, k: int) -> None:
        if k < 1:
            raise InputError(f"`k` must be at least 1. Received: k={k}.")
        if not self._table.count():
            raise InputError(f"{self.path}: the gallery is empty. Run `siamese gallery add`.")
        self._check_model()
