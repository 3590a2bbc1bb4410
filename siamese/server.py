"""An HTTP service for other programs: verify, embed, search; `siamese serve` starts it."""

import asyncio
import secrets
import tempfile
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

import siamese
from siamese.app.uploads import MAXIMUM_BYTES, decode_upload
from siamese.errors import InputError
from siamese.gallery import Gallery, answer
from siamese.inference import Model
from siamese.inference.networks import Network

MAXIMUM_REQUEST = 200_000_000
"""Bytes of a request."""
MAXIMUM_HELD = 1_000_000_000
"""Bytes of all requests at a time."""
PATIENCE = 60
"""Seconds in which a request must come."""
AT_ONCE = 200
"""Requests that are answered or wait for it; more are answered with 503."""
CONNECTIONS = 900
"""Open connections, slow and silent ones among them: a process may commonly hold 1,024 files. More
are closed, often before the answer is read."""
BATCH = 64
"""Images computed at a time."""

Text = Annotated[str | None, Form()]


class BatchingNetwork(Network):
    """A network that computes in one batch what several threads ask for at a time.

    The thread that comes first computes at once; what comes meanwhile is computed together by the
    next one, so nobody waits for a batch to fill.

    Args:
        network: What computes.
    """

    def __init__(self, network: Network) -> None:
        for name in ("metadata", "image_size", "dimensions", "runtime", "tells_channels"):
            setattr(self, name, getattr(network, name))
        self._network = network
        self._waiting: list[tuple[NDArray[np.float32], Future[NDArray[Any]]]] = []
        self._changing, self._computing = threading.Lock(), threading.Lock()

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch `(images, *image_size, 3)`, RGB 0 to 255, with those of other threads."""
        mine: Future[NDArray[Any]] = Future()
        with self._changing:
            self._waiting.append((images, mine))
        with self._computing:
            if not mine.done():
                with self._changing:
                    taken, self._waiting = self._waiting, []
                self._compute(*zip(*taken, strict=True))
        return mine.result()

    def _compute(
        self, images: tuple[NDArray[np.float32], ...], answers: tuple[Future[NDArray[Any]], ...]
    ) -> None:
        try:
            batch = np.concatenate(images)
            parts = [batch[first : first + BATCH] for first in range(0, len(batch), BATCH)]
            rows = np.concatenate([self._network.run(part) for part in parts])
        except Exception as error:  # each thread raises it as its own
            for each in answers:
                each.set_exception(error)
            return
        ends = np.cumsum([len(each) for each in images])[:-1]
        for each, found in zip(answers, np.split(rows, ends), strict=True):
            each.set_result(found)


def build_service(model: Model, gallery: str | None = None, token: str | None = None) -> FastAPI:
    """Builds the service.

    Args:
        model: An open model.
        gallery: The folder of a gallery of this model; None: there is no `/search`.
        token: What callers must send, as in `Authorization: Bearer TOKEN`; None: nothing.

    Returns:
        The ASGI application; `/openapi.json` describes it.
    """
    batching = BatchingNetwork(model.network)
    model = Model(model.path, batching)
    service = FastAPI(
        title="Person re-identification",
        version=siamese.__version__,
        docs_url=None,  # its page would be fetched from another server
        redoc_url=None,
        dependencies=[] if token is None else [Depends(HTTPBearer(auto_error=False))],
    )

    answering = held = 0  # requests that are whole, and bytes of all

    @service.middleware("http")
    async def check(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        nonlocal answering, held
        refused = _refuse_early(request, token, held)
        if refused is not None:
            return refused
        held += (size := int(request.headers.get("content-length", 0)))
        try:
            async with asyncio.timeout(PATIENCE):
                await request.body()
            if answering >= AT_ONCE:
                return _refuse_busy()
            answering += 1
            try:
                return await go_on(request)
            finally:
                answering -= 1
        except TimeoutError:
            return _refuse(408, f"a request must come within {PATIENCE} seconds.")
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        finally:
            held -= size

    @service.exception_handler(InputError)
    async def explain(_: Request, error: Exception) -> Response:
        return _refuse(400, " ".join(str(error).split()))

    @service.get("/model")
    def describe() -> dict[str, Any]:
        """Say which model answers."""
        return {
            "model": model.path.name,
            "fingerprint": model.fingerprint,
            "dimensions": model.dimensions,
            "image_size": model.image_size,
            "threshold": None if model.calibration is None else model.calibration.threshold,
        }

    @service.post("/verify")
    def verify(
        img1: UploadFile, img2: UploadFile, prior: Annotated[float, Form()] = 0.5
    ) -> dict[str, Any]:
        """Say whether two images show the same person: as `siamese verify --json`."""
        said = model.verify(_decode(img1), _decode(img2), prior)
        return {**said.to_dict(), "model": model.path.name}

    @service.post("/embed")
    def embed(
        images: Annotated[list[UploadFile], File()], flip: Annotated[bool, Form()] = False
    ) -> dict[str, Any]:
        """Embed images: unit vectors, in the order of the images."""
        rows = model.embed([_decode(each) for each in images], flip=flip, batch_size=BATCH)
        return {"fingerprint": model.fingerprint, "embeddings": rows.tolist()}

    if gallery is not None:
        searched = Gallery(gallery, model)

        @service.post("/search")
        def search(
            image: UploadFile,
            k: Annotated[int, Form(ge=1, le=1000)] = 10,
            camera: Annotated[list[int] | None, Form()] = None,
            since: Text = None,
            until: Text = None,
            person: Text = None,
        ) -> dict[str, Any]:
            """Find the images of the gallery that are nearest to an image."""
            _decode(image)
            with tempfile.NamedTemporaryFile() as query:  # so that the gallery knows its own files
                query.write(_read(image))
                query.flush()
                matches = searched.search(
                    query.name, k, camera=camera, since=since, until=until, person=person
                )
                own = searched.own_images([query.name])[0]
            return {
                "fingerprint": model.fingerprint,
                "answer": answer(matches),
                "left_out": own,
                "matches": [match.to_dict() for match in matches],
            }

    return service


def _read(upload: UploadFile) -> bytes:
    upload.file.seek(0)
    return upload.file.read(MAXIMUM_BYTES + 1)


def _decode(upload: UploadFile) -> NDArray[np.uint8]:
    return decode_upload(_read(upload), upload.filename or "image")


def _refuse_early(request: Request, token: str | None, held: int) -> Response | None:
    """Refuses a request by its head; None: it may go on."""
    sent = request.headers.get("authorization", "").encode()
    if token is not None and not secrets.compare_digest(sent, f"Bearer {token}".encode()):
        told = {"WWW-Authenticate": "Bearer"}
        return _refuse(401, "a token is needed: Authorization: Bearer TOKEN.", told)
    length = request.headers.get("content-length", "")
    if request.method == "POST" and not length.isdecimal():
        return _refuse(411, "a request must say its length. Send Content-Length.")
    if request.method == "POST" and int(length) > MAXIMUM_REQUEST:
        return _refuse(413, f"a request must be at most {MAXIMUM_REQUEST // 10**6} MB.")
    return _refuse_busy() if held > MAXIMUM_HELD else None


def _refuse_busy() -> Response:
    return _refuse(503, "busy with others. Ask again in a second.", {"Retry-After": "1"})


def _refuse(status: int, why: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": why}, status, headers)
