"""The tab Compare: two images -> verdict, on the histograms of known pairs, with heat maps."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from siamese.app.chart import HIGHEST_RATE, LOWEST_RATE, calibration_at, plot_threshold
from siamese.app.components import in_turn, in_words, photo, pictures, verdict_label
from siamese.app.state import Desk
from siamese.app.uploads import read_upload
from siamese.app.wording import WORDS, percent, plain
from siamese.errors import InputError
from siamese.metrics.calibration import Calibration

_NOTHING = (
    "**Do two images show the same person?** Drop, paste or take two crops of people, one a side. "
    "The answer appears here."
)


def build_compare(desk: Desk, examples: Sequence[tuple[Path, Path]], folder: Path) -> Any:
    """Lays out the tab and says what its parts do.

    Returns:
        The two fields for images.
    """
    asked = gr.State(None)  # the distance of the pair that is shown, and how unlike others it is
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            with gr.Row():
                first = photo("First image", elem_id="first", min_width=130)
                second = photo("Second image", elem_id="second", min_width=130)
            if examples:
                # Not what a visitor sent: Gradio's hourly clean-up leaves them.
                for part in (first, second):
                    part.keep_in_cache.update(str(each) for pair in examples for each in pair)
                gr.Examples(
                    [[str(each) for each in pair] for pair in examples],
                    [first, second],
                    label="Or try a pair",
                    elem_id="examples",
                    api_visibility="private",
                )
        with gr.Column(scale=6, min_width=300):
            word = gr.Label(visible=False, show_label=False, elem_id="verdict")
            words = gr.Markdown(_NOTHING, elem_id="words")
            rate = gr.Slider(
                round(math.log10(LOWEST_RATE), 2),
                round(math.log10(HIGHEST_RATE), 2),
                value=math.log10(desk.calibration.false_accept_rate),
                step=0.01,
                label="False-accept rate, as a power of ten",
                info="How often two people may be taken for one: -2 is 1 %.",
                elem_id="rate",
            )
            chart = gr.Plot(plot_threshold(desk.calibration), show_label=False, elem_id="chart")
    heat = pictures(folder, label="Where they are alike", columns=2, visible=False, elem_id="heat",
                    elem_classes=["pictures", "pair"])  # fmt: skip
    heat_words = gr.Markdown()

    def show(
        pair: tuple[float, float | None] | None, power: float, fault: str = ""
    ) -> tuple[Any, ...]:
        distance, unlikeness = (None, None) if pair is None else pair
        calibration = calibration_at(desk.calibration, 10**power)
        figure = plot_threshold(calibration, distance, unseen=not desk.review.is_recalibrated)
        if distance is None:
            return verdict_label(None), fault or _NOTHING, figure
        verdict = calibration.verdict(distance)
        words = _warn(unlikeness) + _explain(calibration, distance)
        return verdict_label(verdict, WORDS[verdict]), words, figure

    @in_words
    def compare(one: str | None, other: str | None, power: float) -> tuple[Any, ...]:
        if one is None or other is None:
            return (None, *show(None, power))
        try:
            pair = desk.compare(read_upload(one), read_upload(other))
        except InputError as error:
            return (None, *show(None, power, f"**This pair cannot be compared.** {plain(error)}"))
        return (pair, *show(pair, power))

    @in_words
    def look_inside(one: str | None, other: str | None, pair: Any) -> Any:
        if one is None or other is None or pair is None:
            return gr.Gallery(visible=False), ""
        try:
            *maps, similarity = desk.heat_maps(read_upload(one), read_upload(other))
        except InputError as error:
            return gr.Gallery(visible=False), f"There are no heat maps. {plain(error)}"
        captions = ("first image", "second image")
        return gr.Gallery(list(zip(maps, captions, strict=True)), visible=True), (
            f"Bright places add most to the similarity of {similarity:.2f}; dark and grey ones add "
            "nothing, or speak against it."
        )

    @in_words
    def verify(first: str | None, second: str | None, false_accept_rate: float) -> dict[str, Any]:
        if first is None or second is None:
            raise InputError("two images are needed. Send both.")
        return desk.verify(read_upload(first), read_upload(second), false_accept_rate)

    # Every change is answered, one after the other with those of the slider, as all of them write
    # the verdict: that of a pair that has gone may not come last.
    gr.on(
        [first.change, second.change],
        compare,
        [first, second, rate],
        [asked, word, words, chart],
        show_progress_on=words,
        **{**in_turn("verdict", "multiple"), "show_progress": "full"},
    ).then(
        look_inside, [first, second, asked], [heat, heat_words], **in_turn("heat", "always_last")
    )
    rate.change(
        in_words(show), [asked, rate], [word, words, chart], **in_turn("verdict", "always_last")
    )
    wanted = gr.Number(desk.calibration.false_accept_rate, label="false_accept_rate", visible=False)
    gr.Button(visible=False).click(
        verify,
        [first, second, wanted],
        gr.JSON(visible=False),
        api_name="verify",
        api_description="Do two images show the same person? The false-accept rate, 0 to 1, sets "
        "the threshold.",
    )
    return first, second


def _warn(unlikeness: float | None) -> str:
    if unlikeness is None or unlikeness <= 1:
        return ""
    return (
        f"**Unlike the images that the model was calibrated on, {unlikeness:.1f} times the limit: "
        "the rates below do not hold.** Add images of these cameras to the gallery, or run "
        "`siamese calibrate`.\n\n"
    )


def _explain(calibration: Calibration, distance: float) -> str:
    """The probability of one person, yes or no at the threshold, and the error rates."""
    accepts, rejects = calibration.error_rates(calibration.threshold)
    of_same, of_different = calibration.word_rates()[calibration.verdict(distance)]
    answer = "**yes**, within" if calibration.same(distance) else "**no**, beyond"
    return (
        f"**{percent(float(calibration.probability(distance)))}** one person, at even odds "
        f"beforehand. This word is said of {percent(of_same)} of the pairs of one person and "
        f"{percent(of_different)} of the pairs of two people.\n\n"
        f"The same by the threshold: {answer} {calibration.threshold:.3f}, at distance "
        f"{distance:.3f}. There {percent(accepts)} of the pairs of two people are accepted and "
        f"{percent(rejects)} of the pairs of one person are missed."
    )
