"""Which images make a batch, for images in memory: the order of an epoch, in NumPy.

The rules are those of `siamese.loader.from_records`, which has them for a stream of records.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError

Sampler = Literal["pk", "pairs", "triplets"]
Rows = NDArray[np.int64]


def check_batches(
    sampler: Sampler,
    num_identities: int,
    num_instances: int,
    counts: Rows,
    host: int = 0,
    hosts: int = 1,
) -> int:
    """Makes sure that batches can be made.

    Args:
        sampler: `pk`, `pairs` or `triplets`.
        num_identities: P, groups in a batch.
        num_instances: K, images in a group.
        counts: Number of images of each person.
        host: Number of this host.
        hosts: Hosts that share each batch.

    Returns:
        Batches in an epoch.

    Raises:
        InputError: `num_identities` and `num_instances` do not fit the sampler, there are too few
            people or images, or the hosts cannot share a batch evenly.

    Example:
        >>> check_batches("pk", 2, 4, np.array([5, 4, 1]))
        2
    """
    needed = {"pk": num_instances, "pairs": 2, "triplets": 3}[sampler]
    if (
        num_instances != needed
        or num_identities < 2
        or num_instances < 2
        or (sampler == "pairs" and num_identities % 4)
    ):
        raise InputError(
            "`num_identities` must be at least 2 (4, 8, 12, ... for pairs) and `num_instances` at "
            f"least 2 (2 for pairs, 3 for triplets). Received: sampler={sampler}, "
            f"num_identities={num_identities}, num_instances={num_instances}"
        )
    if not 0 <= host < hosts or num_identities % hosts:
        raise InputError(
            f"`num_identities` must be a multiple of `hosts`, and `host` one of 0..{hosts - 1}. "
            f"Received: num_identities={num_identities}, host={host}, hosts={hosts}"
        )
    if len(counts) < 2:
        raise InputError(
            f"training needs at least two people. Received: {len(counts)}. Add folders of others."
        )
    groups = int((-(-counts // num_instances)).sum())
    if groups < num_identities:
        raise InputError(
            f"`num_identities` must be at most {groups}, the groups of {num_instances} images in "
            f"this set. Received: {num_identities}. Add images, or take a recipe with smaller "
            "batches."
        )
    return -(-groups // num_identities)


def check_unlabelled(unlabelled: int, available: int, hosts: int = 1) -> None:
    """Makes sure that batches can have images of unknown people.

    Args:
        unlabelled: Such images in a batch.
        available: How many there are, or files of them.
        hosts: Hosts that share each batch.

    Raises:
        InputError: There are none, the number is negative, or hosts are to share them.
    """
    if unlabelled < 0 or (unlabelled and hosts > 1):
        raise InputError(
            "`unlabelled` must be at least 0, and 0 where hosts share a batch. Received: "
            f"unlabelled={unlabelled}, hosts={hosts}"
        )
    if unlabelled and not available:
        raise InputError(
            f"`unlabelled` must be 0 where all people are known. Received: {unlabelled}. Add a "
            "folder of crops of unknown people to the records, or take a recipe without."
        )


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
