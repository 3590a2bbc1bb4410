"""What a person said about uncertain pairs: kept in a table, written as triplets, measured."""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siamese.datasets.samples import read_name
from siamese.errors import InputError
from siamese.files import whole_file
from siamese.metrics.blocks import distance_blocks, exact_distances
from siamese.metrics.calibration import Calibration, calibrate
from siamese.metrics.pairs import BINS, PairCounts, count_pairs

ANSWERS = "answers.csv"
TRIPLETS = "triplets.csv"
ENOUGH_PAIRS = 10
NEAREST = 5
MOST_IMAGES = 3000
_HEADER = ("First", "Second", "Answer", "Distance")
_LARGEST_DISTANCE = 4.0


@dataclass(frozen=True)
class Answer:
    """What was said about two images.

    Attributes:
        first: Path of an image.
        second: Path of another.
        same: Whether both show one person.
        distance: Between their embeddings, when it was asked.
    """

    first: str
    second: str
    same: bool
    distance: float


@dataclass(frozen=True)
class Groups:
    """Who is who, by names and answers together.

    Attributes:
        person: Path of each image that takes part to the name of its person; people without a name
            are called after their first image.
        named: Paths of those whose person has a name.
        different: Pairs of people who were said to be two.
        contradictions: Paths of images on which names and answers contradict each other.
    """

    person: Mapping[str, str]
    named: frozenset[str]
    different: frozenset[frozenset[str]]
    contradictions: frozenset[str]


def read_answers(folder: Path) -> list[Answer]:
    """Reads the answers of a review folder.

    Args:
        folder: The folder; without a table in it there are none.

    Returns:
        The answers, in the order in which they were given.

    Raises:
        InputError: The table is damaged.
    """
    table = folder / ANSWERS
    if not table.is_file():
        return []
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [
            Answer(row["First"], row["Second"], row["Answer"] == "same", float(row["Distance"]))
            for row in rows
        ]
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{table}: is damaged. Correct it, or move it away.") from None


def write_answers(folder: Path, answers: Sequence[Answer], names: Mapping[str, str]) -> int:
    """Writes the answers and the triplets that follow from them, each file whole.

    Args:
        folder: The review folder; it is made if need be.
        answers: All of them.
        names: Path to person of the images that have a name.

    Returns:
        How many triplets there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (each.first, each.second, "same" if each.same else "different", f"{each.distance:.6f}")
        for each in answers
    ]
    _write_table(folder / ANSWERS, _HEADER, rows)
    triplets = make_triplets(answers, names)
    _write_table(folder / TRIPLETS, ("Anchor", "Positive", "Negative"), triplets)
    return len(triplets)


def group(answers: Iterable[Answer], names: Mapping[str, str]) -> Groups:
    """Joins images to people: by equal names, and by the answer "same".

    Args:
        answers: In any order; of two answers on a pair the later counts.
        names: Path to person of the images that have a name.

    Returns:
        The groups. A pair that is said to be two people, but whose images belong together by names
        or by other answers, contradicts itself: its images are listed and take no part.

    Example:
        >>> answers = [Answer("a", "b", True, 0.7), Answer("b", "c", False, 0.9)]
        >>> group(answers, {"a": "anna"}).person
        {'a': 'anna', 'b': 'anna', 'c': 'c'}
    """
    latest = {frozenset((each.first, each.second)): each for each in answers}
    kept = [each for each in latest.values() if each.first != each.second]
    images = [*names, *(path for each in kept for path in (each.first, each.second))]
    parent = {path: path for path in images}

    def first_of(path: str) -> str:
        while parent[path] != path:
            parent[path] = path = parent[parent[path]]
        return path

    leader: dict[str, str] = {}
    for path, name in names.items():
        parent[first_of(path)] = first_of(leader.setdefault(name, path))
    for each in kept:
        if each.same:
            # The older group leads, so that a person keeps the name of its first image.
            parent[first_of(each.second)] = first_of(each.first)
    wrong = frozenset(
        path
        for each in kept
        if not each.same and first_of(each.first) == first_of(each.second)
        for path in (each.first, each.second)
    )
    called: dict[str, str] = {}
    for path, name in names.items():
        called.setdefault(first_of(path), name)
    for path in parent:
        called.setdefault(first_of(path), path)
    named_groups = {first_of(path) for path in names}
    person = {path: called[first_of(path)] for path in parent if path not in wrong}
    return Groups(
        person,
        frozenset(path for path in person if first_of(path) in named_groups),
        frozenset(
            frozenset((person[each.first], person[each.second]))
            for each in kept
            if not each.same and each.first in person and each.second in person
        ),
        wrong,
    )


def make_triplets(
    answers: Sequence[Answer], names: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Makes anchor, positive, negative from answers, as training reads them.

    Each pair that is one person gives a row for each image that is known to be another person:
    by an answer on that person, or, where there is none, by name. What training would refuse is
    left out: images that contradict themselves, and rows that contradict what every file name says.

    Args:
        answers: All of them.
        names: Path to person of the images that have a name.

    Returns:
        The rows.

    Example:
        >>> answers = [Answer("a", "b", True, 0.7), Answer("b", "c", False, 0.9)]
        >>> make_triplets(answers, {})
        [('a', 'b', 'c')]
    """
    groups = group(answers, names)
    asked = list(
        dict.fromkeys(
            path for each in answers for path in (each.first, each.second) if path in groups.person
        )
    )
    rows = []
    for each in {frozenset((each.first, each.second)): each for each in answers}.values():
        if not each.same or each.first not in groups.person or each.second not in groups.person:
            continue
        person = groups.person[each.first]
        others = [
            path
            for path in asked
            if frozenset((person, groups.person[path])) in groups.different
            and groups.person[path] != person
        ]
        if not others and each.first in groups.named:
            others = [
                path for path in asked if path in groups.named and groups.person[path] != person
            ][:1]
        rows += [(each.first, each.second, other) for other in others]
    return _as_names_say(rows)


def uncertain_pairs(
    embeddings: NDArray[np.float32],
    cameras: Sequence[int | None],
    threshold: float,
    *,
    skip: Collection[frozenset[int]] = (),
    last: Sequence[str | None] = (),
    count: int = 20,
    seed: int = 0,
) -> list[tuple[int, int]]:
    """Finds the pairs whose answer would teach most: near neighbours next to the threshold.

    Of each image only the `NEAREST` images of other cameras count, as these are what a search
    shows; an image is asked about at most twice. Of a large gallery, `MOST_IMAGES` are drawn.

    Args:
        embeddings: `(images, dimensions)`, of length 1.
        cameras: `(images,)`, None where not known.
        threshold: An Euclidean distance.
        skip: Pairs of rows that have an answer.
        last: `(images,)`, names; pairs of two named images come last. Empty: nobody has one.
        count: How many pairs at most.
        seed: Of the draw.

    Returns:
        Pairs of rows.

    Example:
        >>> points = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
        >>> uncertain_pairs(points, [1, 2, 3], 0.7, count=1)
        [(0, 1)]
    """
    rows = np.arange(len(embeddings))
    if len(rows) > MOST_IMAGES:
        drawn = np.random.default_rng(seed).choice(len(rows), MOST_IMAGES, replace=False)
        rows = np.sort(drawn)
    table = embeddings[rows]
    distances = np.concatenate([block.copy() for _, block in distance_blocks(table, table)])
    numbers = _numbers(cameras)[rows]
    barred = (numbers[:, None] == numbers) & (numbers[:, None] >= 0)
    np.fill_diagonal(barred, True)
    distances[barred] = np.inf
    if len(rows) < 2:
        return []
    near = np.argsort(distances, axis=1, kind="stable")[:, :NEAREST]
    pairs = {
        (min(one, other), max(one, other)): float(distances[one, other])
        for one in range(len(rows))
        for other in near[one].tolist()
        if np.isfinite(distances[one, other])
    }

    def key(pair: tuple[int, int]) -> tuple[bool, float]:
        known = bool(last) and all(last[rows[place]] is not None for place in pair)
        return known, abs(pairs[pair] - threshold)

    found: list[tuple[int, int]] = []
    asked: dict[int, int] = {}
    for pair in sorted(pairs, key=key):
        one, other = (int(rows[place]) for place in pair)
        if frozenset((one, other)) in skip or max(asked.get(one, 0), asked.get(other, 0)) >= 2:
            continue
        asked[one], asked[other] = asked.get(one, 0) + 1, asked.get(other, 0) + 1
        found.append((one, other))
        if len(found) == count:
            break
    return found


def recalibrate(
    answers: Sequence[Answer],
    names: Mapping[str, str],
    embeddings: NDArray[np.float32],
    paths: Sequence[str],
    cameras: Sequence[int | None],
    *,
    false_accept_rate: float = 1e-2,
) -> Calibration:
    """Measures the error rates anew, on people of this gallery instead of those of the model.

    All cross-camera pairs of named people count (after "same" has joined names and images), and
    the pairs that were answered. The latter are the hard ones: where few people have names, the
    rates are higher than those of any two images.

    Args:
        answers: All of them.
        names: Path to person of the images that have a name.
        embeddings: `(images, dimensions)`, of the gallery.
        paths: `(images,)`.
        cameras: `(images,)`, None where not known.
        false_accept_rate: What the threshold is set for.

    Returns:
        The calibration.

    Raises:
        InputError: Fewer than `ENOUGH_PAIRS` pairs of one person, or of two, are known.
    """
    groups = group(answers, names)
    row_of = {path: row for row, path in enumerate(paths)}
    chosen = [row for row, path in enumerate(paths) if path in groups.named]
    people = [groups.person[paths[row]] for row in chosen]
    counts = PairCounts(
        np.zeros(BINS, np.int64), np.zeros(BINS, np.int64), _LARGEST_DISTANCE / BINS,
        "euclidean", "all pairs", 0, 0,
    )  # fmt: skip
    if len(set(people)) >= 2 and len(people) > len(set(people)):
        counts = count_pairs(embeddings[chosen], people, _numbers(cameras)[chosen])
    same, different = counts.same.copy(), counts.different.copy()
    taking_part = set(people)
    for each in {frozenset((each.first, each.second)): each for each in answers}.values():
        pair = each.first, each.second
        if not all(path in groups.person and path in row_of for path in pair):
            continue
        taking_part.update(groups.person[path] for path in pair)
        if all(path in groups.named for path in pair):
            continue  # counted above
        one, other = (embeddings[row_of[path]] for path in pair)
        distance = float(exact_distances(one, other))
        place = int(np.clip(np.ceil(distance / counts.resolution) - 1, 0, BINS - 1))
        (same if each.same else different)[place] += 1
    if same.sum() < ENOUGH_PAIRS or different.sum() < ENOUGH_PAIRS:
        raise InputError(
            f"at least {ENOUGH_PAIRS} pairs of one person and {ENOUGH_PAIRS} of two people are "
            f"needed. Received: {same.sum()} and {different.sum()}. Answer more pairs, or name "
            "people in the gallery."
        )
    whole = replace(counts, same=same, different=different, people=len(taking_part))
    return calibrate(whole, false_accept_rate=false_accept_rate)


def _as_names_say(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Training reads people from file names where all of them have a known form."""
    read = {path: read_name(Path(path).name) for row in rows for path in row}
    if not all(read.values()):
        return rows
    person = {path: sample.person for path, sample in read.items() if sample is not None}
    return [
        row for row in rows if person[row[0]] == person[row[1]] and person[row[0]] != person[row[2]]
    ]


def _numbers(cameras: Sequence[int | None]) -> NDArray[np.int64]:
    return np.array([-1 if each is None else each for each in cameras], np.int64)


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
