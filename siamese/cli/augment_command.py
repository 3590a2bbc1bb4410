"""The command `augment`: what training sees."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from siamese.cli.program import Flag, import_quietly


def augment(
    images: Annotated[list[Path], tyro.conf.Positional],
    recipe: str = "osnet",
    output: Path = Path("augmented.png"),
    copies: int = 9,
    each: Flag = False,
    seed: int = 0,
) -> None:
    """Draw what training sees: each image beside changed copies of it, in one picture.

    Args:
        images: One or more image files.
        recipe: Whose augmentation.
        output: The picture; the first column has the images as they are.
        copies: Changed copies of an image.
        each: Show every augmentation there is by itself, one a row, in place of a recipe's; the
            images come in turn.
        seed: Another seed, other copies.
    """
    from siamese.errors import InputError
    from siamese.recipes import find_recipe

    if not 1 <= copies <= 100:
        raise InputError(f"`copies` must be 1 to 100. Received: {copies}")
    chosen = find_recipe(recipe)
    import_quietly("keras")
    import keras
    import numpy as np

    from siamese import plots
    from siamese.augment import build_augmentation
    from siamese.images import read_image, resize_image

    size = chosen.model.image_size
    crops = [resize_image(read_image(path), size) for path in images]
    options = [("", dataclasses.asdict(chosen.augmentation)) for _ in crops]
    if each:
        options = [(name, {"flip": False, name: value}) for name, value in EACH.items()]
    pictures, captions = [], []
    for row, (name, values) in enumerate(options):
        crop = crops[row % len(crops)]
        batch = np.repeat(crop[None].astype(np.float32), copies, axis=0)
        for layer in build_augmentation(**values, seed=seed + row):
            batch = layer(batch, training=True)
        pictures += [crop, *keras.ops.convert_to_numpy(batch).round().astype(np.uint8)]
        captions += [name or "as it is", *[""] * copies]
    plots.save(plots.plot_images(pictures, captions, columns=copies + 1), output)
    print(f"{len(options)} rows, {copies} changed copies each: {output}")


EACH: dict[str, float] = {
    "flip": True,
    "padding": 10,
    "rotation": 15.0,
    "perspective": 0.4,
    "auto_augment": 1.0,
    "rand_augment": 9.0,
    "aug_mix": 1.0,
    "brightness": 0.3,
    "contrast": 0.5,
    "saturation": 0.6,
    "hue": 0.1,
    "grayscale_patch": 1.0,
    "erasing": 1.0,
}
"""Strong enough to be seen."""
