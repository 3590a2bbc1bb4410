"""Comparison of two score reports of one dataset: noise, or more."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siamese.errors import InputError
from siamese.evaluate.score_files import read_ranking, read_score_report
from siamese.evaluate.score_report import ScoreReport
from siamese.metrics.bootstrap import PairedComparison, paired_bootstrap

_SAME = {  # what must not differ, and what it is called
    "protocol": "protocol",
    "dataset": "dataset",
    "gallery": "gallery size",
    "queries": "number of queries",
    "queries_without_match": "number of queries left out",
    "data_digest": "images",
}
_OPTIONS = (
    "flip", "metric", "rerank", "expand_queries", "tracklets", "image_size", "preprocessing",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two score reports of the same queries and gallery, and by ranking score their difference."""

    first: ScoreReport
    second: ScoreReport
    scores: Mapping[str, PairedComparison]

    def verdict(self, score: str = "mAP") -> str:
        """Says in a sentence whether a difference is more than noise."""
        found = self.scores[score]
        difference = 100 * found.difference
        low, high = (100 * end for end in found.interval)
        if low == high == 0:
            return f"The two are equal in {score}, whoever is drawn."
        if low <= 0 <= high:
            return (
                f"The difference in {score} (first less second {difference:+.1f} points, 95 % "
                f"{low:+.1f} to {high:+.1f}) is within noise: other people could turn it round."
            )
        better = "first" if difference > 0 else "second"
        least, most = sorted((abs(low), abs(high)))
        return (
            f"The {better} report is better in {score} by {abs(difference):.1f} points (95 % "
            f"{least:.1f} to {most:.1f}): more than noise."
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives the comparison as plain values, ready for JSON."""
        return {
            "first": _describe(self.first, self.second),
            "second": _describe(self.second, self.first),
            "scores": {
                name: {
                    "first": getattr(self.first, name),
                    "second": getattr(self.second, name),
                    "difference": each.difference,
                    "p_value": each.p_value,
                    "interval": list(each.interval),
                    "more_than_noise": not each.interval.low <= 0 <= each.interval.high,
                }
                for name, each in self.scores.items()
            },
            "verdict": self.verdict(),
        }


def compare_scores(
    first: str | Path, second: str | Path, *, samples: int = 2000, seed: int = 0
) -> Comparison:
    """Compares two score reports by paired bootstrap over people.

    Each draw of people scores both models, so that what makes a person hard for both cancels; the
    comparison sees differences that the reports' own intervals, which overlap, do not.

    Args:
        first: `scores.json` that `evaluate` wrote, or its folder; `queries.csv` lies beside it.
        second: Another, of the same data by the same protocol.
        samples: Number of draws, at least 1.
        seed: Of the draws, at least 0.

    Raises:
        InputError: The seed is negative, a report cannot be read, or the two are not of the same
            images, sizes and protocol.
    """
    if seed < 0:
        raise InputError(f"`seed` must be >= 0. Received: seed={seed}")
    reports = read_score_report(first), read_score_report(second)
    for name, words in _SAME.items():
        one, other = (getattr(report, name) for report in reports)
        if one != other:
            raise InputError(
                f"Only reports of one dataset and protocol can be compared. Received: {words} "
                f"{one} in {first} and {other} in {second}. Evaluate both models on the same "
                "folder."
            )
    rankings = [
        read_ranking(path, report) for path, report in zip((first, second), reports, strict=True)
    ]
    return Comparison(*reports, paired_bootstrap(*rankings, samples=samples, seed=seed))


def _describe(report: ScoreReport, other: ScoreReport) -> dict[str, Any]:
    """Gives the model of a report, and the options that it was scored with where they differ."""
    own, others = report.to_dict(), other.to_dict()
    names = ["model", "fingerprint", *(name for name in _OPTIONS if own[name] != others[name])]
    return {name: own[name] for name in names}
