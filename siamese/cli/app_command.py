"""The command app."""

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from siamese.cli.program import import_quietly, open_console
from siamese.errors import InputError

LOGIN = "SIAMESE_LOGIN"
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
        model: Model file; by default the newest in runs, else the one that comes along.
        host: Address to listen at: 127.0.0.1 for this machine alone, 0.0.0.0 for its network.
        port: Port to listen at.
        login: NAME:PASSWORD that visitors must give; by default what SIAMESE_LOGIN says, else none.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port must be 0 to 65535. Received: {port}")
    name_and_password = _read_login(login if login is not None else os.environ.get(LOGIN))
    console = open_console()
    try:
        from siamese.app import page
    except ImportError as error:
        if error.name is None or error.name.startswith("siamese"):
            raise
        raise InputError(
            f'the page needs {error.name}. Install it: pip install "siamese-reid[app,gallery]"'
        ) from None
    with console.status("opening the model"):
        if model is None or model.suffix == ".keras":
            import_quietly("keras")
        from siamese.app.state import Desk
        from siamese.inference import load_model
        from siamese.synthetic import write_test_images

        desk = Desk(load_model(model), gallery)
    with tempfile.TemporaryDirectory() as folder:
        drawn = write_test_images(Path(folder))
        examples = [(drawn[one], drawn[other]) for one, other in _PAIRS]
        served = page.launch(desk, host=host, port=port, login=name_and_password, examples=examples)
    if host not in ("127.0.0.1", "localhost", "::1") and name_and_password is None:
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


def _read_login(login: str | None) -> tuple[str, str] | None:
    if login is None:
        return None
    name, _, password = login.partition(":")
    if not name or not password:
        raise InputError(
            "--login must be NAME:PASSWORD. Received: no colon, or an empty name or password."
        )
    return name, password
