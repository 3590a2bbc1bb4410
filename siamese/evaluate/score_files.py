"""`scores.json` and `queries.csv`: what a scored model leaves behind, written and read."""

import csv
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from siamese.errors import InputError, refusing_damage
from siamese.evaluate.score_report import REPORT_VERSION, ScoreReport
from siamese.files import write_csv
from siamese.metrics.ranking import QueryResults, RankingScores
from siamese.vectors import Embeddings

SCORES_FILE = "scores.json"
QUERIES_FILE = "queries.csv"
QUERY_COLUMNS = (
    "query",
    "person",
    "camera",
    "matches",
    "first_match_rank",
    "AP",
    "AP_trapezoid",
    "INP",
    "left_out_because",
)
NEAREST = 5
"""Gallery images that `queries.csv` lists of each query."""


def read_score_report(path: str | Path) -> ScoreReport:
    """Reads `scores.json`, or that of a folder.

    Raises:
        InputError: There is none, or it is not one of `siamese evaluate`.
    """
    path = report_path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such score report. Write one with siamese evaluate --output FOLDER."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not JSON ({error}). Evaluate again.") from None
    version = values.get("schema_version") if isinstance(values, dict) else type(values).__name__
    if version != REPORT_VERSION:
        raise InputError(
            f"{path}: expected a score report of schema version {REPORT_VERSION}, as siamese "
            f"evaluate --output writes it. Received: {version}. Evaluate the model again."
        )
    with refusing_damage(path, "Evaluate again.", "is a damaged report"):
        return ScoreReport.from_dict(values)


def report_path(path: str | Path) -> Path:
    """Names the file of a report that is given by its file or its folder."""
    path = Path(path)
    return path / SCORES_FILE if path.is_dir() else path


def write_queries(
    query: Embeddings, gallery: Embeddings, ranking: RankingScores, path: Path
) -> None:
    """Writes a line for each query: its image, what it scored, or why it was left out.

    Then follow the `NEAREST` images of the gallery: name, distance, and whether it is right.
    """
    results, lists, mask = ranking.per_query, ranking.lists, ranking.mask
    assert lists is not None
    assert mask is not None

    def list_nearest(row: int) -> list[Any]:
        cells: list[Any] = []
        for place, distance in zip(lists.indices[row], lists.distances[row], strict=True):
            there, right = place >= 0, gallery.people[place] == query.people[row]
            cells += [gallery.images[place], f"{distance:.6f}", int(right)] if there else [""] * 3
        return cells[: 3 * NEAREST]

    titles = [
        f"{name}_{n + 1}" for n in range(NEAREST) for name in ("nearest", "distance", "right")
    ]
    shares = (
        results.average_precision,
        results.average_precision_trapezoid,
        results.inverse_negative_penalty,
    )
    lines: list[list[Any]] = [[*QUERY_COLUMNS, *titles]]
    for row, name in enumerate(query.images.tolist()):
        scores: list[Any] = [0, "", "", "", "", mask.why_unmatched(row)]
        if scores[-1] is None:
            found = [repr(float(each[row])) for each in shares]
            scores = [results.match_counts[row], results.first_match_rank[row], *found, ""]
        who = name, query.people[row], query.cameras[row]
        lines.append([*who, *scores, *list_nearest(row)])
    write_csv(path, lines)


def read_ranking(path: str | Path, report: ScoreReport) -> RankingScores:
    """Joins the ranking scores of a report with every query's own figures.

    Args:
        path: `scores.json`, or the folder that holds it; `queries.csv` lies beside it.
        report: What it holds.

    Raises:
        InputError: `queries.csv` is missing or damaged, or does not belong to the report.
    """
    queries = report_path(path).with_name(report.per_query or QUERIES_FILE)
    try:
        with queries.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(
            f"{queries}: no such file. Keep it beside scores.json, or evaluate again."
        ) from None
    with refusing_damage(queries, "Evaluate again."):
        people = [row["person"] for row in rows]
        columns = {
            name: np.array([float(row[name] or "nan") for row in rows])
            for name in ("matches", "first_match_rank", "AP", "AP_trapezoid", "INP")
        }
    scored = columns["matches"] > 0
    mean = float(columns["AP"][scored].mean()) if scored.any() else math.nan
    counts = int(scored.sum()), int((~scored).sum())
    told = report.queries, report.queries_without_match
    if counts != told or not math.isclose(mean, report.mAP, abs_tol=1e-9):
        raise InputError(
            f"{queries}: does not belong to the score report beside it ({counts[0]} queries, mAP "
            f"{mean:.4f}; the report says {told[0]} and {report.mAP:.4f}). Evaluate again."
        )
    names = {field.name for field in fields(RankingScores)} - {"per_query", "mask", "lists"}
    return RankingScores(
        **{name: getattr(report, name) for name in names},
        per_query=QueryResults(
            people=np.unique(people, return_inverse=True)[1].astype(np.int64),
            match_counts=np.nan_to_num(columns["matches"]).astype(np.int64),
            first_match_rank=np.nan_to_num(columns["first_match_rank"]).astype(np.int64),
            average_precision=columns["AP"],
            average_precision_trapezoid=columns["AP_trapezoid"],
            inverse_negative_penalty=columns["INP"],
        ),
    )
