"""Embeddings -> ranking and verification scores, with re-ranking and query expansion on request."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from siamese.errors import InputError
from siamese.evaluate.score_report import PartScores, Reranking
from siamese.metrics.blocks import Indices, Metric
from siamese.metrics.masks import Protocol, ProtocolMask
from siamese.metrics.pairs import count_pairs
from siamese.metrics.ranking import RankingScores, score_distances, score_masked
from siamese.metrics.reranking import expand_queries, rerank
from siamese.metrics.verification import VerificationScores, error_rates_at, score_verification
from siamese.vectors import Embeddings

PLACES = 10
"""Length of the rank lists that are shown."""
VERIFICATION_PAIRS = 100_000
"""Pairs of each kind that the intervals of verification scores are drawn from."""


@dataclass(frozen=True)
class Scores:
    """Ranking and verification scores of one query set and gallery."""

    ranking: RankingScores
    verification: VerificationScores

    def to_dict(self) -> dict[str, Any]:
        """Gives the scores as plain values: shares from 0 to 1, and counts."""
        accepted = {f"{far:g}": tar for far, tar in self.verification.tar_at_far.items()}
        return {
            **self.ranking.to_dict(),
            "auc": self.verification.auc,
            "eer": self.verification.eer,
            "tar_at_far": accepted,
        }


def score_embedded(images: Embeddings) -> Scores:
    """Scores embeddings by ranking of `first_rows` in all, and by verification over all pairs.

    Raises:
        InputError: There is no query, or none has a match.
    """
    verification = score_verification(count_pairs(**images.labelled))
    return Scores(rank(images.rows(images.first_rows()), images), verification)


def score_rows(
    images: Embeddings,
    query: Indices,
    gallery: Indices,
    *,
    threshold: float | None = None,
    metric: Metric = "euclidean",
    **options: Any,
) -> PartScores:
    """Scores images by ranking of some rows, and by verification over all their pairs.

    `threshold` adds `rates_at_threshold`, the shares of strangers accepted and of people rejected
    there. The other options are those of `rank`.

    Raises:
        InputError: A side is empty, or no query has a match.
    """
    ranking = rank(images.rows(query), images.rows(gallery), metric=metric, **options)
    pairs = count_pairs(**images.labelled, metric=metric)
    rates = None if threshold is None else error_rates_at(pairs, threshold).rates
    scores = Scores(ranking, score_verification(pairs))
    return PartScores(**scores.to_dict(), rates_at_threshold=rates)


def score_sources(
    images: Embeddings,
    query: Indices,
    gallery: Indices,
    sources: Sequence[str],
    *,
    threshold: float | None = None,
    **options: Any,
) -> dict[str, PartScores]:
    """Scores the people of each of several datasets among the images of their own dataset.

    People are named `source/person`; the rest is as for `score_rows`.

    Returns:
        By source: `people` and `images`, and the scores, or `not_scored`: why there are none.
    """
    found: dict[str, PartScores] = {}
    for source in sources:
        mine = np.char.startswith(images.people, f"{source}/")
        own = images.rows(np.flatnonzero(mine))
        sizes: dict[str, Any] = {"people": len(set(own.people.tolist())), "images": len(own.people)}
        try:
            row_of = np.cumsum(mine) - 1
            asked, searched = (row_of[rows[mine[rows]]] for rows in (query, gallery))
            scores = score_rows(own, asked, searched, threshold=threshold, **options)
            found[source] = replace(scores, **sizes)
        except InputError as error:
            found[source] = PartScores(**sizes, not_scored=str(error))
    return found


def match(query: Embeddings, gallery: Embeddings, protocol: Protocol | None = None) -> ProtocolMask:
    """Finds out for each query what is left out of the gallery and what is correct."""
    return ProtocolMask(
        query.people,
        query.cameras,
        gallery.people,
        gallery.cameras,
        query_images=query.images,
        gallery_images=gallery.images,
        distractors=gallery.distractors,
        protocol=protocol,
    )


def rank(
    query: Embeddings,
    gallery: Embeddings,
    *,
    metric: Metric = "euclidean",
    reranking: Reranking | None = None,
    expansion: int | None = None,
) -> RankingScores:
    """Ranks the gallery, without junk, for each query and keeps the first `PLACES` places.

    Args:
        query: The images that are looked for.
        gallery: The images that are searched.
        metric: "euclidean" or "cosine".
        reranking: Re-ranks by k-reciprocal encoding; None does not.
        expansion: Replaces each query by the mean of itself and so many of its nearest gallery
            images, whoever they show, the query's own image left out; None does not.

    Raises:
        InputError: A side is empty, a number is out of range, or no query has a match.
    """
    if expansion is not None:
        itself = match(query, gallery, "query image dropped")
        expanded = expand_queries(
            query.embeddings, gallery.embeddings, metric=metric, k=expansion, mask=itself
        )
        query = replace(query, embeddings=expanded)
    mask = match(query, gallery)
    sides = query.embeddings, gallery.embeddings
    if reranking is not None:
        blocks = rerank(*sides, metric=metric, **vars(reranking))
        return score_distances(blocks, mask, places=PLACES)
    return score_masked(*sides, mask, metric=metric, places=PLACES)
