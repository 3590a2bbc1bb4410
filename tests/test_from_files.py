"""`siamese.loader.from_files` and `siamese.sampler`: images in memory, in the order of training."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.datasets import Sample, list_samples
from siamese.datasets.triplets import name_image
from siamese.errors import InputError
from siamese.images import read_image, resize_image
from siamese.loader.from_files import LabelledImages, array_batches, kept_size, read_images
from siamese.sampler import sample_epoch


@pytest.fixture(scope="module")
def samples(pedestrians: Path) -> list[Sample]:
    return list_samples(pedestrians)


@pytest.fixture(scope="module")
def data(samples: list[Sample]) -> LabelledImages:
    return read_images(samples, image_size=(256, 128))


def _numbered(people: int, each: int, cameras: int = 2) -> LabelledImages:
    """Images that are their own row number."""
    count = people * each
    labels = np.repeat(np.arange(people), each)
    return LabelledImages(
        images=np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3),
        labels=labels,
        people=labels.astype(np.str_),
        cameras=np.arange(count) % cameras,
        tracklets=np.zeros(count, np.int64),
        names=np.arange(count).astype(np.str_),
    )


def _rows(data: LabelledImages, batches: int, **options: object) -> np.ndarray:
    """Rows of the images in some batches."""
    endless, _ = array_batches(data, **options)  # type: ignore[arg-type]
    return np.array([images[:, 0, 0, 0] for images, _ in islice(endless, batches)]).astype(int)


# Reading.


def test_images_are_those_of_the_files(samples: list[Sample], data: LabelledImages) -> None:
    assert data.images.shape == (len(samples), 64, 32, 3)  # of one size, so they stay small
    assert data.images.dtype == np.uint8
    for row in (0, 7, len(samples) - 1):
        np.testing.assert_array_equal(data.images[row], read_image(samples[row].path))
        assert data.people[row] == samples[row].person
        assert data.cameras[row] == samples[row].camera
        assert data.tracklets[row] == samples[row].tracklet
        assert data.names[row] == Path(samples[row].path).name
    people = sorted({sample.person for sample in samples})
    assert [people[label] for label in data.labels] == data.people.tolist()


def test_given_labels_are_kept(samples: list[Sample]) -> None:
    first = samples[:3]
    labels = {sample.person: 40 for sample in first}
    assert read_images(first, image_size=(64, 32), labels=labels).labels.tolist() == [40] * 3


def test_images_of_other_sizes_are_resized(samples: list[Sample], tmp_path: Path) -> None:
    large = Image.open(samples[0].path).resize((50, 90))
    large.save(tmp_path / "large.png")
    mixed = [*samples[:2], replace(samples[0], path=str(tmp_path / "large.png"))]
    together = read_images(mixed, image_size=(80, 40)).images
    assert together.shape == (3, 80, 40, 3)
    for image, sample in zip(together, mixed, strict=True):
        np.testing.assert_array_equal(image, resize_image(read_image(sample.path), (80, 40)))
    assert read_images(samples[:2], image_size=(40, 20)).images.shape == (2, 40, 20, 3)


def test_size_is_kept_only_where_there_is_one_and_it_is_small() -> None:
    assert kept_size([(64, 32), (64, 32)], (128, 64)) == (64, 32)
    assert kept_size([(64, 32), (65, 32)], (128, 64)) == (128, 64)
    assert kept_size([(64, 65)], (128, 64)) == (128, 64)
    assert kept_size([], (128, 64)) == (128, 64)


def test_progress_counts_to_the_end(samples: list[Sample]) -> None:
    seen: list[tuple[int, int]] = []
    read_images(samples[:5], image_size=(64, 32), progress=lambda *step: seen.append(step))
    assert seen == [(n, 5) for n in range(1, 6)]


def test_what_cannot_be_read_is_named(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one image"):
        read_images([], image_size=(64, 32))
    with pytest.raises(InputError, match=r"gone\.jpg: no such file"):
        read_images([*samples[:2], Sample(str(tmp_path / "gone.jpg"), "0001")], image_size=(64, 32))


def test_evaluation_batches_have_every_image_once_in_order(data: LabelledImages) -> None:
    batches = list(data.batches(10))
    assert {len(batch.images) for batch in batches[:-1]} == {10}
    np.testing.assert_array_equal(np.concatenate([b.names for b in batches]), data.names)
    np.testing.assert_array_equal(np.concatenate([b.images for b in batches]), data.images)


# Order.


def test_batches_are_groups_of_one_person_and_show_every_image_once(data: LabelledImages) -> None:
    endless, steps = array_batches(data, num_identities=4, num_instances=2, seed=1)
    assert steps == len(data.images) // 8
    shown: Counter[bytes] = Counter()
    for images, labels in islice(endless, steps):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
        assert (labels.reshape(4, 2) == labels.reshape(4, 2)[:, :1]).all()
        shown.update(image.tobytes() for image in images)
    assert set(shown.values()) == {1}
    assert len(shown) == len(data.images)


def test_groups_are_dealt_by_camera() -> None:
    data = _numbered(people=5, each=12, cameras=3)
    cameras = data.cameras[_rows(data, 5, num_identities=4, num_instances=3)].reshape(-1, 3)
    assert (np.sort(cameras, axis=1) == [0, 1, 2]).all()
    assert len({tuple(row) for row in cameras.tolist()}) > 2  # in any order
    left = data.cameras[
        _rows(data, 5, num_identities=4, num_instances=3, spread_cameras=False)
    ].reshape(-1, 3)
    assert (np.sort(left, axis=1) != [0, 1, 2]).any()


def test_short_groups_repeat_their_own_images_at_the_end() -> None:
    data = _numbered(people=3, each=7)
    rows = sample_epoch(
        data.labels, data.cameras, np.random.default_rng(0), num_identities=6, num_instances=4
    ).reshape(-1, 4)
    assert len(rows) == 6
    for row in rows:
        held = len(set(row.tolist()))
        assert held >= 3
        assert len(set(row[:held].tolist())) == held
        assert len(set((row // 7).tolist())) == 1
    assert set(rows.ravel().tolist()) == set(range(21))


def test_one_image_fills_a_group() -> None:
    data = _numbered(people=4, each=1)
    rows = _rows(data, 1, num_identities=4, num_instances=3).reshape(4, 3)
    assert (rows == rows[:, :1]).all()


def test_last_batch_is_filled_from_the_one_before() -> None:
    data = _numbered(people=8, each=2)
    rows = _rows(data, 3, num_identities=3, num_instances=2)
    assert sorted(set(rows.ravel().tolist())) == list(range(16))
    np.testing.assert_array_equal(rows[2, 4:], rows[1, :2])


def test_pairs_are_half_of_one_person() -> None:
    data = _numbered(people=30, each=4)
    labels = data.labels[_rows(data, 15, sampler="pairs", num_identities=8, num_instances=2)]
    same = labels[:, 0::2] == labels[:, 1::2]
    assert same[:, :4].all()
    for row, crossed in zip(labels, same[:, 4:], strict=True):
        if Counter(row[8:].tolist()).most_common(1)[0][1] <= 4:
            assert not crossed.any()


def test_triplets_have_a_positive_and_a_negative() -> None:
    data = _numbered(people=30, each=6)
    rows = _rows(data, 10, sampler="triplets", num_identities=6, num_instances=3)
    anchor, positive, negative = rows[:, 0::3], rows[:, 1::3], rows[:, 2::3]
    assert (anchor != positive).all()
    assert (data.labels[anchor] == data.labels[positive]).all()
    assert (data.labels[anchor] != data.labels[negative]).all()


def test_an_epoch_of_triplets_shows_every_image_where_each_person_has_three() -> None:
    data = _numbered(people=12, each=3)
    rows = _rows(data, 3, sampler="triplets", num_identities=4, num_instances=3)
    assert sorted(rows.ravel().tolist()) == list(range(36))


def test_given_triplets_are_taken() -> None:
    data = _numbered(people=6, each=3)
    wanted = [(0, 1, 3), (4, 5, 9), (6, 8, 1), (9, 10, 17), (12, 14, 0)]
    names = [[name_image(data.people[row], data.names[row]) for row in t] for t in wanted]
    options = {"sampler": "triplets", "num_identities": 2, "num_instances": 3, "triplets": names}
    rows = _rows(data, 3, **options).reshape(-1, 3)
    assert {tuple(row) for row in rows.tolist()} == set(wanted)
    with pytest.raises(InputError, match="at most 5, the triplets"):
        array_batches(data, **{**options, "num_identities": 6})  # type: ignore[arg-type]


def test_seed_and_epoch_alone_decide_the_order() -> None:
    data = _numbered(people=10, each=4)
    whole = _rows(data, 6, num_identities=5, num_instances=4, seed=7)
    np.testing.assert_array_equal(
        _rows(data, 4, num_identities=5, num_instances=4, seed=7, first_epoch=1), whole[2:]
    )
    assert (whole[:2] != whole[2:4]).any()
    assert (whole != _rows(data, 6, num_identities=5, num_instances=4, seed=8)).any()


@pytest.mark.parametrize(("sampler", "num_instances"), [("pk", 4), ("pairs", 2), ("triplets", 3)])
def test_hosts_together_have_the_batch_of_one(sampler: str, num_instances: int) -> None:
    data = _numbered(people=20, each=6)
    options = {"sampler": sampler, "num_identities": 8, "num_instances": num_instances}
    parts = [_rows(data, 3, **options, host=host, hosts=4) for host in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), _rows(data, 3, **options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_identities": 9, "num_instances": 4}, "at most 8"),
        ({"num_identities": 1, "num_instances": 4}, "`num_identities` must be at least 2"),
        ({"num_identities": 4, "num_instances": 1}, "`num_instances` at least 2"),
        ({"sampler": "pairs", "num_identities": 6, "num_instances": 2}, "for pairs"),
        ({"sampler": "triplets", "num_identities": 6, "num_instances": 2}, "3 for triplets"),
        ({"num_identities": 4, "num_instances": 4, "hosts": 3}, "multiple of `hosts`"),
        ({"num_identities": 4, "num_instances": 4, "hosts": 2, "host": 2}, "`host` one of 0..1"),
    ],
)
def test_impossible_batches_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        array_batches(_numbered(people=8, each=4), **options)  # type: ignore[arg-type]


def test_one_person_is_not_enough() -> None:
    with pytest.raises(InputError, match="at least two people"):
        array_batches(_numbered(people=1, each=8), num_identities=2, num_instances=2)


PROGRAM = """
import sys
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
def find_others(name, path=None, target=None):
    return None if name.split(".")[0] == "tensorflow" else find_spec(name, path, target)
PathFinder.find_spec = find_others  # as if it were not installed
import keras
from siamese.loader.from_files import array_batches, read_images
from siamese.augment import build_augmentation
from siamese.datasets import list_samples
from siamese.losses import TripletLoss
data = read_images(list_samples(sys.argv[1]), image_size=(64, 32))
batches, steps = array_batches(data, num_identities=4, num_instances=4)
inputs = keras.Input(data.images.shape[1:])
images = inputs
for layer in build_augmentation(padding=4, auto_augment=0.1, grayscale_patch=0.2, erasing=0.5):
    images = layer(images)
features = keras.layers.Conv2D(8, 5, strides=4, activation="relu")(images / 255)
features = keras.layers.GlobalAveragePooling2D()(features)
model = keras.Model(inputs, keras.layers.Dense(8)(features))
model.compile("adam", loss=TripletLoss(margin="soft", mining="batch_hard"))
history = model.fit(batches, steps_per_epoch=steps, epochs=3, shuffle=False, verbose=0)
losses = history.history["loss"]
assert losses[-1] < losses[0], losses
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
def test_jax_without_tensorflow_trains(pedestrians: Path) -> None:
    pytest.importorskip("jax")
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM, str(pedestrians)],
        check=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        timeout=300,
    )


def _with_unknown(people: int, each: int, unknown: int) -> LabelledImages:
    """As `_numbered`; the last images are of unknown people."""
    data = _numbered(people, each)
    return replace(data, labels=np.where(np.arange(people * each) < people * each - unknown,
                                         data.labels, -1))  # fmt: skip


def test_images_of_unknown_people_follow_the_groups() -> None:
    data = _with_unknown(6, 4, unknown=8)
    endless, steps = array_batches(data, num_identities=2, num_instances=4, unlabelled=3)
    assert steps == 2
    batches = list(islice(endless, steps))
    for images, labels in batches:
        assert labels[8:].tolist() == [-1] * 3
        assert (labels[:8] >= 0).all()
        np.testing.assert_array_equal(data.labels[images[:, 0, 0, 0]], labels)
    rows = np.concatenate([images[:, 0, 0, 0] for images, _ in batches])
    assert sorted(rows[rows < 16]) == list(range(16))
    drawn = rows[rows >= 16].tolist()
    assert len(set(drawn)) == 6  # each once before any comes again


def test_unknown_people_are_drawn_by_seed_and_epoch_alone() -> None:
    data = _with_unknown(6, 4, unknown=5)
    options: dict[str, object] = {
        "num_identities": 2,
        "num_instances": 4,
        "unlabelled": 4,
        "seed": 2,
    }
    whole = _rows(data, 6, **options)
    np.testing.assert_array_equal(_rows(data, 3, first_epoch=1, **options), whole[3:])
    assert (whole[:3] != whole[3:]).any()
    assert Counter(whole[:3, 8:].ravel().tolist()).most_common()[-1][1] == 2  # 12 draws of five


def test_what_a_teacher_says_comes_with_its_image() -> None:
    data = _with_unknown(6, 4, unknown=8)
    said = np.arange(48, dtype=np.float32).reshape(24, 2)
    endless, _ = array_batches(data, num_identities=2, num_instances=4, unlabelled=3, taught=said)
    images, _, found = next(endless)
    np.testing.assert_array_equal(found, said[images[:, 0, 0, 0]])
