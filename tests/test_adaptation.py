"""`siamese.train.adaptation`: crops of unknown people teach, and what they are called does not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from siamese import cli
from siamese.datasets import list_samples
from siamese.errors import InputError
from siamese.images import read_image
from siamese.inference import load_model
from siamese.losses import ClusterMemory
from siamese.metrics.calibration import Calibration
from siamese.metrics.density import find_density_clusters
from siamese.metrics.unlabelled import camera_statistics, standardise
from siamese.models.checkpoint import load_checkpoint
from siamese.recipes import AdaptationSection, Recipe, adapt, change_recipe, demo
from siamese.synthetic import write_mars_tree
from siamese.train import train
from siamese.train.adaptation import UnlabelledCrops
from siamese.train.run_dir import read_history

EPOCHS = 3
CASTS = ((1.0, 0.75, 0.5), (0.5, 0.8, 1.0), (0.7, 0.7, 0.7))
"""What each camera makes of red, green and blue."""


def named(row: int, camera: int) -> str:
    return f"{row + 1:05d}_c{camera}_1.png"


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of 24 people in blocks of three, by cameras 1, 2, 3 in turn and of three people."""
    drawn = tmp_path_factory.mktemp("adaptation")
    write_mars_tree(drawn / "mars", people=24, cameras=3, frames=1, image_size=(64, 32))
    samples = {
        (int(each.person), each.camera): each for each in list_samples(drawn / "mars", "all")
    }
    folder = drawn / "crops"
    folder.mkdir()
    for row in range(72):
        block, camera = row // 3, row % 3 + 1
        sample = samples[(block + 5 * camera) % 24 + 1, camera]
        pixels = np.asarray(read_image(sample.path), np.float32) * CASTS[camera - 1]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / named(row, camera))
    return folder


def recipe_from(trained: Path, **changes: Any) -> Recipe:
    recipe = change_recipe(
        adapt(),
        weights=str(trained / "model.keras"),
        image_size=(64, 32),
        epochs=EPOCHS,
        batch_size=32,
    )
    return replace(recipe, **changes)


@pytest.fixture(scope="module")
def run(crops: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adaptation") / "run"
    train(crops, recipe_from(trained), run=folder, log=folder.parent / "log", patience=9)
    return folder


def assert_alike(first: Path, second: Path) -> None:
    """Two runs went alike, but for the clock."""
    histories = read_history(first), read_history(second)
    assert len(histories[0]) == EPOCHS
    for one, other in zip(*histories, strict=True):
        del one["images_per_second"], other["images_per_second"]
        assert one == pytest.approx(other, abs=1e-5)


def measure(model: Path, crops: Path, recipe: Recipe, neighbours: int) -> tuple[float, float]:
    """Silhouette and spread once more, from the files of model and crops."""
    source = UnlabelledCrops(crops, recipe)
    rows = load_model(model).embed(sorted(map(str, crops.iterdir())))
    cameras = source.crops.cameras
    found = find_density_clusters(
        standardise(rows, cameras, camera_statistics(rows, cameras)),
        cameras,
        radius=recipe.adaptation.radius,
        neighbours=neighbours,
    )
    spread = np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean())
    return float(found.silhouettes[source.aside].mean()), float(spread)


def test_run_folder_says_what_was_kept(run: Path, crops: Path, trained: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        "recipe.json", "untrained.json", "model.keras", "last.keras", "previous.keras",
        "history.csv", "scores.json",
    }  # fmt: skip
    card = json.loads((run / "scores.json").read_text())
    history = read_history(run)
    assert card["epochs"] == len(history) == EPOCHS
    scores = [card["before"]["val_silhouette"], *(row["val_silhouette"] for row in history)]
    assert card["after"]["val_silhouette"] == max(scores)
    assert card["best_epoch"] == scores.index(max(scores))
    assert (card["crops"], card["aside"]) == (72, 14)


def test_kept_model_is_that_of_the_best_epoch(run: Path, crops: Path, trained: Path) -> None:
    card = json.loads((run / "scores.json").read_text())
    neighbours = card["before"]["neighbours"]
    start, first = measure(trained / "model.keras", crops, recipe_from(trained), neighbours)
    best, spread = measure(run / "model.keras", crops, recipe_from(trained), neighbours)
    assert start == pytest.approx(card["before"]["val_silhouette"], abs=1e-4)
    kept = best * min(spread / first, 1)
    assert kept == pytest.approx(card["after"]["val_silhouette"], abs=1e-4)


def test_model_file_is_calibrated_and_starts_another_training(run: Path) -> None:
    loaded = load_checkpoint(run / "model.keras")
    calibration = Calibration.from_dict(loaded.metadata["calibration"])
    assert 0 < calibration.threshold < 2
    assert all(np.isnan(row[2]) for row in calibration.table)  # misses nobody can know
    assert loaded.metadata["recipe"]["name"] == "adapt"
    assert "likeness" in loaded.metadata


def test_names_of_people_teach_nothing(
    run: Path, crops: Path, trained: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for row, path in enumerate(sorted(crops.iterdir())):
        camera = path.name.split("_")[1][1:]
        # The three crops of a block, which show three people, are called one.
        name = f"{row // 3 + 1:04d}C{camera}T0001F{row:03d}.png"
        (wrong / name).write_bytes(path.read_bytes())
    told = {each.person for each in list_samples(wrong, "all")}
    assert len(told) == 24
    other = tmp_path / "run"
    train(wrong, recipe_from(trained), run=other, log=tmp_path / "log", patience=9)
    assert_alike(other, run)


def test_crops_kept_aside_are_not_trained_on(crops: Path, trained: Path) -> None:
    source = UnlabelledCrops(crops, recipe_from(trained))
    assert set(source.crops.people.tolist()) == {""}
    found = find_density_clusters(np.eye(72, dtype=np.float32), source.crops.cameras, radius=0.4)
    found = replace(found, numbers=np.arange(72) // 6)
    source.rows = np.eye(72, dtype=np.float32)

    memory = ClusterMemory(source.people)
    memory.build([(None, 72), (None,)])
    assert source.take_clusters(found, memory)
    values = keras.ops.convert_to_numpy(memory.centres)
    aside = source.aside
    assert aside.sum() == 14
    assert values.any()
    assert not values[:, aside].any()
    batches, steps = source.batches(0)
    shown = {image.tobytes() for _ in range(steps) for image in next(batches)[0]}
    kept = {image.tobytes() for image in source.crops.images[aside]}
    assert len(shown) == 58
    assert not shown & kept


class Interrupting(Console):
    """A terminal whose user presses Ctrl-C when a certain line appears."""

    def __init__(self, line: str) -> None:
        super().__init__(quiet=True)
        self.line = line

    def print(self, *objects: Any, **_: Any) -> None:
        if self.line in str(objects[0]):
            raise KeyboardInterrupt


def test_interrupted_run_goes_on_as_if_it_were_not(
    run: Path, crops: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, how = tmp_path / "cut", {"log": tmp_path / "log", "patience": 9}
    with pytest.raises(KeyboardInterrupt):
        train(
            crops, recipe_from(trained), run=cut, console=Interrupting(f"epoch   2/{EPOCHS}"), **how
        )
    assert not (cut / "scores.json").exists()
    assert cli.run(cli.train, ["--resume", "--run", str(cut)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "silhouette of 14 crops kept aside" in shown
    assert f"siamese calibrate {crops} --model {cut / 'model.keras'}" in shown
    assert_alike(cut, run)


def test_run_without_a_better_epoch_keeps_the_start(run: Path, crops: Path, tmp_path: Path) -> None:
    recipe = recipe_from(run, epochs=9)
    ruinous = replace(recipe, optimizer=replace(recipe.optimizer, learning_rate=30.0))
    finished = train(crops, ruinous, run=tmp_path / "run", log=tmp_path / "log", patience=1)
    assert finished.scores["best_epoch"] == 0
    assert finished.scores["epochs"] == 1  # it stopped early
    path = str(next(crops.iterdir()))
    kept, start = (load_model(each / "model.keras") for each in (finished.folder, run))
    assert np.array_equal(kept.embed([path]), start.embed([path]))


def test_tracklets_are_one_person_where_the_recipe_says_so(trained: Path, tmp_path: Path) -> None:
    from miniatures import mars_categories

    data = mars_categories(tmp_path, people=3) / "categories"
    base = recipe_from(trained)
    assert UnlabelledCrops(data, base).together is None
    section = AdaptationSection(radius=0.4, tracklets=True)
    together = UnlabelledCrops(data, replace(base, adaptation=section)).together
    assert together is not None
    assert np.bincount(together).tolist() == [2] * 12


def test_command_takes_one_folder_and_no_split(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", "adapt", "--weights", str(trained / "model.keras"), "--data"]
    for wrong in (["a", "b"], ["a", "--seeds", "2"], ["a", "--validation_size", "0.2"]):
        assert cli.run(cli.train, [*words, *wrong]) == 2
        assert "adaptation takes one folder of crops" in capsys.readouterr().err


def test_what_cannot_be_adapted_on_is_named(
    crops: Path, trained: Path, records: Path, tmp_path: Path
) -> None:
    recipe = recipe_from(trained)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no image"):
        train(tmp_path / "empty", recipe, run=tmp_path / "run")
    with pytest.raises(InputError, match="holds records"):
        train(records, recipe, run=tmp_path / "run")
    one = tmp_path / "one"
    one.mkdir()
    pixels = next(crops.iterdir()).read_bytes()
    for row in range(12):
        (one / named(row, 4)).write_bytes(pixels)
    with pytest.raises(InputError, match="12 crops, all of camera 4"):
        train(one, recipe, run=tmp_path / "run")
    (one / named(3, 4)).rename(one / named(3, 5))
    with pytest.raises(InputError, match="fewer than two clusters") as found:
        train(one, recipe, run=tmp_path / "run", log=tmp_path / "log")
    assert "\n" not in str(found.value)
    for changes, said in (
        ({"model": demo().model}, "come from a trained model"),
        ({"loss": demo().loss}, "numbered anew"),
        ({"adaptation": AdaptationSection(radius=1.0)}, "below 1"),
        ({"batches": replace(recipe.batches, sampler="pairs", num_instances=2)}, "batches of P"),
    ):
        with pytest.raises(InputError, match=said):
            train(crops, replace(recipe, **changes), run=tmp_path / "other")
