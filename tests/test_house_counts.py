"""`tools/house_counts.py`: each count on a small package, and what holds for this one."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
count_house = runpy.run_path(str(ROOT / "tools" / "house_counts.py"))["count_house"]


def test_each_count_sees_what_it_counts(tmp_path: Path) -> None:
    package = tmp_path / "house"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").write_text('"""What it is."""\n')
    (package / "room" / "__init__.py").write_text("from house import door\n")
    (package / "door.py").write_text(
        "import house.room\n\n\n"
        "class ScoreReport:\n    mAP: float\n\n\n"
        "def embed_door(scores, a, b):\n"
        '    """Whether it is."""\n'
        '    return scores["mAP"] + scores.get("mAP") + norm(a - b) + (1 - a @ b)\n'
    )
    (package / "room" / "door.py").write_text("def embed_door(): ...\n" + "\n" * 400)
    found = {name: len(places) for name, places in count_house(package).items()}
    assert found == {
        "lines": 1,
        "files": 1,
        "files over 400 lines": 1,
        "docstrings that open with a question word": 2,
        "module names used twice": 1,
        "public names defined twice": 1,
        "keys of the score report read as strings": 2,
        "modules in import cycles": 2,
        "functions that embed": 2,
        "distances measured outside the two modules": 2,
    }
    assert count_house(package)["files"] == ["4"]


@pytest.mark.parametrize("nothing", ["module names used twice", "modules in import cycles"])
def test_the_package_has_none(nothing: str) -> None:
    assert count_house(ROOT / "siamese")[nothing] == []
