"""The protocols: gallery images that a query is not compared with, and those that are correct."""

from collections.abc import Collection, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import Indices, checked_pair

Protocol = Literal["cross-camera", "query image dropped"]
People: TypeAlias = Sequence[int] | Sequence[str] | NDArray[Any]

UNKNOWN_CAMERA = -1
JUNK = ("-1", "00-1")  # Market-1501's name and MARS's folder; the number -1 reads as "-1"
DISTRACTORS = ("0000",)

_DISTRACTOR = -1
_JUNK = -2
_NONE = np.empty(0, np.int64)


class ProtocolMask:
    """Says for each query which gallery images are left out and which are correct.

    Two protocols. *cross-camera*: gallery images of the query's person that its own camera took are
    left out, they count neither way; so are those where either camera is unknown (-1), as nothing
    shows that the cameras differ. *query image dropped*: only the query image itself is left out.
    The second is the answer to data of one camera, where the first leaves no match to any query;
    then, and only then, it is taken unasked.

    Junk (person -1, "-1" or "00-1") is never compared with. Distractors stay in the gallery
    and are never a match, nor is a query that shows one.

    Attributes:
        protocol: "cross-camera" or "query image dropped".
        queries: The number of queries.
        gallery_size: The number of gallery images, junk included.
        query_codes: `(queries,)`, people as `person_codes` numbers them.
        gallery_codes: `(gallery,)`, the same numbers.
        columns: Numbers of the gallery images that are not junk, rising; None when none is junk.

    Example:
        >>> mask = ProtocolMask(["a"], [1], ["a", "b", "a", "-1"], [1, 1, 2, 3])
        >>> left_out, correct = mask.of(0)
        >>> left_out.tolist(), correct.tolist(), mask.columns.tolist()
        ([0], [2], [0, 1, 2])
    """

    def __init__(
        self,
        query_people: People,
        query_cameras: ArrayLike,
        gallery_people: People,
        gallery_cameras: ArrayLike,
        *,
        query_images: People | None = None,
        gallery_images: People | None = None,
        distractors: Collection[str | int] = DISTRACTORS,
        protocol: Protocol | None = None,
    ) -> None:
        """Reads who is who.

        Args:
            query_people: `(queries,)`, the person of each query, text or whole numbers.
            query_cameras: `(queries,)`, whole numbers, -1 where unknown.
            gallery_people: `(gallery,)`, of the same kind as `query_people`.
            gallery_cameras: `(gallery,)`, whole numbers, -1 where unknown.
            query_images: `(queries,)`, what tells images apart: paths or numbers. Needed by the
                protocol "query image dropped" alone.
            gallery_images: `(gallery,)`, of the same kind.
            distractors: Their images are never a match. Give `(0,)` for MARS
                identities read as numbers.
            protocol: Forces one of the two protocols; by default the data decide.

        Raises:
            InputError: The lengths or kinds disagree, or images are to be told apart and cannot.
        """
        people = _names(query_people), _names(gallery_people)
        self.queries, self.gallery_size = map(len, people)
        if not self.queries or not self.gallery_size:
            raise InputError(
                "Query and gallery must hold at least one image. Received: "
                f"{self.queries} queries and {self.gallery_size} gallery images. Check the folders."
            )
        if people[0].dtype.kind != people[1].dtype.kind:
            raise InputError(
                "People must be all text or all whole numbers. Received: query people "
                f"{people[0].dtype}, gallery people {people[1].dtype}. Convert one of them."
            )
        self._query_cameras = checked_cameras(query_cameras, self.queries, "query_cameras")
        self._gallery_cameras = checked_cameras(
            gallery_cameras, self.gallery_size, "gallery_cameras"
        )
        codes = person_codes(np.concatenate(people), distractors=distractors)
        self.query_codes, self.gallery_codes = np.split(codes, [self.queries])
        self._people = group_rows(self.gallery_codes)
        kept = np.flatnonzero(self.gallery_codes != _JUNK)
        self.columns: Indices | None = kept if len(kept) < self.gallery_size else None
        self._images: tuple[list[Any], dict[Any, Indices]] | None = None
        if query_images is not None and gallery_images is not None:
            images = np.asarray(query_images), np.asarray(gallery_images)
            sizes = (self.queries,), (self.gallery_size,)
            shapes, kinds = [each.shape for each in images], {each.dtype.kind for each in images}
            if tuple(shapes) != sizes or len(kinds) > 1:
                raise InputError(
                    "`query_images` and `gallery_images` must name one image a row, all by text or "
                    f"all by numbers: {sizes}. Received: {shapes}, {' and '.join(kinds)}."
                )
            self._images = images[0].tolist(), group_rows(images[1])
        self.protocol: Protocol = protocol or "cross-camera"
        if protocol is None and not self._any_match():
            self.protocol = "query image dropped"
            protocol = self.protocol if self._images is None and self._any_match() else None
        if protocol == "query image dropped" and self._images is None:
            raise InputError(
                'The protocol "query image dropped", which data of one camera need, must be able '
                "to tell images apart. Received: no `query_images` and `gallery_images`. Give both."
            )

    def of(self, query: int) -> tuple[Indices, Indices]:
        """Finds the gallery images that are left out for a query, and its correct matches.

        Returns:
            Gallery numbers left out (besides junk) and those of the correct matches, both rising.
        """
        code = int(self.query_codes[query])
        people = self._people.get(code, _NONE) if code >= 0 else _NONE
        if self.protocol == "cross-camera":
            camera = self._query_cameras[query]
            cameras = self._gallery_cameras[people]
            other = (cameras != camera) & (cameras != UNKNOWN_CAMERA) & (camera != UNKNOWN_CAMERA)
            return people[~other], people[other]
        if self._images is None:
            return _NONE, people
        itself = self._images[1].get(self._images[0][query], _NONE)
        itself = itself[self.gallery_codes[itself] != _JUNK]
        return itself, people[~np.isin(people, itself)]

    def why_unmatched(self, query: int) -> str | None:
        """Says why a query has no correct match and is not scored, in one of a few wordings.

        Returns:
            The reason; None where the query has a match.

        Example:
            >>> mask = ProtocolMask(["a", "b", "c"], [1, 1, 1], ["a", "a", "b"], [1, 2, 1])
            >>> [mask.why_unmatched(query) for query in range(2)]
            [None, "the person is there by the query's own camera alone"]
            >>> mask.why_unmatched(2)
            'the person is not in the gallery'
        """
        if self.query_codes[query] < 0:
            return "it shows a distractor or junk"
        left_out, correct = self.of(query)
        if len(correct):
            return None
        if self.protocol != "cross-camera" or not len(left_out):
            return "the person is not in the gallery"
        if self._query_cameras[query] == UNKNOWN_CAMERA:
            return "its camera is not known"
        if (self._gallery_cameras[left_out] == UNKNOWN_CAMERA).any():
            return "the person is there by its own or unknown cameras alone"
        return "the person is there by the query's own camera alone"

    def positions(self, gallery_numbers: Indices) -> Indices:
        """Gives the places of gallery images among `columns`."""
        if self.columns is None:
            return gallery_numbers
        return np.searchsorted(self.columns, gallery_numbers)

    def checked_pair(
        self, query_embeddings: ArrayLike, gallery_embeddings: ArrayLike
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Checks embeddings as `blocks.checked_pair` does, and that there is one for each image."""
        queries, gallery = checked_pair(query_embeddings, gallery_embeddings)
        if len(queries) != self.queries or len(gallery) != self.gallery_size:
            raise InputError(
                f"There must be one embedding for each of {self.queries} queries and "
                f"{self.gallery_size} gallery images. Received: {len(queries)} and {len(gallery)}. "
                "Give people and embeddings of the same images, in the same order."
            )
        return queries, gallery

    def _any_match(self) -> bool:
        return any(len(self.of(query)[1]) for query in range(self.queries))


def query_rows(
    people: People, cameras: ArrayLike, *, distractors: Collection[str | int] = DISTRACTORS
) -> Indices:
    """Chooses a query set where a dataset has none: the first image of each person in each camera.

    The gallery is then the whole set; `ProtocolMask` leaves each query itself out of it.
    Distractors become no query, as junk does not.

    Returns:
        Row numbers, rising, int64, of people and cameras `(images,)`, -1 where unknown.

    Raises:
        InputError: The lengths disagree, or there is no image of a person.

    Example:
        >>> query_rows(["a", "a", "a", "b", "-1"], [1, 1, 2, 1, 1]).tolist()
        [0, 2, 3]
    """
    codes = person_codes(people, distractors=distractors)
    numbers = checked_cameras(cameras, len(codes), "cameras")
    rows = np.flatnonzero(codes >= 0)
    if not len(rows):
        raise InputError(
            f"At least one image must show a person. Received: {len(codes)} images, all of them "
            "junk or distractors. Check the folder."
        )
    _, first = np.unique(np.stack([codes[rows], numbers[rows]]), axis=1, return_index=True)
    return np.sort(rows[first])


def person_codes(people: People, *, distractors: Collection[str | int] = DISTRACTORS) -> Indices:
    """Numbers people, text or whole numbers, from 0 in sorted order.

    Returns:
        `(images,)`, int64: -1 for a distractor, -2 for junk.

    Raises:
        InputError: The people are neither text nor whole numbers.

    Example:
        >>> person_codes(["0007", "0002", "0000", "-1", "0007"]).tolist()
        [1, 0, -1, -2, 1]
    """
    known, inverse = np.unique(_names(people), return_inverse=True)
    junk = np.array([str(name) in JUNK for name in known])
    distractor = np.array([name in distractors for name in known.tolist()])
    somebody = ~(junk | distractor)
    numbers = np.where(somebody, np.cumsum(somebody) - 1, np.where(junk, _JUNK, _DISTRACTOR))
    return numbers[inverse].astype(np.int64)


def known_people(people: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Tells which images show somebody whose identity is known: not "", and no distractor.

    Example:
        >>> known_people(np.array(["0002", "", "0000"])).tolist()
        [True, False, False]
    """
    return ~np.isin(people, ["", *DISTRACTORS])


def checked_cameras(cameras: ArrayLike, count: int, name: str) -> Indices:
    """Returns camera numbers, -1 where unknown, as int64.

    Args:
        cameras: `(images,)`.
        count: The number of images.
        name: What error messages call them.

    Raises:
        InputError: They are not `count` whole numbers.
    """
    array = np.asarray(cameras)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise InputError(
            f"`{name}` must be {count} whole numbers, one an image, -1 where the camera is "
            f"unknown. Received: shape {array.shape}, {array.dtype}. Write -1 for a missing camera."
        )
    return array.astype(np.int64)


def _names(people: People) -> NDArray[Any]:
    array = np.asarray(people)
    if array.dtype.kind == "O" and all(isinstance(name, str) for name in array.flat):
        array = array.astype(np.str_)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuU"):
        raise InputError(
            "People must be a row of text or of whole numbers, one an image. Received: "
            f"shape {array.shape}, {array.dtype}. Convert them, for example with `str`."
        )
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


def group_rows(values: NDArray[Any]) -> dict[Any, Indices]:
    """Groups the row numbers of equal values, rising; the values are sorted.

    Example:
        >>> {name: rows.tolist() for name, rows in group_rows(np.array(["b", "a", "b"])).items()}
        {'a': [1], 'b': [0, 2]}
    """
    known, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    rows = np.argsort(codes, kind="stable")
    return dict(zip(known.tolist(), np.split(rows, np.cumsum(counts)[:-1]), strict=True))
