"""A real training process is killed with SIGKILL at random moments, and goes on as if it were not.

Slow: each start of a process imports TensorFlow.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from siamese.recipes import change_recipe, demo
from siamese.train import train
from siamese.train.run_dir import read_history

EPOCHS = 12


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
