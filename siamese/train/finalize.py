"""How a run ends: calibration, the model file, the score report and the pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from siamese import plots
from siamese.evaluate import EmbeddedImages, Scores, match, pairs_of, sample_of, score_sources
from siamese.evaluate.report_images import describe_camera
from siamese.metrics.bootstrap import bootstrap_error_rates
from siamese.metrics.calibration import calibrate
from siamese.metrics.masks import Protocol, query_rows
from siamese.metrics.rank_lists import nearest
from siamese.models.checkpoint import save_checkpoint
from siamese.recipes import Recipe
from siamese.train.run_dir import versions
from siamese.train.run_state import read_history
from siamese.train.training_data import TrainingData

RANK_LISTS = 6
RANKS = 8


def calibrate_and_save(
    folder: Path,
    recipe: Recipe,
    embedder: keras.Model,
    scores: Scores,
    gallery: EmbeddedImages,
    facts: dict[str, Any],
    sources: Sequence[str] = (),
) -> dict[str, Any]:
    """Calibrates, writes the model file and the pictures of the scores.

    Args:
        folder: The run folder.
        recipe: Of the run.
        embedder: The best epoch.
        scores: Of the held-out people.
        gallery: Their embeddings.
        facts: What else the score report says.
        sources: The datasets that the people are from, where there are several.

    Returns:
        The score report.
    """
    pairs = pairs_of(gallery)
    calibration = calibrate(pairs)
    accepts, rejects = bootstrap_error_rates(sample_of(gallery), calibration.threshold)
    calibration = replace(calibration, false_accept_interval=accepts, false_reject_interval=rejects)
    history = read_history(folder)
    card: dict[str, Any] = {
        **scores.to_dict(),
        **facts,
        "epochs": len(history),
        "images_per_second": float(np.median([row["images_per_second"] for row in history])),
    }
    if len(sources) > 1:
        found = score_sources(
            gallery,
            query_rows(gallery.people, gallery.cameras, distractors=gallery.distractors),
            np.arange(len(gallery.names)),
            sources,
            threshold=calibration.threshold,
        )
        card["sources"] = {name: scores.to_dict() for name, scores in found.items()}
    whole = {"recipe": recipe.to_dict(), "calibration": calibration.to_dict(), "scores": card}
    if "distilled_from" in facts:
        whole = {"distilled_from": facts["distilled_from"], **whole}
    image_size = recipe.model.image_size
    saved = save_checkpoint(folder / "model.keras", embedder, image_size=image_size, metadata=whole)
    plots.save(
        plots.plot_distances(*pairs.histogram(), threshold=calibration.threshold),
        folder / "distances.png",
    )
    ranking = scores.ranking
    cmc = plots.plot_cmc(ranking.cmc, queries=ranking.queries, gallery=ranking.gallery)
    plots.save(cmc, folder / "cmc.png")
    plots.save(plots.plot_history(history), folder / "curves.png")
    return {**card, "fingerprint": saved["fingerprint"], "versions": versions()}


def plot_ranks(
    queries: EmbeddedImages,
    gallery: EmbeddedImages,
    read: Callable[[set[int]], tuple[Sequence[plots.Image], Mapping[int, plots.Image]]],
    *,
    ranks: int,
    protocol: Protocol,
) -> Any:
    """Rank lists of some queries.

    Args:
        queries: Those that are shown.
        gallery: What they are ranked against.
        read: From the rows of the gallery that are shown to the pictures of the queries, and of
            these rows.
        ranks: Places of a list.
        protocol: What the scores left out.

    Returns:
        A figure.
    """
    mask = match(queries, gallery, protocol)
    found, distances = nearest(queries.embeddings, gallery.embeddings, ranks, mask=mask)
    asked, pictures = read({int(row) for row in found.ravel() if row >= 0})
    ranked = [
        [
            plots.RankedImage(
                pictures[int(row)],
                bool(gallery.people[row] == person),
                f"{distance:.2f}  {describe_camera(gallery.cameras[row])}".strip(),
            )
            for row, distance in zip(rows, away, strict=True)
            if row >= 0
        ]
        for person, rows, away in zip(queries.people, found, distances, strict=True)
    ]
    captions = [
        f"{person}  {describe_camera(camera)}".strip()
        for person, camera in zip(queries.people, queries.cameras, strict=True)
    ]
    return plots.plot_rank_lists(list(zip(asked, captions, strict=True)), ranked)


def plot_held_out(
    source: TrainingData, recipe: Recipe, gallery: EmbeddedImages, protocol: Protocol
) -> Any:
    """Rank lists of some held-out queries, drawn by the seed of the run."""
    rows = query_rows(gallery.people, gallery.cameras, distractors=gallery.distractors)
    shown = rows[np.random.default_rng(recipe.seed).permutation(len(rows))[:RANK_LISTS]]

    def read(found: set[int]) -> tuple[Sequence[plots.Image], Mapping[int, plots.Image]]:
        pictures = source.pictures(found | {int(row) for row in shown})
        return [pictures[int(row)] for row in shown], pictures

    return plot_ranks(gallery.rows(shown), gallery, read, ranks=RANKS, protocol=protocol)
