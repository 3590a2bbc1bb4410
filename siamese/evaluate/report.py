"""The score report as one HTML page that needs nothing else, and its pictures as PNG."""

import base64
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from siamese import plots
from siamese.evaluate import report_images
from siamese.evaluate.protocol import describe_rates
from siamese.evaluate.report_images import RankList, Shown, ShownPair
from siamese.evaluate.report_style import STYLE
from siamese.files import whole_file
from siamese.metrics.pairs import PairCounts
from siamese.metrics.ranking import RankingScores
from siamese.metrics.reliability import Reliability
from siamese.metrics.verification import VerificationScores

_HEIGHT = 160  # of a thumbnail: sharp on a phone, 4 kB

_SCORES = (
    ("rank1", "Rank-1", "queries whose first place is correct"),
    ("rank5", "Rank-5", "a correct image among the first 5 places"),
    ("rank10", "Rank-10", "a correct image among the first 10 places"),
    ("mAP", "mAP", "mean average precision, rectangle rule: what papers print"),
    ("mAP_trapezoid", "mAP, trapezoid", "the same by the rule of Market-1501's own code"),
    ("mINP", "mINP", "correct images / place of the last one: how far to look to find all"),
    ("eer", "EER", "equal error rate: as many strangers accepted as people rejected; low is good"),
    ("auc", "AUC", "chance that a pair of one person is nearer than a pair of two"),
)
_LISTS = {
    "worst": ("Worst queries", "By average precision, each person once."),
    "best": ("Best queries", "By average precision, then by the number of matches to find."),
    "random": ("Random queries", "Drawn by the seed of the report: what to expect on most days."),
}
_VARIANTS = {
    "mars_gallery_without_queries": (
        "MARS, query tracklets taken out of the gallery",
        "As torchreid does; queries that lose every match are not scored.",
    ),
    "single_gallery_shot": (
        "Single gallery shot",
        "One gallery image a person, drawn 10 times for each query: the protocol of CUHK03.",
    ),
}


@dataclass(frozen=True)
class Curves:
    """What curves are drawn from.

    Attributes:
        ranking: For the cumulative matching characteristic.
        verification: For the receiver operating characteristic.
        pairs: For the histograms of distances.
        reliability: For the reliability diagram; None where the model holds no calibration.
    """

    ranking: RankingScores
    verification: VerificationScores
    pairs: PairCounts
    reliability: Reliability | None

    def draw(self, card: Mapping[str, Any]) -> dict[str, Callable[[], Figure]]:
        """What draws each figure, by file name without suffix.

        Args:
            card: The score report.
        """
        ranking, verification, reliability = self.ranking, self.verification, self.reliability
        distances, same, different = self.pairs.histogram()
        threshold, name = verification.eer_threshold, "equal errors at"
        if card["calibration"] is not None and card["calibration"]["metric"] == card["metric"]:
            threshold, name = card["calibration"]["threshold"], "the model's threshold"
        figures: dict[str, Callable[[], Figure]] = {
            "cmc": lambda: plots.plot_cmc(
                ranking.cmc, queries=ranking.queries, gallery=ranking.gallery
            ),
            "roc": lambda: plots.plot_roc(
                verification.roc,
                eer=verification.eer,
                auc=verification.auc,
                tar_at_far=verification.tar_at_far,
            ),
            "distances": lambda: plots.plot_distances(
                distances, same, different, threshold=threshold, name=name
            ),
        }
        if reliability is not None:
            figures["reliability"] = lambda: plots.plot_reliability(
                reliability.predicted,
                reliability.observed,
                reliability.share,
                error=reliability.expected_calibration_error,
            )
        return figures


def write_report(card: Mapping[str, Any], curves: Curves, shown: Shown, folder: Path) -> None:
    """Writes `report.html` and its pictures as PNG.

    Args:
        card: The score report.
        curves: What its curves are drawn from.
        shown: Its rank lists and failures.
        folder: Where to; it is there.
    """
    drawings = curves.draw(card)
    for name, drawing in drawings.items():
        plots.save(drawing(), folder / f"{name}.png")
    for name, figure in report_images.draw_shown(shown).items():
        plots.save(figure, folder / f"{name}.png")
    page = _page(card, {name: plots.to_svg(each) for name, each in drawings.items()}, shown)
    with whole_file(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(card: Mapping[str, Any], curves: Mapping[str, str], shown: Shown) -> str:
    name = Path(card["model"])
    title = f"{name.parent.name}/{name.name}" if name.name == "model.keras" else name.name
    body = [
        f"<header><p class=eyebrow>Score report</p><h1>{_text(title)}</h1>",
        f"<p class=sub>on <b>{_text(Path(card['data']).name)}</b> ({_text(card['dataset'])}), "
        f"{_text(card['started'][:16].replace('T', ' '))}</p>",
        *(f"<p class=note>{_text(note)}</p>" for note in card["notes"]),
        f"</header>{_tiles(card)}",
        _section("Protocol", _protocol(card)),
        _section("Scores", _score_table(card) + _sources(card) + _variants(card)),
        _section("Curves", f"<div class=curves>{''.join(map(_figure, curves.values()))}</div>"),
        _section("Thresholds", _thresholds(card)),
        *(_section(*_LISTS[kind], _rank_lists(found)) for kind, found in shown.lists.items()),
    ]
    if shown.alike:
        text = "Different people that look most alike to the model, every two people once."
        body.append(_section("Look-alikes", text, _pairs(shown.alike, "bad")))
    if shown.apart:
        text = (
            "The same person that looks least alike to the model, each person once. Where these "
            "are plainly two people, the labels of the data are wrong."
        )
        body.append(_section("Hard to recognise", text, _pairs(shown.apart, "good")))
    body.append(_section("How this was made", _facts(card)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}: score report</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _section(title: str, *content: str) -> str:
    *texts, last = content
    words = "".join(f"<p class=sub>{_text(text)}</p>" for text in texts)
    return f"<section><h2>{_text(title)}</h2>{words}{last}</section>"


def _tiles(card: Mapping[str, Any]) -> str:
    tiles = []
    for name, label, _ in _SCORES:
        if name in ("rank1", "mAP", "mINP", "eer"):
            low, high = card["intervals"][name]
            tiles.append(
                f"<div class=tile><span>{label}</span><b>{card[name]:.1%}</b>"
                f"<small>{100 * low:.1f} to {high:.1%}</small></div>"
            )
    return f"<div class=tiles>{''.join(tiles)}</div>"


def _protocol(card: Mapping[str, Any]) -> str:
    unit = "tracklets" if card["tracklets"] is not None else "images"
    asked = card["queries"] + card["queries_without_match"]
    rows = [
        ("queries scored", f"{card['queries']:,} of {asked:,} {unit}, {card['people']:,} people"),
        ("gallery", f"{card['gallery']:,} {unit}, {card['gallery_people']:,} people"),
        ("cameras", f"{card['cameras']:,}" if card["cameras"] else "not known"),
        *(
            (f"not scored: {reason}", f"{count:,} queries")
            for reason, count in card["left_out"].items()
        ),
    ]
    sentences = "".join(f"<li>{_text(each)}</li>" for each in card["protocol_text"])
    return f"{_table(rows)}<ul>{sentences}</ul>"


def _score_table(card: Mapping[str, Any]) -> str:
    rows = [
        ((label, meaning), f"{card[name]:.2%}", _span(card["intervals"][name]))
        for name, label, meaning in _SCORES
    ]
    rows += [
        (
            (
                f"TAR at FAR {float(far):g}",
                f"pairs of one person accepted where {float(far):.2%} of strangers are",
            ),
            f"{tar:.2%}",
            _span(card["intervals"][f"tar_at_far_{far}"]),
        )
        for far, tar in card["tar_at_far"].items()
    ]
    if card["calibration"] is not None:
        error = card["calibration"]["expected_calibration_error"]
        meaning = "mean gap between the model's probabilities and what came true; low is good"
        rows.append((("calibration error", meaning), f"{error:.2%}", ""))
    return _table(rows, ("score", "", "95 % interval"))


def _sources(card: Mapping[str, Any]) -> str:
    if "sources" not in card:
        return ""
    names = ("rank1", "mAP", "eer")
    rows: list[list[str | tuple[str, str]]] = []
    for source, found in card["sources"].items():
        scores = (f"{found[name]:.2%}" if name in found else "" for name in names)
        rows.append([(source, found.get("not_scored", f"{found['people']:,} people")), *scores])
    text = "The people of each dataset among the images of their own dataset."
    return f"<h3>By source</h3><p class=sub>{text}</p>" + _table(
        rows, ("source", *(label for key, label, _ in _SCORES if key in names))
    )


def _variants(card: Mapping[str, Any]) -> str:
    parts = []
    for name, found in card["variants"].items():
        title, text = _VARIANTS[name]
        intervals = found.get("intervals", {})
        rows = [
            (label, f"{found[key]:.2%}", _span(intervals.get(key)))
            for key, label, _ in _SCORES
            if key in found
        ]
        if "queries" in found:
            rows.append(("queries scored", f"{found['queries']:,}", ""))
            rows.append(("not scored", f"{found['queries_without_match']:,}", ""))
            rows.append(("gallery", f"{found['gallery']:,}", ""))
        parts.append(
            f"<h3>{_text(title)}</h3><p class=sub>{_text(text)}</p>"
            + _table(rows, ("score", "", "95 % interval"))
        )
    return "".join(parts)


def _thresholds(card: Mapping[str, Any]) -> str:
    rows = [
        (
            (f"{row['chosen_rate']:.4g}", f"measured {row['false_accept_rate']:.3%}"),
            f"{row['false_reject_rate']:.2%}",
            f"{row['threshold']:.4f}",
        )
        for row in card["thresholds"]
    ]
    head = ("false-accept rate", "people rejected", "threshold")
    text = "<p class=sub>Distances up to the threshold are taken for one person.</p>"
    found = card["calibration"]
    if found is None:
        return (
            f"{text}{_table(rows, head)}<p class=sub>The model file holds no calibration, so there "
            "is no reliability diagram.</p>"
        )
    promised = "{} of strangers accepted, {} of people rejected".format(
        *describe_rates(found["promised_rates"], found["promised_intervals"])
    )
    own = f"The model's own threshold is {found['threshold']:.4f}. It promises {promised}"
    if found["measured_rates"] is not None:
        own += "; on these people it was {} and {}".format(
            *describe_rates(found["measured_rates"], found["measured_intervals"])
        )
    return f"{text}{_table(rows, head)}<p>{_text(own)}.</p>"


def _rank_lists(found: Sequence[RankList]) -> str:
    rows = []
    for each in found:
        places = "".join(
            _thumbnail(
                place.image,
                place.caption,
                {True: "good", False: "bad", None: ""}[place.correct],
                number,
            )
            for number, place in enumerate(each.places, start=1)
        )
        if each.missed is not None:
            places += _thumbnail(each.missed.image, each.missed.caption, "good missed", each.first)
        rows.append(
            f"<div class=list><p>{_text(each.summary)}</p><div class=row>"
            f"{_thumbnail(each.image, each.caption, 'query')}{places}</div></div>"
        )
    return "".join(rows)


def _pairs(found: Sequence[ShownPair], kind: str) -> str:
    cells = []
    for each in found:
        two = "".join(
            _thumbnail(image, caption, kind)
            for image, caption in zip(each.images, each.captions, strict=True)
        )
        cells.append(
            f"<div class=pair><div class=row>{two}</div><p>distance {each.distance:.3f}</p></div>"
        )
    return f"<div class=pairs>{''.join(cells)}</div>"


def _facts(card: Mapping[str, Any]) -> str:
    seconds = card["seconds"]
    rows = [
        ("model", card["model"]),
        ("fingerprint", card["fingerprint"]),
        ("input", "{} x {} pixels (height x width)".format(*card["image_size"])),
        ("embedding", f"{card['dimensions']} dimensions"),
        ("data", card["data"]),
        ("images asked and searched", card["data_digest"]),
        ("source", card["source"]),
        ("backend", card["backend"]),
        ("versions", ", ".join(f"{name} {each}" for name, each in card["versions"].items())),
        ("seed", str(card["seed"])),
        ("time", f"{seconds['embedding']:.1f} s embedding, {seconds['scoring']:.1f} s scoring"),
    ]
    whole = json.dumps({k: v for k, v in card.items() if k != "protocol_text"}, indent=1)
    return (
        f"{_table(rows)}<details><summary>scores.json</summary><pre>{_text(whole)}</pre></details>"
    )


def _table(rows: Sequence[Sequence[str | tuple[str, str]]], head: Sequence[str] = ()) -> str:
    """A table; the first cell of a row may be a pair of words and their explanation.

    Without a head it is a list of facts, whose cells are words and may wrap.
    """
    top = "".join(f"<th scope=col>{_text(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>"
        + f"<th scope=row>{_explain(row[0])}</th>"
        + "".join(f"<td>{_explain(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    if not head:
        return f"<table class=words><tbody>{lines}</tbody></table>"
    thead = f"<thead><tr>{top}</tr></thead>"
    return f"<div class=scroll><table>{thead}<tbody>{lines}</tbody></table></div>"


def _explain(cell: str | tuple[str, str]) -> str:
    if isinstance(cell, str):
        return _text(cell)
    return f"{_text(cell[0])}<small>{_text(cell[1])}</small>"


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _thumbnail(image: plots.Image, caption: str, kind: str, place: int | None = None) -> str:
    mark = {"good": "✓", "bad": "✗"}.get(kind.split(" ")[0], "") if place is not None else ""
    above = "query" if kind == "query" else f"{place} {mark}" if place is not None else ""
    label = f"<span>{above}</span>" if above else ""
    return (
        f'<figure class="shot {kind}">{label}<img src="{_data_uri(image)}" alt="" loading=lazy>'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _data_uri(image: plots.Image) -> str:
    picture = Image.fromarray(image)
    if picture.height > _HEIGHT:
        width = max(1, round(picture.width * _HEIGHT / picture.height))
        picture = picture.resize((width, _HEIGHT), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(target.getvalue()).decode()}"


def _span(interval: Sequence[float] | None) -> str:
    if interval is None:
        return ""
    if list(interval) == [0, 1]:
        return "too few to say"
    return f"{100 * interval[0]:.1f} to {interval[1]:.1%}"


def _text(words: str) -> str:
    return html.escape(str(words))
