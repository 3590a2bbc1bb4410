"""Two score reports of one dataset: is the difference more than noise?"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from siamese.errors import InputError
from siamese.evaluate.score_files import read_ranking, read_score_report
from siamese.metrics.bootstrap import PairedComparison, RankingScore, paired_bootstrap

SCORES: tuple[RankingScore, ...] = ("rank1", "rank5", "rank10", "mAP", "mAP_trapezoid", "mINP")
_SAME = {  # what must not differ, and what it is called
    "protocol": "protocol",
    "dataset": "dataset",
    "gallery": "gallery size",
    "queries": "number of queries",
    "queries_without_match": "number of queries left out",
    "data_digest": "images",
}


_OPTIONS = (
    "flip",
    "metric",
    "rerank",
    "expand_queries",
    "tracklets",
    "image_size",
    "preprocessing",
)


@dataclass(frozen=True)
class Comparison:
    """Two score reports of the same queries and gallery.

    Attributes:
        first: The first report.
        second: The second.
        scores: The difference in each ranking score, first minus second.
    """

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    scores: tuple[PairedComparison, ...]

    def verdict(self, score: RankingScore = "mAP") -> str:
        """Says in a sentence whether a difference is more than noise.

        Args:
            score: Of which score.

        Returns:
            The sentence.
        """
        found = next(each for each in self.scores if each.score == score)
        difference = 100 * found.difference
        low, high = 100 * found.interval.low, 100 * found.interval.high
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
        """The comparison as plain values, ready for JSON."""
        return {
            "first": _describe(self.first, self.second),
            "second": _describe(self.second, self.first),
            "scores": {
                each.score: {
                    "first": self.first[each.score],
                    "second": self.second[each.score],
                    **{k: v for k, v in asdict(each).items() if k not in ("score", "interval")},
                    "interval": [each.interval.low, each.interval.high],
                    "more_than_noise": not each.interval.low <= 0 <= each.interval.high,
                }
                for each in self.scores
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
        samples: How many draws, at least 1.
        seed: Of the draws, at least 0.

    Returns:
        The comparison.

    Raises:
        InputError: The seed is negative, a report cannot be read, or the two are not of the same
            images, sizes and protocol.
    """
    if seed < 0:
        raise InputError(f"`seed` must be >= 0. Received: seed={seed}")
    reports = read_score_report(first), read_score_report(second)
    for name, words in _SAME.items():
        one, other = (report.get(name) for report in reports)
        if one != other:
            raise InputError(
                f"Only reports of one dataset and protocol can be compared. Received: {words} "
                f"{one} in {first} and {other} in {second}. Evaluate both models on the same "
                "folder."
            )
    rankings = read_ranking(first), read_ranking(second)
    return Comparison(
        reports[0],
        reports[1],
        tuple(
            paired_bootstrap(*rankings, score=score, samples=samples, seed=seed) for score in SCORES
        ),
    )


def _describe(report: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The model of a report, and the options that it was scored with where the other's differ."""
    names = ["model", "fingerprint", *(n for n in _OPTIONS if report.get(n) != other.get(n))]
    return {name: report.get(name) for name in names}
