"""Rank-k, mean average precision (two definitions) and mINP of a query set against a gallery."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import (
    DistanceBlocks,
    Floats,
    Indices,
    Metric,
    check_metric,
    checked_pair,
    smallest,
    squared_distance_blocks,
    to_distances,
)
from siamese.metrics.masks import DISTRACTORS, People, Protocol, ProtocolMask

CMC_RANKS = 50


@dataclass(frozen=True)
class QueryResults:
    """What each query scored, one row a query in the given order.

    Attributes:
        people: `(queries,)`, whole numbers that tell the queries' people apart; negative for
            distractors and junk.
        match_counts: `(queries,)`, correct matches in the gallery; 0 where the query is not scored.
        first_match_rank: `(queries,)`, from 1; 0 where the query is not scored.
        average_precision: `(queries,)`, 0..1, rectangle rule; NaN where the query is not scored.
        average_precision_trapezoid: `(queries,)`, 0..1; NaN where the query is not scored.
        inverse_negative_penalty: `(queries,)`, 0..1; NaN where the query is not scored.
    """

    people: Indices
    match_counts: Indices
    first_match_rank: Indices
    average_precision: Floats
    average_precision_trapezoid: Floats
    inverse_negative_penalty: Floats

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which queries have a correct match, `(queries,)`."""
        return self.match_counts > 0


@dataclass(frozen=True)
class RankingScores:
    """The ranking scores of a query set, with the protocol they were made by.

    Attributes:
        rank1: Share of queries whose first correct match is in first place, 0..1.
        rank5: The same for the first 5 places.
        rank10: The same for the first 10 places.
        mAP: Mean average precision by the rectangle rule, as most published figures.
        mAP_trapezoid: The same by the trapezoid rule of Market-1501's and MARS's own code.
        mINP: Mean inverse negative penalty: correct matches / rank of the last one.
        cmc: Rank-1 to rank-50.
        queries: How many queries were scored.
        queries_without_match: How many had no correct match left and were not scored.
        gallery: How many gallery images there were, junk left out.
        protocol: "cross-camera" or "query image dropped".
        per_query: Every query's own figures.
    """

    rank1: float
    rank5: float
    rank10: float
    mAP: float  # noqa: N815 - the name of the field
    mAP_trapezoid: float  # noqa: N815
    mINP: float  # noqa: N815
    cmc: tuple[float, ...]
    queries: int
    queries_without_match: int
    gallery: int
    protocol: Protocol
    per_query: QueryResults = field(repr=False)

    def to_dict(self) -> dict[str, float | int | str | list[float]]:
        """Gives the scores as plain values for JSON, without the per-query figures."""
        return {
            "rank1": self.rank1,
            "rank5": self.rank5,
            "rank10": self.rank10,
            "mAP": self.mAP,
            "mAP_trapezoid": self.mAP_trapezoid,
            "mINP": self.mINP,
            "cmc": list(self.cmc),
            "queries": self.queries,
            "queries_without_match": self.queries_without_match,
            "gallery": self.gallery,
            "protocol": self.protocol,
        }


def score_ranking(
    query_embeddings: ArrayLike,
    query_people: People,
    query_cameras: ArrayLike,
    gallery_embeddings: ArrayLike,
    gallery_people: People,
    gallery_cameras: ArrayLike,
    *,
    metric: Metric = "euclidean",
    query_images: Sequence[str] | Indices | None = None,
    gallery_images: Sequence[str] | Indices | None = None,
    distractors: Collection[str | int] = DISTRACTORS,
    protocol: Protocol | None = None,
) -> RankingScores:
    """Ranks the gallery for each query and scores the ranks.

    Gallery images at the same distance rank in the order of the gallery. Memory is bounded: one
    block of distances, some 32 MB (256 MB for a million gallery images). `ProtocolMask` explains
    the protocols.

    Args:
        query_embeddings: `(queries, dimensions)`, float16, float32 or float64.
        query_people: `(queries,)`, text or whole numbers.
        query_cameras: `(queries,)`, whole numbers, -1 where unknown.
        gallery_embeddings: `(gallery, dimensions)`.
        gallery_people: `(gallery,)`, of the same kind as `query_people`.
        gallery_cameras: `(gallery,)`, whole numbers, -1 where unknown.
        metric: "euclidean" or "cosine".
        query_images: `(queries,)`, paths or numbers that tell images apart; for data of one camera.
        gallery_images: `(gallery,)`, of the same kind.
        distractors: Names of people who are never a match.
        protocol: Forces a protocol; by default the data decide.

    Returns:
        The scores. Rectangle rule: with correct matches at ranks `r_1 < ... < r_n`, AP is the mean
        of `i / r_i`. Trapezoid rule: the mean of `(i / r_i + (i - 1) / (r_i - 1)) / 2`, where the
        second term is 1 at rank 1 (Zheng et al., ICCV 2015, evaluation code). INP is `n / r_n` (Ye
        et al., "Deep Learning for Person Re-identification", 2021, equation 4).

    Raises:
        InputError: Something is empty, not finite or disagrees, or no query has a match.

    Example:
        >>> scores = score_ranking(
        ...     [[0.0]], ["a"], [1],
        ...     [[0.1], [0.2], [0.3], [0.4]], ["a", "b", "a", "a"], [1, 1, 2, 3],
        ... )  # the first is the query's own camera; the two matches rank 2 and 3
        >>> scores.rank1, scores.rank5, round(scores.mAP, 4), round(scores.mINP, 4)
        (0.0, 1.0, 0.5833, 0.6667)
    """
    mask = ProtocolMask(
        query_people,
        query_cameras,
        gallery_people,
        gallery_cameras,
        query_images=query_images,
        gallery_images=gallery_images,
        distractors=distractors,
        protocol=protocol,
    )
    queries, gallery = _checked_for(query_embeddings, gallery_embeddings, mask)
    check_metric(metric)
    return _score(
        squared_distance_blocks(queries, gallery, metric=metric, columns=mask.columns), mask
    )


def score_distances(blocks: DistanceBlocks, mask: ProtocolMask) -> RankingScores:
    """Scores distances that come from elsewhere, for example from re-ranking.

    Args:
        blocks: The number of the first query of each block and its distances `(rows, gallery)`,
            float32, over the whole gallery; in order. The blocks are overwritten.
        mask: Who is who.

    Returns:
        The scores, as `score_ranking`.

    Raises:
        InputError: The blocks do not fit the queries and the gallery, or hold NaN.

    Example:
        >>> mask = ProtocolMask([7], [1], [7, 8], [2, 2])
        >>> score_distances(iter([(0, np.array([[0.5, 0.4]], np.float32))]), mask).mAP
        0.5
    """
    return _score(_checked_blocks(blocks, mask), mask)


def nearest(
    query_embeddings: ArrayLike,
    gallery_embeddings: ArrayLike,
    k: int = 10,
    *,
    metric: Metric = "euclidean",
    mask: ProtocolMask | None = None,
) -> tuple[Indices, NDArray[np.float32]]:
    """Finds the nearest gallery images of each query, for rank lists and searches.

    Args:
        query_embeddings: `(queries, dimensions)`.
        gallery_embeddings: `(gallery, dimensions)`.
        k: How many, at least 1.
        metric: "euclidean" or "cosine".
        mask: Leaves out for each query what its ranking leaves out, and junk; nothing when None.

    Returns:
        Gallery numbers `(queries, k)`, int64, nearest first and -1 where fewer are left; and their
        distances `(queries, k)`, float32, infinity where fewer are left. Ties as in
        `score_ranking`.

    Raises:
        InputError: Something is empty, not finite or disagrees, or `k` is below 1.

    Example:
        >>> indices, distances = nearest([[0.0]], [[2.0], [1.0], [4.0]], k=2)
        >>> indices.tolist(), distances.tolist()
        ([[1, 0]], [[1.0, 2.0]])
    """
    if k < 1:
        raise InputError(f"`k` must be at least 1. Received: k={k}.")
    check_metric(metric)
    if mask is None:
        queries, gallery = checked_pair(query_embeddings, gallery_embeddings)
    else:
        queries, gallery = _checked_for(query_embeddings, gallery_embeddings, mask)
    columns = None if mask is None else mask.columns
    indices = np.full((len(queries), k), -1, np.int64)
    distances = np.full((len(queries), k), np.inf, np.float32)
    for start, block in squared_distance_blocks(queries, gallery, metric=metric, columns=columns):
        if mask is not None:
            for row in range(len(block)):
                block[row, _positions(mask.of(start + row)[0], columns)] = np.inf
        count = min(k, block.shape[1])
        found, keys = smallest(block, count)
        to_distances(keys, metric)
        found = found if columns is None else columns[found]
        rows = slice(start, start + len(block))
        indices[rows, :count] = np.where(np.isinf(keys), -1, found)
        distances[rows, :count] = keys
    return indices, distances


def single_shot_cmc(
    query_embeddings: ArrayLike,
    gallery_embeddings: ArrayLike,
    mask: ProtocolMask,
    *,
    metric: Metric = "euclidean",
    repeats: int = 10,
    seed: int = 0,
) -> tuple[float, ...]:
    """Scores CUHK03's single-gallery-shot protocol: one gallery image a person, drawn at random.

    For each query and repeat, one image of every gallery person is drawn (of the query's own
    person, one of its correct matches), and the rank of the match among them counts. Distractors
    count as one person each image, so that all of them stay.

    Args:
        query_embeddings: `(queries, dimensions)`.
        gallery_embeddings: `(gallery, dimensions)`.
        mask: Who is who.
        metric: "euclidean" or "cosine".
        repeats: Draws a query, at least 1.
        seed: Of the draws.

    Returns:
        Rank-1 to rank-50, the mean over scored queries and repeats.

    Raises:
        InputError: Something is empty, not finite or disagrees, or no query has a match.
    """
    if repeats < 1:
        raise InputError(f"`repeats` must be at least 1. Received: repeats={repeats}.")
    check_metric(metric)
    queries, gallery = _checked_for(query_embeddings, gallery_embeddings, mask)
    random = np.random.default_rng(seed)
    codes = mask.gallery_people()
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] >= 0]
    people, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
    strangers = np.flatnonzero(codes == -1)
    reached = np.zeros(CMC_RANKS)
    scored = 0
    for start, block in squared_distance_blocks(queries, gallery, metric=metric):
        for row, keys in enumerate(block):
            _, correct = mask.of(start + row)
            if not len(correct):
                continue
            scored += 1
            draws = starts + (random.random((repeats, len(people))) * counts).astype(np.int64)
            others = keys[order[draws]]
            others[:, people == mask.person(start + row)] = np.inf
            own = keys[random.choice(correct, repeats)][:, None]
            ranks = (others < own).sum(axis=1) + (keys[strangers] < own).sum(axis=1)
            reached += (ranks[:, None] <= np.arange(CMC_RANKS)).mean(axis=0)
    _require_scored(scored, mask)
    return tuple((reached / scored).tolist())


def _score(blocks: DistanceBlocks, mask: ProtocolMask) -> RankingScores:
    columns = mask.columns
    people = np.array([mask.person(query) for query in range(mask.queries)], np.int64)
    match_counts = np.zeros(mask.queries, np.int64)
    first = np.zeros(mask.queries, np.int64)
    rectangle, trapezoid, penalty = np.full((3, mask.queries), np.nan)
    for start, block in blocks:
        for row, keys in enumerate(block):
            query = start + row
            left_out, correct = mask.of(query)
            if not len(correct):
                continue
            keys[_positions(left_out, columns)] = np.inf
            ranks = _ranks(keys, _positions(correct, columns))
            count = np.arange(1, len(ranks) + 1)
            precision = count / ranks
            before = np.where(ranks > 1, (count - 1) / np.maximum(ranks - 1, 1), 1.0)
            match_counts[query] = len(ranks)
            first[query] = ranks[0]
            rectangle[query] = precision.mean()
            trapezoid[query] = (precision + before).mean() / 2
            penalty[query] = precision[-1]
    scored = match_counts > 0
    number = int(scored.sum())
    _require_scored(number, mask)
    cmc = [float((first[scored] <= rank).mean()) for rank in range(1, CMC_RANKS + 1)]
    return RankingScores(
        rank1=cmc[0],
        rank5=cmc[4],
        rank10=cmc[9],
        mAP=float(rectangle[scored].mean()),
        mAP_trapezoid=float(trapezoid[scored].mean()),
        mINP=float(penalty[scored].mean()),
        cmc=tuple(cmc),
        queries=number,
        queries_without_match=mask.queries - number,
        gallery=mask.gallery_size if columns is None else len(columns),
        protocol=mask.protocol,
        per_query=QueryResults(people, match_counts, first, rectangle, trapezoid, penalty),
    )


def _ranks(keys: NDArray[np.float32], correct: Indices) -> Indices:
    """Ranks of the correct matches, rising from 1; what is left out is at infinity.

    Sorting values alone is several times faster than sorting positions, and only the few matches'
    ranks are needed: the smaller values before each, plus its equals that come earlier in the
    gallery.
    """
    values = keys[correct]
    in_order = np.sort(keys)
    before = np.searchsorted(in_order, values, side="left")
    equals = np.searchsorted(in_order, values, side="right") - before
    for tied in np.flatnonzero(equals > 1):
        before[tied] += np.count_nonzero(keys[: correct[tied]] == values[tied])
    return np.sort(before) + 1


def _positions(gallery_numbers: Indices, columns: Indices | None) -> Indices:
    return gallery_numbers if columns is None else np.searchsorted(columns, gallery_numbers)


def _checked_blocks(blocks: DistanceBlocks, mask: ProtocolMask) -> DistanceBlocks:
    expected = 0
    for start, block in blocks:
        rows = len(block)
        if (
            block.ndim != 2
            or start != expected
            or start + rows > mask.queries
            or block.shape[1] != mask.gallery_size
        ):
            raise InputError(
                f"Distance blocks must cover {mask.queries} queries x {mask.gallery_size} "
                f"gallery images in order. Received: query {start}, shape {block.shape}, after "
                f"{expected} queries. Make them from the same query and gallery."
            )
        if np.isnan(block.min()):
            raise InputError(
                f"Distances must be numbers. Received: NaN in the block from query {start}. "
                "Check the embeddings for NaN."
            )
        expected += rows
        yield start, block if mask.columns is None else block[:, mask.columns]
    if expected != mask.queries:
        raise InputError(
            f"Distance blocks must cover {mask.queries} queries. Received: {expected}. "
            "Make them from the same queries."
        )


def _checked_for(
    query_embeddings: ArrayLike, gallery_embeddings: ArrayLike, mask: ProtocolMask
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    queries, gallery = checked_pair(query_embeddings, gallery_embeddings)
    if len(queries) != mask.queries or len(gallery) != mask.gallery_size:
        raise InputError(
            f"There must be one embedding for each of {mask.queries} queries and "
            f"{mask.gallery_size} gallery images. Received: {len(queries)} and {len(gallery)}. "
            "Give people and embeddings of the same images, in the same order."
        )
    return queries, gallery


def _require_scored(scored: int, mask: ProtocolMask) -> None:
    if not scored:
        raise InputError(
            "At least one query must have a match in the gallery. Received: "
            f"{mask.queries} queries, {mask.gallery_size} gallery images and no person with "
            "images in both. Check that both come from the same dataset."
        )
