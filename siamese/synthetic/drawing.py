"""One crop: a person before a scene, through a camera."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from siamese.errors import InputError
from siamese.synthetic import difficulty
from siamese.synthetic.appearance import describe_person
from siamese.synthetic.cameras import Camera, develop, make_camera
from siamese.synthetic.canvas import Canvas, around
from siamese.synthetic.figure import draw_figure
from siamese.synthetic.scenes import TALL, WIDE, draw_scene

_STREAM = 5
_FRAME_STREAM = 6
_OVERSAMPLING = 2
_STEP = 0.62
"""Radians of a step between two frames: about ten frames a stride."""


@dataclass(frozen=True)
class _Tracklet:
    turn: float
    phase: float
    place: float
    gains: tuple[float, float, float]
    occluder: str
    occluder_place: float
    occluder_colour: tuple[int, int, int]
    occluder_drift: float


def draw_pedestrian(
    person: int,
    camera: int,
    tracklet: int,
    frame: int,
    *,
    seed: int = 0,
    image_size: tuple[int, int] = (128, 64),
) -> NDArray[np.uint8]:
    """Draws a crop of a pedestrian, the same for the same arguments.

    A person keeps body, hair, clothes and belongings everywhere; a camera keeps its view, colours
    and surroundings; a tracklet keeps a direction and a light; a frame is a moment of the walk.
    Each looks the same whichever others are drawn.

    Args:
        person: The person's number, 0 or more.
        camera: The camera's number, 0 or more.
        tracklet: The number of the person's passage before the camera, 0 or more.
        frame: The number of the picture in the tracklet, 0 or more.
        seed: Another one draws other people and other cameras; 0 or more.
        image_size: Height and width in pixels, 32 x 16 or more.

    Returns:
        RGB pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: A number is negative, or the image size is too small.

    Example:
        >>> draw_pedestrian(1, camera=2, tracklet=1, frame=1).shape
        (128, 64, 3)
    """
    numbers = {"person": person, "camera": camera, "tracklet": tracklet, "frame": frame}
    for name, number in {**numbers, "seed": seed}.items():
        if number < 0:
            raise InputError(f"`{name}` must be >= 0. Received: {name}={number}")
    height, width = image_size
    if height < 32 or width < 16:
        raise InputError(
            f"`image_size` must be (height, width) of at least (32, 16). Received: {image_size}"
        )
    who, where = describe_person(person, seed), make_camera(camera, seed)
    passage = _describe_tracklet(person, camera, tracklet, seed)
    random = np.random.default_rng([seed, _FRAME_STREAM, person, camera, tracklet, frame])
    tall, wide = height * _OVERSAMPLING, width * _OVERSAMPLING

    image = _window(draw_scene(camera, seed, tall, wide), passage, frame, random, tall, wide)
    scale = tall * where.fill * math.exp(random.normal(0, difficulty.BOX_SCALE))
    scale /= math.cos(where.elevation) + 0.10 * math.sin(where.elevation)
    centre = wide / 2 + random.normal(0, difficulty.BOX_SHIFT) * tall
    below = 0.08 * scale * math.sin(where.elevation)
    middle = 0.5 * scale * math.cos(where.elevation)
    ground = tall / 2 + middle - below / 2 + random.normal(0, difficulty.BOX_SHIFT / 2) * tall
    _cast_shadow(image, where, centre, ground, scale)
    canvas = Canvas(
        image,
        turn=_wrapped(passage.turn + random.normal(0, math.radians(4))),
        elevation=where.elevation,
        scale=scale,
        origin=(centre, ground),
        light=where.light,
    )
    phase = passage.phase + _STEP * frame + random.normal(0, 0.1)
    draw_figure(canvas, who, phase, who.stride)
    _draw_occluder(image, passage, frame)
    return develop(image.reduce(_OVERSAMPLING), where, np.array(passage.gains), random)


@lru_cache(maxsize=256)
def _describe_tracklet(person: int, camera: int, tracklet: int, seed: int) -> _Tracklet:
    random = np.random.default_rng([seed, _STREAM, person, camera, tracklet])
    turn = make_camera(camera, seed).turn
    turn += random.normal(0, math.radians(difficulty.TURN_SPREAD))
    if random.random() < difficulty.TURNED_BACK:
        turn += math.pi
    brightness = random.normal(0, difficulty.TRACKLET_LIGHT)
    red, green, blue = np.exp(brightness + random.normal(0, difficulty.TRACKLET_CAST, 3))
    hidden = random.random() < difficulty.OCCLUSION
    colour = random.integers(30, 210, 3)
    return _Tracklet(
        turn=turn,
        phase=float(random.uniform(0, 2 * math.pi)),
        place=float(random.random()),
        gains=(float(red), float(green), float(blue)),
        occluder=str(random.choice(["pole", "passer-by", "hedge"])) if hidden else "none",
        occluder_place=float(random.uniform(0.1, 0.9)),
        occluder_colour=(int(colour[0]), int(colour[1]), int(colour[2])),
        occluder_drift=float(random.choice([-1, 1]) * random.uniform(0.03, 0.08)),
    )


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _window(
    scene: Image.Image,
    passage: _Tracklet,
    frame: int,
    random: np.random.Generator,
    height: int,
    width: int,
) -> Image.Image:
    """Cuts out what lies behind the person; it glides by as the person walks across."""
    room_across, room_down = WIDE - 1.0, TALL - 1.0
    across = passage.place * room_across + 0.06 * frame * math.sin(passage.turn)
    across = abs((across + room_across) % (2 * room_across) - room_across)  # there and back
    down = room_down * (0.5 + float(np.clip(random.normal(0, 0.15), -0.5, 0.5)))
    left, top = int(across * width), int(down * height)
    return scene.crop((left, top, left + width, top + height))


@lru_cache(maxsize=1)
def _soft_ellipse() -> Image.Image:
    mask = Image.new("L", (96, 48))
    ImageDraw.Draw(mask).ellipse((14, 10, 82, 38), fill=150)
    return mask.filter(ImageFilter.GaussianBlur(6))


def _cast_shadow(
    image: Image.Image, camera: Camera, centre: float, ground: float, scale: float
) -> None:
    across, down = int(0.5 * scale), max(4, int(scale * (0.07 + 0.2 * math.sin(camera.elevation))))
    mask = _soft_ellipse().resize((across, down))
    left = int(centre - across / 2 - camera.light * 0.10 * scale)
    image.paste((16, 16, 24), (left, int(ground - down / 2)), mask)


def _draw_occluder(image: Image.Image, passage: _Tracklet, frame: int) -> None:
    if passage.occluder == "none":
        return
    width, height = image.size
    place = (passage.occluder_place + passage.occluder_drift * frame) % 1.0
    draw = ImageDraw.Draw(image)
    if passage.occluder == "pole":
        left, wide = place * width, 0.10 * width
        for share, shade in ((1.0, 0.5), (0.7, 0.7), (0.35, 0.85)):
            draw.rectangle((left, 0, left + wide * share, height), fill=(int(150 * shade),) * 3)
    elif passage.occluder == "hedge":
        top = (0.78 + 0.1 * place) * height
        random = np.random.default_rng(passage.occluder_colour)
        for column in np.linspace(0, width, 16):
            size = height * random.uniform(0.03, 0.06)
            draw.ellipse(around((column, top), size, size), fill=(58, 84, 48))
        draw.rectangle((0, top, width, height), fill=(50, 74, 42))
    else:
        # Somebody else's head, arm and leg, cut off by the edge of the crop.
        edge = 0.0 if passage.occluder_drift > 0 else float(width)
        reach = (0.08 + 0.08 * place) * width
        for top, bottom, share, fill in (
            (0.55, 1.10, 1.0, (52, 54, 66)),
            (0.19, 0.60, 1.45, passage.occluder_colour),
            (0.05, 0.19, 0.75, (70, 52, 44)),
        ):
            draw.rounded_rectangle(
                (edge - reach * share, top * height, edge + reach * share, bottom * height),
                radius=reach * 0.75,
                fill=fill,
            )
