"""`siamese.review`: answers become people, triplets for training, and error rates."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from siamese.datasets import read_triplets
from siamese.errors import InputError
from siamese.metrics.calibration import fit_calibration
from siamese.metrics.pairs import count_pairs
from siamese.review import Answer, group, make_triplets, recalibrate, uncertain_pairs
from siamese.review.answers import ANSWERS, TRIPLETS, read_answers, write_answers
from siamese.synthetic import write_test_images


def said(*answers: str) -> list[Answer]:
    """`a=b` is one person, `a/b` two."""
    return [Answer(each[0], each[2], each[1] == "=", 0.5) for each in answers]


def test_same_joins_over_others() -> None:
    groups = group(said("a=b", "c=d", "b=c", "d/e"), {})
    assert {groups.person[each] for each in "abcd"} == {"a"}
    assert groups.person["e"] == "e"
    assert groups.different == {frozenset("ae")}


def test_a_name_is_worth_more_than_a_path() -> None:
    groups = group(said("x=y", "y=z"), {"z": "zoe", "v": "zoe", "w": "will"})
    assert groups.person == {"z": "zoe", "v": "zoe", "w": "will", "x": "zoe", "y": "zoe"}
    assert groups.named == frozenset("zvwxy")


def test_answers_that_contradict_each_other_take_no_part() -> None:
    groups = group(said("a=b", "b=c", "a/c", "d/e"), {})
    assert groups.contradictions == frozenset("ac")
    assert set(groups.person) == set("bde")
    named = group(said("a/b"), {"a": "anna", "b": "anna", "c": "anna"})
    assert named.contradictions == frozenset("ab")
    assert named.person == {"c": "anna"}


def test_the_later_of_two_answers_counts() -> None:
    assert group(said("a/b", "b=a"), {}).person == {"b": "b", "a": "b"}
    assert group(said("a=b", "a/b"), {}).different == {frozenset("ab")}


def test_triplets_are_same_pairs_with_whoever_is_known_to_be_another() -> None:
    assert make_triplets(said("a=b", "b/c", "d/a", "e/f"), {}) == [("a", "b", "c"), ("a", "b", "d")]
    assert make_triplets(said("a=b"), {}) == []
    assert make_triplets(said("a/b"), {}) == []
    # No answer tells another person, but the names do.
    assert make_triplets(said("a=b", "c=d"), {"a": "anna", "c": "carl"}) == [
        ("a", "b", "c"),
        ("c", "d", "a"),
    ]


def test_training_reads_what_the_review_wrote(tmp_path: Path) -> None:
    files = [str(path) for path in write_test_images(tmp_path / "a, b")]
    names = {"9001": files[:2], "9002": files[2:4], "9003": files[4:]}
    answers = [
        Answer(files[0], files[1], True, 0.7),
        Answer(files[1], files[2], False, 0.9),
        Answer(files[4], files[5], True, 0.6),
        Answer(files[3], files[5], False, 0.8),
        Answer(files[0], files[6], True, 0.8),  # wrong by the files' names: training would refuse
    ]
    count = write_answers(tmp_path / "review", answers, {})
    with (tmp_path / "review" / TRIPLETS).open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["Anchor", "Positive", "Negative"]
    read = read_triplets(tmp_path / "review" / TRIPLETS)
    assert len(read) == count >= 2
    for anchor, positive, negative in read:
        assert anchor.path in names[anchor.person]
        assert anchor.person == positive.person != negative.person
    assert read_answers(tmp_path / "review") == answers


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    assert read_answers(tmp_path) == []
    (tmp_path / ANSWERS).write_text("First,Second\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"answers\.csv: is damaged"):
        read_answers(tmp_path)


def crowd(people: int, seed: int = 0) -> tuple[NDArray[np.float32], list[str], list[int | None]]:
    random = np.random.default_rng(seed)
    centres = np.repeat(random.normal(size=(people, 8)), 4, axis=0)
    points = centres + 0.5 * random.normal(size=centres.shape)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cameras: list[int | None] = [1, 2, 3, 4] * people
    return points.astype(np.float32), [str(row // 4) for row in range(4 * people)], cameras


def test_uncertain_pairs_are_near_neighbours_next_to_the_threshold() -> None:
    points, _, cameras = crowd(12)
    cameras[5] = None
    found = uncertain_pairs(points, cameras, 0.8, count=10_000)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    allowed = set()
    for one in range(len(points)):
        others = [
            other
            for other in range(len(points))
            if other != one and (cameras[one] is None or cameras[one] != cameras[other])
        ]
        for other in sorted(others, key=lambda each, one=one: distances[one, each])[:5]:
            allowed.add((min(one, other), max(one, other)))
    expected, times = [], [0] * len(points)
    for one, other in sorted(allowed, key=lambda pair: abs(distances[pair] - 0.8)):
        if times[one] < 2 and times[other] < 2:
            expected.append((one, other))
            times[one] += 1
            times[other] += 1
    assert found == expected


def test_answered_pairs_are_not_asked_again_and_named_ones_come_last() -> None:
    points, names, cameras = crowd(6)
    first = uncertain_pairs(points, cameras, 0.8, count=3)
    rest = uncertain_pairs(points, cameras, 0.8, skip={frozenset(first[0])}, count=100)
    assert first[0] not in rest
    assert first[1] in rest
    last: list[str | None] = [None if row < 8 else name for row, name in enumerate(names)]
    known = [
        all(last[row] is not None for row in pair)
        for pair in uncertain_pairs(points, cameras, 0.8, last=last, count=100)
    ]
    assert known == sorted(known)
    assert True in known
    assert False in known
    assert uncertain_pairs(points[:1], [1], 0.8) == []


def test_recalibration_on_named_people_is_plain_calibration() -> None:
    points, names, cameras = crowd(12)
    paths = [f"{row}.jpg" for row in range(len(points))]
    found = recalibrate([], dict(zip(paths, names, strict=True)), points, paths, cameras)
    assert found == fit_calibration(count_pairs(points, names, cameras))


def test_answers_count_beside_names() -> None:
    points, names, cameras = crowd(12)
    paths = [f"{row}.jpg" for row in range(len(points))]
    some = {path: name for path, name in zip(paths, names, strict=True) if int(name) < 8}
    before = recalibrate([], some, points, paths, cameras)
    answers = [
        Answer(paths[40], paths[41], True, 0.0),  # two people without a name
        Answer(paths[40], paths[0], False, 0.0),
        Answer(paths[44], paths[0], True, 0.0),  # joins an image to a person with a name
    ]
    after = recalibrate(answers, some, points, paths, cameras)
    # By hand: 40 and 41 are one pair more of one person; 40 with 0 is one of two people. Image 44,
    # of camera 1, makes a pair with the images of cameras 2 to 4: 3 of its person, 21 of others.
    assert after.same_pairs == before.same_pairs + 1 + 3
    assert after.different_pairs == before.different_pairs + 1 + 21
    assert after.people == before.people + 1


def test_too_few_pairs_are_refused_in_words() -> None:
    points, _, cameras = crowd(6)
    paths = [f"{row}.jpg" for row in range(len(points))]
    answers = [Answer(paths[0], paths[1], True, 0.5), Answer(paths[0], paths[5], False, 0.9)]
    with pytest.raises(InputError, match=r"Received: 1 and 1\. Answer more pairs"):
        recalibrate(answers, {}, points, paths, cameras)
    many = [Answer(paths[0], paths[row], True, 0.5) for row in range(1, 12)]
    many += [Answer(paths[12], paths[row], False, 0.5) for row in range(13, 23)]
    found = recalibrate(many, {}, points, paths, cameras)
    assert (found.same_pairs, found.different_pairs, found.people) == (11, 10, 12)
