"""Tracklet pooling and MARS's two galleries, worked by hand."""

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.metrics.ranking import score_ranking
from siamese.metrics.tracklets import pool_tracklets

FRAMES = [[3.0, 0.0], [0.0, 8.0], [6.0, 12.0], [0.0, 6.0]]
NAMES = ["t2", "t1", "t2", "t2"]


@pytest.mark.parametrize(
    ("pooling", "pooled"), [("mean", [3, 6]), ("max", [6, 12]), ("median", [3, 6])]
)
def test_frames_are_pooled_by_tracklet(pooling, pooled):
    result = pool_tracklets(FRAMES, NAMES, pooling=pooling)
    assert result[0].tolist() == [0, 1]
    assert result[1] == pytest.approx(np.array(pooled) / np.linalg.norm(pooled))


def test_median_is_not_the_mean():
    result = pool_tracklets([[1.0, 0.0], [1.0, 0.0], [1.0, 9.0]], [7, 7, 7], pooling="median")
    assert result.tolist() == [[1, 0]]


def test_length_is_taken_after_pooling():
    # Were the frames given length 1 first, the mean would point to (1, 1).
    result = pool_tracklets([[1.0, 0.0], [0.0, 3.0]], ["a", "a"])
    assert result[0] == pytest.approx(np.array([1, 3]) / np.sqrt(10))


def test_frames_agree_with_a_slow_loop_in_any_order():
    random = np.random.default_rng(0)
    frames, names = random.standard_normal((200, 6)), random.integers(0, 30, 200)
    result = pool_tracklets(frames, names)
    assert len(result) == len(set(names.tolist()))
    for place, name in enumerate(np.unique(names)):
        mean = sum(frames[i] for i in range(200) if names[i] == name)
        assert result[place] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    order = random.permutation(200)
    moved = pool_tracklets(frames[order], names[order])
    assert moved == pytest.approx(result, abs=1e-6)


def test_a_tracklet_of_zeros_stays_zero():
    assert pool_tracklets([[1.0], [-1.0]], ["a", "a"]).tolist() == [[0]]


def test_mars_protocols_differ_for_queries_that_match_each_other_alone():
    # The two tracklets of person 5 are both queries: by torchreid's gallery neither has a match.
    people, cameras = np.array([5, 5, 6, 6, 0, -1]), np.array([1, 2, 1, 2, 3, 3])
    tracklets = np.array([[0.0], [0.1], [2.0], [2.1], [3.0], [4.0]])
    queries = np.array([0, 1, 2])
    scores = {}
    for protocol in ("official", "torchreid"):
        rows = np.arange(6) if protocol == "official" else np.setdiff1d(np.arange(6), queries)
        scores[protocol] = score_ranking(
            tracklets[queries],
            people[queries],
            cameras[queries],
            tracklets[rows],
            people[rows],
            cameras[rows],
            distractors=(0,),
        )
    assert scores["official"].queries_without_match == 0
    assert scores["official"].gallery == 5
    assert scores["torchreid"].queries_without_match == 2
    assert scores["torchreid"].gallery == 2
    assert scores["official"].rank1 == scores["torchreid"].rank1 == 1


@pytest.mark.parametrize(
    ("frames", "names", "options", "sentence"),
    [
        (FRAMES, NAMES[:2], {}, "each of 4 frames"),
        (FRAMES, [1.0, 2.0, 3.0, 4.0], {}, "text or whole numbers"),
        (FRAMES, NAMES, {"pooling": "sum"}, "`pooling`"),
        ([[np.nan]], ["a"], {}, "row 0"),
        (np.empty((0, 3)), [], {}, "at least one image"),
    ],
)
def test_bad_frames_are_refused(frames, names, options, sentence):
    with pytest.raises(InputError, match=sentence):
        pool_tracklets(frames, names, **options)
