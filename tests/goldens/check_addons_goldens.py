"""Compares answers of tensorflow-addons made afresh with the stored ones and with our losses.

Runs in the product's own environment, after `make_addons_goldens.py` in the other one:

    python tests/goldens/check_addons_goldens.py fresh.npz

Exits with 1 when a largest absolute difference exceeds 1e-5.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

STORED = Path(__file__).with_name("tensorflow_addons.npz")
TOLERANCE = 1e-5


def list_our_losses():
    """Returns our loss for each name in the file."""
    from siamese.losses import ContrastiveLoss, TripletLoss

    losses = {"contrastive": ContrastiveLoss(margin=1.0)}
    kinds = (("L2", "euclidean"), ("squared-L2", "squared_euclidean"), ("angular", "cosine"))
    for metric, distance in kinds:
        losses[f"semi_hard {metric}"] = TripletLoss(1.0, "semi_hard", distance)
        losses[f"hard {metric}"] = TripletLoss(1.0, "batch_hard", distance)
        losses[f"soft_hard {metric}"] = TripletLoss("soft", "batch_hard", distance)
    return losses


def differences_from_ours(goldens):
    """Returns the largest absolute differences, of values and of gradients, by name."""
    from gradients import differentiate

    differences = {}
    for name, loss in list_our_losses().items():
        run = differentiate(loss)
        batches = zip(goldens["labels"], goldens["embeddings"], strict=True)
        answers = [run(labels, embeddings) for labels, embeddings in batches]
        values, gradients = (np.array(column) for column in zip(*answers, strict=True))
        differences[name] = (
            float(np.abs(values - goldens[f"{name} values"]).max()),
            float(np.abs(gradients - goldens[f"{name} gradients"]).max()),
        )
    return differences


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fresh", type=Path, help="what make_addons_goldens.py wrote")
    fresh, stored = np.load(parser.parse_args().fresh), np.load(STORED)
    if set(fresh) != set(stored):
        sys.exit(f"The files hold different arrays: {sorted(set(fresh) ^ set(stored))}")
    # The gradient helper lies beside the tests, one folder up.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    worst = max(float(np.abs(fresh[key] - stored[key]).max()) for key in stored)
    write = sys.stdout.write
    write(f"fresh and stored answers of tensorflow-addons: {worst:.1e} apart at most\n\n")
    write(
        f"| {'loss':22} | {'values':>8} | {'gradients':>9} |\n|{'-' * 24}|---------:|----------:|\n"
    )
    for name, (values, gradients) in differences_from_ours(fresh).items():
        write(f"| {name:22} | {values:8.1e} | {gradients:9.1e} |\n")
        worst = max(worst, values, gradients)
    sys.exit(0 if worst <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
