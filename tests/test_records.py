"""`siamese.records`: what is written is what is read, and a partial set never looks whole."""

import gzip
import itertools
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import miniatures
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese.datasets import Sample, list_samples, list_sources
from siamese.datasets.splits import split_samples
from siamese.datasets.triplets import kept_triplets
from siamese.errors import InputError
from siamese.filesystem import FileState
from siamese.images import decode_image, read_image
from siamese.loader.from_records import FEATURES, parse_record
from siamese.records import (
    MANIFEST,
    build_records,
    is_record_set,
    local_engine,
    read_manifest,
    renew_triplets,
    shard_paths,
    verify_records,
    write_records,
)
from siamese.records.plan import plan_part
from siamese.records.schema import decode_example, frame_image
from siamese.records.shards import _is_whole_jpeg, load_image

MARKET = Path(__file__).parents[2] / "shared" / "data" / "market1501" / "bounding_box_train"


def _read(folder: Path, part: str) -> list[dict[str, object]]:
    manifest = read_manifest(folder)
    shards = shard_paths(folder, manifest, part)
    dataset = tf.data.TFRecordDataset(
        shards, compression_type="GZIP" if shards[0].endswith(".gz") else ""
    )
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
    summary = (records / "data_summary.txt").read_text()
    assert "images       112 found, 112 used" in summary
    assert f"{manifest.parts['train'].images}" in summary


def test_manifest_counts_no_unknown_camera_and_no_unknown_tracklet(
    pedestrians: Path, tmp_path: Path
) -> None:
    # Of two cameras and two tracklets a person, the second of each is not known.
    samples = [
        each if each.camera == 1 else replace(each, camera=-1, tracklet=-1)
        for each in list_samples(pedestrians)
    ]
    train, validation = split_samples(samples)
    manifest = write_records({"train": train, "validation": validation}, tmp_path)
    for part in manifest.parts.values():
        assert part.cameras == 1
        assert part.tracklets == part.people


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


class _Stop(Exception):  # noqa: N818 - an event
    """Where a test interrupts a writer."""


def _interrupt(pedestrians: Path, folder: Path, images: int, **options: object) -> None:
    def progress(done: int, total: int) -> None:
        if done >= images:
            raise _Stop

    with pytest.raises(_Stop):
        build_records(pedestrians, folder, progress=progress, **options)


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def six_shards(pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("six") / "set"
    build_records(pedestrians, folder, num_shards=6)
    return folder


def test_interrupted_set_is_continued_and_finished_shards_are_kept(
    pedestrians: Path, six_shards: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    _interrupt(pedestrians, folder, 60, num_shards=6)
    with pytest.raises(InputError, match="no complete record set"):
        read_manifest(folder)
    assert not is_record_set(folder)
    # The last one is whole on the disk, but the writer had not yet noted it.
    finished = sorted(folder.glob("*.tfrecord"))[:-1]
    assert 1 < len(finished) < 11
    before = {path: path.stat().st_mtime_ns for path in finished}
    seen: list[tuple[int, int]] = []
    assert build_records(
        pedestrians, folder, num_shards=6, progress=lambda *counts: seen.append(counts)
    )[2]
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    assert _content(folder) == _content(six_shards)
    assert seen[0][0] > 0
    assert seen[-1] == (112, 112)


def test_finished_shard_that_was_changed_is_written_again(
    pedestrians: Path, six_shards: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    _interrupt(pedestrians, folder, 60, num_shards=6)
    shards = sorted(folder.glob("*.tfrecord"))
    data = bytearray(shards[0].read_bytes())
    data[500] ^= 1
    shards[0].write_bytes(data)
    shards[1].unlink()
    build_records(pedestrians, folder, num_shards=6)
    assert _content(folder) == _content(six_shards)


@pytest.mark.parametrize(
    "other", [{"random_seed": 5}, {"num_shards": 2}, {"name": "other"}, {"compress": True}]
)
def test_partial_set_of_other_options_is_replaced_and_not_mixed(
    pedestrians: Path, tmp_path: Path, other: dict[str, object]
) -> None:
    options = {"num_shards": 6, **other}
    folder, fresh = tmp_path / "set", tmp_path / "fresh"
    _interrupt(pedestrians, folder, 60, num_shards=6)
    (folder / "mine.txt").write_text("kept")
    build_records(pedestrians, folder, **options)
    build_records(pedestrians, fresh, **options)
    assert (folder / "mine.txt").read_text() == "kept"
    (folder / "mine.txt").unlink()
    assert _content(folder) == _content(fresh)


def test_partial_set_of_other_images_is_replaced(pedestrians: Path, tmp_path: Path) -> None:
    tree, folder = tmp_path / "tree", tmp_path / "set"
    shutil.copytree(pedestrians / "categories", tree / "categories")
    _interrupt(tree, folder, 60, num_shards=6)
    changed = tree / "categories" / "0003" / "0003C1T0001F001.jpg"
    with Image.open(changed) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(changed, quality=92)
    build_records(tree, folder, num_shards=6)
    build_records(tree, tmp_path / "fresh", num_shards=6)
    assert _content(folder) == _content(tmp_path / "fresh")


def test_digest_of_a_shard_changes_with_all_that_its_bytes_depend_on() -> None:
    def digest(sample: Sample, state: FileState, label: int) -> str:
        labels, states = {sample.person: label}, {sample.path: state}
        (job,) = plan_part(Path("set"), [sample], labels, 1, states)
        return job.digest

    sample, state = Sample("a/1.jpg", "anna", camera=1, tracklet=1, frame=1), FileState(100, 5)
    plain = digest(sample, state, 0)
    assert plain == digest(sample, state, 0)
    assert plain != digest(sample, state, 1)
    for change in ({"path": "b/1.jpg"}, {"person": "b"}, {"camera": 2}, {"tracklet": 2},
                   {"frame": 2}):  # fmt: skip
        assert plain != digest(replace(sample, **change), state, 0)
    for state in (FileState(101, 5), FileState(100, 6)):
        assert plain != digest(sample, state, 0)


def test_writer_killed_at_random_moments_ends_with_the_same_bytes(
    pedestrians: Path, six_shards: Path, tmp_path: Path
) -> None:
    code = (
        "import os, signal, sys, threading\n"
        "from siamese.records import build_records, local_engine\n"
        "def progress(done, total):\n"
        "    if done >= int(sys.argv[3]):\n"
        "        kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        threading.Timer(float(sys.argv[4]), kill).start()\n"
        "build_records(sys.argv[1], sys.argv[2], num_shards=6, progress=progress)"
    )
    folder = tmp_path / "set"
    drawn = random.Random(0)
    for first in (0, 20, 60, 100):
        delay = str(drawn.uniform(0, 0.01))
        command = [sys.executable, "-c", code, str(pedestrians), str(folder), str(first), delay]
        done = subprocess.run(command, check=False)
        assert done.returncode in (-signal.SIGKILL, 0)
        if (folder / MANIFEST).exists():
            assert verify_records(folder)[1] == []
        else:
            assert not is_record_set(folder)
    build_records(pedestrians, folder, num_shards=6)
    shutil.rmtree(folder / ".building", ignore_errors=True)
    for left in folder.glob(".*.partial*"):  # of a kill within a write; gone after a day
        left.unlink()
    assert _content(folder) == _content(six_shards)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null"])
def test_damaged_notes_of_an_interrupted_set_do_no_harm(
    pedestrians: Path, records: Path, tmp_path: Path, text: str
) -> None:
    folder = tmp_path / "set"
    _interrupt(pedestrians, folder, 112)
    for note in (folder / ".building").glob("*.tfrecord.json"):
        note.write_text(text)
    build_records(pedestrians, folder)
    assert _content(folder) == _content(records)
    shutil.rmtree(folder)
    (folder / ".building").mkdir(parents=True)
    (folder / ".building" / "plan.json").write_text(text)
    build_records(pedestrians, folder)
    assert _content(folder) == _content(records)


def test_records_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must hold images\. Received: none"):
        write_records({"train": [], "validation": []}, tmp_path / "set")


@pytest.mark.parametrize(("size", "whole"), [(0, "train"), (1, "validation")])
def test_nobody_or_everybody_is_held_out(
    pedestrians: Path, tmp_path: Path, size: int, whole: str
) -> None:
    folder, manifest, _ = build_records(pedestrians, tmp_path / "set", validation_size=size)
    assert {name: part.images for name, part in manifest.parts.items() if part.images} == {
        whole: len(list_samples(pedestrians))
    }
    assert read_manifest(folder) == manifest
    assert verify_records(folder)[1] == []
    assert not build_records(pedestrians, folder, validation_size=size)[2]


def test_full_disk_leaves_a_partial_set_that_is_continued(
    pedestrians: Path, records: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        with pytest.raises(OSError, match="File too large") as caught:
            build_records(pedestrians, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "mars_train_00000-of-00001.tfrecord" in str(caught.value)
    assert not is_record_set(folder)
    assert [path.name for path in folder.iterdir()] == [".building"]
    assert build_records(pedestrians, folder)[2]
    assert _content(folder) == _content(records)


def test_read_only_folder_is_named_and_left_as_it_was(pedestrians: Path) -> None:
    # Not below pytest's folder, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        shutil.copytree(pedestrians, root / "tree")
        (root / "set").mkdir()
        root.chmod(0o555)
        (root / "set").chmod(0o555)
        superuser = os.geteuid() == 0
        try:
            if superuser:  # whom permissions do not hold back
                os.seteuid(65_534)
            with pytest.raises(PermissionError, match="set"):
                build_records(root / "tree", root / "set")
            with pytest.raises(PermissionError, match="new"):
                build_records(root / "tree", root / "new")
        finally:
            if superuser:
                os.seteuid(0)
            root.chmod(0o755)
            (root / "set").chmod(0o755)
        assert list((root / "set").iterdir()) == []
        assert not is_record_set(root / "set")


def test_records_of_a_read_only_dataset_go_where_one_may_write(
    pedestrians: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "crops"
        shutil.copytree(pedestrians / "categories", root)
        Path(scratch).chmod(0o777)
        monkeypatch.chdir(scratch)
        root.chmod(0o555)
        superuser = os.geteuid() == 0
        try:
            if superuser:
                os.setreuid(65_534, 0)  # `access` asks for the real user
            folder, _, new = build_records(root)
            again = build_records(root)
        finally:
            if superuser:
                os.setreuid(0, 0)
            root.chmod(0o755)
        assert (folder, new) == (Path("crops-records"), True)
        assert again[0] == folder
        assert not again[2]
        assert f"{root} may not be written: its records are in {scratch}" in caplog.text


def test_file_in_place_of_the_folder_is_named(pedestrians: Path, tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file")
    with pytest.raises(OSError, match="set"):
        build_records(pedestrians, tmp_path / "set")


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
    for text in (
        "{",
        "[]",
        "null",
        '{"my": "app"}',
        json.dumps({**values, "parts": {}}),
        json.dumps({**values, "parts": {"train": values["parts"]["train"]}}),
        json.dumps({**values, "labels": ["0002", "0003"]}),
    ):
        (folder / MANIFEST).write_text(text)
        with pytest.raises(InputError, match=r"is not a manifest .* Give another folder"):
            verify_records(folder)


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
    assert [path.name for path in (tmp_path / "set").iterdir()] == [".building"]


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


@pytest.mark.parametrize("size", [1.1, -0.5])
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


def test_image_that_was_moved_to_another_person_is_not_taken_for_the_same(tmp_path: Path) -> None:
    for person in "abcdef":
        for number in (1, 2):
            miniatures.draw_image(tmp_path / "tree" / person / f"{person}{number}.jpg")
    build_records(tmp_path / "tree", tmp_path / "set")
    (tmp_path / "tree" / "a" / "a2.jpg").rename(tmp_path / "tree" / "b" / "a2.jpg")
    with pytest.raises(InputError, match="holds the records of other images"):
        build_records(tmp_path / "tree", tmp_path / "set")


def test_name_with_a_folder_is_refused(pedestrians: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`name` must be a file name"):
        build_records(pedestrians, tmp_path / "set", name="a/b")


def test_number_of_workers_does_not_change_a_byte(pedestrians: Path, tmp_path: Path) -> None:
    for workers in (1, 4):
        build_records(
            pedestrians, tmp_path / f"{workers}", num_shards=3, engine=local_engine(workers)
        )
    assert _content(tmp_path / "1") == _content(tmp_path / "4")


@pytest.mark.parametrize("number", [-1, 0, 127, 128, 16_383, 16_384, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("size", [0, 100, 128, 20_000])
def test_images_are_framed_as_tensorflow_does(number: int, size: int, tmp_path: Path) -> None:
    image, name, person = b"\xff" * size, f"{'ü' * (size // 100)}.jpg", f"Groß {number}"
    values: dict[str, bytes | int] = {
        "image/encoded": image,
        "image/format": b"png",
        "image/height": 128,
        "image/width": size + 1,
        "image/filename": name.encode(),
        "image/class/label": abs(number + 1) % 2**63,
        "image/class/text": person.encode(),
        "image/camera": number,
        "image/tracklet": number,
        "image/frame": number,
    }
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        writer.write(miniatures.example(values))
    shape, label = (128, size + 1), abs(number + 1) % 2**63
    framed = frame_image(image, name, b"png", shape, label, person, number, number, number)
    assert framed == (tmp_path / "theirs").read_bytes()
    assert decode_example(framed[12:-4]) == values


def test_lists_of_other_programs_are_read() -> None:
    feature = {
        "numbers": tf.train.Feature(int64_list=tf.train.Int64List(value=[5, 6])),
        "fractions": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5])),
        "nothing": tf.train.Feature(bytes_list=tf.train.BytesList(value=[])),
        "texts": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a", b"b"])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    found = decode_example(example.SerializeToString())
    assert found == {"numbers": 5, "texts": b"a"}
    # proto2 wrote numbers one by one, each with its tag (field 1, varint: 8).
    assert decode_example(bytes.fromhex("0a0b0a090a016e1204 1a020807".replace(" ", ""))) == {"n": 7}
    for damaged in (b"\x0a\xff", b"\x0b", b"\x0a", b"\xff" * 20):
        with pytest.raises(ValueError, match=r"."):
            decode_example(damaged)


def test_gzip_holds_the_same_records(pedestrians: Path, records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    build_records(pedestrians, folder, compress=True)
    assert (folder / "mars_train_00000-of-00001.tfrecord.gz").exists()
    for part in ("train", "validation"):
        zipped = gzip.decompress((folder / f"mars_{part}_00000-of-00001.tfrecord.gz").read_bytes())
        assert zipped == (records / f"mars_{part}_00000-of-00001.tfrecord").read_bytes()
        assert len(_read(folder, part)) == len(_read(records, part))
    assert verify_records(folder)[1] == []
    with pytest.raises(InputError, match=r"compress True \(asked: False\)"):
        build_records(pedestrians, folder)


def test_shards_are_as_many_as_their_size_asks_for(
    pedestrians: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siamese.records.plan.SHARD_BYTES", 50_000)
    _, manifest, _ = build_records(pedestrians, tmp_path / "set")
    size = sum(path.stat().st_size for path in pedestrians.rglob("*.jpg"))
    found = [shard for part in manifest.parts.values() for shard in part.shards]
    assert size / 50_000 <= len(found) <= size / 50_000 + 2
    assert max(shard.records for shard in manifest.parts["train"].shards) - 1 <= min(
        shard.records for shard in manifest.parts["train"].shards
    )


def test_verification_finds_nothing_wrong_in_a_whole_set(records: Path) -> None:
    seen: list[tuple[int, int]] = []
    manifest, faults = verify_records(records, lambda *counts: seen.append(counts))
    assert faults == []
    assert seen[-1] == (112, 112)
    assert manifest == read_manifest(records)


def _offsets(shard: Path) -> list[int]:
    """Where the frames of a shard begin: a slow, obvious walk."""
    data, place, found = shard.read_bytes(), 0, []
    while place < len(data):
        found.append(place)
        place += 16 + struct.unpack("<Q", data[place : place + 8])[0]
    return found


@pytest.mark.parametrize(
    ("where", "reason"),
    [(3, "checksum of the length"), (9, "checksum of the length"), (40, "checksum of the record")],
)
def test_verification_names_the_shard_and_the_place(
    six_shards: Path, tmp_path: Path, where: int, reason: str
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(six_shards, folder)
    shard = folder / "mars_validation_00002-of-00006.tfrecord"
    third = _offsets(shard)[2]
    data = bytearray(shard.read_bytes())
    data[third + where] ^= 0x10
    shard.write_bytes(data)
    (fault,) = verify_records(folder)[1]
    assert (fault.file, fault.offset) == (shard.name, third)
    assert reason in fault.reason


def test_verification_finds_what_is_cut_missing_swapped_or_miscounted(
    six_shards: Path, tmp_path: Path
) -> None:
    def broken(name: str) -> tuple[Path, list[Path]]:
        folder = tmp_path / name
        shutil.copytree(six_shards, folder)
        return folder, sorted(folder.glob("mars_train*.tfrecord"))

    folder, shards = broken("cut")
    last = _offsets(shards[1])[-1]
    shards[1].write_bytes(shards[1].read_bytes()[:-5])
    (fault,) = verify_records(folder)[1]
    assert (fault.file, fault.offset) == (shards[1].name, last)
    assert "ends within a record" in fault.reason

    folder, shards = broken("missing")
    shards[2].unlink()
    assert [(f.file, f.reason) for f in verify_records(folder)[1]] == [
        (shards[2].name, "is missing")
    ]

    folder, shards = broken("shorter")
    shards[0].write_bytes(shards[0].read_bytes()[: _offsets(shards[0])[-1]])
    (fault,) = verify_records(folder)[1]
    assert "records, not" in fault.reason

    folder, shards = broken("swapped")
    one, two = (shard.read_bytes() for shard in shards[:2])
    shards[0].write_bytes(two)
    shards[1].write_bytes(one)
    faults = verify_records(folder)[1]
    assert {fault.file for fault in faults} == {shard.name for shard in shards[:2]}
    assert all("checksum" in fault.reason or "records" in fault.reason for fault in faults)

    folder, shards = broken("relabelled")
    values = json.loads((folder / MANIFEST).read_text())
    people = sorted(values["labels"])[:2]
    labels = values["labels"]
    labels[people[0]], labels[people[1]] = labels[people[1]], labels[people[0]]
    (folder / MANIFEST).write_text(json.dumps(values))
    assert all("is not that of its person" in f.reason for f in verify_records(folder)[1])

    folder, shards = broken("miscounted")
    values = json.loads((folder / MANIFEST).read_text())
    values["parts"]["train"]["images_by_label"]["0"] += 1
    (folder / MANIFEST).write_text(json.dumps(values))
    (fault,) = verify_records(folder)[1]
    assert (fault.file, fault.offset) == (MANIFEST, None)


def test_damaged_images_are_skipped_on_request_and_listed(
    pedestrians: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(pedestrians / "categories", tree / "categories")
    cut = tree / "categories" / "0003" / "0003C1T0001F001.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    empty = tree / "categories" / "0005" / "0005C2T0001F002.jpg"
    empty.write_bytes(b"")
    _, manifest, _ = build_records(tree, tmp_path / "set", on_corrupt="skip", num_shards=2)
    assert sorted(skip.file for skip in manifest.skipped) == sorted(map(str, (cut, empty)))
    assert all(Path(skip.file).name in skip.reason for skip in manifest.skipped)
    assert sum(part.images for part in manifest.parts.values()) == 110
    assert read_manifest(tmp_path / "set") == manifest
    assert "skipped      2 damaged" in (tmp_path / "set" / "data_summary.txt").read_text()
    assert verify_records(tmp_path / "set")[1] == []
    assert not build_records(tree, tmp_path / "set", on_corrupt="skip")[2]


def test_shard_that_skipped_images_is_written_again_where_errors_are_asked_for(
    pedestrians: Path, tmp_path: Path
) -> None:
    tree, folder = tmp_path / "tree", tmp_path / "set"
    shutil.copytree(pedestrians / "categories", tree / "categories")
    cut = Path(split_samples(list_samples(tree))[0][0].path)
    cut.write_bytes(cut.read_bytes()[:-300])
    # The shards of training are finished and noted when the last one of validation is stopped.
    _interrupt(tree, folder, 112, num_shards=2, on_corrupt="skip")
    with pytest.raises(InputError, match=f"{cut.name}: is a damaged image"):
        build_records(tree, folder, num_shards=2)
    manifest = build_records(tree, folder, num_shards=2, on_corrupt="skip")[1]
    assert [skip.file for skip in manifest.skipped] == [str(cut)]


def test_equal_damaged_files_of_two_people_are_skipped(pedestrians: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(pedestrians / "categories", tree / "categories")
    damaged = [tree / "categories" / person / "empty.jpg" for person in ("0003", "0005")]
    damaged += [tree / "categories" / person / "page.jpg" for person in ("0003", "0005")]
    for path in damaged:
        path.write_text("" if path.stem == "empty" else "<html>404 not found</html>")
    _, manifest, _ = build_records(tree, tmp_path / "set", on_corrupt="skip")
    assert sorted(skip.file for skip in manifest.skipped) == sorted(map(str, damaged))
    with pytest.raises(InputError, match=r"empty\.jpg: is empty|page\.jpg: is not an image"):
        build_records(tree, tmp_path / "other")


def test_person_whose_images_are_all_skipped_leaves_the_other_labels_alone(
    pedestrians: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(pedestrians / "categories", tree / "categories")
    manifest = build_records(tree, tmp_path / "whole")[1]
    person = next(person for person, label in manifest.labels.items() if label == 2)
    for path in (tree / "categories" / person).iterdir():
        path.write_bytes(b"no image")
    found = build_records(tree, tmp_path / "set", on_corrupt="skip")[1]
    assert found.labels == manifest.labels
    assert found.parts["train"].people == manifest.parts["train"].people - 1
    assert found.parts["train"].classes == manifest.parts["train"].people


def _is_whole(data: bytes) -> bool:
    """Whether Pillow can decode the whole of it."""
    try:
        decode_image(data, "image")
    except InputError:
        return False
    return True


def test_verification_at_an_eighth_of_the_size_sees_what_a_whole_decoding_sees(
    pedestrians: Path, tmp_path: Path
) -> None:
    drawn = random.Random(0)
    whole = next(pedestrians.rglob("*.jpg")).read_bytes()
    with Image.open(next(pedestrians.rglob("*.jpg"))) as image:
        image.save(tmp_path / "progressive.jpg", progressive=True)
    path = tmp_path / "image.jpg"
    verdicts = []
    for source in (whole, (tmp_path / "progressive.jpg").read_bytes()):
        for turn in range(150):
            data = bytearray(source)
            if turn % 3 == 0:
                del data[drawn.randrange(len(data)) :]
            else:
                for _ in range(turn % 3):
                    data[drawn.randrange(len(data))] = drawn.randrange(256)
            path.write_bytes(data)
            verdicts.append(_is_whole(bytes(data)))
            if verdicts[-1]:
                load_image(str(path))
            else:
                with pytest.raises(InputError):
                    load_image(str(path))
    assert 50 < sum(verdicts) < 250


def test_files_that_only_pillow_takes_are_stored_from_its_pixels(
    pedestrians: Path, tmp_path: Path
) -> None:
    crop = next(pedestrians.rglob("*.jpg"))
    with Image.open(crop) as image:
        image.save(tmp_path / "whole.png")
    png = (tmp_path / "whole.png").read_bytes()
    wrong = bytearray(png)
    wrong[-1] ^= 1
    cases = [png[:-cut] for cut in (1, 4, 8, 12, 16)] + [bytes(wrong)]
    # Damage of a JPEG that libjpeg warns of, and Pillow passes over.
    drawn = random.Random(0)
    while len(cases) < 12:
        data = bytearray(crop.read_bytes())
        data[drawn.randrange(len(data))] = drawn.randrange(256)
        if _is_whole(bytes(data)) and not _is_whole_jpeg(bytes(data)):
            cases.append(bytes(data))
    for number, data in enumerate(cases):
        path = tmp_path / f"{number}.img"
        path.write_bytes(data)
        for verify in (True, False) if number < 6 else (True,):
            kept, kind, *_ = load_image(str(path), verify)
            assert kind == b"png"
            pixels = tf.io.decode_jpeg(kept, channels=3).numpy()
            np.testing.assert_array_equal(pixels, decode_image(data, path))
    # What comes after the last chunk harms nobody.
    (tmp_path / "longer.png").write_bytes(png + bytes(20))
    for name in ("whole.png", "longer.png"):
        assert load_image(str(tmp_path / name))[0] == (tmp_path / name).read_bytes()


def test_turned_images_are_stored_upright(pedestrians: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(next(pedestrians.rglob("*.jpg"))) as image:
        image.save(tmp_path / "turned.jpg", exif=exif)
    _, kind, height, width = load_image(str(tmp_path / "turned.jpg"))
    assert (kind, height, width) == (b"png", 32, 64)


@pytest.mark.parametrize("profile", [b"", b"p" * 3000])
@pytest.mark.parametrize("comment", [b"", b"\xff\xda\x00\x02", b"\xff\xda\x00\x0c\x03\x01"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_header_of_an_image_is_read_to_its_end(
    pedestrians: Path, tmp_path: Path, orientation: int, comment: bytes, profile: bytes
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "image.jpg"
    with Image.open(next(pedestrians.rglob("*.jpg"))) as image:
        image.save(path, exif=exif if orientation != 1 else b"", icc_profile=profile)
    # A comment that looks as if the pixels began with it.
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment if comment else b""
    data = path.read_bytes()
    path.write_bytes(data[:2] + segment + data[2:])
    kept, kind, height, width = load_image(str(path))
    if orientation == 1:
        assert (kept, kind, height, width) == (path.read_bytes(), b"jpeg", 64, 32)
    else:
        assert (kind, height, width) == (b"png", 32, 64)


def test_images_that_begin_alike_are_each_verified(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("grey.jpg", "white.jpg", "wide.jpg", "damaged.jpg")]
    for path, colour, width in zip(paths, (90, 255, 90, 90), (32, 32, 33, 32), strict=True):
        Image.new("RGB", (width, 64), (colour,) * 3).save(path)
    paths[3].write_bytes(paths[0].read_bytes()[:-40])
    assert [load_image(str(path))[2:] for path in paths[:3]] == [(64, 32), (64, 32), (64, 33)]
    with pytest.raises(InputError, match=r"damaged\.jpg: is a damaged image"):
        load_image(str(paths[3]))


def test_pattern_reads_names_and_is_recorded(pedestrians: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for path in pedestrians.rglob("*.jpg"):
        name = f"cam{path.name[5]}-{int(path.name[:4])}-{path.name[12:15]}.jpg"
        (tree / "flat").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tree / "flat" / name)
    pattern = r"cam(?P<camera>\d+)-(?P<person>\d+)-(?P<frame>\d+)"
    folder, manifest, _ = build_records(tree, pattern=pattern)
    assert folder == tree / "records"
    assert (manifest.pattern, manifest.dataset) == (pattern, "pattern")
    assert set(manifest.labels) == {str(number) for number in range(1, 15)}
    assert manifest.parts["train"].cameras == 2
    assert read_manifest(folder) == manifest
    assert not build_records(tree, pattern=pattern)[2]
    with pytest.raises(InputError, match="pattern"):
        build_records(tree, pattern=pattern + "x?")


def test_table_of_identities_becomes_records(pedestrians: Path, tmp_path: Path) -> None:
    rows = [f"{path.parent.name},{path},{path.name[5]}" for path in pedestrians.rglob("*.jpg")]
    table = tmp_path / "people.csv"
    table.write_text("identity,path,camera\n" + "\n".join(rows))
    folder, manifest, _ = build_records(table)
    assert folder == tmp_path / "records"
    assert manifest.dataset == "identity-csv"
    assert sum(part.images for part in manifest.parts.values()) == 112


def test_triplets_of_a_table_are_kept_beside_the_records(pedestrians: Path, tmp_path: Path) -> None:
    people = [path.name for path in sorted((pedestrians / "categories").iterdir())]
    rows = []
    for person, other in itertools.permutations(people, 2):
        one, two, *_ = sorted((pedestrians / "categories" / person).iterdir())
        rows.append(f"{one},{two},{next((pedestrians / 'categories' / other).iterdir())}")
    table = tmp_path / "triplets.csv"
    table.write_text("Anchor,Positive,Negative\n" + "\n".join(rows))
    folder, manifest, _ = build_records(table)
    assert manifest.dataset == "triplet-csv"
    train = {person for person, label in manifest.labels.items()
             if label in manifest.parts["train"].images_by_label}  # fmt: skip
    kept = kept_triplets(folder)
    assert len(kept) == len(train) * (len(train) - 1)
    assert {name.split("/")[0] for row in kept for name in row} == train
    # Records that were made of the same images in another way have none, until they are asked for.
    (folder / "triplets.csv").unlink()
    renew_triplets(folder, manifest, list_sources([table]))
    assert kept_triplets(folder) == kept
    renew_triplets(folder, manifest, list_sources([pedestrians]))
    assert kept_triplets(folder) == kept
    with pytest.raises(InputError, match="Give another output folder"):
        build_records(table, tmp_path)
    # Other rows of the same images: the records stay, the triplets are those of today.
    table.write_text("Anchor,Positive,Negative\n" + "\n".join(rows[::-1] + rows[:5]))
    assert not build_records(table)[2]
    assert len(kept_triplets(folder)) > len(kept)
    assert kept_triplets(folder)[: len(kept)] == kept[::-1]
    assert table.read_text().startswith("Anchor")


def _slim_set(
    pedestrians: Path, folder: Path, *, shards: int = 1, by_image: bool = True, size: bool = True
) -> dict[str, int]:
    """Writes a record set as the earlier project did: TF-Slim's keys, labels.txt, no manifest."""
    people = sorted(path.name for path in (pedestrians / "categories").iterdir())
    labels = {person: label for label, person in enumerate(people)}
    images = sorted(pedestrians.rglob("*.jpg"))
    random.Random(0).shuffle(images)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {
        path: (number % 4 == 0 if by_image else labels[path.name[:4]] >= 10)
        for number, path in enumerate(images)
    }
    for part in ("train", "validation"):
        mine = [path for path in images if chosen[path] == (part == "validation")]
        for shard in range(shards):
            name = f"mars_{part}_{shard:05d}-of-{shards:05d}.tfrecord"
            with tf.io.TFRecordWriter(str(folder / name)) as writer:
                for path in mine[shard::shards]:
                    numbers = {"image/class/label": labels[path.name[:4]]}
                    if size:  # a wrong one: what counts is the image
                        numbers |= {"image/height": 66, "image/width": 33}
                    texts = {"image/encoded": path.read_bytes(), "image/format": b"jpg"}
                    writer.write(miniatures.example(numbers | texts))
    text = "".join(f"{label}:{person}\n" for person, label in labels.items())
    (folder / "labels.txt").write_text(text)
    return labels


@pytest.mark.parametrize("size", [True, False])
def test_records_of_the_earlier_project_get_a_manifest_by_being_read(
    pedestrians: Path, tmp_path: Path, size: bool
) -> None:
    labels = _slim_set(pedestrians, tmp_path / "set", shards=2, size=size)
    assert is_record_set(tmp_path / "set")
    manifest = read_manifest(tmp_path / "set")
    assert (manifest.name, manifest.labels) == ("mars", labels)
    train, validation = manifest.parts["train"], manifest.parts["validation"]
    assert (train.images, validation.images) == (84, 28)
    assert train.people == train.classes == 14
    assert train.cameras == train.tracklets == 0
    assert train.image_sizes == {"64x32": 84}
    assert [shard.records for shard in train.shards] == [42, 42]
    assert manifest.split == {"by": "image"}
    assert verify_records(tmp_path / "set")[1] == []
    assert not (tmp_path / "set" / MANIFEST).exists()


def test_earlier_records_whose_parts_share_nobody_count_as_split_by_identity(
    pedestrians: Path, tmp_path: Path
) -> None:
    _slim_set(pedestrians, tmp_path / "set", by_image=False)
    assert read_manifest(tmp_path / "set").split == {"by": "identity"}


def test_parsing_fills_what_earlier_records_do_not_say(pedestrians: Path, tmp_path: Path) -> None:
    _slim_set(pedestrians, tmp_path / "set")
    manifest = read_manifest(tmp_path / "set")
    shards = shard_paths(tmp_path / "set", manifest, "validation")
    found = list(tf.data.TFRecordDataset(shards).map(parse_record).as_numpy_iterator())
    assert len({record["image/filename"] for record in found}) == len(found) == 28
    for record in found:
        assert record["image/class/text"].decode() == str(record["image/class/label"])
        assert record["image/camera"] == record["image/tracklet"] == -1


def test_parsing_leaves_our_records_as_they_are(records: Path) -> None:
    shards = shard_paths(records, read_manifest(records), "validation")
    parsed = list(tf.data.TFRecordDataset(shards).map(parse_record).as_numpy_iterator())
    assert parsed == _read(records, "validation")


def test_records_of_the_earlier_project_are_left_alone(pedestrians: Path, tmp_path: Path) -> None:
    _slim_set(pedestrians, tmp_path / "set")
    before = _content(tmp_path / "set")
    assert not build_records(pedestrians, tmp_path / "set")[2]
    assert _content(tmp_path / "set") == before
    # Another name would still replace its labels.
    with pytest.raises(InputError, match=r"set: has labels\.txt already"):
        build_records(pedestrians, tmp_path / "set", name="other")
    assert _content(tmp_path / "set") == before


def test_foreign_file_in_the_way_is_not_overwritten(pedestrians: Path, tmp_path: Path) -> None:
    _slim_set(pedestrians, tmp_path / "set")
    (tmp_path / "set" / "mars_validation_00000-of-00001.tfrecord").unlink()
    assert not is_record_set(tmp_path / "set")
    before = _content(tmp_path / "set")
    with pytest.raises(InputError, match=r"has mars_train_00000-of-00001.tfrecord, .*--output_dir"):
        build_records(pedestrians, tmp_path / "set")
    assert _content(tmp_path / "set") == before


@pytest.mark.parametrize("name", ["labels.txt", "data_summary.txt", "manifest.json"])
def test_files_of_the_user_are_not_overwritten(
    pedestrians: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text('{"mine": 1}')
    parts = split_samples(list_samples(pedestrians))
    with pytest.raises(InputError, match=f"has {name} already.* Remove it, or give another"):
        write_records(dict(zip(("train", "validation"), parts, strict=True)), tmp_path)
    with pytest.raises(InputError, match=name):
        build_records(pedestrians, tmp_path)
    assert _content(tmp_path) == {name: b'{"mine": 1}'}
    (tmp_path / name).unlink()
    assert build_records(pedestrians, tmp_path)[2]


def test_triplets_of_the_user_are_not_overwritten(tmp_path: Path) -> None:
    table = miniatures.triplets(tmp_path)
    other = tmp_path / "triplets.csv"
    other.write_text("mine")
    with pytest.raises(InputError, match=r"has triplets\.csv already"):
        build_records(table, tmp_path, split="image")
    assert other.read_text() == "mine"
    other.unlink()
    # One's own from an interrupted writing is no hindrance.
    _interrupt(table, tmp_path, 1, split="image")
    other.write_text("anchor,positive,negative\n")
    assert build_records(table, tmp_path, split="image")[2]
    assert other.read_text().startswith("anchor")


def test_only_a_manifest_or_a_plan_proves_that_records_are_ours(
    pedestrians: Path, records: Path, tmp_path: Path
) -> None:
    # Others write the key image/class/text too, and some of their shards have our names.
    folder = tmp_path / "set"
    shutil.copytree(records, folder)
    (folder / MANIFEST).unlink()
    (folder / "data_summary.txt").unlink()
    before = _content(folder)
    assert not is_record_set(folder)
    with pytest.raises(InputError, match="no complete record set"):
        read_manifest(folder)
    for options in ({}, {"num_shards": 2}, {"name": "other"}):
        with pytest.raises(InputError, match=r"set: has .* already, which no manifest"):
            build_records(pedestrians, folder, **options)
        assert _content(folder) == before
    (folder / ".building").mkdir()
    (folder / ".building" / "thesis.txt").write_text("mine")
    for path in folder.glob("*.t*"):
        path.unlink()
    with pytest.raises(InputError, match=r"set: has \.building already"):
        build_records(pedestrians, folder)
    assert (folder / ".building" / "thesis.txt").read_text() == "mine"


def test_several_or_damaged_sets_of_the_earlier_project_are_named(
    pedestrians: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    _slim_set(pedestrians, folder)
    shard = folder / "mars_train_00000-of-00001.tfrecord"
    third = _offsets(shard)[2]
    shard.write_bytes(shard.read_bytes()[: third + 50])
    with pytest.raises(InputError, match=f"{shard.name}: .*at byte {third}:"):
        read_manifest(folder)
    for path in sorted(folder.glob("mars_*")):
        shutil.copy(path, folder / path.name.replace("mars", "duke"))
    with pytest.raises(InputError, match="duke, mars"):
        read_manifest(folder)


@pytest.mark.skipif(not MARKET.is_dir(), reason="no real crops beside the checkout")
def test_real_crops_keep_their_bytes(tmp_path: Path) -> None:
    samples = list_samples(MARKET)[:300]
    write_records({"train": samples[:200], "validation": samples[200:]}, tmp_path / "set")
    found = _read(tmp_path / "set", "train")
    by_name = {Path(sample.path).name: sample for sample in samples}
    assert len(found) == 200
    for record in found:
        sample = by_name[record["image/filename"].decode()]
        assert record["image/encoded"] == Path(sample.path).read_bytes()
        assert record["image/class/text"].decode() == sample.person
        assert record["image/camera"] == sample.camera
