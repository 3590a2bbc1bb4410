"""Record sets of the earlier project on TensorFlow 1: TF-Slim's keys, and no manifest.

    mars_train_00000-of-00001.tfrecord  mars_validation_00000-of-00001.tfrecord  labels.txt

`labels.txt` has lines such as `0:0001`. The manifest of such a set is made by reading it. It is
told from an unfinished set of ours by its records, which do not say the person's name.
"""

import functools
import io
import re
from collections import Counter
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from PIL import Image

from siamese.errors import InputError
from siamese.filesystem import FileState, as_path, file_states, local_copy
from siamese.records.manifest import LABELS, MANIFEST, UNKNOWN_LABEL, Manifest, Part, Shard
from siamese.records.schema import (
    DamagedRecord,
    decode_example,
    open_shard,
    read_examples,
    read_frames,
)

_PARTS = ("train", "validation")
_FILE = re.compile(r"(?P<name>.+)_(?P<part>train|validation)_\d{5}-of-\d{5}\.tfrecord")


def has_legacy_records(folder: str | Path, name: str | None = None) -> bool:
    """Returns whether a folder holds a complete record set of the earlier project, of any name.

    With a name the files' names must begin with it.
    """
    folder = as_path(folder)
    if (folder / MANIFEST).exists() or not folder.is_dir():
        return False
    sets = _find_sets(folder)
    first = [_first_keys(files["train"][0]) for key, files in sets.items() if name in (None, key)]
    return any("image/encoded" in keys and "image/class/text" not in keys for keys in first)


def _first_keys(path: Path) -> set[str]:
    """The keys of the first record; none where it cannot be read."""
    try:
        with local_copy(path) as copy, open_shard(copy) as file:
            return {
                key for _, record in islice(read_frames(file), 1) for key in decode_example(record)
            }
    except (DamagedRecord, ValueError):
        return set()


def scan_legacy_records(folder: str | Path) -> Manifest:
    """Makes the manifest of a record set of the earlier project by reading all its records.

    Returns:
        A manifest; cameras and tracklets are not known. `split["by"]` is "identity" only if the
        parts share no person: the earlier project split by image.

    Raises:
        InputError: There are several sets, a file is damaged, or a record lacks image or label.
    """
    folder = as_path(folder)
    sets = _find_sets(folder)
    if len(sets) != 1:
        raise InputError(
            f"{folder}: holds several record sets ({', '.join(sorted(sets))}) without a manifest. "
            "Move each into a folder of its own."
        )
    ((name, files),) = sets.items()
    paths = [path for part in _PARTS for path in files[part]]
    states = file_states(str(path) for path in paths)
    return _scan(folder, name, tuple(states.items()))


# A training asks for the manifest several times, and reading a large set takes minutes.
@functools.lru_cache(maxsize=4)
def _scan(folder: Path, name: str, states: tuple[tuple[str, FileState], ...]) -> Manifest:
    names = _read_labels(folder / LABELS)
    digest = blake2b(digest_size=8)
    parts = {}
    for part in _PARTS:
        by_label, sizes, shards = Counter[int](), Counter[str](), []
        for path, state in states:
            file = Path(path).name
            if not file.startswith(f"{name}_{part}_"):
                continue
            before = by_label.total()
            try:
                with local_copy(as_path(path)) as copy:
                    for _, label, encoded, _ in read_examples(copy):
                        if label == UNKNOWN_LABEL:
                            raise ValueError("an image has no label")
                        by_label[label] += 1
                        # Not the size that the record says: batches trust the manifest.
                        with Image.open(io.BytesIO(encoded)) as image:
                            sizes[f"{image.height}x{image.width}"] += 1
            except (DamagedRecord, OSError, ValueError) as error:
                raise InputError(
                    f"{path}: is not a file of records of images ({error}). Make it again."
                ) from None
            shards.append(Shard(file, by_label.total() - before, state.size))
            digest.update(f"{file} {state.size} {shards[-1].records}\n".encode())
        parts[part] = Part(
            images=by_label.total(),
            people=len(by_label),
            cameras=0,
            tracklets=0,
            images_by_label=dict(sorted(by_label.items())),
            image_sizes=dict(sizes.most_common(50)),
            shards=tuple(shards),
        )
    train, validation = (set(parts[part].images_by_label) for part in _PARTS)
    return Manifest(
        name=name,
        dataset="records of the earlier project",
        source=digest.hexdigest(),
        split={"by": "image" if train & validation else "identity"},
        parts=parts,
        labels={names.get(label, str(label)): label for label in sorted(train | validation)},
    )


def _find_sets(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """The sets in a folder that have both parts with all their shards: name to part to files."""
    found: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(folder.iterdir()):
        if match := _FILE.fullmatch(path.name):
            parts = found.setdefault(match["name"], {part: [] for part in _PARTS})
            parts[match["part"]].append(path)
    return {
        name: parts
        for name, parts in found.items()
        if all(
            [path.name for path in files]
            == [f"{name}_{part}_{n:05d}-of-{len(files):05d}.tfrecord" for n in range(len(files))]
            and files
            for part, files in parts.items()
        )
    }


def _read_labels(path: Path) -> dict[int, str]:
    """The lines `0:0001`; none where there is no such file."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {int(label): person for label, _, person in pairs if label.strip().isdecimal()}
