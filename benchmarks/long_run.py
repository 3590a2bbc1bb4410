"""Long work in one process: memory, open files, threads and temporary files must not grow.

    python benchmarks/long_run.py                      # all of it, some 15 minutes
    python benchmarks/long_run.py --only gallery --share 0.1

Trains 2,000 steps, embeds 50,000 images, and adds 10,000 images to a gallery and erases their
people, 100 at a time; then looks for them in every byte of the gallery. Prints what the process
holds in each fifth of the time, and exits with 1 where the last fifth holds more than the third.
"""

import argparse
import itertools
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from siamese.gallery import Gallery, GalleryImage
from siamese.inference import load_model
from siamese.recipes import change_recipe, demo
from siamese.records import build_records
from siamese.synthetic import write_mars_tree
from siamese.train import train as run_training
from siamese.train.training_data import open_training_data

STEPS, IMAGES, ADDED, AT_ONCE = 2_000, 50_000, 10_000, 100
ALLOWED = np.array([40.0, 2, 2, 2])
"""How much more the last fifth may hold than the third: MB, open files, threads, temporary files;
memory allocators and thread pools vary by so much."""


def draw(folder: Path, people: int, frames: int = 1) -> Path:
    """Draws people and returns their folder."""
    write_mars_tree(folder / "people", people=people, cameras=2, frames=frames)
    return folder / "people"


def train(folder: Path, share: float) -> str:
    """Trains steps of the recipe `demo`."""
    build_records(draw(folder, people=200, frames=3), folder / "records")
    data = open_training_data(folder / "records", demo(), process=0, processes=1)
    steps = data.batches(0)[1]
    epochs = max(2, round(STEPS * share / steps))
    recipe = change_recipe(demo(), epochs=epochs)
    run_training(folder / "records", recipe, run=folder / "run", log=folder / "log")
    return f"{epochs * steps:,} steps"


def embed(folder: Path, share: float) -> str:
    """Embeds image files, 100 at a time."""
    model, count = load_model("pretrained"), int(IMAGES * share)
    paths = itertools.cycle(sorted(str(path) for path in draw(folder, 100).rglob("*.jpg")))
    for _ in range(0, count, AT_ONCE):
        model.embed(list(itertools.islice(paths, AT_ONCE)))
    return f"{count:,} images embedded"


def change_gallery(folder: Path, share: float) -> str:
    """Adds images to a gallery and erases their people, 100 images at a time."""
    gallery, count = Gallery(folder / "gallery", load_model("pretrained")), int(ADDED * share)
    gallery.add(draw(folder, 20))
    kept, chance = len(gallery), np.random.default_rng(0)
    for done in range(0, count, AT_ONCE):
        images = [
            GalleryImage(str(folder / f"passing{number}.png"), f"erased{number // 5}", 3)
            for number in range(done, done + AT_ONCE)
        ]
        for each in images:
            Image.fromarray(chance.integers(0, 256, (64, 32, 3), np.uint8)).save(each.path)
        gallery.add(images)
        gallery.remove(people={str(each.person) for each in images})
        for each in images:
            Path(each.path).unlink()
    files = [path for path in (folder / "gallery").rglob("*") if path.is_file()]
    found = [path for path in files if any(w in path.read_bytes() for w in (b"erased", b"passing"))]
    if found or len(gallery) != kept:
        sys.exit(f"erased people are still there: {found}, {len(gallery)} images, not {kept}")
    return f"{count:,} images added and erased; no byte of their names in {len(files)} files"


STAGES = {"train": train, "embed": embed, "gallery": change_gallery}


class Watch(threading.Thread):
    """Looks every second at what the process holds."""

    def __init__(self, temporary: Path) -> None:
        super().__init__(daemon=True)
        self.temporary, self.held, self.ended = temporary, [], threading.Event()
        self.start()

    def run(self) -> None:
        """Looks until `ended` is set."""
        while not self.ended.wait(1):
            lines = Path("/proc/self/status").read_text("ascii").splitlines()
            memory = next(float(line.split()[1]) / 1024 for line in lines if "VmRSS" in line)
            threads = next(float(line.split()[1]) for line in lines if "Threads" in line)
            files = len(list(Path("/proc/self/fd").iterdir()))
            self.held.append((memory, files, threads, len(list(self.temporary.iterdir()))))


def main() -> None:
    """Runs the stages and prints a table of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=STAGES)
    parser.add_argument("--share", type=float, default=1.0, help="of the numbers above")
    options = parser.parse_args()
    grew = False
    for name in [options.only] if options.only else STAGES:
        with tempfile.TemporaryDirectory() as scratch:
            temporary = Path(scratch) / "temporary"
            temporary.mkdir()
            tempfile.tempdir = str(temporary)
            watch = Watch(temporary)
            said = STAGES[name](Path(scratch), options.share)
            watch.ended.set()
            watch.join()
            tempfile.tempdir = None
        fifths = [part.mean(axis=0) for part in np.array_split(np.array(watch.held, float), 5)]
        print(f"{name}: {said}, {len(watch.held)} s")
        print(f"{'fifth':>7}{'MB':>8}{'files':>8}{'threads':>9}{'temporary':>11}")
        for number, (memory, files, threads, left) in enumerate(fifths, 1):
            print(f"{number:>7}{memory:>8.0f}{files:>8.1f}{threads:>9.1f}{left:>11.1f}")
        grew |= bool((fifths[4] - fifths[2] > ALLOWED).any())
    sys.exit(grew)


if __name__ == "__main__":
    main()
