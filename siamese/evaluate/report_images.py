"""What of a ranking is shown: rank lists of some queries, and the pairs that went most wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from siamese import plots
from siamese.evaluate.embedded import EmbeddedImages
from siamese.evaluate.query_gallery import QueryGallery
from siamese.evaluate.scoring import Ranked
from siamese.metrics.blocks import Indices, Metric
from siamese.metrics.failures import HardPairs, hardest_pairs

LISTS = 6
"""Queries shown of each kind."""
PAIRS = 12
"""Failures shown of each kind."""

HeatMaps = Callable[[plots.Image, plots.Image], tuple[plots.Image, plots.Image]]
"""Draws on both images of a pair where they matched."""


@dataclass(frozen=True)
class RankList:
    """A query and its first places.

    Attributes:
        image: The query's picture.
        caption: Who it is and which camera took it.
        summary: How well it went, in words.
        places: Nearest first.
        first: The rank of the first match.
        missed: The first match, where it is not among the places and known.
    """

    image: plots.Image
    caption: str
    summary: str
    places: tuple[plots.RankedImage, ...]
    first: int
    missed: plots.RankedImage | None


@dataclass(frozen=True)
class ShownPair:
    """Two images and how far apart the model sees them."""

    images: tuple[plots.Image, plots.Image]
    captions: tuple[str, str]
    distance: float


@dataclass(frozen=True)
class Shown:
    """All that is shown of a scored model.

    Attributes:
        lists: Rank lists by kind: "worst", "best", "random".
        alike: Two people who look most alike to the model.
        apart: One person who looks least alike to it.
    """

    lists: Mapping[str, tuple[RankList, ...]]
    alike: tuple[ShownPair, ...]
    apart: tuple[ShownPair, ...]


def choose_images(
    query_gallery: QueryGallery,
    ranked: Ranked,
    *,
    metric: Metric,
    seed: int,
    heat_maps: HeatMaps | None = None,
) -> Shown:
    """Chooses what is shown and reads its pictures.

    Args:
        query_gallery: Who was scored.
        ranked: How.
        metric: "euclidean" or "cosine", of the pairs.
        seed: Of the random rank lists.
        heat_maps: Draws on the images of the rank lists where query and place matched; None leaves
            them as they are.

    Returns:
        The pictures in their order.
    """
    chosen = choose_queries(ranked, seed=seed)
    numbers = sorted({row for rows in chosen.values() for row in rows})
    found, distances = ranked.places(numbers)
    missed = {
        number: ranked.first_match(number)
        for number in numbers
        if ranked.scores.per_query.first_match_rank[number] > found.shape[1]
    }
    alike, apart = hardest_pairs(
        query_gallery.images.embeddings,
        query_gallery.images.people,
        query_gallery.images.cameras,
        metric=metric,
        distractors=query_gallery.images.distractors,
        count=PAIRS,
        seed=seed,
    )
    query, gallery = query_gallery.query, query_gallery.gallery
    wanted = {
        *query[numbers].tolist(),
        *gallery[found[found >= 0]].tolist(),
        *(int(gallery[first[0]]) for first in missed.values() if first is not None),
        *(row for pairs in (alike, apart) for rows in (pairs.first, pairs.second) for row in rows),
    }
    pictures = query_gallery.read_pictures(sorted(int(row) for row in wanted))

    def rank_list(number: int) -> RankList:
        place = numbers.index(number)
        image = pictures[int(query[number])]

        def place_of(row: int, distance: float, is_match: bool) -> plots.RankedImage:
            picture = pictures[int(gallery[row])]
            if heat_maps is not None:
                picture = heat_maps(image, picture)[1]
            camera = describe_camera(query_gallery.images.cameras[gallery[row]])
            return plots.RankedImage(picture, is_match, f"{camera}  {distance:.2f}".strip())

        correct = set(ranked.mask.of(number)[1].tolist())
        places = [
            place_of(row, distance, row in correct)
            for row, distance in zip(found[place].tolist(), distances[place].tolist(), strict=True)
            if row >= 0
        ]
        nearest = missed.get(number)
        results = ranked.scores.per_query
        first, matches = results.first_match_rank[number], results.match_counts[number]
        return RankList(
            image,
            _who(query_gallery.images, query[number]),
            f"AP {results.average_precision[number]:.2f}, first of {matches} "
            f"{'match' if matches == 1 else 'matches'} at rank {first}",
            tuple(places),
            int(first),
            None if nearest is None else place_of(*nearest, True),
        )

    def pairs(hard: HardPairs) -> tuple[ShownPair, ...]:
        return tuple(
            ShownPair(
                (pictures[first], pictures[second]),
                (_who(query_gallery.images, first), _who(query_gallery.images, second)),
                distance,
            )
            for first, second, distance in zip(
                hard.first.tolist(), hard.second.tolist(), hard.distances.tolist(), strict=True
            )
        )

    return Shown(
        {kind: tuple(rank_list(row) for row in rows) for kind, rows in chosen.items()},
        pairs(alike),
        pairs(apart),
    )


def choose_queries(ranked: Ranked, *, seed: int, count: int = LISTS) -> dict[str, list[int]]:
    """Chooses queries by average precision, each person once: worst, best and by lot.

    Args:
        ranked: The ranking.
        seed: Of the lot.
        count: The largest number of each kind.

    Returns:
        Numbers of queries by kind. Among equally good ones those with more matches, which are
        harder to get right, come first.
    """
    results = ranked.scores.per_query
    scored = np.flatnonzero(results.scored)
    matches = -results.match_counts[scored]
    precision = results.average_precision[scored]
    orders = {
        "worst": scored[np.lexsort((matches, results.inverse_negative_penalty[scored], precision))],
        "best": scored[np.lexsort((matches, -precision))],
        "random": np.random.default_rng(seed).permutation(scored),
    }
    return {kind: _one_each(order, results.people, count) for kind, order in orders.items()}


def draw_shown(shown: Shown) -> dict[str, Any]:
    """Draws rank lists and failures as figures.

    Args:
        shown: What is shown.

    Returns:
        Figures by file name without suffix.
    """
    figures = {
        f"ranks_{kind}": plots.plot_rank_lists(
            [(each.image, f"{each.caption}\n{each.summary.split(',')[0]}") for each in lists],
            [each.places for each in lists],
        )
        for kind, lists in shown.lists.items()
    }
    for name, found, same in (
        ("look_alikes", shown.alike, False),
        ("look_apart", shown.apart, True),
    ):
        if found:
            captions = [f"{' / '.join(each.captions)}  {each.distance:.2f}" for each in found]
            figures[name] = plots.plot_pairs([each.images for each in found], captions, same=same)
    return figures


def _one_each(order: Indices, people: Indices, count: int) -> list[int]:
    _, first = np.unique(people[order], return_index=True)
    chosen: list[int] = order[np.sort(first)][:count].tolist()
    return chosen


def _who(images: EmbeddedImages, row: int) -> str:
    camera = describe_camera(images.cameras[row])
    return " ".join(filter(None, [str(images.people[row]), camera]))


def describe_camera(camera: int) -> str:
    """What a caption says of a camera: nothing of one that is not known, -1."""
    return "" if camera < 0 else f"cam {camera}"
