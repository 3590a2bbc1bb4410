"""Clusters of unknown people against hand-worked cases, slow loops and scikit-learn."""

import numpy as np
import pytest

from siamese.metrics.blocks import unit_rows
from siamese.metrics.density import NEIGHBOURS, camera_silhouettes, find_density_clusters
from siamese.metrics.reranking import jaccard_distances


def made(people=12, crops=6, cameras=3, dimensions=8, noise=0.25, seed=0):
    """Crops of people by cameras in turn; each has a direction of its own."""
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), crops)
    seen = np.tile(np.arange(crops) % cameras, people)
    points = random.standard_normal((people, dimensions))[owners]
    points = points + noise * random.standard_normal(points.shape)
    return unit_rows(points), seen, owners


def same_groups(first, second):
    """Whether two numberings put the same crops together, those below 0 alone."""
    alone = np.arange(len(first)) + 10_000
    one, other = (np.where(each < 0, alone, each) for each in (first, second))
    return np.array_equal(one[:, None] == one, other[:, None] == other)


def slow_silhouettes(rows, cameras, numbers):
    """One crop, one cluster and one other crop after the other."""
    count = len(rows)
    numbers = [n if n >= 0 else 10_000 + i for i, n in enumerate(numbers)]
    found = []
    for i in range(count):
        means = {}
        for number in set(numbers):
            others = [
                float(((rows[i].astype(np.float64) - rows[j]) ** 2).sum())
                for j in range(count)
                if j != i and numbers[j] == number
                and (cameras[i] == -1 or cameras[j] != cameras[i])
            ]  # fmt: skip
            if others:
                means[number] = np.mean(others)
        inside = means.pop(numbers[i], None)
        if inside is None or not means:
            found.append(0.0)
            continue
        outside = min(means.values())
        found.append((outside - inside) / max(outside, inside))
    return np.array(found)


def test_silhouettes_worked_by_hand():
    # Squared distances: 0.4 from (1, 0) to (0.8, 0.6), 2 to (0, 1); 0.8 from (0.8, 0.6) to (0, 1).
    rows = np.float32([[1, 0], [0.8, 0.6], [0, 1], [0, 1]])
    found = camera_silhouettes(rows, np.array([1, 2, 1, 2]), np.array([0, 0, 1, 1]))
    # The first one's nearest other cluster has one crop of camera 2, at 2: (2 - 0.4) / 2.
    # The second one's has one of camera 1, at 0.8: (0.8 - 0.4) / 0.8. Of the last two, one mate is
    # at 0 and the other cluster further away.
    assert found == pytest.approx([0.8, 0.5, 1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("cameras", ["known", "unknown", "mixed"])
def test_silhouettes_equal_a_slow_loop(cameras):
    rows, seen, owners = made(people=6, noise=0.8)
    numbers = np.where(np.arange(len(rows)) % 7 == 3, -1, owners)
    if cameras == "unknown":
        seen = np.full(len(rows), -1)
    elif cameras == "mixed":
        seen = np.where(np.arange(len(rows)) % 4 == 0, -1, seen)
    found = camera_silhouettes(rows, seen, numbers)
    assert found == pytest.approx(slow_silhouettes(rows, seen, numbers), abs=1e-5)
    assert np.ptp(found) > 0.5


def test_near_duplicates_of_one_camera_do_not_count():
    rows, _, owners = made(noise=0.05)
    one_each = owners % 3  # every person by one camera alone
    assert not camera_silhouettes(rows, one_each, owners).any()


@pytest.mark.parametrize("radius", [0.3, 0.5, 0.7])
def test_clusters_are_those_of_scikit_learn(radius):
    cluster = pytest.importorskip("sklearn.cluster")
    rows, seen, _ = made(noise=0.6)
    for k1, k2 in NEIGHBOURS.items():
        distances = np.concatenate([b.copy() for _, b in jaccard_distances(rows, k1=k1, k2=k2)])
        scan = cluster.DBSCAN(eps=radius, min_samples=2, metric="precomputed")
        wanted = scan.fit_predict(np.maximum(distances, 0))
        found = find_density_clusters(rows, seen, radius=radius, neighbours=k1)
        assert same_groups(found.numbers, wanted)
        assert found.count == wanted.max() + 1
        assert found.share == pytest.approx((wanted >= 0).mean())


@pytest.mark.parametrize("crops", [2, 6, 24])
def test_people_are_found_however_many_crops_they_have(crops):
    rows, seen, owners = made(people=20, crops=crops, dimensions=32, noise=0.35)
    found = find_density_clusters(rows, seen, radius=0.5)
    same = owners[:, None] == owners
    joined = (found.numbers[:, None] == found.numbers) & (found.numbers >= 0)
    others = ~np.eye(len(rows), dtype=bool)
    assert (joined & same & others).sum() > 0.7 * (same & others).sum()
    assert (joined & ~same).sum() < 0.25 * joined.sum()


def test_number_of_neighbours_is_that_of_the_best_silhouette():
    rows, seen, _ = made(people=30, crops=2, cameras=2, noise=0.5)
    each = {
        k1: find_density_clusters(rows, seen, radius=0.5, neighbours=k1).silhouettes.mean()
        for k1 in NEIGHBOURS
    }
    assert len(set(each.values())) > 1
    assert find_density_clusters(rows, seen, radius=0.5).neighbours == max(each, key=each.get)


def test_order_of_the_crops_does_not_matter():
    rows, seen, _ = made(noise=0.6)
    order = np.random.default_rng(1).permutation(len(rows))
    found = find_density_clusters(rows, seen, radius=0.5)
    shuffled = find_density_clusters(rows[order], seen[order], radius=0.5)
    assert found.neighbours == shuffled.neighbours
    assert same_groups(found.numbers[order], shuffled.numbers)


def test_tracklets_join_what_is_too_far_apart():
    rows, seen, owners = made(people=4, crops=4, noise=2.5, seed=2)
    alone = find_density_clusters(rows, seen, radius=0.01, neighbours=4).numbers
    together = np.where(owners < 3, owners, -1)
    joined = find_density_clusters(rows, seen, radius=0.01, neighbours=4, together=together)
    for groups in (alone, together):
        for number in range(groups.max() + 1):
            assert len(set(joined.numbers[groups == number])) == 1
    assert not all(len(set(alone[together == number])) == 1 for number in range(3))


def test_largest_cluster_is_the_first():
    rows, seen, _ = made(people=9, noise=0.5)
    numbers = find_density_clusters(rows, seen, radius=0.6).numbers
    sizes = np.bincount(numbers[numbers >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert sizes.min() > 1


def test_two_crops_and_equal_crops():
    two = np.eye(2, dtype=np.float32)
    assert find_density_clusters(two, np.array([1, 2]), radius=0.4).numbers.shape == (2,)
    equal = np.ones((5, 1), np.float32)
    assert find_density_clusters(equal, np.array([1, 2, 1, 2, 1]), radius=0.4).count == 1
