"""Times of a large gallery: exact search against a bare product, the index, adding.

    python benchmarks/gallery.py --rows 1000000 --dimensions 512
    python benchmarks/gallery.py --rows 100000 --index      # also builds the approximate index
    python benchmarks/gallery.py --rows 0 --add 2000 --model model.onnx

Embeddings are made up: people with an own direction, some images each, noise around it. The exact
search is timed against the least that anybody could do with BLAS, alternating in one run: the
product of all embeddings with the query, and `argpartition`. Adding is timed against `Model.embed`
on the same drawn image files, alternating too. The gallery's own search includes what a user pays:
asking for the newest version, exact distances of the best, and the rows' paths and people.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.gallery.search import Filter, Searcher
from siamese.gallery.table import Space, Table, make_rows

BATCH = 50_000
IMAGES_A_PERSON = 20
K = 10


def main() -> None:
    """Builds the gallery in a temporary folder, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--index", action="store_true", help="build and measure the index")
    parser.add_argument("--add", type=int, default=0, metavar="IMAGES")
    parser.add_argument("--model", type=Path, help="model file for --add")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        print("| what | value |")
        print("|---|---:|")
        if options.rows:
            _measure_search(folder, options)
        if options.add:
            _measure_adding(folder, options.add, options.model)
    finally:
        shutil.rmtree(folder)


def _measure_search(folder: Path, options: argparse.Namespace) -> None:
    random = np.random.default_rng(0)
    table = Table(str(folder / "gallery"))
    space = Space("benchmark", options.dimensions)
    people = max(1, options.rows // IMAGES_A_PERSON)
    centres = random.standard_normal((people, options.dimensions), np.float32)
    with table.writing():
        table.create(space)
        start = time.perf_counter()
        for first in range(0, options.rows, BATCH):
            count = min(BATCH, options.rows - first)
            owners = random.integers(0, people, count)
            columns = {
                "path": [f"/images/{first + row}.jpg" for row in range(count)],
                "digest": ["0" * 16] * count,
                "person": [f"{owner:06d}" for owner in owners],
                "camera": random.integers(1, 21, count).tolist(),
                "time": [None] * count,
                "tracklet": [None] * count,
            }
            table.append(make_rows(space, columns, _around(centres[owners], random)))
        _row("rows", f"{table.count():,} x {options.dimensions}")
        _row("written in", f"{time.perf_counter() - start:.1f} s")
        queries = _around(centres[random.integers(0, people, options.queries)], random)
        del centres
        searcher = Searcher(table)
        start = time.perf_counter()
        searcher.search(queries[:1], K, Filter())
        _row("first search, which reads the table", f"{time.perf_counter() - start:.2f} s")
        embeddings = searcher.rows()[0]
        exact = _against_product(searcher, embeddings, queries)
        one_camera = _seconds(lambda: searcher.search(queries[:1], K, Filter(frozenset({3}))), 5)
        _row("exact, one of 20 cameras", f"{one_camera * 1e3:.1f} ms")
        if options.index:
            _measure_index(table, searcher, queries, exact)


def _against_product(
    searcher: Searcher, embeddings: NDArray[np.float32], queries: NDArray[np.float32]
) -> list[list[str]]:
    ours, bare, found = [], [], []
    for row in range(len(queries)):
        query = queries[row : row + 1]
        start = time.perf_counter()
        scores = embeddings @ query[0]
        best = _best(scores)
        middle = time.perf_counter()
        [(rows, distances)] = searcher.search(query, K, Filter())
        ours.append(time.perf_counter() - middle)
        bare.append(middle - start)
        paths = rows["path"].to_pylist()
        places = [int(Path(path).stem) for path in paths]
        # Both must find the same images, or the times say nothing.
        assert np.allclose(np.sort(scores[best]), np.sort(scores[places]), atol=1e-5)
        assert (np.diff(distances) >= 0).all()
        found.append(paths)
    _row("bare product and argpartition, median", f"{np.median(bare) * 1e3:.1f} ms")
    _row(f"exact top {K}, median", f"{np.median(ours) * 1e3:.1f} ms")
    _row("exact / bare (target 1.5)", f"{np.median(ours) / np.median(bare):.2f}")
    many = _seconds(lambda: searcher.search(queries, K, Filter()), 3)
    product = _seconds(lambda: _bare(embeddings, queries), 3)
    _row(f"{len(queries)} queries at once: exact", f"{many * 1e3:.1f} ms")
    _row(f"{len(queries)} queries at once: exact / bare", f"{many / product:.2f}")
    return found


def _bare(embeddings: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
    _best(queries @ embeddings.T)


def _best(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """The places of the `K` largest of each row, or of all where there are fewer."""
    count = min(K, scores.shape[-1])
    return np.argpartition(scores, -count, axis=-1)[..., -count:]


def _measure_index(
    table: Table, searcher: Searcher, queries: NDArray[np.float32], exact: list[list[str]]
) -> None:
    start = time.perf_counter()
    table.build_index()
    _row("index built in", f"{time.perf_counter() - start:.0f} s")
    hits, times = 0, []
    for query, wanted in zip(queries, exact, strict=True):
        start = time.perf_counter()
        [(rows, _)] = searcher.search(query[None], K, Filter(), approximate=True)
        times.append(time.perf_counter() - start)
        hits += len(set(rows["path"].to_pylist()) & set(wanted))
    _row(f"index, recall of the top {K} (target 0.95)", f"{hits / sum(map(len, exact)):.3f}")
    _row("index, median", f"{np.median(times) * 1e3:.1f} ms")


def _measure_adding(folder: Path, images: int, model_path: Path | None) -> None:
    from siamese.gallery import Gallery
    from siamese.inference import load_model
    from siamese.synthetic import write_mars_tree

    model = load_model(model_path)
    people = folder / "people"
    write_mars_tree(people, people=max(2, images // 16), cameras=2, frames=8, image_size=(128, 64))
    files = sorted(people.rglob("*.jpg"))
    model.embed(files[:128])  # compiles
    embedding, adding = [], []
    for repeat in range(3):
        embedding.append(_seconds(lambda: model.embed(files), 1))
        gallery = Gallery(folder / f"added {repeat}", model)
        adding.append(_seconds(lambda gallery=gallery: gallery.add(people), 1))
    _row("embedding", f"{len(files) / min(embedding):.0f} images/s")
    _row("adding", f"{len(files) / min(adding):.0f} images/s")
    _row("adding / embedding (target 0.9)", f"{min(embedding) / min(adding):.2f}")


def _around(centres: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Images of people: as far from each other as a good model puts them, cosine some 0.6."""
    found = centres + 0.8 * random.standard_normal(centres.shape, np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _seconds(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _row(what: str, value: str) -> None:
    print(f"| {what} | {value} |", flush=True)


if __name__ == "__main__":
    main()
