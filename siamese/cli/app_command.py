"""The commands app and serve."""

import os
import sys
from pathlib import Path

from siamese.cli.program import Stated, import_quietly, open_console
from siamese.cli.verification_commands import open_model
from siamese.errors import InputError
from siamese.preprocessing import UNSTATED

LOGIN = "SIAMESE_LOGIN"
TOKEN = "SIAMESE_TOKEN"
_LOCAL = ("127.0.0.1", "localhost", "::1")
_PAIRS = ((0, 1), (0, 2), (4, 5))
"""Of the seven drawn images: one person, two people, another person."""


def app(
    gallery: Path = Path("gallery"),
    model: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    login: str | None = None,
) -> None:
    """Open a web page: compare two images, search, keep a gallery, review.

    It works without internet; images stay on this machine. Ctrl-C ends it.

    Args:
        gallery: Folder of the gallery; the page makes it when images are added.
        model: Model file; by default that of the gallery, else the model in use (siamese info).
        host: Address to listen at: 127.0.0.1 for this machine alone, 0.0.0.0 for its network.
        port: Port to listen at.
        login: NAME:PASSWORD that visitors must give; by default what SIAMESE_LOGIN says, else none.
    """
    import signal
    import tempfile
    import threading

    _check_port(port)
    name_and_password = _read_login(login if login is not None else os.environ.get(LOGIN))
    console = open_console()
    from siamese.app import page

    with console.status("opening the model"):
        if model is None or model.suffix == ".keras":
            import_quietly("keras")
        from siamese.app.state import Desk
        from siamese.gallery.contents import made_with
        from siamese.inference import find_by_fingerprint, load_model
        from siamese.synthetic import write_test_images

        if model is None and (maker := made_with(gallery)) is not None:
            model = find_by_fingerprint(*maker)
        desk = Desk(load_model(model), gallery)
    with tempfile.TemporaryDirectory() as folder:
        drawn = write_test_images(Path(folder))
        examples = [(drawn[one], drawn[other]) for one, other in _PAIRS]
        served = page.launch(desk, host=host, port=port, login=name_and_password, examples=examples)
    if host not in _LOCAL and name_and_password is None:
        print(
            f"note: whoever reaches {host} can use the page and change the gallery; --login "
            "NAME:PASSWORD asks for a password",
            file=sys.stderr,
        )
    print(served.local_url, flush=True)
    # What visitors sent is removed at a regular end only, so a termination is made one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Event().wait()
    finally:
        served.close(verbose=False)


def serve(
    gallery: str | None = None,
    model: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    preprocessing: Stated = UNSTATED,
) -> None:
    """Answer other programs over HTTP: /verify, /embed, /search, described by /openapi.json.

    Images that come at the same time are computed together. Ctrl-C ends it.

    Args:
        gallery: Folder of the gallery that /search looks in; by default there is no /search.
        model: Model file; by default the model in use (siamese info).
        host: Address to listen at: 127.0.0.1 for this machine alone, 0.0.0.0 for its network.
        port: Port to listen at; 0 for a free one.
        token: What callers must send as Authorization: Bearer TOKEN; by default what SIAMESE_TOKEN
            says, else nothing.
        preprocessing: Of a model made elsewhere, where its file does not say.
    """
    import socket

    _check_port(port)
    token = token if token is not None else os.environ.get(TOKEN)
    if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
        raise InputError("--token must be printable ASCII characters. Received: another one.")
    import uvicorn

    from siamese.server import CONNECTIONS, build_service

    if gallery is not None:  # a missing gallery is answered at once
        from siamese.gallery import Gallery

        Gallery(gallery).info()
    service = build_service(open_model(model, **preprocessing.given()), gallery, token)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(f"cannot listen at {host} port {port}: {error.strerror}.") from None
    if host not in _LOCAL and token is None:
        print(f"note: whoever reaches {host} may ask; --token asks for a token", file=sys.stderr)
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{listening.getsockname()[1]}/openapi.json", flush=True)
    config = uvicorn.Config(
        service, log_level="warning", server_header=False, limit_concurrency=CONNECTIONS
    )
    uvicorn.Server(config).run(sockets=[listening])


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise InputError(f"--port must be 0 to 65535. Received: {port}")


def _read_login(login: str | None) -> tuple[str, str] | None:
    if login is None:
        return None
    name, _, password = login.partition(":")
    if not name or not password:
        raise InputError(
            "--login must be NAME:PASSWORD. Received: no colon, or an empty name or password."
        )
    return name, password
