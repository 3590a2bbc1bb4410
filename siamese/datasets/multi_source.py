"""Several datasets used together: people and cameras kept apart, images capped."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from siamese.datasets.coverage import Coverage, measure_coverage
from siamese.datasets.layouts import recognise
from siamese.datasets.listing import list_samples
from siamese.datasets.samples import Sample, sort_samples
from siamese.datasets.tables import TABLE_SUFFIXES
from siamese.errors import InputError
from siamese.filesystem import reaching

logger = logging.getLogger(__name__)

Caps = int | Mapping[str, int] | None
"""The most images of one person: of every source, by the source's name, or without a limit."""

DatasetPaths = str | Path | Sequence[str | Path]
"""One dataset folder, CSV file or address, or several that are used together."""


@dataclass(frozen=True)
class SourceDataset:
    """One of the datasets that are used together.

    Attributes:
        name: Unique among them: the last part of the folder's path, with a number where it occurs
            twice.
        folder: As it was given.
        layout: The name of the layout that was recognised.
        samples: Its images, with people and cameras as the dataset has them.
        prefix: Put before its people's names; empty for a single dataset.
        camera_offset: Added to its camera numbers; 0 for the first or only dataset.
        camera_names: The numbers of its cameras that are named otherwise, see `Layout.cameras`.
        coverage: How many images its folder holds, and what is left out.
    """

    name: str
    folder: str
    layout: str
    samples: tuple[Sample, ...]
    prefix: str = ""
    camera_offset: int = 0
    camera_names: Mapping[str, int] = field(default_factory=dict)
    coverage: Coverage | None = None

    def rename(self, samples: Sequence[Sample]) -> list[Sample]:
        """Gives samples the people and cameras that they have among all sources.

        An unknown person or camera stays unknown.
        """
        if not self.prefix:
            return list(samples)
        return [
            replace(
                each,
                person=each.person and f"{self.prefix}{each.person}",
                camera=each.camera + self.camera_offset if each.camera >= 0 else each.camera,
            )
            for each in samples
        ]


def as_list(paths: DatasetPaths) -> list[str | Path]:
    """Returns the paths of one or several datasets as a list."""
    return [paths] if isinstance(paths, str | Path) else list(paths)


def list_sources(
    folders: Sequence[str | Path],
    pattern: str | None = None,
    max_images_per_person: Caps = None,
) -> list[SourceDataset]:
    """Lists the training images of datasets that are used together.

    A single dataset keeps its names and numbers. Of several, people are named `source/person`, the
    cameras of each source are numbered on from those of the source before, and some may be crops
    without identities.

    Args:
        folders: Dataset folders, CSV files or addresses, at least one.
        pattern: As `list_samples` takes it, for all of them.
        max_images_per_person: See `cap_images`; for all sources, or by source name.

    Returns:
        The sources, in the order given.

    Raises:
        InputError: A folder cannot be used, or a limit is for no source or less than 1.
    """
    if not folders:
        raise InputError("at least one dataset folder must be given. Received: none.")
    names = _name_sources(folders)
    caps = _caps_of(names, max_images_per_person)
    sources: list[SourceDataset] = []
    next_camera: int | None = None
    for name, folder in zip(names, folders, strict=True):
        with reaching(folder):
            layout = recognise(folder, pattern)
            samples = list_samples(layout, "train", unlabelled=len(folders) > 1)
            samples = cap_images(samples, caps[name])
        cameras = {sample.camera for sample in samples} - {-1}
        offset = 0
        if cameras:
            offset = 0 if next_camera is None else next_camera - min(cameras)
            next_camera = max(cameras) + offset + 1
        prefix = f"{name}/" if len(folders) > 1 else ""
        sources.append(
            SourceDataset(
                name,
                str(folder),
                layout.name,
                tuple(samples),
                prefix,
                offset,
                layout.cameras,
                measure_coverage(folder, layout, (sample.path for sample in samples)),
            )
        )
        if prefix and len(cameras) == 1:
            logger.warning(
                "%s: has one camera, so none of its people is seen by two", sources[-1].folder
            )
    return sources


def cap_images(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """Keeps at most so many images of each person, evenly over cameras, tracklets and time.

    The same samples give the same images, in any order and on any machine. Cameras of a person
    share the limit equally, as far as they have images; so do a camera's tracklets; of a tracklet
    the middles of equal stretches are kept. Images of unknown people are all kept.

    Returns:
        The samples that are kept, sorted by path; all of them without a limit.

    Example:
        >>> walk = [Sample(f"{n}.jpg", "a", n // 6, 1, n) for n in range(9)]
        >>> [sample.frame for sample in cap_images(walk, 4)]
        [1, 4, 6, 8]
    """
    if limit is None:
        return list(samples)
    owned: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        owned[sample.person].append(sample)
    kept: list[Sample] = []
    for person, mine in owned.items():
        kept += mine if not person or len(mine) <= limit else _draw(mine, limit)
    return sort_samples(kept)


def _draw(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """Draws images of one person: a share of each camera, of that a share of each tracklet."""
    by_camera: dict[int, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        by_camera[sample.camera][sample.tracklet].append(sample)
    cameras = [
        [tracklets[t] for t in sorted(tracklets)] for _, tracklets in sorted(by_camera.items())
    ]
    drawn: list[Sample] = []
    for tracklets, share in zip(
        cameras, _share(limit, [sum(map(len, each)) for each in cameras]), strict=True
    ):
        for frames, count in zip(tracklets, _share(share, list(map(len, tracklets))), strict=True):
            walk = sorted(frames, key=lambda sample: (sample.frame, sample.path))
            drawn += [walk[(2 * n + 1) * len(walk) // (2 * count)] for n in range(count)]
    return drawn


def _share(total: int, sizes: Sequence[int]) -> list[int]:
    """Shares a number as evenly as the sizes of the groups allow; the larger ones get the rest."""
    shares = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda group: sizes[group])
    for place, group in enumerate(order):
        shares[group] = min(sizes[group], total // (len(order) - place))
        total -= shares[group]
    return shares


def _name_sources(folders: Sequence[str | Path]) -> list[str]:
    """Names each source by the last part of its path, with a number where that is taken."""
    names: list[str] = []
    for folder in folders:
        text = str(folder)
        path = PurePosixPath(text) if "://" in text else Path(text).resolve()
        base = name = (
            path.stem if path.suffix.lower() in TABLE_SUFFIXES else path.name
        ) or "source"
        number = 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        if name != base:
            logger.warning("%s: another source is called %s; this one is %s", folder, base, name)
        names.append(name)
    return names


def _caps_of(names: Sequence[str], caps: Caps) -> dict[str, int | None]:
    """Gives each source its limit."""
    by_name: dict[str, int | None] = dict.fromkeys(names, caps if isinstance(caps, int) else None)
    if isinstance(caps, Mapping):
        for name in caps:
            check_source_name(name, names, "max_images_per_person")
        by_name.update(caps)
    for limit in by_name.values():
        if limit is not None and limit < 1:
            raise InputError(f"`max_images_per_person` must be at least 1. Received: {limit}")
    return by_name


def check_source_name(name: str, names: Sequence[str], option: str) -> None:
    """Makes sure that an option speaks of a source that there is.

    Raises:
        InputError: There is none of this name.
    """
    if name not in names:
        raise InputError(
            f"`{option}` must name one of the sources: {', '.join(names)}. Received: {name}"
        )
