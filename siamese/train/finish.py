"""How a run ends: calibration, the model file, the score card and the pictures."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from siamese import plots
from siamese.evaluate import EmbeddedImages, Scores, pairs_of
from siamese.models.files import save_model
from siamese.recipes import Recipe
from siamese.scores.matches import Matches, query_rows
from siamese.scores.ranking import nearest
from siamese.scores.verification import calibrate
from siamese.train.checkpoints import read_history
from siamese.train.folder import versions
from siamese.train.sources import Source

RANK_LISTS = 6
RANKS = 8


def calibrate_and_save(
    folder: Path,
    recipe: Recipe,
    embedder: keras.Model,
    scores: Scores,
    gallery: EmbeddedImages,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Calibrates, writes the model file and the pictures of the scores.

    Args:
        folder: The run folder.
        recipe: Of the run.
        embedder: The best epoch.
        scores: Of the held-out people.
        gallery: Their embeddings.
        facts: What else the score card says.

    Returns:
        The score card.
    """
    pairs = pairs_of(gallery)
    calibration = calibrate(pairs)
    history = read_history(folder)
    card: dict[str, Any] = {
        **scores.to_dict(),
        **facts,
        "epochs": len(history),
        "images_per_second": float(np.median([row["images_per_second"] for row in history])),
    }
    saved = save_model(
        folder / "model.keras",
        embedder,
        image_size=recipe.model.image_size,
        card={"recipe": recipe.to_dict(), "calibration": calibration.to_dict(), "scores": card},
    )
    middles = (np.arange(len(pairs.same)) + 0.5) * pairs.resolution
    width = max(1, round(0.01 / pairs.resolution))
    bins = len(middles) // width * width
    plots.save(
        plots.plot_distances(
            middles[:bins].reshape(-1, width).mean(1),
            pairs.same[:bins].reshape(-1, width).sum(1),
            pairs.different[:bins].reshape(-1, width).sum(1),
            threshold=calibration.threshold,
        ),
        folder / "distances.png",
    )
    ranking = scores.ranking
    cmc = plots.plot_cmc(ranking.cmc, queries=ranking.queries, gallery=ranking.gallery)
    plots.save(cmc, folder / "cmc.png")
    plots.save(plots.plot_history(history), folder / "curves.png")
    return {**card, "fingerprint": saved["fingerprint"], "versions": versions()}


def plot_ranks(source: Source, recipe: Recipe, gallery: EmbeddedImages) -> Any:
    """Rank lists of some held-out queries, drawn by the seed of the run."""
    rows = query_rows(gallery.people, gallery.cameras)
    query = gallery.rows(rows)
    matches = Matches(
        query.people.tolist(),
        query.cameras,
        gallery.people.tolist(),
        gallery.cameras,
        query_images=query.names.tolist(),
        gallery_images=gallery.names.tolist(),
    )
    shown = np.random.default_rng(recipe.seed).permutation(len(query.names))[:RANK_LISTS]
    found, distances = nearest(query.embeddings, gallery.embeddings, RANKS, matches=matches)
    wanted = {
        *(int(row) for row in rows[shown]),
        *(int(row) for row in found[shown].ravel() if row >= 0),
    }
    pictures = source.pictures(wanted)
    ranked = [
        [
            plots.RankedImage(
                pictures[int(row)],
                bool(gallery.people[row] == query.people[number]),
                f"{distance:.2f}  cam {gallery.cameras[row]}",
            )
            for row, distance in zip(found[number], distances[number], strict=True)
            if row >= 0
        ]
        for number in shown
    ]
    queries = [
        (pictures[int(row)], f"{gallery.people[row]}  cam {gallery.cameras[row]}")
        for row in rows[shown]
    ]
    return plots.plot_rank_lists(queries, ranked)
