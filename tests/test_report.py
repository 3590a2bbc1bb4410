"""`siamese evaluate`: the folder it leaves, the page that stands alone, and one-line errors."""

import html.parser
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from networks import colour_network
from PIL import Image

from siamese.cli import main

ROOT = Path(__file__).parents[1]
CURVES = {"cmc.png", "roc.png", "distances.png"}
LISTS = {"ranks_worst.png", "ranks_best.png", "ranks_random.png"}
FAILURES = {"look_alikes.png", "look_apart.png"}


class Page(html.parser.HTMLParser):
    """What a page holds: its tags, and every address it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def classes(self, wanted: str) -> int:
        return sum(wanted in (attributes.get("class") or "").split() for _, attributes in self.tags)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_network(tmp_path_factory.mktemp("network") / "colours.onnx")


@pytest.fixture(scope="module")
def scored(network: Path, pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a score report, made by the command line."""
    folder = tmp_path_factory.mktemp("card") / "results of <today>"
    arguments = ["evaluate", "--model", str(network), "--data", str(pedestrians)]
    assert main([*arguments, "--output", str(folder)]) == 0
    return folder


def _fails(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> None:
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert lines[-1].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1
    for word in words:
        assert word in lines[-1]


def _market(folder: Path, query: dict[str, int], gallery: dict[str, int]) -> Path:
    """Images of one colour each, by file name."""
    for part, images in (("query", query), ("bounding_box_test", gallery)):
        (folder / part).mkdir(parents=True)
        for name, shade in images.items():
            pixels = np.full((64, 32, 3), shade, np.uint8)
            Image.fromarray(pixels).save(folder / part / name)
    return folder


def test_folder_holds_card_queries_page_and_pictures(scored: Path) -> None:
    names = {path.name for path in scored.iterdir()}
    assert names == {"scores.json", "queries.csv", "report.html"} | CURVES | LISTS | FAILURES
    for name in CURVES | LISTS | FAILURES:
        with Image.open(scored / name) as picture:
            assert min(picture.size) > 200


def test_page_needs_nothing_else(scored: Path) -> None:
    text = (scored / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:image/jpeg;base64,", "#"))
    assert "url(http" not in text
    assert "@import" not in text
    viewport = dict(page.tags)["meta"]
    assert viewport["content"] == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme:dark" in text


def test_page_shows_scores_lists_and_failures(scored: Path) -> None:
    text = (scored / "report.html").read_text(encoding="utf-8")
    card = json.loads((scored / "scores.json").read_text(encoding="utf-8"))
    for name in ("rank1", "mAP", "mAP_trapezoid", "mINP", "eer", "auc"):
        assert f"{card[name]:.2%}" in text
    for sentence in card["protocol_text"]:
        assert sentence.split("'")[0] in text
    page = Page(text)
    assert sum(tag == "svg" for tag, _ in page.tags) == 3
    assert page.classes("query") == 3 * 6
    # Six lists of three kinds with ten places each; failures have frames of one colour.
    assert page.classes("good") + page.classes("bad") >= 3 * 6 * 10 + 2 * 2 * 12
    assert "cam 2" in text
    # Curves take the colours of the page.
    assert "currentColor" in text
    assert "var(--same)" in text


def test_names_cannot_break_the_page(
    network: Path, pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "<script>alert(1)<"
    for person in ("0001", "0002"):
        shutil.copytree(pedestrians / "categories" / person, data / f"<b>{person}")
    output = tmp_path / "card"
    arguments = ["--model", str(network), "--data", str(data), "--output", str(output)]
    assert main(["evaluate", *arguments]) == 0
    text = (output / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;b&gt;0001" in text


def test_every_entry_of_the_card_is_documented(scored: Path) -> None:
    page = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    section = page.split("## The entries of `scores.json`")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))
    card = json.loads((scored / "scores.json").read_text(encoding="utf-8"))
    assert set(card) == documented - {"sources"}  # records of several datasets alone have it


def test_results_are_printed_and_written_by_default_to_results(
    network: Path,
    pedestrians: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["evaluate", "--model", str(network), "--data", str(pedestrians / "categories")]
    assert main([*arguments, "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert not list(tmp_path.iterdir())
    options = ["--rerank", "--k1", "5", "--k2", "2", "--lambda", "0.4", "--expand_queries", "2"]
    assert main([*arguments, *options, "--false_accept_rates", "0.1", "0.2"]) == 0
    output = capsys.readouterr().out
    folder = Path("results/colours-categories-rerank-expand2")
    assert str(folder / "report.html") in output
    assert "trained on these people" in output
    again = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert again["rerank"] == {"k1": 5, "k2": 2, "original_weight": 0.4}
    assert len(again["thresholds"]) == 2
    assert set(again) == set(card)
    assert main(["compare", str(folder), str(folder)]) == 0
    output = capsys.readouterr().out
    assert "are equal in mAP" in output.splitlines()[-1]
    assert main(["compare", str(folder), str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["mAP"]["difference"] == 0


def test_empty_and_half_datasets_are_refused_in_a_sentence(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _market(tmp_path / "a", {"0001_c1s1_000001_00.jpg": 9}, {})
    command = ["evaluate", "--model", str(network), "--data"]
    _fails(capsys, main([*command, str(data)]), "gallery")
    data = _market(tmp_path / "b", {}, {"0001_c1s1_000001_00.jpg": 9})
    _fails(capsys, main([*command, str(data)]), "query")
    shutil.rmtree(data / "query")
    _fails(capsys, main([*command, str(data)]), "query")
    _fails(capsys, main([*command, str(tmp_path / "gone")]), "no such folder")
    (tmp_path / "empty").mkdir()
    _fails(capsys, main([*command, str(tmp_path / "empty")]), "is empty")


def test_people_who_never_meet_are_refused_in_a_sentence(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _market(
        tmp_path / "a",
        {"0001_c1s1_000001_00.jpg": 9},
        {"0002_c2s1_000001_00.jpg": 99, "0003_c1s1_000001_00.jpg": 200},
    )
    _fails(
        capsys,
        main(["evaluate", "--model", str(network), "--data", str(data)]),
        "no person with images in both",
    )


def test_a_diverged_network_is_named_with_the_image(
    pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diverged = colour_network(tmp_path / "diverged.onnx", scale=float("nan"))
    output = tmp_path / "card"
    arguments = ["--model", str(diverged), "--data", str(pedestrians), "--output", str(output)]
    code = main(["evaluate", *arguments])
    _fails(capsys, code, "0001C1T0001F001.jpg", "not a number", "diverged.onnx")
    assert not output.exists()


def test_images_named_twice_are_refused_in_a_sentence(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "msmt"
    for name in ("0000_000_01_0303morning_0015_0.jpg", "0000_001_02_0303morning_0016_0.jpg"):
        path = root / "test" / "0000" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 32, 3), 80, np.uint8)).save(path)
    line = "0000/0000_000_01_0303morning_0015_0.jpg 0\n"
    (root / "list_query.txt").write_text(line)
    (root / "list_gallery.txt").write_text("0000/0000_001_02_0303morning_0016_0.jpg 0\n" * 2)
    code = main(["evaluate", "--model", str(network), "--data", str(root)])
    _fails(capsys, code, "0000_001_02_0303morning_0016_0.jpg 2 times")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rerank", "--k1", "0"], "--k1 0"),
        (["--rerank", "--lambda", "2"], "original_weight=2"),
        (["--expand_queries", "0"], "k=0"),
        (["--false_accept_rates", "1.5"], "false_accept_rate=1.5"),
        (["--pooling", "mean", "--frames", "0"], "--frames 0"),
        (["--image_size", "128", "64"], "128, 64"),
    ],
)
def test_numbers_out_of_range_are_refused_in_a_sentence(
    network: Path,
    pedestrians: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    arguments = ["--model", str(network), "--data", str(pedestrians), "--json", *options]
    _fails(capsys, main(["evaluate", *arguments]), words)


def test_a_file_in_the_place_of_the_folder_is_refused(
    network: Path, pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "card").write_text("mine")
    arguments = ["--data", str(pedestrians), "--output", str(tmp_path / "card")]
    _fails(capsys, main(["evaluate", "--model", str(network), *arguments]), "is a file")
    assert (tmp_path / "card").read_text() == "mine"
