"""What a record set would hold, before anything is written."""

from pathlib import Path

from siamese.datasets import DatasetPaths, as_list, list_sources
from siamese.datasets.splits import SplitRule, refuse_duplicates, split_sources
from siamese.filesystem import as_path, listed_once, reaching
from siamese.records.manifest import MANIFEST
from siamese.records.writer import default_folder


def count_records(
    dataset_dir: DatasetPaths,
    folder: str | Path | None = None,
    *,
    split: SplitRule,
    pattern: str | None = None,
) -> tuple[Path, dict[str, int]]:
    """Counts the images of each part that `build_records` would write, and names the folder.

    The arguments are those of `build_records`. Where a set is complete already, nothing is counted.
    """
    datasets = as_list(dataset_dir)
    place = datasets[0] if folder is None else folder
    with reaching(place), listed_once():
        folder = default_folder(place) if folder is None else as_path(folder)
        if (folder / MANIFEST).exists():
            return folder, {}
        sources = list_sources(datasets, pattern, split.max_images_per_person)
        parts = split_sources(sources, split)
        refuse_duplicates([sample for part in parts.values() for sample in part])
        return folder, {name: len(samples) for name, samples in parts.items()}
