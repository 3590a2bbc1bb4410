"""`siamese.train`: a run leaves what it promises, resumes as if never cut, and learns."""

import csv
import io
import json
import os
import shutil
import zipfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from miniatures import draw_image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from siamese.errors import InputError
from siamese.metrics.calibration import Calibration
from siamese.models.checkpoint import load_checkpoint
from siamese.models.transfer import describe_start
from siamese.recipes import (
    BatchSection,
    OptimizerSection,
    Recipe,
    batch_hard,
    change_recipe,
    contrastive,
    demo,
    fine_tune,
)
from siamese.records import build_records, read_manifest
from siamese.sampler import fit_groups
from siamese.train import train
from siamese.train.devices import OneDevice
from siamese.train.objective import build_training_model, held_out_loss
from siamese.train.optimizer import build_optimizer
from siamese.train.run_dir import free_folder, hold_folder, read_history
from siamese.train.training_data import MemoryData, open_training_data
from siamese.vectors import Embeddings

SMALL: dict[str, Any] = {"backbone": "conv4", "weights": "none", "image_size": (64, 32)}


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
        "recipe.json", "model.keras", "last.keras", "previous.keras", "history.csv",
        "scores.json", "untrained.json", "curves.png", "cmc.png", "distances.png", "rank_list.png",
        "queries.csv",
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
    assert all(0 < float(row["val_loss"]) < 2 for row in rows)


def test_five_nearest_of_every_held_out_query_are_a_table(trained: Path) -> None:
    scores = json.loads((trained / "scores.json").read_text())
    with (trained / "queries.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == scores["queries"]
    for row in rows:
        distances = [float(row[f"distance_{place}"]) for place in range(1, 6)]
        assert distances == sorted(distances)
        for place in range(1, 6):
            right = row[f"nearest_{place}"].split("/")[0] == row["person"]
            assert row[f"right_{place}"] == str(int(right))
    assert scores["rank1"] == pytest.approx(np.mean([int(row["right_1"]) for row in rows]))


def test_loss_of_held_out_people_is_the_metric_loss_of_their_embeddings() -> None:
    embeddings = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    people, cameras = np.array(["a", "a", "b", "b"]), np.array([1, 2, 1, 2])
    gallery = Embeddings(embeddings, people, cameras, np.array(list("wxyz")))
    batches = BatchSection(num_identities=16, num_instances=2)
    recipe = replace(batch_hard(), batches=batches)
    assert held_out_loss(recipe, gallery) == 0.0
    wide = replace(recipe, loss=replace(recipe.loss, options={"margin": 2.0}))
    assert held_out_loss(wide, gallery) == pytest.approx(2.0 - np.sqrt(2))
    # What the loss sees before a BNNeck is not what is embedded.
    assert held_out_loss(demo(), gallery) is None
    assert held_out_loss(recipe, gallery.rows(np.array([0, 1]))) is None


def test_model_file_holds_calibration_and_recipe(trained: Path) -> None:
    loaded = load_checkpoint(trained / "model.keras")
    calibration = Calibration.from_dict(loaded.metadata["calibration"])
    assert 0 < calibration.threshold < 2
    recipe = json.loads((trained / "recipe.json").read_text())["recipe"]
    assert loaded.metadata["recipe"] == recipe
    assert loaded.fingerprint == json.loads((trained / "scores.json").read_text())["fingerprint"]


def test_tensorboard_gets_curves_and_pictures(trained: Path) -> None:
    events = EventAccumulator(str(trained.parent / "log" / "small")).Reload()
    tags = events.Tags()
    wanted = {
        "loss/total",
        "held_out/loss",
        "held_out/rank1",
        "held_out/mAP",
        "learning_rate",
        "images_per_second",
    }
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
    models = [load_checkpoint(tmp_path / name / "model.keras") for name in ("whole", "cut")]
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
    assert recipe.model.backbone == "conv4"
    # Eight groups of two a batch, as the small set has no more.
    batches = BatchSection(sampler="pairs", num_identities=8, num_instances=2)
    smaller = Recipe(**{**vars(recipe), "batches": batches, "epochs": 30, "score_every": 30})
    run = train(records, smaller, run=tmp_path / "run", log=tmp_path / "log")
    history = read_history(run.folder)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert {"metric_loss", "same_different_loss"} <= set(history[0])


def test_one_camera_and_people_with_one_image_can_be_trained(
    pedestrians: Path, tmp_path: Path
) -> None:

    for path in pedestrians.rglob("*C1*.jpg"):
        if path.parent.name in ("0003", "0004", "0005") and "F001" not in path.name:
            continue
        folder = tmp_path / "one camera" / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    folder, manifest, _ = build_records(tmp_path / "one camera")
    assert min(manifest.parts["train"].images_by_label.values()) == 1
    recipe = change_recipe(demo(), **SMALL, epochs=1)
    recipe = Recipe(**{**vars(recipe), "batches": BatchSection(num_identities=4, num_instances=2)})
    run = train(folder, recipe, run=tmp_path / "run", log=tmp_path / "log")
    assert run.scores["protocol"] == "query image dropped"


def test_model_to_start_from_is_kept_where_no_epoch_is_better(
    trained: Path, records: Path, tmp_path: Path
) -> None:
    recipe = change_recipe(
        fine_tune(), weights=str(trained / "model.keras"), image_size=(64, 32), epochs=1
    )
    ruinous = replace(recipe.optimizer, learning_rate=1.0, warm_up_epochs=0.0, frozen_epochs=0.0)
    said = Console(file=io.StringIO(), width=200)
    run = train(
        records,
        replace(recipe, optimizer=ruinous),
        run=tmp_path / "run",
        log=tmp_path / "log",
        console=said,
    )
    assert "no epoch was better" in said.file.getvalue()
    assert run.scores["mAP"] == pytest.approx(run.scores["untrained"]["mAP"])
    weights = [
        load_checkpoint(folder / "model.keras").embedder.get_weights()
        for folder in (trained, tmp_path / "run")
    ]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def test_model_file_and_recipe_name_the_starting_weights(
    trained: Path, records: Path, tmp_path: Path
) -> None:
    start = {"weights": "conv4 with random weights", "licence": "none"}
    assert json.loads((trained / "recipe.json").read_text())["starting_weights"] == start
    card = load_checkpoint(trained / "model.keras").metadata
    assert card["starting_weights"] == start
    # The licence goes on to whatever starts from that model.
    onwards = describe_start("conv4", str(trained / "model.keras"))
    assert onwards["licence"] == "none"
    assert describe_start("efficientnet_lite0", "pretrained")["licence"].startswith("research use")
    assert "Apache 2.0" in describe_start("efficientnet_lite0", "imagenet")["licence"]


def test_pretrained_model_is_scored_on_the_same_people(trained: Path) -> None:
    scores = json.loads((trained / "scores.json").read_text())
    assert set(scores["pretrained"]) == {"rank1", "mAP", "eer"}
    assert scores["pretrained"]["mAP"] > scores["mAP"]  # drawn people, two epochs of four layers


def test_taken_run_folder_is_refused(trained: Path, records: Path) -> None:
    recipe = change_recipe(batch_hard(), **SMALL)
    with pytest.raises(InputError, match=r"already holds a run\. Add --resume"):
        train(records, recipe, run=trained)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_epoch_before_is_used_where_the_last_state_is_damaged(
    trained: Path, records: Path, tmp_path: Path
) -> None:
    run, notes = tmp_path / "run", io.StringIO()
    shutil.copytree(trained, run)
    (run / "scores.json").unlink()
    _truncate(run / "last.keras")
    train(records, run=run, log=tmp_path / "log", console=Console(file=notes))
    assert (
        "last.keras is damaged; the state of the epoch before, previous.keras" in notes.getvalue()
    )
    assert "resumes after epoch 1" in notes.getvalue()
    for one, other in zip(read_history(trained), read_history(run), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)


def test_two_damaged_states_are_named(trained: Path, records: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    for name in ("last.keras", "previous.keras"):
        _truncate(tmp_path / "run" / name)
    with pytest.raises(InputError, match=r"last\.keras: is damaged, and there is no older state"):
        train(records, run=tmp_path / "run", log=tmp_path / "log")


def test_state_of_another_architecture_is_refused(
    trained: Path, records: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    recipe = change_recipe(demo(), **SMALL)
    other = build_training_model(recipe, image_size=(64, 32), classes=9, steps=1)
    other.save(tmp_path / "run" / "last.keras")
    with zipfile.ZipFile(tmp_path / "run" / "last.keras", "a") as archive:
        archive.writestr("epochs.txt", "1")
    with pytest.raises(InputError, match="holds a model of another architecture"):
        train(records, run=tmp_path / "run", log=tmp_path / "log")


def test_damaged_record_is_said_in_a_line(records: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(records, tmp_path / "set"))
    shard = next(folder.glob("*train*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0x55
    shard.write_bytes(data)
    with pytest.raises(InputError, match=r"\(corrupted record at \d+\)\. See which") as caught:
        train(folder, change_recipe(batch_hard(), **SMALL), run=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_processes_are_told_their_precision(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = OneDevice()
    machine.processes = 2
    monkeypatch.setattr("siamese.train.training.open_devices", lambda _: machine)
    recipe = change_recipe(batch_hard(), **SMALL, precision="auto")
    with pytest.raises(InputError, match="processes could measure differently"):
        train(records, recipe, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_folder_in_use_is_refused(trained: Path, records: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    with hold_folder(tmp_path / "run"):
        owner = rf"is in use by process {os.getpid()} on \S+\. Wait for it"
        with pytest.raises(InputError, match=owner):
            train(records, run=tmp_path / "run")
    assert not list((tmp_path / "run").glob("*lock*"))


def test_runs_of_one_name_do_not_share_a_log(tmp_path: Path) -> None:
    first = free_folder(tmp_path / "log" / "osnet")
    first.mkdir(parents=True)
    assert first == tmp_path / "log" / "osnet"
    assert free_folder(tmp_path / "log" / "osnet") == tmp_path / "log" / "osnet-2"


def test_resumed_run_goes_on_in_its_own_log(trained: Path, records: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    start = json.loads((tmp_path / "run" / "recipe.json").read_text())
    start["log"] = str(tmp_path / "old log")
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(start))
    finished = train(records, run=tmp_path / "run", log=tmp_path / "other log")
    assert finished.log == tmp_path / "old log"
    assert not (tmp_path / "other log").exists()


def test_nothing_to_resume_is_said(records: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run to resume"):
        train(records, run=tmp_path)


def test_run_of_other_people_is_not_resumed(
    trained: Path, pedestrians: Path, tmp_path: Path
) -> None:

    build_records(pedestrians, tmp_path / "other", random_seed=5)
    with pytest.raises(InputError, match="was started on other records"):
        train(tmp_path / "other", run=trained)


def test_refused_start_leaves_no_run_folder(records: Path, tmp_path: Path) -> None:
    recipe = change_recipe(batch_hard(), **{**SMALL, "weights": str(tmp_path / "gone.h5")})
    with pytest.raises(InputError, match="no such weights file"):
        train(records, recipe, run=tmp_path / "run", log=tmp_path / "log")
    assert not list(tmp_path.iterdir())


def test_nobody_need_be_held_out(pedestrians: Path, tmp_path: Path) -> None:

    folder = build_records(pedestrians, tmp_path / "set", validation_size=0)[0]
    recipe = change_recipe(batch_hard(), **SMALL, epochs=1, batch_size=32)
    run = train(folder, recipe, run=tmp_path / "run", log=tmp_path / "log")
    assert run.scores["source"] == "14 training people, as nobody is held out"
    build_records(pedestrians, tmp_path / "all", validation_size=1)
    with pytest.raises(InputError, match="holds no training images"):
        train(tmp_path / "all", recipe, run=tmp_path / "other")


def test_batches_of_a_small_set_are_smaller_and_it_is_said(
    records: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = change_recipe(demo(), **SMALL)
    wanted = BatchSection(num_identities=500, num_instances=4)
    source = open_training_data(records, Recipe(**{**vars(recipe), "batches": wanted}))
    part = read_manifest(records).parts["train"]
    groups = sum(-(-count // 4) for count in part.images_by_label.values())
    assert source.recipe.batches == BatchSection(num_identities=groups, num_instances=4)
    assert f"batches have {groups} groups of 4 images in place of 500" in caplog.text
    assert "people to learn from" in caplog.text


def test_people_of_one_image_each_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    for person in "abcde":
        draw_image(tmp_path / "crops" / person / "1.jpg")
    folder = build_records(tmp_path / "crops", tmp_path / "set")[0]
    with pytest.raises(InputError, match=r"nobody of \d people has two .* siamese calibrate"):
        open_training_data(folder, change_recipe(demo(), **SMALL))


def test_sets_that_are_too_small_are_refused_with_what_helps() -> None:
    for groups, options in ((1, {}), (3, {"sampler": "pairs"}), (2, {"hosts": 3})):
        with pytest.raises(InputError, match=r"needs at least .* siamese calibrate"):
            fit_groups(groups, 12, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {0: 1.0, 5: 1.0, 99: 1.0}),
        ({"warm_up_epochs": 2.0}, {0: 0.0, 10: 0.5, 20: 1.0, 99: 1.0}),
        ({"decay": "cosine"}, {0: 1.0, 50: 0.5, 100: 0.0}),
        ({"decay": "cosine", "warm_up_epochs": 2.0}, {0: 0.0, 10: 0.5, 20: 1.0, 60: 0.5, 100: 0.0}),
        ({"decay": "cosine", "decay_share": 0.2}, {0: 1.0, 80: 1.0, 90: 0.5, 100: 0.0}),
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


def test_training_in_memory_takes_the_given_triplets(pedestrians: Path, tmp_path: Path) -> None:
    shutil.copytree(pedestrians, tmp_path / "tree")
    images = tmp_path / "tree" / "images"
    images.mkdir()
    for path in (tmp_path / "tree").rglob("*C*.jpg"):
        path.rename(images / path.name)
    kinds = ("C1T0001F001.jpg", "C2T0001F002.jpg", "C1T0001F003.jpg")
    people = [(number, number, number % 14 + 1) for number in range(1, 15)]
    rows = [
        ",".join(f"{p:04d}{kind}" for p, kind in zip(row, kinds, strict=True)) for row in people
    ]
    table = tmp_path / "tree" / "train.csv"
    table.write_text("\n".join(["Anchor,Positive,Negative", *rows]))
    section = BatchSection(sampler="triplets", num_identities=2, num_instances=3)
    source = MemoryData(table, replace(batch_hard(), batches=section), {"host": 0, "hosts": 1})
    kept = [row for row in rows if all(name in source.train.names for name in row.split(","))]
    assert 2 < len(kept) < len(rows)
    batches, steps = source.batches(0)
    assert steps == -(-len(kept) // 2)
    seen = [row for batch, _ in islice(batches, steps) for row in batch.reshape(2, -1)]
    place = dict(zip(source.train.names.tolist(), source.train.images, strict=True))
    for row in kept:
        whole = np.stack([place[name] for name in row.split(",")]).ravel()
        assert any((whole == other).all() for other in seen)
