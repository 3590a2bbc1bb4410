"""The JAX backend: losses as on TensorFlow, and training where TensorFlow is not installed."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import siamese
from siamese.recipes import RECIPES, AugmentationSection, change_recipe
from siamese.train.objective import build_training_model

ROOT = Path(__file__).parents[1]

STEP = """
import sys
import keras, numpy as np
import siamese.train.objective  # registers our layers, losses and metrics
folder = sys.argv[1]
batch = np.load(f"{folder}/batch.npz")
for recipe in sys.argv[2:]:
    model = keras.saving.load_model(f"{folder}/{recipe}.keras")
    labels = dict.fromkeys(model.output, batch["labels"])
    outputs = model(batch["images"], training=True)
    print(recipe, float(model.compute_loss(y=labels, y_pred=outputs)))
"""

ALL_STEPS = """
import sys
from siamese.cli import main
data, run, log, image, other = sys.argv[1:]
train = ["train", "--data", data, "--run", run, "--log", log]
small = ["--recipe", "demo", "--epochs", "2", "--image_size", "64", "32"]
assert main([*train, *small]) == 0
assert main(["verify", "--img1", image, "--img2", other, "--model", f"{run}/model.keras"]) == 0
model = ["--model", f"{run}/model.keras"]
assert main(["evaluate", "--data", data, *model, "--output", f"{run}/card"]) == 0
assert main([*train, "--resume"]) == 0
assert not [name for name in sys.modules if name.split(".")[0] == "tensorflow"]
"""


@pytest.fixture
def no_tensorflow(tmp_path: Path) -> dict[str, str]:
    """The environment of a process whose installed packages are ours, all but TensorFlow."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(keras.__file__).parents[1].iterdir():
        if not entry.name.startswith(("tensorflow", "tf2onnx")) and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    return {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": f"{packages}{os.pathsep}{Path(siamese.__file__).parents[1]}",
    }


@pytest.mark.slow
def test_image_folder_is_trained_on_verified_and_evaluated_without_tensorflow(
    pedestrians: Path, tmp_path: Path, no_tensorflow: dict[str, str]
) -> None:
    run, images = tmp_path / "run", sorted(pedestrians.rglob("*.jpg"))[:2]
    done = subprocess.run(
        [sys.executable, "-S", "-c", ALL_STEPS, str(pedestrians), str(run), str(tmp_path / "log"),
         *map(str, images)],
        env=no_tensorflow, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "epoch   2/2" in done.stderr
    assert json.loads((run / "recipe.json").read_text())["versions"]["backend"] == "jax"
    assert (run / "scores.json").exists()
    card = json.loads((run / "card" / "scores.json").read_text())
    assert card["queries"] == 28  # the first image of each of 14 people by 2 cameras
    assert (run / "card" / "report.html").exists()


@pytest.mark.slow
def test_first_step_on_jax_costs_what_it_costs_on_tensorflow(tmp_path: Path) -> None:
    """All recipes, at a small size, without augmentation, which draws other numbers on JAX."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (48, 64, 32, 3)).astype(np.uint8)
    labels = np.repeat(np.arange(12), 4).astype(np.int32)
    np.savez(tmp_path / "batch.npz", images=images, labels=labels)
    expected = {}
    for name in RECIPES:
        recipe = change_recipe(
            RECIPES[name](), backbone="conv4", weights="none", image_size=(64, 32)
        )
        recipe = dataclasses.replace(
            recipe,
            model=dataclasses.replace(recipe.model, dropout=0.0, last_stride=2),
            augmentation=AugmentationSection(flip=False),
            precision="float32",
        )
        keras.utils.set_random_seed(1)
        model = build_training_model(recipe, image_size=(64, 32), classes=12, steps=5)
        model.save(tmp_path / f"{name}.keras")
        outputs = model(images, training=True)
        loss = model.compute_loss(y=dict.fromkeys(model.output, labels), y_pred=outputs)
        expected[name] = float(loss)
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(tmp_path), *expected],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {name: float(loss) for name, loss in map(str.split, done.stdout.splitlines())}
    assert found == pytest.approx(expected, rel=1e-5)
