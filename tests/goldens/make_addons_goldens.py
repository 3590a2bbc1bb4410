"""Writes what tensorflow-addons answers: inputs, loss values and gradients.

tensorflow-addons imports neither with Keras 3 nor with a current TensorFlow, so this runs in an
environment of its own, and the tests compare with the file that it leaves:

    python3.11 -m venv addons
    addons/bin/pip install tensorflow-cpu==2.15.1 tensorflow-addons==0.23.0 "numpy<2"
    addons/bin/python tests/goldens/make_addons_goldens.py tests/goldens/tensorflow_addons.npz

`check_addons_goldens.py` compares a file made afresh with the stored one and with our losses.
"""

import argparse
from pathlib import Path

import numpy as np

BATCHES, ROWS, DIMENSIONS = 50, 16, 8
MARGIN = 1.0
METRICS = ("L2", "squared-L2", "angular")


def draw_batches():
    """Draws embeddings, `(batches, rows, dimensions)`, and labels, `(batches, rows)`.

    Every second batch has embeddings of length 1. Each person has at least two rows: what
    tensorflow-addons answers for people with one row depends on where its masks happen to point.
    """
    random = np.random.default_rng(20240501)
    embeddings = random.normal(size=(BATCHES, ROWS, DIMENSIONS)).astype(np.float32)
    embeddings[::2] /= np.linalg.norm(embeddings[::2], axis=2, keepdims=True)
    labels = np.empty((BATCHES, ROWS), np.int32)
    for row in labels:
        people = random.integers(2, ROWS // 2 + 1)
        numbers = random.choice(1000, size=people, replace=False)
        others = random.choice(numbers, size=ROWS - 2 * people)
        row[:] = random.permutation(np.concatenate([numbers, numbers, others]))
        if random.random() < 0.5:  # else consecutive rows would rarely show the same person
            row.sort()
    return embeddings, labels


def list_losses():
    """Returns functions of TensorFlow tensors (labels, embeddings), by name."""
    import tensorflow as tf
    import tensorflow_addons as tfa

    def contrastive(labels, embeddings):
        distances = tf.norm(embeddings[0::2] - embeddings[1::2], axis=1)
        same = labels[0::2] == labels[1::2]
        return tf.reduce_mean(tfa.losses.contrastive_loss(same, distances, margin=MARGIN))

    losses = {"contrastive": contrastive}
    for metric in METRICS:
        losses[f"semi_hard {metric}"] = tfa.losses.TripletSemiHardLoss(MARGIN, metric)
        losses[f"hard {metric}"] = tfa.losses.TripletHardLoss(MARGIN, False, metric)
        losses[f"soft_hard {metric}"] = tfa.losses.TripletHardLoss(MARGIN, True, metric)
    return losses


def main():
    """Writes the file."""
    import tensorflow as tf

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="the .npz file to write")
    output = parser.parse_args().output
    embeddings, labels = draw_batches()
    arrays = {"embeddings": embeddings, "labels": labels}
    for name, loss in list_losses().items():
        values, gradients = [], []
        for batch_embeddings, batch_labels in zip(embeddings, labels, strict=True):
            rows = tf.constant(batch_embeddings)
            with tf.GradientTape() as tape:
                tape.watch(rows)
                value = loss(tf.constant(batch_labels), rows)
            values.append(value.numpy())
            gradients.append(tape.gradient(value, rows).numpy())
        arrays[f"{name} values"] = np.array(values, np.float32)
        arrays[f"{name} gradients"] = np.array(gradients, np.float32)
    np.savez_compressed(output, **arrays)


if __name__ == "__main__":
    main()
