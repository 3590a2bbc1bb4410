"""The parts of `siamese.gallery`: exact search, filters, the table, the index, the cluster."""

import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from colours import write_colour_model
from numpy.typing import NDArray

from siamese import vectors
from siamese.errors import InputError
from siamese.gallery import Gallery, search
from siamese.gallery.search import Filter, Searcher, make_filter
from siamese.gallery.table import Space, Table, make_rows
from siamese.images import read_image
from siamese.synthetic import write_mars_tree
from siamese.vectors import nearest_rows

SPACE = Space("made-up", 16)


def _unit(rows: int, dimensions: int = 16, seed: int = 0) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _table(path: Path, rows: int, space: Space = SPACE) -> Table:
    """People p0, p1, ... by cameras 0, 1, 2, None, a row an hour; every fifth has no name."""
    table = Table(str(path))
    cameras = [None if row % 4 == 3 else row % 4 for row in range(rows)]
    columns: dict[str, list[object]] = {
        "path": [f"/{row}.jpg" for row in range(rows)],
        "digest": ["0"] * rows,
        "person": [None if row % 5 == 4 else f"p{row % 7}" for row in range(rows)],
        "camera": list(cameras),
        "time": [datetime(2026, 1, 1 + row // 24 % 28, row % 24) for row in range(rows)],
        "tracklet": [None] * rows,
    }
    columns["time"][::6] = [None] * len(columns["time"][::6])
    with table.writing():
        table.create(space)
        table.append(make_rows(space, columns, _unit(rows, space.dimensions)))
    return table


def test_of_equal_rows_the_first_come_first() -> None:
    rows = np.repeat(_unit(1), 500, axis=0)
    found, distances = nearest_rows(rows, rows[:1], 3)
    assert found[0].tolist() == [0, 1, 2]
    assert distances[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("elements", [1, 700, 1 << 25])
@pytest.mark.parametrize("share", [None, 0.9, 0.3, 0.02, 0.0])
def test_nearest_agrees_with_a_slow_loop(
    elements: int, share: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "ELEMENTS", elements)
    embeddings, queries = _unit(300), _unit(9, seed=1)
    embeddings[200] = embeddings[100]  # a tie: the first row comes first
    queries[0] = embeddings[100]
    chosen = None if share is None else np.random.default_rng(2).random(300) < share
    for count in (1, 9):
        rows, distances = nearest_rows(embeddings, queries[:count], 5, chosen)
        for query, row, distance in zip(queries, rows, distances, strict=False):
            slow = sorted(
                (float(np.sqrt(((embedding.astype(np.float64) - query) ** 2).sum())), place)
                for place, embedding in enumerate(embeddings)
                if chosen is None or chosen[place]
            )[:5]
            assert row.tolist() == [place for _, place in slow]
            assert distance == pytest.approx([each for each, _ in slow], abs=1e-7)
    rows, distances = nearest_rows(embeddings, queries[:1], 400)
    assert sorted(rows[0].tolist()) == list(range(300))
    assert rows[0][:2].tolist() == [100, 200]
    assert distances[0][0] == distances[0][1] == 0


@pytest.mark.parametrize(
    "chosen",
    [
        Filter(),
        make_filter(1),
        make_filter([0, 2], since="2026-01-03"),
        make_filter(until="2026-01-02 05:00", person="p3"),
        make_filter(person="it's"),
        make_filter(without="p1"),
        make_filter(2, "2026-01-02", "2026-01-05", without="p2"),
    ],
)
def test_mask_and_condition_of_a_filter_choose_the_same_rows(
    chosen: Filter, tmp_path: Path
) -> None:
    table = _table(tmp_path / "gallery", 200)
    columns = ["path", "person", "camera", "time"]
    rows = table.read(columns)
    mask = chosen.mask(rows)
    kept = rows["path"].to_pylist() if mask is None else rows.filter(mask)["path"].to_pylist()
    assert table.read(columns, chosen.sql())["path"].to_pylist() == kept
    slow = []
    for row in rows.to_pylist():
        person, camera, time = row["person"], row["camera"], row["time"]
        if (
            (not chosen.cameras or camera in chosen.cameras)
            and (chosen.since is None or (time is not None and time >= chosen.since))
            and (chosen.until is None or (time is not None and time <= chosen.until))
            and (chosen.person is None or person == chosen.person)
            and (chosen.without is None or person != chosen.without)
        ):
            slow.append(row["path"])
    assert kept == slow
    assert bool(slow) == (chosen.person != "it's")


def test_index_finds_what_the_exact_search_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = _table(tmp_path / "gallery", 2000)
    queries = _unit(10, seed=3)
    searcher = Searcher(table)
    exact_lists = searcher.search(queries, 10, Filter())
    with pytest.raises(InputError, match="has no approximate index"):
        searcher.search(queries, 10, Filter(), approximate=True)
    with table.writing():
        table.build_index()
    assert table.has_index()
    monkeypatch.setattr(search, "SELECTIVE_ROWS", 400)
    hits = 0
    for chosen in (Filter(), make_filter(1)):
        wanted = exact_lists if chosen == Filter() else searcher.search(queries, 10, chosen)
        found = searcher.search(queries, 10, chosen, approximate=True)
        for (rows, distances), (exact_rows, _) in zip(found, wanted, strict=True):
            assert (np.diff(distances) >= 0).all()
            hits += len(set(rows["path"].to_pylist()) & set(exact_rows["path"].to_pylist()))
    assert hits >= 0.95 * 200
    # A filter that leaves few rows goes past the index: all ten are right, where a coarse look at
    # the index would miss some.
    monkeypatch.setattr(search, "REFINE", 1)
    few = make_filter(person="p3", since="2026-01-05")
    for (rows, _), (exact_rows, _) in zip(
        searcher.search(queries, 10, few, approximate=True),
        searcher.search(queries, 10, few),
        strict=True,
    ):
        assert rows["path"].to_pylist() == exact_rows["path"].to_pylist()
    # The index is made of the embeddings: an erasure takes it away.
    with table.writing():
        table.rewrite("person IS NOT NULL")
    assert not table.has_index()
    assert not any((tmp_path / "gallery").rglob("_indices/*/*"))


def test_index_is_used_beyond_the_limit_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = _table(tmp_path / "gallery", 500)
    with table.writing():
        table.build_index()
    for limit, loaded in ((499, False), (500, True)):
        monkeypatch.setattr(search, "EXACT_ROWS", limit)
        searcher = Searcher(table)
        searcher.search(_unit(1), 5, Filter())
        assert (searcher._cached is not None) == loaded


def test_rows_of_a_newer_or_another_program_are_refused(tmp_path: Path) -> None:
    table = Table(str(tmp_path / "newer"))
    with table.writing():
        table.create(Space("model", 4, schema_version=2))
    with pytest.raises(InputError, match="has schema version 2; this program reads 1"):
        Gallery(tmp_path / "newer").info()

    import lancedb

    database = lancedb.connect(tmp_path / "other")
    database.create_table("images", [{"path": "a"}])
    with pytest.raises(InputError, match="but not a gallery"):
        Gallery(tmp_path / "other").info()


@pytest.mark.parametrize("kind", ["*.lance", "*.manifest"])
def test_corrupt_table_is_a_sentence(kind: str, tmp_path: Path) -> None:
    _table(tmp_path / "gallery", 50)
    for path in (tmp_path / "gallery").rglob(kind):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="the gallery cannot be used") as caught:
        Gallery(tmp_path / "gallery").verify()
    assert "\n" not in str(caught.value)


def test_wrong_embeddings_are_not_committed_and_those_there_are_found(tmp_path: Path) -> None:
    table = _table(tmp_path / "gallery", 4)
    columns: dict[str, list[object]] = {
        name: ["a"] for name in ("path", "digest", "person", "camera", "time", "tracklet")
    }
    columns |= {"camera": [None], "time": [None], "tracklet": [None]}
    for wrong in (np.zeros((1, 16), np.float32), np.full((1, 16), np.nan, np.float32)):
        with pytest.raises(InputError, match="must have length 1"):
            make_rows(SPACE, columns, wrong)
    with pytest.raises(InputError, match="must have 16 dimensions"):
        make_rows(SPACE, columns, _unit(1, 8))
    table._open().update(where="path = '/2.jpg'", values={"embedding": [0.5] * 16})
    table._open().update(where="path = '/3.jpg'", values={"model": "another", "path": "/1.jpg"})
    lengths, models, twice, missing = Gallery(tmp_path / "gallery").verify()
    assert lengths.startswith("1 images have an embedding whose length is not 1, the first is /2")
    assert models.startswith("1 images were embedded by another model, the first is /1")
    assert twice.startswith("1 images are there twice, the first is /1")
    assert missing.startswith("4 image files have gone")


def test_address_of_a_store_is_passed_through(tmp_path: Path) -> None:
    write_mars_tree(tmp_path / "people", people=2, cameras=2, frames=1, image_size=(64, 32))
    model = write_colour_model(tmp_path / "model.onnx")
    gallery = Gallery(f"file://{tmp_path}/store", model)
    assert gallery.add(tmp_path / "people").added == 4
    image = next((tmp_path / "people").rglob("*.jpg"))
    assert Gallery(tmp_path / "store", model).search(read_image(image), 1)[0].image == str(image)
    assert gallery.remove(images=[str(image)]) == 1
    assert len(gallery) == 3


@pytest.mark.slow
def test_cluster_gives_the_rows_of_the_plain_way(tmp_path: Path) -> None:
    write_mars_tree(tmp_path / "people", people=20, cameras=2, frames=8, image_size=(64, 32))
    (tmp_path / "people" / "categories" / "0001" / "bad.jpg").write_text("no image")
    model = write_colour_model(tmp_path / "model.onnx")
    plain, cluster = Gallery(tmp_path / "plain", model), Gallery(tmp_path / "cluster", model)
    one = plain.add(tmp_path / "people")
    first = sorted((tmp_path / "people").rglob("0002*.jpg"))
    cluster.add(first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, of its dependencies
        two = cluster.add(tmp_path / "people", workers=2)
    assert (two.added, two.unchanged) == (one.added - len(first), len(first))
    assert two.refused == one.refused
    assert len(two.refused) == 1

    def rows(gallery: Gallery) -> list[tuple[object, ...]]:
        embeddings, table = gallery.read_rows()
        return sorted(
            (*(str(value) for value in row.values()), embedding.tobytes())
            for row, embedding in zip(table.to_pylist(), embeddings, strict=True)
        )

    assert rows(plain) == rows(cluster)
