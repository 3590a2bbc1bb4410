"""`siamese.train.devices`: several devices and processes train like one with the same batch."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.train.devices import MirroredDevices, open_devices, own_folder

ROOT = Path(__file__).parents[1]

STEPS = """
import dataclasses, json, sys
import keras
from siamese.loader.from_files import array_batches, read_images
from siamese.datasets import list_samples
from siamese.recipes import RECIPES, AugmentationSection, change_recipe
from siamese.train.devices import open_devices
from siamese.train.objective import build_training_model
from siamese.train.callbacks import RandomNumbers

data, name, augmented, devices = sys.argv[1:5]
if keras.config.backend() == "tensorflow":
    import tensorflow as tf

    one = tf.config.LogicalDeviceConfiguration()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [one] * int(devices))
machine = open_devices(int(devices))
recipe = change_recipe(RECIPES[name](), backbone="conv4", weights="none", image_size=(64, 32))
if augmented == "no":
    recipe = dataclasses.replace(recipe, augmentation=AugmentationSection(flip=False))
images = read_images(list_samples(data, "train"), image_size=(64, 32))
hosts = {"host": machine.process, "hosts": machine.processes}
steps = array_batches(images, **vars(recipe.batches), **hosts)[1]

def open_batches():
    for pixels, labels in array_batches(images, **vars(recipe.batches), **hosts)[0]:
        yield pixels, dict.fromkeys(model.output, labels)

keras.utils.set_random_seed(0)
with machine.building():
    model = build_training_model(recipe, image_size=(64, 32), classes=14, steps=steps)
machine.prepare(model)
losses = []
keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
with machine.fitting():
    model.fit(
        machine.feed(open_batches), epochs=4, steps_per_epoch=1, shuffle=False, verbose=0,
        callbacks=[RandomNumbers(0), keep],
    )
print(json.dumps({"losses": losses, "devices": machine.count}))
"""

WHOLE = """
import sys
import tensorflow as tf
from siamese.recipes import change_recipe, demo
from siamese.train import train

data, folder = sys.argv[1:]
one = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [one] * 2)
recipe = change_recipe(demo(), epochs=2, image_size=(64, 32))
train(data, recipe, run=f"{folder}/run", log=f"{folder}/log", devices=None)
"""


def _start(code: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _wait(*processes: subprocess.Popen[str]) -> list[Any]:
    ended = [process.communicate(timeout=550) for process in processes]
    for process, (_, errors) in zip(processes, ended, strict=True):
        assert process.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in ended]


@pytest.mark.slow
def test_two_processes_on_jax_cost_what_one_does_with_the_same_batch(pedestrians: Path) -> None:
    """Batch-hard triplets, batch normalisation and augmentation, all over the global batch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    cluster = {
        "KERAS_BACKEND": "jax",
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    }
    given = (pedestrians, "demo", "yes", 1)
    first, second, alone = _wait(
        _start(STEPS, *given, **cluster, KERAS_DISTRIBUTION_PROCESS_ID="0"),
        _start(STEPS, *given, **cluster, KERAS_DISTRIBUTION_PROCESS_ID="1"),
        _start(STEPS, *given, KERAS_BACKEND="jax"),
    )
    assert (first["devices"], alone["devices"]) == (2, 1)
    assert first["losses"] == second["losses"]
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-5)


@pytest.mark.slow
def test_mirrored_devices_cost_what_one_does_where_nothing_is_mined(pedestrians: Path) -> None:
    """Pairs, whose loss is a mean over rows; batch normalisation is over both devices."""
    given = (pedestrians, "contrastive", "no")
    two, one = _wait(
        _start(STEPS, *given, 2, KERAS_BACKEND="tensorflow"),
        _start(STEPS, *given, 1, KERAS_BACKEND="tensorflow"),
    )
    assert (two["devices"], one["devices"]) == (2, 1)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)


@pytest.mark.slow
def test_whole_run_on_all_devices_ends_with_a_model(pedestrians: Path, tmp_path: Path) -> None:
    process = _start(WHOLE, pedestrians, tmp_path, KERAS_BACKEND="tensorflow")
    errors = process.communicate(timeout=550)[1]
    assert process.returncode == 0, errors
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores["queries"] > 0
    assert scores["epochs"] == 2


def test_more_devices_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match=r"must be at most \d+, those of this machine"):
        open_devices(1000)
    with pytest.raises(InputError, match="must be at least 1"):
        open_devices(0)


def test_several_processes_need_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(InputError, match=r"need the JAX backend\. Received: tensorflow"):
        open_devices(None)


def test_people_must_be_shared_evenly() -> None:
    machine = MirroredDevices(1)
    machine.count = 3
    machine.check(num_identities=6, num_instances=4)
    with pytest.raises(InputError, match="must be a multiple of the 3 devices"):
        machine.check(num_identities=16, num_instances=4)


def test_batches_from_python_begin_anew_when_keras_opens_them_again() -> None:
    def count() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for number in range(9):
            yield np.full((2, 3), number, np.uint8), {"metric": np.array([number, -number])}

    fed = MirroredDevices(1).feed(count)
    for _ in range(2):
        seen = [(images.numpy(), targets["metric"].numpy()) for images, targets in fed.take(5)]
        assert [int(images[0, 0]) for images, _ in seen] == list(range(5))
        assert [targets.tolist() for _, targets in seen][4] == [4, -4]
        assert seen[0][0].dtype == np.uint8


def test_only_the_first_process_writes_into_the_run_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "history.csv").write_text("epoch\n")
    machine = open_devices(1)
    with own_folder(machine, run) as folder:
        assert folder == run
    machine.process = 1
    with own_folder(machine, run) as folder:
        assert folder != run
        assert (folder / "history.csv").read_text() == "epoch\n"
        (folder / "scores.json").write_text("{}")
    assert not folder.exists()
    assert not (run / "scores.json").exists()
