"""Many pairs at once: `siamese verify --pairs`."""

import csv
import json
from pathlib import Path

import pytest
from colours import write_colour_model

from siamese.cli import main
from siamese.inference import load_model, verify_pairs
from siamese.synthetic import write_mars_tree


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with people, a model and a table of pairs, as the working directory."""
    write_mars_tree(tmp_path / "people", people=4, cameras=2, frames=2, image_size=(64, 32))
    write_colour_model(tmp_path / "model.onnx", people=tmp_path / "people")
    monkeypatch.chdir(tmp_path)
    images = sorted(map(str, Path("people").rglob("*.jpg")))
    lines = ["note,img1,img2"]
    lines += [f"{n},{images[0]},{image}" for n, image in enumerate(images[1:8])]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_rows_come_out_with_the_verdicts_of_single_pairs(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["verify", "--pairs", "pairs.csv", "--model", "model.onnx", "--prior", "0.3"]
    assert main(asked) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["note"] for row in rows] == list("0123456")
    model = load_model("model.onnx")
    for row in rows:
        said = model.verify(row["img1"], row["img2"], 0.3)
        assert row["verdict"] == said.verdict
        assert row["same"] == str(said.same)
        assert float(row["distance"]) == pytest.approx(said.distance, abs=1e-6)
        assert float(row["probability"]) == pytest.approx(said.probability, abs=1e-6)

    assert main([*asked, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["verdict"] for line in lines] == [row["verdict"] for row in rows]
    assert isinstance(lines[0]["same"], bool)

    assert main([*asked, "--output", "verdicts.csv"]) == 0
    assert capsys.readouterr().out == ""
    with Path("verdicts.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == rows


def test_each_image_is_embedded_once(place: Path) -> None:
    model = load_model("model.onnx")
    images = sorted(Path("people").rglob("*.jpg"))[:3]
    counted: list[int] = []
    pairs = [(a, b) for a in images for b in images]
    said = verify_pairs(model, pairs, progress=lambda done, _: counted.append(done))
    assert counted[-1] == 3
    assert [each.distance for each in said[::4]] == [0, 0, 0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("a,b\nx.jpg,y.jpg\n", "must name the columns img1 and img2. Received: a, b."),
        ("img1,img2\n", "holds no pair"),
        ("img1,img2\nx.jpg\n", "pair 1 must have as many cells"),
        ("img1,img2\nx.jpg,y.jpg,z.jpg\n", "pair 1 must have as many cells"),
        ("img1,img2\nx.jpg,y.jpg\n", "x.jpg: no such file"),
    ],
)
def test_what_is_no_table_of_pairs_is_refused_in_a_line(
    place: Path, capsys: pytest.CaptureFixture[str], table: str, said: str
) -> None:
    Path("wrong.csv").write_text(table, encoding="utf-8")
    assert main(["verify", "--pairs", "wrong.csv", "--model", "model.onnx"]) == 2
    output = capsys.readouterr()
    assert said in output.err
    assert output.out == ""


def test_pairs_go_without_images(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "a.jpg", "--pairs", "pairs.csv"]) == 2
    assert "--pairs goes without images" in capsys.readouterr().err
