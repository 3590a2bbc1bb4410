"""Which measure tells, without labels, that a model's false-accept rate does not hold?

For each dataset: the share of pairs of two people that the model's own threshold accepts (people
known), and the measures that know nobody. `unlike`: the share of pairs of images, drawn at random,
beyond the limit of `siamese.metrics.likeness`, which one pair can tell. `crowding`: the mean cosine
of all pairs of embeddings, less that of the calibration's images. `Mahalanobis`: the share of
embeddings beyond the distance from the mean that 95 % of the calibration's have, over 32 principal
components. Printed last: the rank correlation of each with the false-accept rate; drawn: both of
the first.

    python benchmarks/likeness.py [--model MODEL] [--home FOLDER[=SLICE] --data FOLDER ...]
        [--changed FOLDER] [--images 500] [--plot likeness.png]

`--home` are the images of the model's calibration, as `tools/add_likeness.py` takes them.
`--changed` makes other cameras of one dataset: dim, dark, blurred, compressed. Without options
people are drawn.
"""

import argparse
import io
import os
import runpy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fine_tuning import darken
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.stats import spearmanr

from siamese.datasets import Sample
from siamese.images import read_image
from siamese.inference import Model, load_model
from siamese.metrics.likeness import Likeness, fit_likeness, measure_appearance
from siamese.metrics.pairs import count_pairs
from siamese.metrics.verification import error_rates_at
from siamese.synthetic import write_mars_tree

list_source: Callable[[str], list[Sample]] = runpy.run_path(
    str(Path(__file__).parents[1] / "tools" / "add_likeness.py")
)["list_source"]
COMPONENTS = 32


@dataclass(frozen=True)
class Crops:
    """Embeddings `(images, dimensions)`, appearances `(images, 5)`, people and cameras."""

    rows: NDArray[np.float32]
    looks: NDArray[np.float64]
    people: NDArray[np.str_]
    cameras: NDArray[np.int64]


def main() -> None:
    """Prints a line a dataset and draws the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="pretrained")
    parser.add_argument("--home", help="FOLDER, FOLDER=SLICE or FOLDER=held_out")
    parser.add_argument("--data", nargs="*", default=[], help="the same")
    parser.add_argument("--changed", nargs="*", default=[], help="the same")
    parser.add_argument("--images", type=int, default=500, help="of whole people, of each dataset")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as drawn:
        if options.home is None:
            write_mars_tree(drawn, people=60, cameras=4, frames=2, seed=5)
            options.home, options.data, options.changed = f"{drawn}=:30", [f"{drawn}=30:"], [drawn]
        _measure_all(options)


def _measure_all(options: argparse.Namespace) -> None:
    model = load_model(options.model)
    print(f"{model.path} ({model.fingerprint}), load {os.getloadavg()[0]:.1f}")
    home = _embed(model, list_source(options.home), read_image)
    sources = [(each, "") for each in options.data]
    sources += [(each, change) for each in options.changed for change in CHANGES]
    assert model.calibration is not None
    threshold, found = model.calibration.threshold, []
    for source, change in sources:
        samples = _draw(list_source(source), options.images)
        crops = _embed(model, samples, CHANGES.get(change, read_image))
        folder = Path(source.partition("=")[0])
        if folder.name.startswith("bounding_box"):  # a part, in the folder of the dataset
            folder = folder.parent
        name = f"{folder.name} {change}".strip()
        found.append((name, *measure(crops, home, threshold)))
        print("{}: accepted {:.1%}, unlike {:.0%}, crowding {:.3f}, Mahalanobis {:.0%}".format(
            *found[-1]), flush=True)  # fmt: skip
    report(found, options.plot)


def measure(crops: Crops, home: Crops, threshold: float) -> tuple[float, float, float, float]:
    """Gives the false-accept rate of a threshold and the three measures."""
    counts = count_pairs(crops.rows, crops.people, crops.cameras)
    likeness: Likeness = fit_likeness(home.looks)
    offsets = [each.rows - home.rows.mean(axis=0) for each in (home, crops)]
    _, sizes, axes = np.linalg.svd(offsets[0], full_matrices=False)
    kept = axes[:COMPONENTS].T * (len(home.rows) ** 0.5 / sizes[:COMPONENTS])
    own, other = (((each @ kept) ** 2).sum(axis=1) for each in offsets)
    return (
        error_rates_at(counts, threshold).false_accept_rate,
        likeness.share_unlike(crops.looks),
        _mean_cosine(crops.rows) - _mean_cosine(home.rows),
        float((other > np.quantile(own, 0.95)).mean()),
    )


def report(found: Sequence[tuple[str, float, float, float, float]], path: Path | None) -> None:
    """Prints the rank correlations, and draws the measures against the false-accept rate."""
    columns = np.array([each[1:] for each in found])
    for number, name in enumerate(("unlike", "crowding", "Mahalanobis"), start=1):
        print(f"{name}: rank correlation {spearmanr(columns[:, 0], columns[:, number])[0]:.2f}")
    if path is None:
        return
    from matplotlib.figure import Figure

    from siamese import plots

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    labels = ("pairs of images that are unlike", "crowding of embeddings")
    for place, label, values in zip(axes, labels, columns[:, 1:3].T, strict=True):
        place.scatter(values, columns[:, 0])
        for each, value in zip(found, values, strict=True):
            right = value > 0.55 * values.max()
            place.annotate(
                each[0],
                (value, each[1]),
                xytext=(-6 if right else 6, 0),
                textcoords="offset points",
                ha="right" if right else "left",
                va="center",
                size=9,
            )
        place.axhline(0.01, color="grey", ls="--", lw=1)
        place.set(xlabel=label, yscale="log")
    axes[0].set_ylabel("strangers accepted, 1 % promised")
    plots.save(figure, path)


def _embed(
    model: Model, samples: Sequence[Sample], read: Callable[[str], NDArray[np.uint8]]
) -> Crops:
    images = [read(each.path) for each in samples]
    people = np.array([each.person for each in samples])
    cameras = np.array([each.camera for each in samples], np.int64)
    return Crops(model.embed(images), measure_appearance(images), people, cameras)


def _draw(samples: Sequence[Sample], images: int) -> list[Sample]:
    """Draws people until they have enough images, at most eight of each."""
    people = sorted({each.person for each in samples})
    np.random.default_rng(0).shuffle(people)
    found: list[Sample] = []
    for person in people:
        found += [each for each in samples if each.person == person][:8]
        if len(found) >= images:
            break
    return found


def _mean_cosine(rows: NDArray[np.float32]) -> float:
    total = rows.sum(axis=0, dtype=np.float64)
    return float((total @ total - len(rows)) / (len(rows) * (len(rows) - 1)))


def _blur(path: str) -> NDArray[np.uint8]:
    image = Image.fromarray(read_image(path)).filter(ImageFilter.GaussianBlur(2))
    return np.asarray(image)


def _compress(path: str) -> NDArray[np.uint8]:
    target = io.BytesIO()
    Image.fromarray(read_image(path)).save(target, "JPEG", quality=8)
    return np.asarray(Image.open(target))


def _dim(path: str) -> NDArray[np.uint8]:
    return (read_image(path) * 0.3).astype(np.uint8)


def _darken(path: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(darken(path))).convert("RGB"))


CHANGES: dict[str, Callable[[str], NDArray[np.uint8]]] = {
    "compressed": _compress, "blurred": _blur, "dim": _dim, "dark": _darken,
}  # fmt: skip


if __name__ == "__main__":
    main()
