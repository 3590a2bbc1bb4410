"""After a training: its model on a folder of queries and a gallery of other people."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from siamese import plots
from siamese.datasets import Sample, list_samples, recognise
from siamese.evaluate import EmbeddedImages, embed_samples, score_embedded
from siamese.images import read_image
from siamese.inference import load_model
from siamese.train.finalize import plot_ranks
from siamese.train.run_dir import versions, write_json

QUERIES = 8
RANKS = 5


def list_queries(query_dir: str | Path, gallery_dir: str | Path) -> tuple[list[Sample], ...]:
    """The images of a folder of queries and of a gallery; junk boxes are left out.

    Raises:
        InputError: A folder is missing, has no image or has names of no known form.
    """
    return list_samples(query_dir, "all"), list_samples(gallery_dir, "all")


def score_queries(
    folder: str | Path, query_dir: str | Path, gallery_dir: str | Path, *, seed: int = 0
) -> dict[str, Any]:
    """Scores a finished run on a folder of queries against a gallery.

    Writes `query_gallery/` into the run folder: `scores.json`, `cmc.png` and `rank_list.png`, some
    queries with the five images of the gallery that are nearest.

    Args:
        folder: The run folder.
        query_dir: A folder of images whose names tell person and camera.
        gallery_dir: The same.
        seed: Draws the queries of the picture.

    Returns:
        The score report.

    Raises:
        InputError: A folder cannot be used, or no query has a match.
    """
    folder = Path(folder)
    model = load_model(folder / "model.keras")
    samples = list_queries(query_dir, gallery_dir)
    query, gallery = (embed_samples(model, each) for each in samples)
    gallery = replace(gallery, distractors=recognise(gallery_dir).distractors)
    scores = score_embedded(query, gallery, _together(query, gallery))
    card: dict[str, Any] = {
        **scores.to_dict(),
        "data": {"query": str(query_dir), "gallery": str(gallery_dir)},
        "model": str(model.path),
        "fingerprint": model.fingerprint,
        "versions": versions(),
    }
    out = folder / "query_gallery"
    out.mkdir(exist_ok=True)
    ranking = scores.ranking
    cmc = plots.plot_cmc(ranking.cmc, queries=ranking.queries, gallery=ranking.gallery)
    plots.save(cmc, out / "cmc.png")
    shown = query.rows(np.random.default_rng(seed).permutation(len(query.names))[:QUERIES])

    def read(found: set[int]) -> tuple[Sequence[plots.Image], Mapping[int, plots.Image]]:
        return (
            [read_image(name) for name in shown.names],
            {row: read_image(gallery.names[row]) for row in found},
        )

    ranked = plot_ranks(shown, gallery, read, ranks=RANKS, protocol=ranking.protocol)
    plots.save(ranked, out / "rank_list.png")
    write_json(out / "scores.json", card)
    return card


def _together(*parts: EmbeddedImages) -> EmbeddedImages:
    names = ("embeddings", "people", "cameras", "names")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return EmbeddedImages(**columns, distractors=parts[-1].distractors)
