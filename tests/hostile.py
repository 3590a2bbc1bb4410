"""Damages valid files of every kind that the program reads and counts what comes of it.

    python tests/hostile.py --inputs 100000        # all kinds, with a table
    python tests/hostile.py --kinds table profile --inputs 500 --seed 7

Every outcome must be a result or an `InputError` of one line, within `SECONDS` and without
`MEGABYTES` more memory. An input is named by kind, seed and number, and is made again by them.
"""

import argparse
import copy
import io
import json
import resource
import shutil
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import google_crc32c
import numpy as np
from miniatures import draw_image, earlier_records, market1501, mars
from networks import colour_network

from siamese.errors import InputError

SECONDS = 5.0
"""Of the processor: a busy machine may take as long as it likes."""
MEGABYTES = 2000

Read: TypeAlias = Callable[[Path], Any]
Make: TypeAlias = Callable[[Path], Path]
Damage: TypeAlias = Callable[[bytes, np.random.Generator], bytes]

ODD_VALUES = (
    None, True, -1, 0, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "\0", "../x",
    "é" * 500, [], {}, [[]], {"a": None}, ["x", 1],
)  # fmt: skip
ODD_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        make: Makes a valid one in an empty folder and returns the file that is damaged.
        read: Reads the file with the program.
        damage: Changes its content.
        slow: Reading it takes so long that a hundredth of the inputs has to do.
    """

    make: Make
    read: Read
    damage: tuple[Damage, ...]
    slow: bool = False


@dataclass
class Outcome:
    """What came of the inputs of one kind.

    Attributes:
        results: How many were read.
        errors: How many were refused with one line.
        slowest: Longest time of one input in seconds.
        grown: Growth of the process's largest memory in MB.
        faults: Number of the input, and what it raised or took.
    """

    results: int = 0
    errors: int = 0
    slowest: float = 0.0
    grown: float = 0.0
    faults: list[tuple[int, str]] = field(default_factory=list)


def change_bytes(content: bytes, random: np.random.Generator) -> bytes:
    """Flips, overwrites, removes, repeats or adds bytes, or cuts the rest off."""
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 6))):
        place = int(random.integers(0, len(changed) + 1))
        length = int(random.integers(1, 33))
        match random.integers(0, 6):
            case 0 if place < len(changed):
                changed[place] ^= 1 << int(random.integers(0, 8))
            case 1:
                number = struct.pack("<I", int(random.choice(ODD_NUMBERS)))
                changed[place : place + 4] = number if random.random() < 0.5 else number[::-1]
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = changed[place : place + length]
            case 4:
                changed[place:place] = random.bytes(length)
            case 5 if random.random() < 0.3:
                del changed[place:]
    return bytes(changed)


def change_text(content: bytes, random: np.random.Generator) -> bytes:
    """Puts signs that mean something to a reader of text in other places."""
    signs = ["\n", "\r", ",", ";", "\t", '"', "\0", "\ufeff", "-", "1e999", "9" * 30, "\u2028", "{"]
    text = content.decode()
    for _ in range(int(random.integers(1, 5))):
        place = int(random.integers(0, len(text) + 1))
        text = text[:place] + str(random.choice(signs)) + text[place + int(random.integers(0, 4)) :]
    return text.encode()


def change_json(content: bytes, random: np.random.Generator) -> bytes:
    """Replaces or removes a value anywhere in a JSON document."""
    document = {"": json.loads(content)}
    for _ in range(int(random.integers(1, 3))):
        nodes = list(_places(document))
        holder, key = nodes[int(random.integers(0, len(nodes)))]
        if random.random() < 0.2 and holder is not document:
            del holder[key]
        else:
            odd = ODD_VALUES[int(random.integers(0, len(ODD_VALUES)))]
            holder[key] = copy.deepcopy(odd)  # else the next value may be put into itself
    return json.dumps(document.get("")).encode()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in list(keys):
        yield node, key
        yield from _places(node[key])


def change_members(content: bytes, random: np.random.Generator) -> bytes:
    """Changes one file of a zip archive and packs it again, sums and all."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    name = str(random.choice(list(members)))
    if name.endswith(".json") and random.random() < 0.7:
        members[name] = change_json(members[name], random)
    elif random.random() < 0.1:
        members.pop(name)
    elif random.random() < 0.1:
        members[f"../{name}"] = members.pop(name)
    else:
        members[name] = change_bytes(members[name], random)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return packed.getvalue()


def change_png(content: bytes, random: np.random.Generator) -> bytes:
    """Changes a PNG image's sizes and kind, with the right check sum, so that it is decoded."""
    header = bytearray(content[12:29])
    if random.random() < 0.5:
        place = 4 + 4 * int(random.integers(0, 2))
        header[place : place + 4] = struct.pack(">I", int(random.choice(ODD_NUMBERS)))
    else:
        header[12 + int(random.integers(0, 5))] = int(random.integers(0, 256))
    return content[:12] + bytes(header) + struct.pack(">I", zlib.crc32(header)) + content[33:]


def change_records(content: bytes, random: np.random.Generator) -> bytes:
    """Changes a record of a TFRecord file and frames it again, check sums and all."""
    records, place = [], 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        records.append(content[place + 12 : place + 12 + length])
        place += 16 + length
    chosen = int(random.integers(0, len(records)))
    records[chosen] = change_bytes(records[chosen], random)
    return b"".join(
        head + _masked_sum(head) + record + _masked_sum(record)
        for record in records
        for head in (struct.pack("<Q", len(record)),)
    )


def _masked_sum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _one_image(name: str) -> Make:
    return lambda folder: draw_image(folder / name, 32, 16)


def _identity_table(folder: Path) -> Path:
    rows = ["identity,path,camera,tracklet"]
    for person in ("1", "2"):
        for camera in (1, 2):
            draw_image(folder / f"{person}_{camera}.png", 16, 8)
            rows.append(f"{person},{person}_{camera}.png,{camera},{camera}")
    (folder / "people.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "people.csv"


def _triplet_table(folder: Path) -> Path:
    for name in "abc":
        draw_image(folder / f"{name}.png", 16, 8)
    path = folder / "triplets.csv"
    path.write_text("Anchor,Positive,Negative\na.png,b.png,c.png\n", encoding="utf-8")
    return path


def _mars_table(folder: Path) -> Path:
    return mars(folder) / "info" / "tracks_train_info.mat"


def _record_set(folder: Path) -> Path:
    from siamese.records import build_records

    for person in range(1, 7):
        for camera in (1, 2):
            name = f"{person:04d}C{camera}T0001F001.png"
            draw_image(folder / "images" / f"{person:04d}" / name, 16, 8)
    build_records(folder / "images", folder / "set")
    return folder / "set"


def _shard(folder: Path) -> Path:
    """A shard of the earlier project: without a manifest it is read whole."""
    earlier_records(_record_set(folder), folder / "earlier")
    return next(iter(sorted((folder / "earlier").glob("*_train_*"))))


def _archive(folder: Path) -> Path:
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("anna/1.png", "anna/2.png", "ben/1.png"):
            archive.write(draw_image(folder / name, 16, 8), name)
    return path


def _model(folder: Path) -> Path:
    from siamese.models.checkpoint import save_checkpoint
    from siamese.models.embedder import build_embedder, join_embedder

    parts = build_embedder(
        backbone="conv4", weights="none", image_size=(32, 32), embedding_size=8, bnneck=False
    )
    path = folder / "model.keras"
    save_checkpoint(path, join_embedder(parts), image_size=(32, 32), metadata={})
    return path


def _embeddings(suffix: str) -> Make:
    def make(folder: Path) -> Path:
        from siamese.embeddings import embed_folder

        colour_network(folder / "colour.onnx")
        for person in ("anna", "ben"):
            draw_image(folder / "images" / person / "1.png", 64, 32)
        path = folder / f"embeddings{suffix}"
        embed_folder(folder / "images", path, folder / "colour.onnx")
        return path

    return make


def _profile(folder: Path) -> Path:
    from siamese.profiles import calibrate

    for person in range(1, 9):
        for camera in (1, 2):
            draw_image(folder / "images" / f"{person}" / f"{person:04d}_c{camera}s1_000001_01.jpg")
    model = colour_network(folder / "colour.onnx")
    calibrate(folder / "images", model=model).write(folder / "profile.json")
    return folder / "profile.json"


def _weights(folder: Path, *, archive: bool = True) -> Path:
    from torch_files import write_tensors

    path = folder / "weights.pth"
    tensors = {"a.weight": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float32)}
    return write_tensors(path, tensors, archive=archive)


def _run_config(folder: Path) -> Path:
    shutil.copytree(Path(__file__).parent / "fixtures" / "run", folder / "run")
    return folder / "run" / "recipe.json"


def _scores(folder: Path) -> Path:
    from siamese.evaluate import evaluate

    model = colour_network(folder / "colour.onnx")
    evaluate(model, market1501(folder / "images"), output=folder / "scores")
    return folder / "scores" / "scores.json"


def _read_keras(path: Path) -> Any:
    from siamese.models.checkpoint import load_checkpoint

    return load_checkpoint(path).embedder(np.zeros((1, 32, 32, 3), np.float32))


def _read_onnx(path: Path) -> Any:
    from siamese.inference import load_model

    return load_model(path).embed([np.full((64, 32, 3), 90, np.uint8)])


def _call(module: str, name: str, *, folder: bool = False, **options: Any) -> Read:
    def read(path: Path) -> Any:
        function = getattr(__import__(module, fromlist=[name]), name)
        result = function(path.parent if folder else path, **options)
        return list(result) if isinstance(result, Iterator) else result

    return read


KINDS: dict[str, Kind] = {
    "jpeg": Kind(_one_image("a.jpg"), _call("siamese.images", "read_image"), (change_bytes,)),
    "png": Kind(
        _one_image("a.png"), _call("siamese.images", "read_image"), (change_bytes, change_png)
    ),
    "webp": Kind(_one_image("a.webp"), _call("siamese.images", "read_image"), (change_bytes,)),
    "bmp": Kind(_one_image("a.bmp"), _call("siamese.images", "read_image"), (change_bytes,)),
    "tiff": Kind(_one_image("a.tif"), _call("siamese.images", "read_image"), (change_bytes,)),
    "gif": Kind(_one_image("a.gif"), _call("siamese.images", "read_image"), (change_bytes,)),
    "shard": Kind(
        _shard,
        _call("siamese.records.reader", "read_manifest", folder=True),
        (change_records, change_bytes),
    ),
    "manifest": Kind(
        lambda folder: _record_set(folder) / "manifest.json",
        _call("siamese.records", "verify_records", folder=True),
        (change_json, change_text),
    ),
    "identities": Kind(
        _identity_table,
        _call("siamese.datasets.tables", "read_identities"),
        (change_text, change_bytes),
    ),
    "triplets": Kind(
        _triplet_table,
        _call("siamese.datasets.tables", "read_triplets"),
        (change_text, change_bytes),
    ),
    "mars": Kind(
        _mars_table,
        lambda path: _call("siamese.datasets.mars", "list_tracklets", part="train")(
            path.parent.parent
        ),
        (change_bytes,),
    ),
    "profile": Kind(
        _profile, _call("siamese.profiles", "read_profile"), (change_json, change_text)
    ),
    "recipe": Kind(
        _run_config,
        _call("siamese.train.run_dir", "read_run_config", folder=True),
        (change_json, change_text),
    ),
    "scores": Kind(
        _scores,
        _call("siamese.evaluate.score_files", "read_score_report"),
        (change_json, change_text),
    ),
    "npz": Kind(
        _embeddings(".npz"),
        _call("siamese.embeddings", "read_embeddings"),
        (change_bytes, change_members),
    ),
    "csv": Kind(
        _embeddings(".csv"),
        _call("siamese.embeddings", "read_embeddings"),
        (change_text, change_bytes),
    ),
    "parquet": Kind(
        _embeddings(".parquet"), _call("siamese.embeddings", "read_embeddings"), (change_bytes,)
    ),
    "zip": Kind(
        _archive,
        lambda path: _call("siamese.app.uploads", "keep_archive", home=path.parent / "kept")(path),
        (change_bytes, change_members),
    ),
    "pth": Kind(
        _weights,
        _call("siamese.models.torch_weights", "read_tensors"),
        (change_bytes, change_members),
    ),
    "older_pth": Kind(
        lambda folder: _weights(folder, archive=False),
        _call("siamese.models.torch_weights", "read_tensors"),
        (change_bytes,),
    ),
    "keras": Kind(_model, _read_keras, (change_bytes, change_members), slow=True),
    "onnx": Kind(
        lambda folder: colour_network(folder / "colour.onnx"), _read_onnx, (change_bytes,)
    ),
}


def damage_files(name: str, inputs: int, seed: int = 0, *, first: int = 0) -> Outcome:
    """Reads damaged files of one kind.

    Args:
        name: Of `KINDS`.
        inputs: How many.
        seed: Of the damage.
        first: Number of the first input.
    """
    kind, outcome = KINDS[name], Outcome()
    with tempfile.TemporaryDirectory() as scratch:
        path = kind.make(Path(scratch))
        whole = path.read_bytes()
        kind.read(path)  # is read as it is; what it imports counts for no input
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        listed = _files_outside(Path(scratch))
        for number in range(first, first + inputs):
            random = np.random.default_rng([seed, number, zlib.crc32(name.encode())])
            damage = kind.damage[number % len(kind.damage)]
            path.write_bytes(damage(whole, random))
            started = time.process_time()
            try:
                kind.read(path)
            except InputError as error:
                outcome.errors += 1
                if "\n" in str(error).strip():
                    outcome.faults.append((number, f"more than one line: {error}"))
            except BaseException as error:  # what a reader lets through is what we look for
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome.faults.append((number, f"{type(error).__name__}: {error}"[:200]))
            else:
                outcome.results += 1
            took = time.process_time() - started
            outcome.slowest = max(outcome.slowest, took)
            if took > SECONDS:
                outcome.faults.append((number, f"took {took:.1f} s"))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        outcome.grown = grown / 1000
        if outcome.grown > MEGABYTES:
            outcome.faults.append((-1, f"took {outcome.grown:.0f} MB"))
        if _files_outside(Path(scratch)) != listed:
            outcome.faults.append((-1, "wrote beside its folder"))
    return outcome


def _files_outside(scratch: Path) -> set[Path]:
    """Lists what lies in the folder above, where `../x` would be written."""
    return {each for each in scratch.parent.iterdir() if each.name in ("x", "anna", "ben")}


def main() -> None:
    """Damages files of all kinds and prints a table; exits with 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    arguments = parser.parse_args()
    weights = {name: 0.01 if KINDS[name].slow else 1.0 for name in arguments.kinds}
    share = arguments.inputs / sum(weights.values())
    print(f"{'kind':12}{'inputs':>8}{'read':>8}{'refused':>9}{'slowest s':>11}{'MB':>6}  faults")
    faults = 0
    for name in arguments.kinds:
        found = damage_files(name, max(1, round(share * weights[name])), arguments.seed)
        count = found.results + found.errors
        print(
            f"{name:12}{count:8}{found.results:8}{found.errors:9}{found.slowest:11.2f}"
            f"{found.grown:6.0f}  {len(found.faults)}",
            flush=True,
        )
        kinds = Counter(text for _, text in found.faults)
        for text, times in kinds.most_common(10):
            number = next(number for number, each in found.faults if each == text)
            print(f"    {times} x, first input {number}: {text}")
        faults += len(found.faults)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
