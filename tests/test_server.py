"""The HTTP service, asked as other programs ask it, with a real small model and gallery."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from colours import write_colour_model
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from siamese import server
from siamese.app import uploads
from siamese.cli import main
from siamese.gallery import Gallery
from siamese.inference import Model
from siamese.inference.networks import Network
from siamese.synthetic import write_mars_tree

TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    write_mars_tree(folder / "people", people=4, cameras=2, frames=2, image_size=(64, 32))
    Gallery(folder / "gallery", model_of(folder)).add(folder / "people")
    return folder


def model_of(folder: Path) -> Model:
    return write_colour_model(folder / "model.onnx", people=folder / "people")


@pytest.fixture(scope="module")
def client(people: Path) -> Iterator[TestClient]:
    service = server.build_service(model_of(people), str(people / "gallery"), "secret")
    with TestClient(service, headers=TOKEN) as client:
        yield client


def images_of(people: Path) -> list[Path]:
    return sorted((people / "people").rglob("*.jpg"))


def test_verify_answers_as_the_model(client: TestClient, people: Path) -> None:
    one, other = images_of(people)[0], images_of(people)[5]
    files = {"img1": one.read_bytes(), "img2": other.read_bytes()}
    said = client.post("/verify", files=files, data={"prior": "0.2"}).json()
    expected = model_of(people).verify(one, other, 0.2).to_dict()
    assert said.pop("model") == "model.onnx"  # no path of the machine
    for name in ("distance", "probability", "prior", "threshold"):
        assert said[name] == pytest.approx(expected[name], abs=1e-6)
    assert said["verdict"] == expected["verdict"]
    assert set(said) == set(expected) - {"model"}


def test_embed_gives_rows_in_the_order_of_the_images(client: TestClient, people: Path) -> None:
    images = images_of(people)[:5]
    files = [("images", (each.name, each.read_bytes())) for each in reversed(images)]
    found = client.post("/embed", files=files).json()
    expected = model_of(people).embed(images)[::-1]
    np.testing.assert_allclose(found["embeddings"], expected, atol=1e-6)
    flipped = client.post("/embed", files=files, data={"flip": "true"}).json()
    assert not np.allclose(flipped["embeddings"], expected)


def test_search_leaves_out_the_query_and_filters(client: TestClient, people: Path) -> None:
    query = images_of(people)[0]
    data = {"k": "3", "camera": ["2"]}
    found = client.post("/search", files={"image": query.read_bytes()}, data=data).json()
    gallery = Gallery(people / "gallery", model_of(people))
    expected = gallery.search(query, 3, camera=[2])
    assert found["left_out"] == [str(query)]
    assert [each["image"] for each in found["matches"]] == [each.image for each in expected]
    assert found["answer"] == expected[0].verdict


def test_only_the_token_opens_it(client: TestClient, people: Path) -> None:
    image = {"images": images_of(people)[0].read_bytes()}
    for token in ("", "Bearer", "Bearer secre", "Bearer secret2", "Basic secret"):
        answer = client.post("/embed", files=image, headers={"Authorization": token})
        assert answer.status_code == 401, token
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/openapi.json", headers={"Authorization": ""}).status_code == 401


def test_openapi_describes_what_is_there(client: TestClient, people: Path) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/model", "/verify", "/embed", "/search"}
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    with TestClient(server.build_service(model_of(people))) as without:
        assert set(without.get("/openapi.json").json()["paths"]) == {"/model", "/verify", "/embed"}
        assert without.get("/model").json()["image_size"] == [32, 16]


def test_what_is_too_large_or_no_image_is_refused_in_a_sentence(
    client: TestClient, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.post("/embed", files={"images": ("a.txt", b"text")})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("a.txt: is not an image")
    image = {"images": ("a.jpg", images_of(people)[0].read_bytes())}
    for module in (server, uploads):
        monkeypatch.setattr(module, "MAXIMUM_BYTES", 100)
    assert client.post("/embed", files=image).status_code == 400
    monkeypatch.setattr(server, "MAXIMUM_REQUEST", 100)
    assert client.post("/embed", files=image).status_code == 413
    endless = client.post("/embed", content=iter([b"a" * 1000]))
    assert endless.status_code == 411


def test_what_is_too_much_at_a_time_is_to_ask_again(
    client: TestClient, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = {"images": ("a.jpg", images_of(people)[0].read_bytes())}
    for name in ("AT_ONCE", "MAXIMUM_HELD"):
        with monkeypatch.context() as patched:
            patched.setattr(server, name, -1)
            busy = client.post("/embed", files=image)
            assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert client.post("/embed", files=image).status_code == 200


def test_a_request_that_does_not_come_is_given_up_and_holds_up_nobody(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    monkeypatch.setattr(server, "AT_ONCE", 1)
    service = server.build_service(model_of(people))

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b"a"
            await asyncio.sleep(0.05)

    async def ask() -> tuple[list[int], int]:
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            slow = [
                asyncio.create_task(
                    client.post("/embed", content=drip(), headers={"Content-Length": "1000000"})
                )
                for _ in range(3)
            ]
            await asyncio.sleep(0.1)
            quick = await client.get("/model")
            return [(await each).status_code for each in slow], quick.status_code

    assert asyncio.run(ask()) == ([408] * 3, 200)


def test_what_comes_at_the_same_time_is_one_batch() -> None:
    first, wait = threading.Event(), threading.Event()
    batches: list[int] = []

    class Slow(Network):
        metadata, image_size, dimensions, runtime = {}, (2, 2), 1, "none"

        def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
            batches.append(len(images))
            first.set()
            wait.wait(10)
            if (images < 0).any():
                raise ValueError("negative")
            return images.mean(axis=(1, 2, 3))[:, None]

    batching = server.BatchingNetwork(Slow())
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(batching.run, np.full((1, 2, 2, 3), 0, np.float32))]
        assert first.wait(10)
        asked += [
            pool.submit(batching.run, np.full((n, 2, 2, 3), n, np.float32)) for n in range(1, 6)
        ]
        while len(batching._waiting) < 5:
            os.sched_yield()
        wait.set()
        for number, each in enumerate(asked):
            assert each.result().tolist() == [[number]] * max(1, number)
    assert batches == [1, 15]
    with pytest.raises(ValueError, match="negative"):
        batching.run(np.full((1, 2, 2, 3), -1, np.float32))
    assert batching.run(np.ones((1, 2, 2, 3), np.float32)).tolist() == [[1]]


def test_the_command_refuses_before_it_listens(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["serve", "--gallery", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
    assert main(["serve", "--token", ""]) == 2
    assert "--token" in capsys.readouterr().err
