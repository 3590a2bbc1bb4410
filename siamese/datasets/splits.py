"""Training and validation sides that cannot leak, and that hold still when files are added."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from siamese.datasets import UNLABELLED, Sample, SourceDataset
from siamese.datasets.multi_source import Caps, check_source_name
from siamese.errors import InputError
from siamese.filesystem import file_states, read_each
from siamese.images import read_image

SplitBy = Literal["identity", "tracklet", "image"]

_KEYS: dict[str, Callable[[Sample], str]] = {
    "identity": lambda sample: sample.person,
    "tracklet": lambda sample: f"{sample.person}/{sample.camera}/{sample.tracklet}",
    # Without the folder above, so that a dataset that moves is split alike.
    "image": lambda sample: f"{sample.person}/{Path(sample.path).name}",
}
_LEAST = {"identity": (2, "people"), "tracklet": (1, "tracklets"), "image": (1, "images")}
"""How many a side must have, and of what."""


@dataclass(frozen=True)
class SplitRule:
    """Says how datasets are split into training and validation, by default as `records make` does.

    Attributes:
        by: What stays whole: "identity", "tracklet" or "image".
        validation_size: Expected share of people (tracklets, images) in validation, 0 to 1, of each
            dataset; 0: all train, 1: none does.
        random_seed: Another seed, another split.
        hold_out: Of several datasets, the names of those whose people are held out; the others
            train whole. None: all with people.
        max_images_per_person: As `list_sources` takes it.

    Raises:
        InputError: `validation_size` is out of range.
    """

    by: SplitBy = "identity"
    validation_size: float = 0.3
    random_seed: int = 0
    hold_out: Sequence[str] | None = None
    max_images_per_person: Caps = None

    def __post_init__(self) -> None:
        if not 0 <= self.validation_size <= 1:
            raise InputError(
                f"`validation_size` must be between 0 and 1. Received: {self.validation_size}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SplitRule":
        """Returns the rule that `to_dict` gave; what it does not say is as by default."""
        return cls(**{key: values[key] for key in cls.__dataclass_fields__ if key in values})

    def to_dict(self) -> dict[str, Any]:
        """Returns the rule as JSON holds it; what speaks of several datasets only where given."""
        values = {**vars(self), "hold_out": self.hold_out and list(self.hold_out)}
        return {key: value for key, value in values.items() if value is not None}


def split_samples(
    samples: Sequence[Sample],
    by: SplitBy = "identity",
    validation_size: float = 0.3,
    seed: int = 0,
) -> tuple[list[Sample], list[Sample]]:
    """Splits samples into a training and a validation side.

    Each person (tracklet, image) goes by a hash of the seed and its own name, so new files move
    nobody; new people (tracklets, images) do so only if a side had too few before. Only "identity"
    keeps people apart: with "tracklet" and "image" the same people are on both sides, and
    validation scores look better than they are. The true share varies with the hashes.

    Args:
        samples: What `list_samples` gives.
        by: As in `SplitRule`, like the next two.
        validation_size: The expected share in validation.
        seed: Another seed, another split.

    Returns:
        Training and validation samples, each in the order given. Between 0 and 1 each side has, by
        identity, at least two people, otherwise at least one tracklet or image; those whose hashes
        are nearest to the border are moved for it.

    Raises:
        InputError: There are too few people, tracklets or images for two sides, samples have no
            tracklet, or an argument is out of its range.

    Example:
        >>> people = [Sample(f"{p}/{i}.jpg", p) for p in "abcdef" for i in (1, 2)]
        >>> train, validation = split_samples(people)
        >>> sorted({s.person for s in train}), sorted({s.person for s in validation})
        (['a', 'b', 'c', 'e'], ['d', 'f'])
    """
    if by not in _KEYS:
        raise InputError(f"by must be identity, tracklet or image. Received: {by!r}.")
    if not 0 <= validation_size <= 1:
        raise InputError(
            f"validation_size must be between 0 and 1. Received: {validation_size}. Try 0.3."
        )
    if validation_size in (0, 1):
        return (list(samples), []) if validation_size == 0 else ([], list(samples))
    if by == "tracklet":
        for sample in samples:
            if sample.tracklet < 0:
                raise InputError(
                    f"{sample.path}: has no tracklet, which a split by tracklet needs. "
                    "Split by identity, or give a pattern with the group tracklet."
                )
    keys = [_KEYS[by](sample) for sample in samples]
    # Ties cannot happen between different keys, short of a collision of 64 bits.
    places = {key: _place(key, seed) for key in keys}
    ordered = sorted(places, key=lambda key: (places[key], key))
    least, what = _LEAST[by]
    if len(ordered) < 2 * least:
        raise InputError(
            f"samples must hold at least {2 * least} {what} to be split by {by}. "
            f"Received: {len(ordered)}. Add some, or set validation_size to 0"
            + (", or split by tracklet or image." if by == "identity" else ".")
        )
    count = sum(place < validation_size for place in places.values())
    chosen = set(ordered[: min(max(count, least), len(ordered) - least)])
    train = [sample for sample, key in zip(samples, keys, strict=True) if key not in chosen]
    validation = [sample for sample, key in zip(samples, keys, strict=True) if key in chosen]
    return train, validation


def split_sources(sources: Sequence[SourceDataset], rule: SplitRule) -> dict[str, list[Sample]]:
    """Splits each source by itself, as it would be split alone.

    Returns:
        `train` and `validation`, and `unlabelled` where there are images of unknown people, which
        are never held out; people and cameras named as among all sources.

    Raises:
        InputError: As `split_samples`; or `hold_out` names no source, or one without people.
    """
    names = [source.name for source in sources]
    hold_out = rule.hold_out
    for name in hold_out or ():
        check_source_name(name, names, "hold_out")
    parts: dict[str, list[Sample]] = {"train": [], "validation": []}
    unlabelled: list[Sample] = []
    for source in sources:
        labelled = [sample for sample in source.samples if sample.person]
        unlabelled += source.rename([sample for sample in source.samples if not sample.person])
        if not labelled and (len(sources) == 1 or source.name in (hold_out or ())):
            raise InputError(
                f"{source.folder}: names no people, so none can be held out. Add a dataset that "
                "does, or leave it out of hold_out."
            )
        held_out: list[Sample] = []
        if labelled and (hold_out is None or source.name in hold_out):
            try:
                labelled, held_out = split_samples(
                    labelled, rule.by, rule.validation_size, rule.random_seed
                )
            except InputError as error:
                if len(sources) == 1:
                    raise
                raise InputError(
                    f"{source.folder}: {error} Or hold out people of other sources: hold_out."
                ) from None
        parts["train"] += source.rename(labelled)
        parts["validation"] += source.rename(held_out)
    if unlabelled:
        parts[UNLABELLED] = unlabelled
    return parts


def people_in_order(samples: Iterable[Sample], distractors: Collection[str] = ()) -> list[str]:
    """Lists the people but distractors, each once, sorted by the numbers in their names.

    Example:
        >>> people_in_order([Sample("a", "10"), Sample("b", "9"), Sample("c", "0000")], ["0000"])
        ['9', '10']
    """
    people = {sample.person for sample in samples} - set(distractors)
    return sorted(people, key=_in_numbers)


def choose_people(
    samples: Sequence[Sample], people: str, distractors: Collection[str] = ()
) -> list[Sample]:
    """Keeps the images of some people, in the order given; distractors stay.

    Args:
        samples: What `list_samples` gives.
        people: A slice of the people sorted by number, as Python has it: "316:" leaves the first
            316 out, ":316" takes them, "-10:" takes the last ten.
        distractors: People who are never asked for.

    Raises:
        InputError: It is no slice, or nobody is in it.
    """
    match = re.fullmatch(r"(-?\d+)?:(-?\d+)?", people)
    if match is None:
        raise InputError(
            f"people must be a slice such as 316: or :316. Received: {people!r}. It counts people "
            "sorted by number, from 0."
        )
    first, last = (int(end) if end else None for end in match.groups())
    everybody = people_in_order(samples, distractors)
    chosen = {*everybody[first:last], *distractors}
    if not set(everybody) & chosen:
        raise InputError(
            f"people must leave somebody. Received: {people!r} of {len(everybody)} people."
        )
    return [sample for sample in samples if sample.person in chosen]


def refuse_duplicates(samples: Iterable[Sample]) -> None:
    """Refuses samples that would put one image under two people, or count one image twice.

    Files are compared by their whole content; those whose size is unique are not read, nor those
    of which the file system tells the MD5, as object stores do. Damaged files may be equal (empty
    ones are): they are not compared, whoever reads them will say so.

    Raises:
        InputError: A path occurs twice, or two people have the same file.
    """
    samples = list(samples)
    seen = set()
    for sample in samples:
        if sample.path in seen:
            raise InputError(f"{sample.path}: occurs twice among the samples. Remove one of them.")
        seen.add(sample.path)
    for group in same_files(samples):
        first = group[0]
        for other in group[1:]:
            if other.person != first.person and _is_image(first.path):
                both = [each.person or "nobody known" for each in (other, first)]
                raise InputError(
                    f"{other.path}: is the same image as {first.path}, but of person "
                    f"{both[0]}, not {both[1]}. Remove the wrong one."
                )


def same_files(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Finds files with equal content, among samples with each path once.

    Returns:
        Groups of at least two samples whose files are equal byte by byte, in the order given.
        Files that cannot be read are in no group.
    """
    samples = list(samples)
    states = file_states(sample.path for sample in samples)
    by_size = defaultdict(list)
    for sample in samples:
        if sample.path in states:
            by_size[states[sample.path].size].append(sample)
    by_content = defaultdict(list)
    unknown = []
    for same_size in by_size.values():
        digests = [states[sample.path].digest for sample in same_size]
        if len(same_size) > 1 and all(digests):
            for sample, digest in zip(same_size, digests, strict=True):
                by_content[digest.encode()].append(sample)
        elif len(same_size) > 1:
            unknown += same_size
    for sample, data in zip(unknown, read_each([s.path for s in unknown]), strict=True):
        if data is not None:
            by_content[hash_content(data)].append(sample)
    return [group for group in by_content.values() if len(group) > 1]


def _is_image(path: str) -> bool:
    try:
        read_image(path)
    except InputError:
        return False
    return True


def hash_content(data: bytes) -> bytes:
    """Hashes the content of a file, 16 bytes by BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).digest()


def _place(key: str, seed: int) -> float:
    """Gives a key its place in [0, 1)."""
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    # 53 bits are what a float holds; with all 64 the largest would round up to 1.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def _in_numbers(name: str) -> list[tuple[int, str]]:
    """A key that sorts 9 before 10."""
    return [(int(part or 0) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name)]
