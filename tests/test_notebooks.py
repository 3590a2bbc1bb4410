"""The notebooks: what they keep is whole, and they run on data as people have it.

`make notebooks` runs all of them as they are.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from siamese.synthetic import write_mars_tree

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def _cells(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    return [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]


def _run(name: str, setting: str, value: Path, last: int | None = None) -> dict[str, Any]:
    """Runs the cells up to `last` with another value of a setting, and returns the names."""
    shown: list[object] = []
    names: dict[str, Any] = {"display": shown.append, "shown": shown}
    for number, cell in enumerate(_cells(name)[:last]):
        lines = [line for line in cell["source"] if not line.startswith("%")]
        if number == 0:
            [place] = [at for at, line in enumerate(lines) if line.startswith(f"{setting} = ")]
            lines[place] = f"{setting} = Path({str(value)!r})\n"
        exec(compile("".join(lines), f"{name}, cell {number}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_outputs_are_whole(notebook: Path) -> None:
    for number, cell in enumerate(_cells(notebook.stem)):
        outputs = cell["outputs"]
        text = json.dumps(outputs)
        assert len(outputs) <= 24, f"cell {number}: {len(outputs)} outputs"
        for wrong in ("ERROR", "Traceback", '"output_type": "error"', "\\u001b", "/home/", "/tmp/"):
            assert wrong not in text, f"cell {number}: {wrong}"
        assert str(FOLDER.parent) not in text, f"cell {number} names a folder of one machine"


def test_validation_pairs_of_one_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mars_tree(tmp_path / "people", people=8, cameras=1, frames=3, seed=0)
    pairs = _run("test_siamese_network_jupyter_validation", "DATA", tmp_path / "people")["pairs"]
    assert "nobody was seen by two cameras" in capsys.readouterr().out
    same = [one.path != other.path for one, other in pairs if one.person == other.person]
    assert 0 < len(same) <= 10
    assert all(same)


def test_validation_pairs_are_of_two_cameras_and_no_pair_twice(tmp_path: Path) -> None:
    write_mars_tree(tmp_path / "people", people=8, cameras=2, frames=2, seed=0)
    for folder in sorted((tmp_path / "people" / "categories").iterdir())[::2]:
        for path in sorted(folder.iterdir())[1:]:
            path.unlink()  # one image is left
    names = _run("test_siamese_network_jupyter_validation", "DATA", tmp_path / "people", 3)
    same = [(one, other) for one, other in names["pairs"] if one.person == other.person]
    assert all(one.camera != other.camera for one, other in same)
    assert len({frozenset(pair) for pair in same}) == len(same)


def test_exploration_shows_images_of_mixed_sizes(tmp_path: Path) -> None:
    write_mars_tree(tmp_path / "people", people=4, cameras=2, frames=2, seed=0)
    for number, path in enumerate(sorted(tmp_path.rglob("*.jpg"))):
        with Image.open(path) as image:
            image.resize((20 + number, 50 + number)).save(path)
    pictures = _run("data_exploration", "DATA", tmp_path / "people")["pictures"]
    assert {picture.size for picture in pictures} == {(64, 128)}


def test_matrix_takes_any_images(tmp_path: Path) -> None:
    images = tmp_path / "mine"
    images.mkdir()
    chosen = sorted((FOLDER / "images").glob("*.jpg"))[:3]
    shutil.copy(chosen[0], images / "a.JPEG")
    for name, path in zip("bc", chosen[1:], strict=True):
        with Image.open(path) as image:
            image.save(images / f"{name}.png")
    names = _run("test_siamese_network_jupyter_images", "IMAGES", images)
    assert [path.name for path in names["paths"]] == ["a.JPEG", "b.png", "c.png"]
    assert [type(each) for each in names["shown"]] == [Figure, Figure]
    between = names["distances"][names["rows"], names["columns"]]
    assert between[names["order"]].tolist() == sorted(between)
    assert len(between) == 3
