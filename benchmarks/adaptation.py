"""How much does the recipe `adapt` gain on cameras that the pretrained model does not know?

It is given crops of a dataset under names that say their camera and nothing of who they show; the
same people are scored before and after, and with `--held_out` the other half of them. Printed: the
scores, with embeddings as they are and standardised by camera, and whether the difference is more
than noise.

    python benchmarks/adaptation.py [--data FOLDER] [--people 316] [--held_out] [--dark]

Without `--data` the people are drawn. `--dark` makes a new camera of the images, as
benchmarks/fine_tuning.py does. A folder with query and gallery is scored by these parts' images
alone.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fine_tuning import darken, split_people, write_table

from siamese.datasets import Sample, list_samples, recognise
from siamese.synthetic import write_mars_tree


def main() -> None:
    """Hides who is who, scores, adapts, scores and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="a dataset folder; drawn people by default")
    parser.add_argument("--people", type=int, help="take so many, the first ones by name")
    parser.add_argument("--held_out", action="store_true", help="adapt on half of the people")
    parser.add_argument("--dark", action="store_true", help="as another camera would see them")
    parser.add_argument("--epochs", type=int, help="of the run; by default the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of the run and of the halves")
    parser.add_argument("--set", nargs="*", default=[], help="other fields of the recipe")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        if options.data is None:
            write_mars_tree(scratch / "drawn", people=100, cameras=4, frames=2, seed=5)
        samples = _samples(options.data or scratch / "drawn")
        first = sorted({each.person for each in samples})[: options.people]
        samples = [each for each in samples if each.person in first]
        halves = split_people(samples, options.seed) if options.held_out else [samples, samples]
        crops = _hide(halves[0], scratch / "crops", dark=options.dark)
        scored = _hide(halves[1], scratch / "scored", dark=options.dark)
        table = scratch / "scored.csv"
        write_table(table, scored)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        for what, part in zip(("adapts", "is scored"), (crops, scored), strict=True):
            people = len({sample.person for sample in part})
            print(f"what {what}: {people} people, {len(part):,} crops")
        _compare(table, scratch, options)


def _samples(data: Path) -> list[Sample]:
    if {"query", "gallery"} <= set(recognise(data).parts):
        return [each for part in ("query", "gallery") for each in list_samples(data, part)]
    return list_samples(data, "all")


def _hide(samples: Sequence[Sample], folder: Path, *, dark: bool) -> list[Sample]:
    """Lays images into a folder, in the order of their people and under names that hide them."""
    folder.mkdir()
    hidden = []
    for row, sample in enumerate(samples):
        camera = f"_c{sample.camera}_1" if sample.camera >= 0 else ""
        path = folder / f"{row + 1:05d}{camera}{'.jpg' if dark else Path(sample.path).suffix}"
        path.write_bytes(darken(sample.path) if dark else Path(sample.path).read_bytes())
        hidden.append(replace(sample, path=str(path)))
    return hidden


def _compare(table: Path, scratch: Path, options: argparse.Namespace) -> None:
    from rich.console import Console

    from siamese import calibrate
    from siamese.evaluate import compare_scores, evaluate
    from siamese.models.transfer import PRETRAINED, architecture_of
    from siamese.recipes import adapt, change_recipe, set_fields
    from siamese.train import train

    size = architecture_of("pretrained")["image_size"]
    recipe = set_fields(adapt(), options.set)
    recipe = change_recipe(recipe, image_size=size, epochs=options.epochs, seed=options.seed)

    def score(model: Path, what: str) -> None:
        profile = calibrate(scratch / "crops", model, labels=False)
        output = scratch / what
        for name, each in (("", None), (", by camera", profile)):
            card = evaluate(model, table, output=f"{output}{name}", profile=each)
            tar = (card.tar_at_far or {}).get("0.01", float("nan"))
            print(
                f"{what + name:<20}{card.rank1:>8.3f}{card.mAP:>8.3f}{card.eer:>8.3f}{tar:>8.3f}",
                flush=True,
            )

    print(f"{'':<20}{'Rank-1':>8}{'mAP':>8}{'EER':>8}{'at 1 %':>8}")
    score(PRETRAINED, "before")
    started = time.perf_counter()
    run = train(
        scratch / "crops", recipe, run=scratch / "run", log=scratch / "log", console=Console()
    )
    print(f"adapting took {(time.perf_counter() - started) / 60:.1f} minutes")
    score(run.folder / "model.keras", "after")
    for name in ("", ", by camera"):
        verdict = compare_scores(scratch / f"before{name}", scratch / f"after{name}").verdict()
        print(f"{name.removeprefix(', ') or 'as they are'}: {verdict}")


if __name__ == "__main__":
    main()
