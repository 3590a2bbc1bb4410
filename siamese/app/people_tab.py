"""The tab Gallery: add a folder or a zip file, browse, name, merge, erase."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from siamese.app import html
from siamese.app.components import clickable, folder_picker, in_words, picked, sent_files
from siamese.app.state import Desk
from siamese.app.uploads import MAXIMUM_UPLOAD, Kept, Progress, keep_archive, keep_files
from siamese.errors import InputError
from siamese.gallery import GalleryImage

PAGE = 24
EVERYBODY, NOBODY = "", "\0nobody"


def build(desk: Desk, changed: Any) -> None:
    """Lays out the tab and says what its parts do.

    Args:
        desk: What is asked.
        changed: A state; it is counted up when the gallery has become another.
    """
    page = gr.State(0)
    shown = gr.State(())  # paths of the images on the page
    chosen = gr.State(())  # paths of the images that were clicked
    status = gr.HTML(_status(desk), elem_id="status")
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=3, min_width=280):
            with gr.Accordion("Add images", open=not len(desk.gallery)):
                gr.HTML(
                    '<p class="small">Folders named after people give them their names; names '
                    "like 0001C1T0002F003.jpg also tell camera and tracklet.</p>"
                )
                folder = folder_picker("Choose a folder", "its images are sent and embedded")
                files = gr.File(
                    label=f"A zip file, or images (at most {MAXIMUM_UPLOAD // 10**6:,} MB)",
                    file_count="multiple",
                    file_types=[".zip", ".jpg", ".jpeg", ".png", ".webp", ".bmp"],
                    height=180,
                    elem_id="files",
                )
                added = gr.HTML(elem_id="added")
            with gr.Accordion("Name, merge, erase", open=False, elem_id="changes"):
                marked = gr.HTML(_marked(()))
                name = gr.Textbox(label="Name of the chosen images", max_length=100)
                give = gr.Button("Name them")
                several = gr.Dropdown([], multiselect=True, label="These are one person")
                into = gr.Textbox(label="Whose name is", max_length=100)
                join = gr.Button("Merge")
                who = gr.Dropdown([], multiselect=True, label="Erase these people")
                also = gr.Checkbox(label="and the chosen images")
                sure = gr.Checkbox(label="I am sure: this cannot be undone")
                erase = gr.Button("Erase for good", variant="stop")
                done = gr.HTML(elem_id="done")
        with gr.Column(scale=8, min_width=300):
            with gr.Row(elem_classes="bar-row"):
                person = gr.Dropdown([], label="Person", min_width=150)
                camera = gr.Dropdown([], label="Camera", min_width=150)
            grid = clickable(elem_id="grid")
            with gr.Row(elem_classes="pages"):
                back = gr.Button("← Earlier", size="sm", min_width=90)
                place = gr.HTML(elem_id="place")
                forth = gr.Button("Later →", size="sm", min_width=90)

    @in_words
    def browse(number: int, name: str | None, seen: int | None, marks: Sequence[str]) -> Any:
        images = _list(desk, name, seen)
        pages = max(1, -(-len(images) // PAGE))
        number = min(max(number, 0), pages - 1)
        part = images[number * PAGE : (number + 1) * PAGE]
        here = tuple(each.path for each in part)
        words = f"{html.count(len(images), 'image')}, page {number + 1} of {pages}"
        return number, here, _grid(desk, part, marks), f'<p class="small">{words}</p>'

    @in_words
    def mark(
        here: Sequence[str], marks: Sequence[str], event: gr.EventData
    ) -> tuple[tuple[str, ...], str]:
        path = here[picked(event, len(here))]
        marks = tuple(each for each in marks if each != path) if path in marks else (*marks, path)
        return marks, _marked(marks)

    @in_words
    def take_archive(
        sent: list[str] | None,
        times: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio's way to hand one in
    ) -> tuple[Any, ...]:
        if not sent:
            return gr.skip(), times, gr.skip()
        try:
            return None, times + 1, _add(desk, lambda tell: _keep(desk, sent, tell), progress)
        finally:
            for path in sent:  # erasing is to be for good, so no copy stays with Gradio
                Path(path).unlink(missing_ok=True)

    @in_words
    def take_folder(
        times: int,
        event: gr.EventData,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[int, str]:
        sent = sent_files(event, Path(files.GRADIO_CACHE))
        try:
            words = _add(desk, lambda tell: keep_files(sent, desk.uploads, progress=tell), progress)
            return times + 1, words
        finally:
            for path in sent.values():
                path.unlink(missing_ok=True)

    @in_words
    def rename(marks: Sequence[str], name: str, times: int) -> tuple[Any, ...]:
        if not marks:
            raise InputError("no image is chosen. Click the images of one person first.")
        count = desk.name(marks, name)
        words = f"{html.count(count, 'image')} named {' '.join(name.split())}."
        return (), _marked(()), "", times + 1, html.notice(words, "good")

    @in_words
    def merge(people: Sequence[str], name: str, times: int) -> tuple[Any, ...]:
        if not people:
            raise InputError("nobody is chosen. Choose the people who are one.")
        if len(people) > 1 and not name.strip():
            name = people[0]
        count = desk.merge(people, name)
        words = f"{html.count(count, 'image')} belong to {' '.join(name.split())} now."
        return [], "", times + 1, html.notice(words, "good")

    @in_words
    def wipe(
        people: Sequence[str], with_images: bool, marks: Sequence[str], certain: bool, times: int
    ) -> tuple[Any, ...]:
        images = marks if with_images else ()
        if not people and not images:
            raise InputError("nobody is chosen. Choose people or images to erase.")
        if not certain:
            raise InputError("erasing cannot be undone. Tick the box to say that you are sure.")
        count = desk.erase(people=people, images=images)
        words = f"{html.count(count, 'image')} erased for good."
        return [], False, False, (), _marked(()), times + 1, html.notice(words, "good")

    def refresh() -> tuple[Any, ...]:
        named = _people(desk)
        everyone = [("everybody", EVERYBODY), ("without a name", NOBODY)]
        with_counts = [(f"{each} ({number:,})", each) for each, number in named.items()]
        return (
            _status(desk),
            gr.Dropdown(choices=[*everyone, *with_counts], value=EVERYBODY),
            gr.Dropdown(choices=[("all cameras", -1), *_cameras(desk)], value=-1),
            gr.Dropdown(choices=list(named)),
            gr.Dropdown(choices=list(named)),
        )

    hidden = {"api_visibility": "private", "show_progress": "hidden"}
    view = [page, shown, grid, place]
    looked = [page, person, camera, chosen]
    gr.on([person.change, camera.change], lambda: 0, None, page, **hidden).then(
        browse, looked, view, **hidden
    )
    for button, step in ((back, -1), (forth, 1)):
        button.click(lambda number, step=step: max(0, number + step), page, page, **hidden).then(
            browse, looked, view, **hidden
        )
    grid.click(mark, [shown, chosen], [chosen, marked], **hidden).then(
        browse, looked, view, **hidden
    )
    files.upload(
        take_archive, [files, changed], [files, changed, added], api_visibility="private",
        show_progress_on=added,
    )  # fmt: skip
    folder.submit(
        take_folder, changed, [changed, added], api_visibility="private", show_progress_on=added
    )
    give.click(rename, [chosen, name, changed], [chosen, marked, name, changed, done], **hidden)
    join.click(merge, [several, into, changed], [several, into, changed, done], **hidden)
    erase.click(
        wipe, [who, also, chosen, sure, changed], [who, also, sure, chosen, marked, changed, done],
        api_visibility="private", show_progress_on=done,
    )  # fmt: skip
    changed.change(in_words(refresh), None, [status, person, camera, several, who], **hidden).then(
        browse, looked, view, **hidden
    )


def _keep(desk: Desk, sent: list[str], tell: Progress) -> Kept:
    paths = [Path(each) for each in sent]
    archives = [path for path in paths if path.suffix.lower() == ".zip"]
    if archives and len(paths) > 1:
        raise InputError("one zip file at a time, or images. Send them one after the other.")
    if archives:
        return keep_archive(archives[0], desk.uploads, progress=tell)
    return keep_files({path.name: path for path in paths}, desk.uploads, progress=tell)


def _add(desk: Desk, keep: Callable[[Progress], Kept], progress: gr.Progress) -> str:
    progress(0, desc="Receiving")
    kept = keep(lambda at, of: progress((at, of), desc="Checking", unit="images"))
    result = desk.add(
        kept, progress=lambda at, of: progress((at, of), desc="Embedding", unit="images")
    )
    words = [f"{html.count(result.added + result.replaced, 'image')} added."]
    if result.unchanged:
        words.append(f"{html.count(result.unchanged, 'image')} were there already.")
    left_out = [*kept.left_out, *result.refused]
    if left_out:
        words.append(f"{html.count(len(left_out), 'file')} left out, for example: {left_out[0]}")
    return html.notice(" ".join(words), "note" if left_out else "good")


def _people(desk: Desk) -> dict[str, int]:
    return desk.gallery.people() if len(desk.gallery) else {}


def _cameras(desk: Desk) -> list[tuple[str, int]]:
    if not len(desk.gallery):
        return []
    return [(f"camera {each}", each) for each in desk.gallery.info().cameras]


def _list(desk: Desk, name: str | None, camera: int | None) -> list[GalleryImage]:
    if not len(desk.gallery):
        return []
    seen = None if camera in (None, -1) else camera
    person = None if name in (None, EVERYBODY, NOBODY) else name
    images = desk.gallery.images(person=person, camera=seen)
    if name == NOBODY:
        images = [each for each in images if each.person is None]
    return sorted(images, key=lambda each: (each.person or "\uffff", each.path))


def _status(desk: Desk) -> str:
    if not len(desk.gallery):
        return html.empty(
            "The gallery is empty.",
            "Add a folder or a zip file of crops. They stay on this machine.",
        )
    info = desk.gallery.info()
    facts = [
        html.count(info.images, "image"),
        html.count(info.people, "person", "people"),
        f"{info.unnamed:,} without a name",
        html.count(len(info.cameras), "camera"),
    ]
    if info.first is not None and info.last is not None:
        facts.append(f"{html.when(info.first)} to {html.when(info.last)}")
    shown = "".join(f"<li>{html.escape(each)}</li>" for each in facts)
    return f'<ul class="facts-line" aria-label="The gallery">{shown}</ul>'


def _marked(marks: Sequence[str]) -> str:
    words = f"{html.count(len(marks), 'image')} chosen." if marks else "Click images to choose."
    return f'<p class="small" role="status">{words}</p>'


def _grid(desk: Desk, images: Sequence[GalleryImage], marks: Sequence[str]) -> str:
    if not images:
        return html.empty("Nothing to show.", "Add images, or choose other filters.")
    cards = [
        html.image_card(
            desk.picture(each.path),
            place,
            title=each.person or "no name",
            lines=["" if each.camera is None else f"camera {each.camera}", html.when(each.time)],
            action="Choose",
            pressed=each.path in marks,
        )
        for place, each in enumerate(images)
    ]
    return html.cards(cards, "Images of the gallery")
