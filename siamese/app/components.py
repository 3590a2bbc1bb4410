"""Gradio as the tabs use it: checked images, errors in words, rows of pictures, verdicts."""

import functools
import hashlib
import html
import logging
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import gradio as gr

from siamese.app.uploads import inside
from siamese.errors import InputError
from siamese.metrics.calibration import Verdict
from siamese.plots import VERDICT_COLOURS

logger = logging.getLogger(__name__)

Given = ParamSpec("Given")
Answered = TypeVar("Answered")
Item = TypeVar("Item")

HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Of an event that is no endpoint and shows no progress."""


def in_turn(
    name: str, trigger_mode: Literal["once", "multiple", "always_last"] = "once"
) -> dict[str, Any]:
    """Lists the options of events that write the same parts of the page.

    Those of one name are answered one at a time and in their order, or an answer to what has gone
    could come last.

    Args:
        name: What they write.
        trigger_mode: What becomes of an event while the one before it is answered: nothing, its
            own answer, or one answer in the end, which sees no `gr.SelectData`.
    """
    turn = {"concurrency_id": name, "concurrency_limit": 1, "trigger_mode": trigger_mode}
    return {**HIDDEN, **turn}


def fresh() -> str:
    """Returns a value unlike any other, of a state that tells of a change.

    A count would not do: two events at a time would both make it the same number.
    """
    return uuid.uuid4().hex


# A folder's files keep their paths, which Gradio's own file component does not send.
_FOLDER = """
const input = element.querySelector("input");
const status = element.querySelector("output");
input.addEventListener("change", async () => {
  const images = [...input.files].filter((file) => /\\.(jpe?g|png|webp|bmp)$/i.test(file.name));
  const sent = [];
  let next = 0;
  const send = async () => {
    while (next < images.length) {
      const file = images[next++];
      sent.push([file.webkitRelativePath || file.name, (await upload(file)).path]);
      status.textContent = `Sent ${sent.length} of ${images.length} images`;
    }
  };
  try {
    await Promise.all([send(), send(), send(), send()]);
    trigger("submit", {files: sent});
    status.textContent = "";
  } catch (error) {
    status.textContent = "The folder could not be sent. Try again.";
  }
  input.value = "";
});
"""


NAMES = """
new MutationObserver(() => {
  for (const each of document.querySelectorAll(".timebox .calendar:not([aria-label])"))
    each.setAttribute("aria-label", "Choose a date");
  const own = ".thumbnail-item:has(.caption-label)[aria-label], .upload-container[aria-label]";
  for (const each of document.querySelectorAll(own)) each.removeAttribute("aria-label");
  for (const each of document.querySelectorAll(".thumbnail-item:has(.caption-label) img"))
    if (each.alt !== "") each.alt = "";
  const wide = "pre:not([tabindex]), .prose:has(table):not([tabindex])";
  for (const each of document.querySelectorAll(wide)) each.tabIndex = 0;
}).observe(document, {subtree: true, childList: true, attributeFilter: ["aria-label", "alt"]});
"""
"""Names for screen readers where Gradio's parts have none, or others than the words in them."""


def refusal(message: str) -> Exception:
    """Makes an error whose words are for the visitor."""
    # Gradio shows it as HTML, and names that others gave may stand in it.
    shown = html.escape(message, quote=False)
    error: Exception = gr.Error(
        shown, duration=12, title="That did not work", print_exception=False
    )
    return error


def in_words(call: Callable[Given, Answered]) -> Callable[Given, Answered]:
    """Lets a visitor see what can be fixed, and nothing of what happens inside.

    An `InputError` becomes a message on the page, any other error a line in the log and a plain
    sentence.
    """

    @functools.wraps(call)
    def answered(*given: Given.args, **named: Given.kwargs) -> Answered:
        try:
            return call(*given, **named)
        except InputError as error:
            text = " ".join(str(error).split())
            raise refusal(text[:1].upper() + text[1:]) from None
        except gr.Error:
            raise
        except Exception:
            logger.exception("The page could not answer")
            raise refusal(
                "Something went wrong here, not with you. The program's log says what."
            ) from None

    return answered


def photo(label: str, **options: Any) -> Any:
    """Makes a field for an image that is dropped, pasted, chosen or taken.

    Gradio's own component opens what it receives before any function sees it, and fetches
    addresses that a visitor sends. This one hands over the path of the uploaded file and no more.
    """
    component = gr.Image(
        label=label,
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        image_mode=None,
        format="png",
        height=300,
        buttons=["fullscreen"],
        alt_text=label,
        webcam_options=gr.WebcamOptions(mirror=False),
        **options,
    )
    move = component.async_move_resource_to_block_cache

    def path_of(payload: Any) -> str | None:
        if payload is None:
            return None
        if not payload.path or (payload.url or "").startswith("data:"):
            raise refusal("Send the image as a file.")
        return str(payload.path)

    async def only_local(source: str | Path | None) -> Any:
        if source is not None and "://" in str(source):
            raise refusal("Send the image as a file; addresses are not fetched.")
        return await move(source)

    component.preprocess = path_of
    component.async_move_resource_to_block_cache = only_local
    return component


def pictures(folder: Path, *, label: str, **options: Any) -> Any:
    """Makes rows of pictures of `(image, caption)`; `picked` reads a click on one.

    `folder` is where Gradio keeps the pictures that it sends to visitors.
    """
    options = {"allow_preview": False, "elem_classes": "pictures", **options}
    component = gr.Gallery(
        label=label, height="auto", object_fit="contain", buttons=[], interactive=False,
        format="jpeg", **options,
    )  # fmt: skip
    component.GRADIO_CACHE = str(folder)
    return component


def mark_of(shown: Sequence[object]) -> str:
    """Returns a mark of what is on the page, to be held by a field that is not seen.

    The browser sends it with a click: what is clicked is what the visitor saw, and that may be
    another thing than what the server has to show by now.
    """
    return hashlib.blake2b(repr(tuple(shown)).encode(), digest_size=16).hexdigest()


def check_seen(shown: Sequence[object], mark: str) -> None:
    """Checks that a visitor saw what is shown.

    Raises:
        InputError: It was something else.
    """
    if mark != mark_of(shown):
        raise InputError("what was clicked is no longer shown. Try again.")


def picked(event: gr.SelectData, shown: Sequence[Item], mark: str) -> Item:
    """Finds what was clicked in `pictures`.

    Raises:
        InputError: It is no longer there.
    """
    check_seen(shown, mark)
    if not isinstance(event.index, int) or not 0 <= event.index < len(shown):
        raise InputError("this image is no longer shown. Try again.")
    return shown[event.index]


def verdict_label(verdict: Verdict | None, word: str = "") -> Any:
    """Shows a verdict's word on its colour; nothing for None."""
    colour = None if verdict is None else VERDICT_COLOURS[verdict]
    return gr.Label(word, color=colour, visible=verdict is not None)


def folder_picker(label: str, hint: str) -> Any:
    """Makes a button that sends a folder of images; `sent_files` reads its `submit` event."""
    return gr.HTML(
        f'<label class="folder"><b>{label}</b> <span>{hint}</span>'
        '<input type="file" webkitdirectory multiple></label><output aria-live="polite"></output>',
        js_on_load=_FOLDER,
        apply_default_css=False,
    )


def sent_files(event: gr.EventData, uploads: Path) -> dict[str, Path]:
    """Reads what a `folder_picker` sent: uploaded files, by their paths in the visitor's folder.

    They must lie in `uploads`, where Gradio keeps what it receives.

    Raises:
        InputError: There is no file, or a path is not that of an upload.
    """
    found = event._data.get("files") if isinstance(event._data, dict) else None
    files: dict[str, Path] = {}
    for entry in found if isinstance(found, list) else []:
        name, path = (str(each) for each in entry)
        if not inside(path, uploads) or not Path(path).is_file():
            raise InputError(f"{name}: is not an uploaded file. Send the folder again.")
        files[name] = Path(path)
    if not files:
        raise InputError("no image has arrived. Send a folder of crops.")
    return files
