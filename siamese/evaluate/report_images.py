"""The images that a report shows: rank lists of some queries, and the pairs most wrong."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from siamese import plots
from siamese.evaluate.query_gallery import QueryGallery
from siamese.metrics.blocks import Indices, Metric
from siamese.metrics.pairs import hardest_pairs
from siamese.metrics.ranking import QueryResults, RankingScores
from siamese.vectors import Embeddings

LISTS = 6
"""Queries shown of each kind."""
FAILURES = 12
"""Failures shown of each kind."""

HeatMaps = Callable[[plots.Image, plots.Image], tuple[plots.Image, plots.Image]]
"""Draws on both images of a pair where they matched."""


@dataclass(frozen=True)
class RankList:
    """A query and its first places.

    Attributes:
        query: The query; its caption names person and camera.
        summary: Its scores, in words.
        places: Nearest first.
        first: The rank of the first match.
        missed: The first match, where it is not among the places.
    """

    query: plots.RankedImage
    summary: str
    places: tuple[plots.RankedImage, ...]
    first: int
    missed: plots.RankedImage | None


class ShownPair(NamedTuple):
    """Two images and the distance that the model sees between them."""

    first: plots.RankedImage
    second: plots.RankedImage
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
    ranking: RankingScores,
    *,
    metric: Metric,
    seed: int,
    heat_maps: HeatMaps | None = None,
) -> Shown:
    """Chooses what is shown and reads its pictures.

    `seed` chooses the random rank lists. `heat_maps` draws on the images of the rank lists where
    query and place matched; None leaves them as they are.
    """
    images = query_gallery.images
    chosen = choose_queries(ranking.per_query, seed=seed)
    asked = {row for rows in chosen.values() for row in rows}
    failures = hardest_pairs(**images.labelled, metric=metric, count=FAILURES, seed=seed)
    also = {int(row) for each in failures for row in (*each.first, *each.second)}
    lists, pictures = read_rank_lists(query_gallery, ranking, asked, also, heat_maps)
    alike, apart = (
        tuple(
            ShownPair(_show(images, first, pictures), _show(images, second, pictures), distance)
            for first, second, distance in zip(
                hard.first.tolist(), hard.second.tolist(), hard.distances.tolist(), strict=True
            )
        )
        for hard in failures
    )
    ordered = {kind: tuple(lists[row] for row in rows) for kind, rows in chosen.items()}
    return Shown(ordered, alike, apart)


def read_rank_lists(
    query_gallery: QueryGallery,
    ranking: RankingScores,
    queries: Collection[int],
    also: Collection[int] = (),
    heat_maps: HeatMaps | None = None,
) -> tuple[dict[int, RankList], Mapping[int, plots.Image]]:
    """Makes the rank lists of some queries that have a match.

    Returns:
        The rank lists by the number of the query, and the pictures of these and of the rows `also`,
        all read at once.
    """
    images, query, gallery = query_gallery.images, query_gallery.query, query_gallery.gallery
    lists, results, mask = ranking.lists, ranking.per_query, ranking.mask
    assert lists is not None
    assert mask is not None
    found = {row: lists.indices[row][lists.indices[row] >= 0].tolist() for row in queries}
    for row in queries:
        if results.first_match_rank[row] > len(found[row]):
            found[row].append(int(lists.first_match[row]))
    wanted = {int(query[row]) for row in queries}.union(also)
    wanted |= {int(gallery[place]) for places in found.values() for place in places}
    pictures = query_gallery.read_pictures(sorted(wanted))

    def list_places(row: int) -> RankList:
        image, correct = pictures[int(query[row])], set(mask.of(row)[1].tolist())
        distances = [*lists.distances[row][np.isfinite(lists.distances[row])]]
        if missed := len(distances) < len(found[row]):
            distances.append(lists.first_distance[row])
        places = []
        for number, distance in zip(found[row], distances, strict=True):
            picture = pictures[int(gallery[number])]
            if heat_maps is not None:
                picture = heat_maps(image, picture)[1]
            camera = describe_camera(images.cameras[gallery[number]])
            caption = f"{camera}  {distance:.2f}".strip()
            places.append(plots.RankedImage(picture, number in correct, caption))
        first, matches = int(results.first_match_rank[row]), results.match_counts[row]
        last = places.pop() if missed else None
        return RankList(
            _show(images, int(query[row]), pictures),
            f"AP {results.average_precision[row]:.2f}, first of {matches} "
            f"{'match' if matches == 1 else 'matches'} at rank {first}",
            tuple(places),
            first,
            last,
        )

    return {row: list_places(row) for row in queries}, pictures


def choose_queries(results: QueryResults, *, seed: int) -> dict[str, list[int]]:
    """Chooses up to `LISTS` queries of each kind by average precision: worst, best and by lot.

    Returns:
        Numbers of queries by kind, each person once. Among equally good ones those with more
        matches, which are harder to get right, come first.
    """
    scored = np.flatnonzero(results.scored)
    matches = -results.match_counts[scored]
    precision = results.average_precision[scored]
    orders = {
        "worst": scored[np.lexsort((matches, results.inverse_negative_penalty[scored], precision))],
        "best": scored[np.lexsort((matches, -precision))],
        "random": np.random.default_rng(seed).permutation(scored),
    }
    return {kind: _one_each(order, results.people) for kind, order in orders.items()}


def draw_shown(shown: Shown) -> dict[str, Figure]:
    """Draws rank lists and failures as figures, by file name without suffix."""
    figures = {f"ranks_{kind}": draw_rank_lists(lists) for kind, lists in shown.lists.items()}
    for name, found in (("look_alikes", shown.alike), ("look_apart", shown.apart)):
        if found:
            figures[name] = plots.plot_pairs(
                [(each.first.image, each.second.image) for each in found],
                [f"{e.first.caption} / {e.second.caption}  {e.distance:.2f}" for e in found],
                same=name == "look_apart",
            )
    return figures


def draw_rank_lists(lists: Sequence[RankList]) -> Figure:
    """Draws some queries, their average precision below them, and their places."""
    return plots.plot_rank_lists(
        [(e.query.image, f"{e.query.caption}\n{e.summary.split(',')[0]}") for e in lists],
        [each.places for each in lists],
    )


def _show(images: Embeddings, row: int, pictures: Mapping[int, plots.Image]) -> plots.RankedImage:
    words = (str(images.people[row]), describe_camera(images.cameras[row]))
    return plots.RankedImage(pictures[row], None, " ".join(filter(None, words)))


def _one_each(order: Indices, people: Indices) -> list[int]:
    _, first = np.unique(people[order], return_index=True)
    chosen: list[int] = order[np.sort(first)][:LISTS].tolist()
    return chosen


def describe_camera(camera: int) -> str:
    """Names a camera in a caption; nothing for one that is not known, -1."""
    return "" if camera < 0 else f"cam {camera}"
