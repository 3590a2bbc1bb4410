"""`siamese.embeddings`: a folder to a file of embeddings, and the nearest of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import siamese
from siamese.cli import main
from siamese.embeddings import (
    embed_folder,
    find_similar_images,
    read_embeddings,
    write_embeddings,
)
from siamese.errors import InputError
from siamese.inference import Model, load_model
from siamese.vectors import Embeddings


@pytest.fixture(scope="module")
def model(calibrated: Path) -> Model:
    return load_model(calibrated)


@pytest.fixture(scope="module")
def table(model: Model, pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    return embed_folder(pedestrians, tmp_path_factory.mktemp("table") / "all.npz", model)


def _assert_equal(one: Embeddings, other: Embeddings) -> None:
    for name in ("images", "people", "cameras", "tracklets", "frames", "embeddings"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype.kind == right.dtype.kind
        np.testing.assert_array_equal(left, right)
    assert one.fingerprint == other.fingerprint


def test_table_says_who_is_where(model: Model, table: Embeddings, pedestrians: Path) -> None:
    paths = sorted(str(path) for path in pedestrians.rglob("*.jpg"))
    assert table.images.tolist() == paths
    assert table.people.tolist() == [Path(path).name[:4] for path in paths]
    assert table.cameras.tolist() == [int(Path(path).name[5]) for path in paths]
    assert table.tracklets.tolist() == [int(Path(path).name[7:11]) for path in paths]
    assert table.fingerprint == model.fingerprint
    np.testing.assert_allclose(table.embeddings, model.embed(paths), atol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_every_format_gives_back_what_was_written(
    table: Embeddings, suffix: str, tmp_path: Path
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    write_embeddings(table, tmp_path / f"table{suffix}")
    _assert_equal(read_embeddings(tmp_path / f"table{suffix}"), table)
    assert [path.name for path in tmp_path.iterdir()] == [f"table{suffix}"]


def test_a_file_of_version_0_1_0_is_read(tmp_path: Path) -> None:
    """It had no column `frame`."""
    path = tmp_path / "old.csv"
    path.write_text(
        "image,person,camera,tracklet,embedding,fingerprint\n"
        "a.jpg,0001,1,-1,0.6 0.8,0123456789abcdef\nb.jpg,,-1,-1,1 0,0123456789abcdef\n"
    )
    store = read_embeddings(path)
    assert store.people.tolist() == ["0001", ""]
    assert store.cameras.tolist() == [1, -1]
    assert store.embeddings.tolist() == np.float32([[0.6, 0.8], [1, 0]]).tolist()
    assert (store.fingerprint, store.frames, store.preprocessing) == (
        "0123456789abcdef",
        None,
        None,
    )


def test_other_programs_read_the_tables(table: Embeddings, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_embeddings(table, tmp_path / "table.csv")
    frame = pandas.read_csv(tmp_path / "table.csv", dtype={"person": str})
    assert frame.columns.tolist() == [
        "image", "person", "camera", "tracklet", "frame", "embedding", "fingerprint",
    ]  # fmt: skip
    first = np.array(frame.embedding[0].split(), np.float32)
    np.testing.assert_array_equal(first, table.embeddings[0])
    pytest.importorskip("pyarrow")
    write_embeddings(table, tmp_path / "table.parquet")
    frame = pandas.read_parquet(tmp_path / "table.parquet")
    assert frame.person.tolist() == table.people.tolist()
    np.testing.assert_array_equal(np.stack(frame.embedding), table.embeddings)


def test_nearest_are_found_as_by_a_plain_loop(
    model: Model, table: Embeddings, pedestrians: Path
) -> None:
    image = sorted(pedestrians.rglob("*.jpg"))[20]
    query = model.embed(image)[0]
    slow = sorted(
        (float(np.sqrt(sum((a - b) ** 2 for a, b in zip(row, query, strict=True)))), number)
        for number, row in enumerate(table.embeddings.astype(np.float64))
    )
    found = find_similar_images(image, table, 7, model=model)
    assert [each.image for each in found] == [str(table.images[row]) for _, row in slow[:7]]
    assert [each.distance for each in found] == pytest.approx(
        [distance for distance, _ in slow[:7]], abs=1e-5
    )
    assert found[0].image == str(image)
    assert found[0].distance < 1e-5
    assert found[0].person == image.name[:4]
    assert len(find_similar_images(image, table, 10_000, model=model)) == len(table)


def test_equal_distances_keep_the_stored_order(model: Model, pedestrians: Path) -> None:
    image = min(pedestrians.rglob("*.jpg"))
    row = model.embed(image)
    twice = Embeddings(
        np.concatenate([row, row, -row]), np.array([""] * 3), np.full(3, -1),
        np.array(["b", "a", "c"]), fingerprint=model.fingerprint,
    )  # fmt: skip
    found = find_similar_images(image, twice, model=model)
    assert [each.image for each in found] == ["b", "a", "c"]
    assert found[-1].distance == pytest.approx(2, abs=1e-5)


def test_embeddings_of_another_model_are_refused(
    model: Model, table: Embeddings, pedestrians: Path
) -> None:
    other = replace(table, fingerprint="0" * 16)
    image = next(pedestrians.rglob("*.jpg"))
    with pytest.raises(InputError, match="were made by the model 0000000000000000"):
        find_similar_images(image, other, model=model)
    with pytest.raises(InputError, match="`k` must be at least 1"):
        find_similar_images(image, table, 0, model=model)
    with pytest.raises(InputError, match="one image is needed"):
        find_similar_images(pedestrians, table, model=model)  # type: ignore[arg-type]


def test_mirrored_averages_are_searched_as_such(
    model: Model, pedestrians: Path, tmp_path: Path
) -> None:
    folder = pedestrians / "categories" / "0003"
    table = embed_folder(folder, tmp_path / "flip.csv", model, flip=True)
    assert table.fingerprint == f"{model.fingerprint}-flip"
    image = min(folder.iterdir())
    assert find_similar_images(image, tmp_path / "flip.csv", model=model)[0].distance < 1e-5


def test_interrupted_work_goes_on_where_it_stopped(
    model: Model, pedestrians: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siamese.embeddings.BLOCK", 20)
    whole = embed_folder(pedestrians, tmp_path / "whole.npz", model)
    output = tmp_path / "new" / "cut.npz"

    def stop(done: int, total: int) -> None:
        assert total == len(whole)
        if done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_folder(pedestrians, output, model, progress=stop)
    assert not output.exists()
    calls: list[int] = []
    made = 0
    real = model.embed

    def counted(images: list[str], **options: object) -> np.ndarray:
        nonlocal made
        made += len(images)
        return real(images, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "embed", counted)
    again = embed_folder(pedestrians, output, model, progress=lambda done, _: calls.append(done))
    monkeypatch.undo()
    assert made == len(whole) - 40
    assert calls[:2] == [20, 40]
    assert calls[-1] == len(whole)
    _assert_equal(again, whole)
    assert [path.name for path in output.parent.iterdir()] == ["cut.npz"]


def test_blocks_of_other_work_are_not_used(model: Model, pedestrians: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pedestrians / "categories" / "0001", tmp_path / "images")

    finished = 0

    def stop(done: int, total: int) -> None:
        nonlocal finished
        finished += done == total
        if finished == 2:  # computed, then written
            raise KeyboardInterrupt

    output = tmp_path / "t.npz"
    with pytest.raises(KeyboardInterrupt):
        embed_folder(folder, output, model, progress=stop)
    assert len(list(tmp_path.glob(".t.npz.parts/*.npy"))) == 1
    first = min(folder.iterdir())
    with Image.open(first) as image:
        image.rotate(180).save(first)
    table = embed_folder(folder, output, model)
    np.testing.assert_allclose(table.embeddings[0], model.embed(first)[0], atol=1e-6)


def test_folder_that_is_no_dataset_is_embedded_all_the_same(
    model: Model, pedestrians: Path, tmp_path: Path
) -> None:
    image = next(pedestrians.rglob("*.jpg"))
    shutil.copy(image, tmp_path / "holiday.jpg")
    shutil.copy(image, tmp_path / "0002_c1s1_000451_03.jpg")
    table = embed_folder(tmp_path, tmp_path / "t.npz", model)
    assert table.people.tolist() == ["0002", ""]
    assert table.cameras.tolist() == [1, -1]


def test_files_that_hold_no_embeddings_are_named(
    table: Embeddings, tmp_path: Path, pedestrians: Path
) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_embeddings(tmp_path / "gone.npz")
    with pytest.raises(InputError, match=r"must end in one of \.csv \.npz \.parquet"):
        read_embeddings(tmp_path / "table.xlsx")
    for suffix in (".csv", ".npz", ".parquet"):
        path = tmp_path / f"table{suffix}"
        path.write_bytes(b"a,b\n1,2\n")
        with pytest.raises(InputError, match="is not a file of embeddings"):
            read_embeddings(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    write_embeddings(table, tmp_path / "short.csv")
    (tmp_path / "short.csv").write_bytes((tmp_path / "short.csv").read_bytes()[:60])
    for name in ("array.npz", "short.csv"):
        with pytest.raises(InputError, match="is not a file of embeddings"):
            read_embeddings(tmp_path / name)
    write_embeddings(table, tmp_path / "cut.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-300])
    with pytest.raises(InputError, match="damaged"):
        read_embeddings(tmp_path / "cut.npz")
    broken = table.embeddings.copy()
    broken[3] = np.nan
    write_embeddings(replace(table, embeddings=broken), tmp_path / "nan.npz")
    with pytest.raises(InputError, match="finite"):
        read_embeddings(tmp_path / "nan.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        embed_folder(tmp_path / "empty", tmp_path / "t.npz")
    with pytest.raises(InputError, match="no such folder"):
        embed_folder(tmp_path / "gone", tmp_path / "t.npz")


def test_commands_embed_and_find(
    calibrated: Path,
    pedestrians: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(pedestrians / "categories")
    flags = ["--model", str(calibrated)]
    assert main(["embed", folder, "--output", "e.csv", *flags]) == 0
    assert "112 images of 16 numbers" in capsys.readouterr().out
    image = str(min(pedestrians.rglob("0004C1*.jpg")))
    find = ["find_similar", image, "--embeddings", "e.csv", "-k", "3", *flags]
    assert main([*find, "--output", "pictures/closest.png", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["closest"][0]["image"] == image
    assert answer["closest"][0]["person"] == "0004"
    assert len(answer["closest"]) == 3
    with Image.open("pictures/closest.png") as picture:
        assert picture.size[0] > 300
    assert main(find) == 0
    assert "person 0004" in capsys.readouterr().out
    assert main(["find_similar", image, "--embeddings", "gone.csv", *flags]) == 2
    assert siamese.find_similar_images is find_similar_images
