"""`scores.json` and `queries.csv`: what a scored model leaves behind, written and read."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from siamese.errors import InputError
from siamese.evaluate.embedded import EmbeddedImages
from siamese.evaluate.scoring import Ranked
from siamese.files import whole_file
from siamese.metrics.ranking import QueryResults, RankingScores

SCHEMA_VERSION = 1
QUERIES = "queries.csv"
COLUMNS = (
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


def write_score_report(card: Mapping[str, Any], path: Path) -> None:
    """Writes a score report as JSON, under a temporary name that is renamed.

    Args:
        card: Ready for JSON.
        path: Where to.
    """
    with whole_file(path) as temporary:
        text = json.dumps(card, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_queries(query: EmbeddedImages, ranked: Ranked, path: Path) -> None:
    """Writes a line for each query: who asked, what it scored, or why it was left out.

    Args:
        query: The queries.
        ranked: Their ranking.
        path: Where to.
    """
    results = ranked.scores.per_query
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row, name in enumerate(query.names.tolist()):
            who = [name, query.people[row], query.cameras[row]]
            reason = ranked.mask.why_unmatched(row)
            if reason is not None:
                writer.writerow([*who, 0, "", "", "", "", reason])
                continue
            writer.writerow(
                [
                    *who,
                    results.match_counts[row],
                    results.first_match_rank[row],
                    repr(float(results.average_precision[row])),
                    repr(float(results.average_precision_trapezoid[row])),
                    repr(float(results.inverse_negative_penalty[row])),
                    "",
                ]
            )


def read_score_report(path: str | Path) -> dict[str, Any]:
    """Reads `scores.json`.

    Args:
        path: The file, or the folder that holds it.

    Returns:
        The report.

    Raises:
        InputError: There is none, or it is not one of `siamese evaluate`.
    """
    path = _report_path(path)
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such score report. Write one with siamese evaluate --output FOLDER."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not JSON ({error}). Evaluate again.") from None
    if not isinstance(card, dict) or card.get("schema_version") != SCHEMA_VERSION:
        received = card.get("schema_version") if isinstance(card, dict) else type(card).__name__
        raise InputError(
            f"{path}: expected a score report of schema version {SCHEMA_VERSION}, as siamese "
            f"evaluate --output writes it. Received: {received}. Evaluate the model again."
        )
    return card


def read_ranking(path: str | Path) -> RankingScores:
    """Reads the ranking scores of a report with every query's own figures.

    Args:
        path: `scores.json`, or the folder that holds it; `queries.csv` lies beside it.

    Returns:
        The scores.

    Raises:
        InputError: A file is missing or damaged, or the two do not belong together.
    """
    card = read_score_report(path)
    queries = _report_path(path).with_name(card.get("per_query") or QUERIES)
    try:
        with queries.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(
            f"{queries}: no such file. Keep it beside scores.json, or evaluate again."
        ) from None
    try:
        people = [row["person"] for row in rows]
        columns = {
            name: np.array([float(row[name] or "nan") for row in rows])
            for name in ("matches", "first_match_rank", "AP", "AP_trapezoid", "INP")
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{queries}: is damaged ({error}). Evaluate again.") from None
    scored = columns["matches"] > 0
    mean = float(columns["AP"][scored].mean()) if scored.any() else math.nan
    if (int(scored.sum()), int((~scored).sum())) != (
        card["queries"],
        card["queries_without_match"],
    ) or not math.isclose(mean, card["mAP"], abs_tol=1e-9):
        raise InputError(
            f"{queries}: does not belong to the score report beside it ({int(scored.sum())} "
            f"queries, mAP {mean:.4f}; the report says {card['queries']} and {card['mAP']:.4f}). "
            "Evaluate again."
        )
    return RankingScores(
        **{name: card[name] for name in ("rank1", "rank5", "rank10", "mAP", "mAP_trapezoid")},
        mINP=card["mINP"],
        cmc=tuple(card["cmc"]),
        queries=card["queries"],
        queries_without_match=card["queries_without_match"],
        gallery=card["gallery"],
        protocol=card["protocol"],
        per_query=QueryResults(
            people=np.unique(people, return_inverse=True)[1].astype(np.int64),
            match_counts=np.nan_to_num(columns["matches"]).astype(np.int64),
            first_match_rank=np.nan_to_num(columns["first_match_rank"]).astype(np.int64),
            average_precision=columns["AP"],
            average_precision_trapezoid=columns["AP_trapezoid"],
            inverse_negative_penalty=columns["INP"],
        ),
    )


def _report_path(path: str | Path) -> Path:
    path = Path(path)
    return path / "scores.json" if path.is_dir() else path
