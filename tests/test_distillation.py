"""Training with a teacher: a run learns of it, resumes as if never cut, and names it."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import colour_network
from PIL import Image
from rich.console import Console

from siamese.datasets import list_samples
from siamese.errors import InputError
from siamese.images import read_image
from siamese.inference import load_model
from siamese.recipes import (
    AugmentationSection,
    BatchSection,
    DistillationSection,
    OptimizerSection,
    Recipe,
    change_recipe,
    distill,
)
from siamese.records import build_records
from siamese.synthetic import write_mars_tree
from siamese.train import train
from siamese.train.run_dir import read_history
from siamese.train.teacher import Teacher
from siamese.vectors import mix_person_means


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_network(tmp_path_factory.mktemp("teachers") / "colours.onnx")


def _recipe(network: Path, **distillation: Any) -> Recipe:
    small = change_recipe(
        distill(), backbone="conv4", weights="none", image_size=(64, 32), epochs=2,
        teachers=[str(network)],
    )  # fmt: skip
    return replace(
        small,
        batches=BatchSection(num_identities=4, num_instances=4),
        augmentation=AugmentationSection(flip=True, brightness=0.1),
        distillation=replace(small.distillation, **distillation),
        optimizer=OptimizerSection(learning_rate=2e-3),
        score_every=2,
    )


@pytest.fixture(scope="module")
def taught(network: Path, records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of some epochs that learnt of a teacher alone."""
    recipe = _recipe(network, relation_weight=1.0)
    recipe = replace(
        recipe,
        epochs=8,
        score_every=8,
        loss=replace(recipe.loss, metric_weight=0, identity_weight=0),
    )
    folder = tmp_path_factory.mktemp("runs") / "taught"
    said = Console(file=io.StringIO(), width=200)
    train(records, recipe, run=folder, log=folder.parent / "log", console=said)
    (folder / "said.txt").write_text(said.file.getvalue())  # type: ignore[attr-defined]
    return folder


def test_student_comes_to_resemble_its_teacher(
    taught: Path, network: Path, pedestrians: Path
) -> None:
    history = read_history(taught)
    assert history[-1]["embedding_loss"] < 0.6 * history[0]["embedding_loss"]
    assert history[-1]["relation_loss"] < history[0]["relation_loss"]
    files = [sample.path for sample in list_samples(pedestrians)]
    teacher, student = (load_model(path).embed(files) for path in (network, taught / "model.keras"))
    pairs = np.triu_indices(len(files), 1)
    found = np.corrcoef((teacher @ teacher.T)[pairs], (student @ student.T)[pairs])[0, 1]
    assert found > 0.5


def test_model_says_whom_it_imitates(taught: Path, network: Path) -> None:
    model = load_model(taught / "model.keras")
    (line,) = model.metadata["distilled_from"]
    assert line.startswith(f"distilled from colours.onnx ({load_model(network).fingerprint})")
    assert json.loads((taught / "scores.json").read_text())["distilled_from"] == [line]
    assert model.metadata["recipe"]["distillation"]["teachers"] == [str(network)]
    assert "projection" not in {layer.name for layer in model.network.embedder.layers}  # type: ignore[attr-defined]


def test_progress_of_the_teacher_is_shown(taught: Path) -> None:
    assert "80 of 80 crops embedded by the teacher" in (taught / "said.txt").read_text()


def test_embeddings_are_kept_beside_the_records(taught: Path, network: Path, records: Path) -> None:
    kept = records / "teacher" / load_model(network).fingerprint
    assert [path.suffix for path in kept.iterdir()] == [".npz"]
    assert not (taught / "teacher").exists()


class Interrupting(Console):
    """A terminal whose user presses Ctrl-C when a certain line appears."""

    def __init__(self, line: str) -> None:
        super().__init__(quiet=True)
        self.line = line

    def print(self, *objects: Any, **_: Any) -> None:
        if self.line in str(objects[0]):
            raise KeyboardInterrupt


@pytest.mark.parametrize("same_view", [False, True])
def test_training_with_a_teacher_resumes_as_if_never_interrupted(
    network: Path, records: Path, tmp_path: Path, same_view: bool
) -> None:
    recipe = _recipe(network, same_view=same_view)
    train(records, recipe, run=tmp_path / "whole", log=tmp_path / "log")
    with pytest.raises(KeyboardInterrupt):
        train(
            records,
            recipe,
            run=tmp_path / "cut",
            log=tmp_path / "log",
            console=Interrupting("epoch   1/2"),
        )
    train(records, run=tmp_path / "cut", log=tmp_path / "log")
    whole, cut = read_history(tmp_path / "whole"), read_history(tmp_path / "cut")
    assert len(whole) == len(cut) == 2
    for one, other in zip(whole, cut, strict=True):
        for name in set(one) - {"images_per_second"}:
            assert one[name] == other[name], name


def test_teacher_sees_clean_crops_once_or_every_view(
    network: Path, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    embed = Teacher.embed

    def counted(self: Teacher, images: Any) -> Any:
        found = embed(self, images)
        seen.append(len(found))
        return found

    monkeypatch.setattr(Teacher, "embed", counted)
    train(records, replace(_recipe(network), epochs=1), run=tmp_path / "once", log=tmp_path / "log")
    assert sum(seen) in (0, 80)  # an earlier test may have had them embedded
    seen.clear()
    each = replace(_recipe(network, same_view=True), epochs=1)
    train(records, each, run=tmp_path / "each", log=tmp_path / "log")
    assert sum(seen) >= 80


def test_mixed_images_need_a_teacher_of_the_same_view_and_no_labels(
    network: Path, records: Path, tmp_path: Path
) -> None:
    recipe = _recipe(network, same_view=True)
    mixed = replace(recipe, epochs=1, augmentation=replace(recipe.augmentation, cut_mix=0.5))
    with pytest.raises(InputError, match="without losses on labels"):
        train(records, mixed, run=tmp_path / "run", log=tmp_path / "log")
    assert not (tmp_path / "run").exists()
    unlabelled = replace(mixed.loss, metric_weight=0.0, identity_weight=0.0)
    run = train(
        records, replace(mixed, loss=unlabelled), run=tmp_path / "run", log=tmp_path / "log"
    )
    assert "embedding_loss" in read_history(run.folder)[0]


def test_images_in_memory_are_taught_too(network: Path, pedestrians: Path, tmp_path: Path) -> None:
    recipe = replace(_recipe(network), epochs=1)
    run = train(pedestrians, recipe, run=tmp_path / "run", log=tmp_path / "log")
    assert {"embedding_loss", "relation_loss"} <= set(read_history(run.folder)[0])
    assert list((run.folder / "teacher").rglob("*.npz"))


def test_other_teacher_is_refused_on_resume(
    taught: Path, network: Path, records: Path, tmp_path: Path
) -> None:
    start = json.loads((taught / "recipe.json").read_text())
    other = colour_network(tmp_path / "other.onnx", cells=8)
    start["recipe"]["distillation"]["teachers"] = [str(other)]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(start))
    with pytest.raises(InputError, match="was started with another teacher"):
        train(records, run=tmp_path / "run")


def test_images_of_unknown_people_are_left_out_where_there_are_none(
    network: Path, records: Path, tmp_path: Path
) -> None:
    recipe = _recipe(network)
    recipe = replace(recipe, epochs=1, batches=replace(recipe.batches, unlabelled=8))
    run = train(records, recipe, run=tmp_path / "run", log=tmp_path / "log")
    start = json.loads((run.folder / "recipe.json").read_text())
    assert start["recipe"]["batches"]["unlabelled"] == 0


def test_teacher_that_seems_to_see_the_wrong_colours_is_warned_of(
    pedestrians: Path, tmp_path: Path
) -> None:
    # It looks at blue alone, which is the same everywhere; red tells people apart.
    third = np.reshape([0, 0, 1], (3, 1, 1))
    blind = colour_network(tmp_path / "blind.onnx", scale=third)
    shutil.copytree(pedestrians, tmp_path / "people")
    for path in (tmp_path / "people").rglob("*.jpg"):
        pixels = read_image(path).copy()
        pixels[..., 2] = 128
        path.unlink()
        Image.fromarray(pixels).save(path.with_suffix(".png"))
    said = Console(file=io.StringIO(), width=500)
    recipe = replace(_recipe(blind), epochs=1)
    train(tmp_path / "people", recipe, run=tmp_path / "run", log=tmp_path / "log", console=said)
    shown = said.file.getvalue()  # type: ignore[attr-defined]
    assert "warning: teacher blind.onnx: its colours are probably in the wrong order" in shown


def test_missing_teacher_is_refused_before_anything_is_written(
    records: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"none\.onnx: no such model file"):
        train(records, _recipe(tmp_path / "none.onnx"), run=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_images_of_unknown_people_are_learnt_from(
    network: Path, pedestrians: Path, tmp_path: Path
) -> None:
    crops = tmp_path / "unlabelled"
    crops.mkdir()
    write_mars_tree(tmp_path / "others", people=6, cameras=2, frames=1, image_size=(64, 32), seed=9)
    for number, path in enumerate(sorted((tmp_path / "others").rglob("*.jpg"))):
        shutil.copy(path, crops / f"crop_{number:05d}.jpg")
    folder, manifest, _ = build_records([pedestrians, crops], tmp_path / "set")
    unknown = manifest.parts["unlabelled"].images
    assert unknown == 12
    recipe = _recipe(network)
    recipe = replace(recipe, epochs=1, batches=replace(recipe.batches, unlabelled=4))
    said = Console(file=io.StringIO(), width=200)
    run = train(folder, recipe, run=tmp_path / "run", log=tmp_path / "log", console=said)
    shown = said.file.getvalue()  # type: ignore[attr-defined]
    assert f"{manifest.parts['train'].images + unknown} of" in shown  # clean crops, all embedded
    assert "batches of 20, 4 of them images of unknown people" in shown
    assert {"embedding_loss", "metric_loss"} <= set(read_history(run.folder)[0])
    with pytest.raises(InputError, match="`unlabelled` must be 0 without a teacher"):
        train(folder, replace(recipe, distillation=DistillationSection()), run=tmp_path / "alone")


def test_targets_move_towards_the_mean_of_the_person_over_cameras() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(9, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels, cameras = np.array([0, 0, 0, 0, 1, 1, 1, -1, -1]), np.array([1, 1, 1, 2, 1, 1, 1, 1, 2])
    found = mix_person_means(rows, labels, cameras, 0.5)
    for row in range(9):
        mean = np.zeros(4)
        seen = set(cameras[labels == labels[row]].tolist())
        for camera in seen:
            mean += rows[(labels == labels[row]) & (cameras == camera)].mean(axis=0) / len(seen)
        expected = rows[row] + mean / np.linalg.norm(mean) if labels[row] >= 0 else rows[row]
        np.testing.assert_allclose(found[row], expected / np.linalg.norm(expected), atol=1e-6)
    np.testing.assert_allclose(mix_person_means(rows, labels, cameras, 0.0), rows, atol=1e-6)
