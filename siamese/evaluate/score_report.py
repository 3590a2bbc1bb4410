"""The score report: its entries, and what was done, in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from siamese.errors import InputError
from siamese.files import from_plain
from siamese.metrics.blocks import Metric
from siamese.metrics.calibration import LEANINGS, Calibration, Verdict, known_rate
from siamese.metrics.clustering import ClusterScores
from siamese.metrics.masks import Protocol
from siamese.metrics.verification import ChosenThreshold, VerifiedPairs

REPORT_VERSION = 1
Rates = tuple[float, float]
PromisedRates = tuple[float, float | None]


@dataclass(frozen=True)
class Reranking:
    """The numbers of k-reciprocal re-ranking (Zhong et al., CVPR 2017), with the paper's values.

    Attributes:
        k1: Neighbours that may be reciprocal.
        k2: Nearest images whose encodings are averaged.
        original_weight: Of the original distance against the Jaccard distance, 0 to 1: lambda.
    """

    k1: int = 20
    k2: int = 6
    original_weight: float = 0.3


@dataclass(frozen=True, kw_only=True)
class PartScores:
    """Scores of a part of the data, or by another protocol; JSON leaves out what is None."""

    people: int | None = None
    images: int | None = None
    rank1: float | None = None
    rank5: float | None = None
    rank10: float | None = None
    mAP: float | None = None  # noqa: N815 - the name of the field
    mAP_trapezoid: float | None = None  # noqa: N815
    mINP: float | None = None  # noqa: N815
    cmc: Sequence[float] | None = None
    queries: int | None = None
    queries_without_match: int | None = None
    gallery: int | None = None
    protocol: Protocol | None = None
    auc: float | None = None
    eer: float | None = None
    tar_at_far: dict[str, float] | None = None
    intervals: Mapping[str, Rates] | None = None
    repeats: int | None = None
    rates_at_threshold: Rates | None = None
    not_scored: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class OwnThreshold:
    """The promises of the model's own threshold, and what came true on the people scored.

    Rates are of false accepts and of false rejects, words' shares of the pairs of one person and of
    two; what was measured is None where the scores are by another metric, and what was promised
    where a profile without labels does not know it.
    """

    threshold: float
    metric: Metric
    promised_rates: PromisedRates
    promised_intervals: tuple[Rates, Rates] | None = None
    measured_rates: Rates | None = None
    measured_intervals: tuple[Rates, Rates] | None = None
    promised_words: dict[Verdict, tuple[float | None, float]] | None = None
    measured_words: dict[Verdict, Rates] | None = None
    expected_calibration_error: float

    def describe(self) -> Iterator[tuple[str, str, str]]:
        """Yields "promised" and "measured" with the two rates, in per cent and with intervals."""
        for word, rates, intervals in (
            ("promised", self.promised_rates, self.promised_intervals),
            ("measured", self.measured_rates, self.measured_intervals),
        ):
            if rates is not None:
                accepted, rejected = describe_rates(rates, intervals)
                yield word, accepted, rejected

    def word_table(self) -> list[tuple[str, list[float | None]]]:
        """Lists the words of the verdict with their shares.

        Returns:
            For each word: share of the pairs of one person, measured and promised; of the pairs of
            two people, measured and promised; and the share of the pairs with this word that it is
            wrong of, at even odds; None where the word leans to neither side or was never said.
        """
        rows: list[tuple[str, list[float | None]]] = []
        for word, (same, different) in (self.measured_words or {}).items():
            promised = (self.promised_words or {})[word]
            wrong = None
            if LEANINGS[word] is not None and same + different > 0:
                wrong = (different if LEANINGS[word] else same) / (same + different)
            rows.append((word, [same, promised[0], different, promised[1], wrong]))
        return rows


@dataclass(frozen=True, kw_only=True)
class FrameCounts:
    """Numbers of frames in a tracklet."""

    least: int
    median: float
    most: int
    total: int


@dataclass(frozen=True, kw_only=True)
class PooledFrames:
    """The pooling of frames to tracklets."""

    pooling: str
    frames: FrameCounts
    most_frames: int | None


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Time spent."""

    embedding: float
    scoring: float


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """The scores of a model; docs/scores.md says what each entry is.

    `siamese evaluate` fills all entries but `untrained` and `pretrained`, a training fewer. JSON
    leaves out `sources`, `untrained`, `pretrained`, `profile`, `without_profile` and `identities`
    where there are none.
    `profile` is the digest of the profile by which embeddings were standardised.
    """

    schema_version: int = REPORT_VERSION
    rank1: float
    rank5: float
    rank10: float
    mAP: float  # noqa: N815
    mAP_trapezoid: float  # noqa: N815
    mINP: float  # noqa: N815
    cmc: Sequence[float]
    queries: int
    queries_without_match: int
    gallery: int
    protocol: Protocol
    auc: float
    eer: float
    tar_at_far: dict[str, float]
    intervals: Mapping[str, Rates] | None = None
    eer_threshold: float | None = None
    thresholds: tuple[ChosenThreshold, ...] = ()
    verification: VerifiedPairs | None = None
    calibration: OwnThreshold | None = None
    variants: dict[str, PartScores] | None = None
    left_out: dict[str, int] | None = None
    people: int | None = None
    gallery_people: int | None = None
    gallery_distractors: int = 0
    cameras: int = 0
    images_without_camera: int = 0
    junk: int = 0
    data: Any = None
    dataset: str = ""
    data_digest: str = ""
    source: str = ""
    notes: Sequence[str] = ()
    tracklets: PooledFrames | None = None
    model: str = ""
    fingerprint: str = ""
    image_size: tuple[int, int] | None = None
    preprocessing: Mapping[str, Any] | None = None
    backend: str = ""
    versions: Mapping[str, str] | None = None
    dimensions: int | None = None
    flip: bool = False
    metric: Metric = "euclidean"
    rerank: Reranking | None = None
    expand_queries: int | None = None
    seed: int = 0
    started: str = ""
    seconds: Seconds | None = None
    per_query: str | None = None
    sources: dict[str, PartScores] | None = None
    untrained: PartScores | None = None
    profile: str | None = None
    without_profile: PartScores | None = None
    identities: ClusterScores | None = None
    pretrained: PartScores | None = None
    protocol_text: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON; `from_dict` reads them."""
        values = asdict(self)
        for name in ("variants", "sources"):
            parts = getattr(self, name)
            values[name] = parts and {key: part.to_dict() for key, part in parts.items()}
        if not self.sources:
            del values["sources"]
        for name in ("untrained", "pretrained", "without_profile", "identities"):
            del values[name]
            if (part := getattr(self, name)) is not None:
                values[name] = part.to_dict()
        if self.profile is None:
            del values["profile"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ScoreReport":
        """Reads what `to_dict` or an earlier version wrote; entries that it does not know are left.

        Raises:
            InputError: A score is missing.
        """
        try:
            found: ScoreReport = from_plain(
                cls, {**values, "variants": values.get("variants") or {}}, newer=True
            )
        except TypeError as error:
            raise InputError(
                f"a score report must hold all scores: {error}. Evaluate again."
            ) from None
        return found


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
_PAIRS = {
    "cross-camera pairs": "pairs of images by two cameras",
    "all pairs": "pairs of images (cameras are not known)",
}


def describe_protocol(report: ScoreReport) -> list[str]:
    """Says in sentences how the scores of a report were made."""
    pairs = report.verification
    assert pairs is not None
    left = f" ({pairs.people_left_out:,} people left out by lot, to bound the time)"
    used = "Re-ranked by k-reciprocal encoding, k1 = {k1}, k2 = {k2}, lambda = {original_weight:g}"
    sentences = {
        _RULES[report.protocol]: True,
        f"{report.junk:,} junk boxes are left out of the gallery.": report.junk,
        f"{report.gallery_distractors:,} distractors stay in the gallery and are never a "
        "match.": report.gallery_distractors,
        _describe_tracklets(report): report.tracklets,
        "Each embedding is averaged with that of the mirrored image.": report.flip,
        f"Embeddings are standardised by the cameras of the profile {report.profile}, whose "
        "threshold is measured.": report.profile,
        f"Query expansion: each query is the mean of itself and its {report.expand_queries} "
        "nearest gallery images.": report.expand_queries,
        f"{report.metric.capitalize()} distance between unit vectors.": True,
        f"{used.format(**vars(report.rerank or Reranking()))}; it looks at all queries together. "
        "Verification scores are of the plain distances.": report.rerank,
        "mAP is by the rectangle rule, as most papers print it; the trapezoid rule is that of the "
        "code that came with Market-1501 and MARS.": True,
        f"Verification: {pairs.same_pairs:,} {_PAIRS[pairs.protocol]} of one person and "
        f"{pairs.different_pairs:,} of two, of {pairs.people:,} people"
        f"{left if pairs.people_left_out else ''}.": True,
        "Intervals: the middle 95 % of 1,000 draws of the people with replacement (300 for "
        "verification, on a sample of up to 100,000 pairs of each kind).": True,
    }
    return [sentence for sentence, is_true in sentences.items() if is_true]


def _describe_tracklets(report: ScoreReport) -> str:
    found = report.tracklets
    if found is None:
        return ""
    used = "all frames"
    if found.most_frames is not None:
        used = f"at most {found.most_frames} frames, evenly spaced"
    text = (
        f"Tracklets: {used}, pooled by {found.pooling} and given length 1 again "
        f"({found.frames.total:,} frames, {found.frames.least} to {found.frames.most} a tracklet, "
        f"median {found.frames.median:g})."
    )
    if report.dataset == "mars":
        text += " The query tracklets stay in the gallery, as in MARS's own code."
    return text


def promised_rates(calibration: Calibration) -> PromisedRates:
    """Gives what a calibration promises at its threshold; None where it is not known."""
    accepted, rejected = calibration.error_rates(calibration.threshold)
    return accepted, known_rate(rejected)


def describe_rates(rates: Sequence[float | None], intervals: Sequence[Rates] | None) -> list[str]:
    """Writes error rates in per cent, each with its 95 % interval where there is one.

    Example:
        >>> describe_rates([0.01, 0.156], [(0.005, 0.017), (0.094, 0.208)])
        ['1.00% (95 %: 0.50% to 1.70%)', '15.60% (95 %: 9.40% to 20.80%)']
    """
    if intervals is None:
        return ["an unknown share" if rate is None else f"{rate:.2%}" for rate in rates]
    return [
        f"{rate:.2%} (95 %: {low:.2%} to {high:.2%})"
        for rate, (low, high) in zip(rates, intervals, strict=True)
    ]
