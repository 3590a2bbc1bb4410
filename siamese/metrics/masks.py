"""Which gallery images a query is compared with, and which of them are correct: the protocols."""

from collections.abc import Collection, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import Indices

Protocol = Literal["cross-camera", "query image dropped"]
People: TypeAlias = Sequence[int] | Sequence[str] | NDArray[Any]

UNKNOWN_CAMERA = -1
JUNK = ("-1", "00-1")  # Market-1501's name and MARS's folder; the number -1 reads as "-1"
DISTRACTORS = ("0000",)

_NOBODY = -1
_JUNK = -2


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
        queries: How many queries there are.
        gallery_size: How many gallery images there are, junk included.
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
        query_images: Sequence[str] | Indices | None = None,
        gallery_images: Sequence[str] | Indices | None = None,
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
        query_people, gallery_people = _names(query_people), _names(gallery_people)
        self.queries = len(query_people)
        self.gallery_size = len(gallery_people)
        if not self.queries or not self.gallery_size:
            raise InputError(
                "Query and gallery must hold at least one image. Received: "
                f"{self.queries} queries and {self.gallery_size} gallery images. Check the folders."
            )
        if query_people.dtype.kind != gallery_people.dtype.kind:
            raise InputError(
                "People must be all text or all whole numbers. Received: query people "
                f"{query_people.dtype}, gallery people {gallery_people.dtype}. Convert one of them."
            )
        self._query_cameras = checked_cameras(query_cameras, self.queries, "query_cameras")
        self._gallery_cameras = checked_cameras(
            gallery_cameras, self.gallery_size, "gallery_cameras"
        )
        codes = _codes(np.concatenate([query_people, gallery_people]), distractors)
        self._query_codes, gallery_codes = np.split(codes, [self.queries])
        self._people = _Groups(gallery_codes)
        kept = np.flatnonzero(gallery_codes != _JUNK)
        self.columns: Indices | None = kept if len(kept) < self.gallery_size else None
        self.images: tuple[Indices, _Groups] | None = None
        if query_images is not None and gallery_images is not None:
            self.images = self._image_groups(query_images, gallery_images)
        self.protocol: Protocol = protocol or "cross-camera"
        if protocol is None and not self._any_match():
            self.protocol = "query image dropped"
            if self.images is None and self._any_match():
                raise InputError(
                    "No query has a match from another camera, so only the query image itself is "
                    "to be left out. Received: no `query_images` and `gallery_images`. Give both."
                )
        if self.protocol == "query image dropped" and self.images is None and protocol is not None:
            raise InputError(
                'The protocol "query image dropped" must be able to tell images apart. Received: '
                "no `query_images` and `gallery_images`. Give both."
            )

    def of(self, query: int) -> tuple[Indices, Indices]:
        """Finds the gallery images that are left out for a query, and its correct matches.

        Args:
            query: The number of the query.

        Returns:
            Gallery numbers left out (besides junk) and those of the correct matches, both rising.
        """
        code = self._query_codes[query]
        people = self._people.members(code) if code >= 0 else np.empty(0, np.int64)
        if self.protocol == "cross-camera":
            camera = self._query_cameras[query]
            cameras = self._gallery_cameras[people]
            other = (cameras != camera) & (cameras != UNKNOWN_CAMERA) & (camera != UNKNOWN_CAMERA)
            return people[~other], people[other]
        if self.images is None:
            return people[:0], people
        query_codes, groups = self.images
        itself = groups.members(query_codes[query])
        itself = itself[self._people.codes[itself] != _JUNK]
        return itself, people[~np.isin(people, itself)]

    def why_unmatched(self, query: int) -> str | None:
        """Says why a query has no correct match and is not scored.

        Args:
            query: The number of the query.

        Returns:
            The reason in words, one of a few; None where the query has a match.

        Example:
            >>> mask = ProtocolMask(["a", "b", "c"], [1, 1, 1], ["a", "a", "b"], [1, 2, 1])
            >>> [mask.why_unmatched(query) for query in range(2)]
            [None, "the person is there by the query's own camera alone"]
            >>> mask.why_unmatched(2)
            'the person is not in the gallery'
        """
        if self._query_codes[query] < 0:
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

    def person(self, query: int) -> int:
        """Numbers the person of a query, 0 upwards; negative for junk and distractors."""
        return int(self._query_codes[query])

    def gallery_people(self) -> Indices:
        """Numbers the person of each gallery image, `(gallery,)`, as `person` does for queries."""
        return self._people.codes

    def _any_match(self) -> bool:
        return any(len(self.of(query)[1]) for query in range(self.queries))

    def _image_groups(
        self, query_images: Sequence[str] | Indices, gallery_images: Sequence[str] | Indices
    ) -> tuple[Indices, "_Groups"]:
        queries, gallery = np.asarray(query_images), np.asarray(gallery_images)
        if queries.shape != (self.queries,) or gallery.shape != (self.gallery_size,):
            raise InputError(
                "`query_images` and `gallery_images` must name one image a row: "
                f"({self.queries},) and ({self.gallery_size},). Received: {queries.shape} and "
                f"{gallery.shape}. Give one name for each embedding."
            )
        if queries.dtype.kind != gallery.dtype.kind:
            raise InputError(
                "`query_images` and `gallery_images` must be of one kind. Received: "
                f"{queries.dtype} and {gallery.dtype}. Give text for both, or numbers for both."
            )
        _, codes = np.unique(np.concatenate([queries, gallery]), return_inverse=True)
        query_codes, gallery_codes = np.split(codes.astype(np.int64), [self.queries])
        return query_codes, _Groups(gallery_codes)


class _Groups:
    """Row numbers by code, found without a pass over all rows."""

    def __init__(self, codes: Indices) -> None:
        self.codes = codes
        self._order = np.argsort(codes, kind="stable")
        largest = int(codes.max())
        self._starts = np.searchsorted(codes[self._order], np.arange(max(largest, 0) + 2))

    def members(self, code: int) -> Indices:
        if code + 1 >= len(self._starts):
            return self._order[:0]
        return self._order[self._starts[code] : self._starts[code + 1]]


def query_rows(
    people: People, cameras: ArrayLike, *, distractors: Collection[str | int] = DISTRACTORS
) -> Indices:
    """Chooses a query set where a dataset has none: the first image of each person in each camera.

    The gallery is then the whole set; `ProtocolMask` leaves each query itself out of it.

    Args:
        people: `(images,)`, text or whole numbers.
        cameras: `(images,)`, whole numbers, -1 where unknown.
        distractors: Names of the distractors, who become no query, as junk does not.

    Returns:
        Row numbers, rising, int64.

    Raises:
        InputError: The lengths disagree, or there is no image of a person.

    Example:
        >>> query_rows(["a", "a", "a", "b", "-1"], [1, 1, 2, 1, 1]).tolist()
        [0, 2, 3]
    """
    names = _names(people)
    numbers = checked_cameras(cameras, len(names), "cameras")
    codes = _codes(names, distractors)
    rows = np.flatnonzero(codes >= 0)
    if not len(rows):
        raise InputError(
            f"At least one image must show a person. Received: {len(names)} images, all of them "
            "junk or distractors. Check the folder."
        )
    _, first = np.unique(np.stack([codes[rows], numbers[rows]]), axis=1, return_index=True)
    return np.sort(rows[first])


def person_codes(people: People, *, distractors: Collection[str | int] = DISTRACTORS) -> Indices:
    """Numbers people from 0 in sorted order; junk and distractors get negative numbers.

    Args:
        people: `(images,)`, text or whole numbers.
        distractors: Names of the distractors.

    Returns:
        `(images,)`, int64: -1 for a distractor, -2 for junk.

    Raises:
        InputError: The people are neither text nor whole numbers.

    Example:
        >>> person_codes(["0007", "0002", "0000", "-1", "0007"]).tolist()
        [1, 0, -1, -2, 1]
    """
    return _codes(_names(people), distractors)


def checked_cameras(cameras: ArrayLike, count: int, name: str) -> Indices:
    """Checks camera numbers.

    Args:
        cameras: `(images,)`, whole numbers, -1 where unknown.
        count: How many there must be.
        name: What error messages call them.

    Returns:
        The same, int64.

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


def _codes(names: NDArray[Any], distractors: Collection[str | int]) -> Indices:
    known, inverse = np.unique(names, return_inverse=True)
    junk = np.array([str(name) in JUNK for name in known])
    distractor = np.array([name in distractors for name in known.tolist()])
    people = ~(junk | distractor)
    numbers = np.where(people, np.cumsum(people) - 1, np.where(junk, _JUNK, _NOBODY))
    return numbers[inverse].astype(np.int64)
