"""The looks of a drawn person: body, hair, clothes and belongings."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import ImageColor

from siamese.synthetic import difficulty

Colour = tuple[float, float, float]
"""Red, green and blue, each 0..255."""

_STREAM = 1


def _palette(colours: str) -> tuple[Colour, ...]:
    return tuple(ImageColor.getrgb(f"#{colour}")[:3] for colour in colours.split())


_TOPS = _palette(
    "2c2c32 e2dfd6 84868c 263460 4270b4 b4322e 38744c d4a43e bca482 70283a 327e84 d68e9e"
)
_BOTTOMS = _palette("2a2a30 2c3a5e 6c8ab0 74767c a4906c 5c4434 cecac0 545c3c")
_SHOES = _palette("242224 e8e6e2 62402a aa3430 46608c")
_BAGS = _palette("28282e 966038 b23a34 3a5884 ccaa54 546448")
_SKINS = _palette("f4d0b6 e6b898 ce9c78 a47252 7a523a 5a3c2e")
_HAIRS = _palette("221c1c 462e22 764e30 ceaa68 964828 b0aeac")

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
    """Says what a person looks like, by number, whoever else is drawn with the same seed."""
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
