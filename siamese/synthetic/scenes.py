"""The surroundings of the people that a camera sees: one wide picture a camera."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from siamese.synthetic.cameras import make_camera

_STREAM = 4

WIDE, TALL = 4.0, 1.2
"""Size of a scene in crops: how many fit beside and above one another."""

_WALLS = ("bricks", "panels", "shops", "hedge", "plaster", "fence")
_GROUNDS = ("slabs", "asphalt", "cobbles", "lawn", "crossing")

Floats = NDArray[np.float32]


@lru_cache(maxsize=64)
def draw_scene(camera: int, seed: int, height: int, width: int) -> Image.Image:
    """Draws the surroundings of a camera, by number, behind crops of so many pixels.

    Returns:
        An RGB picture of `TALL * height` rows and `WIDE * width` columns.
    """
    random = np.random.default_rng([seed, _STREAM, camera])
    first = np.random.default_rng([seed, _STREAM]).integers(100, size=2)
    rows, columns = round(TALL * height), round(WIDE * width)
    # A camera that looks down sees more ground than wall.
    level = 0.66 - 1.15 * make_camera(camera, seed).elevation
    horizon = round((level + (TALL - 1) / 2) * height)
    wall = _WALLS[(int(first[0]) + camera) % len(_WALLS)]
    ground = _GROUNDS[(int(first[1]) + 2 * camera) % len(_GROUNDS)]
    pixels = np.empty((rows, columns, 3), np.float32)
    pixels[:horizon] = _wall(random, wall, horizon, columns, height)
    pixels[horizon:] = _ground(random, ground, rows - horizon, columns, height)
    pixels *= (0.8 + 0.4 * _clouds(random, rows, columns, 5, 9))[:, :, None]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    _draw_furniture(random, image, horizon, height)
    return image.filter(ImageFilter.GaussianBlur(0.008 * height))


def _clouds(random: np.random.Generator, rows: int, columns: int, down: int, across: int) -> Floats:
    """Smooth noise, 0..1, of some cells down and across."""
    cells = Image.fromarray(random.random((down, across)).astype(np.float32))
    grown = np.asarray(cells.resize((columns, rows), Image.Resampling.BICUBIC))
    return np.asarray(np.clip(grown, 0, 1), np.float32)


def _colour(random: np.random.Generator, low: float, high: float, chroma: float) -> Floats:
    level = random.uniform(low, high)
    return np.clip(level + random.uniform(-chroma, chroma, 3), 15, 245).astype(np.float32)


def _wall(random: np.random.Generator, kind: str, rows: int, columns: int, height: int) -> Floats:
    y = np.arange(rows, dtype=np.float32)[:, None] / height
    x = np.arange(columns, dtype=np.float32)[None, :] / height
    base = _colour(random, 80, 190, 28)
    fine = _clouds(random, rows, columns, max(2, rows // 4), columns // 4)[:, :, None]
    pixels = np.broadcast_to(base, (rows, columns, 3)) * (0.88 + 0.24 * fine)
    if kind == "bricks":
        course = np.floor(y / 0.045)
        joint = ((y / 0.045) % 1 < 0.16) | ((x / 0.11 + 0.5 * (course % 2)) % 1 < 0.07)
        warm = base * np.array([1.05, 0.80, 0.68], np.float32)
        return np.where(joint[:, :, None], pixels * 1.12, warm * (0.82 + 0.3 * fine))
    if kind == "panels":
        joint = (x / 0.42 % 1 < 0.03) | (y / 0.30 % 1 < 0.035)
        return np.where(joint[:, :, None], pixels * 0.62, pixels)
    if kind == "shops":
        inside = (x / 0.75 % 1 > 0.14) & (y > 0.10) & (y < (rows / height) * 0.86)
        glass = _colour(random, 40, 90, 14)
        warmth = _clouds(random, rows, columns, 4, 26)[:, :, None]
        lights = glass + np.array([120, 100, 70], np.float32) * warmth**3
        return np.where(inside[:, :, None], lights, pixels)
    if kind == "hedge":
        leaf = np.array([0.55, 0.80, 0.45], np.float32) * random.uniform(100, 150)
        coarse = _clouds(random, rows, columns, max(2, rows // 14), columns // 14)[:, :, None]
        return np.asarray(leaf * (0.35 + 0.55 * fine + 0.5 * coarse), np.float32)
    if kind == "fence":
        slat = np.abs((x / 0.10 % 1) - 0.5)
        rail = (np.abs(y - 0.18) < 0.02) | (np.abs(y - 0.46) < 0.02)
        shade = np.where(rail, 0.8, np.where(slat > 0.42, 0.45, 1.02 - 0.3 * slat))
        return np.asarray(pixels * shade[:, :, None], np.float32)
    fall = (1.12 - 0.3 * y / max(0.1, rows / height))[:, :, None]
    return np.asarray(pixels * fall, np.float32)


def _ground(random: np.random.Generator, kind: str, rows: int, columns: int, height: int) -> Floats:
    # Distance to the camera shrinks down the picture; joints follow it in perspective.
    y = (np.arange(rows, dtype=np.float32)[:, None] + 0.16 * height) / height
    x = (np.arange(columns, dtype=np.float32)[None, :] - columns / 2) / height
    away, along = 0.5 / y, x / (0.45 + 1.1 * y)
    fine = _clouds(random, rows, columns, max(2, rows // 2), columns // 2)[:, :, None]
    base = _colour(random, 95, 180, 12)
    pixels = np.broadcast_to(base, (rows, columns, 3)) * (0.86 + 0.24 * fine)
    if kind in ("slabs", "cobbles"):
        size = 0.22 if kind == "slabs" else 0.085
        row = np.floor(away / size)
        shifted = along / size + 0.5 * (row % 2)
        joint = (away / size % 1 < 0.09) | (shifted % 1 < 0.07)
        stone = np.sin(row * 12.9 + np.floor(shifted) * 78.2) * 43758.5 % 1
        tinted = pixels * (0.90 + 0.18 * stone[:, :, None])
        return np.asarray(np.where(joint[:, :, None], pixels * 0.68, tinted), np.float32)
    if kind == "lawn":
        grass = np.array([0.62, 0.82, 0.42], np.float32) * random.uniform(110, 160)
        path = np.abs(along - random.uniform(-0.5, 0.5)) < 0.55
        return np.where(path[:, :, None], pixels * 1.08, grass * (0.7 + 0.5 * fine))
    if kind == "crossing":
        dark = pixels * 0.55
        bar = (along / 0.62 % 1 < 0.46) & (away < 1.6)
        return np.asarray(np.where(bar[:, :, None], dark + 110, dark), np.float32)
    return np.asarray(pixels * 0.72, np.float32)


def _draw_furniture(
    random: np.random.Generator, image: Image.Image, horizon: int, height: int
) -> None:
    """Draws poles, doors, posters and long shadows, so that no two windows look alike."""
    draw = ImageDraw.Draw(image, "RGBA")
    columns, rows = image.size
    for _ in range(5):
        left = int(random.uniform(0, columns))
        wide = int(random.uniform(0.10, 0.34) * height)
        red, green, blue = (int(level) for level in _colour(random, 50, 190, 48))
        if random.random() < 0.5:
            top = horizon - int(random.uniform(0.25, 0.6) * height)
            draw.rectangle((left, top, left + wide, horizon), fill=(red, green, blue, 215))
        else:
            top = int(random.uniform(-0.1, 0.3) * height)
            draw.rectangle(
                (left, top, left + wide, top + int(0.22 * height)), fill=(red, green, blue, 225)
            )
    for _ in range(4):
        left = int(random.uniform(0, columns))
        slant = math.tan(random.uniform(-1.0, 1.0)) * height
        wide = int(random.uniform(0.08, 0.3) * height)
        top, low = left + wide, left + wide + slant
        corners = [(left, horizon), (top, horizon), (low, rows), (left + slant, rows)]
        draw.polygon(corners, fill=(0, 0, 0, 58))
    for _ in range(4):
        left = int(random.uniform(0, columns))
        wide = max(2, int(random.uniform(0.018, 0.05) * height))
        grey = int(random.uniform(40, 150))
        foot = horizon + int(random.uniform(0.0, 0.12) * height)
        draw.rectangle((left, 0, left + wide, foot), fill=(grey, grey, grey + 6, 255))
        draw.rectangle((left, 0, left + wide // 3, foot), fill=(255, 255, 255, 50))
