"""Real processes are killed with SIGKILL at random moments, and go on as if they were not.

Slow: each start of a process imports what it needs.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.gallery import Gallery
from siamese.inference import load_model
from siamese.recipes import change_recipe, demo
from siamese.records import read_manifest
from siamese.synthetic import write_mars_tree
from siamese.train import train
from siamese.train.run_dir import read_history

EPOCHS = 12
KILLS = 30


def _digest(out: Path) -> Any:
    files = [path for path in sorted(out.rglob("*")) if path.is_file()] if out.is_dir() else [out]
    return {
        path.name: blake2b(path.read_bytes()).hexdigest()
        for path in files
        if ".partial" not in path.name  # of a kill within a write; gone after a day
    }


def _read_records(out: Path) -> Any:
    read_manifest(out)  # a set that is not finished is none
    return _digest(out)


def _read_gallery(out: Path) -> Any:
    gallery = Gallery(out, load_model("pretrained"))
    return sorted((each.path, each.person, each.camera) for each in gallery.images())


def _embed_with(out: Path) -> Any:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 128, 64, 3), np.uint8)
    return load_model(out).embed(list(pixels)).tobytes()


COMMANDS: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "records": (
        "records make --dataset_dir {people} --num_shards 3 --output_dir",
        "set",
        _read_records,
    ),
    "embed": ("embed {people} --output", "all.csv", _digest),
    "gallery add": ("gallery add {people} --gallery", "gallery", _read_gallery),
    "gallery remove": ("gallery remove --person 0007 --gallery", "gallery", _read_gallery),
    "calibrate": ("calibrate {people} --output", "profile.json", _digest),
    "export": ("export --format onnx --output", "model.onnx", _embed_with),
}
"""Of each command its words, what it writes, and what of that is to be the same in the end."""


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_command_that_is_killed_again_and_again_ends_like_one_that_is_not(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    words, output, read = COMMANDS[name]
    people = tmp_path / "people"
    write_mars_tree(people, people=60, cameras=2, frames=2)
    if name == "gallery remove":
        Gallery(tmp_path / "start" / output, load_model("pretrained")).add(people)
    else:
        (tmp_path / "start").mkdir()
    before = read(tmp_path / "start" / output) if name == "gallery remove" else None

    def run(folder: Path, seconds: float) -> bool:
        """Starts the command, or goes on with it, and kills it; whether it came to its end."""
        if not folder.exists():
            shutil.copytree(tmp_path / "start", folder)
        command = [*words.format(people=people).split(), str(folder / output)]
        process = subprocess.Popen(
            [sys.executable, "-m", "siamese", *command], stderr=subprocess.PIPE, text=True
        )
        try:
            errors = process.communicate(timeout=seconds)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return False
        gone = "nobody is named '0007'" in errors  # the one before was killed when all was erased
        assert process.returncode == 0 or gone, errors
        return True

    started = time.monotonic()
    assert run(tmp_path / "whole", 300)
    took, whole = time.monotonic() - started, read(tmp_path / "whole" / output)

    seed = int(time.time())
    record_property("seed of the moments", seed)
    moments = random.Random(seed)
    cut = tmp_path / "cut"
    for _ in range(KILLS):
        if run(cut, moments.uniform(0, took)):
            assert read(cut / output) == whole
            shutil.rmtree(cut)
            continue
        try:
            found = read(cut / output)
        except (InputError, FileNotFoundError):
            continue  # not there yet, which is said
        if name == "gallery add":
            assert set(found) <= set(whole)
        else:
            assert found in (before, whole)
    assert run(cut, 300)
    assert read(cut / output) == whole
    if name == "gallery remove":  # from every file, not from the newest version alone
        assert _files_with(b"/0007/", tmp_path / "start")
        assert not _files_with(b"/0007/", cut)


def _files_with(text: bytes, folder: Path) -> list[Path]:
    return [
        path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()
    ]  # fmt: skip


def _start(records: Path, run: Path, log: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "siamese", "train", "--data", str(records), "--run", str(run)]
    return subprocess.Popen(
        [*command, "--log", str(log), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def _kill_after(process: subprocess.Popen[str], run: Path, epochs: int, seconds: float) -> None:
    """Kills the process some seconds after it has finished some epochs of the run."""
    deadline = time.monotonic() + 300
    while len(read_history(run)) < epochs:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_run_that_is_killed_three_times_ends_like_one_that_is_not(
    records: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    recipe = change_recipe(demo(), epochs=EPOCHS, image_size=(64, 32))
    train(records, recipe, run=tmp_path / "whole", log=tmp_path / "log")
    whole = read_history(tmp_path / "whole")

    seed = int(time.time())
    record_property("seed of the moments", seed)
    moments = random.Random(seed)
    run = tmp_path / "cut"
    new = ["--recipe", "demo", "--epochs", str(EPOCHS), "--image_size", "64", "32"]
    _kill_after(_start(records, run, tmp_path / "log", *new), run, 1, moments.uniform(0, 1))
    lengths = [len(read_history(run))]
    for _ in range(2):
        process = _start(records, run, tmp_path / "log", "--resume")
        epochs = lengths[-1] + moments.randint(1, 2)
        _kill_after(process, run, epochs, moments.uniform(0, 1))
        lengths.append(len(read_history(run)))
    record_property("epochs done at the kills", lengths)
    assert not (run / "scores.json").exists()
    last = _start(records, run, tmp_path / "log", "--resume")
    output, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert f"run folder   {run}" in output

    cut = read_history(run)
    assert len(cut) == len(whole) == EPOCHS
    for one, other in zip(whole, cut, strict=True):
        for name in set(one) - {"images_per_second"}:
            assert one[name] == pytest.approx(other[name], abs=1e-6), name
