"""Ranking scores against hand-worked cases, a slow loop and other code."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.errors import InputError
from siamese.metrics import blocks
from siamese.metrics.blocks import distance_blocks, smallest
from siamese.metrics.masks import ProtocolMask, query_rows
from siamese.metrics.rank_lists import nearest
from siamese.metrics.ranking import score_distances, score_ranking, single_shot_cmc

GOLDENS = Path(__file__).with_name("goldens") / "ranking.npz"


def ranked(distances, query_people, query_cameras, gallery_people, gallery_cameras, **options):
    """Scores a matrix that was written by hand."""
    mask = ProtocolMask(query_people, query_cameras, gallery_people, gallery_cameras, **options)
    return score_distances(iter([(0, np.array(distances, np.float32))]), mask)


def made(queries=30, gallery=200, people=12, cameras=3, dimensions=3, seed=0):
    """Embeddings on a coarse grid: squared distances are whole numbers, exact and full of ties."""
    random = np.random.default_rng(seed)
    sides = []
    for count in (queries, gallery):
        owners = random.integers(0, people, count)
        points = owners[:, None] % 4 + random.integers(-2, 3, (count, dimensions))
        sides += [points.astype(np.float32), owners, random.integers(1, cameras + 1, count)]
    return sides


def slow_scores(distances, query_people, query_cameras, gallery_people, gallery_cameras):
    """The protocol, word by word, one image at a time."""
    rows = []
    for query, person in enumerate(query_people):
        order = sorted(range(len(gallery_people)), key=lambda g: (distances[query][g], g))
        rank, hits, points = 0, 0, []
        for g in order:
            if gallery_people[g] == person and gallery_cameras[g] == query_cameras[query]:
                continue
            rank += 1
            if gallery_people[g] == person:
                before = hits / (rank - 1) if rank > 1 else 1.0
                hits += 1
                points.append((rank, hits / rank, before))
        if points:
            rectangle = sum(p for _, p, _ in points) / hits
            trapezoid = sum((p + b) / 2 for _, p, b in points) / hits
            rows.append((points[0][0], rectangle, trapezoid, hits / points[-1][0]))
    return np.array(rows)


def test_scores_worked_by_hand():
    # Query "a" from camera 1. Sorted gallery: a(own camera), b, a, c, a, junk... hence the correct
    # matches rank 2 and 4: AP = (1/2 + 2/4) / 2; trapezoid (1/2 + 0)/2 and (2/4 + 1/3)/2; INP 2/4.
    # Query "b" from camera 2: its match at once; AP 1, trapezoid 1.
    scores = ranked(
        [[0.1, 0.2, 0.3, 0.4, 0.5], [0.9, 0.1, 0.8, 0.7, 0.6]],
        ["a", "b"],
        [1, 2],
        ["a", "b", "a", "c", "a"],
        [1, 1, 2, 1, 3],
    )
    assert scores.rank1 == 0.5
    assert scores.cmc[1] == 1
    assert scores.per_query.average_precision == pytest.approx([0.5, 1])
    assert scores.per_query.average_precision_trapezoid == pytest.approx(
        [((1 / 2 + 0) / 2 + (2 / 4 + 1 / 3) / 2) / 2, 1]
    )
    assert scores.mAP == pytest.approx(0.75)
    assert scores.mINP == pytest.approx(0.75)
    assert scores.per_query.first_match_rank.tolist() == [2, 1]
    assert scores.per_query.match_counts.tolist() == [2, 1]
    assert scores.protocol == "cross-camera"


def test_query_never_sees_its_own_camera():
    # The nearest image is the query's own person from its own camera. Were it counted, Rank-1
    # were 1; were it a wrong answer, the match would rank 3.
    scores = ranked([[0.0, 0.1, 0.2]], ["a"], [1], ["a", "b", "a"], [1, 2, 2])
    assert scores.per_query.first_match_rank.tolist() == [2]
    assert scores.per_query.match_counts.tolist() == [1]


def test_another_person_of_the_same_camera_stays_in_the_gallery():
    scores = ranked([[0.1, 0.2]], ["a"], [1], ["b", "a"], [1, 2])
    assert scores.rank1 == 0


@pytest.mark.parametrize("junk", ["-1", "00-1"])
def test_junk_is_as_if_it_were_not_there(junk):
    scores = ranked([[0.1, 0.2, 0.3]], ["a"], [1], [junk, "a", "b"], [2, 2, 2])
    assert scores.rank1 == 1
    assert scores.gallery == 2


def test_junk_may_be_a_number():
    assert ranked([[0.1, 0.2, 0.3]], [5], [1], [-1, 5, 6], [2, 2, 2]).rank1 == 1


def test_distractors_stay_and_never_match():
    scores = ranked([[0.1, 0.2], [0.1, 0.2]], ["a", "0000"], [1, 1], ["0000", "a"], [2, 2])
    assert scores.per_query.first_match_rank.tolist() == [2, 0]
    assert scores.gallery == 2
    assert scores.queries_without_match == 1


def test_person_number_0_is_a_person_unless_named_a_distractor():
    arguments = ([[0.1, 0.2], [0.1, 0.2]], [0, 4], [1, 1], [0, 4], [2, 2])
    assert ranked(*arguments).queries == 2
    assert ranked(*arguments, distractors=(0,)).queries == 1


def test_queries_without_a_match_are_counted_and_not_scored():
    scores = ranked([[0.1, 0.2], [0.1, 0.2]], ["a", "z"], [1, 1], ["a", "b"], [2, 2])
    assert (scores.queries, scores.queries_without_match) == (1, 1)
    assert scores.rank1 == 1
    assert np.isnan(scores.per_query.average_precision[1])
    assert scores.per_query.scored.tolist() == [True, False]


def test_an_unknown_camera_proves_nothing():
    # Of the three images of "a", only the last is known to be from another camera.
    scores = ranked([[0.1, 0.2, 0.3, 0.4]], ["a"], [1], ["a", "b", "a", "a"], [-1, 1, -1, 2])
    assert scores.per_query.match_counts.tolist() == [1]
    assert scores.per_query.first_match_rank.tolist() == [2]


def test_single_camera_data_drop_only_the_query_image():
    images = ["1.jpg", "2.jpg", "3.jpg"]
    for camera in (1, -1):
        scores = ranked(
            [[0.0, 0.1, 0.2], [0.1, 0.0, 0.3]],
            ["a", "a"],
            [camera] * 2,
            ["a", "a", "b"],
            [camera] * 3,
            query_images=images[:2],
            gallery_images=images,
        )
        assert scores.protocol == "query image dropped"
        assert scores.per_query.match_counts.tolist() == [1, 1]
        assert scores.rank1 == 1


def test_one_cross_camera_match_keeps_the_cross_camera_protocol():
    scores = ranked(
        [[0.0, 0.1], [0.1, 0.0]],
        ["a", "b"],
        [1, 1],
        ["a", "b"],
        [1, 2],
        query_images=[0, 1],
        gallery_images=[0, 1],
    )
    assert scores.protocol == "cross-camera"
    assert scores.queries_without_match == 1


def test_a_protocol_can_be_forced():
    scores = ranked(
        [[0.0, 0.1, 0.2]],
        ["a"],
        [1],
        ["a", "a", "a"],
        [1, 1, 2],
        query_images=[0],
        gallery_images=[0, 1, 2],
        protocol="query image dropped",
    )
    assert scores.per_query.match_counts.tolist() == [2]


def test_equal_distances_rank_in_gallery_order():
    people = ["b", "a", "b", "a", "b"]
    scores = ranked([[0.5] * 5], ["a"], [1], people, [2] * 5)
    assert scores.per_query.average_precision == pytest.approx([(1 / 2 + 2 / 4) / 2])


def test_equal_distances_of_what_is_left_out_do_not_count():
    scores = ranked([[0.5] * 4], ["a"], [1], ["a", "a", "b", "a"], [1, 1, 2, 2])
    assert scores.per_query.first_match_rank.tolist() == [2]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_scores_agree_with_the_slow_loop(seed, metric):
    sides = made(seed=seed)
    queries, gallery = sides[0].astype(np.float64), sides[3].astype(np.float64)
    if metric == "euclidean":
        distances = ((queries[:, None] - gallery[None]) ** 2).sum(axis=2)
    else:
        sides[0] += np.random.default_rng(seed).random(sides[0].shape, np.float32)
        sides[3] += np.random.default_rng(9).random(sides[3].shape, np.float32)
        queries, gallery = sides[0].astype(np.float64), sides[3].astype(np.float64)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
        distances = 1 - queries @ gallery.T
    slow = slow_scores(distances, sides[1], sides[2], sides[4], sides[5])
    scores = score_ranking(*sides, metric=metric)
    fast = scores.per_query
    kept = fast.scored
    assert fast.first_match_rank[kept].tolist() == slow[:, 0].tolist()
    assert fast.average_precision[kept] == pytest.approx(slow[:, 1], abs=1e-12)
    assert fast.average_precision_trapezoid[kept] == pytest.approx(slow[:, 2], abs=1e-12)
    assert fast.inverse_negative_penalty[kept] == pytest.approx(slow[:, 3], abs=1e-12)
    assert scores.rank5 == (slow[:, 0] <= 5).mean()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 30), st.integers(1, 3))
def test_any_small_set_agrees_with_the_slow_loop(seed, queries, gallery, cameras):
    sides = made(queries, gallery, 4, cameras, 1, seed)
    distances = (sides[0] - sides[3].T) ** 2
    slow = slow_scores(distances, sides[1], sides[2], sides[4], sides[5])
    try:
        scores = score_ranking(*sides)
    except InputError:
        assert not len(slow)
        return
    assert scores.mAP == pytest.approx(slow[:, 1].mean())
    assert scores.mINP == pytest.approx(slow[:, 3].mean())


def test_scores_agree_with_torchreid_and_scikit_learn():
    golden = np.load(GOLDENS)
    names = ("embeddings", "people", "cameras")
    scores = score_ranking(*(golden[f"{side}_{n}"] for side in ("query", "gallery") for n in names))
    assert scores.queries_without_match > 0
    assert scores.cmc == pytest.approx(golden["torchreid_cmc"], abs=1e-6)
    assert scores.mAP == pytest.approx(golden["torchreid_mean_average_precision"], abs=1e-9)
    assert scores.per_query.average_precision == pytest.approx(
        golden["sklearn_average_precision"], abs=1e-9, nan_ok=True
    )


def test_blocks_of_any_size_give_the_same_scores(monkeypatch):
    sides = made(queries=150)
    whole = score_ranking(*sides)
    monkeypatch.setattr(blocks, "_ELEMENTS", 1)
    monkeypatch.setattr(blocks, "_COLUMNS", 7)
    parts = score_ranking(*sides)
    assert parts.to_dict() == whole.to_dict()


def test_names_and_orders_do_not_matter():
    sides = made(dimensions=8)
    sides[0] += np.random.default_rng(1).random(sides[0].shape, np.float32)  # no ties
    whole = score_ranking(*sides).to_dict()
    order = np.random.default_rng(2).permutation(len(sides[4]))
    moved = score_ranking(*sides[:3], *(side[order] for side in sides[3:]))
    text = [str(1000 - p) for p in sides[1]], [str(1000 - p) for p in sides[4]]
    named = score_ranking(sides[0], text[0], sides[2] + 5, sides[3], text[1], sides[5] + 5)
    for other in (moved, named):
        assert other.cmc == pytest.approx(whole["cmc"])
        for name in ("mAP", "mAP_trapezoid", "mINP", "queries", "gallery"):
            assert getattr(other, name) == pytest.approx(whole[name])


def test_half_and_double_precision_are_accepted():
    sides = made()
    single = score_ranking(*sides).to_dict()
    for kind in (np.float16, np.float64):
        other = score_ranking(sides[0].astype(kind), *sides[1:3], sides[3].astype(kind), *sides[4:])
        assert other.to_dict() == single


def test_scores_are_plain_values():
    values = score_ranking(*made()).to_dict()
    assert {type(value) for value in values.values()} == {float, int, str, list}
    assert len(values["cmc"]) == 50
    assert values["rank10"] == values["cmc"][9]


def test_distances_agree_with_the_definition():
    random = np.random.default_rng(0)
    queries, gallery = random.standard_normal((70, 5)), random.standard_normal((9, 5))
    euclidean = np.concatenate([block.copy() for _, block in distance_blocks(queries, gallery)])
    expected = np.linalg.norm(queries[:, None] - gallery[None], axis=2)
    assert euclidean == pytest.approx(expected, abs=1e-5)
    gallery[3] = 0
    ((_, cosine),) = distance_blocks(queries[:5], gallery, metric="cosine")
    assert cosine[:, 3].tolist() == [1] * 5
    lengths = np.linalg.norm(queries[:5], axis=1) * np.linalg.norm(gallery[0])
    assert cosine[:, 0] == pytest.approx(1 - queries[:5] @ gallery[0] / lengths, abs=1e-6)


@pytest.mark.parametrize(("width", "count"), [(5, 5), (300, 3), (1000, 21), (5000, 1)])
def test_smallest_agrees_with_a_stable_sort(width, count):
    block = np.random.default_rng(0).integers(0, 40, (20, width)).astype(np.float32)
    columns, values = smallest(block, count)
    expected = np.argsort(block, axis=1, kind="stable")[:, :count]
    assert columns.tolist() == expected.tolist()
    assert values.tolist() == np.take_along_axis(block, expected, axis=1).tolist()
    rows, same_values = smallest(np.ascontiguousarray(block.T), count, by_column=True)
    assert rows.tolist() == columns.tolist()
    assert same_values.tolist() == values.tolist()


def test_nearest_leaves_out_what_the_ranking_leaves_out():
    embeddings = np.array([[0.0], [1], [2], [3], [4]], np.float32)
    people, cameras = ["a", "-1", "a", "b", "a"], [1, 2, 2, 1, 1]
    mask = ProtocolMask(["a"], [1], people, cameras)
    indices, distances = nearest(embeddings[:1], embeddings, 3, mask=mask)
    assert indices.tolist() == [[2, 3, -1]]
    assert distances.tolist() == [[2, 3, np.inf]]
    indices, _ = nearest(embeddings[:1], embeddings, 7)
    assert indices.tolist() == [[0, 1, 2, 3, 4, -1, -1]]


def test_query_set_is_the_first_image_of_each_person_in_each_camera():
    people = ["b", "a", "b", "b", "0000", "a", "-1"]
    assert query_rows(people, [1, 1, 1, 2, 1, 1, 1]).tolist() == [0, 1, 3]


def test_single_shot_draws_one_image_a_person():
    # Both images of "b" are nearer than the match, yet only one of them is drawn: rank 2, always.
    queries, gallery = [[0.0]], [[1.0], [1.5], [2.0], [9.0], [0.1]]
    mask = ProtocolMask(["a"], [1], ["b", "b", "a", "c", "a"], [2, 2, 2, 2, 1])
    cmc = single_shot_cmc(queries, gallery, mask)
    assert cmc[:3] == (0, 1, 1)


def test_single_shot_ranks_among_all_distractors():
    # Both distractors and the one image of "b" are nearer than the match, and junk is no one.
    mask = ProtocolMask(["a"], [1], ["0000", "0000", "a", "b", "-1"], [2] * 5)
    cmc = single_shot_cmc([[0.0]], [[1.0], [1.5], [2.0], [1.2], [0.5]], mask)
    assert cmc[:5] == (0, 0, 0, 1, 1)


def test_single_shot_is_repeatable_and_near_its_expectation():
    # The match is drawn from {1, 3} evenly, the stranger is at 2: half of the draws rank 1.
    mask = ProtocolMask(["a"], [1], ["a", "b", "a"], [2, 2, 2])
    draws = [
        single_shot_cmc([[0.0]], [[1.0], [2], [3]], mask, repeats=2000, seed=s) for s in (3, 3, 4)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0][0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({0: np.empty((0, 3), np.float32)}, "at least one image"),
        ({3: np.empty((0, 3), np.float32)}, "at least one image"),
        ({0: np.full((30, 3), np.nan, np.float32)}, "row 0"),
        ({3: np.zeros((200, 4), np.float32)}, "same number of dimensions"),
        ({3: np.zeros((200, 3), int)}, "float16, float32 or float64"),
        ({3: np.zeros(200, np.float32)}, "float16, float32 or float64"),
        ({1: ["a"] * 30}, "all text or all whole numbers"),
        ({1: np.zeros(30)}, "text or of whole numbers"),
        ({1: np.zeros(29, int)}, "`query_cameras` must be 29"),
        ({2: [None] * 30}, "-1 for a missing camera"),
        ({2: np.full(30, np.nan)}, "-1 for a missing camera"),
        ({0: np.zeros((29, 3), np.float32)}, "one embedding for each"),
        ({1: np.full(30, 77)}, "no person with images in both"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(change, sentence):
    sides = made()
    for place, value in change.items():
        sides[place] = value
    with pytest.raises(InputError, match=sentence) as caught:
        score_ranking(*sides)
    assert "\n" not in str(caught.value)


def test_more_bad_input_is_refused_in_a_sentence():
    sides = made(cameras=1)
    with pytest.raises(InputError, match="Give both"):
        score_ranking(*sides)
    with pytest.raises(InputError, match="Give both"):
        ProtocolMask(*sides[1:3], *sides[4:], protocol="query image dropped")
    with pytest.raises(InputError, match="must name one image a row"):
        score_ranking(*sides, query_images=["a"], gallery_images=["b"])
    with pytest.raises(InputError, match="`metric` must be"):
        score_ranking(*made(), metric="manhattan")
    with pytest.raises(InputError, match="`k` must be"):
        nearest([[1.0]], [[1.0]], 0)
    with pytest.raises(InputError, match="must show a person"):
        query_rows(["-1", "0000"], [1, 1])
    with pytest.raises(InputError, match="Query and gallery must hold"):
        ProtocolMask([], [], ["a"], [1])


def test_distance_blocks_that_do_not_fit_are_refused():
    mask = ProtocolMask(["a", "b"], [1, 1], ["a", "b"], [2, 2])
    for block, sentence in (
        ((0, np.zeros((2, 3), np.float32)), "in order"),
        ((1, np.zeros((1, 2), np.float32)), "in order"),
        ((0, np.zeros((1, 2), np.float32)), "must cover 2 queries"),
        ((0, np.full((2, 2), np.nan, np.float32)), "NaN"),
    ):
        with pytest.raises(InputError, match=sentence):
            score_distances(iter([block]), mask)
