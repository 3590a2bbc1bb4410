"""Rank-k, mean average precision (two definitions) and mINP of a query set against a gallery."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import (
    DistanceBlocks,
    Floats,
    Indices,
    Metric,
    check_metric,
    distance_blocks,
    to_distances,
)
from siamese.metrics.masks import DISTRACTORS, People, Protocol, ProtocolMask
from siamese.metrics.rank_lists import RankLists

CMC_RANKS = 50


@dataclass(frozen=True)
class QueryResults:
    """The scores of each query, one row a query in the given order.

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
        """The queries that have a correct match, `(queries,)`."""
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
        queries: Number of queries that were scored.
        queries_without_match: Number of those that had no correct match left and were not scored.
        gallery: Number of gallery images, junk left out.
        protocol: "cross-camera" or "query image dropped".
        per_query: Every query's own figures.
        mask: What was left out for each query, and what was correct; None of scores from a file.
        lists: The first places of every query; None where they were not asked for.
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
    mask: ProtocolMask | None = field(default=None, repr=False)
    lists: RankLists | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Gives the scores as plain values for JSON, without the figures of single queries."""
        left_out = ("per_query", "mask", "lists")
        values = {name: value for name, value in vars(self).items() if name not in left_out}
        return {**values, "cmc": list(self.cmc)}


def score_ranking(
    query_embeddings: ArrayLike,
    query_people: People,
    query_cameras: ArrayLike,
    gallery_embeddings: ArrayLike,
    gallery_people: People,
    gallery_cameras: ArrayLike,
    *,
    metric: Metric = "euclidean",
    query_images: People | None = None,
    gallery_images: People | None = None,
    distractors: Collection[str | int] = DISTRACTORS,
) -> RankingScores:
    """Ranks the gallery for each query and scores the ranks.

    Gallery images at the same distance rank in the order of the gallery. Memory is bounded: one
    block of distances, some 32 MB (256 MB for a million gallery images). Embeddings are `(queries,
    dimensions)` and `(gallery, dimensions)`, float16, float32 or float64; people, cameras, names of
    images and distractors are those of `ProtocolMask`, which explains the protocols.

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
    )
    return score_masked(query_embeddings, gallery_embeddings, mask, metric=metric)


def score_masked(
    query_embeddings: ArrayLike,
    gallery_embeddings: ArrayLike,
    mask: ProtocolMask,
    *,
    metric: Metric = "euclidean",
    places: int = 0,
) -> RankingScores:
    """Ranks and scores as `score_ranking`, where it is known already who is who.

    `places` is the length of the rank lists to keep; 0 keeps none.

    Raises:
        InputError: Something is empty, not finite or disagrees, or no query has a match.
    """
    queries, gallery = mask.checked_pair(query_embeddings, gallery_embeddings)
    check_metric(metric)
    keys = distance_blocks(queries, gallery, metric=metric, columns=mask.columns, squared=True)
    scores = _score(keys, mask, places)
    if scores.lists is not None:
        to_distances(scores.lists.distances, metric)
        to_distances(scores.lists.first_distance, metric)
    return scores


def score_distances(
    blocks: DistanceBlocks, mask: ProtocolMask, *, places: int = 0
) -> RankingScores:
    """Scores distances that come from elsewhere, for example from re-ranking.

    Args:
        blocks: The number of the first query of each block and its distances `(rows, gallery)`,
            float32, over the whole gallery; in order. The blocks are overwritten.
        mask: Tells what is left out and what is correct.
        places: As in `score_masked`.

    Raises:
        InputError: The blocks do not fit the queries and the gallery, or hold NaN.

    Example:
        >>> mask = ProtocolMask([7], [1], [7, 8], [2, 2])
        >>> score_distances(iter([(0, np.array([[0.5, 0.4]], np.float32))]), mask).mAP
        0.5
    """
    return _score(_checked_blocks(blocks, mask), mask, places)


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
    count as one person each image, so that all of them stay. Arguments are those of `score_masked`.

    Returns:
        Rank-1 to rank-50, the mean over scored queries and repeats.

    Raises:
        InputError: Something is empty, not finite or disagrees, or no query has a match.
    """
    if repeats < 1:
        raise InputError(f"`repeats` must be at least 1. Received: repeats={repeats}.")
    check_metric(metric)
    queries, gallery = mask.checked_pair(query_embeddings, gallery_embeddings)
    random = np.random.default_rng(seed)
    codes = mask.gallery_codes
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] >= 0]
    people, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
    strangers = np.flatnonzero(codes == -1)
    reached = np.zeros(CMC_RANKS)
    scored = 0
    for start, block in distance_blocks(queries, gallery, metric=metric, squared=True):
        for row, keys in enumerate(block):
            _, correct = mask.of(start + row)
            if not len(correct):
                continue
            scored += 1
            draws = starts + (random.random((repeats, len(people))) * counts).astype(np.int64)
            others = keys[order[draws]]
            others[:, people == mask.query_codes[start + row]] = np.inf
            own = keys[random.choice(correct, repeats)][:, None]
            ranks = (others < own).sum(axis=1) + (keys[strangers] < own).sum(axis=1)
            reached += (ranks[:, None] <= np.arange(CMC_RANKS)).mean(axis=0)
    _require_scored(scored, mask)
    return tuple((reached / scored).tolist())


def _score(blocks: DistanceBlocks, mask: ProtocolMask, places: int) -> RankingScores:
    columns = mask.columns
    lists = RankLists.of_size(mask.queries, places) if places else None
    match_counts = np.zeros(mask.queries, np.int64)
    first = np.zeros(mask.queries, np.int64)
    rectangle, trapezoid, penalty = np.full((3, mask.queries), np.nan)
    for start, block in blocks:
        for row, keys in enumerate(block):
            query = start + row
            left_out, correct = mask.of(query)
            keys[mask.positions(left_out)] = np.inf
            if not len(correct):
                continue
            positions = mask.positions(correct)
            ranks = _ranks(keys, positions)
            if lists is not None:
                place = keys[positions].argmin()
                lists.first_match[query] = correct[place]
                lists.first_distance[query] = keys[positions[place]]
            count = np.arange(1, len(ranks) + 1)
            precision = count / ranks
            before = np.where(ranks > 1, (count - 1) / np.maximum(ranks - 1, 1), 1.0)
            match_counts[query] = len(ranks)
            first[query] = ranks[0]
            rectangle[query] = precision.mean()
            trapezoid[query] = (precision + before).mean() / 2
            penalty[query] = precision[-1]
        if lists is not None:
            lists.read(start, block, columns)
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
        per_query=QueryResults(
            mask.query_codes, match_counts, first, rectangle, trapezoid, penalty
        ),
        mask=mask,
        lists=lists,
    )


def _ranks(keys: NDArray[np.float32], correct: Indices) -> Indices:
    """Finds the ranks of the correct matches, rising from 1; what is left out is at infinity.

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


def _checked_blocks(blocks: DistanceBlocks, mask: ProtocolMask) -> DistanceBlocks:
    expected = 0
    for start, block in blocks:
        stop = start + len(block)
        fits = start == expected and stop <= mask.queries
        if not fits or block.shape[1:] != (mask.gallery_size,):
            raise InputError(
                f"Distance blocks must cover {mask.queries} queries x {mask.gallery_size} "
                f"gallery images in order. Received: query {start}, shape {block.shape}, after "
                f"{expected} queries."
            )
        if np.isnan(block.min()):
            raise InputError(
                f"Distances must be numbers. Received: NaN in the block from query {start}."
            )
        expected = stop
        yield start, block if mask.columns is None else block[:, mask.columns]
    if expected != mask.queries:
        raise InputError(
            f"Distance blocks must cover {mask.queries} queries. Received: {expected}."
        )


def _require_scored(scored: int, mask: ProtocolMask) -> None:
    if not scored:
        raise InputError(
            "At least one query must have a match in the gallery. Received: "
            f"{mask.queries} queries, {mask.gallery_size} gallery images and no person with "
            "images in both. Check that both come from the same dataset, and that people have two "
            "images."
        )
