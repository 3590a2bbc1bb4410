"""What was done to get the scores, in words that stand alone."""

from collections.abc import Mapping, Sequence
from typing import Any

_RULES = {
    "cross-camera": (
        "Cross-camera: for each query, gallery images of the same person by the same camera count "
        "neither way."
    ),
    "query image dropped": (
        "Only the query image itself is left out of the gallery, because nobody was seen by two "
        "known cameras. This is easier than the cross-camera protocol: do not compare the two."
    ),
}


def describe_protocol(card: Mapping[str, Any]) -> list[str]:
    """Says how the scores of a report were made.

    Args:
        card: A score report.

    Returns:
        Sentences.
    """
    sentences = [_RULES[card["protocol"]]]
    if card["junk"]:
        sentences.append(f"{card['junk']:,} junk boxes are left out of the gallery.")
    if card["gallery_distractors"]:
        sentences.append(
            f"{card['gallery_distractors']:,} distractors stay in the gallery and are never a "
            "match."
        )
    if card["tracklets"] is not None:
        sentences.append(_describe_tracklets(card))
    if card["flip"]:
        sentences.append("Each embedding is averaged with that of the mirrored image.")
    if card["expand_queries"] is not None:
        sentences.append(
            f"Query expansion: each query is the mean of itself and its {card['expand_queries']} "
            "nearest gallery images."
        )
    metric = {"euclidean": "Euclidean", "cosine": "Cosine"}[card["metric"]]
    sentences.append(f"{metric} distance between unit vectors.")
    if card["rerank"] is not None:
        sentences.append(
            "Re-ranked by k-reciprocal encoding, k1 = {k1}, k2 = {k2}, lambda = "
            "{original_weight:g}; it looks at all queries together. Verification scores are of the "
            "plain distances.".format(**card["rerank"])
        )
    sentences.append(
        "mAP is by the rectangle rule, as most papers print it; the trapezoid rule is that of the "
        "code that came with Market-1501 and MARS."
    )
    pairs = card["verification"]
    kind = {
        "cross-camera pairs": "pairs of images by two cameras",
        "all pairs": "pairs of images (cameras are not known)",
    }[pairs["protocol"]]
    left = pairs["people_left_out"]
    sentences.append(
        f"Verification: {pairs['same_pairs']:,} {kind} of one person and "
        f"{pairs['different_pairs']:,} of two, of {pairs['people']:,} people"
        + (f" ({left:,} people left out by lot, to bound the time)." if left else ".")
    )
    sentences.append(
        "Intervals: the middle 95 % of 1,000 draws of the people with replacement (300 for "
        "verification, on a sample of up to 100,000 pairs of each kind)."
    )
    return sentences


def _describe_tracklets(card: Mapping[str, Any]) -> str:
    tracklets = card["tracklets"]
    frames = tracklets["frames"]
    used = "all frames" if tracklets["most_frames"] is None else (
        f"at most {tracklets['most_frames']} frames, evenly spaced"
    )  # fmt: skip
    text = (
        f"Tracklets: {used}, pooled by {tracklets['pooling']} and given length 1 again "
        f"({frames['total']:,} frames, {frames['least']} to {frames['most']} a tracklet, median "
        f"{frames['median']:g})."
    )
    if card["dataset"] == "mars":
        text += " The query tracklets stay in the gallery, as in MARS's own code."
    return text


def describe_rates(
    rates: Sequence[float], intervals: Sequence[Sequence[float]] | None
) -> list[str]:
    """Writes error rates in per cent, each with its 95 % interval where there is one.

    Example:
        >>> describe_rates([0.01, 0.156], [[0.005, 0.017], [0.094, 0.208]])
        ['1.00% (95 %: 0.50% to 1.70%)', '15.60% (95 %: 9.40% to 20.80%)']
    """
    if intervals is None:
        return [f"{rate:.2%}" for rate in rates]
    return [
        f"{rate:.2%} (95 %: {low:.2%} to {high:.2%})"
        for rate, (low, high) in zip(rates, intervals, strict=True)
    ]
