"""The package from outside: quick to import, few names, all of them documented and typed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import siamese

ROOT = Path(__file__).parents[1]


def test_import_takes_no_time_and_nothing_heavy() -> None:
    code = (
        "import sys, time; started = time.process_time(); import siamese\n"
        "print(time.process_time() - started)\n"
        "heavy = {'numpy', 'PIL', 'keras', 'tensorflow', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(siamese.__all__) <= set(dir(siamese))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert float(done.stdout) < 0.2


def test_public_names_are_there_and_documented() -> None:
    pytest.importorskip("lancedb")
    for name in siamese.__all__:
        found = getattr(siamese, name)
        assert found is not None
        if name != "__version__":
            assert len(found.__doc__) > 20, name
    assert re.fullmatch(r"\d+\.\d+\.\d+", siamese.__version__)
    with pytest.raises(AttributeError, match="no attribute 'lod_model'"):
        siamese.lod_model  # noqa: B018


def test_package_says_that_it_is_typed() -> None:
    assert (ROOT / "siamese" / "py.typed").exists()


def test_every_example_of_the_python_page_runs(
    calibrated: Path, pedestrians: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    shutil.copy(calibrated, folder / "model.keras")
    (folder / "scores.json").write_text("{}")
    shutil.copytree(pedestrians / "categories" / "0002", tmp_path / "crops")
    images = sorted((tmp_path / "crops").iterdir())
    shutil.copy(images[0], "a.jpg")
    shutil.copy(images[-1], "b.jpg")
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(<!-- not run.*?-->\n)?```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, object] = {}
    for note, block in blocks:
        if not note:
            exec(compile(block, "docs/python.md", "exec"), names)
    assert len(blocks) > 7
    assert names["embeddings"].shape == (8, 16)  # type: ignore[attr-defined]
    for name in ("embeddings.csv", "pair.png", "closest.png"):
        assert (tmp_path / name).stat().st_size > 1000
