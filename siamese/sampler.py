"""The one sampler: P x K batches, pairs, triplets as row numbers, in NumPy, for all backends."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError

Sampler = Literal["pk", "pairs", "triplets"]
Rows = NDArray[np.int64]


class RowSampler:
    """Draws batches of rows, in epochs; the order depends on seed and epoch alone.

    An epoch deals every image of a known person once into groups of one person, and the groups into
    batches; what is missing in its last batch are groups of the batch before, once more. A person
    with more than `num_instances` images comes in several groups, so two groups of a batch may be
    of one person; a group that is short of images repeats its own.

    Args:
        labels: `(images,)`, the person of each image, 0..C-1; -1 for unknown people.
        cameras: `(images,)`, the camera of each image.
        sampler: `pk`: groups one after another; `pairs`: rows 2i and 2i+1 are a pair, half of the
            pairs of one person; `triplets`: rows 3i, 3i+1, 3i+2 are anchor, positive, negative (of
            another person, if the batch has one).
        num_identities: P, groups in a batch; a multiple of 4 for `pairs`.
        num_instances: K, images in a group; 2 for `pairs`, 3 for `triplets`.
        spread_cameras: Groups have as many cameras as the person's images allow, so that images of
            one person are of two cameras wherever they can be.
        unlabelled: Images of unknown people that follow in each batch; an epoch draws them anew,
            each once before any comes again.
        triplets: `(triplets, 3)`, rows of given triplets, each once an epoch; None: drawn ones.
        seed: Seed of the order.
        host: Number of this host, from 0.
        hosts: Hosts that share each batch: their slices in order are the batch of a single host.
            `num_identities` must be a multiple.

    Attributes:
        steps: Batches in an epoch.
        size: Rows in a batch of this host.

    Raises:
        InputError: There are too few people, groups or triplets, `num_identities` and
            `num_instances` do not fit the sampler, the hosts cannot share a batch, or there are no
            images of unknown people.

    Example:
        >>> sampler = RowSampler(np.repeat([0, 1, 2], [5, 4, 1]), np.zeros(10, int),
        ...                      num_identities=2, num_instances=4)
        >>> sampler.steps, next(sampler.endless()).shape
        (2, (8,))
    """

    def __init__(
        self,
        labels: Rows,
        cameras: Rows,
        *,
        sampler: Sampler = "pk",
        num_identities: int = 16,
        num_instances: int = 4,
        spread_cameras: bool = True,
        unlabelled: int = 0,
        triplets: Rows | None = None,
        seed: int = 0,
        host: int = 0,
        hosts: int = 1,
    ) -> None:
        needed = {"pk": num_instances, "pairs": 2, "triplets": 3}[sampler]
        if (
            num_instances != needed
            or num_identities < 2
            or num_instances < 2
            or (sampler == "pairs" and num_identities % 4)
        ):
            raise InputError(
                "`num_identities` must be at least 2 (4, 8, 12, ... for pairs) and `num_instances` "
                f"at least 2 (2 for pairs, 3 for triplets). Received: sampler={sampler}, "
                f"num_identities={num_identities}, num_instances={num_instances}"
            )
        if not 0 <= host < hosts or num_identities % hosts:
            raise InputError(
                f"`num_identities` must be a multiple of `hosts`, and `host` one of 0..{hosts - 1}."
                f" Received: num_identities={num_identities}, host={host}, hosts={hosts}"
            )
        self.known, self.unknown = np.flatnonzero(labels >= 0), np.flatnonzero(labels < 0)
        if unlabelled < 0 or (unlabelled and (hosts > 1 or not len(self.unknown))):
            raise InputError(
                "`unlabelled` must be at least 0, and must be 0 where all people are known or hosts"
                f" share a batch. Received: unlabelled={unlabelled}, hosts={hosts}"
            )
        self.labels, self.cameras = labels[self.known], cameras[self.known]
        counts = np.unique(self.labels, return_counts=True)[1]
        if len(counts) < 2:
            raise InputError(
                f"training needs at least two people. Received: {len(counts)}. Add others."
            )
        groups, what = int((-(-counts // num_instances)).sum()), f"groups of {num_instances} images"
        if triplets is not None:
            groups, what = len(triplets), "triplets"
        if groups < num_identities:
            raise InputError(
                f"`num_identities` must be at most {groups}, the {what} of this set. Received: "
                f"{num_identities}. Add images, or take a recipe with smaller batches."
            )
        self.sampler, self.spread_cameras, self.triplets = sampler, spread_cameras, triplets
        self.num_identities, self.num_instances = num_identities, num_instances
        self.unlabelled, self.seed, self.host = unlabelled, seed, host
        self.steps = -(-groups // num_identities)
        self.size = num_identities * num_instances // hosts + unlabelled

    def endless(self, first_epoch: int = 0) -> Iterator[Rows]:
        """Yields batches `(size,)`, without end, from an epoch on."""
        epoch = first_epoch
        while True:
            yield from self.draw(epoch)
            epoch += 1

    def draw(self, epoch: int) -> Rows:
        """Draws the batches of one epoch, `(steps, size)`."""
        random = np.random.default_rng([self.seed, epoch])
        if self.triplets is None:
            rows = self.known[
                sample_epoch(
                    self.labels,
                    self.cameras,
                    random,
                    sampler=self.sampler,
                    num_identities=self.num_identities,
                    num_instances=self.num_instances,
                    spread_cameras=self.spread_cameras,
                )
            ]
        else:
            drawn = np.resize(
                random.permutation(self.triplets), (self.steps * self.num_identities, 3)
            )
            rows = drawn.reshape(self.steps, -1)
        if self.unlabelled:
            passes = -(-self.steps * self.unlabelled // len(self.unknown))
            others = np.concatenate([random.permutation(self.unknown) for _ in range(passes)])
            others = others[: self.steps * self.unlabelled]
            rows = np.hstack([rows, others.reshape(self.steps, self.unlabelled)])
        return rows[:, self.host * self.size : (self.host + 1) * self.size]


def sample_epoch(
    labels: Rows,
    cameras: Rows,
    random: np.random.Generator,
    *,
    sampler: Sampler = "pk",
    num_identities: int = 16,
    num_instances: int = 4,
    spread_cameras: bool = True,
) -> Rows:
    """Deals all images into batches, each once; images of short groups are repeated.

    Args:
        labels: `(images,)`, the person of each image.
        cameras: `(images,)`, the camera of each image.
        random: Draws the order.
        sampler: `pk`, `pairs` or `triplets`.
        num_identities: P, groups in a batch.
        num_instances: K, images in a group.
        spread_cameras: Groups have as many cameras as a person's images allow.

    Returns:
        `(batches, P * K)`, rows of `labels`. The last batch is filled with groups of the one
        before.

    Example:
        >>> labels, cameras = np.array([5, 5, 5, 5, 9, 9, 9, 9]), np.array([1, 1, 2, 2] * 2)
        >>> random = np.random.default_rng(0)
        >>> rows = sample_epoch(labels, cameras, random, num_identities=2, num_instances=2)
        >>> np.sort(labels[rows].reshape(-1, 2), axis=0).tolist()
        [[5, 5], [5, 5], [9, 9], [9, 9]]
        >>> np.sort(cameras[rows].reshape(-1, 2)).tolist()
        [[1, 2], [1, 2], [1, 2], [1, 2]]
    """
    shuffled = random.permutation(len(labels))
    if spread_cameras:
        shuffled = shuffled[np.argsort(cameras[shuffled], kind="stable")]
    shuffled = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, counts = np.unique(labels, return_counts=True)
    owned = np.split(shuffled, np.cumsum(counts)[:-1])
    groups = np.concatenate([_deal(mine, num_instances, random) for mine in owned])
    groups = random.permutation(groups)
    missing = -len(groups) % num_identities
    if missing:
        groups = np.concatenate(
            [groups, groups[-(len(groups) % num_identities) - num_identities :][:missing]]
        )
    batches = groups.reshape(-1, num_identities, num_instances)
    if sampler == "pk":
        return batches.reshape(len(batches), -1)
    arrange = _pairs if sampler == "pairs" else _triplets
    return np.stack([arrange(batch, labels[batch[:, 0]]) for batch in batches])


def _deal(mine: Rows, num_instances: int, random: np.random.Generator) -> Rows:
    """One person's images to groups, in turn, as cards are dealt; repeats come last in a group."""
    count = -(-len(mine) // num_instances)
    group, turn = np.arange(count)[:, None], np.arange(num_instances)
    held = (len(mine) - group + count - 1) // count
    chosen = mine[turn % held * count + group]
    drawn = random.random(chosen.shape) + (turn >= held)
    return np.take_along_axis(chosen, np.argsort(drawn, axis=1), axis=1)


def _pairs(batch: Rows, labels: Rows) -> Rows:
    """The first half of the groups are pairs of one person; the others are crossed."""
    half, quarter = len(batch) // 2, len(batch) // 4
    # In order of the label, a quarter on is another person, unless one has more than a quarter.
    crossed = half + np.argsort(labels[half:], kind="stable")
    first, second = batch[crossed[:quarter]], batch[crossed[quarter:]]
    return np.concatenate([batch[:half].ravel(), np.stack([first, second], axis=2).ravel()])


def _triplets(batch: Rows, labels: Rows) -> Rows:
    """The negative is the third image of the next group of another person."""
    following = (np.arange(len(batch))[:, None] + np.arange(1, len(batch))) % len(batch)
    first = (labels[following] != labels[:, None]).argmax(axis=1)
    other = following[np.arange(len(batch)), first]
    return np.column_stack([batch[:, :2], batch[other, 2]]).ravel()
