"""Solid shapes in the space about a person, drawn as one camera sees them."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from siamese.synthetic.appearance import Colour

Point = tuple[float, float, float]
"""To the person's left, up from the ground, and forwards; shares of the person's height."""

Floats = NDArray[np.float32]

Texture = Callable[[Floats, Floats], Floats]
"""From the angle about the body (0 in front, radians) and the height above the ground, both
`(rows, columns)`, to how much of the second colour is seen there, 0..1."""

_ARC = 5


def tone(colour: Colour, factor: float) -> tuple[int, int, int]:
    """Darkens (below 1) or lightens (above 1) a colour.

    Example:
        >>> tone((100, 200, 50), 1.5)
        (150, 255, 75)
    """
    red, green, blue = (min(255, max(0, int(level * factor))) for level in colour)
    return red, green, blue


class Canvas:
    """A picture to draw solid shapes on, lit from one side and from above.

    Args:
        image: The RGB picture, drawn on in place.
        turn: Which way the person faces, in radians: 0 to the camera, pi / 2 to the right.
        elevation: How far the camera looks down, in radians.
        scale: Pixels for the person's height, were the camera level.
        origin: Column and row of the point on the ground under the person.
        light: -1 for light from the left of the picture, 1 for light from the right.
    """

    def __init__(
        self,
        image: Image.Image,
        *,
        turn: float,
        elevation: float,
        scale: float,
        origin: tuple[float, float],
        light: int,
    ):
        self.image = image
        self.draw = ImageDraw.Draw(image)
        self.turn = turn
        self.scale = scale
        self.light = light
        self._origin = origin
        self._turn_cosine, self._turn_sine = math.cos(turn), math.sin(turn)
        self._tilt_cosine, self._tilt_sine = math.cos(elevation), math.sin(elevation)

    def depth(self, point: Point) -> float:
        """Measures how far a point is on the camera's side of the person's axis."""
        return point[2] * self._turn_cosine - point[0] * self._turn_sine

    def project(self, point: Point) -> tuple[float, float]:
        """Gives the column and row of a point."""
        across = point[0] * self._turn_cosine + point[2] * self._turn_sine
        down = self.depth(point) * self._tilt_sine - point[1] * self._tilt_cosine
        return self._origin[0] + across * self.scale, self._origin[1] + down * self.scale

    def limb(
        self, joints: Sequence[Point], radii: Sequence[float], colour: Colour, *, shade: float = 1.0
    ) -> None:
        """Draws a rounded limb through some joints, with a radius at each."""
        places = [self.project(joint) for joint in joints]
        sizes = [radius * self.scale for radius in radii]
        # Three tones, side by side: after the picture is halved they read as a round surface.
        for width, offset, light in ((1.0, 0.0, 0.72), (0.82, 0.16, 0.88), (0.5, 0.3, 1.0)):
            fill = tone(colour, light * shade)
            for index in range(len(places) - 1):
                (x0, y0), (x1, y1) = places[index : index + 2]
                r0, r1 = sizes[index : index + 2]
                shift0, shift1 = self.light * offset * r0, self.light * offset * r1
                outline = _capsule(x0 + shift0, y0, x1 + shift1, y1, r0 * width, r1 * width)
                self.draw.polygon(outline, fill=fill)

    def disc(self, centre: tuple[float, float], across: float, down: float, colour: Colour) -> None:
        """Draws a ball or egg; its centre and its two radii are in pixels."""
        x, y = centre
        for size, offset, light in ((1.0, 0.0, 0.74), (0.86, 0.12, 0.90), (0.58, 0.26, 1.02)):
            middle = (x + self.light * offset * across, y - offset * 0.5 * down)
            self.draw.ellipse(around(middle, across * size, down * size), tone(colour, light))

    def strap(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Draws a band through some points."""
        self.draw.line(
            [self.project(point) for point in points],
            fill=tone(colour, 0.8),
            width=max(1, round(width * self.scale)),
            joint="curve",
        )

    def tube(
        self,
        rings: Sequence[tuple[float, float, float, float]],
        colour: Colour,
        *,
        second: Colour | None = None,
        texture: Texture | None = None,
    ) -> None:
        """Draws an upright body of elliptic cross-section.

        Args:
            rings: From top to bottom: height, half width, half depth, and how far forwards.
            colour: Of the surface.
            second: The other colour of a pattern.
            texture: Where the other colour is.
        """
        centres = [self.project((0.0, height, forwards)) for height, _, _, forwards in rings]
        across = [
            math.hypot(half_width * self._turn_cosine, half_depth * self._turn_sine) * self.scale
            for _, half_width, half_depth, _ in rings
        ]
        rows = [row for _, row in centres]
        top, bottom = math.floor(rows[0]), math.ceil(rows[-1])
        columns = [column for column, _ in centres]
        left = math.floor(np.subtract(columns, across).min()) - 1
        right = math.ceil(np.add(columns, across).max()) + 1
        y = np.arange(top, bottom, dtype=np.float32)
        x = np.arange(left, right, dtype=np.float32)
        middle = np.interp(y, rows, columns).astype(np.float32)
        width = np.interp(y, rows, across).astype(np.float32)
        u = (x[None, :] - middle[:, None]) / width[:, None]
        mask = np.clip((1 - np.abs(u)) * width[:, None] + 0.5, 0, 1)
        u = np.clip(u, -1, 1)
        facing = np.sqrt(1 - u * u)
        shade = 0.62 + 0.36 * facing + (0.16 * self.light) * u
        pixels = shade[:, :, None] * np.array(colour, np.float32)
        if texture is not None and second is not None:
            # Seen from above, what is nearest to the camera hangs lowest: stripes curve.
            curve = facing * (0.07 * self._tilt_sine)
            height = np.interp(y, rows, [ring[0] for ring in rings]).astype(np.float32)
            angle = np.arcsin(u) - np.float32(self.turn)
            angle = (angle + np.float32(math.pi)) % np.float32(2 * math.pi) - np.float32(math.pi)
            mix = texture(angle, height[:, None] + curve)
            difference = np.array(second, np.float32) - np.array(colour, np.float32)
            pixels += (shade * mix)[:, :, None] * difference
        self.image.paste(
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)),
            (left, top),
            Image.fromarray((mask * 255).astype(np.uint8)),
        )


def around(
    centre: tuple[float, float], across: float, down: float
) -> tuple[float, float, float, float]:
    """Gives the box about a centre, by half its width and half its height in pixels.

    Example:
        >>> around((5, 5), 1, 2)
        (4, 3, 6, 7)
    """
    x, y = centre
    return x - across, y - down, x + across, y + down


def _capsule(
    x0: float, y0: float, x1: float, y1: float, r0: float, r1: float
) -> list[tuple[float, float]]:
    angle = math.atan2(y1 - y0, x1 - x0)
    points = []
    for x, y, radius, start in ((x0, y0, r0, math.pi / 2), (x1, y1, r1, -math.pi / 2)):
        for step in range(_ARC + 1):
            turned = angle + start + math.pi * step / _ARC
            points.append((x + radius * math.cos(turned), y + radius * math.sin(turned)))
    return points
