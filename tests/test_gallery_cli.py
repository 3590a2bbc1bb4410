"""The commands `siamese gallery ...`, with a real small model, through the program's own door."""

import csv
import json
import os
import re
import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from colours import write_colour_model
from PIL import Image

from siamese.cli import main
from siamese.cli.gallery_answers import ANSWERS
from siamese.embeddings import read_embeddings
from siamese.gallery import Gallery, GalleryImage
from siamese.synthetic import write_mars_tree


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with people, a model and the gallery of the people, as the working directory."""
    write_mars_tree(tmp_path / "people", people=4, cameras=2, frames=2, image_size=(64, 32))
    write_colour_model(tmp_path / "model.onnx", people=tmp_path / "people")
    monkeypatch.chdir(tmp_path)
    assert main(["gallery", "add", "people", "--model", "model.onnx"]) == 0
    return tmp_path


def _image(place: Path, number: int = 0) -> str:
    return str(sorted(place.rglob("*.jpg"))[number])


def test_search_prints_a_rank_list_and_writes_picture_and_table(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = _image(place)
    capsys.readouterr()
    asked = ["gallery", "search", query, "--model", "model.onnx", "-k", "3"]
    assert main([*asked, "--output", "out/ranks.png", "--csv", "out/ranks.csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"  left out: {query}, the query's own file"
    assert lines[2].startswith("  beforehand: even odds that the person is there, 12.50% for each")
    assert lines[4].split()[0] == "1"
    assert query not in "".join(lines[4:7])
    with Image.open("out/ranks.png") as picture:
        assert picture.size[0] > 300
    with Path("out/ranks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["query"] == query
    assert lines[4].endswith(rows[0]["image"])
    assert rows[0]["verdict"] in lines[4]
    assert rows[0]["prior"] == "0.125"
    assert rows[0]["person"] == "0001"

    assert main([*asked, "--json", "--camera", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    [only] = found["queries"]
    assert found["images"] == 16
    assert only["left_out"] == [query]
    assert only["answer"] == only["matches"][0]["verdict"]
    assert lines[0] == f"{query}: {ANSWERS[rows[0]['verdict']]}"
    assert [match["camera"] for match in only["matches"]] == [2, 2, 2]


def test_filters_that_leave_nothing_say_nothing_about_the_gallery(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = _image(place)
    asked = ["gallery", "search", query, "--model", "model.onnx", "--camera", "9"]
    capsys.readouterr()
    assert main(asked) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[0] == f"{query}: no image is left by the filters"
    assert "not in the gallery" not in output
    assert main([*asked, "--json"]) == 0
    [only] = json.loads(capsys.readouterr().out)["queries"]
    assert (only["answer"], only["matches"]) == (None, [])
    assert main([*asked, "--output", "ranks.png"]) == 2
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == output.splitlines()[0]
    assert "there is no picture to draw" in shown.err


def test_answers_of_a_filtered_search_are_of_what_the_filters_leave(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (32, 64), (255, 0, 255)).save(place / "blank.png")
    asked = ["gallery", "search", "blank.png", "--model", "model.onnx"]
    capsys.readouterr()
    assert main(asked) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said == "blank.png: this person is probably not in the gallery"
    assert main([*asked, "--person", "0002"]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    left = "among the images that the filters leave"
    assert said == f"blank.png: unsure whether this person is {left}"
    assert all("in the gallery" in text for word, text in ANSWERS.items() if word)  # replaced so


def test_folder_and_person_are_searched_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(Path(_image(place)).parent)
    capsys.readouterr()
    asked = ["gallery", "search", "--model", "model.onnx", "-k", "2", "--json"]
    assert main([*asked, folder, "--output", "ranks.png"]) == 0
    assert len(json.loads(capsys.readouterr().out)["queries"]) == 4
    assert main([*asked, "--like", "0002", "--output", "like.png"]) == 0
    [only] = json.loads(capsys.readouterr().out)["queries"]
    assert only["query"] == "0002"
    assert "0002" not in {match["person"] for match in only["matches"]}
    assert Path("like.png").stat().st_size > 5000


def test_names_are_given_people_erased_and_rows_checked(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", "merge", "Ann", "--person", "0001", "0002"]) == 0
    assert main(["gallery", "info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (info["images"], info["people"], info["cameras"]) == (16, 3, [1, 2])
    assert main(["gallery", "info"]) == 0
    assert "cameras      1, 2" in capsys.readouterr().out
    assert main(["gallery", "remove", "--person", "Ann"]) == 0
    assert "erased       8 images" in capsys.readouterr().out
    assert main(["gallery", "verify", "--contents"]) == 0
    assert "all is well: 8 images" in capsys.readouterr().out
    gone = next(place.rglob("0003*.jpg"))
    gone.unlink()
    assert main(["gallery", "verify", "--json"]) == 1
    assert str(gone) in json.loads(capsys.readouterr().out)["problems"][0]
    assert main(["gallery", "remove", "--missing"]) == 0
    assert main(["gallery", "verify"]) == 0


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "ROWS.NPZ"])
def test_export_gives_everything_back(name: str, place: Path) -> None:
    gallery = Gallery("gallery")
    embeddings, rows = gallery.read_rows()
    assert main(["gallery", "export", name]) == 0
    store = read_embeddings(name)
    np.testing.assert_array_equal(store.embeddings, embeddings)
    assert store.images.tolist() == rows["path"].to_pylist()
    assert store.people.tolist() == rows["person"].to_pylist()
    assert store.cameras.tolist() == rows["camera"].to_pylist()
    assert store.tracklets.tolist() == rows["tracklet"].to_pylist()
    assert store.times is not None
    assert np.isnat(store.times).all()
    assert store.fingerprint == gallery.info().fingerprint


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.npz"])
def test_export_keeps_times_and_what_is_not_known(name: str, place: Path) -> None:
    time = datetime(2026, 11, 20, 8, 15)
    images = sorted(place.rglob("*.jpg"))[:2]
    gallery = Gallery("few", "model.onnx")
    gallery.add([GalleryImage(str(images[0]), "Ann", 3, time, 7), GalleryImage(str(images[1]))])
    assert gallery.export(name) == 2
    store = read_embeddings(name)
    assert store.people.tolist() == ["Ann", ""]
    assert store.cameras.tolist() == [3, -1]
    assert store.tracklets.tolist() == [7, -1]
    assert store.times is not None
    assert store.times.tolist() == [time, None]


def test_damaged_image_is_named_and_the_code_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("more").mkdir()
    shutil.copyfile(_image(place), "more/good.jpg")
    Path("more/bad.jpg").write_text("no image")
    assert main(["gallery", "add", "more", "--model", "model.onnx"]) == 1
    output = capsys.readouterr()
    assert "bad.jpg: is not an image" in output.err
    assert "1 cannot be used" in output.out
    assert len(Gallery("gallery")) == 17


def test_damaged_images_are_all_named_and_end_the_adding_where_asked(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("more").mkdir()
    shutil.copyfile(_image(place), "more/good.jpg")
    for name in ("bad", "worse"):
        Path(f"more/{name}.jpg").write_text("no image")
    capsys.readouterr()
    assert main(["gallery", "add", "more", "--on_corrupt", "error"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "2 images cannot be used" in line
    assert "bad.jpg: is not an image" in line
    assert "worse.jpg: is not an image" in line
    assert line.endswith("Or leave them out: --on_corrupt skip.")
    assert len(Gallery("gallery")) == 16
    assert main(["gallery", "add", "more", "--on_corrupt", "skip"]) == 1
    assert len(Gallery("gallery")) == 17


def test_damaged_images_of_a_search_are_all_named_or_left_out(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("asked").mkdir()
    shutil.copyfile(_image(place), "asked/good.jpg")
    for name in ("bad", "worse"):
        Path(f"asked/{name}.jpg").write_text("no image")
    capsys.readouterr()
    assert main(["gallery", "search", "asked", "--json"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "2 images cannot be used" in line
    assert "worse.jpg: is not an image" in line
    assert line.endswith("Or leave them out: --on_corrupt skip.")
    assert main(["gallery", "search", "asked", "--json", "--on_corrupt", "skip"]) == 0
    assert str(Path("asked/good.jpg").absolute()) in capsys.readouterr().out


def test_damaged_images_are_counted_among_what_a_folder_holds(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("more/Ann").mkdir(parents=True)
    for name in ("1", "2", "3"):
        shutil.copyfile(_image(place), f"more/Ann/{name}.jpg")
    Path("more/Ann/bad.jpg").write_text("no image")
    capsys.readouterr()
    assert main(["gallery", "add", "more"]) == 1
    (line,) = (e for e in capsys.readouterr().out.splitlines() if e.startswith("images "))
    bad = Path("more/Ann/bad.jpg").absolute()
    assert line == f"images       4 found, 3 used; left out: 1 damaged ({bad})"
    assert main(["gallery", "add", "more", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert [each.partition(": ")[0] for each in printed["refused"]] == [str(bad)]
    left_out = [{"reason": "damaged", "images": 1, "example": str(bad)}]
    assert printed["coverage"] == [{"found": 4, "used": 3, "left_out": left_out}]


def test_images_beside_the_folders_of_people_of_every_part_are_of_nobody(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("train/Ann/1", "query/Ann/2", "gallery/Ann/3", "gallery/4", "query/Ann/deep/5"):
        Path(f"more/{path}.jpg").parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_image(place), f"more/{path}.jpg")
    capsys.readouterr()
    command = ["gallery", "add", "more", "--pattern", "folders", "--gallery", "other"]
    assert main([*command, "--model", "model.onnx"]) == 0
    assert "images       5 found, 5 used\n" in capsys.readouterr().out
    found = Gallery("other").images()
    assert sorted((Path(e.path).stem, e.person) for e in found) == [
        ("1", "Ann"), ("2", "Ann"), ("3", "Ann"), ("4", None), ("5", None)
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are bytes")
def test_name_that_is_no_text_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("more").mkdir()
    shutil.copyfile(_image(place), os.fsdecode(b"more/bad\xff.jpg"))
    assert main(["gallery", "add", "more", "--model", "model.onnx"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "a file name is not UTF-8" in line
    assert len(Gallery("gallery")) == 16


def test_wrong_input_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_colour_model(place / "other.onnx", "another", seed=1)
    image = _image(place)
    model = ["--model", "model.onnx"]
    for arguments, words in (
        (["search", image, "--gallery", "none", *model], "no such gallery"),
        (["search", image, "--model", "other.onnx"], "siamese gallery reembed"),
        (["search", image, "--model", "none.onnx"], "no such model file"),
        (["search", "none.jpg", *model], "no such image or folder"),
        (["search", *model], "is needed"),
        (["search", "--like", "Bob", *model], "nobody is named 'Bob'"),
        (["search", image, "--since", "never", *model], "must be a day or a time"),
        (["search", image, "--output", "ranks.xyz", *model], "must end in one of"),
        (["add", "nowhere", *model], "no such folder"),
        (["remove"], "people or images must be given"),
        (["remove", "--person", "Bob"], "nobody is named 'Bob'"),
        (["merge", "Ann", "--image", "none.jpg"], "has no image"),
        (["export", "rows.pickle"], "must end in one of"),
    ):
        assert main(["gallery", *arguments]) == 2, arguments
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        assert words in lines[0]


def test_reembedding_makes_the_gallery_usable_with_another_model(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_colour_model(place / "other.onnx", "another", seed=1)
    assert main(["gallery", "reembed", "--model", "other.onnx"]) == 0
    assert "embedded     16 images with the model another" in capsys.readouterr().out
    assert main(["gallery", "search", _image(place), "--model", "other.onnx"]) == 0
    assert "the distances stand alone" in capsys.readouterr().out


def test_examples_of_the_documentation_run(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "gallery.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```(bash|python)\n(.*?)```", text, re.DOTALL))
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    shutil.copyfile(_image(place), elsewhere / "query.jpg")
    for name in ("PATH", "crops"):
        shutil.copytree(place / "people", elsewhere / name)
    for name in ("model.keras", "model.onnx"):
        shutil.copyfile(place / "model.onnx", elsewhere / name)
    monkeypatch.chdir(elsewhere)
    for line in blocks["bash"].strip().splitlines():
        command = shlex.split(line.replace("model.keras", "model.onnx"))
        assert command[0] == "siamese"
        assert main(command[1:]) == 0
    assert Path("ranks.png").is_file()
    exec(blocks["python"], {})
    assert len(Gallery("people")) == 32
