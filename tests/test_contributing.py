"""CONTRIBUTING.md: one screen, whose files exist and whose tables take one new entry."""

import re
from pathlib import Path

import pytest
from PIL import Image

from siamese.datasets import list_samples, small_sets
from siamese.models.backbones import BACKBONES, find_backbone
from siamese.recipes import RECIPES, Recipe, find_recipe
from siamese.synthetic import draw_pedestrian

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_page_is_one_screen_and_its_files_are_there() -> None:
    assert len(TEXT.splitlines()) <= 60
    named = re.findall(r"(?:siamese|tests)/[\w/]+(?:\.py)?", TEXT)
    assert len(named) >= 8
    assert [each for each in named if not (ROOT / each).exists()] == []
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w./-]+)", TEXT):
        assert f"\n{target}:" in targets


def test_a_recipe_and_a_backbone_are_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "mine", lambda: Recipe(name="mine"))
    assert find_recipe("mine").name == "mine"
    monkeypatch.setitem(BACKBONES, "mine", BACKBONES["conv4"])
    assert find_backbone("mine") is BACKBONES["conv4"]


def test_a_dataset_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for person in (1, 2):
        image = draw_pedestrian(person, 0, 0, 0, image_size=(32, 16))
        Image.fromarray(image).save(tmp_path / f"p{person}-cam3.jpg")
    form = re.compile(r"p(?P<person>\d)-cam(?P<camera>\d)")
    mine = small_sets.SmallSet("mine", form, "person, camera", "mine")
    monkeypatch.setattr(small_sets, "SMALL_SETS", (*small_sets.SMALL_SETS, mine))
    assert {(each.person, each.camera) for each in list_samples(tmp_path)} == {("1", 3), ("2", 3)}
