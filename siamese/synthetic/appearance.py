"""What a drawn person looks like: body, hair, clothes and belongings."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from siamese.synthetic import difficulty

Colour = tuple[float, float, float]
"""Red, green and blue, each 0..255."""

_STREAM = 1

_TOPS: tuple[Colour, ...] = (
    (44, 44, 50),
    (226, 223, 214),
    (132, 134, 140),
    (38, 52, 96),
    (66, 112, 180),
    (180, 50, 46),
    (56, 116, 76),
    (212, 164, 62),
    (188, 164, 130),
    (112, 40, 58),
    (50, 126, 132),
    (214, 142, 158),
)
_BOTTOMS: tuple[Colour, ...] = (
    (42, 42, 48),
    (44, 58, 94),
    (108, 138, 176),
    (116, 118, 124),
    (164, 144, 108),
    (92, 68, 52),
    (206, 202, 192),
    (84, 92, 60),
)
_SHOES: tuple[Colour, ...] = (
    (36, 34, 36),
    (232, 230, 226),
    (98, 64, 42),
    (170, 52, 48),
    (70, 96, 140),
)
_BAGS: tuple[Colour, ...] = (
    (40, 40, 46),
    (150, 96, 56),
    (178, 58, 52),
    (58, 88, 132),
    (204, 170, 84),
    (84, 100, 72),
)
_SKINS: tuple[Colour, ...] = (
    (244, 208, 182),
    (230, 184, 152),
    (206, 156, 120),
    (164, 114, 82),
    (122, 82, 58),
    (90, 60, 46),
)
_HAIRS: tuple[Colour, ...] = (
    (34, 28, 28),
    (70, 46, 34),
    (118, 78, 48),
    (206, 170, 104),
    (150, 72, 40),
    (176, 174, 172),
)

_PATTERNS = ("plain", "hoops", "stripes", "checks", "halves", "print", "open", "raglan")
_PATTERN_SHARES = (0.30, 0.12, 0.08, 0.10, 0.10, 0.10, 0.10, 0.10)
_HAIR_STYLES = ("short", "shaved", "bob", "long", "ponytail", "bun", "curls")
_HAIR_SHARES = (0.38, 0.06, 0.12, 0.16, 0.12, 0.06, 0.10)


@dataclass(frozen=True)
class Person:
    """Everything that stays with a person from camera to camera.

    Lengths are shares of the person's height.
    """

    build: float
    leg: float
    head: float
    skin: Colour
    hair_style: str
    hair: Colour
    beard: bool
    top: Colour
    top_second: Colour
    pattern: str
    pattern_size: float
    long_sleeves: bool
    top_length: float
    bottom_kind: str
    bottom: Colour
    bottom_length: float
    trouser_width: float
    shoes: Colour
    bag_kind: str
    bag: Colour
    bag_side: int
    hat_kind: str
    hat: Colour
    stride: float


@lru_cache(maxsize=4096)
def describe_person(person: int, seed: int) -> Person:
    """Says what a person looks like, whoever else is drawn.

    Args:
        person: The person's number, 0 or more.
        seed: The number that everything drawn together shares, 0 or more.

    Returns:
        The same description for the same two numbers.
    """
    random = np.random.default_rng([seed, _STREAM, person])

    def choose(names: tuple[str, ...], shares: tuple[float, ...]) -> str:
        return names[int(random.choice(len(names), p=shares))]

    def colour(palette: tuple[Colour, ...], *, unlike: Colour | None = None) -> Colour:
        rest = [one for one in palette if unlike is None or _contrast(one, unlike) > 130]
        base = np.array(rest[int(random.integers(len(rest)))])
        jittered = np.clip(base + random.normal(0, difficulty.COLOUR_JITTER, 3), 12, 245)
        red, green, blue = (float(level) for level in jittered)
        return red, green, blue

    hair_style = choose(_HAIR_STYLES, _HAIR_SHARES)
    feminine = hair_style in ("bob", "long", "ponytail", "bun") or random.random() < 0.15
    bottom_kind = (
        choose(("trousers", "shorts", "skirt", "dress"), (0.52, 0.10, 0.24, 0.14))
        if feminine
        else choose(("trousers", "shorts"), (0.78, 0.22))
    )
    top = colour(_TOPS)
    skin = _SKINS[int(random.integers(len(_SKINS)))]
    dark_skinned = sum(skin) < 400
    hair = _HAIRS[int(random.integers(2 if dark_skinned else len(_HAIRS)))]
    bottom_length = {
        "trousers": 0.0,
        "shorts": float(random.uniform(0.26, 0.33)),
        "skirt": float(random.uniform(0.16, 0.34)),
        "dress": float(random.uniform(0.18, 0.34)),
    }[bottom_kind]
    return Person(
        build=float(np.clip(random.normal(0.94 if feminine else 1.04, 0.11), 0.78, 1.36)),
        leg=float(random.uniform(0.465, 0.52)),
        head=float(random.uniform(0.94, 1.08)),
        skin=skin,
        hair_style=hair_style,
        hair=hair,
        beard=not feminine and random.random() < 0.35,
        top=top,
        top_second=colour(_TOPS, unlike=top),
        pattern=choose(_PATTERNS, _PATTERN_SHARES),
        pattern_size=float(random.uniform(0.050, 0.085)),
        long_sleeves=random.random() < 0.6,
        top_length=float(random.choice([0.02, 0.05, 0.16], p=[0.4, 0.4, 0.2])),
        bottom_kind=bottom_kind,
        bottom=top if bottom_kind == "dress" else colour(_BOTTOMS),
        bottom_length=bottom_length,
        trouser_width=float(random.uniform(0.82, 1.3)),
        shoes=colour(_SHOES),
        bag_kind=choose(("none", "backpack", "handbag", "satchel"), (0.48, 0.22, 0.16, 0.14)),
        bag=colour(_BAGS),
        bag_side=int(random.choice([-1, 1])),
        hat_kind=choose(("none", "cap", "beanie", "brim"), (0.74, 0.11, 0.09, 0.06)),
        hat=colour(_TOPS),
        stride=float(random.uniform(0.30, 0.46)),
    )


def _contrast(one: Colour, other: Colour) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))
