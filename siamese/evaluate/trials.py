"""The trials of a small set: the people asked for, one query image each, and the gallery."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from siamese.datasets import Layout, Sample
from siamese.datasets.splits import people_in_order
from siamese.errors import InputError
from siamese.metrics.blocks import Indices

SampleView: TypeAlias = Hashable | None


@dataclass(frozen=True)
class Trial:
    """One query and one gallery image of each person who is asked for.

    Attributes:
        query: `(people,)`, rows of the samples.
        gallery: `(people + distractors,)`, rows; the match of query `k` is the row `gallery[k]`.
    """

    query: Indices
    gallery: Indices


@dataclass(frozen=True)
class Plan:
    """The views by which an image is told from another that may be its match.

    Attributes:
        kind: "sides", "two cameras", "cameras", "tracklets" or "images".
        views: `(samples,)`, what must differ between query and match; None where not known.
        ways: The view that asks and the one that is searched, a trial each; none: drawn person by
            person.
        people: Those who can be asked for, in order.
        others: Those who cannot: they have no second view.
    """

    kind: str
    views: Sequence[SampleView]
    ways: tuple[tuple[SampleView, SampleView], ...]
    people: tuple[str, ...]
    others: tuple[str, ...]


def make_plan(samples: Sequence[Sample], layout: Layout) -> Plan:
    """Finds out what may be a match: images of two sides, cameras or tracklets, or any two.

    Raises:
        InputError: Fewer than two people have two views.
    """
    everybody = people_in_order(samples, layout.distractors)
    cameras = [each.camera if each.camera >= 0 else None for each in samples]
    tracklets = [(s.camera, s.tracklet) if s.tracklet >= 0 else None for s in samples]
    kind = "images"
    views: Sequence[SampleView] = range(len(samples))
    ways: tuple[tuple[SampleView, SampleView], ...] = ()
    if layout.small_set is not None and layout.small_set.sides is not None:
        kind, ways = "sides", (layout.small_set.sides,)
        views = [Path(each.path).parent.name for each in samples]
    elif _pairable(samples, cameras, everybody):
        kind, views = "cameras", cameras
        known = {each.camera for each in samples if each.person not in layout.distractors}
        first, second, *more = sorted(known - {-1})
        if not more:
            kind, ways = "two cameras", ((first, second), (second, first))
    elif _pairable(samples, tracklets, everybody):
        kind, views = "tracklets", tracklets
    people = _pairable(samples, views, everybody)
    if len(people) < 2:
        raise InputError(
            f"{layout.folder}: at least two people must have two images that may be query and "
            f"match ({kind}). Received: {len(people)} of {len(everybody)}. Add images."
        )
    others = sorted(set(everybody) - set(people), key=everybody.index)
    return Plan(kind, views, ways, tuple(people), tuple(others))


def draw_trials(
    samples: Sequence[Sample],
    plan: Plan,
    distractors: Collection[str] = (),
    *,
    splits: int,
    seed: int,
) -> list[list[Trial]]:
    """Draws the people asked for, and one query and one gallery image of each.

    All images of distractors stay in the gallery. `splits` is the number of halves of the people,
    rounded up; 0 asks for everybody, once.

    Returns:
        Of each split a trial a way, both ways of the same images.
    """
    rows: dict[str, dict[SampleView, list[int]]] = defaultdict(lambda: defaultdict(list))
    nobody = []
    for row, (sample, view) in enumerate(zip(samples, plan.views, strict=True)):
        if sample.person in distractors:
            nobody.append(row)
        else:
            rows[sample.person][view].append(row)
    draws = []
    for split in range(splits or 1):
        random = np.random.default_rng([seed, split])
        half = random.permutation(len(plan.people))[: (len(plan.people) + 1) // 2]
        asked = plan.people if not splits else [plan.people[place] for place in sorted(half)]
        pairs = []
        for person in asked:
            known = [view for view in rows[person] if view is not None]
            drawn = [known[place] for place in random.permutation(len(known))[:2]]
            two = plan.ways[0] if plan.ways else drawn
            pairs.append([int(random.choice(rows[person][view])) for view in two])
        first, second = np.array(pairs, np.int64).T
        trials = []
        for number, way in enumerate(plan.ways or ((None, None),)):
            query, match = (first, second) if number == 0 else (second, first)
            there = [r for r in nobody if way[1] is None or plan.views[r] == way[1]]
            for person in plan.others:
                mine = [r for v, each in rows[person].items() if way[1] in (None, v) for r in each]
                there += [int(random.choice(mine))] if mine else []
            trials.append(Trial(query, np.concatenate([match, np.array(there, np.int64)])))
        draws.append(trials)
    return draws


def _pairable(
    samples: Sequence[Sample], views: Sequence[SampleView], people: Sequence[str]
) -> list[str]:
    """Lists the people who have two known views."""
    seen: dict[str, set[SampleView]] = defaultdict(set)
    for sample, view in zip(samples, views, strict=True):
        if view is not None:
            seen[sample.person].add(view)
    return [person for person in people if len(seen[person]) > 1]
