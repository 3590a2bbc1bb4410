"""Gradients of the losses, against central differences of their values.

The circle loss is not here: its weights are constants for the gradient (Sun et al. 2020), so the
gradient is not that of its value; `test_losses_similarity.py` has its own.
"""

import numpy as np
import pytest
from gradients import differentiate

from siamese import losses

LABELS = np.repeat(np.arange(4), 3).astype(np.int32)
PAIRS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 0], np.int32)  # consecutive: same, different
STEP = 2e-3

OF_EMBEDDINGS = {
    "contrastive": losses.ContrastiveLoss(),
    "contrastive cosine": losses.ContrastiveLoss(distance="cosine", margin=0.9),
    "contrastive all pairs": losses.ContrastiveLoss(pairs="all"),
    "triplet explicit": losses.TripletLoss(mining="explicit"),
    "triplet batch hard": losses.TripletLoss(),
    "triplet batch hard soft": losses.TripletLoss("soft"),
    "triplet batch all": losses.TripletLoss("soft", mining="batch_all"),
    "triplet semi-hard": losses.TripletLoss("soft", mining="semi_hard"),
    "weighted triplet": losses.WeightedTripletLoss(),
    "info_nce": losses.InfoNCELoss(),
    "multi_similarity": losses.MultiSimilarityLoss(epsilon=4.0),
}
OF_SCORES = {
    "softmax": losses.IdentityLoss(),
    "arcface": losses.ArcFaceLoss(scale=4.0),
    "cosface": losses.CosFaceLoss(scale=4.0),
    "centre": losses.CentreLoss(),
}
OF_A_TEACHER = {
    "cosine": losses.EmbeddingDistillationLoss(),
    "relational": losses.RelationalDistillationLoss(),
    "similarity-preserving": losses.SimilarityPreservingLoss(),
}


def check(loss, targets, outputs, rng):
    """Compares the slope along random directions; a kink within a step would show in one alone."""
    run = differentiate(loss)
    value, gradient = run(targets, outputs)
    assert np.isfinite(value)
    assert np.abs(gradient).max() > 1e-4
    right = 0
    for _ in range(12):
        direction = rng.standard_normal(outputs.shape)
        direction = (direction / np.linalg.norm(direction)).astype(np.float32)
        ends = [run(targets, outputs + sign * STEP * direction)[0] for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * STEP)
        right += slope == pytest.approx(float((gradient * direction).sum()), rel=0.02, abs=2e-3)
    assert right >= 11


@pytest.mark.parametrize("name", OF_EMBEDDINGS)
def test_gradients_of_metric_losses(name):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((12, 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = PAIRS if name in ("contrastive", "contrastive cosine") else LABELS
    if name == "triplet explicit":
        labels = np.tile([0, 0, 1], 4).astype(np.int32)
    check(OF_EMBEDDINGS[name], labels, rows, rng)


@pytest.mark.parametrize("name", OF_SCORES)
def test_gradients_of_losses_on_classes(name):
    rng = np.random.default_rng(2)
    scores = rng.uniform(0.05, 0.8, (12, 4)).astype(np.float32)
    check(OF_SCORES[name], LABELS, scores, rng)


@pytest.mark.parametrize("name", OF_A_TEACHER)
def test_gradients_of_imitation(name):
    rng = np.random.default_rng(3)
    teacher, student = (rng.standard_normal((8, 6)).astype(np.float32) for _ in range(2))
    teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
    check(OF_A_TEACHER[name], teacher, student, rng)


def test_gradient_of_the_same_or_different_head():
    rng = np.random.default_rng(4)
    outputs = rng.uniform(0.2, 0.8, (6, 1)).astype(np.float32)
    check(losses.SameDifferentLoss(), PAIRS, outputs, rng)
