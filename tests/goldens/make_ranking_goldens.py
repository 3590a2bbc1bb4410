"""Makes `ranking.npz`: embeddings, and what other code says their scores are.

The checked-in file came from torchreid 0.2.5, scikit-learn 1.9 and NumPy 2.4. Run it in an
environment of its own, as torchreid asks for PyTorch, which this project does not:

    pip install torch torchreid scikit-learn
    python tests/goldens/make_ranking_goldens.py
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
from sklearn.metrics import average_precision_score

QUERIES, GALLERY, PEOPLE, CAMERAS, DIMENSIONS = 40, 240, 14, 4, 8


def main() -> None:
    """Writes the file beside this script."""
    random = np.random.default_rng(20)
    centres = random.standard_normal((PEOPLE, DIMENSIONS))
    query_people = random.integers(0, PEOPLE, QUERIES)
    # The last person is in the queries alone: those queries have no match.
    gallery_people = random.integers(0, PEOPLE - 1, GALLERY)
    query_cameras = random.integers(1, CAMERAS + 1, QUERIES)
    gallery_cameras = random.integers(1, CAMERAS + 1, GALLERY)
    queries = _images(centres[query_people], random)
    gallery = _images(centres[gallery_people], random)
    query_gallery, query_query, gallery_gallery = (
        _squared_distances(first, second)
        for first, second in ((queries, gallery), (queries, queries), (gallery, gallery))
    )

    cmc, mean_average_precision = _module("torchreid/reid/metrics/rank.py").evaluate_rank(
        query_gallery,
        query_people,
        gallery_people,
        query_cameras,
        gallery_cameras,
        max_rank=50,
        use_cython=False,
    )
    average_precision = np.full(QUERIES, np.nan)
    for query in range(QUERIES):
        same = gallery_people == query_people[query]
        kept = ~(same & (gallery_cameras == query_cameras[query]))
        if same[kept].any():
            average_precision[query] = average_precision_score(
                same[kept], -query_gallery[query, kept]
            )
    # It squares what it is given, and the paper ranks by squared Euclidean distances.
    reranked = _module("torchreid/reid/utils/rerank.py").re_ranking(
        *(np.sqrt(squares) for squares in (query_gallery, query_query, gallery_gallery)),
        k1=20,
        k2=6,
        lambda_value=0.3,
    )
    np.savez_compressed(
        Path(__file__).with_name("ranking.npz"),
        query_embeddings=queries,
        query_people=query_people,
        query_cameras=query_cameras,
        gallery_embeddings=gallery,
        gallery_people=gallery_people,
        gallery_cameras=gallery_cameras,
        torchreid_cmc=cmc,
        torchreid_mean_average_precision=mean_average_precision,
        sklearn_average_precision=average_precision,
        torchreid_reranked=reranked,
    )


def _images(centres: np.ndarray, random: np.random.Generator) -> np.ndarray:
    images = centres + 0.9 * random.standard_normal(centres.shape)
    return (images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float32)


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    differences = first[:, None].astype(np.float64) - second[None].astype(np.float64)
    return (differences**2).sum(axis=2)


def _module(path: str) -> ModuleType:
    # By file: importing the package would ask for all that its trainers and datasets need.
    root = importlib.util.find_spec("torchreid").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location(Path(path).stem, Path(root).parent / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
