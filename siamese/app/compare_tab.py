"""The tab Compare: two images -> verdict, on the histograms of known pairs, with heat maps."""

from pathlib import Path
from typing import Any

import gradio as gr

from siamese.app import html
from siamese.app.components import clickable, in_words, photo, picked
from siamese.app.state import Desk, Pixels
from siamese.app.thresholds import HIGHEST_RATE, LOWEST_RATE, calibration_at
from siamese.app.uploads import read_upload
from siamese.errors import InputError
from siamese.images import read_image
from siamese.metrics.calibration import Calibration
from siamese.synthetic import write_test_images

_PAIRS = ((0, 1), (0, 2), (4, 5))
_NAMES = ("One person", "Two people", "Another person")


def build(desk: Desk) -> None:
    """Lays out the tab and says what its parts do."""
    asked = gr.State(None)  # the distance of the pair that is shown
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=5, min_width=300):
            with gr.Row(elem_classes="pair"):
                first = photo("First image", elem_id="first", min_width=130)
                second = photo("Second image", elem_id="second", min_width=130)
            # In Gradio's own folder, which it may show and which goes when the program ends.
            examples = write_test_images(Path(first.GRADIO_CACHE) / "examples")
            # Not what a visitor sent: Gradio's hourly clean-up leaves them.
            first.keep_in_cache.update(str(each) for each in examples)
            second.keep_in_cache.update(str(each) for each in examples)
            gr.HTML('<p class="small">Or try a pair of drawn people:</p>')
            chooser = clickable(_example_cards(examples), elem_id="examples")
        with gr.Column(scale=6, min_width=300):
            verdict = gr.HTML(_nothing(), elem_id="verdict")
            rate = gr.Slider(
                100 * LOWEST_RATE,
                100 * HIGHEST_RATE,
                value=100 * desk.model_calibration.false_accept_rate,
                step=0.01,
                label="False-accept rate, %",
                info="How often two people may be taken for one. It moves the threshold.",
                elem_id="rate",
            )
            chart = gr.HTML(html.distance_chart(desk.calibration), elem_id="chart")
    heat = gr.HTML(elem_id="heat")

    def show(distance: float | None, percent: float) -> tuple[str, str]:
        calibration = calibration_at(desk.calibration, percent / 100)
        card = _nothing() if distance is None else html.verdict_card(calibration, distance)
        return card, chart_of(calibration, distance)

    def chart_of(calibration: Calibration, distance: float | None) -> str:
        return html.distance_chart(calibration, distance, unseen=not desk.is_recalibrated)

    @in_words
    def compare(one: str | None, other: str | None, percent: float) -> tuple[Any, ...]:
        if one is None or other is None:
            return (None, *show(None, percent))
        try:
            images = read_upload(one), read_upload(other)
            distance = desk.distance(*images)
        except InputError as error:
            return (
                None,
                html.notice(str(error), "bad", "This pair cannot be compared."),
                chart_of(calibration_at(desk.calibration, percent / 100), None),
            )
        return (distance, *show(distance, percent))

    @in_words
    def look_inside(one: str | None, other: str | None, distance: float | None) -> str:
        if one is None or other is None or distance is None:
            return ""
        try:
            first_map, second_map, similarity = desk.heat_maps(read_upload(one), read_upload(other))
        except InputError as error:
            return html.notice(str(error), title="There are no heat maps.")
        return _heat(first_map, second_map, similarity)

    @in_words
    def choose(event: gr.EventData) -> tuple[str, str]:
        place = picked(event, len(_PAIRS))
        one, other = _PAIRS[place]
        return str(examples[one]), str(examples[other])

    @in_words
    def verify(first: str | None, second: str | None, false_accept_rate: float) -> dict[str, Any]:
        if first is None or second is None:
            raise InputError("two images are needed. Send both.")
        return desk.verify(read_upload(first), read_upload(second), false_accept_rate)

    chooser.click(choose, None, [first, second], api_visibility="private", show_progress="hidden")
    gr.on(
        [first.change, second.change],
        compare,
        [first, second, rate],
        [asked, verdict, chart],
        api_visibility="private",
        trigger_mode="always_last",
        show_progress_on=verdict,
    ).then(
        look_inside,
        [first, second, asked],
        heat,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    rate.change(
        in_words(show),
        [asked, rate],
        [verdict, chart],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
        queue=False,
    )
    wanted = gr.Number(
        desk.model_calibration.false_accept_rate, label="false_accept_rate", visible=False
    )
    gr.Button(visible=False).click(
        verify,
        [first, second, wanted],
        gr.JSON(visible=False),
        api_name="verify",
        api_description="Do two images show the same person? The false-accept rate, 0 to 1, sets "
        "the threshold.",
    )


def _nothing() -> str:
    return html.empty(
        "Do two images show the same person?",
        "Drop, paste or take two crops of people, one a side. The answer appears here.",
    )


def _heat(first: Pixels, second: Pixels, similarity: float) -> str:
    maps = "".join(
        html.picture(
            html.thumbnail(pixels, 480),
            f"The {place} image; bright where it is like the other",
        )
        for place, pixels in (("first", first), ("second", second))
    )
    return f"""
<section aria-label="Heat maps"><h2 class="ask">Where they are alike</h2>
<div class="two">{maps}</div>
<p class="small">Bright places add most to the similarity of {similarity:.2f}; dark and grey ones
add nothing, or speak against it.</p></section>"""


def _example_cards(examples: list[Path]) -> str:
    cards = []
    for place, (pair, name) in enumerate(zip(_PAIRS, _NAMES, strict=True)):
        images = "".join(
            f'<img src="{html.thumbnail(read_image(examples[each]), 96)}" alt="">' for each in pair
        )
        cards.append(
            f'<li><button type="button" class="card pair" data-pick="{place}">'
            f'<span class="images">{images}</span><b>{name}</b></button></li>'
        )
    return html.cards(cards, "Example pairs")
