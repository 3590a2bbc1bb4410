"""The one sampler: P x K batches, pairs, triplets as row numbers, in NumPy, for all backends."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError

Sampler = Literal["pk", "pairs", "triplets"]
Balance = Literal["none", "source"] | Mapping[str, float]
Rows = NDArray[np.int64]


class SourceShares(NamedTuple):
    """Says what share of the groups of a batch each of several datasets has.

    Attributes:
        source: `(people,)`, the number of the dataset that a label is from.
        weights: `(datasets,)`, above 0.
    """

    source: Rows
    weights: tuple[float, ...]


def count_groups(counts: ArrayLike, num_instances: int) -> int:
    """Counts the groups of a set: of each person all images, some twice in the last group.

    Example:
        >>> count_groups([4, 5, 1], 4)
        4
    """
    return int((-(-np.asarray(counts, np.int64) // num_instances)).sum())


def fit_groups(groups: int, num_identities: int, *, sampler: Sampler = "pk", hosts: int = 1) -> int:
    """Finds how many groups a batch can have in a small set of so many groups (or triplets).

    Args:
        groups: What the set has.
        num_identities: How many a batch should have.
        sampler: As `RowSampler` takes it; pairs come in fours.
        hosts: Processes that share each batch evenly.

    Returns:
        `num_identities`, or the largest smaller number that the set and the sampler allow.

    Raises:
        InputError: The set is too small for any batch.

    Example:
        >>> fit_groups(5, 16), fit_groups(7, 16, sampler="pairs"), fit_groups(20, 16)
        (5, 4, 16)
    """
    step = math.lcm(4 if sampler == "pairs" else 1, hosts)
    fitting = min(num_identities, groups // step * step)
    if fitting < max(2, step):
        raise InputError(
            f"training needs at least {max(2, step)} groups of images of one person in a batch. "
            f"Received: {groups} in the training set. Add people; or use the pretrained model, "
            "which needs none: siamese verify, siamese calibrate FOLDER."
        )
    return fitting


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
        balance: Of several datasets, what share of the groups of a batch each has. `none`: that of
            all groups which it has; `source`: equal shares; or weights by the names of datasets, 1
            where not named. An epoch has as many batches as without; not all images of a large
            dataset come in it, and those of a small one come several times, each once before any
            comes again.
        sources: Name of each of several datasets to the first and the last label of its people.
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
            `num_instances` do not fit the sampler, the hosts cannot share a batch, a weight is for
            no dataset, or there are no images of unknown people.

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
        balance: Balance = "none",
        sources: Mapping[str, tuple[int, int]] | None = None,
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
        groups, what = count_groups(counts, num_instances), f"groups of {num_instances} images"
        if triplets is not None:
            groups, what = len(triplets), "triplets"
        if groups < num_identities:
            raise InputError(
                f"`num_identities` must be at most {groups}, the {what} of this set. Received: "
                f"{num_identities}. Add images, or take a recipe with smaller batches."
            )
        self.options: dict[str, Any] = {
            "sampler": sampler,
            "num_identities": num_identities,
            "num_instances": num_instances,
            "spread_cameras": spread_cameras,
            "shares": share_batches(balance, sources or {}, sampler),
        }
        self.triplets, self.unlabelled, self.seed, self.host = triplets, unlabelled, seed, host
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
            rows = self.known[sample_epoch(self.labels, self.cameras, random, **self.options)]
        else:
            # The last batch is filled with the first triplets.
            rows = np.resize(
                random.permutation(self.triplets), (self.steps, 3 * self.options["num_identities"])
            )
        if self.unlabelled:
            passes = -(-self.steps * self.unlabelled // len(self.unknown))
            others = np.concatenate([random.permutation(self.unknown) for _ in range(passes)])
            others = others[: self.steps * self.unlabelled]
            rows = np.hstack([rows, others.reshape(self.steps, self.unlabelled)])
        return rows[:, self.host * self.size : (self.host + 1) * self.size]


def share_batches(
    balance: Balance, sources: Mapping[str, tuple[int, int]], sampler: Sampler = "pk"
) -> SourceShares | None:
    """Finds out how batches are shared by datasets; arguments as `RowSampler` takes them.

    Returns:
        The shares; None where batches are not balanced, or there is one dataset alone.

    Raises:
        InputError: A weight is for no dataset or not above 0, or the sampler is not `pk`.

    Example:
        >>> shares = share_batches({"b": 2.0}, {"a": (0, 2), "b": (3, 4)})
        >>> shares.source.tolist(), shares.weights
        ([0, 0, 0, 1, 1], (1.0, 2.0))
    """
    weights = balance if isinstance(balance, Mapping) else {}
    if (unknown := set(weights) - set(sources)) or any(not w > 0 for w in weights.values()):
        raise InputError(
            "`balance` must be none, source, or a weight above 0 by dataset. Received: "
            f"{balance}, and the datasets {', '.join(sources) or 'without names'}"
            + (f". None is called {', '.join(sorted(unknown))}." if unknown else ".")
        )
    if balance == "none" or len(sources) < 2:
        return None
    if sampler != "pk":
        raise InputError(
            "`balance` goes with the sampler pk: pairs and triplets of two people would nearly all "
            f"be of two datasets. Received: balance={balance}, sampler={sampler}"
        )
    source = np.zeros(1 + max(last for _, last in sources.values()), np.int64)
    for number, (first, last) in enumerate(sources.values()):
        source[first : last + 1] = number
    return SourceShares(source, tuple(float(weights.get(name, 1.0)) for name in sources))


def sample_epoch(
    labels: Rows,
    cameras: Rows,
    random: np.random.Generator,
    *,
    sampler: Sampler = "pk",
    num_identities: int = 16,
    num_instances: int = 4,
    spread_cameras: bool = True,
    shares: SourceShares | None = None,
) -> Rows:
    """Deals all images into batches, each once; images of short groups are repeated.

    `shares` says how datasets share the batches; None: by the number of their groups. The other
    arguments are those of `RowSampler`, of images of known people.

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

    def deal(rows: Rows) -> Rows:
        """Deals images into groups of one person, `(groups, K)`, in an order that is drawn."""
        shuffled = random.permutation(rows)
        if spread_cameras:
            shuffled = shuffled[np.argsort(cameras[shuffled], kind="stable")]
        shuffled = shuffled[np.argsort(labels[shuffled], kind="stable")]
        _, counts = np.unique(labels[rows], return_counts=True)
        owned = np.split(shuffled, np.cumsum(counts)[:-1])
        return random.permutation(
            np.concatenate([_deal(mine, num_instances, random) for mine in owned])
        )

    if shares is None:
        groups = deal(np.arange(len(labels)))
        if odd := len(groups) % num_identities:
            again = groups[-odd - num_identities :][: num_identities - odd]
            groups = np.concatenate([groups, again])
    else:
        _, counts = np.unique(labels, return_counts=True)
        steps = -(-count_groups(counts, num_instances) // num_identities)
        places = _deal_places(steps * num_identities, shares.weights)
        groups = np.empty((len(places), num_instances), np.int64)
        for number in range(len(shares.weights)):
            rows, mine = np.flatnonzero(shares.source[labels] == number), places == number
            dealt = deal(rows)
            while len(dealt) < mine.sum():
                dealt = np.concatenate([dealt, deal(rows)])
            groups[mine] = dealt[: mine.sum()]
    batches = groups.reshape(-1, num_identities, num_instances)
    if sampler == "pk":
        return batches.reshape(len(batches), -1)
    arrange = _pairs if sampler == "pairs" else _triplets
    return np.stack([arrange(batch, labels[batch[:, 0]]) for batch in batches])


def _deal_places(places: int, weights: Sequence[float]) -> Rows:
    """Deals the places of an epoch to datasets: any stretch has its share of each, within one."""
    shares = np.asarray(weights) / sum(weights)
    counts = np.ceil(places * shares).astype(np.int64)
    due = [(np.arange(n) + 0.5) / share for n, share in zip(counts, shares, strict=True)]
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners[np.argsort(np.concatenate(due), kind="stable")][:places]


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
