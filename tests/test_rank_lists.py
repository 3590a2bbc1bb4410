"""Rank lists, worked by hand and by a slow loop; reasons for queries without a match."""

import numpy as np
import pytest

from siamese.metrics.blocks import distance_blocks
from siamese.metrics.masks import ProtocolMask
from siamese.metrics.rank_lists import nearest
from siamese.metrics.ranking import score_distances, score_masked
from siamese.metrics.reranking import expand_queries


@pytest.mark.parametrize("junk", [False, True])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_lists_agree_with_nearest_and_a_slow_loop(junk, metric):
    random = np.random.default_rng(0)
    queries, gallery = random.standard_normal((70, 3)), random.standard_normal((90, 3))
    people = random.integers(1, 9, 90)
    if junk:
        people[::7] = -1
    who = random.integers(1, 9, 70), random.integers(1, 4, 70), people, random.integers(1, 4, 90)
    mask = ProtocolMask(*who)
    blocks = distance_blocks(queries, gallery, metric=metric)
    passed = score_distances(blocks, mask, places=5)
    scored = score_masked(queries, gallery, mask, metric=metric, places=5)
    assert score_masked(queries, gallery, mask).lists is None
    indices, distances = nearest(queries, gallery, 5, metric=metric, mask=mask)
    ((_, dense),) = distance_blocks(queries, gallery, metric=metric)
    for lists in (passed.lists, scored.lists):
        np.testing.assert_array_equal(lists.indices, indices)
        np.testing.assert_allclose(lists.distances, distances, atol=1e-4)
        for query in range(70):
            left_out, correct = mask.of(query)
            allowed = [g for g in range(90) if g not in left_out and people[g] != -1]
            assert indices[query].tolist() == sorted(allowed, key=lambda g: dense[query, g])[:5]
            best = correct[dense[query, correct].argmin()]
            assert lists.first_match[query] == best
            assert lists.first_distance[query] == pytest.approx(dense[query, best], abs=1e-4)


def test_short_galleries_leave_places_empty():
    mask = ProtocolMask(["a", "z"], [1, 1], ["a", "a", "b"], [1, 2, 1])
    blocks = distance_blocks([[0.0], [2.0]], [[0.0], [1.0], [3.0]])
    lists = score_distances(blocks, mask, places=5).lists
    assert lists.indices.tolist() == [[1, 2, -1, -1, -1], [1, 2, 0, -1, -1]]
    assert lists.distances[0].tolist() == [1, 3, np.inf, np.inf, np.inf]
    assert lists.first_match.tolist() == [1, -1]
    assert lists.first_distance.tolist() == [1, np.inf]


def test_reasons_for_queries_that_are_not_scored_worked_by_hand():
    mask = ProtocolMask(
        ["a", "b", "c", "d", "0000", "-1", "e"],
        [1, 1, -1, 1, 1, 1, 1],
        ["a", "b", "c", "d", "0000", "-1"],
        [2, 1, 2, -1, 2, 2],
    )
    assert [mask.why_unmatched(query) for query in range(7)] == [
        None,
        "the person is there by the query's own camera alone",
        "its camera is not known",
        "the person is there by its own or unknown cameras alone",
        "it shows a distractor or junk",
        "it shows a distractor or junk",
        "the person is not in the gallery",
    ]


def test_expansion_leaves_out_what_matches_say():
    gallery = [[0.0], [4.0], [6.0]]
    mask = ProtocolMask(
        ["a"], [1], ["a", "b", "c"], [1, 1, 1],
        query_images=["x"], gallery_images=["x", "y", "z"], protocol="query image dropped",
    )  # fmt: skip
    plain = expand_queries([[0.0]], gallery, metric="euclidean", k=1)
    assert plain.tolist() == [[0.0]]
    without = expand_queries([[0.0]], gallery, metric="euclidean", k=1, mask=mask)
    assert without.tolist() == [[2.0]]
    # Fewer are left than asked for: the mean of those that are.
    every = expand_queries([[0.0]], gallery, metric="euclidean", k=3, mask=mask)
    assert every[0, 0] == pytest.approx(10 / 3)
