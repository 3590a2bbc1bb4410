"""The tab Review: same or different? A person's word on the pairs that the model is unsure of."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from siamese.app.chart import plot_threshold
from siamese.app.components import check_seen, fresh, in_turn, in_words, mark_of, pictures
from siamese.app.state import Desk, Snapshot
from siamese.app.wording import WORDS, count, describe_image, percent
from siamese.errors import InputError
from siamese.review import Answer, ReviewPair
from siamese.review.answers import TRIPLETS

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

Given: TypeAlias = Sequence[tuple[Answer, Snapshot | None]]
"""The answers of a visitor, the last one last, and the images as they were before each."""


def build_review(desk: Desk, changed: Any, tab: Any, folder: Path) -> None:
    """Lays out the tab and says what its parts do."""
    waiting = gr.State(())  # pairs to be asked about, the first is on the page
    mark = gr.Textbox(mark_of(()), visible=False)
    given = gr.State(())
    with gr.Row():
        with gr.Column(scale=6, min_width=300):
            question = gr.Markdown(elem_id="question")
            images = pictures(folder, label="The pair", columns=2, visible=False, elem_id="pair",
                              elem_classes=["pictures", "pair"])  # fmt: skip
            with gr.Row():
                same, different, skip, undo = (
                    gr.Button(f"{each} ({key})", elem_id=f"review-{each.lower()}", min_width=90)
                    for each, key in zip(("Same", "Different", "Skip", "Undo"), "SDKU", strict=True)
                )
        with gr.Column(scale=5, min_width=300):
            state = gr.Markdown(elem_id="answers")
            with gr.Row():
                download = gr.DownloadButton(
                    "Triplets (CSV)", interactive=False, elem_id="triplets", min_width=120
                )
                measure = gr.Button("Recalibrate", min_width=120)
            with gr.Row():
                images_alone = gr.Button(
                    "From the images", min_width=140, elem_id="calibrate-images"
                )
                back = gr.Button("Model's own", min_width=120)
            measured = gr.Markdown(_measured(desk), elem_id="measured")
            chart = gr.Plot(_chart(desk), show_label=False)
    view = [waiting, mark, question, images, state, download]

    @in_words
    def show(pairs: Sequence[ReviewPair]) -> tuple[Any, ...]:
        pairs = tuple(pairs or desk.review.pairs())
        table = desk.review.folder / TRIPLETS
        button = gr.DownloadButton(
            value=str(table) if table.is_file() else None, interactive=table.is_file()
        )
        shown = [] if not pairs else [
            (desk.thumbnail(each.path, 320), describe_image(each.person, each.camera, each.time))
            for each in (pairs[0].first, pairs[0].second)
        ]  # fmt: skip
        return (
            pairs,
            mark_of(pairs[:1]),
            _ask(desk, pairs[0]) if pairs else _nothing(desk),
            gr.Gallery(shown, visible=bool(shown)),
            _state(desk),
            button,
        )

    @in_words
    def answer(is_same: bool, pairs: Sequence[ReviewPair], seen: str, mine: Given) -> Any:
        check_seen(pairs[:1], seen)
        if not pairs:
            raise InputError("there is no pair to answer. Add images in the tab Gallery.")
        said, before = desk.answer(pairs[0], is_same)
        # Names that are others now are shown anew, by the event of `changed`.
        told = gr.skip() if before is None else fresh()
        return (*show(pairs[1:]), (*mine, (said, before)), told)

    @in_words
    def renew(pairs: Sequence[ReviewPair]) -> tuple[Any, ...]:
        # What is shown and what waits change together, or an answer would be to another pair.
        return show(()) if pairs else (*[gr.skip()] * 4, *show(())[4:])

    @in_words
    def next_pair(pairs: Sequence[ReviewPair], seen: str) -> tuple[Any, ...]:
        check_seen(pairs[:1], seen)
        return show([*pairs[1:], pairs[0]] if pairs else ())

    @in_words
    def take_back(mine: Given) -> tuple[Any, ...]:
        if not mine:
            raise InputError("you have answered nothing yet.")
        desk.take_back(*mine[-1])
        return (*show(()), tuple(mine[:-1]), gr.skip() if mine[-1][1] is None else fresh())

    @in_words
    def show_calibration(change: Callable[[], object] | None = None) -> tuple[str, Any]:
        if change is not None:
            change()
        return _measured(desk), _chart(desk)

    results, turn = [*view, given, changed], in_turn("review")
    for button, is_same in ((same, True), (different, False)):
        button.click(functools.partial(answer, is_same), [waiting, mark, given], results, **turn)
    skip.click(next_pair, [waiting, mark], view, **turn)
    undo.click(take_back, given, results, **turn)
    changed.change(renew, waiting, view, **in_turn("review", "always_last"))
    tab.select(show, waiting, view, **turn).then(
        show_calibration, None, [measured, chart], **in_turn("calibration", "always_last")
    )
    measuring = {**in_turn("calibration"), "show_progress": "full", "show_progress_on": measured}
    for button, change, options in (
        (measure, desk.review.recalibrate, measuring),
        (images_alone, desk.calibrate, measuring),
        (back, desk.use_model_calibration, in_turn("calibration")),
    ):
        change_to = functools.partial(show_calibration, change)
        button.click(change_to, None, [measured, chart], **options)


def _nothing(desk: Desk) -> str:
    if len(desk.gallery) < 2:
        return "**Nothing to review.** Add images in the tab Gallery first."
    return "**All pairs are answered.** Add more images to go on."


def _ask(desk: Desk, pair: ReviewPair) -> str:
    probability = percent(float(desk.calibration.probability(pair.distance)))
    word = WORDS[desk.calibration.verdict(pair.distance)].lower()
    return (
        f"## Is this one person?\n\nThe model says: {word}, {probability} one person at even odds "
        f"beforehand. Distance {pair.distance:.3f}, threshold {desk.calibration.threshold:.3f}."
    )


def _state(desk: Desk) -> str:
    answers = desk.review.answers
    alike = sum(each.same for each in answers)
    words = [
        f"**{count(len(answers), 'answer')}: {alike:,} same, {len(answers) - alike:,} different.**",
        "Same makes two people of the gallery one.",
    ]
    if (table := desk.review.folder / TRIPLETS).is_file():
        with table.open(encoding="utf-8") as file:
            words.append(f"{count(max(0, sum(1 for _ in file) - 1), 'triplet')} so far.")
    if answers and (wrong := desk.review.contradictions()):
        words.append(f"On {count(wrong, 'image')} names and answers disagree; they are left out.")
    return " ".join(words)


def _chart(desk: Desk) -> Any:
    return plot_threshold(desk.calibration, unseen=not desk.review.is_recalibrated)


def _measured(desk: Desk) -> str:
    calibration = desk.calibration
    accepts, rejects = calibration.error_rates(calibration.threshold)
    source = "the model's own calibration"
    if (own := desk.gallery.own_calibration.find()) is not None:
        source = own.describe()
    if desk.review.is_recalibrated:
        source = (
            f"measured on this gallery, {count(calibration.people, 'person', 'people')}: the fewer "
            "people, the less it is worth"
        )
    return (
        f"**In use: {source}.** Threshold {calibration.threshold:.3f}: of two people "
        f"{percent(accepts)} are taken for one, of one person {percent(rejects)} are missed."
    )
