"""`siamese.inference.in_use`: the best model answers, and nothing replaces it silently."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from colours import write_colour_model

from siamese.cli import main, run, verify
from siamese.errors import InputError
from siamese.gallery import Gallery
from siamese.inference import find_by_fingerprint, find_model, model_in_use, use_model
from siamese.models.checkpoint import PRETRAINED, read_metadata
from siamese.train.finalize import settle_in_use
from siamese.train.run_dir import read_run_config
from siamese.train.training_data import name_held_out


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two finished runs of one data set, `old` and `new`."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("old", "new")):
        shutil.copytree(trained, tmp_path / "runs" / name)
        os.utime(tmp_path / "runs" / name / "scores.json", (age, age))
    return tmp_path


def _settle(name: str, **scores: Any) -> str:
    """Ends a run with some scores, as a training does."""
    folder = Path("runs") / name
    card = {"mAP": 0.5, "source": name_held_out(5), "pretrained": {"mAP": 0.4}, **scores}
    (folder / "scores.json").write_text(json.dumps(card))
    return settle_in_use(folder, read_run_config(folder), card)


def test_newest_run_answers_until_a_model_is_chosen(here: Path) -> None:
    assert find_model(None) == Path("runs/new/model.keras")
    assert use_model("old", "I say so").model == "runs/old/model.keras"
    assert find_model(None) == Path("runs/old/model.keras")
    assert find_model("newest") == Path("runs/new/model.keras")
    use_model("pretrained", "again")
    assert find_model(None) == find_model("pretrained") == PRETRAINED
    assert model_in_use().why == "again"


def test_what_cannot_be_used_is_said(here: Path) -> None:
    with pytest.raises(InputError, match="There are: new, old"):
        use_model("gone", "")
    assert not (here / "runs" / "in_use.json").exists()
    use_model("runs/old", "")
    shutil.rmtree("runs/old")
    with pytest.raises(InputError, match=r"old/model\.keras: is the model in use and has gone"):
        find_model(None)
    (here / "runs" / "in_use.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        find_model(None)


def test_better_one_of_run_and_pretrained_is_in_use_after_a_training(here: Path) -> None:
    shutil.rmtree("runs/old")
    said = _settle("new", mAP=0.3)
    assert said.startswith("pretrained: its mAP 0.400 is above this run's 0.300 of the same 5 held")
    assert said.endswith("siamese use runs/new")
    assert model_in_use().model == "pretrained"
    assert _settle("new", mAP=0.4).startswith("pretrained: its mAP 0.400 equals")
    said = _settle("new", mAP=0.6)
    assert said.startswith(
        "runs/new: mAP 0.600 of the same 5 held-out people; pretrained has 0.400"
    )
    assert model_in_use().model == "runs/new/model.keras"


def test_better_run_on_the_same_images_stays_in_use(here: Path) -> None:
    _settle("old", mAP=0.9)
    assert _settle("new", mAP=0.6).startswith("runs/old/model.keras: its mAP 0.900 is above")
    # Scores of other held-out people do not compare.
    config = json.loads(Path("runs/old/recipe.json").read_text())
    config["source"]["images"]["train"] += 1
    Path("runs/old/recipe.json").write_text(json.dumps(config))
    assert _settle("new", mAP=0.6).startswith("runs/new: mAP 0.600")


def test_run_that_held_nobody_out_is_used_when_asked_alone(here: Path) -> None:
    config = json.loads(Path("runs/new/recipe.json").read_text())
    config["source"]["split"]["validation_size"] = 0
    Path("runs/new/recipe.json").write_text(json.dumps(config))
    said = _settle("new", mAP=1.0)
    assert said.startswith("pretrained, as before: the scores of this run are of people whom it")
    assert find_model(None) == PRETRAINED


def test_run_elsewhere_changes_nothing(here: Path, trained: Path) -> None:
    card = {"mAP": 1.0, "source": ""}
    said = settle_in_use(trained, read_run_config(trained), card)
    assert said == f"unchanged, as this run is not in runs; to take it: siamese use {trained}"
    assert not Path("runs/in_use.json").exists()


def test_commands_choose_and_tell(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["use", "runs/old"]) == 0
    assert "runs/old/model.keras" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "runs/old/model.keras"
    assert found["why"] == "chosen with siamese use"
    assert found["backbone"] == "conv4"
    assert found["licence_of_starting_weights"] == "none"
    assert found["others"] == ["pretrained", "runs/new/model.keras"]
    assert main(["use", "pretrained"]) == 0
    capsys.readouterr()
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "in use       pretrained"
    assert "research use only" in lines[4]
    assert main(["use", "nothing"]) == 2
    assert "There are: new, old" in capsys.readouterr().err


def test_newest_run_answers_the_script_and_a_better_one_is_named(
    here: Path, pedestrians: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = map(str, sorted(pedestrians.rglob("*.jpg"))[:2])
    asked = ["--model", "newest", "--img1", first, "--img2", second, "--json"]
    use_model("pretrained", "mAP 0.9 of the same 5 held-out people; runs/new has 0.1")
    assert run(verify, asked) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["model"] == "runs/new/model.keras"
    assert "note: the newest run answers, runs/new/model.keras, but pretrained is in" in said.err
    assert "mAP 0.9 of the same 5 held-out people" in said.err
    use_model("runs/new", "")
    assert run(verify, asked) == 0
    assert "note:" not in capsys.readouterr().err


def test_model_is_found_by_its_fingerprint(here: Path, trained: Path) -> None:
    fingerprint = str(read_metadata(trained / "model.keras")["fingerprint"])
    use_model("pretrained", "")
    assert find_by_fingerprint(fingerprint) == Path("runs/new/model.keras")
    shutil.rmtree("runs")
    assert find_by_fingerprint(fingerprint) is None
    kept = trained / "model.keras"
    assert find_by_fingerprint(fingerprint, str(kept)) == kept


def test_gallery_answers_with_the_model_that_it_was_made_with(
    tmp_path: Path,
    pedestrians: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_colour_model(tmp_path / "mine.onnx", people=pedestrians)
    some = sorted(pedestrians.rglob("*.jpg"))[:8]
    assert main(["gallery", "add", *map(str, some), "--model", "mine.onnx"]) == 0
    capsys.readouterr()
    assert main(["gallery", "search", str(some[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == str(tmp_path / "mine.onnx")
    assert Gallery("gallery").search(some[0], 1)
    # Where that model has gone, the error names the command that brings the gallery over.
    (tmp_path / "mine.onnx").unlink()
    assert main(["gallery", "search", str(some[0])]) == 2
    error = capsys.readouterr().err
    assert "was made with the model" in error
    command = error.strip().rpartition("siamese ")[2].split()
    assert command[:4] == ["gallery", "reembed", "--gallery", "gallery"]
    assert main(command) == 0
    assert main(["gallery", "search", str(some[0])]) == 0
