"""`siamese.train.seeds`: mean and spread of real runs, and what a resumed series keeps."""

import json
import math
import shutil
from pathlib import Path

import pytest

from siamese.errors import InputError
from siamese.recipes import change_recipe, demo
from siamese.train.seeds import is_seeded, summarise, train_seeds


def test_series_of_seeds_gives_mean_and_spread_and_goes_on(
    pedestrians: Path, tmp_path: Path
) -> None:
    recipe = change_recipe(demo(), epochs=1, image_size=(64, 32), seed=4)
    folder = tmp_path / "series"
    first = train_seeds(pedestrians, recipe, 2, run=folder, log=tmp_path / "log", patience=3)
    assert first.seeds == [4, 5]
    cards = [json.loads((folder / f"seed-{seed}" / "scores.json").read_text()) for seed in (4, 5)]
    one, other = (card["mAP"] for card in cards)
    assert one != other
    assert first.scores["mAP"]["mean"] == pytest.approx((one + other) / 2)
    assert first.scores["mAP"]["deviation"] == pytest.approx(abs(one - other) / math.sqrt(2))
    assert json.loads((folder / "seeds.json").read_text())["scores"] == first.scores
    seeds = [
        json.loads((folder / f"seed-{seed}" / "recipe.json").read_text())["recipe"]["seed"]
        for seed in (4, 5)
    ]
    assert seeds == [4, 5]

    # As after a kill in the second run: the first is kept, the second goes on.
    shutil.rmtree(folder / "seed-5")
    (folder / "seed-4" / "model.keras").unlink()
    (tmp_path / "fewer").mkdir()
    shutil.copytree(pedestrians / "categories", tmp_path / "fewer" / "categories")
    next((tmp_path / "fewer").rglob("*.jpg")).unlink()
    with pytest.raises(InputError, match="started on other records"):
        train_seeds(tmp_path / "fewer", None, run=folder, log=tmp_path / "log")
    again = train_seeds(pedestrians, None, run=folder)
    start = json.loads((folder / "seed-5" / "recipe.json").read_text())
    assert start["log"] == str(tmp_path / "log" / "series" / "seed-5-2")
    assert again.scores["mAP"]["values"] == pytest.approx([one, other])
    assert not (folder / "seed-4" / "model.keras").exists()
    assert json.loads((folder / "seed-5" / "recipe.json").read_text())["patience"] == 3

    with pytest.raises(InputError, match=r"already holds a run\. Add --resume"):
        train_seeds(pedestrians, recipe, 2, run=folder)


def test_spread_is_the_sample_standard_deviation() -> None:
    found = summarise([0.80, 0.82, 0.87])
    assert found["mean"] == pytest.approx(0.83)
    assert found["deviation"] == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))


def test_one_seed_is_no_series(pedestrians: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`seeds` must be at least 2\. Received: 1"):
        train_seeds(pedestrians, demo(), 1, run=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_several_processes_train_no_series(
    pedestrians: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(InputError, match="several seeds are trained in one process"):
        train_seeds(pedestrians, demo(), 2, run=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_nothing_to_resume_is_said(pedestrians: Path, tmp_path: Path) -> None:
    assert not is_seeded(tmp_path)
    with pytest.raises(InputError, match="holds no runs of several seeds"):
        train_seeds(pedestrians, None, run=tmp_path)
    (tmp_path / "seeds.json").write_text("{")
    assert is_seeded(tmp_path)
    with pytest.raises(InputError, match=r"seeds\.json: is damaged"):
        train_seeds(pedestrians, None, run=tmp_path)
