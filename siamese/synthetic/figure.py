"""A person in mid-step, drawn part by part from far to near."""

import math
from typing import NamedTuple

import numpy as np

from siamese.synthetic.appearance import Colour, Person
from siamese.synthetic.canvas import Canvas, Floats, Point, Texture, around, tone
from siamese.synthetic.head import draw_back_hair, draw_head

_SHOULDER = 0.80
_SIDES = (1, -1)


class _Leg(NamedTuple):
    hip: Point
    knee: Point
    ankle: Point
    toe: Point


class _Arm(NamedTuple):
    shoulder: Point
    elbow: Point
    hand: Point


def draw_figure(canvas: Canvas, person: Person, phase: float, stride: float) -> None:
    """Draws a walking person.

    Args:
        canvas: Where; it also says which way the person faces.
        person: Who.
        phase: Where in the step, in radians; 2 pi is one step with each foot.
        stride: The largest angle of a thigh from upright, in radians.
    """
    legs, lift = _pose_legs(person, phase, stride)
    arms = {side: _pose_arm(person, phase, stride, side) for side in _SIDES}
    near = 1 if math.sin(canvas.turn) < 0 else -1
    sideways = abs(math.sin(canvas.turn)) > 0.45
    seen_from_behind = math.cos(canvas.turn) < 0

    draw_back_hair(canvas, person, behind_body=True)
    if person.bag_kind == "backpack" and not seen_from_behind:
        _draw_backpack(canvas, person)
    if sideways:
        _draw_arm(canvas, person, arms[-near])
    if person.bag_side == -near:
        _draw_hand_bag(canvas, person, arms[-near])
    for side in sorted(_SIDES, key=lambda side: canvas.depth(legs[side].ankle)):
        _draw_leg(canvas, person, legs[side], lift)
    _draw_hips(canvas, person, stride * math.sin(phase))
    _draw_torso(canvas, person)
    if not sideways:
        _draw_arm(canvas, person, arms[-near])
    if person.bag_kind == "backpack" and seen_from_behind:
        _draw_backpack(canvas, person)
    _draw_straps(canvas, person)
    _draw_arm(canvas, person, arms[near])
    if person.bag_side == near:
        _draw_hand_bag(canvas, person, arms[near])
    draw_head(canvas, person)
    draw_back_hair(canvas, person, behind_body=False)


def _pose_legs(person: Person, phase: float, stride: float) -> tuple[dict[int, _Leg], float]:
    half = (person.leg - 0.035) / 2
    legs = {}
    for side in _SIDES:
        swing = math.sin(phase) * side
        thigh = stride * swing
        # The knee bends while its leg comes forwards, that is while the swing grows.
        bend = 0.10 + stride * 1.4 * max(0.0, math.cos(phase) * side) ** 2
        shin = thigh - bend
        x = side * 0.052 * person.build
        hip = (x, person.leg, 0.0)
        knee = (x, hip[1] - half * math.cos(thigh), half * math.sin(thigh))
        ankle = (x, knee[1] - half * math.cos(shin), knee[2] + half * math.sin(shin))
        # A foot behind the body stands on its toes.
        pitch = min(0.0, shin + 0.25) * 1.1
        toe = (
            x + side * 0.015,
            ankle[1] - 0.022 + 0.105 * math.sin(pitch),
            ankle[2] + 0.105 * math.cos(pitch),
        )
        legs[side] = _Leg(hip, knee, ankle, toe)
    lift = min(min(leg.ankle[1], leg.toe[1]) for leg in legs.values()) - 0.018
    return legs, lift


def _pose_arm(person: Person, phase: float, stride: float, side: int) -> _Arm:
    carries = person.bag_kind == "handbag" and person.bag_side == side
    swing = -stride * (0.3 if carries else 1.0) * math.sin(phase) * side
    bend = 0.12 if carries else 0.28 + max(0.0, swing) * 0.9
    x = side * 0.104 * person.build
    spread = 0.024 + 0.035 * (person.build - 0.78)
    shoulder = (x, _SHOULDER - 0.023, 0.0)
    elbow = (x + side * spread, shoulder[1] - 0.165 * math.cos(swing), 0.165 * math.sin(swing))
    hand = (
        x + side * spread * 0.9,
        elbow[1] - 0.155 * math.cos(swing + bend),
        elbow[2] + 0.155 * math.sin(swing + bend),
    )
    return _Arm(shoulder, elbow, hand)


def _draw_leg(canvas: Canvas, person: Person, leg: _Leg, lift: float) -> None:
    knee, ankle, toe = ((x, y - lift, z) for x, y, z in leg[1:])
    heel = (ankle[0], ankle[1] - 0.012, ankle[2] - 0.012)
    thick = 0.5 + 0.5 * person.build
    shade = 0.84 if canvas.depth(leg.ankle) < -0.05 else 1.0
    canvas.limb((heel, toe), (0.024, 0.018), person.shoes, shade=shade)
    covered = person.bottom_kind == "trousers"
    cloth = person.bottom if covered else person.skin
    loose = person.trouser_width if covered else 0.86
    radii = (0.056 * thick, 0.038 * loose * thick, 0.027 * loose)
    canvas.limb((leg.hip, knee, ankle), radii, cloth, shade=shade)
    if person.bottom_kind == "shorts":
        hem = _between(leg.hip, knee, person.bottom_length / (person.leg - 0.035) * 1.7)
        canvas.limb((leg.hip, hem), (0.058 * thick, 0.050 * thick), person.bottom, shade=shade)


def _draw_hips(canvas: Canvas, person: Person, swing: float) -> None:
    wide, deep = 0.098 * person.build, 0.068 * person.build
    waist = (person.leg + 0.10, 0.088 * person.build, 0.06 * person.build, 0.0)
    hip = (person.leg, wide, deep, 0.0)
    if person.bottom_kind in ("skirt", "dress"):
        hem = person.leg + 0.05 - person.bottom_length
        flare = 0.02 + 0.09 * person.bottom_length
        rings = [waist, hip, (hem, wide + flare, deep + flare + 0.12 * abs(swing), 0.02 * swing)]
    else:
        rings = [waist, hip, (person.leg - 0.035, wide * 0.8, deep * 0.8, 0.0)]
    canvas.tube(rings, person.bottom)


def _draw_torso(canvas: Canvas, person: Person) -> None:
    build = person.build
    neck = (0.0, _SHOULDER + 0.005, 0.0)
    canvas.limb((neck, (0.0, 0.88, 0.012)), (0.036, 0.031), person.skin, shade=0.86)
    belly = max(0.0, build - 1.0)
    hem = person.leg + 0.05 - person.top_length
    waist = person.leg + 0.14
    rings = [
        (_SHOULDER + 0.042, 0.036, 0.036, 0.0),
        (_SHOULDER + 0.029, 0.066 * build, 0.042 * build, 0.0),
        (_SHOULDER + 0.012, 0.108 * build, 0.052 * build, 0.0),
        (_SHOULDER - 0.02, 0.122 * build, 0.062 * build, 0.0),
        (_SHOULDER - 0.10, 0.118 * build, 0.074 * build, 0.008),
        (waist, 0.100 * build, 0.066 * build + 0.1 * belly, 0.2 * belly),
        (hem, 0.106 * build, 0.074 * build + 0.05 * belly, 0.05 * belly),
    ]
    if hem < person.leg:  # a coat falls straight from the hips
        rings.insert(-1, (person.leg + 0.02, 0.106 * build, 0.076 * build, 0.0))
        rings[-1] = (hem, 0.122 * build, 0.092 * build, 0.0)
    second = person.top_second if person.pattern != "raglan" else None
    canvas.tube(rings, person.top, second=second, texture=_texture(person))


def _texture(person: Person) -> Texture | None:
    """Gives the texture of a person's top: the places of its second colour."""
    size = np.float32(person.pattern_size)

    def hoops(_angle: Floats, height: Floats) -> Floats:
        return (height / size % 1 < 0.45).astype(np.float32)

    def stripes(angle: Floats, _height: Floats) -> Floats:
        return (angle * np.float32(0.09) / size % 1 < 0.4).astype(np.float32)

    def checks(angle: Floats, height: Floats) -> Floats:
        return (hoops(angle, height) + stripes(angle, height)) * np.float32(0.5)

    def halves(angle: Floats, height: Floats) -> Floats:
        edge = _SHOULDER - np.float32(1.8) * size
        return np.asarray(np.broadcast_to(height < edge, angle.shape), np.float32)

    def print_on(angle: Floats, height: Floats) -> Floats:
        # A badge on the chest, a wide field on the back.
        front = np.hypot(angle / np.float32(0.62), (height - 0.69) / np.float32(0.045)) < 1
        back = (np.abs(angle) > 2.25) & (np.abs(height - 0.69) < 0.05)
        return np.asarray(front | back, np.float32)

    def open_front(angle: Floats, height: Floats) -> Floats:
        return (np.abs(angle) < 0.34 + 0 * height).astype(np.float32)

    textures: dict[str, Texture] = {
        "hoops": hoops, "stripes": stripes, "checks": checks, "halves": halves, "print": print_on,
        "open": open_front,
    }  # fmt: skip
    return textures.get(person.pattern)


def _draw_arm(canvas: Canvas, person: Person, arm: _Arm) -> None:
    thick = 0.45 + 0.55 * person.build
    sleeve = person.top_second if person.pattern in ("raglan", "halves") else person.top
    upper, fore = 0.037 * thick, 0.030 * thick
    canvas.disc(canvas.project(arm.hand), *(0.023 * canvas.scale,) * 2, person.skin)
    wrist = _between(arm.elbow, arm.hand, 0.86)
    whole = (arm.shoulder, arm.elbow, wrist)
    # A dark rim parts the arm from a body of the same colour.
    rim = tuple(radius * 1.14 for radius in (upper, fore, 0.024 * thick))
    canvas.limb(whole, rim, sleeve, shade=0.72)
    if person.long_sleeves:
        canvas.limb(whole, (upper, fore, 0.024 * thick), sleeve)
    else:
        skin_radii = (upper * 0.8, 0.026 * thick, 0.020)
        canvas.limb(whole, skin_radii, person.skin)
        cuff = _between(arm.shoulder, arm.elbow, 0.62)
        canvas.limb((arm.shoulder, cuff), (upper, upper * 0.96), sleeve)
    if person.pattern in ("hoops", "checks"):
        faint = 1.0 if person.pattern == "hoops" else 0.5
        _draw_rings(canvas, person, arm, _between(person.top, person.top_second, faint), fore)


def _draw_rings(canvas: Canvas, person: Person, arm: _Arm, colour: Colour, radius: float) -> None:
    parts = [(arm.shoulder, arm.elbow, 1.0 if person.long_sleeves else 0.62)]
    if person.long_sleeves:
        parts.append((arm.elbow, arm.hand, 0.8))
    width = radius * 1.7
    for start, end, share in parts:
        count = max(1, round(share * 0.16 / person.pattern_size))
        for index in range(count):
            middle = canvas.project(_between(start, end, share * (index + 0.6) / count))
            reach, half = width / 2 * canvas.scale, 0.22 * person.pattern_size * canvas.scale
            canvas.draw.rectangle(around(middle, reach, half), tone(colour, 0.9))


def _draw_backpack(canvas: Canvas, person: Person) -> None:
    wide, back = 0.092 * person.build, -0.062 * person.build
    canvas.tube(
        [
            (_SHOULDER + 0.012, wide * 0.55, 0.025, back - 0.02),
            (_SHOULDER - 0.004, wide * 0.86, 0.042, back - 0.03),
            (_SHOULDER - 0.06, wide, 0.052, back - 0.035),
            (_SHOULDER - 0.20, wide, 0.060, back - 0.035),
            (_SHOULDER - 0.225, wide * 0.88, 0.050, back - 0.03),
        ],
        person.bag,
    )
    if math.cos(canvas.turn) < -0.85:
        deep = back - 0.09
        canvas.strap(
            [(-0.6 * wide, _SHOULDER - 0.12, deep), (0.6 * wide, _SHOULDER - 0.12, deep)],
            person.bag,
            0.016,
        )


def _draw_straps(canvas: Canvas, person: Person) -> None:
    build = person.build
    if person.bag_kind == "backpack":
        for side in _SIDES:
            front = (side * 0.072 * build, _SHOULDER - 0.10, 0.07 * build)
            if canvas.depth(front) > -0.02 and math.cos(canvas.turn) > -0.25:
                canvas.strap(
                    [
                        (side * 0.066 * build, _SHOULDER + 0.022, 0.0),
                        front,
                        (side * 0.085 * build, _SHOULDER - 0.17, 0.045 * build),
                    ],
                    person.bag,
                    0.024,
                )
    if person.bag_kind == "satchel":
        deep = 0.072 * build * (1 if math.cos(canvas.turn) >= 0 else -1)
        side = person.bag_side
        canvas.strap(
            [
                (-side * 0.07 * build, _SHOULDER + 0.02, 0.0),
                (0.0, _SHOULDER - 0.12, deep),
                (side * 0.11 * build, person.leg + 0.06, deep * 0.4),
            ],
            person.bag,
            0.020,
        )


def _draw_hand_bag(canvas: Canvas, person: Person, arm: _Arm) -> None:
    """Draws what hangs at one side: a bag in the hand or a satchel at the hip."""
    if person.bag_kind == "handbag":
        x, y, z = arm.hand
        canvas.strap(
            [(x, y - 0.06, z - 0.04), (x, y, z), (x, y - 0.06, z + 0.04)], person.bag, 0.011
        )
        _draw_box(canvas, (x, y - 0.105, z), person.bag, 0.028, 0.062, 0.05)
    elif person.bag_kind == "satchel":
        centre = (person.bag_side * 0.125 * person.build, person.leg + 0.01, -0.01)
        _draw_box(canvas, centre, person.bag, 0.030, 0.075, 0.056)


def _draw_box(
    canvas: Canvas, centre: Point, colour: Colour, wide: float, deep: float, tall: float
) -> None:
    middle = column, row = canvas.project(centre)
    across = canvas.scale * (abs(wide * math.cos(canvas.turn)) + abs(deep * math.sin(canvas.turn)))
    down = tall * canvas.scale
    for size, shade in ((1.0, 0.66), (0.86, 0.92)):
        box = around(middle, across * size, down * size)
        canvas.draw.rounded_rectangle(box, down * 0.3, tone(colour, shade))
    flap = [(column + side * across * 0.8, row - down * 0.15) for side in (-1, 1)]
    canvas.draw.line(flap, tone(colour, 0.6), max(1, round(0.008 * canvas.scale)))


def _between(start: Point, end: Point, share: float) -> Point:
    """A point on the way from one to another, or a colour between two."""
    x, y, z = (one + (other - one) * share for one, other in zip(start, end, strict=True))
    return x, y, z
