"""Does `siamese calibrate`, without a label, keep its promise on cameras that nobody has measured?

The people of a dataset are split in two halves at random. The crops of one half, their people not
told, make a profile for 1 % of strangers; the pairs of the other half, their people known, say what
it accepts. Printed over the splits: what the model's own threshold accepts, what the profile's
accepts and how often its 95 % interval holds that, and the EER and the share of true pairs accepted
at 1 % of strangers, without and with embeddings standardised by camera.

    python benchmarks/calibration.py [--data FOLDER ...] [--dark FOLDER ...] [--model MODEL]

Without folders the people are drawn. `--dark` makes other cameras of the images: grey, blurred,
darker and compressed. `--people` leaves the first people by number out, whom a model may know.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from fine_tuning import darken

from siamese.datasets import Sample
from siamese.embeddings import list_all
from siamese.inference import Model, load_model
from siamese.metrics.masks import DISTRACTORS
from siamese.metrics.pairs import count_pairs
from siamese.metrics.unlabelled import (
    bootstrap_unlabelled,
    calibrate_unlabelled,
    camera_statistics,
    count_unlabelled,
    standardise,
)
from siamese.metrics.verification import (
    equal_error_rate,
    error_curves,
    error_rates_at,
    operating_point,
)
from siamese.synthetic import write_mars_tree

PROMISE = 0.01


def main() -> None:
    """Prints a line a dataset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="dataset folders")
    parser.add_argument("--dark", type=Path, nargs="*", default=[], help="the same, darkened")
    parser.add_argument("--model", default="pretrained", help="the model to be calibrated")
    parser.add_argument("--splits", type=int, default=10, help="random halves of the people")
    parser.add_argument("--people", type=int, default=0, help="people left out, by number")
    options = parser.parse_args()
    model = load_model(options.model)
    print(f"{model.path} ({model.fingerprint}), load {os.getloadavg()[0]:.1f}")
    sources = [(folder, False) for folder in options.data] + [(f, True) for f in options.dark]
    with tempfile.TemporaryDirectory() as temporary:
        if not sources:
            write_mars_tree(temporary, people=100, cameras=4, frames=2, seed=5)
            sources = [(Path(temporary), False)]
        for folder, dark in sources:
            samples = _keep(list_all(folder), options.people)
            _measure(folder.name + " dark" * dark, model, samples, dark, options.splits)


def _keep(samples: list[Sample], left_out: int) -> list[Sample]:
    people = sorted({each.person for each in samples} - {"", *DISTRACTORS})[left_out:]
    return [each for each in samples if each.person in set(people)]


def _measure(name: str, model: Model, samples: list[Sample], dark: bool, splits: int) -> None:
    embeddings = model.embed([darken(each.path) if dark else each.path for each in samples])
    people = np.array([each.person for each in samples])
    cameras = np.array([each.camera for each in samples], np.int64)
    tracklets = np.array([each.tracklet for each in samples], np.int64)
    names = np.unique(people)
    random = np.random.default_rng(0)
    own, found, held, scores = [], [], 0, []
    for _ in range(splits):
        first = np.isin(people, random.permutation(names)[: len(names) // 2])
        known = embeddings[first], cameras[first], tracklets[first]
        statistics = camera_statistics(*known[:2])
        rows = standardise(known[0], known[1], statistics)
        calibration, _ = calibrate_unlabelled(
            count_unlabelled(rows, *known[1:]),
            reference=model.calibration,
            false_accept_rate=PROMISE,
        )
        low, high = bootstrap_unlabelled(rows, *known[1:], false_accept_rate=PROMISE)
        judged = standardise(embeddings[~first], cameras[~first], statistics)
        before, after = (
            count_pairs(each, people[~first], cameras[~first])
            for each in (embeddings[~first], judged)
        )
        found.append(error_rates_at(after, calibration.threshold).false_accept_rate)
        held += low <= found[-1] <= high
        if model.calibration is not None:
            own.append(error_rates_at(before, model.calibration.threshold).false_accept_rate)
        scores.append(
            [
                value
                for pairs in (before, after)
                for value in (
                    equal_error_rate(*error_curves(pairs))[0],
                    1 - operating_point(pairs, PROMISE).false_reject_rate,
                )
            ]
        )
    eer, accepted, eer_after, accepted_after = 100 * np.mean(scores, axis=0)
    print(
        f"{name}: {len(samples):,} images, {len(names) // 2} people a half; strangers accepted: "
        f"own threshold {100 * np.mean(own or [np.nan]):.2f} %, profile {100 * np.mean(found):.2f} "
        f"% [{100 * min(found):.2f}, {100 * max(found):.2f}], interval holds {held} of {splits}; "
        f"EER {eer:.1f} -> {eer_after:.1f} %; accepted at 1 % {accepted:.1f} -> "
        f"{accepted_after:.1f} %",
        flush=True,
    )


if __name__ == "__main__":
    main()
