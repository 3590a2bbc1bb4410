"""Embeddings -> ranking and verification scores, with re-ranking and query expansion on request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.evaluate.embedded import EmbeddedImages
from siamese.metrics.blocks import Indices, Metric
from siamese.metrics.masks import ProtocolMask
from siamese.metrics.pairs import PairCounts, PairSample, count_pairs, sample_pairs
from siamese.metrics.rank_lists import RankLists
from siamese.metrics.ranking import RankingScores, nearest, score_distances, score_ranking
from siamese.metrics.reranking import expand_queries, rerank
from siamese.metrics.verification import VerificationScores, error_rates_at, score_verification

PLACES = 10
"""Length of the rank lists that are shown."""
VERIFICATION_PAIRS = 100_000
"""Pairs of each kind that the intervals of verification scores are drawn from."""

Places: TypeAlias = tuple[Indices, NDArray[np.float32]]


@dataclass(frozen=True)
class Scores:
    """Ranking and verification scores of one query set and gallery."""

    ranking: RankingScores
    verification: VerificationScores

    def to_dict(self) -> dict[str, Any]:
        """The score report as plain values: shares from 0 to 1, and counts."""
        card: dict[str, Any] = dict(self.ranking.to_dict())
        card["auc"] = self.verification.auc
        card["eer"] = self.verification.eer
        card["tar_at_far"] = {f"{far:g}": tar for far, tar in self.verification.tar_at_far.items()}
        return card


@dataclass(frozen=True)
class Reranking:
    """The numbers of k-reciprocal re-ranking (Zhong et al., CVPR 2017), with the paper's values.

    Attributes:
        k1: Neighbours that may be reciprocal.
        k2: Nearest images whose encodings are averaged.
        original_weight: Of the original distance against the Jaccard distance, 0 to 1: lambda.
    """

    k1: int = 20
    k2: int = 6
    original_weight: float = 0.3


@dataclass(frozen=True)
class Ranked:
    """A ranking with what is needed to show it.

    Attributes:
        scores: The scores.
        mask: Who is who.
        places: Gives the gallery numbers and distances of the first `PLACES` places of some
            queries, `(queries, places)` each; -1 where fewer are left.
        first_match: Gives the gallery number and distance of a query's nearest match; None where
            distances are re-ranked, which keeps no more than the first places.
    """

    scores: RankingScores
    mask: ProtocolMask
    places: Callable[[Sequence[int]], Places]
    first_match: Callable[[int], tuple[int, float] | None]


def score_embedded(
    query: EmbeddedImages, gallery: EmbeddedImages, everything: EmbeddedImages
) -> Scores:
    """Scores embeddings by ranking, and by verification over all pairs.

    Args:
        query: Who is looked for.
        gallery: Where.
        everything: The images whose pairs are verified: query and gallery together.

    Returns:
        The scores.

    Raises:
        InputError: A side is empty, or no query has a match.
    """
    return Scores(rank(query, gallery).scores, score_verification(pairs_of(everything)))


def score_sources(
    images: EmbeddedImages,
    query: Indices,
    gallery: Indices,
    sources: Sequence[str],
    *,
    metric: Metric = "euclidean",
    threshold: float | None = None,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """Scores the people of each of several datasets among the images of their own dataset.

    Args:
        images: Of people who are named `source/person`.
        query: Rows of `images` that are looked for.
        gallery: Rows of `images` that are searched.
        sources: The names of the datasets.
        metric: "euclidean" or "cosine".
        threshold: Adds `rates_at_threshold`, the shares of strangers accepted and of people
            rejected there.
        **options: More of `rank`.

    Returns:
        By source: `people` and `images`, and the scores, or `not_scored`: why there are none.
    """
    found: dict[str, dict[str, Any]] = {}
    for source in sources:
        mine = np.char.startswith(images.people, f"{source}/")
        own = images.rows(np.flatnonzero(mine))
        entry: dict[str, Any] = {"people": len(set(own.people.tolist())), "images": len(own.people)}
        try:
            ranked = rank(
                images.rows(query[mine[query]]),
                images.rows(gallery[mine[gallery]]),
                metric=metric,
                **options,
            )
            pairs = pairs_of(own, metric=metric)
            entry.update(Scores(ranked.scores, score_verification(pairs)).to_dict())
            if threshold is not None:
                rates = error_rates_at(pairs, threshold)
                entry["rates_at_threshold"] = [rates.false_accept_rate, rates.false_reject_rate]
        except InputError as error:
            entry["not_scored"] = str(error)
        found[source] = entry
    return found


def pairs_of(images: EmbeddedImages, *, metric: Metric = "euclidean") -> PairCounts:
    """The counted distances of all cross-camera pairs of the images."""
    return count_pairs(
        images.embeddings,
        images.people,
        images.cameras,
        metric=metric,
        distractors=images.distractors,
    )


def sample_of(images: EmbeddedImages, *, metric: Metric = "euclidean", seed: int = 0) -> PairSample:
    """Some of these pairs with the people in them, for intervals."""
    return sample_pairs(
        images.embeddings,
        images.people,
        images.cameras,
        metric=metric,
        distractors=images.distractors,
        size=VERIFICATION_PAIRS,
        seed=seed,
    )


def rank(
    query: EmbeddedImages,
    gallery: EmbeddedImages,
    *,
    metric: Metric = "euclidean",
    reranking: Reranking | None = None,
    expansion: int | None = None,
) -> Ranked:
    """Ranks the gallery for each query.

    Args:
        query: Who is looked for.
        gallery: Where, without junk.
        metric: "euclidean" or "cosine".
        reranking: Re-ranks by k-reciprocal encoding; None does not.
        expansion: Replaces each query by the mean of itself and so many of its nearest gallery
            images, whoever they show, the query's own image left out; None does not.

    Returns:
        The ranking.

    Raises:
        InputError: A side is empty, a number is out of range, or no query has a match.
    """
    if expansion is not None:
        itself = _match(query, gallery, protocol="query image dropped")
        query = replace(
            query,
            embeddings=expand_queries(
                query.embeddings, gallery.embeddings, metric=metric, k=expansion, mask=itself
            ),
        )
    mask = _match(query, gallery)
    if reranking is not None:
        lists = RankLists(mask, places=PLACES)
        blocks = rerank(query.embeddings, gallery.embeddings, metric=metric, **vars(reranking))
        scores = score_distances(lists.watch(blocks), mask)
        return Ranked(
            scores,
            mask,
            lambda rows: (lists.indices[rows], lists.distances[rows]),
            lambda _: None,
        )
    scores = score_ranking(
        query.embeddings,
        query.people,
        query.cameras,
        gallery.embeddings,
        gallery.people,
        gallery.cameras,
        metric=metric,
        query_images=query.names.tolist(),
        gallery_images=gallery.names.tolist(),
        distractors=gallery.distractors,
    )

    def places(rows: Sequence[int]) -> Places:
        some = query.rows(np.asarray(rows, np.int64))
        return nearest(
            some.embeddings,
            gallery.embeddings,
            PLACES,
            metric=metric,
            mask=_match(some, gallery, protocol=mask.protocol),
        )

    def first_match(row: int) -> tuple[int, float]:
        correct = mask.of(row)[1]
        some = gallery.rows(correct).embeddings
        place, distance = nearest(query.embeddings[row : row + 1], some, 1, metric=metric)
        return int(correct[place[0, 0]]), float(distance[0, 0])

    return Ranked(scores, mask, places, first_match)


def _match(query: EmbeddedImages, gallery: EmbeddedImages, **options: Any) -> ProtocolMask:
    return ProtocolMask(
        query.people,
        query.cameras,
        gallery.people,
        gallery.cameras,
        query_images=query.names.tolist(),
        gallery_images=gallery.names.tolist(),
        distractors=gallery.distractors,
        **options,
    )
