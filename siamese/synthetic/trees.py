"""Drawn pedestrians as folders of files with MARS names."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from siamese.errors import InputError
from siamese.synthetic.drawing import draw_pedestrian

MARKER = "drawn.json"
"""Name of the file in a finished tree that says what was asked for."""

_DRAWING = 1
"""Number of the drawing: raise it with every change to what is drawn, so that old trees are seen to
be old."""

_SCRATCH = ".drawing-"
_QUALITY = 92
_LIMITS = {"people": (1, 8999), "cameras": (1, 9), "frames": (1, 999), "seed": (0, 2**32 - 1)}
_TEST_IMAGES = (
    (9001, 1, 2), (9001, 3, 4), (9002, 2, 1), (9002, 4, 3), (9003, 1, 5), (9003, 2, 2), (9003, 3, 1)
)  # fmt: skip
"""Person, camera and frame of each."""


def write_mars_tree(
    folder: Path,
    *,
    people: int = 100,
    cameras: int = 4,
    frames: int = 6,
    seed: int = 0,
    image_size: tuple[int, int] = (128, 64),
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes `folder/categories/0001/0001C1T0001F001.jpg` and so on.

    Every person passes every camera once. The tree appears when it is complete; a complete one of
    the same arguments is left alone.

    Args:
        folder: Where; it must not exist, be empty, or hold a tree of the same arguments.
        people: How many, numbered from 1; at most 8999.
        cameras: How many, numbered from 1; at most 9.
        frames: Images of each person by each camera, numbered from 1; at most 999.
        seed: Another one draws other people and other cameras.
        image_size: Height and width in pixels.
        progress: Called after each person with the images written and the images in all.

    Returns:
        The number of images in the tree.

    Raises:
        InputError: A number is out of its range, or the folder holds something else.
    """
    folder = Path(folder).absolute()
    numbers = {"people": people, "cameras": cameras, "frames": frames, "seed": seed}
    for name, number in numbers.items():
        low, high = _LIMITS[name]
        if not low <= number <= high:
            raise InputError(f"`{name}` must be {low}..{high}. Received: {name}={number}")
    asked = {"drawing": _DRAWING, **numbers, "image_size": list(image_size)}
    total = people * cameras * frames
    if _holds(folder, asked):
        return total
    # An empty folder stays: it may be a mount point or somebody's working directory.
    there = folder.is_dir()
    home = folder if there else folder.parent
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=_SCRATCH) as scratch:
        tree = Path(scratch) / "tree"
        for person in range(1, people + 1):
            (tree / "categories" / f"{person:04d}").mkdir(parents=True)
            for camera in range(1, cameras + 1):
                for frame in range(1, frames + 1):
                    path = tree / "categories" / f"{person:04d}" / _name(person, camera, frame)
                    _write_image(path, person, camera, frame, seed, image_size)
            if progress is not None:
                progress(person * cameras * frames, total)
        (tree / MARKER).write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
        if there:
            for name in ("categories", MARKER):  # the marker last: with it the tree is whole
                (tree / name).rename(folder / name)
        else:
            tree.rename(folder)
    for left in folder.glob(f"{_SCRATCH}*"):  # of a killed process
        shutil.rmtree(left, ignore_errors=True)
    return total


def write_test_images(folder: Path) -> list[Path]:
    """Writes seven images of three people, to try a trained model on.

    The people's numbers start at 9001: they are never in a tree that `write_mars_tree` writes. The
    cameras are those of its seed 0. The folder is made if need be; files of these names are written
    anew.

    Returns:
        The files, two of the first person, two of the second and three of the third.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for person, camera, frame in _TEST_IMAGES:
        path = folder / _name(person, camera, frame)
        _write_image(path, person, camera, frame, 0, (128, 64))
        paths.append(path)
    return paths


def _name(person: int, camera: int, frame: int) -> str:
    return f"{person:04d}C{camera}T0001F{frame:03d}.jpg"


def _write_image(
    path: Path, person: int, camera: int, frame: int, seed: int, image_size: tuple[int, int]
) -> None:
    pixels = draw_pedestrian(person, camera, 1, frame, seed=seed, image_size=image_size)
    Image.fromarray(pixels).save(path, quality=_QUALITY)


def _holds(folder: Path, asked: dict[str, object]) -> bool:
    """Tells whether the folder already holds the tree asked for; nothing else may be there."""
    if not folder.exists():
        return False
    if folder.is_dir() and all(each.name.startswith(_SCRATCH) for each in folder.iterdir()):
        return False
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{folder}: is there and was not drawn by this command. Name another folder."
        ) from None
    if found != asked:
        raise InputError(
            f"{folder}: holds pedestrians drawn as {json.dumps(found)}, not as "
            f"{json.dumps(asked)}. Remove it or name another folder."
        )
    return True
