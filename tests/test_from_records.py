"""`siamese.loader.from_records`: who is in a batch, in which order, and that no image is lost."""

import dataclasses
import io
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from siamese.datasets import list_samples
from siamese.datasets.triplets import find_triplets, place_triplets, write_triplets
from siamese.errors import InputError
from siamese.images import decode_image, read_image, resize_image
from siamese.loader.from_records import (
    batch_image_size,
    decode_record,
    encoded_images,
    evaluation_batches,
    naming_damage,
    train_batches,
)
from siamese.records import Manifest, build_records, read_manifest, shard_paths
from siamese.records.schema import frame_image


@pytest.fixture(scope="module")
def manifest(records: Path) -> Manifest:
    return read_manifest(records)


def _labels(records: Path, manifest: Manifest, batches: int, **options: object) -> np.ndarray:
    shards = shard_paths(records, manifest, "train")
    options = {"image_size": (64, 32), **options}
    dataset, _ = train_batches(shards, manifest.parts["train"], **options)  # type: ignore[arg-type]
    return np.array([labels for _, labels in dataset.take(batches).as_numpy_iterator()])


def test_images_are_uint8_of_the_asked_size(records: Path, manifest: Manifest) -> None:
    shards = shard_paths(records, manifest, "train")
    dataset, _ = train_batches(
        shards, manifest.parts["train"], image_size=(40, 20), num_identities=4, num_instances=2
    )
    images, labels = next(dataset.as_numpy_iterator())
    assert images.shape == (8, 40, 20, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32


def test_an_epoch_shows_every_image(records: Path, manifest: Manifest) -> None:
    part = manifest.parts["train"]
    shards = shard_paths(records, manifest, "train")
    dataset, steps = train_batches(
        shards, part, image_size=(64, 32), num_identities=2, num_instances=4, seed=5
    )
    assert steps == -(-part.images // 8)
    shown = Counter(
        image.tobytes() for images, _ in dataset.take(steps).as_numpy_iterator() for image in images
    )
    assert len(shown) == part.images
    assert set(shown.values()) == {1}


def _cameras(records: Path, manifest: Manifest, batches: int, **options: object) -> np.ndarray:
    """The camera of each row of some batches, found by the image's bytes."""
    shards = shard_paths(records, manifest, "train")
    camera = {
        image.tobytes(): int(number)
        for batch in evaluation_batches(shards, image_size=(64, 32))
        for image, number in zip(batch.images, batch.cameras, strict=True)
    }
    dataset, _ = train_batches(
        shards,
        manifest.parts["train"],
        image_size=(64, 32),
        **options,  # type: ignore[arg-type]
    )
    return np.array(
        [
            [camera[image.tobytes()] for image in images]
            for images, _ in dataset.take(batches).as_numpy_iterator()
        ]
    )


def test_groups_have_as_many_cameras_as_they_can(records: Path, manifest: Manifest) -> None:
    # Each person: 2 cameras, 4 images by each.
    four = _cameras(records, manifest, 6, num_identities=4, num_instances=4).reshape(-1, 4)
    assert (np.sort(four, axis=1) == [1, 1, 2, 2]).all()
    assert 0 < (four[:, 0] == 1).mean() < 1  # the first is not always of the same camera
    two = _cameras(records, manifest, 6, num_identities=4, num_instances=2).reshape(-1, 2)
    assert (np.sort(two, axis=1) == [1, 2]).all()


@pytest.mark.parametrize(("sampler", "num_instances"), [("pk", 3), ("pairs", 2), ("triplets", 3)])
def test_hosts_together_have_the_batch_of_one(
    records: Path, manifest: Manifest, sampler: str, num_instances: int
) -> None:
    shards = shard_paths(records, manifest, "train")

    def read(host: int, hosts: int) -> list[tuple[np.ndarray, np.ndarray]]:
        dataset, _ = train_batches(
            shards,
            manifest.parts["train"],
            image_size=(64, 32),
            sampler=sampler,  # type: ignore[arg-type]
            num_identities=8,
            num_instances=num_instances,
            seed=3,
            host=host,
            hosts=hosts,
        )
        return list(dataset.take(3).as_numpy_iterator())

    whole, first, second = read(0, 1), read(0, 2), read(1, 2)
    for one, left, right in zip(whole, first, second, strict=True):
        for alone, mine, yours in zip(one, left, right, strict=True):
            np.testing.assert_array_equal(np.concatenate([mine, yours]), alone)


@pytest.fixture(scope="module")
def triplet_set(
    pedestrians: Path, records: Path, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[str, str, str]]]:
    """The records with a table of triplets beside them; one triplet has a held-out image."""
    folder = tmp_path_factory.mktemp("triplets") / "set"
    shutil.copytree(records, folder)
    names = {
        person: [path.name for path in sorted((pedestrians / "categories" / person).iterdir())]
        for person in manifest.labels
    }
    train = [p for p, label in manifest.labels.items() if label in _counts(manifest)]
    held_out = next(p for p in manifest.labels if p not in train)
    rows = []
    for number, (one, other) in enumerate(zip(train, train[1:] + train[:1], strict=True)):
        rows.append((names[one][number % 4], names[one][5], names[other][number % 8]))
    rows.append((names[train[0]][0], names[train[0]][1], names[held_out][0]))
    images = folder / "images"
    images.mkdir()
    for person, files in names.items():
        for name in files:
            shutil.copy(pedestrians / "categories" / person / name, images / name)
    table = images / "train.csv"
    table.write_text("Anchor,Positive,Negative\n" + "\n".join(",".join(row) for row in rows) + "\n")
    samples = [
        replace(sample, path=str(images / Path(sample.path).name))
        for sample in list_samples(pedestrians)
        if sample.person in train
    ]
    found = find_triplets(table, samples)
    assert len(found) == len(rows) - 1
    write_triplets(folder, found)
    return folder, rows[:-1]


def _counts(manifest: Manifest) -> dict[int, int]:
    return manifest.parts["train"].images_by_label


def test_given_triplets_come_each_once_an_epoch(
    triplet_set: tuple[Path, list[tuple[str, str, str]]], manifest: Manifest
) -> None:
    folder, rows = triplet_set
    pixels = {path.name: read_image(path).tobytes() for path in (folder / "images").glob("*.jpg")}
    wanted = Counter(tuple(pixels[name] for name in row) for row in rows)
    people = 2 if len(rows) % 2 == 0 else 3
    dataset, steps = train_batches(
        shard_paths(folder, manifest, "train"),
        manifest.parts["train"],
        image_size=(64, 32),
        sampler="triplets",
        num_identities=people,
        num_instances=3,
    )
    assert steps == -(-len(rows) // people)
    shown: Counter[tuple[bytes, ...]] = Counter()
    for images, labels in dataset.take(steps).as_numpy_iterator():
        assert (labels[0::3] == labels[1::3]).all()
        assert (labels[0::3] != labels[2::3]).all()
        shown.update(
            tuple(i.tobytes() for i in row) for row in images.reshape(people, 3, 64, 32, 3)
        )
    assert set(shown) == set(wanted)
    assert sum(shown.values()) == steps * people


def test_too_few_triplets_are_refused(
    triplet_set: tuple[Path, list[tuple[str, str, str]]], manifest: Manifest
) -> None:
    folder, rows = triplet_set
    with pytest.raises(InputError, match=f"at most {len(rows)}, the triplets"):
        train_batches(
            shard_paths(folder, manifest, "train"),
            manifest.parts["train"],
            image_size=(64, 32),
            sampler="triplets",
            num_identities=len(rows) + 1,
            num_instances=3,
        )
    with pytest.raises(InputError, match="no triplet has all its images"):
        place_triplets([["a/1", "a/2", "b/1"]], ["a/1", "a/2"])


def test_seed_and_epoch_alone_decide_the_order(records: Path, manifest: Manifest) -> None:
    import keras

    options = {"num_identities": 5, "num_instances": 4}
    groups = manifest.parts["train"].images // 4
    steps = -(-groups // 5)
    keras.utils.set_random_seed(0)
    whole = _labels(records, manifest, 3 * steps, seed=7, **options)
    keras.utils.set_random_seed(123)
    later = _labels(records, manifest, 2 * steps, seed=7, first_epoch=1, **options)
    np.testing.assert_array_equal(whole[steps:], later)
    assert not np.array_equal(whole[:steps], whole[steps : 2 * steps])
    assert not np.array_equal(whole, _labels(records, manifest, 3 * steps, seed=8, **options))


def test_evaluation_gives_every_record_once_in_order(records: Path, manifest: Manifest) -> None:
    shards = shard_paths(records, manifest, "validation")
    for batch_size in (3, 64):
        batches = list(evaluation_batches(shards, image_size=(64, 32), batch_size=batch_size))
        names = np.concatenate([batch.names for batch in batches])
        assert len(set(names)) == len(names) == manifest.parts["validation"].images
        if batch_size == 3:
            first = names
    np.testing.assert_array_equal(first, names)


@pytest.mark.parametrize("image_size", [(64, 32), (128, 64), (40, 20), (77, 31)])
def test_both_decoders_and_both_resizers_give_the_same_pixels(
    pedestrians: Path, image_size: tuple[int, int]
) -> None:
    for path in sorted(pedestrians.rglob("*.jpg"))[:4]:
        pixels = decode_record(path.read_bytes(), image_size).numpy().astype(int)
        difference = np.abs(pixels - resize_image(read_image(path), image_size))
        # Of what lies in the middle of two numbers, each may take another one.
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


def test_evaluation_sees_the_pixels_that_pillow_reads(
    pedestrians: Path, records: Path, manifest: Manifest
) -> None:
    shards = shard_paths(records, manifest, "validation")
    batch = next(evaluation_batches(shards, image_size=(64, 32), batch_size=4))
    for image, name, person in zip(batch.images, batch.names, batch.people, strict=True):
        path = pedestrians / "categories" / person / name
        np.testing.assert_array_equal(image, read_image(path))


def test_damaged_shard_is_named(records: Path, manifest: Manifest, tmp_path: Path) -> None:
    shard = Path(shard_paths(records, manifest, "validation")[0])
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "bad.tfrecord").write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.tfrecord: the records cannot be read"):
        list(evaluation_batches([str(tmp_path / "bad.tfrecord")], image_size=(64, 32)))


def test_image_that_cannot_be_decoded_ends_a_training_in_one_line(
    records: Path, manifest: Manifest, tmp_path: Path
) -> None:
    png = io.BytesIO()
    Image.new("RGB", (32, 64)).save(png, "PNG")
    names = [f"{number}.tfrecord" for number in range(2)]
    for label, name in enumerate(names):
        one = frame_image(png.getvalue()[:-1], "a.png", b"png", (64, 32), label, str(label))
        (tmp_path / name).write_bytes(one * 4)
    part = replace(manifest.parts["train"], images=8, people=2, images_by_label={0: 4, 1: 4})
    batches, _ = train_batches(
        [str(tmp_path / name) for name in names], part, image_size=(64, 32), num_identities=2
    )
    said = r"a record cannot be used \(Invalid PNG data, size \d+\)\. Remove"
    with pytest.raises(InputError, match=said) as caught:  # noqa: SIM117
        with naming_damage(tmp_path):
            next(iter(batches))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=said), naming_damage(tmp_path):
        tf.function(lambda rows: next(iter(rows)))(batches)  # as a training reads them
    # What a model cannot do is no fault of the records.
    with pytest.raises(tf.errors.InvalidArgumentError), naming_damage(tmp_path):
        tf.linalg.matmul(tf.ones((2, 3)), tf.ones((2, 3)))


def test_small_stored_images_stay_small(manifest: Manifest) -> None:
    part = manifest.parts["train"]
    assert batch_image_size(part, (256, 128)) == (64, 32)
    assert batch_image_size(part, (32, 32)) == (32, 32)
    mixed = dataclasses.replace(part, image_sizes={"64x32": 1, "70x30": 1})
    assert batch_image_size(mixed, (256, 128)) == (256, 128)


def _with_unknown(records: Path, manifest: Manifest, **options: object) -> tf.data.Dataset:
    """Batches of two people, with three images of unknown ones: those of the validation part."""
    dataset, _ = train_batches(
        shard_paths(records, manifest, "train"),
        manifest.parts["train"],
        image_size=(64, 32),
        num_identities=2,
        unlabelled=3,
        unlabelled_shards=shard_paths(records, manifest, "validation"),
        **options,  # type: ignore[arg-type]
    )
    return dataset


def _seen(images: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_images_of_unknown_people_follow_the_groups(records: Path, manifest: Manifest) -> None:
    validation = shard_paths(records, manifest, "validation")
    unknown = {
        image.tobytes()
        for batch in evaluation_batches(validation, image_size=(64, 32))
        for image in batch.images
    }
    batches = list(_with_unknown(records, manifest).take(len(unknown) // 3).as_numpy_iterator())
    for images, labels in batches:
        assert images.shape == (11, 64, 32, 3)
        assert (labels[:8] >= 0).all()
        assert labels[8:].tolist() == [-1] * 3
    drawn = [each for images, _ in batches for each in _seen(images[8:])]
    assert len(set(drawn)) == len(drawn)  # each once before any comes again
    assert set(drawn) <= unknown
    known, _ = train_batches(
        shard_paths(records, manifest, "train"),
        manifest.parts["train"],
        image_size=(64, 32),
        num_identities=2,
    )
    for (images, labels), (first, of) in zip(batches, known.as_numpy_iterator(), strict=False):
        np.testing.assert_array_equal(images[:8], first)
        np.testing.assert_array_equal(labels[:8], of)


def test_unknown_people_are_drawn_by_seed_and_epoch_alone(
    records: Path, manifest: Manifest
) -> None:
    def epochs(first: int, count: int) -> list[list[list[bytes]]]:
        dataset = _with_unknown(records, manifest, first_epoch=first, seed=4).take(count * steps)
        images = [_seen(images[8:]) for images, _ in dataset.as_numpy_iterator()]
        return [images[at : at + steps] for at in range(0, len(images), steps)]

    steps = -(-manifest.parts["train"].images // 8)
    whole = epochs(0, 2)
    assert epochs(1, 1) == whole[1:]
    assert whole[0] != whole[1]


def test_what_a_teacher_says_comes_with_its_image(records: Path, manifest: Manifest) -> None:
    shards = [path for part in manifest.parts for path in shard_paths(records, manifest, part)]
    images = [
        image for batch in evaluation_batches(shards, image_size=(64, 32)) for image in batch.images
    ]
    # The teacher says which image it was.
    numbers = np.arange(2 * len(images), dtype=np.float32).reshape(-1, 2)
    place = {image.tobytes(): row for image, row in zip(images, numbers, strict=True)}
    for batch, _, said in _with_unknown(records, manifest, taught=numbers).take(4):
        assert said.shape == (11, 2)
        expected = [place[image.numpy().tobytes()] for image in batch]
        np.testing.assert_array_equal(said, expected)


def test_encoded_images_are_read_as_they_are(records: Path, manifest: Manifest) -> None:
    shards = shard_paths(records, manifest, "train")
    found = [decode_image(each, "record") for each in encoded_images(shards)]
    expected = np.concatenate(
        [batch.images for batch in evaluation_batches(shards, image_size=(64, 32))]
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unlabelled": -1}, "unlabelled=-1"),
        ({"unlabelled": 2}, "must be 0 where all people are known"),
        ({"unlabelled": 2, "hosts": 2}, "hosts=2"),
    ],
)
def test_unknown_people_that_cannot_be_had_are_refused(
    records: Path, manifest: Manifest, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        _labels(records, manifest, 1, num_identities=4, **options)


def test_compressed_records_give_the_same_batches(
    pedestrians: Path, records: Path, manifest: Manifest, tmp_path: Path
) -> None:
    folder, packed, _ = build_records(pedestrians, tmp_path / "set", compress=True)
    found = [
        next(
            train_batches(
                shard_paths(home, told, "train"),
                told.parts["train"],
                image_size=(64, 32),
                num_identities=4,
            )[0].as_numpy_iterator()
        )
        for home, told in ((records, manifest), (folder, packed))
    ]
    for plain, unpacked in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, unpacked)
