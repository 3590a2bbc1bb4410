"""Batches shared by several datasets: each has its share, whatever its size."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.sampler import Rows, sample_epoch, share_batches

SOURCES = {"large": (0, 39), "small": (40, 45), "tiny": (46, 48)}
"""Names to first and last label; a person has nine images by three cameras."""
LABELS = np.repeat(np.arange(49), 9)
CAMERAS = np.tile(np.arange(9) % 3, 49)


def _source(labels: Rows) -> list[str]:
    return [
        next(name for name, (first, last) in SOURCES.items() if first <= label <= last)
        for label in labels.tolist()
    ]


def _sample(balance: object, num_identities: int, seed: int = 0) -> Rows:
    shares = share_batches(balance, SOURCES)
    random = np.random.default_rng(seed)
    how = {"num_identities": num_identities, "num_instances": 3, "shares": shares}
    return sample_epoch(LABELS, CAMERAS, random, **how)


@pytest.mark.parametrize(
    ("balance", "num_identities", "expected"),
    [
        ("source", 9, {"large": 3, "small": 3, "tiny": 3}),
        ({"tiny": 2.0}, 8, {"large": 2, "small": 2, "tiny": 4}),
        ({"large": 6, "small": 3, "tiny": 1}, 10, {"large": 6, "small": 3, "tiny": 1}),
    ],
)
def test_each_batch_has_the_share_of_each_dataset(
    balance: object, num_identities: int, expected: dict[str, int]
) -> None:
    for batch in _sample(balance, num_identities):
        assert Counter(_source(LABELS[batch][::3])) == expected


def test_shares_that_are_no_whole_numbers_are_right_over_many_batches() -> None:
    batches = _sample("source", 8)
    counts = [Counter(_source(LABELS[batch][::3])) for batch in batches]
    assert all(set(count) == set(SOURCES) for count in counts)
    assert {count[name] for count in counts for name in SOURCES} == {2, 3}
    total = sum(counts, Counter())
    assert max(total.values()) - min(total.values()) <= 1


def test_an_epoch_is_as_long_as_without() -> None:
    # 49 people of three groups each, in batches of nine.
    assert len(_sample("source", 9)) == len(_sample("none", 9)) == 17


def test_groups_are_of_one_person_and_of_all_cameras() -> None:
    groups = _sample("source", 9).reshape(-1, 3)
    assert (LABELS[groups] == LABELS[groups][:, :1]).all()
    assert (np.sort(CAMERAS[groups]) == [0, 1, 2]).all()


def test_images_of_a_small_dataset_come_each_once_before_any_comes_again() -> None:
    groups = _sample("source", 9).reshape(-1, 3)
    for name, (first, last) in SOURCES.items():
        mine = [group for group in groups if first <= LABELS[group[0]] <= last]
        passes = [np.concatenate(mine[n : n + 9]) for n in range(0, len(mine) - 8, 9)]
        if name == "tiny":  # three people of three groups: nine groups are all of it
            assert len(passes) == 5
            for images in passes:
                assert sorted(images.tolist()) == list(range(46 * 9, 49 * 9))
            assert passes[0].tolist() != passes[1].tolist()
        if name == "large":
            assert len(np.unique(np.concatenate(mine))) == 3 * len(mine)


def test_seed_decides_the_order() -> None:
    assert (_sample("source", 9) == _sample("source", 9)).all()
    assert (_sample("source", 9) != _sample("source", 9, seed=1)).any()


def test_one_dataset_alone_is_not_balanced() -> None:
    assert share_batches("source", {}) is None
    assert share_batches("source", {"a": (0, 5)}) is None
    assert share_batches("none", SOURCES) is None


@pytest.mark.parametrize(
    ("balance", "sampler", "words"),
    [
        ({"lage": 2.0}, "pk", "large, small, tiny. None is called lage"),
        ({"large": 0.0}, "pk", "a weight above 0"),
        ({"large": float("nan")}, "pk", "a weight above 0"),
        ("source", "pairs", "goes with the sampler pk"),
        ("source", "triplets", "goes with the sampler pk"),
    ],
)
def test_impossible_shares_are_refused(balance: object, sampler: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        share_batches(balance, SOURCES, sampler)


def test_records_and_files_share_batches_alike(tmp_path: Path) -> None:
    from siamese.datasets import list_sources
    from siamese.datasets.splits import SplitRule, split_sources
    from siamese.loader.from_files import array_batches, read_images
    from siamese.loader.from_records import train_batches
    from siamese.records import build_records, shard_paths
    from siamese.synthetic import write_mars_tree

    folders = [tmp_path / name for name in ("a", "b")]
    for seed, (folder, people) in enumerate(zip(folders, (9, 4), strict=True)):
        write_mars_tree(folder, people=people, cameras=2, frames=2, image_size=(64, 32), seed=seed)
    _, manifest, _ = build_records(folders, tmp_path / "set")
    samples = split_sources(list_sources(folders), SplitRule())["train"]
    how = {"num_identities": 4, "num_instances": 2, "balance": "source"}
    how["sources"] = manifest.source_labels
    border = manifest.source_labels["b"][0]
    shards = shard_paths(tmp_path / "set", manifest, "train")

    def read(first_epoch: int, **hosts: int) -> list[np.ndarray]:
        part = manifest.parts["train"]
        size = {"image_size": (64, 32), "first_epoch": first_epoch, **hosts}
        batches, steps = train_batches(shards, part, **size, **how)
        return [labels for _, labels in batches.take(2 * steps).as_numpy_iterator()]

    found = read(0)
    data = read_images(samples, image_size=(64, 32))
    endless, steps = array_batches(data, **how)
    assert len(found) == 2 * steps
    for labels in (*found, *(next(endless)[1] for _ in range(2 * steps))):
        assert (labels >= border).sum() == 4
        assert (labels.reshape(-1, 2) == labels[::2, None]).all()
    # An epoch does not depend on those before, and hosts share a batch.
    assert np.array_equal(read(1)[:steps], found[steps:])
    halves = [read(0, host=host, hosts=2) for host in (0, 1)]
    assert np.array_equal(np.concatenate(halves, axis=1), found)
    options = {"image_size": (64, 32), **how}
    batches, _ = train_batches(shards, manifest.parts["train"], **options)
    images, labels = next(batches.as_numpy_iterator())
    known = {image.tobytes(): label for image, label in zip(data.images, data.labels, strict=True)}
    assert [known[image.tobytes()] for image in images] == labels.tolist()
