"""The end of a run: calibration, the model file, score reports and pictures."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from siamese import plots
from siamese.datasets import list_samples, recognise
from siamese.errors import InputError
from siamese.evaluate import Scores, embed_samples, score_embedded, score_sources
from siamese.evaluate.query_gallery import QueryGallery
from siamese.evaluate.report_images import choose_queries, draw_rank_lists, read_rank_lists
from siamese.evaluate.score_files import QUERIES_FILE, write_queries
from siamese.evaluate.scoring import VERIFICATION_PAIRS, rank
from siamese.files import write_json
from siamese.images import read_image
from siamese.inference import load_model, model_in_use, use_model
from siamese.inference.in_use import IN_USE, RUNS, finished_runs
from siamese.metrics.bootstrap import calibrate_pairs
from siamese.metrics.likeness import Likeness
from siamese.metrics.pairs import count_pairs, sample_pairs
from siamese.metrics.ranking import RankingScores
from siamese.metrics.verification import score_verification
from siamese.models.checkpoint import save_checkpoint
from siamese.recipes import Recipe
from siamese.train import run_dir
from siamese.train.training_data import TrainingData
from siamese.vectors import Embeddings


def calibrate_and_save(
    folder: Path,
    recipe: Recipe,
    embedder: keras.Model,
    scores: Scores,
    gallery: Embeddings,
    facts: dict[str, Any],
    likeness: Likeness,
    sources: Sequence[str] = (),
) -> dict[str, Any]:
    """Calibrates, writes the model file and the pictures of the scores; returns the score report.

    `embedder` is that of the best epoch, `scores` and `gallery` are of the held-out people, `facts`
    what else the report says, `sources` the datasets that they are from, where there are several.
    """
    pairs = count_pairs(**gallery.labelled)
    sample = sample_pairs(**gallery.labelled, size=VERIFICATION_PAIRS)
    calibration = calibrate_pairs(pairs, sample)
    history = run_dir.read_history(folder)
    card: dict[str, Any] = {
        **scores.to_dict(),
        **facts,
        "epochs": len(history),
        "images_per_second": float(np.median([row["images_per_second"] for row in history])),
    }
    if len(sources) > 1:
        found = score_sources(
            gallery,
            gallery.first_rows(),
            np.arange(len(gallery)),
            sources,
            threshold=calibration.threshold,
        )
        card["sources"] = {name: scores.to_dict() for name, scores in found.items()}
    whole = {"recipe": recipe.to_dict(), "calibration": calibration.to_dict(), "scores": card}
    whole["likeness"] = likeness.to_dict()
    for name in ("starting_weights", "distilled_from"):
        if name in facts:
            whole = {name: facts[name], **whole}
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
    return {**card, "fingerprint": saved["fingerprint"], "versions": run_dir.versions()}


def score_pretrained(source: TrainingData) -> dict[str, float] | None:
    """Scores the model that comes with the package on the held-out people of a run.

    Returns:
        Rank-1, mAP and EER; None where the package came without the model.
    """
    try:
        model = load_model("pretrained")
    except InputError:
        return None
    gallery = source.embed_by(lambda images: model.embed(images), model.image_size)
    scores = score_embedded(gallery)
    return {
        "rank1": scores.ranking.rank1,
        "mAP": scores.ranking.mAP,
        "eer": scores.verification.eer,
    }


def settle_in_use(folder: Path, start: run_dir.RunConfig, card: Mapping[str, Any]) -> str:
    """Puts the best model in use: the run's, the pretrained one or the one in use so far.

    They are compared by the mAP of the same held-out people; that of another run is known where it
    was started on the same images and split. Of equal ones the new one gives way. A run outside
    `runs` changes nothing. Returns which model is in use now and why, in words.
    """
    if folder.absolute().parent != RUNS.absolute():
        return f"unchanged, as this run is not in {RUNS}; to take it: siamese use {folder}"
    if start.source["split"].get("by") != "identity" or not start.source["split"].get(
        "validation_size", 1
    ):
        if not IN_USE.exists():
            use_model("pretrained", f"nobody was held out of the training of {folder}")
        why = "the scores of this run are of people whom it trained on"
        if "mAP" not in card:
            why = "nobody is known in this run, so nothing compares the two"
        return f"{model_in_use().model}, as before: {why}. To take it: siamese use {folder}"
    mine, rivals = float(card["mAP"]), {}
    if "pretrained" in card:
        rivals["pretrained"] = float(card["pretrained"]["mAP"])
    for other in finished_runs():
        with contextlib.suppress(InputError, OSError, ValueError, KeyError):
            if (
                other.parent != folder
                and run_dir.read_run_config(other.parent).source == start.source
            ):
                kept = json.loads(other.with_name(run_dir.SCORES).read_text(encoding="utf-8"))
                rivals[str(other)] = float(kept["mAP"])
    best = max(rivals, key=rivals.__getitem__, default="")
    people = f"of the same {card['source']}"
    if best and rivals[best] >= mine:
        better = "is above" if rivals[best] > mine else "equals"
        use_model(best, f"mAP {rivals[best]:.3f} {people}; {folder} has {mine:.3f}")
        return (
            f"{best}: its mAP {rivals[best]:.3f} {better} this run's {mine:.3f} {people}. To take "
            f"this run all the same: siamese use {folder}"
        )
    than = f"; {best} has {rivals[best]:.3f}" if best else ""
    use_model(folder, f"mAP {mine:.3f} {people}{than}")
    return f"{folder}: mAP {mine:.3f} {people}{than}. To take another: siamese use RUN|pretrained"


def plot_held_out(
    source: TrainingData, recipe: Recipe, gallery: Embeddings, ranking: RankingScores
) -> Any:
    """Draws rank lists of some held-out queries, chosen by the seed of the run."""
    everything = np.arange(len(gallery))
    return _plot_ranks(
        QueryGallery(
            gallery, gallery.first_rows(), everything, lambda rows: source.pictures(set(rows))
        ),
        ranking,
        recipe.seed,
    )


def _plot_ranks(query_gallery: QueryGallery, ranking: RankingScores, seed: int) -> Any:
    chosen = choose_queries(ranking.per_query, seed=seed)["random"]
    lists, _ = read_rank_lists(query_gallery, ranking, chosen)
    return draw_rank_lists(list(lists.values()))


def score_queries(
    folder: str | Path, query_dir: str | Path, gallery_dir: str | Path, *, seed: int = 0
) -> dict[str, Any]:
    """Scores a finished run on a folder of queries against a gallery.

    Writes `query_gallery/` into the run folder: `scores.json`, `cmc.png`, `queries.csv` with the
    five nearest images of the gallery for every query, and `rank_list.png`, some of them drawn.

    Args:
        folder: The run folder.
        query_dir: A folder of images, as `siamese.datasets.list_samples` takes it.
        gallery_dir: Another one.
        seed: Of the queries that are shown.

    Raises:
        InputError: A folder cannot be used, or no query has a match.
    """
    folder = Path(folder)
    model = load_model(folder / "model.keras")
    samples = [list_samples(folder, "all") for folder in (query_dir, gallery_dir)]
    both = embed_samples(model, [*samples[0], *samples[1]])
    both = replace(both, distractors=recognise(gallery_dir).distractors)
    asked, searched = np.split(np.arange(len(both)), [len(samples[0])])
    query, gallery = both.rows(asked), both.rows(searched)
    ranking = rank(query, gallery)
    scores = Scores(ranking, score_verification(count_pairs(**both.labelled)))
    card: dict[str, Any] = {
        **scores.to_dict(),
        "data": {"query": str(query_dir), "gallery": str(gallery_dir)},
        "model": str(model.path),
        "fingerprint": model.fingerprint,
        "versions": run_dir.versions(),
    }
    out = folder / "query_gallery"
    out.mkdir(exist_ok=True)
    cmc = plots.plot_cmc(ranking.cmc, queries=ranking.queries, gallery=ranking.gallery)
    plots.save(cmc, out / "cmc.png")
    pictured = QueryGallery(
        both, asked, searched, lambda rows: {row: read_image(both.images[row]) for row in rows}
    )
    plots.save(_plot_ranks(pictured, ranking, seed), out / "rank_list.png")
    write_queries(query, gallery, ranking, out / QUERIES_FILE)
    write_json(out / "scores.json", card)
    return card
