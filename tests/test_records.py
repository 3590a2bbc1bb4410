"""`siamese.data.records`: what is written is what is read, and a partial set never looks whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese.data.images import read_image
from siamese.data.records import (
    FEATURES,
    MANIFEST,
    build_records,
    read_manifest,
    shard_paths,
)
from siamese.errors import InputError


def _read(folder: Path, part: str) -> list[dict[str, object]]:
    manifest = read_manifest(folder)
    dataset = tf.data.TFRecordDataset(shard_paths(folder, manifest, part))
    parsed = dataset.map(lambda record: tf.io.parse_single_example(record, FEATURES))
    return list(parsed.as_numpy_iterator())


def test_records_hold_every_image_once_with_its_name_in_parts(
    pedestrians: Path, records: Path
) -> None:
    files = {path.name: path for path in pedestrians.rglob("*.jpg")}
    found = _read(records, "train") + _read(records, "validation")
    assert sorted(record["image/filename"].decode() for record in found) == sorted(files)
    for record in found:
        name = record["image/filename"].decode()
        assert record["image/encoded"] == files[name].read_bytes()
        assert record["image/format"] == b"jpeg"
        assert (record["image/height"], record["image/width"]) == (64, 32)
        assert record["image/class/text"].decode() == name[:4]
        assert record["image/camera"] == int(name[5])
        assert record["image/tracklet"] == int(name[7:11])
        assert record["image/frame"] == int(name[12:15])


def test_parts_share_no_person(records: Path) -> None:
    train = {record["image/class/text"] for record in _read(records, "train")}
    validation = {record["image/class/text"] for record in _read(records, "validation")}
    assert train
    assert validation
    assert not train & validation


def test_training_labels_are_sorted_people_from_zero(records: Path) -> None:
    pairs = {(r["image/class/text"], int(r["image/class/label"])) for r in _read(records, "train")}
    people = sorted(person for person, _ in pairs)
    assert {(person, label) for label, person in enumerate(people)} == pairs
    lines = (records / "labels.txt").read_text().splitlines()
    assert lines[0] == f"0:{people[0].decode()}"
    assert len(lines) == 14


def test_manifest_counts_what_is_there(records: Path) -> None:
    manifest = read_manifest(records)
    assert manifest.split == {"by": "identity", "validation_size": 0.3, "random_seed": 0}
    for name, part in manifest.parts.items():
        found = _read(records, name)
        assert part.images == len(found) == sum(shard.records for shard in part.shards)
        assert part.people == len({record["image/class/text"] for record in found})
        assert part.cameras == 2
        assert part.tracklets == 2 * part.people
        assert part.images_by_label == {
            int(label): 8 for label in sorted({r["image/class/label"] for r in found})
        }
        assert part.image_sizes == {"64x32": part.images}
    assert "112" not in (records / "data_summary.txt").read_text()
    assert f"{manifest.parts['train'].images}" in (records / "data_summary.txt").read_text()


def test_same_input_gives_same_bytes(pedestrians: Path, records: Path, tmp_path: Path) -> None:
    build_records(pedestrians, tmp_path / "again")
    for path in records.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_several_shards_hold_the_same_records(
    pedestrians: Path, records: Path, tmp_path: Path
) -> None:
    build_records(pedestrians, tmp_path / "set", num_shards=3, name="m")
    assert len(list((tmp_path / "set").glob("m_train_*-of-00003.tfrecord"))) == 3
    one = sorted(record["image/filename"] for record in _read(records, "train"))
    assert sorted(r["image/filename"] for r in _read(tmp_path / "set", "train")) == one


def test_complete_set_is_left_alone(pedestrians: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert build_records(pedestrians, folder)[2]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert not build_records(pedestrians, folder)[2]
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"random_seed 0 \(asked: 1\)"):
        build_records(pedestrians, folder, random_seed=1)


def test_partial_set_is_built_anew(pedestrians: Path, records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(records, folder)
    (folder / MANIFEST).unlink()
    shard = next(folder.glob("*_train_*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:100])
    (folder / f".{shard.name}.partial").write_bytes(b"half")
    (folder / "mine.txt").write_text("kept")
    assert build_records(pedestrians, folder)[2]
    assert shard.read_bytes() == (records / shard.name).read_bytes()
    assert not list(folder.glob(".*"))
    assert (folder / "mine.txt").exists()


def test_missing_or_cut_shard_is_named(records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(records, folder)
    shard = next(folder.glob("*_train_*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{shard.name}: has"):
        read_manifest(folder)
    shard.unlink()
    with pytest.raises(InputError, match=f"{shard.name}: is missing"):
        read_manifest(folder)


def test_other_schema_version_is_refused(records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(records, folder)
    values = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**values, "schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        read_manifest(folder)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="is not a manifest"):
        read_manifest(folder)


def test_damaged_image_stops_the_writer_and_leaves_nothing_whole(
    pedestrians: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(pedestrians / "categories", tree / "categories")
    victim = next((tree / "categories" / "0003").iterdir())
    victim.write_bytes(victim.read_bytes()[:-300])
    with pytest.raises(InputError, match=f"{victim.name}: is a damaged image"):
        build_records(tree, tmp_path / "set")
    with pytest.raises(InputError, match="no complete record set"):
        read_manifest(tmp_path / "set")
    assert not list((tmp_path / "set").glob(".*"))


def test_png_grey_cmyk_and_deep_images_are_read_as_pillow_reads_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    modes = ["RGB", "L", "CMYK", "RGBA", "I;16", "P"]
    for person in range(4):
        folder = tmp_path / "tree" / f"{person:04d}"
        folder.mkdir(parents=True)
        for mode in modes:
            if mode == "I;16":
                image = Image.fromarray(random.integers(0, 65_536, (32, 16), dtype=np.uint16))
            else:
                pixels = random.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).convert(mode)
            suffix = "jpg" if mode == "CMYK" else "png"
            image.save(folder / f"{mode.replace(';', '')}.{suffix}")
    build_records(tmp_path / "tree", tmp_path / "set")
    found = _read(tmp_path / "set", "train") + _read(tmp_path / "set", "validation")
    assert len(found) == 24
    for record in found:
        person = record["image/class/text"].decode()
        path = tmp_path / "tree" / person / record["image/filename"].decode()
        pixels = tf.io.decode_jpeg(
            record["image/encoded"], channels=3, dct_method="INTEGER_ACCURATE"
        )
        np.testing.assert_array_equal(np.asarray(pixels), read_image(path))


@pytest.mark.parametrize("size", [0, 1, -0.5])
def test_validation_size_out_of_range_is_refused(pedestrians: Path, size: float) -> None:
    with pytest.raises(InputError, match="`validation_size` must be between 0 and 1"):
        build_records(pedestrians, validation_size=size)


def test_too_many_shards_are_refused(pedestrians: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`num_shards` must be between 1 and"):
        build_records(pedestrians, tmp_path / "set", num_shards=1_000)
    assert not (tmp_path / "set").exists()


def test_set_of_other_images_is_not_taken_for_this_one(pedestrians: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(pedestrians / "categories", tree / "categories")
    build_records(tree, tmp_path / "set")
    new = tree / "categories" / "0001" / "0001C1T0001F009.jpg"
    shutil.copy(tree / "categories" / "0001" / "0001C1T0001F001.jpg", new)
    with pytest.raises(InputError, match="holds the records of other images"):
        build_records(tree, tmp_path / "set")
    new.unlink()
    assert not build_records(tree, tmp_path / "set")[2]
    with pytest.raises(InputError, match="missing"):
        build_records(tmp_path / "missing", tmp_path / "set")


def test_name_with_a_folder_is_refused(pedestrians: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`name` must be a file name"):
        build_records(pedestrians, tmp_path / "set", name="a/b")
