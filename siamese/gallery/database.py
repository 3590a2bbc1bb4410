"""Stage: images -> a gallery that is searched by image, folder or person."""

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.gallery import sources
from siamese.gallery.exporting import check_name, write_export
from siamese.gallery.filters import Filter, make_filter
from siamese.gallery.ingest import Adding, Progress, read_digests, reembed
from siamese.gallery.integrity import describe, find_problems
from siamese.gallery.results import Added, Info, SearchResult, make_results
from siamese.gallery.rows import COLUMNS
from siamese.gallery.searching import Searcher
from siamese.gallery.selection import find_own, listed, name_some, named_people, select_rows
from siamese.gallery.sources import GalleryImage, RecordSet, Source
from siamese.gallery.table import NEW_ROWS, Table
from siamese.inference import Model, load_model, reopen_model
from siamese.inference.channels import warn_of_channels
from siamese.inference.reading import read_any


class Gallery:
    """A searchable collection of images of people.

    The table lies in a folder (or at an address that LanceDB takes, such as `s3://...`). One
    program writes at a time; any number read meanwhile.

    Args:
        path: The folder. It is made by the first `add`.
        model: An open model, a model file, or None: what `siamese.load_model()` finds. It is opened
            when an image has to be embedded, as it was when the gallery was made.
    """

    def __init__(self, path: str | Path, model: str | Path | Model | None = None) -> None:
        self.path = str(path)
        self._given = model
        self._model: Model | None = None
        self._table = Table(self.path)
        self._searcher = Searcher(self._table)
        self._guard = threading.Lock()

    @property
    def model(self) -> Model:
        """The model, open.

        Raises:
            InputError: There is none, or it cannot be opened.
        """
        with self._guard:
            if self._model is None:
                self._model = self._open_model()
            return self._model

    def _open_model(self) -> Model:
        if isinstance(self._given, Model):
            return self._given
        if not self._table.exists():
            return load_model(self._given)
        space = self._table.space()
        return reopen_model(self._given, space.fingerprint, space.preprocessing)

    def __len__(self) -> int:
        """The number of images; 0 before the first `add`."""
        return self._table.count() if self._table.exists() else 0

    def add(
        self,
        source: Source,
        *,
        pattern: str | None = None,
        anonymous: bool = False,
        workers: int = 0,
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
            progress: Called with the number of images done and of all.

        Returns:
            How many were added, and a sentence for each image that cannot be used.

        Raises:
            InputError: There is no such folder or no image in it, the gallery was made with another
                model, or another program is writing to it.
        """
        images = sources.list_gallery_images(source, pattern=pattern, anonymous=anonymous)
        total = images.images if isinstance(images, RecordSet) else len(images)
        with self._table.writing():
            if self._table.exists():
                self._check_model()
                self._table.drop(NEW_ROWS)
            elif not isinstance(images, RecordSet):
                warn_of_channels(self.model, [each.path for each in images])
            adding = Adding(self._table, self.model, total, progress)
            if isinstance(images, RecordSet):
                if workers:
                    raise InputError(
                        "workers go with image files. Received: a record set. Leave --workers out."
                    )
                size = self.model.image_size
                adding.embed(sources.read_records(images, size, adding.known, anonymous=anonymous))
            elif workers:
                from siamese.gallery.distributed import embed_on_cluster

                for read, embeddings in embed_on_cluster(images, adding.known, self.model, workers):
                    adding.commit(read, embeddings)
            else:
                adding.embed(sources.read_gallery_images(images, adding.known))
            return adding.finish()

    def search(
        self,
        image: Any,
        k: int = 10,
        *,
        camera: int | Collection[int] | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        person: str | None = None,
        approximate: bool | None = None,
    ) -> list[SearchResult]:
        """Finds the images nearest to an image.

        Args:
            image: An image file, a Pillow image or an array `(height, width, 3)`, RGB 0 to 255.
            k: How many.
            camera: Only images of this camera, or of these.
            since: Only images of this time or later: a `datetime`, or text as "2026-11-20 08:15".
            until: Only images of this time or earlier; a day counts to its end.
            person: Only images of this person.
            approximate: Use the index of `build_index`; by default beyond `EXACT_ROWS` images where
                there is one. A filter that leaves few images is searched exactly all the same.

        Returns:
            At most k, nearest first, without the query's own file (see `own_images`). `answer` says
            whether the person is in the gallery at all. Probabilities and words allow for the
            number of people searched: even odds that the person is among them at all, and if so
            the same odds for each. An image without a name counts as one more person.

        Raises:
            InputError: The image or the gallery cannot be used.
        """
        chosen = make_filter(camera, since, until, person)
        pixels = read_any(image)  # a wrong path is answered before the model is opened
        self._check_search(k)
        embeddings = self.model.embed([pixels])
        own = self.own_images([image]) if isinstance(image, str | Path) else []
        return self._rank(embeddings, k, chosen, approximate, own)[0]

    def search_folder(
        self,
        folder: Source,
        k: int = 10,
        *,
        camera: int | Collection[int] | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        person: str | None = None,
        approximate: bool | None = None,
        progress: Progress | None = None,
    ) -> dict[str, list[SearchResult]]:
        """Searches for each image of a folder; see `search`.

        Args:
            folder: A folder, a CSV file, or images one by one.
            k: How many for each.
            camera: See `search`.
            since: See `search`.
            until: See `search`.
            person: See `search`.
            approximate: See `search`.
            progress: Called with the number of images done and of all.

        Returns:
            The path of each image to its rank list.

        Raises:
            InputError: An image or the gallery cannot be used.
        """
        chosen = make_filter(camera, since, until, person)
        images = sources.list_gallery_images(folder)
        if isinstance(images, RecordSet):
            raise InputError(
                f"{folder}: is a record set. Give a folder of images to search for them."
            )
        self._check_search(k)
        paths = [image.path for image in images]
        embeddings = self.model.embed([Path(path) for path in paths], progress=progress)
        lists = self._rank(embeddings, k, chosen, approximate, self.own_images(paths))
        return dict(zip(paths, lists, strict=True))

    def own_images(self, files: Sequence[str | Path]) -> list[list[str]]:
        """Finds the images that are the given files, by path or content: searches leave them out.

        Args:
            files: Image files.

        Returns:
            For each file the paths of these images.
        """
        return find_own(self._table, files)

    def search_person(
        self,
        person: str,
        k: int = 10,
        *,
        camera: int | Collection[int] | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        approximate: bool | None = None,
    ) -> list[SearchResult]:
        """Finds where else a person of the gallery was seen, among all images not named so.

        The query is the mean of the embeddings of the person's images, given length 1. It is nearer
        to images of anyone than a single image would be, so a verdict leans towards "same".

        Args:
            person: Someone in the gallery.
            k: How many.
            camera: See `search`.
            since: See `search`.
            until: See `search`.
            approximate: See `search`.

        Returns:
            At most k, nearest first.

        Raises:
            InputError: Nobody in the gallery has this name.
        """
        chosen = make_filter(camera, since, until, without=person)
        self._check_search(k)
        own = Filter(person=person)
        embeddings, _ = self._table.read_embeddings(["path"], own.sql())
        if not len(embeddings):
            raise InputError(f"{self.path}: nobody is named {person!r}. {name_some(self._table)}")
        mean = embeddings.mean(axis=0, dtype=np.float64)
        length = float(np.linalg.norm(mean))
        query = (mean / length if length else mean).astype(np.float32)
        return self._rank(query[None], k, chosen, approximate)[0]

    def images(
        self,
        *,
        camera: int | Collection[int] | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        person: str | None = None,
    ) -> list[GalleryImage]:
        """Lists the images of the gallery, or those that a filter leaves; see `search`."""
        where = make_filter(camera, since, until, person).sql()
        rows = self._table.read(COLUMNS, where).to_pylist()
        return [GalleryImage(**row) for row in rows]

    def people(self) -> dict[str, int]:
        """The named people and how many images each has, sorted by name."""
        return named_people(self._table)

    def merge(
        self, into: str, *, people: str | Iterable[str] = (), images: str | Iterable[str] = ()
    ) -> int:
        """Gives people or images one name: they are one person.

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
            where = select_rows(self._table, people, images)
            return self._table.update(where, into)

    def remove(
        self,
        *,
        people: str | Iterable[str] = (),
        images: str | Iterable[str] = (),
        missing: bool = False,
    ) -> int:
        """Erases rows for good: no file of the gallery holds them any longer, in any version.

        The table is written anew without them, which takes as long as copying it; an approximate
        index goes too, for it is made of the embeddings. The image files themselves are not
        touched: adding their folder again would bring the rows back.

        Args:
            people: Everyone to erase.
            images: Paths of images to erase.
            missing: Also erase rows whose image file has gone.

        Returns:
            How many rows were erased.

        Raises:
            InputError: There is no such person or image.
        """
        people, images = listed(people), listed(images)
        with self._changing():
            if missing:
                images += [path for path in read_digests(self._table) if not sources.exists(path)]
            if missing and not (people or images):
                return 0
            where = select_rows(self._table, people, images)
            rows = self._table.count(where)
            # A condition on a person who is not known is neither true nor false.
            self._table.rewrite(f"({where}) IS NOT TRUE")
        self._searcher.forget()
        return rows

    def info(self) -> Info:
        """Says what the gallery holds.

        Raises:
            InputError: There is no gallery.
        """
        return describe(self._table)

    def verify(self, *, contents: bool = False) -> list[str]:
        """Checks every row: its embedding, its model, its path, its image file.

        Args:
            contents: Also read every image file: has it changed?

        Returns:
            A sentence for each thing that is wrong; none where all is well.

        Raises:
            InputError: There is no gallery, or it is damaged.
        """
        return find_problems(self._table, contents=contents)

    def reembed(self, *, progress: Progress | None = None) -> int:
        """Embeds all images with the model in place of the one that the gallery was made with.

        The new rows are gathered beside the old, which stay in use until all are done. An
        interrupted call goes on where it was, unless the gallery was changed in between.

        Args:
            progress: Called with the number of images done and of all.

        Returns:
            How many images were embedded now; 0 where the gallery is of this model already.

        Raises:
            InputError: An image file has gone or is damaged.
        """
        with self._table.writing():
            return reembed(self._table, self.model, progress)

    def build_index(self) -> None:
        """Builds an approximate index (IVF_PQ) for galleries of more than `EXACT_ROWS` images.

        Images that are added later are found all the same, by a plain scan: build it again when
        they are many.
        """
        with self._changing():
            self._table.build_index()

    def read_rows(self) -> tuple[NDArray[np.float32], Any]:
        """All embeddings and what is known of their images, for export and for other programs.

        Returns:
            `(images, dimensions)`, float32, and a `pyarrow.Table` with path, person, camera, time,
            tracklet, digest and model.
        """
        return self._table.read_embeddings([*COLUMNS, "digest", "model"])

    def export(self, path: str | Path) -> int:
        """Writes all rows to one file.

        Args:
            path: Where to; ends in `.csv`, `.parquet` or `.npz`.

        Returns:
            The number of images.

        Raises:
            InputError: The suffix is another, or there is no gallery.
            OSError: The file cannot be written.
        """
        path = check_name(path)
        embeddings, rows = self.read_rows()
        write_export(path, embeddings, rows)
        return len(embeddings)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """The right to write to a gallery that is there; unfinished re-embedding is dropped."""
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
        return [
            make_results(*ranked, self.model.calibration, people, paths)[:k]
            for ranked, paths in zip(found, own, strict=True)
        ]

    def _check_model(self) -> None:
        space = self._table.space()
        if space.fingerprint != self.model.fingerprint:
            raise InputError(
                f"{self.path}: was made with the model {space.fingerprint}. Received: "
                f"{self.model.path} ({self.model.fingerprint}). Give --model with that model, or "
                "embed the gallery anew with `siamese gallery reembed`."
            )

    def _check_search(self, k: int) -> None:
        if k < 1:
            raise InputError(f"`k` must be at least 1. Received: k={k}.")
        if not self._table.count():
            raise InputError(
                f"{self.path}: the gallery is empty. Add images with `siamese gallery add`."
            )
        self._check_model()
