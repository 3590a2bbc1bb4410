"""`siamese.train`: a run leaves what it promises, resumes as if never cut, and learns."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from siamese.errors import InputError
from siamese.models.files import load_model
from siamese.recipes import OptimizerSection, Recipe, batch_hard, change_recipe, contrastive, demo
from siamese.scores.verification import Calibration
from siamese.train import train
from siamese.train.objective import build_optimizer
from siamese.train.watch import Watchdog, read_history

SMALL: dict[str, Any] = {"trunk": "conv4", "weights": "none", "image_size": (64, 32)}


class Interrupting(Console):
    """A terminal whose user presses Ctrl-C when a certain line appears."""

    def __init__(self, line: str) -> None:
        super().__init__(quiet=True)
        self.line = line

    def print(self, *objects: Any, **_: Any) -> None:
        if self.line in str(objects[0]):
            raise KeyboardInterrupt


def test_run_folder_holds_what_it_promises(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "recipe.json", "model.keras", "last.keras", "history.csv", "scores.json",
        "untrained.json", "curves.png", "cmc.png", "distances.png", "rank_list.png",
    }  # fmt: skip
    scores = json.loads((trained / "scores.json").read_text())
    wanted = (
        "rank1 rank5 rank10 mAP mAP_trapezoid mINP queries queries_without_match gallery eer auc"
    )
    assert set(wanted.split()) <= set(scores)
    assert scores["epochs"] == 2
    with (trained / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert max(float(row["val_mAP"]) for row in rows) == pytest.approx(scores["mAP"])


def test_model_file_holds_calibration_and_recipe(trained: Path) -> None:
    loaded = load_model(trained / "model.keras")
    calibration = Calibration.from_dict(loaded.card["calibration"])
    assert 0 < calibration.threshold < 2
    recipe = json.loads((trained / "recipe.json").read_text())["recipe"]
    assert loaded.card["recipe"] == recipe
    assert loaded.fingerprint == json.loads((trained / "scores.json").read_text())["fingerprint"]


def test_tensorboard_gets_curves_and_pictures(trained: Path) -> None:
    events = EventAccumulator(str(trained.parent / "log" / "small")).Reload()
    tags = events.Tags()
    wanted = {"loss/total", "held_out/rank1", "held_out/mAP", "learning_rate", "images_per_second"}
    assert wanted <= set(tags["scalars"])
    assert {"batch/augmented", "held_out/rank_list"} <= set(tags["images"])
    assert [event.step for event in events.Scalars("loss/total")] == [0, 1]


def test_training_is_resumed_as_if_never_interrupted(records: Path, tmp_path: Path) -> None:
    recipe = change_recipe(demo(), **SMALL, epochs=3)
    train(records, recipe, run=tmp_path / "whole", log=tmp_path / "log")
    with pytest.raises(KeyboardInterrupt):
        train(
            records,
            recipe,
            run=tmp_path / "cut",
            log=tmp_path / "log",
            console=Interrupting("epoch   1/3"),
        )
    assert not (tmp_path / "cut" / "scores.json").exists()
    train(records, run=tmp_path / "cut", log=tmp_path / "log")
    whole, cut = read_history(tmp_path / "whole"), read_history(tmp_path / "cut")
    assert len(whole) == len(cut) == 3
    for one, other in zip(whole, cut, strict=True):
        for name in set(one) - {"images_per_second"}:
            assert one[name] == pytest.approx(other[name], abs=1e-6), name
    models = [load_model(tmp_path / name / "model.keras") for name in ("whole", "cut")]
    for one, other in zip(*(model.embedder.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_finished_run_resumes_to_the_same_scores(
    trained: Path, records: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "scores.json").unlink()  # as after a kill before the last write
    again = train(records, run=tmp_path / "run", log=tmp_path / "log")
    before = json.loads((trained / "scores.json").read_text())
    assert again.scores["mAP"] == pytest.approx(before["mAP"], abs=1e-6)


def test_siamese_contrastive_training_learns(records: Path, tmp_path: Path) -> None:
    recipe = change_recipe(contrastive(), image_size=(64, 32), epochs=1)
    assert recipe.model.trunk == "conv4"
    # Eight groups of two a batch, as the small set has no more.
    smaller = Recipe(
        **{**vars(recipe), "batches": type(recipe.batches)(order="pairs", people=8, images=2),
           "epochs": 20, "score_every": 20}
    )  # fmt: skip
    run = train(records, smaller, run=tmp_path / "run", log=tmp_path / "log")
    history = read_history(run.folder)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert {"metric_loss", "same_different_loss"} <= set(history[0])


def test_one_camera_and_people_with_one_image_can_be_trained(
    pedestrians: Path, tmp_path: Path
) -> None:
    from siamese.data.records import build_records

    for path in pedestrians.rglob("*C1*.jpg"):
        if path.parent.name in ("0003", "0004", "0005") and "F001" not in path.name:
            continue
        folder = tmp_path / "one camera" / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    folder, manifest, _ = build_records(tmp_path / "one camera")
    assert min(manifest.parts["train"].images_by_label.values()) == 1
    recipe = change_recipe(demo(), **SMALL, epochs=1)
    recipe = Recipe(**{**vars(recipe), "batches": type(recipe.batches)(people=4, images=2)})
    run = train(folder, recipe, run=tmp_path / "run", log=tmp_path / "log")
    assert run.scores["protocol"] == "query image dropped"


def test_taken_run_folder_is_refused(trained: Path, records: Path) -> None:
    recipe = change_recipe(batch_hard(), **SMALL)
    with pytest.raises(InputError, match=r"already holds a run\. Add --resume"):
        train(records, recipe, run=trained)


def test_damaged_state_is_named(trained: Path, records: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    state = tmp_path / "run" / "last.keras"
    state.write_bytes(state.read_bytes()[:1_000])
    with pytest.raises(InputError, match=r"last\.keras: is damaged"):
        train(records, run=tmp_path / "run", log=tmp_path / "log")


def test_nothing_to_resume_is_said(records: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run to resume"):
        train(records, run=tmp_path)


def test_run_of_other_people_is_not_resumed(
    trained: Path, pedestrians: Path, tmp_path: Path
) -> None:
    from siamese.data.records import build_records

    build_records(pedestrians, tmp_path / "other", random_seed=5)
    with pytest.raises(InputError, match="was started on other records"):
        train(tmp_path / "other", run=trained)


def test_too_small_a_set_is_refused_before_anything_is_written(
    records: Path, tmp_path: Path
) -> None:
    recipe = change_recipe(demo(), **SMALL)
    recipe = Recipe(**{**vars(recipe), "batches": type(recipe.batches)(people=500)})
    with pytest.raises(InputError, match="`people` must be at most"):
        train(records, recipe, run=tmp_path / "run", log=tmp_path / "log")
    assert not list(tmp_path.iterdir())


def test_loss_that_is_no_number_stops_the_run() -> None:
    with pytest.raises(InputError, match="the loss is nan at step 3"):
        Watchdog().on_train_batch_end(3, {"loss": float("nan")})
    Watchdog().on_train_batch_end(3, {"loss": 0.5})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {0: 1.0, 5: 1.0, 99: 1.0}),
        ({"warm_up_epochs": 2.0}, {0: 0.0, 10: 0.5, 20: 1.0, 99: 1.0}),
        ({"decay": "cosine"}, {0: 1.0, 50: 0.5, 100: 0.0}),
        ({"decay": "cosine", "warm_up_epochs": 2.0}, {0: 0.0, 10: 0.5, 20: 1.0, 60: 0.5, 100: 0.0}),
    ],
)
def test_learning_rate_follows_the_recipe(
    options: dict[str, Any], expected: dict[int, float]
) -> None:
    optimizer = build_optimizer(OptimizerSection(learning_rate=1.0, **options), epochs=10, steps=10)
    schedule = optimizer._learning_rate
    for step, rate in expected.items():
        found = schedule(step) if callable(schedule) else schedule
        assert float(keras.ops.convert_to_numpy(found)) == pytest.approx(rate, abs=1e-3), step
