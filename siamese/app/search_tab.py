"""The tab Search: an image -> the ranked images of the gallery, and is the person there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from siamese.app.components import (
    HIDDEN,
    check_seen,
    in_turn,
    in_words,
    mark_of,
    photo,
    picked,
    pictures,
    verdict_label,
)
from siamese.app.state import Desk, Found, write_archive
from siamese.app.uploads import read_upload
from siamese.app.wording import WORDS, count, describe_image, percent, plain
from siamese.errors import InputError
from siamese.gallery import SearchResult, open_image
from siamese.gallery.sources import digest_of
from siamese.images import read_bytes
from siamese.metrics.calibration import Verdict

_IN_GALLERY: dict[Verdict, str] = {
    "same": "In the gallery",
    "probably same": "Probably in the gallery",
    "unsure": "Perhaps in the gallery",
    "probably different": "Probably not in the gallery",
    "different": "Not in the gallery",
}


def build_search(desk: Desk, changed: Any, folder: Path) -> None:
    """Lays out the tab and says what its parts do."""
    shown = gr.State(())  # the matches on the page
    mark = gr.Textbox(mark_of(()), visible=False)
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            query = photo("Whom to look for", elem_id="query")
            with gr.Accordion("Filters", open=False, elem_id="filters"):
                cameras = gr.Dropdown([], multiselect=True, label="Cameras")
                person = gr.Dropdown([], label="Person", value=None)
                since = gr.DateTime(type="string", label="Since")
                until = gr.DateTime(type="string", label="Until")
                clear = gr.Button("Clear filters", size="sm")
            how_many = gr.Slider(1, 50, 12, step=1, label="How many images")
            save = gr.Button("Results as ZIP", size="sm")
            saved = gr.File(label="Images and table", visible=False, interactive=False)
        with gr.Column(scale=8, min_width=300):
            word = gr.Label(visible=False, show_label=False, elem_id="found")
            answer = gr.Markdown(_nothing(desk), elem_id="answer")
            strip = pictures(
                folder, label="Nearest first. Click an image to look for the person on it.",
                columns=6, visible=False, elem_id="strip",
            )  # fmt: skip
    filters = [cameras, person, since, until]
    wanted, results = [query, how_many, *filters], [shown, mark, word, answer, strip]

    @in_words
    def look_up(path: str | None, number: float, *given: Any) -> tuple[Any, ...]:
        none = (), mark_of(()), verdict_label(None)
        if path is None:
            return (*none, _nothing(desk), gr.Gallery([], visible=False))
        try:
            found = _search(desk, path, int(number), *given)
        except InputError as error:
            words = f"**Nothing could be looked up.** {plain(error)}"
            return (*none, words, gr.Gallery([], visible=False))
        strip = [
            (desk.thumbnail(match.image), _caption(place, match))
            for place, match in enumerate(found.matches, 1)
        ]
        title = "" if found.verdict is None else _IN_GALLERY[found.verdict]
        return (
            found.matches,
            mark_of(found.matches),
            verdict_label(found.verdict, title),
            _explain(found, len(desk.gallery)),
            gr.Gallery(strip, visible=bool(strip)),
        )

    @in_words
    def look_for(
        matches: Sequence[SearchResult], seen: str, event: gr.SelectData
    ) -> str | Image.Image:
        return copy_image(picked(event, matches, seen).image, folder / "asked")

    @in_words
    def write(matches: Sequence[SearchResult], seen: str) -> Any:
        check_seen(matches, seen)
        if not matches:
            raise InputError("there are no results. Give an image first.")
        return gr.File(write_archive(matches, folder), visible=True)

    @in_words
    def endpoint(
        image: str | None,
        k: float,
        cameras: list[int] | None,
        person: str | None,
        since: str | None,
        until: str | None,
    ) -> dict[str, Any]:
        if image is None:
            raise InputError("an image is needed. Send one.")
        return _search(desk, image, int(k or 0), cameras, person, since, until).to_dict()

    @in_words
    def choices() -> tuple[Any, Any]:
        if not len(desk.gallery):
            return gr.Dropdown(choices=[], value=[]), gr.Dropdown(choices=[], value=None)
        seen = [(f"camera {each}", each) for each in desk.gallery.info().cameras]
        named = [("everybody", ""), *desk.gallery.people()]
        return gr.Dropdown(choices=seen), gr.Dropdown(choices=named)

    gr.on(
        [query.change, how_many.release, *(each.change for each in filters)],
        look_up, wanted, results, show_progress_on=answer,
        **{**in_turn("results", "always_last"), "show_progress": "full"},
    )  # fmt: skip
    strip.select(look_for, [shown, mark], query, **HIDDEN)
    clear.click(lambda: ([], None, None, None), None, filters, **in_turn("filters"))
    save.click(write, [shown, mark], saved, **HIDDEN)
    changed.change(choices, None, [cameras, person], **in_turn("filters", "always_last")).then(
        look_up, wanted, results, **in_turn("results", "always_last")
    )
    gr.Button(visible=False).click(
        endpoint,
        [
            query,
            gr.Number(10, label="k", visible=False),
            gr.JSON([], label="cameras", visible=False),
            *(gr.Textbox("", label=each, visible=False) for each in ("person", "since", "until")),
        ],
        gr.JSON(visible=False),
        api_name="search",
        api_description="Where in the gallery was this person seen? The nearest k images, of some "
        "cameras, of a person, since and until a time.",
    )


def copy_image(path: str, folder: Path) -> str | Image.Image:
    """Makes an image of the gallery a query: a copy of the file, which a search leaves out.

    Args:
        path: Of the image, or a record.
        folder: For the copy; the page must be allowed to show what lies there.

    Returns:
        The path of the copy; the image itself where it is a record or nothing that browsers show.
    """
    if Path(path).suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp", ".bmp"):
        return Image.fromarray(open_image(path))
    data = read_bytes(path)
    copy = folder / digest_of(data) / Path(path).name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(data)
    return str(copy)


def _search(
    desk: Desk,
    path: str,
    number: int,
    cameras: Any,
    person: str | None,
    since: str | None,
    until: str | None,
) -> Found:
    numbers = cameras or []
    if not isinstance(numbers, list) or not all(isinstance(each, int) for each in numbers):
        raise InputError(f"cameras must be a list of numbers. Received: {cameras!r}.")
    read_upload(path)  # refuses what is no image
    return desk.search(Path(path), number, cameras=numbers, person=person, since=since, until=until)


def _nothing(desk: Desk) -> str:
    if not len(desk.gallery):
        return "**The gallery is empty.** Add images in the tab Gallery first."
    images = count(len(desk.gallery), "image")
    return (
        f"**Where else was this person seen?** Give one image of the person; {images} are searched."
    )


def _caption(place: int, match: SearchResult) -> str:
    known = describe_image(match.person, match.camera, match.time)
    word = "" if match.verdict is None else f", {WORDS[match.verdict].lower()}"
    return f"{place}. {known}, distance {match.distance:.3f}{word}"


def _explain(found: Found, images: int) -> str:
    """Names the nearest, and says how easily that could be chance."""
    if found.verdict is None:
        return "**Nothing there.** No image of the gallery passes the filters."
    nearest = found.matches[0]
    lines = []
    if found.verdict.endswith("different"):
        lines.append("Nobody is near enough to be the same person.")
    elif nearest.person:
        likely = "It may be" if found.verdict == "unsure" else "Most likely"
        lines.append(f"{likely} **{plain(nearest.person)}**.")
    if found.looked_at < images:
        lines.append(f"Of {count(images, 'image')} the filters leave {found.looked_at:,}.")
    if found.left_out:
        lines.append("The query itself is in the gallery and is left out.")
    chance = found.by_chance
    about = (
        "hardly any"
        if chance < 0.01
        else f"about {chance:,.2g}"
        if chance < 10
        else f"about {chance:,.0f}"
    )
    lines.append(
        f"\n\nThe nearest is at distance {nearest.distance:.3f}. Of "
        f"{count(found.looked_at, 'image')} of other people {about} would be as near by chance. "
        "Beforehand: even odds that the person is there, "
        f"{percent(nearest.prior)} for each of the people."
    )
    return " ".join(lines)
