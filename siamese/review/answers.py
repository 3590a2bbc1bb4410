"""Answers on pairs of images: kept in a table, joined to people, written as triplets."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from siamese.datasets.samples import read_name
from siamese.errors import InputError
from siamese.files import write_csv

ANSWERS, TRIPLETS = "answers.csv", "triplets.csv"


@dataclass(frozen=True)
class Answer:
    """A person's word on two images, given by their paths, and their distance when it was asked."""

    first: str
    second: str
    same: bool
    distance: float

    @property
    def pair(self) -> frozenset[str]:
        """Both paths."""
        return frozenset((self.first, self.second))


@dataclass(frozen=True)
class Groups:
    """Images joined to people, by names and answers together.

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
    """Reads the answers of a review folder, in the order in which they were given; none without.

    Raises:
        InputError: The table is damaged.
    """
    table = folder / ANSWERS
    if not table.is_file():
        return []
    try:
        with table.open(newline="", encoding="utf-8") as file:
            return [
                Answer(row["First"], row["Second"], row["Answer"] == "same", float(row["Distance"]))
                for row in csv.DictReader(file)
            ]
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{table}: is damaged. Correct it, or move it away.") from None


def write_answers(folder: Path, answers: Sequence[Answer], names: Mapping[str, str]) -> int:
    """Writes the answers and the triplets that follow from them and the names, each file whole.

    Returns:
        How many triplets there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    triplets = make_triplets(answers, names)
    kept = [
        (each.first, each.second, "same" if each.same else "different", f"{each.distance:.6f}")
        for each in answers
    ]
    for name, header, rows in (
        (ANSWERS, ("First", "Second", "Answer", "Distance"), kept),
        (TRIPLETS, ("Anchor", "Positive", "Negative"), triplets),
    ):
        write_csv(folder / name, [header, *rows])
    return len(triplets)


def group(answers: Iterable[Answer], names: Mapping[str, str]) -> Groups:
    """Joins images to people: by equal names, and by the answer "same".

    `names` gives the person of each path that has a name. Of two answers on a pair the later
    counts.

    Returns:
        The groups. A pair that is said to be two people, but whose images belong together by names
        or by other answers, contradicts itself: its images are listed and take no part.

    Example:
        >>> answers = [Answer("a", "b", True, 0.7), Answer("b", "c", False, 0.9)]
        >>> group(answers, {"a": "anna"}).person
        {'a': 'anna', 'b': 'anna', 'c': 'c'}
    """
    kept = [each for each in latest(answers) if each.first != each.second]
    images = list(dict.fromkeys([*names, *(path for each in kept for path in both(each))]))
    row_of = {path: row for row, path in enumerate(images)}
    first_of = {name: path for path, name in reversed(list(names.items()))}
    joined = [(path, first_of[name]) for path, name in names.items()]
    joined += [both(each) for each in kept if each.same]
    ends = np.array([[row_of[path] for path in pair] for pair in joined], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), tuple(ends.T)), shape=(len(images),) * 2)
    component = dict(zip(images, connected_components(graph)[1].tolist(), strict=True))
    called: dict[int, str] = {}
    for path in images:  # those with a name come first
        called.setdefault(component[path], names.get(path, path))
    with_a_name = {component[path] for path in names}
    apart = [each for each in kept if not each.same]
    wrong = frozenset(
        path
        for each in apart
        if component[each.first] == component[each.second]
        for path in both(each)
    )
    person = {path: called[component[path]] for path in images if path not in wrong}
    return Groups(
        person,
        frozenset(path for path in person if component[path] in with_a_name),
        frozenset(
            frozenset(person[path] for path in each.pair)
            for each in apart
            if each.pair <= person.keys()
        ),
        wrong,
    )


def make_triplets(
    answers: Sequence[Answer], names: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Makes anchor, positive, negative from answers and names, as training reads them.

    Each pair that is one person gives a row for each image that is known to be another person:
    by an answer on that person, or, where there is none, by name. What training would refuse is
    left out: images that contradict themselves, and rows that contradict what every file name says.

    Example:
        >>> answers = [Answer("a", "b", True, 0.7), Answer("b", "c", False, 0.9)]
        >>> make_triplets(answers, {})
        [('a', 'b', 'c')]
    """
    groups = group(answers, names)
    person = groups.person
    asked = [path for path in dict.fromkeys(p for a in answers for p in both(a)) if path in person]
    rows = []
    for each in latest(answers):
        if not each.same or not each.pair <= person.keys():
            continue
        own = person[each.first]
        others = [path for path in asked if frozenset((own, person[path])) in groups.different]
        if not others and each.first in groups.named:
            others = [path for path in asked if path in groups.named and person[path] != own][:1]
        rows += [(each.first, each.second, other) for other in others]
    # Training reads people from file names where all of them have a known form.
    read = {path: read_name(Path(path).name) for row in rows for path in row}
    said = {path: sample.person for path, sample in read.items() if sample is not None}
    if len(said) < len(read):
        return rows
    return [row for row in rows if said[row[0]] == said[row[1]] != said[row[2]]]


def latest(answers: Iterable[Answer]) -> list[Answer]:
    """Keeps the last answer on each pair, at the place of its first."""
    return list({each.pair: each for each in answers}.values())


def both(answer: Answer) -> tuple[str, str]:
    """Both paths of an answer, in order."""
    return answer.first, answer.second
