"""How far does mean colour alone get on the drawn pedestrians?

Draws the demonstration tree and ranks thirty people of it by nothing but mean colour. Data on
which that works would teach a network nothing else.

    python benchmarks/mean_colour.py [--people 100] [--scored 30] [--seed 0]
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese.synthetic import write_mars_tree

Floats = NDArray[np.float64]


def whole_crop(pixels: Floats) -> Floats:
    """The mean colour of a crop."""
    return np.asarray(pixels.mean(axis=(0, 1)))


def three_thirds(pixels: Floats) -> Floats:
    """The mean colours of the upper, middle and lower third of a crop's middle columns."""
    width = pixels.shape[1]
    middle = pixels[:, width // 4 : width - width // 4]
    return np.concatenate([third.mean(axis=(0, 1)) for third in np.array_split(middle, 3)])


def score(features: Floats, people: Floats, cameras: Floats) -> tuple[float, float]:
    """Rank-1 and mAP of the first image of each person and camera against all images.

    Gallery images of the query's person by the query's camera are left out.
    """
    places = np.stack([people, cameras], axis=1)
    _, queries = np.unique(places, axis=0, return_index=True)
    first, precision = [], []
    for query in queries:
        kept = (people != people[query]) | (cameras != cameras[query])
        distances = np.linalg.norm(features[kept] - features[query], axis=1)
        matches = (people[kept] == people[query])[np.argsort(distances, kind="stable")]
        ranks = np.flatnonzero(matches) + 1
        first.append(matches[0])
        precision.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(first)), float(np.mean(precision))


def main() -> None:
    """Draws, scores and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--cameras", type=int, default=4, choices=range(2, 10))
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--scored", type=int, default=30, help="the last so many people")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "drawn"
        write_mars_tree(
            folder,
            people=options.people,
            cameras=options.cameras,
            frames=options.frames,
            seed=options.seed,
        )
        persons = sorted((folder / "categories").iterdir())[-options.scored :]
        paths = [path for person in persons for path in sorted(person.iterdir())]
        crops = [np.asarray(Image.open(path), np.float64) for path in paths]
    people = np.array([float(path.name[:4]) for path in paths])
    cameras = np.array([float(path.name[5]) for path in paths])
    baselines: dict[str, Callable[[Floats], Floats]] = {
        "whole crop": whole_crop,
        "three thirds": three_thirds,
    }
    print(f"{len(persons)} people, {options.cameras} cameras, {len(paths)} images")
    print(f"{'mean colour of':<16}{'Rank-1':>8}{'mAP':>8}")
    for name, feature in baselines.items():
        rank_1, mean_precision = score(np.array([feature(crop) for crop in crops]), people, cameras)
        print(f"{name:<16}{rank_1:>8.3f}{mean_precision:>8.3f}")


if __name__ == "__main__":
    main()
