"""The page: its endpoints through the official client, what it refuses, and a browser at work.

One page serves all tests here, with a small trained model and a gallery of drawn people.
"""

import asyncio
import csv
import gc
import http.server
import io
import json
import logging
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib import error, parse, request

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the extra `app` is not installed")
pytest.importorskip("lancedb", reason="the extra `gallery` is not installed")

import gradio as gr
from gradio_client import Client, handle_file

from siamese.app import page, people_tab
from siamese.app.components import mark_of, picked
from siamese.app.search_tab import copy_image
from siamese.app.state import Desk, write_archive
from siamese.app.uploads import keep_archive
from siamese.app.wording import WORDS, plain
from siamese.cli import main
from siamese.cli.app_command import app
from siamese.datasets import read_triplets
from siamese.errors import InputError
from siamese.images import read_image
from siamese.inference import load_model
from siamese.metrics.calibration import LEANINGS
from siamese.synthetic import write_test_images

# Gradio's server and client, not ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WIDTHS = (1280, 390)
PATIENT = {"timeout": 120}
EVIL = '<img src=x onerror="window.evil=1">{{constructor}}${window.evil=2}'


def images_of(folder: Path, person: int) -> list[Path]:
    return sorted((folder / "categories" / f"{person:04d}").iterdir())


def pack(path: Path, files: dict[str, Path]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files.items():
            archive.write(file, name)
    return path


@pytest.fixture(scope="module", autouse=True)
def _event_loops() -> Iterator[None]:
    """Gradio makes event loops that nobody closes: they go before another module's tests come."""
    yield
    asyncio.set_event_loop(None)
    gc.collect()


@pytest.fixture(scope="module")
def desk(trained: Path, pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Twelve of the drawn people; 13 and 14 are strangers."""
    home = tmp_path_factory.mktemp("page")
    desk = Desk(load_model(trained / "model.keras"), home / "gallery")
    files = {
        f"people/{person:04d}/{path.name}": path
        for person in range(1, 13)
        for path in images_of(pedestrians, person)
    }
    desk.add(keep_archive(pack(home / "people.zip", files), desk.uploads))
    return desk


@pytest.fixture(scope="module")
def url(desk: Desk) -> Iterator[str]:
    drawn = write_test_images(desk.home / "drawn")
    served = page.launch(desk, port=None, examples=[(drawn[0], drawn[1]), (drawn[0], drawn[2])])
    yield served.local_url
    served.close(verbose=False)


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False, httpx_kwargs=PATIENT)


# Endpoints.


def test_verify_answers_what_the_model_says(client: Client, desk: Desk, pedestrians: Path) -> None:
    one, other = images_of(pedestrians, 1)[0], images_of(pedestrians, 2)[-1]
    answer = client.predict(handle_file(one), handle_file(other), 0.01, api_name="/verify")
    expected = desk.model.verify(one, other).to_dict()
    assert answer.pop("model") == Path(expected.pop("model")).name
    for name, value in expected.items():
        assert answer[name] == pytest.approx(value, abs=1e-5), name
    strict = client.predict(handle_file(one), handle_file(other), 0.001, api_name="/verify")
    assert strict["distance"] == answer["distance"]
    assert strict["threshold"] <= answer["threshold"]


def test_search_ranks_as_the_gallery_does(client: Client, desk: Desk, pedestrians: Path) -> None:
    query = images_of(pedestrians, 3)[0]
    answer = client.predict(handle_file(query), 5, [], "", "", "", api_name="/search")
    expected = desk.gallery.search(query, 5)
    assert [each["image"] for each in answer["matches"]] == [each.image for each in expected]
    assert answer["left_out"] == [str(each) for each in desk.gallery.own_images([query])[0]]
    assert len(answer["left_out"]) == 1
    assert answer["left_out"][0] not in {each["image"] for each in answer["matches"]}
    assert answer["matches"][0]["prior"] == pytest.approx(0.5 / 12)
    assert answer["verdict"] == expected[0].verdict == answer["matches"][0]["verdict"]
    assert answer["in_gallery"] is LEANINGS[expected[0].verdict]
    assert answer["images_searched"] == 12 * 8
    of_two = client.predict(handle_file(query), 50, [2], "0003", "", "", api_name="/search")
    assert {(each["camera"], each["person"]) for each in of_two["matches"]} == {(2, "0003")}
    assert of_two["images_searched"] == len(of_two["matches"]) == 4


def test_an_image_that_is_looked_for_is_left_out(desk: Desk, tmp_path: Path) -> None:
    image = desk.gallery.images()[0].path
    copy = copy_image(image, tmp_path / "asked")
    assert isinstance(copy, str)
    found = desk.search(Path(copy), 3)
    assert found.left_out == (image,)
    assert image not in {match.image for match in found.matches}
    assert desk.search(read_image(image), 3).left_out == ()
    assert desk.search(read_image(image), 3).matches[0].image == image
    Image.fromarray(read_image(image)).save(tmp_path / "a.tif")
    assert isinstance(copy_image(str(tmp_path / "a.tif"), tmp_path), Image.Image)


def test_only_the_two_endpoints_are_public(client: Client) -> None:
    named = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    assert set(named) == {"/verify", "/search"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((0, [], "", "", ""), "must be 1 to 100"),
        ((None, [], "", "", ""), "must be 1 to 100"),
        ((5, [], "", "tomorrow", ""), "must be a day or a time"),
        ((5, ["two"], "", "", ""), "must be a list of numbers"),
    ],
)
def test_a_wrong_argument_is_answered_in_words(
    client: Client, pedestrians: Path, given: tuple[Any, ...], words: str
) -> None:
    with pytest.raises(Exception, match=words):
        client.predict(handle_file(images_of(pedestrians, 1)[0]), *given, api_name="/search")


def test_the_documented_calls_work(
    url: str, pedestrians: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "page.md").read_text(encoding="utf-8")
    code = text.split("```python")[1].split("```")[0]
    assert "http://127.0.0.1:7860/" in code
    for name, path in zip("ab", images_of(pedestrians, 1), strict=False):
        shutil.copy(path, tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code.replace("http://127.0.0.1:7860/", url), names)
    assert names["answer"]["verdict"] in WORDS
    assert names["found"]["matches"][0]["person"] == "0001"


def test_what_several_events_write_is_written_in_turn(desk: Desk, tmp_path: Path) -> None:
    """Two answers at a time would come in any order, and the older one could stay."""
    writers: dict[Any, list[Any]] = {}
    for event in page.build_page(desk).fns.values():
        for part in event.outputs:
            writers.setdefault(part, []).append(event)
    several = {part: events for part, events in writers.items() if len(events) > 1}
    assert len(several) > 20
    for part, events in several.items():
        if type(part).__name__ == "State" and part.value == "":
            continue  # what tells of changes: any value unlike the one before
        turns = {(event.concurrency_id, event.concurrency_limit) for event in events}
        assert len(turns) == 1, (part, [event.name for event in events])
        assert turns.pop()[1] == 1


def test_a_click_on_what_has_gone_is_refused() -> None:
    click = gr.SelectData(None, {"index": 1, "value": None})
    assert picked(click, ("a", "b"), mark_of(["a", "b"])) == "b"
    with pytest.raises(InputError, match="no longer shown"):
        picked(click, ("a", "b"), mark_of(["b", "a"]))
    with pytest.raises(InputError, match="no longer shown"):
        picked(click, ("a",), mark_of(["a"]))


# Safety.


def test_bombs_and_other_files_are_refused_in_words(
    client: Client, pedestrians: Path, tmp_path: Path
) -> None:
    good = images_of(pedestrians, 1)[0]
    bomb = tmp_path / "bomb.png"
    # 64 million black pixels in 64 kB.
    Image.new("1", (8000, 8000)).save(bomb)
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    large = tmp_path / "large.jpg"
    large.write_bytes(good.read_bytes() + b"\0" * 21_000_000)
    for path, words in ((bomb, "pixels"), (text, "is not an image"), (large, "at most 20 MB")):
        with pytest.raises(Exception, match=words) as caught:
            client.predict(handle_file(path), handle_file(good), 0.01, api_name="/verify")
        assert "Traceback" not in str(caught.value)
        assert "/tmp" not in str(caught.value)


def call(url: str, name: str, data: list[Any]) -> str:
    """One call of an endpoint over plain HTTP: what a stranger's program would send."""
    body = json.dumps({"data": data}).encode()
    head = {"Content-Type": "application/json"}
    try:
        start = request.Request(f"{url}gradio_api/call/{name}", body, head)
        with request.urlopen(start, timeout=60) as answer:
            event = json.load(answer)["event_id"]
        with request.urlopen(f"{url}gradio_api/call/{name}/{event}", timeout=60) as stream:
            return str(stream.read().decode())
    except error.HTTPError as refused:
        return f"{refused.code} {refused.read().decode()}"


def send(url: str, path: Path) -> str:
    """Uploads a file over plain HTTP and tells where the page keeps it."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body = head + path.read_bytes() + b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with request.urlopen(request.Request(f"{url}gradio_api/upload", body, kind)) as answer:
        return str(json.load(answer)[0])


def test_plain_http_works_for_what_was_uploaded(url: str, pedestrians: Path) -> None:
    sent = {"path": send(url, images_of(pedestrians, 1)[0]), "meta": {"_type": "gradio.FileData"}}
    assert "event: complete" in call(url, "verify", [sent, sent, 0.01])


def test_files_of_this_machine_are_out_of_reach(
    url: str, desk: Desk, pedestrians: Path, tmp_path: Path
) -> None:
    secret = shutil.copy(images_of(pedestrians, 1)[0], tmp_path / "secret.jpg")
    for path in (
        str(secret),
        str(desk.gallery.images()[0].path),
        "/etc/passwd",
        "../../etc/passwd",
    ):
        meta = {"path": path, "meta": {"_type": "gradio.FileData"}}
        answer = call(url, "verify", [meta, meta, 0.01])
        assert "event: complete" not in answer
        assert "Traceback" not in answer
        with pytest.raises(error.HTTPError) as caught:
            request.urlopen(f"{url}gradio_api/file={parse.quote(path)}", timeout=30)
        assert caught.value.code in (403, 404)


def test_addresses_are_not_fetched(url: str) -> None:
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            """Keeps quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.jpg"
        for meta in (
            {"path": address, "meta": {"_type": "gradio.FileData"}},
            {"path": "a.jpg", "url": address, "meta": {"_type": "gradio.FileData"}},
            {"path": None, "url": "data:image/png;base64,AAAA", "meta": {"_type": "x"}},
        ):
            assert "event: complete" not in call(url, "verify", [meta, meta, 0.01])
        # Gradio itself would fetch those of other machines.
        meta = {"path": "http://192.0.2.1/a.jpg", "meta": {"_type": "gradio.FileData"}}
        assert "addresses are not fetched" in call(url, "verify", [meta, meta, 0.01])
        server.shutdown()
    assert asked == []


def test_an_error_inside_is_told_to_the_log_and_not_to_the_visitor(
    client: Client,
    desk: Desk,
    pedestrians: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any) -> float:
        raise RuntimeError("the secret of /srv/private")

    monkeypatch.setattr(desk, "compare", fail)
    image = handle_file(images_of(pedestrians, 1)[0])
    with (
        caplog.at_level(logging.ERROR, "siamese.app.components"),
        pytest.raises(Exception, match="log says what") as caught,
    ):
        client.predict(image, image, 0.01, api_name="/verify")
    assert "secret" not in str(caught.value)
    assert "the secret of /srv/private" in caplog.text


def test_fifty_at_once_get_their_own_answers(url: str, desk: Desk, pedestrians: Path) -> None:
    files = [path for person in range(1, 15) for path in images_of(pedestrians, person)][:100:2]
    query = files[0]
    embeddings = desk.model.embed(files).astype(np.float64)
    expected = np.linalg.norm(embeddings - embeddings[0], axis=1)
    clients = [Client(url, verbose=False, httpx_kwargs=PATIENT) for _ in range(5)]

    def ask(place: int) -> float:
        answer = clients[place % 5].predict(
            handle_file(query), handle_file(files[place]), 0.01, api_name="/verify"
        )
        return float(answer["distance"])

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(len(files))))
    assert len(answers) == 50
    np.testing.assert_allclose(answers, expected, atol=1e-3)
    assert len(set(np.round(answers, 6))) > 40


def test_a_login_keeps_strangers_out(
    desk: Desk, pedestrians: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = page.launch(desk, port=None, login=("anna", "pass:word"))
    try:
        with pytest.raises(Exception, match=r"(?i)auth|login|401"):
            Client(served.local_url, verbose=False)
        with pytest.raises(error.HTTPError, match="401"):
            request.urlopen(f"{served.local_url}config", timeout=30)
        inside = Client(
            served.local_url, auth=("anna", "pass:word"), verbose=False, httpx_kwargs=PATIENT
        )
        image = handle_file(images_of(pedestrians, 1)[0])
        assert inside.predict(image, image, 0.01, api_name="/verify")["same"] is True
    finally:
        served.close(verbose=False)


def test_a_port_in_use_is_answered_in_one_line(url: str, desk: Desk) -> None:
    port = parse.urlsplit(url).port
    with pytest.raises(InputError, match=rf"^port {port} of 127\.0\.0\.1 is in use"):
        page.launch(desk, port=port)


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["app", "--login", "anna", "--gallery", str(tmp_path / "g")]) == 2
    assert "NAME:PASSWORD" in capsys.readouterr().err
    assert main(["app", "--model", str(tmp_path / "none.keras")]) == 2
    assert "no such model file" in capsys.readouterr().err
    assert "Ctrl-C" in (app.__doc__ or "")


# The gallery and the review, as the tabs use them.


def test_names_from_outside_are_shown_letter_by_letter() -> None:
    assert plain("a <b>\n*c*") == r"a \<b\> \*c\*"


@pytest.fixture
def small(desk: Desk, pedestrians: Path, tmp_path: Path) -> Desk:
    """A desk of its own with three people, to change."""
    small = Desk(desk.model, tmp_path / "gallery")
    files = {
        f"{person:04d}/{path.name}": path
        for person in (1, 2, 3)
        for path in images_of(pedestrians, person)
    }
    small.add(keep_archive(pack(tmp_path / "people.zip", files), small.uploads))
    return small


def test_an_erased_person_is_gone_from_every_file(small: Desk, tmp_path: Path) -> None:
    (tmp_path / "people.zip").unlink()
    first, second, other = (
        next(each for each in small.gallery.images(person=name))
        for name in ("0001", "0001", "0002")
    )
    for pair in small.review.pairs(30):
        small.review.answer(pair, pair.first.person == pair.second.person)
    content = Path(first.path).read_bytes()
    assert any("0001" in each.first + each.second for each in small.review.answers)
    assert small.erase(people=["0001"]) == 8
    for path in tmp_path.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert content not in data, path
        assert Path(first.path).name.encode() not in data, path
        assert b"0001/" not in data, path
    assert small.gallery.people() == {"0002": 8, "0003": 8}
    assert Path(other.path).is_file()
    assert second == first


def test_images_outside_the_page_are_never_deleted(small: Desk, pedestrians: Path) -> None:
    files = images_of(pedestrians, 4)
    small.gallery.add(files)
    assert small.erase(images=[str(files[0])]) == 1
    assert files[0].is_file()


def test_naming_and_merging(small: Desk) -> None:
    images = [each.path for each in small.gallery.images(person="0001")]
    assert small.rename("  Anna   B. ", images=images[:2]) == 2
    merged = small.rename("0002", people=["0002", "0003"])
    assert merged == 16 or small.gallery.people()["0002"] == 16
    assert small.gallery.people() == {"0001": 6, "0002": 16, "Anna B.": 2}
    with pytest.raises(InputError, match="a name of 1 to 100 letters"):
        small.rename("  ", images=images)


def test_what_was_erased_or_merged_comes_back(small: Desk) -> None:
    rows = sorted(small.gallery.images(), key=lambda each: each.path)
    pair = small.review.pairs(1)[0]
    small.review.answer(pair, pair.first.person == pair.second.person)
    answers = small.review.answers
    people = [str(pair.first.person)]
    before = small.snapshot(people=people, files=True)
    small.erase(people=people)
    assert small.review.answers == ()
    assert small.restore(before) == 8
    assert sorted(small.gallery.images(), key=lambda each: each.path) == rows
    assert all(Path(each.path).is_file() for each in rows)
    assert small.review.answers == answers
    before = small.snapshot(people=["0001", "0002"])
    small.rename("both", people=["0001", "0002"])
    assert small.gallery.people() == {"0003": 8, "both": 16}
    small.restore(before)
    assert sorted(small.gallery.images(), key=lambda each: each.path) == rows


def test_same_merges_two_people_until_it_is_taken_back(small: Desk) -> None:
    pair = next(each for each in small.review.pairs(30) if each.first.person != each.second.person)
    people = small.gallery.people()
    said, before = small.answer(pair, True)
    assert sorted(small.gallery.people().values()) == [8, 16]
    assert small.review.contradictions() == 0
    small.take_back(said, before)
    assert small.gallery.people() == people
    assert small.review.answers == ()
    assert small.answer(pair, False)[1] is None
    assert small.gallery.people() == people


def test_results_are_exported_with_a_table(small: Desk, tmp_path: Path) -> None:
    images = small.gallery.images(person="0001")
    with zipfile.ZipFile(write_archive(images, tmp_path / "out")) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("images.csv").decode())))
        assert [each["person"] for each in rows] == ["0001"] * 8
        for row, image in zip(rows, images, strict=True):
            assert archive.read(f"images/{row['file']}") == Path(image.path).read_bytes()


def test_review_asks_keeps_and_recalibrates(small: Desk) -> None:
    before = small.calibration
    pairs = small.review.pairs(30)
    assert len(pairs) == 30 or len(pairs) > 15
    gaps = [abs(each.distance - before.threshold) for each in pairs]
    assert gaps == sorted(gaps)
    for pair in pairs:
        small.review.answer(pair, pair.first.person == pair.second.person)
    assert not {frozenset((each.first.path, each.second.path)) for each in pairs} & {
        frozenset((each.first.path, each.second.path)) for each in small.review.pairs(30)
    }
    triplets = read_triplets(small.review.folder / "triplets.csv")
    assert triplets
    assert small.review.contradictions() == 0
    known = next(each for each in pairs if each.first.person == each.second.person)
    said = small.review.answer(known, False)
    assert small.review.contradictions() == 2
    other = small.review.answer(known, True)  # of another visitor, meanwhile
    assert small.review.take_back(said)
    assert small.review.answers[-1] == other
    assert small.review.contradictions() == 0
    assert small.review.take_back(other)
    assert not small.review.take_back(said)
    gone = replace(known, first=replace(known.first, path="/erased.jpg"))
    with pytest.raises(InputError, match="was erased meanwhile"):
        small.review.answer(gone, True)
    measured = small.review.recalibrate()
    assert measured.people == 3
    assert measured.same_pairs == 3 * 16
    assert small.calibration == measured
    again = Desk(small.model, small.gallery.path)
    assert again.calibration == measured
    assert again.review.answers == small.review.answers
    again.review.use_model_calibration()
    assert Desk(small.model, small.gallery.path).calibration == before


def test_a_search_says_how_likely_chance_is(desk: Desk, pedestrians: Path) -> None:
    stranger = read_image(images_of(pedestrians, 14)[0])
    # Of the person who is least like the stranger, so that the rate is not 0.
    found = max(
        (desk.search(stranger, 3, cameras=[1], person=name) for name in desk.gallery.people()),
        key=lambda each: each.matches[0].distance,
    )
    assert found.looked_at == 4
    accepts, _ = desk.calibration.error_rates(found.matches[0].distance)
    assert accepts > 0
    assert found.by_chance == pytest.approx(4 * accepts)
    assert desk.search(stranger, 3, cameras=[1]).looked_at == 12 * 4
    assert found.verdict == desk.calibration.verdict(found.matches[0].distance)
    nobody = desk.search(stranger, 3, cameras=[9])
    assert (nobody.matches, nobody.verdict) == ((), None)
    assert nobody.to_dict()["in_gallery"] is None


def test_heat_maps_are_of_the_images_and_order_does_not_matter(
    desk: Desk, pedestrians: Path
) -> None:
    one, other = (read_image(images_of(pedestrians, person)[0]) for person in (1, 2))
    first, second, similarity = desk.heat_maps(one, other)
    assert first.shape == second.shape == one.shape
    assert similarity == pytest.approx(1 - desk.compare(one, other)[0] ** 2 / 2, abs=1e-3)
    swapped = desk.heat_maps(other, one)
    np.testing.assert_array_equal(swapped[0], second)
    large = desk.heat_maps(np.repeat(np.repeat(one, 20, 0), 20, 1), other)[0]
    assert large.shape == (480, 240, 3)


# A browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[WIDTHS[0], pytest.param(WIDTHS[1], marks=pytest.mark.slow)])
def visit(
    browser: Any, url: str, request: pytest.FixtureRequest
) -> Iterator[Callable[[], tuple[Any, list[str]]]]:
    """Opens the page; at the end nothing went wrong in it and nothing left this machine."""
    tab = browser.new_page(viewport={"width": request.param, "height": 844})
    tab.set_default_timeout(120_000)
    wrong: list[str] = []
    tab.on("console", lambda line: line.type == "error" and wrong.append(line.text))
    tab.on("pageerror", lambda each: wrong.append(str(each)))
    tab.on(
        "request",
        lambda each: (
            each.url.startswith((url, "data:", "blob:")) or wrong.append(f"outside: {each.url}")
        ),
    )
    tab.goto(url)
    tab.wait_for_selector("#verdict h2")
    yield tab
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 844})
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
    unnamed = tab.evaluate(
        "[...document.querySelectorAll('img')].filter((each) => !each.hasAttribute('alt')).length"
    )
    assert unnamed == 0
    assert wrong == []
    tab.close()


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def test_browser_compares_and_the_slider_moves_the_threshold(visit: Any) -> None:
    # The first example is answered when the page opens.
    assert visit.inner_text("#verdict h2") in set(WORDS.values())
    visit.wait_for_selector("#heat img")
    assert visit.locator("#heat img").count() == 2
    before = visit.inner_text("#words")
    assert "at even odds" in before
    visit.locator("#rate input[type=number]").fill("-0.7")
    visit.keyboard.press("Tab")
    visit.wait_for_function("old => document.querySelector('#words').innerText !== old", arg=before)
    assert visit.locator("#chart img").count() == 1
    visit.locator("#first button[aria-label='Remove Image']").click()
    visit.get_by_text("Do two images show the same person?", exact=True).wait_for()
    visit.locator("#examples tbody tr").nth(1).click()
    visit.wait_for_selector("#verdict h2")


def test_browser_chooses_every_image_that_is_clicked(visit: Any) -> None:
    open_tab(visit, "Gallery")
    visit.wait_for_selector("#grid .caption-label")
    visit.get_by_role("button", name="Name, merge, erase").click()
    visit.wait_for_selector("#chosen")
    visit.evaluate(
        "[...document.querySelectorAll('#grid button.thumbnail-item')].slice(0, 4)"
        ".forEach((each) => each.click())"
    )
    visit.wait_for_function("document.querySelectorAll('#chosen .token').length === 4")


def test_browser_answers_the_pair_that_was_seen(visit: Any, desk: Desk) -> None:
    """Of two keys at once the second was meant for a pair that nobody has seen yet."""
    open_tab(visit, "Review")
    visit.wait_for_selector("#pair img")
    count = len(desk.review.answers)
    visit.evaluate(
        "['review-different', 'review-same'].forEach((each) => "
        "document.getElementById(each).click())"
    )
    visit.get_by_text("no longer shown", exact=False).first.wait_for()
    assert len(desk.review.answers) == count + 1
    visit.keyboard.press("u")
    visit.locator("#answers").get_by_text(f"{count} answer", exact=False).wait_for()


def test_browser_is_told_in_words_that_a_file_is_no_image(visit: Any, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    visit.locator("#second button[aria-label='Remove Image']").click()
    visit.locator("#second input[type=file]").set_input_files(tmp_path / "text.jpg")
    visit.get_by_text("This pair cannot be compared").wait_for()
    assert "is not an image of a kind" in visit.inner_text("#words")


def first_caption(name: str) -> str:
    return f"document.querySelector('{name} .caption-label').innerText"


def test_browser_searches_and_clicks_on(visit: Any, pedestrians: Path) -> None:
    open_tab(visit, "Search")
    visit.locator("#query input[type=file]").set_input_files(images_of(pedestrians, 5)[0])
    visit.wait_for_selector("#strip .caption-label")
    captions = visit.locator("#strip .caption-label")
    assert captions.count() == 12
    assert "in the gallery" in visit.inner_text("#found").lower()
    assert captions.first.inner_text().startswith("1. 0005, camera")
    person = captions.nth(11).inner_text().split(",")[0].split(". ")[1]
    visit.locator("#strip button.thumbnail-item").nth(11).click()
    visit.wait_for_function(
        f"name => {first_caption('#strip')}.startsWith(`1. ${{name}},`)", arg=person
    )
    visit.get_by_role("button", name="Results as ZIP").click()
    with visit.expect_download() as download:
        visit.locator("a[href*='images.zip']").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len(archive.namelist()) == 13


def test_browser_adds_names_erases_and_undoes(
    visit: Any, desk: Desk, pedestrians: Path, tmp_path: Path
) -> None:
    width = visit.viewport_size["width"]
    stranger = images_of(pedestrians, 13)
    # A name that would be markup; drawn anew, so that the two widths add different files.
    files = {}
    for place, path in enumerate(stranger[:3]):
        image = Image.open(path).convert("RGB")
        image.putpixel((0, 0), (width % 256, place, 7))
        image.save(tmp_path / f"{place}.png")
        files[f"folder/{width}/{place}.png"] = tmp_path / f"{place}.png"
        files[f"folder/{width}b/{place}.png"] = tmp_path / f"{place}.png"
    count = len(desk.gallery)
    open_tab(visit, "Gallery")
    visit.wait_for_selector("#grid .caption-label")
    if not visit.locator("#files").is_visible():
        visit.get_by_role("button", name="Add images").click()
    visit.locator("#files input[type=file]").set_input_files(pack(tmp_path / "new.zip", files))
    visit.get_by_text("6 images added.").wait_for()
    assert len(desk.gallery) == count + 6
    visit.get_by_text(f"{count + 6} images", exact=True).wait_for()
    visit.get_by_label("Person").first.click()
    visit.get_by_role("option", name=f"{width} (3)").click()
    visit.wait_for_function("document.querySelectorAll('#grid .caption-label').length === 3")
    visit.get_by_role("button", name="Name, merge, erase").click()
    visit.locator("#grid button.thumbnail-item").first.click()
    visit.wait_for_selector("#chosen .token")
    visit.get_by_label("Name of the chosen images").fill(EVIL)
    visit.get_by_role("button", name="Name them").click()
    visit.locator("#done").get_by_text("1 image named").wait_for()
    assert EVIL in desk.gallery.people()
    visit.wait_for_timeout(500)
    assert visit.evaluate("window.evil") is None
    visit.get_by_role("button", name="Undo the last change").click()
    visit.locator("#done").get_by_text("1 image as before").wait_for()
    assert desk.gallery.people()[str(width)] == 3
    visit.get_by_role("button", name="Erase", exact=True).click()
    visit.get_by_text("nobody is chosen", exact=False).first.wait_for()
    desk.erase(people=[str(width), f"{width}b"])
    assert len(desk.gallery) == count


def test_browser_sends_a_folder(visit: Any, desk: Desk, pedestrians: Path, tmp_path: Path) -> None:
    width = visit.viewport_size["width"]
    folder = tmp_path / "folder"
    for name in (f"anna{width}", f"bert{width}"):
        (folder / name).mkdir(parents=True)
        for path in images_of(pedestrians, 14)[:2]:
            shutil.copy(path, folder / name / f"{path.stem[-3:]}.jpg")
    (folder / "notes.txt").write_text("text")
    open_tab(visit, "Gallery")
    if not visit.locator("#files").is_visible():
        visit.get_by_role("button", name="Add images").click()
    visit.locator("label.folder input").set_input_files(folder)
    visit.get_by_text("4 images added.").wait_for()
    assert desk.gallery.people()[f"anna{width}"] == 2
    desk.erase(people=[f"anna{width}", f"bert{width}"])


def test_browser_reviews_by_keyboard(visit: Any, desk: Desk) -> None:
    count, people = len(desk.review.answers), desk.gallery.people()
    open_tab(visit, "Review")
    visit.wait_for_selector("#pair img")
    visit.keyboard.press("d")
    visit.locator("#answers").get_by_text("0 same, 1 different").wait_for()
    assert len(desk.review.answers) == count + 1
    assert desk.review.answers[-1].same is False
    with (desk.review.folder / "answers.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == count + 1
    visit.keyboard.press("s")
    visit.wait_for_function("document.querySelector('#answers').innerText.includes('triplet')")
    visit.get_by_text("answers: 1 same", exact=False).wait_for()
    for _ in range(2):  # each click hands out the table as it is then
        with visit.expect_download() as download:
            visit.locator("#triplets").click()
        assert (
            Path(download.value.path()).read_bytes()
            == (desk.review.folder / "triplets.csv").read_bytes()
        )
        visit.keyboard.press("u")
        visit.wait_for_timeout(1_500)
    assert desk.gallery.people() == people
    visit.get_by_role("button", name="Recalibrate").click()
    visit.get_by_text("measured on this gallery", exact=False).wait_for()
    visit.get_by_role("button", name="Model's own").click()
    visit.get_by_text("the model's own calibration", exact=False).wait_for()


def test_browser_shows_the_model(visit: Any, desk: Desk) -> None:
    open_tab(visit, "Model")
    visit.wait_for_selector("#pictures img")
    assert desk.model.fingerprint in visit.inner_text("#card")
    assert "Rank-1" in visit.inner_text("#scores")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_browser_finds_nothing_that_shuts_people_out(
    browser: Any, url: str, pedestrians: Path, scheme: str
) -> None:
    """axe-core's rules: names for screen readers, contrast, headings, keyboards."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe is not installed")
    tab = browser.new_page(color_scheme=scheme)
    tab.set_default_timeout(120_000)
    tab.goto(url)
    tab.wait_for_selector("#heat img")
    tab.evaluate(axe.AXE_FILE_PATH.read_text(encoding="utf-8"))
    found = []
    for name in ("Compare", "Search", "Gallery", "Review", "Model"):
        open_tab(tab, name)
        if name == "Search":
            tab.locator("#query input[type=file]").set_input_files(images_of(pedestrians, 5)[0])
            tab.wait_for_selector("#strip .caption-label")
        for button in {"Search": ["Filters"], "Gallery": ["Name, merge, erase"]}.get(name, ()):
            tab.get_by_role("button", name=button).click()
        seen = {"Gallery": "#grid .caption-label", "Review": "#pair img", "Model": "#pictures img"}
        tab.wait_for_selector(seen.get(name, "h1"))
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 844})
            tab.wait_for_timeout(500)  # what opens moves
            answer = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
            found += [
                f"{name}, {width} pixels, {rule['id']}: {node['html'][:150]}"
                for rule in answer["violations"]
                for node in rule["nodes"]
            ]
    tab.close()
    assert found == []


def test_pages_of_the_gallery_hold_all_images(desk: Desk) -> None:
    assert len(desk.gallery) > people_tab.PAGE
    path = desk.gallery.images()[0].path
    assert desk.thumbnail(path) is desk.thumbnail(path)
    assert max(desk.thumbnail(path).size) <= 160
    assert desk.thumbnail(str(desk.home / "none.jpg")).size == (64, 128)  # a grey one
