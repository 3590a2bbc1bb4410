"""Splits that cannot leak, and duplicates that would."""

import re
import shutil
from pathlib import Path

import miniatures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.datasets import Sample, list_samples
from siamese.datasets.splits import refuse_duplicates, same_files, split_samples
from siamese.errors import InputError

KEYS = {
    "identity": lambda s: s.person,
    "tracklet": lambda s: (s.person, s.camera, s.tracklet),
    "image": lambda s: s.path,
}


def people_with_images(count: int, images: int = 2) -> list[Sample]:
    return [
        Sample(f"data/{person:04d}/{image}.jpg", f"{person:04d}", 1, image)
        for person in range(count)
        for image in range(images)
    ]


samples_of_some_people = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5)),
    unique=True,
    max_size=60,
).map(lambda rows: [Sample(f"{p}/{c}-{t}-{f}.jpg", str(p), c, t, f) for p, c, t, f in rows])


@settings(deadline=None)
@given(samples_of_some_people, st.sampled_from(list(KEYS)), st.floats(0.01, 0.99), st.integers())
def test_sides_never_overlap_and_lose_nothing(samples, by, size, seed):
    try:
        train, validation = split_samples(samples, by, size, seed)
    except InputError:
        assert len({KEYS[by](s) for s in samples}) < (4 if by == "identity" else 2)
        return
    assert not {KEYS[by](s) for s in train} & {KEYS[by](s) for s in validation}
    assert sorted(train + validation, key=str) == sorted(samples, key=str)
    least = 2 if by == "identity" else 1
    assert min(len({KEYS[by](s) for s in side}) for side in (train, validation)) >= least


@settings(deadline=None)
@given(st.integers(4, 40), st.integers(0, 50), st.floats(0.01, 0.99))
def test_new_files_of_known_people_move_nobody(people, seed, size):
    before = split_samples(people_with_images(people, 2), "identity", size, seed)
    after = split_samples(people_with_images(people, 4), "identity", size, seed)
    assert {s.person for s in before[1]} == {s.person for s in after[1]}
    assert set(before[0]) <= set(after[0])
    assert set(before[1]) <= set(after[1])


@settings(deadline=None)
@given(st.integers(40, 60), st.integers(0, 20), st.sampled_from(["tracklet", "image"]))
def test_new_tracklets_and_images_move_no_other_ones(people, seed, by):
    train, validation = split_samples(people_with_images(people, 2), by, seed=seed)
    more = split_samples(people_with_images(people, 4), by, seed=seed)
    assert set(train) <= set(more[0])
    assert set(validation) <= set(more[1])


@settings(deadline=None)
@given(st.integers(40, 60), st.integers(0, 20))
def test_new_people_move_nobody_once_both_sides_are_filled(people, seed):
    train, validation = split_samples(people_with_images(people), seed=seed)
    more = split_samples(people_with_images(people + 20), seed=seed)
    assert set(train) <= set(more[0])
    assert set(validation) <= set(more[1])


@settings(deadline=None)
@given(st.permutations(people_with_images(8)))
def test_the_order_of_samples_does_not_matter(samples):
    train, validation = split_samples(samples)
    expected = split_samples(people_with_images(8))
    assert (set(train), set(validation)) == (set(expected[0]), set(expected[1]))
    assert train == [s for s in samples if s in set(train)]


def test_a_split_is_the_same_on_every_machine_and_day():
    # Python's own hash changes with each process; a changed list here breaks every published split.
    _, validation = split_samples(people_with_images(10, 1))
    assert [s.person for s in validation] == ["0002", "0007"]


def test_a_dataset_that_moves_is_split_alike():
    moved = [Sample(f"/else/where/{s.path}", s.person) for s in people_with_images(30)]
    for by in ("identity", "image"):
        _, validation = split_samples(people_with_images(30), by)
        expected = [f"/else/where/{s.path}" for s in validation]
        assert [s.path for s in split_samples(moved, by)[1]] == expected


def test_the_share_is_about_what_was_asked():
    _, validation = split_samples(people_with_images(2000, 1), validation_size=0.3)
    # Four standard deviations of a binomial share: sqrt(0.3 * 0.7 / 2000) = 0.0102.
    assert abs(len(validation) / 2000 - 0.3) < 0.041


def test_another_seed_is_another_split():
    people = people_with_images(40)
    assert split_samples(people, seed=0) != split_samples(people, seed=1)


def test_a_larger_validation_keeps_the_smaller_one():
    people = people_with_images(50)
    small, large = (split_samples(people, validation_size=size)[1] for size in (0.2, 0.5))
    assert set(small) < set(large)


@pytest.mark.parametrize("size", [0.001, 0.999])
def test_each_side_gets_two_people_at_least(size):
    train, validation = split_samples(people_with_images(4), validation_size=size)
    assert len({s.person for s in train}) == len({s.person for s in validation}) == 2


def test_a_size_of_zero_puts_all_in_training():
    people = people_with_images(1)
    assert split_samples(people, validation_size=0) == (people, [])
    assert split_samples(people, validation_size=1) == ([], people)


def test_a_split_by_tracklet_keeps_tracklets_whole_but_not_people(tmp_path):
    samples = list_samples(miniatures.mars_categories(tmp_path))
    train, validation = split_samples(samples, "tracklet")
    assert not {KEYS["tracklet"](s) for s in train} & {KEYS["tracklet"](s) for s in validation}
    assert {s.person for s in train} & {s.person for s in validation}


@pytest.mark.parametrize(
    ("samples", "options", "complaint"),
    [
        ([], {}, "at least 4 people to be split by identity. Received: 0"),
        (people_with_images(1), {}, "at least 4 people to be split by identity. Received: 1"),
        (people_with_images(3), {}, "at least 4 people to be split by identity. Received: 3"),
        (people_with_images(1, 1), {"by": "image"}, "at least 2 images"),
        (people_with_images(1, 1), {"by": "tracklet"}, "at least 2 tracklets"),
        ([Sample("a/1.jpg", "a")], {"by": "tracklet"}, "a/1.jpg: has no tracklet"),
        (people_with_images(9), {"by": "camera"}, "by must be identity, tracklet or image"),
        (people_with_images(9), {"validation_size": 1.1}, "must be between 0 and 1"),
        (people_with_images(9), {"validation_size": -0.1}, "must be between 0 and 1"),
        (people_with_images(9), {"validation_size": float("nan")}, "must be between 0 and 1"),
    ],
)
def test_splits_that_cannot_be_made_are_refused(samples, options, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)) as caught:
        split_samples(samples, **options)
    assert "\n" not in str(caught.value)


def test_one_image_under_two_people_is_refused(tmp_path):
    root = miniatures.mars_categories(tmp_path) / "categories"
    refuse_duplicates(list_samples(root))
    source = root / "0001" / "0001C1T0001F001.jpg"
    shutil.copy(source, root / "0003" / "0003C1T0009F001.jpg")
    with pytest.raises(
        InputError, match=r"0003C1T0009F001.jpg: is the same image as .*0001C1T0001"
    ):
        refuse_duplicates(list_samples(root))


def test_a_copy_under_the_same_person_is_not_refused(tmp_path):
    root = miniatures.mars_categories(tmp_path) / "categories"
    copy = root / "0001" / "0001C1T0009F001.jpg"
    shutil.copy(root / "0001" / "0001C1T0001F001.jpg", copy)
    samples = list_samples(root)
    refuse_duplicates(samples)
    assert [[Path(s.path).name for s in group] for group in same_files(samples)] == [
        ["0001C1T0001F001.jpg", "0001C1T0009F001.jpg"]
    ]


def test_files_of_one_size_and_other_content_are_no_duplicates(tmp_path):
    samples = []
    for person in "abc":
        path = tmp_path / f"{person}.bmp"
        path.write_bytes(person.encode() * 1000)
        samples.append(Sample(str(path), person))
    assert same_files(samples) == []


def test_a_path_that_occurs_twice_is_refused():
    with pytest.raises(InputError, match=r"a/1.jpg: occurs twice"):
        refuse_duplicates([Sample("a/1.jpg", "a"), Sample("a/1.jpg", "a")])
