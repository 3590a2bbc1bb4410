"""Small pieces of HTML. Every word from outside is escaped here and nowhere else."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese.app.thresholds import histograms
from siamese.metrics.calibration import Calibration, Verdict

Kind = Literal["note", "good", "bad"]

WORDS: dict[Verdict, str] = {
    "same": "Same person",
    "probably same": "Probably the same person",
    "unsure": "Unsure",
    "probably different": "Probably different people",
    "different": "Different people",
}
SIGNS: dict[Verdict, str] = {
    "same": "✓",
    "probably same": "✓",
    "unsure": "?",
    "probably different": "✕",
    "different": "✕",
}
THUMBNAIL = 160
_WIDTH, _HEIGHT = 420, 172
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 412, 40, 146


def escape(text: object) -> str:
    """Text as HTML shows it, letter by letter.

    Besides what is special in HTML, the marks of the page's own templates are taken away from it.

    Example:
        >>> escape("<b>{{x}} ${y}")
        '&lt;b&gt;&#123;&#123;x&#125;&#125; &#36;&#123;y&#125;'
    """
    escaped = html.escape(str(text), quote=True)
    for mark in "{}$`":
        escaped = escaped.replace(mark, f"&#{ord(mark)};")
    return escaped


def percent(share: float) -> str:
    """A share as a person reads it.

    Example:
        >>> percent(0.5), percent(0.0123), percent(0.0004), percent(0.99996), percent(0)
        ('50 %', '1.2 %', '0.04 %', 'over 99.9 %', '0 %')
    """
    if share == 0:
        return "0 %"
    if share < 1e-4:
        return "under 0.01 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{share:.{2 if share < 1e-3 else 1 if share < 0.1 or share > 0.99 else 0}%}".replace(
        ".0%", "%"
    ).replace("%", " %")


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "image"), count(2000, "image"), count(0, "person", "people")
        ('1 image', '2,000 images', '0 people')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def shrink(pixels: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """An image made smaller, never larger.

    Args:
        pixels: `(height, width, 3)`, uint8.
        longest: The longer side of the result at most, in pixels.

    Returns:
        Pixels in the same proportions.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(image)


def thumbnail(pixels: NDArray[np.uint8], height: int = THUMBNAIL) -> str:
    """An image as the address of itself, small enough to stand in the page.

    Args:
        pixels: `(height, width, 3)`, uint8.
        height: Of the result at most, in pixels; also its width.

    Returns:
        A `data:` address.
    """
    file = io.BytesIO()
    Image.fromarray(shrink(pixels, height)).save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def notice(text: str, kind: Kind = "note", title: str = "") -> str:
    """A sentence in a box."""
    head = f"<strong>{escape(title)}</strong> " if title else ""
    role = "alert" if kind == "bad" else "status"
    return f'<div class="notice {kind}" role="{role}">{head}{escape(text)}</div>'


def empty(title: str, text: str) -> str:
    """What stands where there is nothing yet."""
    return f'<div class="empty"><strong>{escape(title)}</strong><p>{escape(text)}</p></div>'


def verdict_card(calibration: Calibration, distance: float) -> str:
    """The verdict on a pair: word, probability bar, yes or no at the threshold, error rates.

    Args:
        calibration: With the threshold that counts.
        distance: Of the pair.
    """
    verdict = calibration.verdict(distance)
    probability = float(calibration.probability(distance))
    accepts, rejects = calibration.error_rates(calibration.threshold)
    same_share, different_share = calibration.word_rates()[verdict]
    side = "Same: yes, within" if calibration.same(distance) else "Same: no, beyond"
    return f"""
<section class="verdict {verdict}" aria-label="Verdict">
  <div class="sign" aria-hidden="true">{SIGNS[verdict]}</div>
  <div class="words">
    <h2>{WORDS[verdict]}</h2>
    <p>Said of {percent(same_share)} of the pairs of one person and of {percent(different_share)} of
    the pairs of two people.</p>
  </div>
  {_bar(probability, "that both images show one person, were both answers as likely beforehand")}
  <p class="rates">{side} the threshold <b>{calibration.threshold:.3f}</b>, at distance
  <b>{distance:.3f}</b>. At this threshold <b>{percent(accepts)}</b> of the pairs of
  two people are taken for one person, and <b>{percent(rejects)}</b> of the pairs of one person are
  missed.</p>
</section>"""


def _bar(probability: float, words: str) -> str:
    shown = percent(probability)
    return f"""
  <div class="bar" role="meter" aria-valuemin="0" aria-valuemax="100"
   aria-valuenow="{100 * probability:.1f}" aria-label="Probability of the same person">
    <div style="width:{100 * probability:.2f}%"></div></div>
  <p class="probability"><b>{shown}</b> {words}</p>"""


def distance_chart(
    calibration: Calibration, distance: float | None = None, *, unseen: bool = True
) -> str:
    """The distances of known pairs as two histograms, with the threshold and this pair's distance.

    Args:
        calibration: With the threshold that counts.
        distance: Of the pair; none to leave it out.
        unseen: Whether training never saw the people of the histograms.
    """
    counts = histograms(calibration)
    low, high = float(counts.edges[0]), float(counts.edges[-1])
    if distance is not None:
        low, high = min(low, distance), max(high, distance)
    highest = max(float(counts.same.max()), float(counts.different.max()), 1e-9)

    def x(value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (min(max(value, low), high) - low) / (high - low)

    def outline(shares: NDArray[np.float64]) -> str:
        steps = [f"M{x(float(counts.edges[0])):.1f} {_BOTTOM}"]
        for place, share in enumerate(shares.tolist()):
            y = _BOTTOM - (_BOTTOM - _TOP) * share / highest
            left, right = (x(float(counts.edges[place + step])) for step in (0, 1))
            steps.append(f"L{left:.1f} {y:.1f}L{right:.1f} {y:.1f}")
        return "".join(steps) + f"L{x(float(counts.edges[-1])):.1f} {_BOTTOM}Z"

    threshold = x(calibration.threshold)
    bounds = calibration.bounds()
    edges = [_LEFT, *(x(bound) for bound in bounds), _RIGHT]
    parts = [
        *(
            f'<rect class="band {word}" x="{begin:.1f}" y="{_BOTTOM}" '
            f'width="{end - begin:.1f}" height="5"/>'
            for word, (begin, end) in zip(WORDS, pairwise(edges), strict=True)
        ),
        f'<path class="different" d="{outline(counts.different)}"/>',
        f'<path class="same" d="{outline(counts.same)}"/>',
        f'<path class="axis" d="M{_LEFT} {_BOTTOM}H{_RIGHT}"/>',
        f'<path class="threshold" d="M{threshold:.1f} {_TOP - 14}V{_BOTTOM}"/>',
        _label(threshold, 20, f"threshold {calibration.threshold:.2f}", "threshold"),
    ]
    for tick in _ticks(low, high):
        parts.append(_label(x(tick), _BOTTOM + 15, f"{tick:g}", "tick", centred=True))
    spoken = (
        f"Histogram of distances. The threshold is {calibration.threshold:.2f}; the verdict "
        f"changes at {', '.join(f'{bound:.2f}' for bound in bounds)}."
    )
    if distance is not None:
        here = x(distance)
        verdict = calibration.verdict(distance)
        spoken += f" This pair: {distance:.3f}, {WORDS[verdict].lower()}."
        parts += [
            f'<path class="pair {verdict}" d="M{here:.1f} {_TOP}V{_BOTTOM}"/>',
            f'<circle class="pair {verdict}" cx="{here:.1f}" cy="{_BOTTOM}" r="5"/>',
            _label(
                here,
                34,
                f"this pair {distance:.2f}",
                f"pair {verdict}",
                left=here < threshold and here > 110,
            ),
        ]
    return f"""
<figure class="chart">
  <svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(spoken)}">
  {"".join(parts)}</svg>
  <figcaption><span class="key same"></span>{count(calibration.same_pairs, "pair")} of one person
  <span class="key different"></span>{count(calibration.different_pairs, "pair")} of two people
  <span class="key unsure"></span>unsure, in the strip of verdicts. By distance, of
  {count(calibration.people, "person", "people")} {
        "whom training never saw" if unseen else "of this gallery"
    }.</figcaption>
</figure>"""


def _label(
    x: float, y: float, text: str, kind: str, *, centred: bool = False, left: bool = False
) -> str:
    """A label right of a line, or left of it where it would not fit."""
    if centred:
        return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="middle">{text}</text>'
    if left or x > _WIDTH - 110:
        return f'<text class="{kind}" x="{x - 5:.1f}" y="{y}" text-anchor="end">{text}</text>'
    return f'<text class="{kind}" x="{x + 5:.1f}" y="{y}">{text}</text>'


def _ticks(low: float, high: float) -> list[float]:
    step = next((each for each in (0.05, 0.1, 0.2, 0.25, 0.5) if (high - low) / each <= 9), 1.0)
    first = int(np.ceil(low / step))
    ticks = [place * step for place in range(first, int(high / step) + 1)]
    span = high - low
    return [round(tick, 2) for tick in ticks if low + 0.02 * span < tick < high - 0.02 * span]


def image_card(
    source: str,
    place: int,
    *,
    title: str,
    lines: Iterable[str],
    verdict: Verdict | None = None,
    action: str,
    pressed: bool | None = None,
) -> str:
    """An image as a button with words below it.

    Args:
        source: Of the image, from `thumbnail`.
        place: Its number, which a click tells.
        title: The first line.
        lines: The others.
        verdict: Colours the frame.
        action: What a click does, for those who hear the page.
        pressed: Whether it is chosen; None where it cannot be.
    """
    text = [title, *lines]
    spoken = ", ".join(each for each in text if each)
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    words = "".join(f"<span>{escape(each)}</span>" for each in text[1:] if each)
    return f"""
<li><button type="button" class="card {verdict or ""}" data-pick="{place}"{state}
 aria-label="{escape(spoken)}. {escape(action)}" title="{escape(action)}">
<img src="{source}" alt="{escape(spoken)}"><b>{escape(title)}</b>{words}</button></li>"""


def cards(items: Sequence[str], label: str) -> str:
    """Cards in rows."""
    return f'<ul class="cards" aria-label="{escape(label)}">{"".join(items)}</ul>'


def picture(source: str, alt: str, caption: str = "") -> str:
    """A picture with words below it."""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="picture"><img src="{source}" alt="{escape(alt)}">{words}</figure>'


def table(caption: str, rows: Iterable[tuple[str, str]]) -> str:
    """Two columns: what, and how much."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table class="facts"><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>'


def when(time: datetime | None) -> str:
    """A time as a person reads it; "" where it is not known.

    Example:
        >>> when(datetime(2026, 11, 20, 8, 15))
        '2026-11-20 08:15:00'
    """
    return "" if time is None else time.isoformat(sep=" ", timespec="seconds")
