"""The tab Model: what it is, how well it does, and pictures of its training."""

from pathlib import Path
from typing import Any

import gradio as gr

from siamese.app import html
from siamese.app.components import in_words
from siamese.app.state import Desk
from siamese.errors import InputError
from siamese.images import read_image

_PICTURES = {
    "rank_list.png": "Rank lists of people that training never saw",
    "cmc.png": "The share of queries whose first correct image is at rank k or before",
    "distances.png": "Distances of pairs of one person and of two people",
    "roc.png": "True-accept rate against false-accept rate",
    "reliability.png": "How often what the model is sure of is true",
    "curves.png": "Loss and scores by epoch",
}
_RATES = (1e-3, 1e-2, 5e-2, 1e-1)


def build(desk: Desk, tab: Any) -> None:
    """Lays out the tab.

    Args:
        desk: What is asked.
        tab: The tab, whose opening loads the pictures.
    """
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=300):
            gr.HTML(_card(desk), elem_id="card")
        with gr.Column(scale=1, min_width=300):
            gr.HTML(_scores(desk) + _rates(desk), elem_id="scores")
    pictures = gr.HTML(elem_id="pictures")
    tab.select(
        in_words(lambda: _pictures(desk.model.path.parent)), None, pictures,
        api_visibility="private", show_progress="hidden",
    )  # fmt: skip


def _card(desk: Desk) -> str:
    model, card = desk.model, desk.model.metadata
    height, width = model.image_size
    recipe: dict[str, Any] = card.get("recipe") or {}
    parts: dict[str, Any] = recipe.get("model") or {}
    rows = [
        ("file", model.path.name),
        ("fingerprint", model.fingerprint),
        ("recipe", str(recipe.get("name", "not known"))),
        ("backbone", str(parts.get("backbone", "not known"))),
        ("image size", f"{height} x {width} pixels (height x width)"),
        ("embedding", f"{model.dimensions} numbers, length 1"),
    ]
    if recipe.get("epochs"):
        rows.append(("epochs", str(recipe["epochs"])))
    for name, version in (card.get("versions") or {}).items():
        rows.append((name, str(version)))
    return html.table("The model", rows)


def _scores(desk: Desk) -> str:
    scores: dict[str, Any] = desk.model.metadata.get("scores") or {}
    names = {"rank1": "Rank-1", "rank5": "Rank-5", "mAP": "mAP", "mINP": "mINP", "eer": "EER"}
    intervals = scores.get("intervals") or {}
    rows = []
    for key, name in names.items():
        if not isinstance(scores.get(key), int | float):
            continue
        value = f"{scores[key]:.1%}"
        if key in intervals:
            low, high = intervals[key]
            value += f" (95 %: {low:.1%} to {high:.1%})"
        rows.append((name, value.replace("%", " %").replace("  ", " ")))
    if not rows:
        return html.notice("The model's file holds no scores.")
    for key, name in (("queries", "queries"), ("gallery", "gallery images")):
        if key in scores:
            rows.append((name, f"{scores[key]:,}"))
    for key in ("protocol", "source"):
        if key in scores:
            rows.append((key, str(scores[key])))
    return html.table("Scores on people that training never saw", rows)


def _rates(desk: Desk) -> str:
    calibration = desk.model_calibration
    rows = []
    for rate in _RATES:
        threshold = calibration.threshold_at(rate)
        _, rejects = calibration.error_rates(threshold)
        rows.append(
            (
                f"{html.percent(rate)} of two people accepted",
                f"{html.percent(rejects)} of one person missed, threshold {threshold:.3f}",
            )
        )
    return html.table("What a threshold costs", rows)


def _pictures(folder: Path) -> str:
    found = []
    for name, words in _PICTURES.items():
        if not (folder / name).is_file():
            continue
        try:
            pixels = read_image(folder / name)
        except InputError:
            continue  # an unfinished picture is no reason to show no page
        found.append(html.picture(html.thumbnail(pixels, 1100), words, words))
    if not found:
        return ""
    return f'<div class="pictures">{"".join(found)}</div>'
