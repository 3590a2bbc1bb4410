"""The page as a whole: tabs, look, start."""

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from siamese.app import about_tab, compare_tab, people_tab, review_tab, search_tab
from siamese.app.components import HIDDEN, NAMES, fresh
from siamese.app.state import Desk
from siamese.app.uploads import MAXIMUM_UPLOAD
from siamese.app.wording import plain
from siamese.errors import InputError
from siamese.review.answers import TRIPLETS

AT_ONCE = 4
WAITING = 200
CSS = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
.prose { overflow-x: auto; }
.prose th, .prose td { word-break: normal; overflow-wrap: normal; }
.pictures .grid-wrap { max-height: none; padding-top: 34px; }
.pictures .grid-container {
  grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)) !important; }
.pictures .thumbnail-lg { display: flex; flex-direction: column; aspect-ratio: auto; height: auto; }
.pictures .thumbnail-lg img { height: 180px; width: 100%; object-fit: contain; }
.pictures .caption-label { position: static; white-space: normal; max-width: 100%; border: 0; }
.pair .grid-container { grid-template-columns: 1fr 1fr !important; max-width: 600px; }
.pair .thumbnail-lg img { height: 320px; }
#verdict h2, #found h2 { color: #fff; border-radius: 8px; padding: 10px; }
@media (max-width: 640px) { button[role="tab"] { padding: 6px !important; } }
pre .token { color: inherit !important; }
label.folder { display: block; cursor: pointer; padding: 10px;
  border: 1px dashed var(--border-color-primary); border-radius: 8px; }
label.folder:focus-within { outline: 3px solid var(--color-accent); }
label.folder input { position: absolute; width: 1px; height: 1px; opacity: 0; }
"""
_HOUR = 3600
_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")

Examples = Sequence[tuple[Path, Path]]


def build_page(desk: Desk, examples: Examples = ()) -> Any:
    """Lays out the page."""
    home = Path(_private_folder())
    pictures = Path(tempfile.mkdtemp(dir=home, prefix="gallery-"))
    desk.shown.append(pictures)
    copied = [(_copy(one, home), _copy(other, home)) for one, other in examples]
    with gr.Blocks(
        title="Person re-identification",
        analytics_enabled=False,
        delete_cache=(_HOUR, _HOUR),
        fill_width=True,
    ) as page:
        changed = gr.State("")
        gr.Markdown(
            "# Person re-identification\nDo two images show the same person, and where else was "
            f"this person seen? Model {plain(desk.model.path.name)}, gallery "
            f"{plain(Path(desk.gallery.path).name)}."
        )
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Compare"):
                first, second = compare_tab.build_compare(desk, copied, home)
            with gr.Tab("Search"):
                search_tab.build_search(desk, changed, pictures)
            with gr.Tab("Gallery"):
                people_tab.build_people(desk, changed, pictures)
            with gr.Tab("Review") as tab:
                review_tab.build_review(desk, changed, tab, pictures)
            with gr.Tab("Model") as tab:
                about_tab.build_about(desk, tab, home)
        page.load(fresh, None, changed, **HIDDEN)
        if copied:
            page.load(lambda: [str(each) for each in copied[0]], None, [first, second], **HIDDEN)
    page.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE, api_open=False)
    return page


def launch(
    desk: Desk,
    *,
    host: str = "127.0.0.1",
    port: int | None = 7860,
    login: tuple[str, str] | None = None,
    examples: Examples = (),
) -> Any:
    """Starts the page and returns while it serves.

    What visitors send is kept in a folder of its own that only this user may read, and that is
    gone when the program ends.

    Args:
        desk: What its tabs ask.
        host: The address to listen at; "0.0.0.0" for all.
        port: The port; None for any free one.
        login: Name and password that visitors must give.
        examples: As `build_page` takes them.

    Returns:
        The `gradio.Blocks`, with `local_url` and `close()`.

    Raises:
        InputError: The address or the port cannot be used.
    """
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks its own server whether it is up
        others = [each for each in os.environ.get(name, "").split(",") if each]
        os.environ[name] = ",".join(dict.fromkeys([*others, "127.0.0.1", "localhost"]))
    page = build_page(desk, examples)
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
            allowed_paths=[str(desk.review.folder.absolute() / TRIPLETS)],
            max_file_size=MAXIMUM_UPLOAD,
            enable_monitoring=False,
            footer_links=[],
            theme=gr.themes.Default(
                primary_hue="teal", neutral_hue="slate", font=_FONT,
                font_mono=("ui-monospace", "monospace"),
            ).set(  # dark enough to be read
                body_text_color_subdued="*neutral_500",
                button_cancel_background_fill=gr.themes.colors.red.c700,
                button_cancel_background_fill_hover=gr.themes.colors.red.c800,
            ),
            css=CSS,
            head=f"<script>{NAMES}{review_tab.KEYS}</script>",
            # Without it, a machine too busy to answer within 3 seconds is asked for a public link.
            _frontend=False,
        )  # fmt: skip
    except OSError:
        raise InputError(
            f"port {port} of {host} is in use or may not be used. Give another --port."
        ) from None
    return page


def _copy(image: Path, home: Path) -> Path:
    return Path(shutil.copy(image, tempfile.mkdtemp(dir=home)))


@functools.cache
def _private_folder() -> str:
    """Makes the folder of what visitors send: one a process, as Gradio knows only one."""
    folder = tempfile.mkdtemp(prefix="siamese-page-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = folder
    return folder
