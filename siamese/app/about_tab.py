"""The tab Model: its card, how well it does, and pictures of its training."""

from pathlib import Path
from typing import Any

import gradio as gr

from siamese.app.components import HIDDEN, in_words, pictures
from siamese.app.state import Desk
from siamese.app.wording import percent, table
from siamese.errors import InputError
from siamese.images import read_image

_PICTURES = {
    "rank_list.png": "Rank lists of people whom training never saw",
    "cmc.png": "Share of queries whose first correct image is at rank k or before",
    "distances.png": "Distances of pairs of one person and of two people",
    "roc.png": "True-accept rate against false-accept rate",
    "reliability.png": "Stated against measured probability",
    "curves.png": "Loss and scores by epoch",
}
_SCORES = {"rank1": "Rank-1", "rank5": "Rank-5", "mAP": "mAP", "mINP": "mINP", "eer": "EER"}
_RATES = (1e-3, 1e-2, 5e-2, 1e-1)


def build_about(desk: Desk, tab: Any, folder: Path) -> None:
    """Lays out the tab."""
    home = desk.model.path.parent
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            gr.Markdown(_model(desk), elem_id="card")
        with gr.Column(scale=1, min_width=300):
            gr.Markdown(_scores(desk) + _rates(desk), elem_id="scores")
    shown = pictures(
        folder, label="Pictures of the training; click one to enlarge it", columns=3,
        allow_preview=True, elem_classes=[], visible=False, elem_id="pictures",
    )  # fmt: skip
    if (home / "README.md").is_file():  # data, licence, limits, where the numbers come from
        with gr.Accordion("The model's card", open=True, elem_id="readme"):
            gr.Markdown((home / "README.md").read_text(encoding="utf-8"))

    @in_words
    def read_pictures() -> Any:
        found = []
        for name, words in _PICTURES.items():
            try:
                found.append((read_image(home / name), words))
            except InputError:
                continue  # not there, or not finished
        return gr.Gallery(found, visible=bool(found))

    tab.select(read_pictures, None, shown, **HIDDEN)


def _model(desk: Desk) -> str:
    model, metadata = desk.model, desk.model.metadata
    height, width = model.image_size
    recipe: dict[str, Any] = metadata.get("recipe") or {}
    rows = [
        ("file", model.path.name),
        ("fingerprint", model.fingerprint),
        ("recipe", recipe.get("name", "not known")),
        ("backbone", (recipe.get("model") or {}).get("backbone", "not known")),
        ("image size", f"{height} x {width} pixels (height x width)"),
        ("embedding", f"{model.dimensions} numbers, length 1"),
        ("epochs", recipe.get("epochs") or "not known"),
        *(metadata.get("versions") or {}).items(),
    ]
    return table("The model", "what it is", rows)


def _scores(desk: Desk) -> str:
    scores: dict[str, Any] = desk.model.metadata.get("scores") or {}
    intervals = scores.get("intervals") or {}
    rows: list[tuple[str, object]] = []
    for key, name in _SCORES.items():
        if isinstance(scores.get(key), int | float):
            interval = " to ".join(f"{100 * each:.1f} %" for each in intervals.get(key, ()))
            value = f"{100 * scores[key]:.1f} %"
            rows.append((name, value + (f" (95 %: {interval})" if interval else "")))
    if not rows:
        return "The model's file holds no scores.\n\n"
    named = ("queries", "queries"), ("gallery", "gallery images"), ("protocol", "protocol"), (
        "source", "source")  # fmt: skip
    rows += [(name, scores[key]) for key, name in named if key in scores]
    return table("Scores", "on people whom training never saw", rows)


def _rates(desk: Desk) -> str:
    calibration = desk.review.model_calibration
    rows = []
    for rate in _RATES:
        threshold = calibration.threshold_at(rate)
        missed = percent(calibration.error_rates(threshold)[1])
        rows.append(
            (
                f"{percent(rate)} of two people accepted",
                f"{missed} of one person missed, threshold {threshold:.3f}",
            )
        )
    return table("A threshold at which", "costs", rows)
