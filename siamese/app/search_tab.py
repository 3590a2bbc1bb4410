"""The tab Search: an image -> the ranked images of the gallery, and is the person there."""

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from siamese.app import html
from siamese.app.components import clickable, in_words, photo, picked
from siamese.app.state import Desk, Found
from siamese.app.uploads import read_upload
from siamese.errors import InputError
from siamese.gallery import SearchResult, open_image
from siamese.gallery.sources import digest_of
from siamese.images import read_bytes

_HOW_MANY = 12


def build(desk: Desk, changed: Any) -> None:
    """Lays out the tab and says what its parts do.

    Args:
        desk: What is asked.
        changed: A state whose change says that the gallery is another.
    """
    shown = gr.State(())  # the matches on the page
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=3, min_width=280):
            query = photo("Whom to look for", elem_id="query", height=300)
            with gr.Accordion("Filters", open=False, elem_id="filters"):
                cameras = gr.Dropdown([], multiselect=True, label="Cameras")
                person = gr.Dropdown([], label="Person", value=None)
                since = gr.Textbox(label="Since", placeholder="2026-11-20 08:15", max_length=30)
                until = gr.Textbox(label="Until", placeholder="2026-11-20", max_length=30)
                clear = gr.Button("Clear filters", size="sm")
            how_many = gr.Slider(1, 50, _HOW_MANY, step=1, label="How many images")
        with gr.Column(scale=8, min_width=300):
            answer = gr.HTML(_nothing(desk), elem_id="answer")
            strip = clickable(elem_id="strip")
    filters = [cameras, person, since, until]

    @in_words
    def look_up(path: str | None, count: float, *given: Any) -> tuple[Any, ...]:
        if path is None:
            return (), _nothing(desk), ""
        try:
            found = _search(desk, path, int(count), *given)
        except InputError as error:
            return (), html.notice(str(error), "bad", "Nothing could be looked up."), ""
        return found.matches, _answer(found, len(desk.gallery)), _strip(desk, found.matches)

    @in_words
    def look_for(matches: tuple[SearchResult, ...], event: gr.EventData) -> str | Image.Image:
        image = matches[picked(event, len(matches))].image
        return copy_image(image, Path(query.GRADIO_CACHE) / "asked")

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

    def choices() -> tuple[Any, Any]:
        if not len(desk.gallery):
            return gr.Dropdown(choices=[], value=[]), gr.Dropdown(choices=[], value=None)
        named = list(desk.gallery.people())
        seen = [(f"camera {each}", each) for each in desk.gallery.info().cameras]
        return gr.Dropdown(choices=seen), gr.Dropdown(choices=[("everybody", ""), *named])

    gr.on(
        [query.change, how_many.release, cameras.change, person.change, since.submit, until.submit,
         since.blur, until.blur],
        look_up,
        [query, how_many, *filters],
        [shown, answer, strip],
        api_visibility="private",
        trigger_mode="always_last",
        show_progress_on=answer,
    )  # fmt: skip
    strip.click(look_for, shown, query, api_visibility="private", show_progress="hidden")
    clear.click(
        lambda: ([], None, "", ""), None, filters, api_visibility="private", show_progress="hidden"
    ).then(
        look_up, [query, how_many, *filters], [shown, answer, strip], api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
    changed.change(
        in_words(choices), None, [cameras, person], api_visibility="private", show_progress="hidden"
    ).then(
        look_up, [query, how_many, *filters], [shown, answer, strip], api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
    gr.Button(visible=False).click(
        endpoint,
        [
            query,
            gr.Number(10, label="k", visible=False),
            gr.JSON([], label="cameras", visible=False),
            gr.Textbox("", label="person", visible=False),
            gr.Textbox("", label="since", visible=False),
            gr.Textbox("", label="until", visible=False),
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
    count: int,
    cameras: Any,
    person: str | None,
    since: str | None,
    until: str | None,
) -> Found:
    numbers = cameras or []
    if not isinstance(numbers, list) or not all(isinstance(each, int) for each in numbers):
        raise InputError(f"cameras must be a list of numbers. Received: {cameras!r}.")
    read_upload(path)  # refuses what is no image
    return desk.search(
        Path(path), count, cameras=numbers, person=person, since=since or "", until=until or ""
    )


def _nothing(desk: Desk) -> str:
    if not len(desk.gallery):
        return html.empty("The gallery is empty.", "Add images in the tab Gallery first.")
    return html.empty(
        "Where else was this person seen?",
        f"Give one image of the person. {html.count(len(desk.gallery), 'image')} are searched.",
    )


def _answer(found: Found, images: int) -> str:
    """Whether the person is in the gallery, and how easily that could be chance."""
    if found.verdict is None:
        return html.notice("No image of the gallery passes the filters.", title="Nothing there.")
    nearest = found.matches[0]
    name = f" Most likely {nearest.person}." if nearest.person else ""
    nobody = " Nobody is near enough to be the same person."
    words = {
        "same": ("In the gallery.", name),
        "probably same": ("Probably in the gallery.", name),
        "unsure": ("Perhaps in the gallery.", name.replace("Most likely", "It may be")),
        "probably different": ("Probably not in the gallery.", nobody),
        "different": ("Not in the gallery.", nobody),
    }[found.verdict]
    if found.looked_at < images:
        left = f" Of {html.count(images, 'image')} the filters leave {found.looked_at:,}."
        words = (words[0].replace("in the gallery", "among them"), words[1] + left)
    if found.left_out:
        words = (words[0], words[1] + " The query itself is in the gallery and is left out.")
    chance = (
        f"Of {html.count(found.looked_at, 'image')} of other people "
        f"{_about(found.by_chance)} would be as near by chance."
    )
    return f"""
<section class="verdict {found.verdict}" aria-label="Answer">
  <div class="sign" aria-hidden="true">{html.SIGNS[found.verdict]}</div>
  <div class="words"><h2>{words[0]}</h2><p>{html.escape(words[1].strip())}</p></div>
  <p class="rates">The nearest is at distance <b>{nearest.distance:.3f}</b>.
  {html.escape(chance)} Beforehand: even odds that the person is there, {
        html.percent(nearest.prior)
    } for each of the people.</p>
</section>"""


def _about(number: float) -> str:
    if number < 0.01:
        return "hardly any"
    return f"about {number:.2g}" if number < 10 else f"about {number:,.0f}"


def _strip(desk: Desk, matches: tuple[SearchResult, ...]) -> str:
    cards = []
    for place, match in enumerate(matches):
        cards.append(
            html.image_card(
                desk.picture(match.image),
                place,
                title=f"{place + 1}. {match.person or 'no name'}",
                lines=[
                    "" if match.camera is None else f"camera {match.camera}",
                    html.when(match.time),
                    f"distance {match.distance:.3f}",
                    "" if match.verdict is None else html.WORDS[match.verdict].lower(),
                ],
                verdict=match.verdict,
                action="Look for this person",
            )
        )
    hint = '<p class="small">Nearest first. Click an image to look for the person on it.</p>'
    return html.cards(cards, "Ranked images of the gallery") + hint
