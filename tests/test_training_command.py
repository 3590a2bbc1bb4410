"""The command train: three folders in place of a dataset, and a model to go on from."""

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from siamese.cli import run, train
from siamese.models.checkpoint import load_checkpoint

FOLDERS = ("bounding_box_train", "query", "bounding_box_test")


@pytest.fixture(scope="module")
def market(pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The drawn people as three folders with Market-1501's names; query and gallery share four."""
    root = tmp_path_factory.mktemp("market")
    folders = {name: root / name for name in FOLDERS}
    for folder in folders.values():
        folder.mkdir()
    for path in sorted(pedestrians.rglob("*.jpg")):
        person, camera, frame = path.name[:4], int(path.name[5]), int(path.name[-7:-4])
        name = f"{person}_c{camera}s1_{frame:06d}_01.jpg"
        if int(person) <= 10:
            shutil.copy(path, folders["bounding_box_train"] / name)
        elif camera == 1 and frame == 1:
            shutil.copy(path, folders["query"] / name)
        else:
            shutil.copy(path, folders["bounding_box_test"] / name)
    return folders


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _flags(market: dict[str, Path]) -> list[str]:
    options = ("--train_dir", "--query_dir", "--gallery_dir")
    return [word for pair in zip(options, map(str, market.values()), strict=True) for word in pair]


def test_three_folders_train_on_one_and_score_the_others(
    market: dict[str, Path],
    trained: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--weights", str(trained / "model.keras"), "--epochs", "1", "--margin", "0.5"]
    options += ["--batch_size", "16", "--lr", "0.001"]
    assert run(train, [*_flags(market), *options]) == 0
    output = capsys.readouterr().out
    assert "in use       " in output
    assert all(path.suffix == ".jpg" for path in market["bounding_box_train"].iterdir())
    assert list((here / "runs" / "records").glob("bounding_box_train-*/manifest.json"))
    assert f"{market['query']} against {market['bounding_box_test']}" in output
    folder = here / "runs" / "fine_tune"
    card = json.loads((folder / "query_gallery" / "scores.json").read_text())
    assert card["queries"] == 4
    assert card["gallery"] == 4 * 7
    assert 0 < card["mAP"] <= 1
    assert card["fingerprint"] == load_checkpoint(folder / "model.keras").fingerprint
    for name in ("query_gallery/cmc.png", "query_gallery/rank_list.png", "curves.png"):
        assert (folder / name).stat().st_size > 5_000
    with (folder / "history.csv").open() as file:
        assert {"loss", "val_rank1", "val_mAP"} <= set(next(csv.DictReader(file)))

    # What the model to start from is built of stands in the recipe, its input size too.
    recipe = json.loads((folder / "recipe.json").read_text())["recipe"]
    assert recipe["batches"]["num_identities"] == 4
    assert recipe["loss"]["options"]["margin"] == 0.5
    assert recipe["optimizer"]["learning_rate"] == 0.001
    section = recipe["model"]
    started = load_checkpoint(trained / "model.keras").metadata["recipe"]["model"]
    for name in ("backbone", "embedding_size", "bnneck", "image_size"):
        assert section[name] == started[name]
    held_out = json.loads((folder / "scores.json").read_text())["source"]
    assert held_out.endswith("held-out people")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "Received: none of them"),
        (["--train_dir", "."], "Received: --train_dir"),
        (["--data", ".", "--query_dir", "."], "Received: --data, --query_dir"),
        (
            ["--train_dir", "gone", "--query_dir", ".", "--gallery_dir", "."],
            "gone: no such folder. Give --train_dir a folder",
        ),
        (["--data", ".", "--weights", "gone.keras"], "gone.keras: no such model file"),
        (["--data", ".", "--weights", "gone.h5"], "gone.h5: no such weights file"),
        (["--data", ".", "--recipe", "finetune"], "Did you mean fine_tune?"),
        (["--data", ".", "--recipe", "distill"], "distill needs a teacher"),
        (["--data", ".", "--teacher", "gone.onnx"], "gone.onnx: no such model file"),
        (["--data", ".", "--resume", "--teacher", "gone.onnx"], "Leave out --recipe"),
        (["--data", ".", "--resume", "--patience", "2"], "Leave out --recipe"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_line(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(train, flags) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) <= 2  # the recipe, perhaps, and what is wrong
    assert lines[-1].startswith("error: ")
    assert words in lines[-1]


def _first_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The first line of a training that ends when it finds no data."""
    assert run(train, words) == 2
    return capsys.readouterr().err.splitlines()[0]


def test_first_line_names_the_recipe_and_the_licence_of_its_start(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _first_line(["--data", "gone"], capsys)
    assert line.startswith("recipe fine_tune, the default: starts from the pretrained model (")
    assert "licence of these weights: research use only" in line
    line = _first_line(["--data", "gone", "--recipe", "contrastive"], capsys)
    assert line == "recipe contrastive: starts from conv4 with random weights"
    line = _first_line(["--data", "gone", "--weights", "none"], capsys)
    assert line == "recipe osnet, the default: starts from osnet_x0_25 with random weights"
    line = _first_line(["--data", "gone", "--backbone", "vgg16"], capsys)
    assert line.startswith("recipe efficientnet, the default: starts from vgg16 with ImageNet")


def test_default_goes_without_the_pretrained_model(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("siamese.models.checkpoint.PRETRAINED", here / "model.keras")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if "efficientnet" in name else find(name)
    )
    line = _first_line(["--data", "gone"], capsys)
    assert line.startswith("recipe osnet, the default:")


def test_three_folders_take_batch_hard_where_its_weights_are(
    market: dict[str, Path],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "empty").mkdir()
    flags = _flags({**market, "query": here / "empty"})
    monkeypatch.setenv("KERAS_HOME", str(here))
    monkeypatch.setattr("siamese.cli.recipe_choice._has_resnet_weights", lambda: False)
    line = _first_line(flags, capsys)
    assert "recipe fine_tune, the default, as the ImageNet weights of ResNet-50" in line
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setenv("KERAS_HOME", str(here))
    cache = here / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    cache.parent.mkdir()
    cache.touch()
    line = _first_line(flags, capsys)
    assert line.startswith("recipe batch_hard, the default for three folders: starts from resnet50")
    # Nothing was written into the folder of training images.
    assert all(path.suffix == ".jpg" for path in market["bounding_box_train"].iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--recipe", "apn", "--batch_size", "1"], "at least 2 (triplets)"),
        (["--recipe", "osnet", "--batch_size", "10"], "must be a multiple of 4"),
        (["--recipe", "contrastive", "--batch_size", "10"], "must be a multiple of 8"),
        (["--recipe", "apn", "--lr", "0"], "(--lr) must be above 0"),
        (["--recipe", "apn", "--margin", "-1"], "--margin must be at least 0"),
        (["--embed_size", "-1", "--recipe", "apn"], "`embedding_size` must be at least 0"),
        (["--recipe", "fine_tune", "--embed_size", "64"], "its own number of dimensions"),
        (["--recipe", "apn", "--set", "augmentation.auto_augmnt=1"], "Did you mean auto_augment?"),
    ],
)
def test_numbers_that_people_turn_are_checked(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(train, ["--data", ".", *flags]) == 2
    assert words in capsys.readouterr().err


def test_resume_alone_goes_on_with_the_run_and_its_data(
    trained: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(trained, here / "runs" / "small"))
    before = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").unlink()
    code = run(train, ["--resume"])
    output = capsys.readouterr().out
    assert "run folder   runs/small" in output
    # A run that ended no better than it began says so, and the exit code too.
    assert code == int("no better than it began: mAP" in output)
    assert json.loads((folder / "scores.json").read_text())["mAP"] == before["mAP"]
    assert run(train, ["--resume"]) == 2
    assert "holds no unfinished run" in capsys.readouterr().err


def test_folders_that_cannot_be_scored_are_said_before_the_training(
    market: dict[str, Path],
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "empty").mkdir()
    folders = {**market, "query": here / "empty"}
    assert run(train, [*_flags(folders), "--recipe", "demo", "--records", "set"]) == 2
    assert "empty: is empty" in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_backbone_beside_a_whole_model_is_refused(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(trained / "model.keras")
    assert run(train, ["--data", ".", "--weights", model, "--backbone", "conv4"]) == 2
    assert "is a whole model, with a backbone of its own" in capsys.readouterr().err
