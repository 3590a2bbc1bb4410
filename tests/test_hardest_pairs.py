"""The pairs that a model gets most wrong: worked by hand, and by a slow loop."""

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.metrics.pairs import hardest_pairs


def made(images=60, people=7, cameras=3, seed=0):
    random = np.random.default_rng(seed)
    return (
        random.standard_normal((images, 4)).astype(np.float32),
        random.integers(0, people, images),
        random.integers(1, cameras + 1, images),
    )


def slow(points, people, cameras, *, same, cross=True):
    """The worst partner of each image, the worst pair of each two people (each person)."""
    worst = {}
    for i in range(len(points)):
        found = [
            (np.linalg.norm(points[i] - points[j]), j)
            for j in range(len(points))
            if i != j
            and (people[i] == people[j]) == same
            and (cameras[i] != cameras[j] or not cross)
        ]
        if not found:
            continue
        distance, j = max(found) if same else min(found)
        who = tuple(sorted((people[i], people[j])))
        if who not in worst or (distance > worst[who]) == same:
            worst[who] = distance
    return sorted(worst.values(), reverse=same)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("cross", [True, False])
def test_pairs_agree_with_the_slow_loop(seed, cross):
    points, people, cameras = made(seed=seed)
    if not cross:
        cameras[:] = -1
    alike, apart = hardest_pairs(points, people, cameras, count=100)
    for pairs, same in ((alike, False), (apart, True)):
        expected = slow(points, people, cameras, same=same, cross=cross)
        assert pairs.distances == pytest.approx(np.array(expected), abs=1e-5)
        measured = np.linalg.norm(points[pairs.first] - points[pairs.second], axis=1)
        assert pairs.distances == pytest.approx(measured, abs=1e-5)
        assert ((people[pairs.first] == people[pairs.second]) == same).all()
        assert cross is False or (cameras[pairs.first] != cameras[pairs.second]).all()


def test_cosine_pairs_are_those_of_unit_vectors():
    points, people, cameras = made()
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    for one, other in zip(
        hardest_pairs(points, people, cameras, metric="cosine"),
        hardest_pairs(unit, people, cameras),
        strict=True,
    ):
        assert one.first.tolist() == other.first.tolist()
        assert one.distances == pytest.approx(other.distances**2 / 2, abs=1e-5)


def test_nobody_takes_no_part_and_rows_are_those_given():
    points = [[0.0], [0.01], [5.0], [0.02], [9.0]]
    people = ["-1", "a", "a", "0000", "b"]
    alike, apart = hardest_pairs(points, people, [1, 1, 2, 2, 1])
    assert (alike.first.tolist(), alike.second.tolist()) == ([2], [4])
    assert sorted([*apart.first.tolist(), *apart.second.tolist()]) == [1, 2]


def test_large_sets_are_reduced_by_whole_people():
    points, people, cameras = made(images=200, people=20)
    _, apart = hardest_pairs(points, people, cameras, maximum_images=60, count=100)
    assert 1 <= len(apart.first) <= 8


def test_one_person_has_no_look_alike():
    alike, apart = hardest_pairs([[0.0], [1.0]], ["a", "a"], [1, 2])
    assert len(alike.first) == 0
    assert apart.distances.tolist() == [1.0]


def test_bad_embeddings_are_refused():
    with pytest.raises(InputError, match="must be finite"):
        hardest_pairs([[np.nan], [1.0]], ["a", "a"], [1, 2])
