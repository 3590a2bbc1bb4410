"""Several datasets used together: people and cameras stay apart, each is split as if alone."""

import json
import logging
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from siamese.cli import create_records, run, train
from siamese.datasets import Sample, SourceDataset, cap_images, list_samples, list_sources
from siamese.datasets.splits import SplitRule, split_samples, split_sources
from siamese.errors import InputError
from siamese.evaluate import (
    evaluate,
    score_embedded,
    score_sources,
)
from siamese.metrics.masks import query_rows
from siamese.metrics.pairs import count_pairs
from siamese.metrics.verification import error_rates_at
from siamese.records import (
    MANIFEST,
    build_records,
    read_manifest,
    shard_paths,
    verify_records,
    write_records,
)
from siamese.records.schema import read_examples
from siamese.synthetic import write_mars_tree
from siamese.vectors import Embeddings


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three datasets that number their people alike: `a` has 8, `b` 6, `c` 5 by one camera."""
    root = tmp_path_factory.mktemp("sources")
    sizes = {"a": (8, 3), "b": (6, 2), "c": (5, 1)}
    for seed, (name, (people, cameras)) in enumerate(sizes.items()):
        write_mars_tree(
            root / name, people=people, cameras=cameras, frames=2, image_size=(64, 32), seed=seed
        )
    return [root / name for name in sizes]


@pytest.fixture(scope="module")
def mixed(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their record set; the people of `a` and `b` are held out."""
    folder = tmp_path_factory.mktemp("mixed") / "set"
    build_records(folders, folder, hold_out=["a", "b"])
    return folder


def _read(folder: Path, part: str) -> list[dict[str, object]]:
    shards = shard_paths(folder, read_manifest(folder), part)
    return [values for shard in shards for *_, values in read_examples(Path(shard))]


def test_people_and_cameras_of_sources_are_kept_apart(mixed: Path) -> None:
    manifest = read_manifest(mixed)
    cameras: dict[str, set[int]] = {}
    for part in ("train", "validation"):
        for values in _read(mixed, part):
            person = values["image/class/text"].decode()
            assert values["image/class/label"] == manifest.labels[person]
            source, own = person.split("/")
            assert values["image/filename"].startswith(own.encode())
            cameras.setdefault(source, set()).add(values["image/camera"])
    assert cameras == {"a": {1, 2, 3}, "b": {4, 5}, "c": {6}}
    assert len(manifest.labels) == 8 + 6 + 5
    assert verify_records(mixed)[1] == []


def test_manifest_names_the_source_of_people_and_cameras(mixed: Path) -> None:
    manifest = read_manifest(mixed)
    assert json.loads((mixed / MANIFEST).read_text())["sources"][1]["name"] == "b"
    assert [source.cameras for source in manifest.sources] == [(1, 3), (4, 5), (6, 6)]
    assert [source.camera_offset for source in manifest.sources] == [0, 3, 5]
    by_part = {
        part: Counter(values["image/class/text"].decode() for values in _read(mixed, part))
        for part in ("train", "validation")
    }
    for source in manifest.sources:
        mine = [person for person in manifest.labels if person.startswith(f"{source.name}/")]
        for part, count in by_part.items():
            assert source.images[part] == sum(count[person] for person in mine)
            assert source.people[part] == sum(count[person] > 0 for person in mine)
        first, last = source.labels
        trained = {person for person in mine if by_part["train"][person]}
        assert {p for p, label in manifest.labels.items() if first <= label <= last} == trained
    summary = (mixed / "data_summary.txt").read_text()
    assert [line.split() for line in summary.splitlines()][-1] == ["c", "10", "5", "0", "6"]


def test_each_source_is_split_as_it_would_be_alone(folders: list[Path], mixed: Path) -> None:
    held_out = {values["image/class/text"].decode() for values in _read(mixed, "validation")}
    expected = set()
    for folder in folders[:2]:
        _, alone = split_samples(list_samples(folder), "identity", 0.3, 0)
        expected |= {f"{folder.name}/{sample.person}" for sample in alone}
    assert held_out == expected


def test_no_person_of_any_source_is_on_both_sides(folders: list[Path]) -> None:
    for seed in range(20):
        parts = split_sources(list_sources(folders), SplitRule("identity", 0.4, seed))
        sides = [{sample.person for sample in parts[part]} for part in ("train", "validation")]
        assert not sides[0] & sides[1]
        for name in "abc":
            assert all(any(person.startswith(f"{name}/") for person in side) for side in sides)


def test_sources_of_one_name_are_made_unique_and_it_is_said(
    folders: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "a"
    shutil.copytree(folders[1], other)
    with caplog.at_level(logging.WARNING):
        sources = list_sources([folders[0], other])
    assert [source.name for source in sources] == ["a", "a-2"]
    assert f"{other}: another source is called a; this one is a-2" in caplog.text
    parts = split_sources(sources, SplitRule())
    assert len({sample.person for part in parts.values() for sample in part}) == 8 + 6


def test_source_of_one_camera_is_allowed_and_it_is_said(
    folders: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        list_sources(folders)
    assert f"{folders[2]}: has one camera" in caplog.text
    assert f"{folders[1]}: has one camera" not in caplog.text


def test_single_dataset_keeps_its_names(folders: list[Path]) -> None:
    (source,) = list_sources(folders[:1])
    assert source.rename(source.samples) == list_samples(folders[0])


def test_dataset_given_twice_is_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="occurs twice"):
        build_records([folders[0], folders[0]], tmp_path / "set")
    shutil.copytree(folders[0], tmp_path / "copy")
    with pytest.raises(InputError, match=r"is the same image as .* person copy/0001, not a/0001"):
        build_records([folders[0], tmp_path / "copy"], tmp_path / "set")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hold_out": ["d"]}, "`hold_out` must name one of the sources: a, b, c. Received: d"),
        ({"max_images_per_person": {"d": 3}}, "must name one of the sources"),
        ({"max_images_per_person": 0}, "at least 1. Received: 0"),
    ],
)
def test_options_for_no_source_are_refused(
    folders: list[Path], tmp_path: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        build_records(folders, tmp_path / "set", **options)


def test_source_with_too_few_people_to_hold_out_is_named(
    folders: list[Path], tmp_path: Path
) -> None:
    lonely = tmp_path / "lonely"
    write_mars_tree(lonely, people=1, cameras=2, frames=2, image_size=(64, 32), seed=9)
    with pytest.raises(InputError, match=r"lonely: samples must hold .* Or hold out people of"):
        build_records([folders[0], lonely], tmp_path / "set")
    manifest = build_records([folders[0], lonely], tmp_path / "set", hold_out=["a"])[1]
    assert manifest.sources[1].people == {"train": 1, "validation": 0}


def test_several_datasets_need_an_output_folder(folders: list[Path]) -> None:
    with pytest.raises(InputError, match="--output_dir"):
        build_records(folders)


def test_complete_set_of_other_sources_or_options_is_left_alone(
    folders: list[Path], mixed: Path
) -> None:
    assert not build_records(folders, mixed, hold_out=["a", "b"])[2]
    with pytest.raises(InputError, match="other images"):
        build_records(folders[:2], mixed, hold_out=["a", "b"])
    with pytest.raises(InputError, match=r"hold_out \['a', 'b'\] \(asked: None\)"):
        build_records(folders, mixed)
    with pytest.raises(InputError, match=r"max_images_per_person None \(asked: 2\)"):
        build_records(folders, mixed, hold_out=["a", "b"], max_images_per_person=2)


def test_images_of_unknown_people_train_without_a_label(
    folders: list[Path], tmp_path: Path
) -> None:
    samples = list_samples(folders[0])
    train = [sample for sample in samples if sample.person != "0008"]
    held_out = [sample for sample in samples if sample.person == "0008"]
    unknown = [Sample(sample.path, "") for sample in list_samples(folders[1])]
    manifest = write_records(
        {"train": train, "validation": held_out, "unlabelled": unknown}, tmp_path
    )
    assert read_manifest(tmp_path) == manifest
    assert "" not in manifest.labels
    part = manifest.parts["unlabelled"]
    assert (part.images, part.people, part.classes) == (24, 0, 0)
    assert part.images_by_label == {-1: 24}
    assert manifest.parts["train"].classes == 7
    found = _read(tmp_path, "unlabelled")
    assert {values["image/class/label"] for values in found} == {-1}
    assert {values["image/class/text"] for values in found} == {b""}
    from siamese.loader.from_records import evaluation_batches

    shards = shard_paths(tmp_path, manifest, "unlabelled")
    (batch,) = evaluation_batches(shards, image_size=(64, 32))
    assert set(batch.people.tolist()) == {""}
    assert set(batch.labels.tolist()) == {-1}
    assert verify_records(tmp_path)[1] == []


def test_crops_without_identities_are_never_held_out(folders: list[Path], tmp_path: Path) -> None:
    crops = tmp_path / "unlabelled"
    crops.mkdir()
    for number, path in enumerate(sorted(folders[0].rglob("*.jpg"))):
        shutil.copy(path, crops / f"{number:03d}.jpg")
    manifest = build_records([crops, folders[1]], tmp_path / "set", max_images_per_person=3)[1]
    assert manifest.sources[0].images == {"train": 0, "validation": 0, "unlabelled": 48}
    assert (manifest.sources[0].labels, manifest.sources[0].cameras) == (None, None)
    assert {person.split("/")[0] for person in manifest.labels} == {folders[1].name}
    assert manifest.parts["unlabelled"].images == 48
    with pytest.raises(InputError, match="names no people"):
        split_sources(list_sources([crops, folders[1]]), SplitRule(hold_out=["unlabelled"]))


def test_limit_is_shared_by_cameras_and_their_tracklets() -> None:
    frames = {(1, 1): 30, (1, 2): 10, (2, 1): 2, (3, 7): 50}
    samples = [
        Sample(f"{camera}-{tracklet}-{n:03d}.jpg", "p", camera, tracklet, n)
        for (camera, tracklet), count in frames.items()
        for n in range(count)
    ]
    kept = cap_images(samples, 20)
    assert len(kept) == 20
    count = Counter((sample.camera, sample.tracklet) for sample in kept)
    # Camera 2 has only two; the others share eighteen, and camera 1 its nine by two tracklets.
    assert count == {(1, 1): 5, (1, 2): 4, (2, 1): 2, (3, 7): 9}
    times = [sample.frame for sample in kept if sample.camera == 3]
    assert times == [2, 8, 13, 19, 25, 30, 36, 41, 47]


def test_limit_does_not_depend_on_the_order_of_the_images() -> None:
    samples = [Sample(f"{n:03d}.jpg", "pq"[n % 2], n % 5, n % 3, n) for n in range(200)]
    kept = cap_images(samples, 7)
    assert Counter(sample.person for sample in kept) == {"p": 7, "q": 7}
    random.Random(0).shuffle(samples)
    assert cap_images(samples, 7) == kept
    assert cap_images(samples, 100) == sorted(samples, key=lambda sample: sample.path)


def test_limits_are_for_the_sources_that_are_named(folders: list[Path], tmp_path: Path) -> None:
    manifest = build_records(folders, tmp_path / "set", max_images_per_person={"a": 3})[1]
    assert [sum(source.images.values()) for source in manifest.sources] == [8 * 3, 6 * 4, 5 * 2]
    assert manifest.split["max_images_per_person"] == {"a": 3}
    assert not build_records(folders, tmp_path / "set", max_images_per_person={"a": 3})[2]


def test_command_makes_one_set_of_several_folders(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--hold_out", "b", "--max_images_per_person", "a=4", "b=3"]
    output = ["--output_dir", str(tmp_path / "set")]
    given = ["--dataset_dir", *map(str, folders), *output, *options]
    assert run(create_records, given) == 0
    manifest = read_manifest(tmp_path / "set")
    assert [sum(source.images.values()) for source in manifest.sources] == [32, 18, 10]
    assert [source.people["validation"] > 0 for source in manifest.sources] == [False, True, False]
    assert "source" in capsys.readouterr().out
    assert run(create_records, given) == 0
    assert "left alone" in capsys.readouterr().out
    for words in (["0x"], ["a=3", "4"], ["a="]):
        assert run(create_records, [*given, "--max_images_per_person", *words]) == 2
        assert "takes one number" in capsys.readouterr().err


def _embedded(people: list[str], cameras: list[int], seed: int = 0) -> Embeddings:
    vectors = np.random.default_rng(seed).standard_normal((len(people), 8)).astype(np.float32)
    names = [f"{person}/{number}.jpg" for number, person in enumerate(people)]
    return Embeddings(vectors, np.array(people), np.array(cameras), np.array(names))


def test_pairs_of_two_sources_are_pairs_of_two_people_and_two_cameras() -> None:
    own = [Sample(f"{person}{camera}.jpg", person, camera) for person in "12" for camera in (1, 2)]
    sources = [
        SourceDataset(name, name, "folders", tuple(own), f"{name}/", offset)
        for name, offset in (("a", 0), ("b", 2))
    ]
    samples = [sample for source in sources for sample in source.rename(source.samples)]
    images = _embedded([s.person for s in samples], [s.camera for s in samples])
    # Two within each source, and each of four images of one with each of four of the other.
    assert count_pairs(**images.labelled).different.sum() == 2 + 2 + 4 * 4
    assert count_pairs(**images.labelled).same.sum() == 4


def test_each_source_is_scored_as_if_alone() -> None:
    people = [f"{source}/{n // 6}" for source in ("a", "b-2", "b") for n in range(24)]
    cameras = [1 + n % 3 for n in range(48)] + [9] * 24
    images = _embedded(people, cameras)
    query = query_rows(images.people, images.cameras)
    found = score_sources(
        images, query, np.arange(72), ["a", "b-2", "b"], threshold=4.0, reranking=None
    )
    for number, source in enumerate(("a", "b-2", "b")):
        mine = images.rows(np.arange(24 * number, 24 * number + 24))
        alone = score_embedded(mine).to_dict()
        assert {name: getattr(found[source], name) for name in alone} == alone
        assert (found[source].people, found[source].images) == (4, 24)
        assert (
            found[source].rates_at_threshold
            == error_rates_at(count_pairs(**mine.labelled), 4.0).rates
        )
    assert found["b"].protocol == "query image dropped"


def test_source_that_cannot_be_scored_says_why_and_the_others_are() -> None:
    images = _embedded([f"a/{n // 2}" for n in range(8)] + ["b/1", "b/2"], [1, 2] * 5)
    query = query_rows(images.people, images.cameras)
    found = score_sources(images, query, np.arange(10), ["a", "b"])
    assert "rank1" in found["a"].to_dict()
    assert "rank1" not in found["b"].to_dict()
    assert "match" in found["b"].not_scored


def test_evaluation_of_a_record_set_lists_each_source(
    calibrated: Path, mixed: Path, records: Path, tmp_path: Path
) -> None:
    card = evaluate(calibrated, mixed, output=tmp_path / "scores")
    manifest = read_manifest(mixed)
    held_out = {source.name: source.people["validation"] for source in manifest.sources[:2]}
    assert {name: found.people for name, found in card.sources.items()} == held_out
    assert card.people == sum(held_out.values())
    page = (tmp_path / "scores" / "report.html").read_text(encoding="utf-8")
    assert "By source" in page
    words = re.findall(
        r"<th scope=row>((?:probably )?(?:same|different)|unsure)</th><td>(.+?)%", page
    )
    measured = card.calibration.measured_words
    assert words == [(word, f"{100 * shares[0]:.2f}") for word, shares in measured.items()]
    assert "sources" not in evaluate(calibrated, records).to_dict()


def test_command_trains_on_several_folders_by_one_record_set(
    folders: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--recipe", "demo", "--backbone", "conv4", "--image_size", "64", "32"]
    balance = ["--set", "batches.balance=source", "batches.num_identities=6"]
    given = ["--data", *map(str, folders), "--records", "set", "--hold_out", "a", "b"]
    code = run(train, [*given, "--epochs", "1", *small, *balance])
    assert code in (0, 1)  # an epoch may leave it no better than it began
    card = json.loads((tmp_path / "runs" / "demo" / "scores.json").read_text())
    assert card["split"]["hold_out"] == ["a", "b"]
    assert list(card["sources"]) == ["a", "b"]
    assert "held-out people of a, b" in capsys.readouterr().out
    recipe = json.loads((tmp_path / "runs" / "demo" / "recipe.json").read_text())["recipe"]
    assert recipe["batches"]["balance"] == "source"


def test_split_of_a_run_or_of_records_cannot_be_changed_by_training(
    folders: list[Path], mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = ["--data", *map(str, folders)]
    for words, complaint in [
        (["--data", str(mixed), "--hold_out", "a"], "split already. Received: --hold_out"),
        (many, "a folder of their own for the records"),
        ([*many, "--resume", "--validation_size", "0.2"], "own recipe and split"),
        ([*many, "--records", str(mixed), "--hold_out", "a"], "other arguments: hold_out"),
        ([*many[:-1], "--records", str(mixed)], "other images"),
    ]:
        assert run(train, words) == 2
        assert complaint in capsys.readouterr().err
