"""Re-ranking against a dense reference, torchreid's and hand-worked cases."""

from pathlib import Path

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.metrics import blocks
from siamese.metrics import reranking as rerank_module
from siamese.metrics.masks import ProtocolMask
from siamese.metrics.ranking import score_distances, score_ranking
from siamese.metrics.reranking import expand_queries, jaccard_distances, rerank

GOLDENS = Path(__file__).with_name("goldens") / "ranking.npz"


def made(queries=20, gallery=90, people=9, dimensions=6, noise=0.7, seed=0):
    random = np.random.default_rng(seed)
    centres = random.standard_normal((people, dimensions))
    owners = random.integers(0, people, queries + gallery)
    points = centres[owners] + noise * random.standard_normal((queries + gallery, dimensions))
    points = points.astype(np.float32)
    return points[:queries], points[queries:], owners[:queries], owners[queries:]


def whole(iterator):
    return np.concatenate([block.copy() for _, block in iterator])


def dense(queries, gallery, k1, k2, weight):
    """The paper's equations on whole matrices, one image and one set at a time."""
    images = np.concatenate([queries, gallery]).astype(np.float64)
    count = len(images)
    distances = ((images[:, None] - images[None]) ** 2).sum(axis=2)
    distances /= np.maximum(distances.max(axis=1, keepdims=True), 1e-300)
    order = []
    for i in range(count):
        order.append(sorted(range(count), key=lambda j: (j != i, distances[i, j], j)))

    def reciprocal(i, k):
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    encodings = np.zeros((count, count))
    for i in range(count):
        core = reciprocal(i, k1)
        members = set(core)
        for j in core:
            close = reciprocal(j, round(k1 / 2))
            if len(close & core) > 2 / 3 * len(close):
                members |= close
        for j in members:
            encodings[i, j] = np.exp(-distances[i, j])
        encodings[i] /= encodings[i].sum()
    encodings = np.array([encodings[order[i][:k2]].mean(axis=0) for i in range(count)])
    result = np.empty((len(queries), len(gallery)))
    for i in range(len(queries)):
        for g in range(len(gallery)):
            j = len(queries) + g
            minima = np.minimum(encodings[i], encodings[j]).sum()
            maxima = np.maximum(encodings[i], encodings[j]).sum()
            result[i, g] = weight * distances[i, j] + (1 - weight) * (1 - minima / maxima)
    return result


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(20, 6, 0.3), (5, 1, 0.0), (7, 12, 0.5), (200, 200, 0.3), (3, 2, 1.0)]
)
def test_distances_agree_with_the_dense_reference(seed, k1, k2, weight):
    queries, gallery, _, _ = made(seed=seed)
    distances = whole(rerank(queries, gallery, k1=k1, k2=k2, original_weight=weight))
    assert distances.dtype == np.float32
    assert distances == pytest.approx(dense(queries, gallery, k1, k2, weight), abs=1e-6)


def test_distances_agree_with_torchreid():
    golden = np.load(GOLDENS)
    distances = whole(rerank(golden["query_embeddings"], golden["gallery_embeddings"]))
    assert distances == pytest.approx(golden["torchreid_reranked"], abs=2e-6)


def test_blocks_of_any_size_give_the_same_distances(monkeypatch):
    queries, gallery, _, _ = made(queries=150, gallery=300)
    expected = whole(rerank(queries, gallery))
    monkeypatch.setattr(blocks, "_ELEMENTS", 1)
    monkeypatch.setattr(rerank_module, "_ROWS", 7)
    monkeypatch.setattr(rerank_module, "_TILE", 50)
    monkeypatch.setattr(rerank_module, "_ELEMENTS", 700)
    monkeypatch.setattr(blocks, "_PAIRS", 100)
    assert whole(rerank(queries, gallery)) == pytest.approx(expected, abs=1e-6)


def test_two_clear_groups_worked_by_hand():
    # With k1 = 1 the pairs (query, 0) and (1, 2) are each other's nearest. The query and image 0
    # have encodings (1, e^-a) and (e^-b, 1) over their sums, where a = 1/100 and b = 1/81 are
    # their distance over the farthest.
    queries, gallery = [[0.0]], [[1.0], [9.0], [10.0]]
    ((_, distances),) = rerank(queries, gallery, k1=1, k2=1, original_weight=0)
    far, near = np.exp(-1 / 100), np.exp(-1 / 81)
    first, second = np.array([1, far]) / (1 + far), np.array([near, 1]) / (1 + near)
    overlap = np.minimum(first, second).sum()
    assert distances[0] == pytest.approx([1 - overlap / (2 - overlap), 1, 1], abs=1e-6)


def test_cosine_is_euclidean_on_vectors_of_length_1():
    queries, gallery, _, _ = made()
    cosine = whole(rerank(3 * queries, gallery, metric="cosine"))
    unit = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, gallery))
    assert cosine == pytest.approx(whole(rerank(*unit)), abs=1e-6)


@pytest.mark.parametrize("k2", [1, 4])
def test_an_image_is_its_own_nearest_among_equal_ones(k2):
    # Whole numbers: distances are exact, and most images have equals of smaller number.
    random = np.random.default_rng(0)
    queries, gallery = (random.integers(0, 4, (count, 2)).astype(np.float32) for count in (15, 60))
    distances = whole(rerank(queries, gallery, k1=5, k2=k2))
    assert distances == pytest.approx(dense(queries, gallery, 5, k2, 0.3), abs=1e-6)


def test_equal_images_are_no_trouble():
    distances = whole(rerank(np.zeros((3, 4)), np.zeros((5, 4))))
    assert np.isfinite(distances).all()
    queries, gallery, _, _ = made()
    gallery[10:40] = gallery[0]
    assert np.isfinite(whole(rerank(queries, gallery))).all()


def test_one_image_a_side_is_enough():
    assert whole(rerank([[0.0]], [[2.0]], k1=20, k2=6)).shape == (1, 1)


def test_reranking_improves_crowded_scores():
    queries, gallery, query_people, gallery_people = made(60, 400, 20, 12, 1.0)
    cameras = np.ones(60, int), np.full(400, 2)
    mask = ProtocolMask(query_people, cameras[0], gallery_people, cameras[1])
    before = score_ranking(queries, query_people, cameras[0], gallery, gallery_people, cameras[1])
    after = score_distances(rerank(queries, gallery), mask)
    assert after.mAP > before.mAP + 0.02


def test_expanded_queries_are_means_with_their_nearest():
    gallery = np.array([[1.0, 0], [0, 1], [0, -1]])
    expanded = expand_queries([[2.0, 1.0]], gallery, k=1)
    mean = (np.array([2, 1]) / np.sqrt(5) + [1, 0]) / 2
    assert expanded[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    everything = expand_queries([[2.0, 1.0]], gallery, k=99, metric="euclidean")
    assert everything[0] == pytest.approx([3 / 4, 1 / 4])


@pytest.mark.parametrize(
    "options", [{"k1": 0}, {"k2": 0}, {"original_weight": 1.5}, {"metric": "other"}]
)
def test_bad_requests_are_refused_before_the_work(options):
    queries, gallery, _, _ = made()
    with pytest.raises(InputError, match=r"`k1`|`metric`"):
        rerank(queries, gallery, **options)


def test_bad_embeddings_are_refused():
    with pytest.raises(InputError, match="row 1"):
        rerank([[0.0]], [[1.0], [np.nan]])
    with pytest.raises(InputError, match="same number of dimensions"):
        expand_queries([[0.0]], [[1.0, 2.0]])
    with pytest.raises(InputError, match="`k`"):
        expand_queries([[0.0]], [[1.0]], k=0)


def test_jaccard_distances_are_those_of_re_ranking_without_the_original():
    queries, gallery, *_ = made(queries=5, gallery=25)
    images = np.concatenate([queries, gallery])
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    found = whole(jaccard_distances(images, k1=8, k2=3))
    # Each image once as a query: the set is the same, only its order is not.
    for row in (0, 11, 29):
        others = np.delete(np.arange(len(images)), row)
        wanted = dense(images[[row]], images[others], 8, 3, 0.0)
        assert found[row, others] == pytest.approx(wanted[0], abs=1e-5)
    assert found == pytest.approx(found.T, abs=1e-6)
    assert np.diag(found) == pytest.approx(0, abs=1e-6)
