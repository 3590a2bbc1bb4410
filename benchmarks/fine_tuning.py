"""How much does the recipe `fine_tune` gain on cameras that the pretrained model does not know?

Half of the people of a dataset train; the other half is scored, with the model as it comes and with
the one that was trained from it. Printed: both scores, whether the difference is more than noise,
and the minutes that training took.

    python benchmarks/fine_tuning.py [--data FOLDER] [--dark] [--epochs 15]

Without `--data` the people are drawn. `--dark` makes a new camera of the images: grey, blurred,
darker and compressed. `--data` is a dataset folder whose query and gallery folders hold people that
the model has not seen; their images are used, and no others.
"""

import argparse
import csv
import io
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageFilter

from siamese.datasets import Sample, list_samples
from siamese.synthetic import write_mars_tree


def main() -> None:
    """Splits, scores, trains, scores and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="a dataset folder; drawn people by default")
    parser.add_argument("--dark", action="store_true", help="as another camera would see them")
    parser.add_argument("--epochs", type=int, help="of the training; by default the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of people")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        halves = split_people(_samples(options.data, scratch), options.seed)
        if options.dark:
            halves = [[_darken(each, scratch / "dark") for each in half] for half in halves]
        tables = [scratch / "train.csv", scratch / "score.csv"]
        for table, half in zip(tables, halves, strict=True):
            write_table(table, half)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        for what, half in zip(("trains", "is scored"), halves, strict=True):
            people = len({sample.person for sample in half})
            print(f"half that {what}: {people} people, {len(half):,} images")
        _compare(tables[0], tables[1], scratch, options.epochs)


def _samples(data: Path | None, scratch: Path) -> list[Sample]:
    if data is not None:
        return [each for part in ("query", "gallery") for each in list_samples(data, part)]
    write_mars_tree(scratch / "drawn", people=100, cameras=4, frames=2, seed=5)
    return list_samples(scratch / "drawn", "all")


def split_people(samples: Sequence[Sample], seed: int) -> list[list[Sample]]:
    """Splits images by people: those of a half that is drawn, and the others."""
    people = sorted({sample.person for sample in samples})
    first = set(random.Random(seed).sample(people, len(people) // 2))
    return [
        [sample for sample in samples if (sample.person in first) == wanted]
        for wanted in (True, False)
    ]


def darken(path: str) -> bytes:
    """Makes a JPEG file of an image as another camera would see it: grey, blurred and darker."""
    with Image.open(path) as image:
        grey = image.convert("L").filter(ImageFilter.GaussianBlur(1))
    dark = grey.point([round(255 * (value / 255) ** 1.5) for value in range(256)])
    compressed = io.BytesIO()
    dark.convert("RGB").save(compressed, "JPEG", quality=70)
    return compressed.getvalue()


def _darken(sample: Sample, folder: Path) -> Sample:
    folder.mkdir(exist_ok=True)
    path = folder / f"{Path(sample.path).parent.name}-{Path(sample.path).name}"
    path.write_bytes(darken(sample.path))
    return Sample(str(path), sample.person, sample.camera)


def write_table(table: Path, samples: Sequence[Sample]) -> None:
    """Writes images as a dataset: identity, path, camera."""
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["identity", "path", "camera"])
        writer.writerows([each.person, Path(each.path).absolute(), each.camera] for each in samples)


def _compare(train_table: Path, score_table: Path, scratch: Path, epochs: int | None) -> None:
    from siamese.evaluate import compare_scores, evaluate
    from siamese.models.transfer import PRETRAINED, architecture_of
    from siamese.recipes import change_recipe, fine_tune
    from siamese.records import build_records
    from siamese.train import train

    size = architecture_of("pretrained")["image_size"]
    recipe = change_recipe(fine_tune(), image_size=size, epochs=epochs)
    cards = [evaluate(PRETRAINED, score_table, output=scratch / "before")]
    started = time.perf_counter()
    records = build_records(train_table, scratch / "records")[0]
    run = train(records, recipe, run=scratch / "run", log=scratch / "log")
    minutes = (time.perf_counter() - started) / 60
    cards.append(evaluate(run.folder / "model.keras", score_table, output=scratch / "after"))
    print(f"{'':<24}{'Rank-1':>8}{'mAP':>8}{'EER':>8}")
    for name, card in zip(("the pretrained model", "trained from it"), cards, strict=True):
        print(f"{name:<24}{card.rank1:>8.3f}{card.mAP:>8.3f}{card.eer:>8.3f}")
        promised, measured = card.calibration.promised_rates[0], card.calibration.measured_rates[0]
        print(f"{'':<24}strangers accepted: {promised:.1%} promised, {measured:.1%} measured")
    print(compare_scores(scratch / "before", scratch / "after").verdict())
    print(f"training took {minutes:.1f} minutes, records and scores of its held-out people in it")


if __name__ == "__main__":
    main()
