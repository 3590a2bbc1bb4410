"""Head, hair and hat of a drawn person."""

import math

from siamese.synthetic.appearance import Colour, Person
from siamese.synthetic.canvas import Canvas, around, tone

_HEIGHT = 0.925

_LOOSE = {"curls": (1.36, 1.16, 0.16), "bob": (1.18, 1.10, 0.0), "long": (1.14, 1.08, 0.02)}
"""Half width and half height of hair that hides the ears, and how far it rises, by the head's."""


def draw_head(canvas: Canvas, person: Person) -> None:
    """Draws the head: a face from the front, hair from behind, and any hat."""
    centre = canvas.project((0.0, _HEIGHT, 0.012))
    x, y = centre
    across, down = _radii(canvas, person)
    if person.hair_style in _LOOSE:
        canvas.disc(centre, across, down, person.skin)
        wide, tall, raised = _LOOSE[person.hair_style]
        if person.hair_style == "bob":
            fall = (x - across * 1.2, y, x + across * 1.2, y + down * 1.12)
            canvas.draw.rounded_rectangle(fall, across * 0.5, tone(person.hair, 0.86))
        canvas.disc((x, y - raised * down), across * wide, down * tall, person.hair)
    else:
        _draw_ears(canvas, person, centre)
        canvas.disc(centre, across, down, person.skin)
        canvas.disc((x, y - 0.16 * down), across * 1.06, down * 0.94, _scalp(person))
    _draw_face_part(canvas, person, centre, person.skin, top=-0.52, bottom=0.98, angle=74.0)
    if person.beard:
        _draw_face_part(canvas, person, centre, person.hair, top=0.30, bottom=1.05, angle=64.0)
    _draw_features(canvas, person, centre)
    _draw_hat(canvas, person, centre)


def draw_back_hair(canvas: Canvas, person: Person, *, behind_body: bool) -> None:
    """Draws the hair that falls or is tied behind the head, if it is on the far side of the body.

    So before the body is drawn (`behind_body`); afterwards the hair on its near side is drawn.
    """
    if behind_body != (math.cos(canvas.turn) > 0.25):
        return
    size = person.head
    if person.hair_style == "long":
        top, end = (0.0, _HEIGHT - 0.01, -0.012), (0.0, _HEIGHT - 0.155, -0.052)
        wide = math.hypot(0.056 * math.cos(canvas.turn), 0.036 * math.sin(canvas.turn))
        canvas.limb((top, end), (wide * size, wide * size), person.hair)
    elif person.hair_style == "ponytail":
        top, end = (0.0, _HEIGHT + 0.03, -0.062 * size), (0.0, _HEIGHT - 0.115, -0.092)
        canvas.limb((top, end), (0.020, 0.015), person.hair)
    elif person.hair_style == "bun":
        height = _HEIGHT + (0.055 if person.hat_kind == "none" else -0.02)
        knot = canvas.project((0.0, height, -0.05 * size))
        canvas.disc(knot, 0.031 * canvas.scale, 0.029 * canvas.scale, person.hair)


def _scalp(person: Person) -> Colour:
    """The colour of the hair; skin shows through where it is shaved."""
    if person.hair_style != "shaved":
        return person.hair
    (r0, g0, b0), (r1, g1, b1) = person.skin, person.hair
    return r0 * 0.6 + r1 * 0.4, g0 * 0.6 + g1 * 0.4, b0 * 0.6 + b1 * 0.4


def _radii(canvas: Canvas, person: Person) -> tuple[float, float]:
    across = math.hypot(0.049 * math.cos(canvas.turn), 0.058 * math.sin(canvas.turn))
    return across * person.head * canvas.scale, 0.070 * person.head * canvas.scale


def _seen_span(canvas: Canvas, half_angle: float) -> tuple[float, float] | None:
    """Left and right edge, -1..1 across the head, of what spans an angle about the nose."""
    turn = math.degrees(canvas.turn)
    low, high = max(-90.0, turn - half_angle), min(90.0, turn + half_angle)
    if high - low < 12:
        return None
    return math.sin(math.radians(low)), math.sin(math.radians(high))


def _draw_face_part(
    canvas: Canvas,
    person: Person,
    centre: tuple[float, float],
    colour: Colour,
    *,
    top: float,
    bottom: float,
    angle: float,
) -> None:
    span = _seen_span(canvas, angle)
    if span is None:
        return
    x, y = centre
    across, down = _radii(canvas, person)
    box = (x + span[0] * across, y + top * down, x + span[1] * across, y + bottom * down)
    canvas.draw.ellipse(box, fill=tone(colour, 1.02))


def _draw_features(canvas: Canvas, person: Person, centre: tuple[float, float]) -> None:
    x, y = centre
    across, down = _radii(canvas, person)
    turn = math.degrees(canvas.turn)
    size = max(0.8, 0.0075 * canvas.scale)
    for side in (-1, 1):
        angle = turn + side * 27
        if abs(angle) < 72:
            column = x + across * 0.94 * math.sin(math.radians(angle))
            row = y + 0.06 * down
            canvas.draw.ellipse(around((column, row), size, size * 0.9), fill=(40, 30, 30))
    if abs(turn) < 100:
        nose = x + across * 1.0 * math.sin(math.radians(turn))
        box = (nose - size, y + 0.12 * down, nose + size * 0.9, y + 0.40 * down)
        canvas.draw.ellipse(box, fill=tone(person.skin, 0.88))
    if abs(turn) < 65:
        mouth = x + across * 0.9 * math.sin(math.radians(turn))
        row = y + 0.60 * down
        canvas.draw.line(
            [(mouth - 0.24 * across, row), (mouth + 0.24 * across, row)],
            fill=tone((person.skin[0] * 0.75, person.skin[1] * 0.55, person.skin[2] * 0.55), 1.0),
            width=max(1, round(0.008 * canvas.scale)),
        )


def _draw_ears(canvas: Canvas, person: Person, centre: tuple[float, float]) -> None:
    x, y = centre
    across, down = _radii(canvas, person)
    for side in (-1, 1):
        angle = math.degrees(canvas.turn) + side * 90
        column = x + across * math.sin(math.radians(angle))
        if math.cos(math.radians(angle)) > -0.3:
            wide = 0.014 * canvas.scale
            box = (column - wide, y - 0.05 * down, column + wide, y + 0.36 * down)
            canvas.draw.ellipse(box, tone(person.skin, 0.86))


def _draw_hat(canvas: Canvas, person: Person, centre: tuple[float, float]) -> None:
    if person.hat_kind == "none":
        return
    x, y = centre
    across, down = _radii(canvas, person)
    wide, brow, crown = across * 1.16, y - 0.36 * down, y - 1.24 * down
    if person.hat_kind == "brim":
        flat = 0.25 * down + 0.09 * canvas.scale * 0.35
        canvas.draw.ellipse(around((x, brow), 2.0 * across, flat * 0.5), tone(person.hat, 0.8))
    box = (x - wide, crown, x + wide, 2 * brow - crown)
    canvas.draw.pieslice(box, 180, 360, fill=tone(person.hat, 0.78))
    shift = canvas.light * 0.16 * wide
    box = (x - 0.8 * wide + shift, crown, x + 0.8 * wide + shift, 2 * brow - crown)
    canvas.draw.pieslice(box, 180, 360, fill=tone(person.hat, 0.98))
    if person.hat_kind == "beanie":
        band = (x - wide, brow - 0.24 * down, x + wide, brow + 0.10 * down)
        canvas.draw.rounded_rectangle(band, radius=0.14 * down, fill=tone(person.hat, 0.68))
        canvas.disc((x, crown), 0.26 * across, 0.2 * across, person.hat)
    elif person.hat_kind == "brim":
        band = (x - wide, brow - 0.18 * down, x + wide, brow)
        canvas.draw.rectangle(band, fill=tone(person.hat, 0.55))
    elif math.cos(canvas.turn) > -0.35:
        ahead, aside = math.cos(canvas.turn), math.sin(canvas.turn)
        peak_x, peak_y = x + 1.15 * across * aside, brow + 0.10 * down * max(0.0, ahead)
        reach = math.hypot(0.95 * across * ahead, 0.8 * across * aside)
        box = (peak_x - reach, peak_y - 0.15 * down, peak_x + reach, peak_y + 0.13 * down)
        canvas.draw.ellipse(box, fill=tone(person.hat, 0.62))
