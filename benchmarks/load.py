"""How the HTTP service and the page bear many clients at once: errors, waiting times, memory.

    python benchmarks/load.py                       # the service: 200 clients for 2 minutes
    python benchmarks/load.py --target page --clients 200 --seconds 120

Starts the program on loopback with a gallery of drawn people and lets clients ask in turns, each
the next thing as soon as it is answered: the service for verify, embed and search, the page for an
upload and then verify or search. All the while another process adds a person of a camera of its own
to the gallery and erases that person again; searches are of the other cameras. Every answer is
compared with that of one client alone. Some connections send one byte a second, some send nothing,
and others try what must be refused. Exits with 1 when an answer was wrong, a request failed other
than by "busy", or something was not refused.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from siamese.gallery import Gallery, GalleryImage
from siamese.inference import load_model
from siamese.synthetic import write_mars_tree

TOKEN = {"Authorization": "Bearer secret"}
BUSY = (429, 503)
REFUSED = (
    ("GET", "/../../etc/passwd", {}, (401, 404)),
    ("GET", "/%2e%2e/%2e%2e/etc/passwd", {}, (401, 404)),
    ("GET", "/model", {"Authorization": "Bearer wrong"}, (401, 404)),
    ("POST", "/verify", {**TOKEN, "Origin": "http://elsewhere"}, (404, 405, 411, 422)),
    ("GET", "/model?a=%0d%0aSet-Cookie:%20a=b", {"Authorization": "Bearer wrong"}, (401, 404)),
    ("GET", "/gradio_api/file=/etc/passwd", {}, (401, 403, 404)),
    ("GET", "/gradio_api/file=../../etc/passwd", {}, (401, 403, 404)),
)

Ask = Callable[[httpx.AsyncClient, int], Awaitable[Any]]


class BusyError(Exception):
    """The program said that it has too much to do."""


async def _post(client: httpx.AsyncClient, path: str, **body: Any) -> Any:
    answer = await client.post(path, **body)
    if answer.status_code in BUSY:
        raise BusyError
    answer.raise_for_status()
    return answer.json()


def asked_of_service(crops: list[bytes]) -> dict[str, Ask]:
    """Returns what clients ask of the service, by name; a number chooses the crop."""

    async def verify(client: httpx.AsyncClient, number: int) -> Any:
        files = {"img1": crops[number], "img2": crops[(number * 7 + 1) % len(crops)]}
        return (await _post(client, "/verify", files=files))["distance"]

    async def embed(client: httpx.AsyncClient, number: int) -> Any:
        files = [("images", (f"{k}.jpg", crops[(number + k) % len(crops)])) for k in range(3)]
        return (await _post(client, "/embed", files=files))["embeddings"]

    async def search(client: httpx.AsyncClient, number: int) -> Any:
        said = {"k": "5", "camera": ["1", "2"]}
        found = await _post(client, "/search", files={"image": crops[number]}, data=said)
        return [match["distance"] for match in found["matches"]]

    return {"verify": verify, "embed": embed, "search": search}


def asked_of_page(crops: list[bytes]) -> dict[str, Ask]:
    """Returns what visitors ask of the page, by name; a number chooses the crop."""

    async def upload(client: httpx.AsyncClient, number: int) -> dict[str, Any]:
        name = f"{number}.jpg"
        path = (await _post(client, "/gradio_api/upload", files={"files": (name, crops[number])}))[
            0
        ]
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    async def call(client: httpx.AsyncClient, name: str, data: list[Any]) -> Any:
        event = (await _post(client, f"/gradio_api/call/{name}", json={"data": data}))["event_id"]
        said = (await client.get(f"/gradio_api/call/{name}/{event}")).text
        kind, *rest = said.strip().split("\n")[-2:]
        if kind != "event: complete":
            raise BusyError if "full" in said else ValueError(said)
        return json.loads(rest[0].removeprefix("data: "))

    async def verify(client: httpx.AsyncClient, number: int) -> Any:
        pair = [await upload(client, each) for each in (number, (number * 7 + 1) % len(crops))]
        return (await call(client, "verify", [*pair, 0.01]))[0]["distance"]

    async def search(client: httpx.AsyncClient, number: int) -> Any:
        query = await upload(client, number)
        found = (await call(client, "search", [query, 5, [1, 2], "", "", ""]))[0]
        return [match["distance"] for match in found["matches"]]

    return {"verify": verify, "search": search}


def change_gallery(folder: Path, crop: bytes, until: float) -> int:
    """Adds a person of camera 9 and erases that person again until a time; returns how often."""
    image = folder.with_name("passer-by.jpg")
    image.write_bytes(crop)
    times, gallery = 0, Gallery(folder, load_model("pretrained"))
    while time.time() < until:
        gallery.add([GalleryImage(str(image), person="passer-by", camera=9)])
        gallery.remove(people="passer-by")
        times += 1
    return times


async def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for _ in range(240):
            if process.poll() is not None:
                sys.exit("the program ended before it listened")
            try:
                await client.get("/")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.5)
    sys.exit("the program did not listen within two minutes")


async def _be_slow(port: int, until: float, sends: bool) -> None:
    """Holds a connection open that sends a byte a second, or nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for each in b"POST /verify HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n" * 9:
        if time.monotonic() > until:
            break
        if sends:
            writer.write(bytes([each]))
        await asyncio.sleep(1)
    writer.close()
    del reader


async def _try_refused(url: str, wrong: list[str]) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        for method, path, headers, codes in REFUSED:
            request = client.build_request(method, url, headers=headers)
            request.url = request.url.copy_with(raw_path=path.encode())
            said = await client.send(request)
            if said.status_code not in codes or b"root:" in said.content:
                wrong.append(f"{method} {path}: {said.status_code}")


def _memory(process: int) -> float:
    """Returns the resident memory of a process in MB."""
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _same(one: Any, other: Any) -> bool:
    return bool(np.allclose(np.asarray(one), np.asarray(other), atol=1e-4))


async def _press(options: argparse.Namespace, url: str, process: int, folder: Path) -> bool:
    crops = [image.read_bytes() for image in sorted((folder / "people").rglob("*.jpg"))]
    asks = (asked_of_page if options.target == "page" else asked_of_service)(crops)
    # A connection for each request: one that is kept may be closed just as it is used again.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    wrong: list[str] = []
    seconds: dict[str, list[float]] = {name: [] for name in asks}
    busy: Counter[str] = Counter()
    memory = []
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits, headers=TOKEN) as client:
        alone = {
            (name, number): await ask(client, number)
            for name, ask in asks.items()
            for number in range(len(crops))
        }
        until = time.monotonic() + options.seconds

        async def work(which: int) -> None:
            chance = random.Random(which)
            while time.monotonic() < until:
                name, number = chance.choice(list(asks)), chance.randrange(len(crops))
                started = time.monotonic()
                try:
                    found = await asks[name](client, number)
                except BusyError:
                    busy[name] += 1
                    await asyncio.sleep(0.5)
                    continue
                except (httpx.HTTPError, ValueError) as error:
                    wrong.append(f"{name} {number}: {type(error).__name__} {error}"[:200])
                    continue
                seconds[name].append(time.monotonic() - started)
                if not _same(found, alone[name, number]):
                    wrong.append(f"{name} {number}: another answer than alone")

        async def watch() -> None:
            while time.monotonic() < until:
                memory.append(_memory(process))
                await asyncio.sleep(1)

        slow = [_be_slow(options.port, until, k % 2 == 0) for k in range(options.slow)]
        clients = [work(k) for k in range(options.clients)]
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            changing = asyncio.get_running_loop().run_in_executor(
                pool, change_gallery, folder / "gallery", crops[0], time.time() + options.seconds
            )
            await asyncio.gather(watch(), _try_refused(url, wrong), *slow, *clients)
            changes = await changing
    print(f"{options.clients} clients, {options.seconds:.0f} s, {options.slow} slow connections")
    print(f"a person was added to the gallery and erased {changes} times")
    print(f"{'':<8}{'answers':>8}{'busy':>6}{'p50 s':>8}{'p95 s':>8}{'p99 s':>8}")
    for name, took in seconds.items():
        p50, p95, p99 = np.percentile(took, [50, 95, 99]) if took else [np.nan] * 3
        print(f"{name:<8}{len(took):>8}{busy[name]:>6}{p50:>8.2f}{p95:>8.2f}{p99:>8.2f}")
    third = max(len(memory) // 3, 1)
    parts = [np.mean(memory[:third]), np.mean(memory[third:-third]), np.mean(memory[-third:])]
    print("memory in MB, by thirds:", *(f"{each:.0f}" for each in parts))
    print(f"wrong: {len(wrong)}", *dict.fromkeys(wrong[:10]), sep="\n  ")
    return not wrong


def main() -> None:
    """Starts the program, presses it and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", choices=("service", "page"), default="service")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--slow", type=int, default=20)
    parser.add_argument("--port", type=int, default=8123)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_mars_tree(folder / "people", people=20, cameras=2, frames=1)
        Gallery(folder / "gallery", load_model("pretrained")).add(folder / "people")
        command = "app" if options.target == "page" else "serve"
        started = [sys.executable, "-m", "siamese", command, "--gallery", str(folder / "gallery")]
        started += ["--port", str(options.port)]
        started += ["--token", "secret"] if command == "serve" else []
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(started, stdout=log, stderr=log, env=dict(os.environ))
        url, good = f"http://127.0.0.1:{options.port}", True
        try:
            asyncio.run(_wait_for(url, process))
            good &= asyncio.run(_press(options, url, process.pid, folder))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                print("it did not end within a minute of SIGTERM")
                good = False
            said = (folder / "log").read_text("utf-8", "replace")
        if "Traceback" in said:
            print(said[-5000:])
            good = False
    sys.exit(not good)


if __name__ == "__main__":
    main()
