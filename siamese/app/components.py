"""How the tabs use Gradio: images that are checked, errors in words, cards that can be clicked."""

import functools
import html
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from siamese.app.uploads import inside
from siamese.errors import InputError

logger = logging.getLogger(__name__)

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

# A click on a card tells Python its number; nothing else that the browser says is believed.
_PICK = """
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-pick]");
  if (card) trigger("click", {pick: Number(card.dataset.pick)});
});
"""

# A folder's files keep their paths, which Gradio's own file component does not send.
_FOLDER = """
const input = element.querySelector("input");
const status = element.querySelector("output");
input.addEventListener("change", async () => {
  const images = [...input.files].filter((file) => /\\.(jpe?g|png|webp|bmp)$/i.test(file.name));
  if (!images.length) {
    status.textContent = "This folder holds no JPEG, PNG, WebP or BMP image.";
    return;
  }
  const sent = [];
  let next = 0;
  const send = async () => {
    while (next < images.length) {
      const file = images[next++];
      const kept = await upload(file);
      sent.push([file.webkitRelativePath || file.name, kept.path]);
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


def refusal(message: str) -> Exception:
    """An error whose words are for the visitor."""
    # Gradio shows it as HTML, and names that others gave may stand in it.
    shown = html.escape(message, quote=False)
    error: Exception = gr.Error(
        shown, duration=12, title="That did not work", print_exception=False
    )
    return error


def in_words(call: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Lets a visitor see what can be fixed, and nothing of what happens inside.

    Args:
        call: What a button does.

    Returns:
        The same; an `InputError` becomes a message on the page, any other error a line in the log
        and a plain sentence.
    """

    @functools.wraps(call)
    def answered(*given: Given.args, **named: Given.kwargs) -> Answer:
        try:
            return call(*given, **named)
        except InputError as error:
            raise refusal(_sentence(error)) from None
        except gr.Error:
            raise
        except Exception:
            logger.exception("The page could not answer")
            raise refusal(
                "Something went wrong here, not with you. The program's log says what."
            ) from None

    return answered


def _sentence(error: InputError) -> str:
    text = " ".join(str(error).split())
    return text[:1].upper() + text[1:]


def photo(label: str, **options: Any) -> Any:
    """An image that is dropped, pasted, chosen or taken; functions get the path of the file.

    Gradio's own component decodes what it receives before any function sees it, and fetches
    addresses that a visitor sends. This one hands over the uploaded file and nothing else.

    Args:
        label: What it is.
        **options: Of `gradio.Image`.

    Returns:
        The component.
    """
    component = gr.Image(
        label=label,
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        image_mode=None,
        format="png",
        height=options.pop("height", 300),
        buttons=["fullscreen"],
        alt_text=label,
        webcam_options=gr.WebcamOptions(mirror=False),
        **options,
    )
    component.preprocess = _uploaded_path
    component.async_move_resource_to_block_cache = functools.partial(
        _only_local, component.async_move_resource_to_block_cache
    )
    return component


def _uploaded_path(payload: Any) -> str | None:
    if payload is None:
        return None
    if not payload.path or (payload.url or "").startswith("data:"):
        raise refusal("Send the image as a file.")
    return str(payload.path)


async def _only_local(move: Callable[[Any], Any], source: str | Path | None) -> Any:
    if source is not None and "://" in str(source):
        raise refusal("Send the image as a file; addresses are not fetched.")
    return await move(source)


def clickable(value: str = "", **options: Any) -> Any:
    """HTML with cards; its `click` event says which one, as `picked` reads it."""
    return gr.HTML(value, js_on_load=_PICK, apply_default_css=False, **options)


def picked(event: gr.EventData, count: int) -> int:
    """The number of the card that was clicked.

    Args:
        event: Of a `clickable`.
        count: How many cards there are.

    Raises:
        InputError: There is no such card any longer.
    """
    place = event._data.get("pick") if isinstance(event._data, dict) else None
    if not isinstance(place, int) or not 0 <= place < count:
        raise InputError("this image is no longer shown. Try again.")
    return place


def folder_picker(label: str, hint: str) -> Any:
    """A button that sends a folder of images; its `submit` event is read by `sent_files`."""
    return gr.HTML(
        f'<label class="folder"><b>{label}</b><span>{hint}</span>'
        '<input type="file" webkitdirectory multiple></label>'
        '<output class="folder" aria-live="polite"></output>',
        js_on_load=_FOLDER,
        apply_default_css=False,
    )


def sent_files(event: gr.EventData, uploads: Path) -> dict[str, Path]:
    """The files that a `folder_picker` sent, by their paths in the visitor's folder.

    Args:
        event: Its `submit` event.
        uploads: Where Gradio keeps what it receives: a visitor cannot name files elsewhere.

    Raises:
        InputError: A path is not that of an upload.
    """
    found = event._data.get("files") if isinstance(event._data, dict) else None
    files: dict[str, Path] = {}
    for entry in found if isinstance(found, list) else []:
        if not isinstance(entry, list) or len(entry) != 2:
            continue
        name, path = (str(each) for each in entry)
        if not inside(path, uploads) or not Path(path).is_file():
            raise InputError(f"{name}: is not an uploaded file. Send the folder again.")
        files[name] = Path(path)
    if not files:
        raise InputError("no file has arrived. Send the folder again.")
    return files
