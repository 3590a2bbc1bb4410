"""`siamese.train.callbacks` and `tensorboard`: runs that go wrong stop with the likely cause."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from siamese.errors import InputError
from siamese.recipes import Recipe, batch_hard, change_recipe
from siamese.train import train
from siamese.train.callbacks import EarlyStopping, Watchdog
from siamese.train.run_dir import read_history, write_history
from siamese.train.tensorboard import EpochPictures, TensorBoard, hardest_triplets
from siamese.vectors import Embeddings


def _recipe(*, epochs: int, margin: float = 0.3, **optimizer: Any) -> Recipe:
    recipe = change_recipe(
        batch_hard(), backbone="conv4", weights="none", image_size=(64, 32), epochs=epochs
    )
    options = {"mining": "batch_hard", "margin": margin}
    settings = {"warm_up_epochs": 0.0, "decay": "constant", **optimizer}
    return dataclasses.replace(
        recipe,
        batches=dataclasses.replace(recipe.batches, num_identities=8),
        loss=dataclasses.replace(recipe.loss, options=options),
        optimizer=dataclasses.replace(recipe.optimizer, **settings),
        score_every=100,
    )


def test_learning_rate_that_is_far_too_high_stops_the_run(
    pedestrians: Path, tmp_path: Path
) -> None:
    recipe = _recipe(epochs=3, learning_rate=1e30)
    # oneDNN's ReLU makes 0 of what is no number: then it is the equal embeddings that are noticed.
    noticed = (
        r"(is (nan|inf) at step \d+\.|have become equal .* by step \d+: .*) Likely the learning"
    )
    with pytest.raises(InputError, match=noticed):
        train(pedestrians, recipe, run=tmp_path / "run", log=tmp_path / "log")


def test_blank_images_stop_the_run_as_a_collapse(tmp_path: Path) -> None:
    for person in range(8):
        for camera in (1, 2):
            for frame in range(4):
                name = f"{person:04}C{camera}T0001F{frame:03}.png"
                # Not one file twice: two people with the same file are refused before.
                comment = PngInfo()
                comment.add_text("Title", name)
                path = tmp_path / "blank" / f"{person:04}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (32, 64)).save(path, pnginfo=comment)
    recipe = _recipe(epochs=3, learning_rate=1e-3)
    recipe = dataclasses.replace(
        recipe, batches=dataclasses.replace(recipe.batches, num_identities=4)
    )
    with pytest.raises(InputError, match=r"all embeddings have become equal .* by step \d+:"):
        train(tmp_path / "blank", recipe, run=tmp_path / "run", log=tmp_path / "log")


@pytest.mark.slow
def test_run_ends_where_no_triplet_is_active(pedestrians: Path, tmp_path: Path) -> None:
    notes = io.StringIO()
    # With a margin of 0 everything is learnt as soon as people are apart.
    recipe = _recipe(epochs=200, margin=0.0, learning_rate=3e-3)
    run = train(
        pedestrians, recipe, run=tmp_path / "run", log=tmp_path / "log",
        console=Console(file=notes, width=500),
    )  # fmt: skip
    history = read_history(run.folder)
    assert len(history) < 200
    assert [row["active"] for row in history[-3:]] == [0.0] * 3
    assert history[-4]["active"] > 0
    assert f"stops after epoch {len(history)}, step" in notes.getvalue()
    assert (run.folder / "scores.json").exists()


def test_run_that_learns_nothing_more_stays_ended() -> None:
    idle = [{"active": 0.5}, *[{"active": 0.0}] * 3]
    assert Watchdog(Console(quiet=True), idle).over
    assert not Watchdog(Console(quiet=True), idle[:-1]).over
    assert not Watchdog(Console(quiet=True), idle, alone=False).over
    assert not Watchdog(Console(quiet=True), []).over


def test_identity_head_keeps_a_run_going_without_active_triplets() -> None:
    watchdog = Watchdog(Console(quiet=True), [{"active": 0.0}] * 5, alone=False)
    watchdog.set_params({"steps": 4})
    watchdog.on_epoch_begin(5)
    watchdog.on_epoch_end(5, {"loss": 0.1, "metric_active": 0.0, "metric_spread": 0.9})


def test_loss_that_is_no_number_is_named_with_its_step_in_the_run() -> None:
    watchdog = Watchdog(Console(quiet=True))
    watchdog.set_params({"steps": 10})
    watchdog.on_epoch_begin(2)
    watchdog.on_train_batch_end(3, {"loss": 0.5})
    with pytest.raises(InputError, match="the loss is nan at step 24"):
        watchdog.on_train_batch_end(3, {"loss": float("nan")})


@pytest.mark.parametrize(
    ("scores", "patience", "over"),
    [
        ([], 1, False),
        ([0.3], 1, False),
        ([0.3, 0.2], 1, True),
        ([0.3, 0.3], 1, True),  # an equal score is no better one
        ([0.3, 0.2, 0.4], 2, False),
        ([0.4, 0.2, 0.3], 2, True),
    ],
)
def test_patience_counts_scorings_without_a_better_map(
    scores: list[float], patience: int, over: bool
) -> None:
    history: list[dict[str, float]] = []
    for score in scores:
        history += [{"loss": 1.0, "val_mAP": score}, {"loss": 1.0}]
    assert EarlyStopping(patience, history, Console(quiet=True)).over is over


@pytest.mark.slow
def test_run_ends_early_with_its_best_model_and_stays_ended(
    pedestrians: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(_recipe(epochs=40, learning_rate=0.0), score_every=1)
    run = train(pedestrians, recipe, run=tmp_path / "run", log=tmp_path / "log", patience=2)
    history = read_history(run.folder)
    assert len(history) < 40
    assert run.scores["mAP"] == pytest.approx(max(row["val_mAP"] for row in history))
    (run.folder / "scores.json").unlink()
    train(pedestrians, run=run.folder)
    assert len(read_history(run.folder)) == len(history)


def test_hardest_triplets_are_those_of_a_slow_search() -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 5, 30).astype(np.int32)
    embeddings = random.normal(size=(30, 4)).astype(np.float32)
    best: dict[int, tuple[float, tuple[int, int, int]]] = {}
    for anchor in range(30):
        others = [row for row in range(30) if row != anchor]
        away = {row: float(np.linalg.norm(embeddings[anchor] - embeddings[row])) for row in others}
        positive = max((r for r in others if labels[r] == labels[anchor]), key=away.__getitem__)
        negative = min((r for r in others if labels[r] != labels[anchor]), key=away.__getitem__)
        gap = away[positive] - away[negative]
        if gap > best.get(int(labels[anchor]), (-np.inf, (0, 0, 0)))[0]:
            best[int(labels[anchor])] = (gap, (anchor, positive, negative))
    expected = [rows for _, rows in sorted(best.values(), reverse=True)]
    assert hardest_triplets(labels, embeddings).tolist() == [list(rows) for rows in expected]
    assert hardest_triplets(labels, embeddings, 2).tolist() == [list(r) for r in expected[:2]]


@pytest.mark.parametrize("people", [[0, 1, 2, 3], [7, 7, 7, 7]])
def test_without_a_triplet_there_is_no_picture(people: list[int], tmp_path: Path) -> None:
    labels, images = np.array(people, np.int32), np.zeros((4, 8, 8, 3), np.uint8)
    assert hardest_triplets(labels, np.eye(4, dtype=np.float32)).size == 0
    inputs = keras.Input((8, 8, 3))
    embedder = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    gallery = Embeddings(
        np.eye(4, dtype=np.float32),
        np.array(["a", "a", "b", "b"]),
        np.array([1, 2, 1, 2]),
        np.array(["a/1", "a/2", "b/1", "b/2"]),
    )
    board = TensorBoard(tmp_path)
    pictures = EpochPictures(board, embedder, lambda: gallery, images, labels)
    pictures.on_epoch_end(0, {"val_mAP": 1.0})
    board.close()
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()
    assert tags["images"] == []
    assert "distances/same_person" in str(tags)


def test_tensorboard_gets_everything_that_a_run_shows(trained: Path) -> None:
    log = Path(json.loads((trained / "recipe.json").read_text())["log"])
    events = EventAccumulator(str(log), size_guidance={"images": 0}).Reload()
    tags = events.Tags()
    scalars = {"loss/total", "held_out/mAP", "embeddings/spread", "embeddings/active_triplets"}
    assert scalars <= set(tags["scalars"])
    images = {"batch/augmented", "batch/hardest_triplets", "held_out/rank_list"}
    assert images <= set(tags["images"])
    assert [event.step for event in events.Images("batch/hardest_triplets")] == [0, 1]
    histograms = {"distances/same_person", "distances/two_people"}
    assert histograms <= {*tags["histograms"], *tags["tensors"]}
    assert "_hparams_/session_start_info" in events.summary_metadata
    names = (log / "projector" / "people.tsv").read_text().splitlines()
    points = np.loadtxt(log / "projector" / "embeddings.tsv")
    assert names[0] == "person\tcamera"
    assert len(points) == len(names) - 1
    with Image.open(log / "projector" / "sprite.png") as sprite:
        side = int(np.ceil(np.sqrt(len(points))))
        assert sprite.size == (side * 32, side * 64)


def test_resumed_log_shows_each_epoch_once(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    for epoch in range(4):
        board.on_epoch_end(epoch, {"loss": float(epoch)})
    board.close()
    board = TensorBoard(tmp_path)  # the last state was that of epoch 2
    board.restart(2)
    for epoch in range(2, 5):
        board.on_epoch_end(epoch, {"loss": 10.0 + epoch})
    board.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    found = [(event.step, event.value) for event in events.Scalars("loss/total")]
    assert found == [(0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0), (4, 14.0)]


def test_history_keeps_what_it_was_given(tmp_path: Path) -> None:
    rows = [{"epoch": 0.0, "loss": 0.123456789}, {"epoch": 1.0, "loss": 0.1, "val_mAP": 0.5}]
    write_history(tmp_path, rows)
    assert read_history(tmp_path) == rows
    assert read_history(tmp_path, before=1) == rows[:1]
