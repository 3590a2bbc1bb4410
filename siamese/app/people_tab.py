"""The tab Gallery: add a folder or a zip file, browse, name, merge, erase, undo."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from siamese.app.components import (
    HIDDEN,
    folder_picker,
    fresh,
    in_turn,
    in_words,
    mark_of,
    picked,
    pictures,
    sent_files,
)
from siamese.app.state import Desk, Snapshot, write_archive
from siamese.app.uploads import MAXIMUM_UPLOAD, Kept, keep_archive, keep_files
from siamese.app.wording import count, describe_image, percent, plain, when
from siamese.errors import InputError
from siamese.gallery import GalleryImage
from siamese.inference.reading import Progress

PAGE = 24
EVERYBODY, NOBODY = "", "\0nobody"
_UNDO_SECONDS = 600


def build_people(desk: Desk, changed: Any, folder: Path) -> None:
    """Lays out the tab and says what its parts do."""
    shown = gr.State(())  # paths of the images on the page
    mark = gr.Textbox(mark_of(()), visible=False)
    marked = gr.State(
        ()
    )  # those that are chosen: a second click may come before the first's answer
    before = gr.State(None, time_to_live=_UNDO_SECONDS)  # what this visitor changed last
    status = gr.Markdown(_status(desk), elem_id="status")
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            with gr.Accordion("Add images", open=not len(desk.gallery)):
                gr.Markdown(
                    "Folders named after people give them their names; names like "
                    "0001C1T0002F003.jpg also tell camera and tracklet."
                )
                sent = folder_picker("Choose a folder:", "its images are sent and embedded")
                files = gr.File(
                    label=f"A zip file, or images (at most {MAXIMUM_UPLOAD // 10**6:,} MB)",
                    file_count="multiple",
                    file_types=[".zip", ".jpg", ".jpeg", ".png", ".webp", ".bmp"],
                    height=180,
                    elem_id="files",
                )
                added = gr.Markdown(elem_id="added")
            with gr.Accordion("Name, merge, erase", open=False, elem_id="changes"):
                chosen = gr.Dropdown(
                    [], multiselect=True, label="Chosen images", elem_id="chosen",
                    info="Click images to choose them, and again to leave them out.",
                )  # fmt: skip
                name = gr.Textbox(label="Name of the chosen images", max_length=100)
                give = gr.Button("Name them")
                several = gr.Dropdown([], multiselect=True, label="These are one person")
                into = gr.Textbox(label="Whose name is", max_length=100)
                join = gr.Button("Merge")
                who = gr.Dropdown([], multiselect=True, label="Erase these people")
                also = gr.Checkbox(label="and the chosen images")
                erase = gr.Button("Erase", variant="stop")
                done = gr.Markdown(elem_id="done")
                undo = gr.Button("Undo the last change", interactive=False)
        with gr.Column(scale=8, min_width=300):
            with gr.Row():
                person = gr.Dropdown([], label="Person", min_width=150)
                camera = gr.Dropdown([], label="Camera", min_width=150)
            grid = pictures(folder, label="Images of the gallery", columns=8, elem_id="grid")
            page = gr.Slider(1, 2, 1, step=1, label="Page", visible=False)
            save = gr.Button("These images as ZIP", size="sm")
            saved = gr.File(label="Images and table", visible=False, interactive=False)

    @in_words
    def browse(number: int, name: str | None, seen: int | None) -> Any:
        images = _list(desk, name, seen)
        pages = max(1, -(-len(images) // PAGE))
        number = min(max(int(number), 1), pages)
        part = images[(number - 1) * PAGE : number * PAGE]
        rows = [
            (desk.thumbnail(each.path), describe_image(each.person, each.camera, each.time))
            for each in part
        ]
        words = f"Page of {pages} ({count(len(images), 'image')})"
        slider = gr.Slider(maximum=max(pages, 2), value=number, label=words, visible=pages > 1)
        here = tuple(each.path for each in part)
        return here, mark_of(here), gr.Gallery(rows, visible=bool(rows)), slider

    @in_words
    def choose(here: Sequence[str], saw: str, marks: Sequence[str], event: gr.SelectData) -> Any:
        path = picked(event, here, saw)
        marks = [*(each for each in marks if each != path), *([] if path in marks else [path])]
        return marks, gr.Dropdown(
            choices=[("/".join(Path(each).parts[-2:]), each) for each in marks], value=marks
        )

    @in_words
    def take_files(
        sent: list[str] | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio's way to hand one in
    ) -> tuple[Any, ...]:
        if not sent:
            return gr.skip(), gr.skip(), gr.skip()
        return None, fresh(), _add(desk, lambda tell: _keep(desk, sent, tell), sent, progress)

    @in_words
    def take_folder(
        event: gr.EventData,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:
        found = sent_files(event, Path(files.GRADIO_CACHE))
        return fresh(), _add(
            desk, lambda tell: keep_files(found, desk.uploads, progress=tell), found.values(),
            progress,
        )  # fmt: skip

    def outcome(words: str, snapshot: Snapshot | None) -> tuple[Any, ...]:
        return fresh(), words, snapshot, gr.Button(interactive=snapshot is not None)

    @in_words
    def rename(marks: Sequence[str], name: str) -> tuple[Any, ...]:
        if not marks:
            raise InputError("no image is chosen. Click the images of one person first.")
        snapshot = desk.snapshot(images=marks)
        words = f"{count(desk.rename(name, images=marks), 'image')} named {plain(name)}."
        return ((), [], "", *outcome(words, snapshot))

    @in_words
    def merge(people: Sequence[str], name: str) -> tuple[Any, ...]:
        if not people:
            raise InputError("nobody is chosen. Choose the people who are one.")
        name = name.strip() or people[0]
        snapshot = desk.snapshot(people=people)
        words = f"{count(desk.rename(name, people=people), 'image')} belong to {plain(name)} now."
        return ([], "", *outcome(words, snapshot))

    @in_words
    def wipe(people: Sequence[str], with_images: bool, marks: Sequence[str]) -> tuple[Any, ...]:
        images = marks if with_images else ()
        if not people and not images:
            raise InputError("nobody is chosen. Choose people or images to erase.")
        snapshot = desk.snapshot(people=people, images=images, files=True)
        words = f"{count(desk.erase(people=people, images=images), 'image')} erased."
        return ([], False, (), [], *outcome(words, snapshot))

    @in_words
    def take_back(snapshot: Snapshot | None) -> tuple[Any, ...]:
        if snapshot is None:
            raise InputError("there is nothing to undo: the last change is too long ago.")
        return outcome(f"{count(desk.restore(snapshot), 'image')} as before.", None)

    @in_words
    def write(name: str | None, seen: int | None) -> Any:
        return gr.File(write_archive(_list(desk, name, seen), folder), visible=True)

    @in_words
    def refresh() -> tuple[Any, ...]:
        named = desk.gallery.people() if len(desk.gallery) else {}
        cameras = desk.gallery.info().cameras if len(desk.gallery) else ()
        everyone = [("everybody", EVERYBODY), ("without a name", NOBODY)]
        with_counts = [(f"{each} ({number:,})", each) for each, number in named.items()]
        seen = [("all cameras", -1), *((f"camera {each}", each) for each in cameras)]
        return (
            _status(desk),
            gr.Dropdown(choices=[*everyone, *with_counts], value=EVERYBODY),
            gr.Dropdown(choices=seen, value=-1),
            gr.Dropdown(choices=list(named)),
            gr.Dropdown(choices=list(named)),
        )

    looked, view = [page, person, camera], [shown, mark, grid, page]
    part, changes = in_turn("part", "always_last"), in_turn("changes")
    last_change = in_turn("changes", "always_last")
    gr.on([person.change, camera.change], lambda: 1, None, page, **part).then(
        browse, looked, view, **part
    )
    page.release(browse, looked, view, **part)
    grid.select(choose, [shown, mark, marked], [marked, chosen], **in_turn("changes", "multiple"))
    chosen.input(lambda marks: tuple(marks or ()), chosen, marked, **last_change)
    added_by = {**in_turn("added"), "show_progress": "full", "show_progress_on": added}
    files.upload(take_files, files, [files, changed, added], **added_by)
    sent.submit(take_folder, None, [changed, added], **added_by)
    tail = [changed, done, before, undo]
    give.click(rename, [marked, name], [marked, chosen, name, *tail], **changes)
    join.click(merge, [several, into], [several, into, *tail], **changes)
    erase.click(wipe, [who, also, marked], [who, also, marked, chosen, *tail], **changes)
    undo.click(take_back, before, tail, **changes)
    save.click(write, [person, camera], saved, **HIDDEN)
    changed.change(refresh, None, [status, person, camera, several, who], **last_change).then(
        browse, looked, view, **part
    )


def _keep(desk: Desk, sent: list[str], tell: Progress) -> Kept:
    paths = [Path(each) for each in sent]
    archives = [path for path in paths if path.suffix.lower() == ".zip"]
    if archives and len(paths) > 1:
        raise InputError("one zip file at a time, or images. Send them one after the other.")
    if archives:
        return keep_archive(archives[0], desk.uploads, progress=tell)
    return keep_files({path.name: path for path in paths}, desk.uploads, progress=tell)


def _add(
    desk: Desk, keep: Callable[[Progress], Kept], sent: Iterable[str | Path], progress: gr.Progress
) -> str:
    try:
        kept = keep(lambda at, of: progress((at, of), desc="Checking", unit="images"))
    finally:
        for path in sent:  # erasing is to be for good, so no copy stays with Gradio
            Path(path).unlink(missing_ok=True)
    result = desk.add(
        kept, progress=lambda at, of: progress((at, of), desc="Embedding", unit="images")
    )
    words = [f"{count(result.added + result.replaced, 'image')} added."]
    if result.unchanged:
        words.append(f"{count(result.unchanged, 'image')} were there already.")
    if left_out := [*kept.left_out, *result.refused]:
        words.append(f"{count(len(left_out), 'file')} left out, such as: {plain(left_out[0])}")
    return " ".join(words)


def _list(desk: Desk, name: str | None, camera: int | None) -> list[GalleryImage]:
    if not len(desk.gallery):
        return []
    person = None if name in (EVERYBODY, NOBODY) else name
    images = desk.gallery.images(person=person, camera=None if camera == -1 else camera)
    if name == NOBODY:
        images = [each for each in images if each.person is None]
    return sorted(images, key=lambda each: (each.person or "\uffff", each.path))


def _status(desk: Desk) -> str:
    if not len(desk.gallery):
        return "**The gallery is empty.** Add crops: they stay on this machine."
    info = desk.gallery.info()
    facts = [
        f"**{count(info.images, 'image')}**",
        count(info.people, "person", "people"),
        f"{info.unnamed:,} without a name",
        count(len(info.cameras), "camera"),
    ]
    if info.first is not None:
        facts.append(f"{when(info.first)} to {when(info.last)}")
    own = info.calibration
    if own is not None and own["own_false_accept_rate"] is not None:
        facts.append(
            f"calibrated on its own images (the model's own threshold would take "
            f"{percent(own['own_false_accept_rate'])} of strangers for one person)"
        )
    return " · ".join(facts)
