"""The tab Review: same or different? A person's word on the pairs that the model is unsure of."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from siamese.app import html
from siamese.app.annotations import TRIPLETS, Answer
from siamese.app.components import in_words
from siamese.app.state import Desk, Pair
from siamese.errors import InputError
from siamese.files import whole_file

View: TypeAlias = tuple[tuple[Pair, ...], str, str, Any]

# Whoever reviews hundreds of pairs does not want to aim at buttons.
KEYS = """
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const name = {s: "review-same", d: "review-different", k: "review-skip", u: "review-undo"}[
    event.key.toLowerCase()];
  const button = name && document.getElementById(name);
  if (button && button.offsetParent) button.click();
});
"""


def build(desk: Desk, changed: Any, tab: Any) -> None:
    """Lays out the tab and says what its parts do.

    Args:
        desk: What is asked.
        changed: A state whose change says that the gallery is another.
        tab: The tab, whose opening looks for pairs: that takes a moment in a large gallery.
    """
    waiting = gr.State(())  # pairs that are to be asked about, the first is shown
    given = gr.State(())  # what this visitor answered, the last one last
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=6, min_width=300):
            pair = gr.HTML(_nothing(desk), elem_id="pair")
            with gr.Row(elem_classes="buttons"):
                same = gr.Button("Same (S)", elem_id="review-same", min_width=90)
                different = gr.Button("Different (D)", elem_id="review-different", min_width=90)
                skip = gr.Button("Skip (K)", elem_id="review-skip", min_width=90)
                undo = gr.Button("Undo (U)", elem_id="review-undo", min_width=90)
        with gr.Column(scale=5, min_width=300):
            state = gr.HTML(_state(desk), elem_id="answers")
            with gr.Row(elem_classes="buttons"):
                download = gr.DownloadButton(
                    "Triplets (CSV)", interactive=False, elem_id="triplets", min_width=120
                )
                measure = gr.Button("Recalibrate", min_width=120)
                back = gr.Button("Model's own", min_width=120)
            measured = gr.HTML(_measured(desk), elem_id="measured")

    def table() -> Any:
        # The button hands out what it holds at the click: the table as it is now, where Gradio may
        # read it, under another name for other content.
        if not desk.triplets.is_file():
            return gr.update(value=None, interactive=False)
        content = desk.triplets.read_bytes()
        name = blake2b(content, digest_size=8).hexdigest()
        path = Path(download.GRADIO_CACHE) / "review" / name / TRIPLETS
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
        download.keep_in_cache.add(str(path))
        return gr.update(value=str(path), interactive=True)

    def show(pairs: Sequence[Pair]) -> View:
        if not pairs:
            pairs = desk.pairs()
        shown = _pair(desk, pairs[0]) if pairs else _nothing(desk)
        return tuple(pairs), shown, _state(desk), table()

    def answer(pairs: Sequence[Pair], mine: Sequence[Answer], is_same: bool) -> tuple[Any, ...]:
        if not pairs:
            raise InputError("there is no pair to answer. Add images in the tab Gallery.")
        said = desk.answer(pairs[0], is_same)
        return (*show(pairs[1:]), (*mine, said))

    @in_words
    def again(pairs: Sequence[Pair]) -> View:
        return show(pairs)

    @in_words
    def renew(pairs: Sequence[Pair]) -> Any:
        # What is shown and what waits change together, or an answer would be to another pair.
        return show(()) if pairs else (gr.skip(), gr.skip(), gr.skip(), table())

    @in_words
    def show_calibration() -> str:
        return _measured(desk)

    @in_words
    def is_same(pairs: Sequence[Pair], mine: Sequence[Answer]) -> tuple[Any, ...]:
        return answer(pairs, mine, True)

    @in_words
    def is_different(pairs: Sequence[Pair], mine: Sequence[Answer]) -> tuple[Any, ...]:
        return answer(pairs, mine, False)

    @in_words
    def next_pair(pairs: Sequence[Pair]) -> View:
        return show([*pairs[1:], pairs[0]] if pairs else ())

    @in_words
    def take_back(mine: Sequence[Answer]) -> tuple[Any, ...]:
        if not mine:
            raise InputError("you have answered nothing yet.")
        desk.take_back(mine[-1])  # or it went with an image that was erased
        return (*show(()), tuple(mine[:-1]))

    @in_words
    def recalibrate() -> str:
        desk.recalibrate()
        return _measured(desk)

    @in_words
    def go_back() -> str:
        desk.use_model_calibration()
        return _measured(desk)

    view = [waiting, pair, state, download]
    hidden = {"api_visibility": "private", "show_progress": "hidden"}
    same.click(is_same, [waiting, given], [*view, given], **hidden)
    different.click(is_different, [waiting, given], [*view, given], **hidden)
    skip.click(next_pair, waiting, view, **hidden)
    undo.click(take_back, given, [*view, given], **hidden)
    changed.change(renew, waiting, view, **hidden)
    tab.select(again, waiting, view, **hidden).then(show_calibration, None, measured, **hidden)
    measure.click(recalibrate, None, measured, api_visibility="private", show_progress_on=measured)
    back.click(go_back, None, measured, **hidden)


def _nothing(desk: Desk) -> str:
    if len(desk.gallery) < 2:
        return html.empty("Nothing to review.", "Add images in the tab Gallery first.")
    return html.empty("All pairs are answered.", "Add more images to go on.")


def _pair(desk: Desk, pair: Pair) -> str:
    images = "".join(
        html.picture(
            desk.picture(image.path, 320),
            f"The {place} image: {image.person or 'no name'}",
            ", ".join(
                each
                for each in (
                    image.person or "no name",
                    "" if image.camera is None else f"camera {image.camera}",
                    html.when(image.time),
                )
                if each
            ),
        )
        for place, image in (("first", pair.first), ("second", pair.second))
    )
    probability = float(desk.calibration.probability(pair.distance))
    word = html.WORDS[desk.calibration.verdict(pair.distance)].lower()
    return f"""
<section aria-label="The pair" aria-live="polite"><h2 class="ask">Is this one person?</h2>
<div class="two">{images}</div>
<p class="small">The model says: {word}, {html.percent(probability)} one person at even odds
beforehand. Distance {pair.distance:.3f}, threshold {desk.calibration.threshold:.3f}.</p>
</section>"""


def _state(desk: Desk) -> str:
    answers = desk.answers
    alike = sum(each.same for each in answers)
    text = (
        f"{html.count(len(answers), 'answer')}: {alike:,} same, {len(answers) - alike:,} different."
    )
    triplets = ""
    if desk.triplets.is_file():
        with desk.triplets.open(encoding="utf-8") as file:
            triplets = f" {html.count(max(0, sum(1 for _ in file) - 1), 'triplet')} so far."
    wrong = desk.contradictions() if answers else 0
    more = (
        f" On {html.count(wrong, 'image')} names and answers contradict each other; they are "
        "left out."
        if wrong
        else ""
    )
    return html.notice(triplets.strip() + more, title=text)


def _measured(desk: Desk) -> str:
    calibration = desk.calibration
    accepts, rejects = calibration.error_rates(calibration.threshold)
    if desk.is_recalibrated:
        title = "In use: measured on this gallery."
    else:
        title = "In use: the model's own calibration."
    text = (
        f"Threshold {calibration.threshold:.3f}: of two people {html.percent(accepts)} are taken "
        f"for one, of one person {html.percent(rejects)} are missed."
    )
    return html.notice(text, title=title) + html.distance_chart(
        calibration, unseen=not desk.is_recalibrated
    )
