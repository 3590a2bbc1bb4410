"""The page as a whole: tabs, look, start."""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from siamese.app import about_tab, compare_tab, html, people_tab, review_tab, search_tab
from siamese.app.css import CSS
from siamese.app.state import Desk
from siamese.app.uploads import MAXIMUM_UPLOAD
from siamese.errors import InputError

AT_ONCE = 4
WAITING = 200
_HOUR = 3600
_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")


def build_page(desk: Desk) -> Any:
    """Lays out the page.

    Args:
        desk: What its tabs ask.

    Returns:
        A `gradio.Blocks`, not started.
    """
    with gr.Blocks(
        title="Person re-identification",
        analytics_enabled=False,
        delete_cache=(_HOUR, _HOUR),
        fill_width=True,
    ) as page:
        changed = gr.State(0)
        gr.HTML(_head(desk))
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Compare", id="compare"):
                compare_tab.build(desk)
            with gr.Tab("Search", id="search"):
                search_tab.build(desk, changed)
            with gr.Tab("Gallery", id="gallery"):
                people_tab.build(desk, changed)
            with gr.Tab("Review", id="review") as tab:
                review_tab.build(desk, changed, tab)
            with gr.Tab("Model", id="model") as tab:
                about_tab.build(desk, tab)
        page.load(
            lambda times: times + 1, changed, changed, api_visibility="private",
            show_progress="hidden",
        )  # fmt: skip
    page.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE, api_open=False)
    return page


def launch(
    desk: Desk,
    *,
    host: str = "127.0.0.1",
    port: int | None = 7860,
    login: tuple[str, str] | None = None,
) -> Any:
    """Starts the page and returns while it serves.

    What visitors send is kept in a folder of its own that only this user may read, and that is
    gone when the program ends.

    Args:
        desk: What its tabs ask.
        host: The address to listen at; "0.0.0.0" for all.
        port: The port; None for any free one.
        login: Name and password that visitors must give.

    Returns:
        The `gradio.Blocks`, with `local_url` and `close()`.

    Raises:
        InputError: The address or the port cannot be used.
    """
    _keep_private()
    _reach_directly()
    page = build_page(desk)
    try:
        page.launch(
            server_name=host,
            server_port=port,
            auth=login,
            auth_message="This page needs a name and a password.",
            share=False,
            ssr_mode=False,
            quiet=True,
            show_error=False,
            prevent_thread_lock=True,
            inbrowser=False,
            allowed_paths=[],
            max_file_size=MAXIMUM_UPLOAD,
            enable_monitoring=False,
            footer_links=[],
            theme=_theme(),
            css=CSS,
            head=f"<script>{review_tab.KEYS}</script>",
            # Without it, a machine too busy to answer within 3 seconds is asked for a public link.
            _frontend=False,
        )
    except OSError:
        raise InputError(
            f"port {port} of {host} is in use or may not be used. Give another --port."
        ) from None
    return page


@functools.cache
def _keep_private() -> None:
    """Gives what visitors send a folder of its own: one a process, as Gradio knows only one."""
    folder = tempfile.mkdtemp(prefix="siamese-page-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = folder


def _reach_directly() -> None:
    """Lets Gradio ask its own server whether it is up without the network's proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        others = [each for each in os.environ.get(name, "").split(",") if each]
        os.environ[name] = ",".join(dict.fromkeys([*others, "127.0.0.1", "localhost"]))


def _theme() -> Any:
    """Fonts of the visitor's own system: none is fetched."""
    theme = gr.themes.Default(
        primary_hue="teal", neutral_hue="slate", font=_FONT, font_mono=("ui-monospace", "monospace")
    )
    # Gradio's own grey is too pale to read for many.
    return theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
    )


def _head(desk: Desk) -> str:
    chips = [f"model {desk.model.path.name}", f"gallery {Path(desk.gallery.path).name}"]
    shown = "".join(f"<li>{html.escape(each)}</li>" for each in chips)
    return (
        '<header class="top"><h1>Person re-identification</h1>'
        "<p>Do two images show the same person, and where else was this person seen?</p>"
        f'<ul class="chips" aria-label="In use">{shown}</ul></header>'
    )
