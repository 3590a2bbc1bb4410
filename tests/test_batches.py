"""`siamese.data.batches`: who is in a batch, in which order, and that no image is lost."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from siamese.data.batches import batch_image_size, evaluation_batches, train_batches
from siamese.data.images import read_image
from siamese.data.records import Manifest, read_manifest, shard_paths
from siamese.errors import InputError


@pytest.fixture(scope="module")
def manifest(records: Path) -> Manifest:
    return read_manifest(records)


def _labels(records: Path, manifest: Manifest, batches: int, **options: object) -> np.ndarray:
    shards = shard_paths(records, manifest, "train")
    options = {"image_size": (64, 32), **options}
    dataset, _ = train_batches(shards, manifest.parts["train"], **options)  # type: ignore[arg-type]
    return np.array([labels for _, labels in dataset.take(batches).as_numpy_iterator()])


def test_batch_is_groups_of_one_person(records: Path, manifest: Manifest) -> None:
    labels = _labels(records, manifest, 6, people=5, images=4)
    groups = labels.reshape(6, 5, 4)
    assert (groups == groups[:, :, :1]).all()
    assert len(set(labels.ravel().tolist())) > 5


def test_images_are_uint8_of_the_asked_size(records: Path, manifest: Manifest) -> None:
    shards = shard_paths(records, manifest, "train")
    dataset, _ = train_batches(
        shards, manifest.parts["train"], image_size=(40, 20), people=4, images=2
    )
    images, labels = next(dataset.as_numpy_iterator())
    assert images.shape == (8, 40, 20, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32


def test_an_epoch_shows_every_image(records: Path, manifest: Manifest) -> None:
    part = manifest.parts["train"]
    shards = shard_paths(records, manifest, "train")
    dataset, steps = train_batches(shards, part, image_size=(64, 32), people=2, images=4, seed=5)
    assert steps == part.images // 8
    shown = Counter(
        image.tobytes() for images, _ in dataset.take(steps).as_numpy_iterator() for image in images
    )
    assert len(shown) == part.images
    assert set(shown.values()) == {1}


def test_half_of_the_pairs_are_of_one_person(records: Path, manifest: Manifest) -> None:
    labels = _labels(records, manifest, 8, order="pairs", people=8, images=2)
    same = labels[:, 0::2] == labels[:, 1::2]
    assert same[:, :4].all()
    assert same[:, 4:].mean() < 0.4  # two groups of one person may meet


def test_triplets_have_a_positive_and_a_negative(records: Path, manifest: Manifest) -> None:
    labels = _labels(records, manifest, 8, order="triplets", people=6, images=3)
    assert (labels[:, 0::3] == labels[:, 1::3]).all()
    assert (labels[:, 0::3] != labels[:, 2::3]).all()


def test_anchor_and_positive_are_two_images(records: Path, manifest: Manifest) -> None:
    shards = shard_paths(records, manifest, "train")
    dataset, _ = train_batches(
        shards, manifest.parts["train"], image_size=(64, 32), order="triplets", people=4, images=3
    )
    images, _ = next(dataset.as_numpy_iterator())
    assert all((images[row] != images[row + 1]).any() for row in range(0, 12, 3))


def test_seed_and_epoch_alone_decide_the_order(records: Path, manifest: Manifest) -> None:
    import keras

    steps = 20 * 4 // 20
    options = {"people": 5, "images": 4}
    keras.utils.set_random_seed(0)
    whole = _labels(records, manifest, 3 * steps, seed=7, **options)
    keras.utils.set_random_seed(123)
    later = _labels(records, manifest, 2 * steps, seed=7, first_epoch=1, **options)
    np.testing.assert_array_equal(whole[steps:], later)
    assert not np.array_equal(whole[:steps], whole[steps : 2 * steps])
    assert not np.array_equal(whole, _labels(records, manifest, 3 * steps, seed=8, **options))


def test_person_with_few_images_fills_its_group(records: Path, manifest: Manifest) -> None:
    labels = _labels(records, manifest, 4, people=2, images=16)  # each person has 8
    groups = labels.reshape(4, 2, 16)
    assert (groups == groups[:, :, :1]).all()


def test_evaluation_gives_every_record_once_in_order(records: Path, manifest: Manifest) -> None:
    shards = shard_paths(records, manifest, "validation")
    for batch_size in (3, 64):
        batches = list(evaluation_batches(shards, image_size=(64, 32), batch_size=batch_size))
        names = np.concatenate([batch.names for batch in batches])
        assert len(set(names)) == len(names) == manifest.parts["validation"].images
        if batch_size == 3:
            first = names
    np.testing.assert_array_equal(first, names)


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


def test_small_stored_images_stay_small(manifest: Manifest) -> None:
    part = manifest.parts["train"]
    assert batch_image_size(part, (256, 128)) == (64, 32)
    assert batch_image_size(part, (32, 32)) == (32, 32)
    mixed = dataclasses.replace(part, image_sizes={"64x32": 1, "70x30": 1})
    assert batch_image_size(mixed, (256, 128)) == (256, 128)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"people": 1_000, "images": 4}, "`people` must be at most"),
        ({"people": 1, "images": 4}, "`people` must be at least 2"),
        ({"people": 4, "images": 1}, "`images` at least 2"),
        ({"order": "pairs", "people": 6, "images": 2}, "for pairs"),
        ({"order": "triplets", "people": 6, "images": 2}, "3 for triplets"),
    ],
)
def test_impossible_batches_are_refused(
    records: Path, manifest: Manifest, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        _labels(records, manifest, 1, **options)


def test_one_person_is_not_enough(records: Path, manifest: Manifest) -> None:
    part = dataclasses.replace(manifest.parts["train"], people=1, images_by_label={0: 8})
    with pytest.raises(InputError, match="at least two people"):
        train_batches(["x"], part, image_size=(64, 32), people=2, images=2)
