"""The small sets' protocol: random halves of the people, single shot, mean and spread.

Models are compared so across cameras that none of them saw: VIPeR, PRID2011, GRID, i-LIDS.
"""

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from siamese.datasets import PartName, list_samples, measure_coverage, recognise
from siamese.datasets.coverage import drop_damaged
from siamese.datasets.splits import choose_people
from siamese.errors import InputError, OnCorrupt
from siamese.evaluate.embedded import embed_samples
from siamese.evaluate.evaluation import describe_model
from siamese.evaluate.query_gallery import refuse_records
from siamese.evaluate.score_report import PromisedRates, Seconds, promised_rates
from siamese.evaluate.scoring import rank
from siamese.evaluate.trials import SampleView, draw_trials, make_plan
from siamese.files import write_json
from siamese.inference import Model, load_model
from siamese.inference.reading import Progress
from siamese.metrics.blocks import Indices, Metric, check_metric
from siamese.metrics.calibration import Calibration
from siamese.metrics.pairs import count_pairs
from siamese.metrics.verification import error_rates_at, score_verification
from siamese.vectors import Embeddings

if TYPE_CHECKING:
    from siamese.profiles import Profile

REPORT = "small_set.json"
RANKING = ("rank1", "rank5", "rank10", "mAP", "mINP")
TAR = ("tar_at_far_0.01", "tar_at_far_0.001")
SMALL_SET_SCORES = (*RANKING, "eer", *TAR)
_RATES = ("false_accept_rate", "false_reject_rate")


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a score over the splits; None for one split."""

    mean: float
    spread: float | None

    def __str__(self) -> str:
        """Writes both with three digits."""
        return f"{self.mean:.3f}" + ("" if self.spread is None else f" +- {self.spread:.3f}")


@dataclass(frozen=True)
class MeasuredThreshold:
    """The model's own threshold: the rates it promises, and those of these strangers."""

    threshold: float
    promised_rates: PromisedRates
    false_accept_rate: Spread
    false_reject_rate: Spread


@dataclass(frozen=True)
class Way:
    """The view that asks, the view that is searched, and the sizes of a trial."""

    query: str
    gallery: str
    queries: int
    gallery_images: int
    distractors: int


@dataclass(frozen=True, kw_only=True)
class SmallSetReport:
    """The scores of a model on a small set; docs/scores.md says what each entry is."""

    schema_version: int = 1
    protocol: str = "small set"
    scores: dict[str, Spread]
    own_threshold: MeasuredThreshold | None
    per_split: list[dict[str, float]]
    splits: int
    seed: int
    people: int
    people_without_second_view: int
    people_chosen: str | None
    pairs_by: str
    ways: list[Way]
    data: str
    dataset: str
    notes: list[str]
    model: str
    fingerprint: str
    image_size: Sequence[int]
    preprocessing: Mapping[str, Any] | None
    backend: str
    versions: Mapping[str, str]
    dimensions: int
    flip: bool
    metric: Metric
    started: str
    seconds: Seconds
    profile: str | None = None
    without_profile: Mapping[str, Spread] | None = None
    protocol_text: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        values = asdict(self)
        if self.profile is None:
            del values["profile"], values["without_profile"]
        return values


def evaluate_small_set(
    model: str | Path | Model,
    data: str | Path,
    *,
    splits: int = 10,
    seed: int = 0,
    people: str | None = None,
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    flip: bool = False,
    metric: Metric = "euclidean",
    profile: "Profile | None" = None,
    output: str | Path | None = None,
    progress: Progress | None = None,
) -> SmallSetReport:
    """Scores a model by the small sets' protocol.

    A half of the people, drawn at random, is asked for; one query and one gallery image of each,
    drawn too. They are of two cameras where cameras are known, else of two tracklets where these
    are known, else any two images. Where there are two cameras, each is searched for the queries
    of the other, and the two scores are averaged; where a set says who asks (PRID2011, GRID), that
    way alone is scored. Distractors, and one image of each person who has no second view, stay in
    the gallery. Verification scores are of all pairs of a query and a gallery image.

    Of a dataset with query and gallery parts, these two are taken. `splits` is the number of
    halves; 0 asks for everybody, once. A split depends on the seed and its own number alone.
    `output` is a folder for `small_set.json`; the other options are those of `evaluate`.

    Raises:
        InputError: The model or the data cannot be used, or an option is out of range.
    """
    check_metric(metric)
    for name, number in (("splits", splits), ("seed", seed)):
        if number < 0:
            raise InputError(f"`{name}` must be >= 0. Received: {name}={number}")
    started, clock = datetime.datetime.now().astimezone(), time.perf_counter()
    refuse_records(data)
    layout = recognise(data, pattern)
    parts = [part for part in ("query", "gallery") if part in layout.parts] or ["all"]
    listed = [each for part in parts for each in list_samples(layout, cast(PartName, part))]
    everything = list({each.path: each for each in listed}.values())
    samples = drop_damaged(everything, on_corrupt)
    kept = {each.path for each in samples}
    damaged = [each.path for each in everything if each.path not in kept]
    if people is not None:
        samples = choose_people(samples, people, layout.distractors)
    plan = make_plan(samples, layout)
    draws = draw_trials(samples, plan, layout.distractors, splits=splits, seed=seed)
    if min(len(trial.gallery) for trials in draws for trial in trials) < 2:
        raise InputError(
            f"{data}: a half of {len(plan.people)} people is one, and nobody else is in the "
            "gallery. Add people, or give splits=0."
        )
    if not isinstance(model, Model):
        model = load_model(model)
    if profile is not None:
        profile.check(model.fingerprint, model.path)
    used = np.unique(np.concatenate([t.gallery for trials in draws for t in trials]))
    used = np.union1d(used, np.concatenate([t.query for trials in draws for t in trials]))
    shown = [samples[row] for row in used.tolist()]
    images = embed_samples(model, shown, flip=flip, progress=progress)
    embedded = time.perf_counter()
    place = np.zeros(len(samples), np.int64)
    place[used] = np.arange(len(used))

    def score(
        images: Embeddings, calibration: Calibration | None
    ) -> tuple[list[dict[str, float]], dict[str, Spread]]:
        per_split = [
            _mean(
                [
                    score_trial(images, place[t.query], place[t.gallery], metric, calibration)
                    for t in trials
                ]
            )
            for trials in draws
        ]
        scores = {name: _spread([each[name] for each in per_split]) for name in per_split[0]}
        return per_split, scores

    per_split, found = score(images, model.calibration)
    own, calibration, without = None, model.calibration, None
    if profile is not None:
        without, calibration = found, profile.calibration
        rows = profile.standardise(images.embeddings, images.cameras)
        per_split, found = score(replace(images, embeddings=rows), calibration)
    if calibration is not None and _RATES[0] in found:
        promised = promised_rates(calibration)
        own = MeasuredThreshold(calibration.threshold, promised, *(found[name] for name in _RATES))
    report = SmallSetReport(
        scores={name: found[name] for name in SMALL_SET_SCORES},
        profile=None if profile is None else profile.digest,
        without_profile=without,
        own_threshold=own,
        per_split=[{name: each[name] for name in SMALL_SET_SCORES} for each in per_split],
        splits=splits,
        seed=seed,
        people=len(plan.people),
        people_without_second_view=len(plan.others),
        people_chosen=people,
        pairs_by=plan.kind,
        ways=[
            Way(
                query=_name_view(plan.kind, way[0]),
                gallery=_name_view(plan.kind, way[1]),
                queries=len(trial.query),
                gallery_images=len(trial.gallery),
                distractors=len(trial.gallery) - len(trial.query),
            )
            for way, trial in zip(plan.ways or ((None, None),), draws[0], strict=True)
        ],
        data=str(data),
        dataset=layout.name,
        notes=[
            *layout.notes,
            "Nothing says that the model was not trained on these people.",
            *measure_coverage(data, layout, kept, damaged).notes,
        ],
        **describe_model(model),
        dimensions=int(images.embeddings.shape[1]),
        flip=flip,
        metric=metric,
        started=started.isoformat(timespec="seconds"),
        seconds=Seconds(
            embedding=round(embedded - clock, 3), scoring=round(time.perf_counter() - embedded, 3)
        ),
    )
    report = replace(report, protocol_text=describe_small_set(report))
    if output is not None:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / REPORT, report.to_dict())
    return report


def score_trial(
    images: Embeddings,
    query: Indices,
    gallery: Indices,
    metric: Metric = "euclidean",
    calibration: Calibration | None = None,
) -> dict[str, float]:
    """Scores one trial: the rank of each query in the gallery, and all pairs of the two.

    Distractors count as people whom nobody asks for. The threshold of a calibration is measured
    too, where it is of this metric.

    Args:
        images: All images.
        query: `(queries,)`, rows.
        gallery: `(gallery,)`, rows.
        metric: "euclidean" or "cosine".
        calibration: None measures no threshold.

    Returns:
        `SMALL_SET_SCORES`, and the error rates at the threshold, 0..1.
    """
    # As if one camera asked and another were searched: every pair across counts, no other does.
    both = replace(
        images.rows(np.concatenate([query, gallery])),
        cameras=np.repeat(np.array([1, 2], np.int64), [len(query), len(gallery)]),
    )
    asks, searched = np.split(np.arange(len(both)), [len(query)])
    ranking = rank(both.rows(asks), both.rows(searched), metric=metric)
    pairs = count_pairs(**both.labelled, metric=metric)
    verification = score_verification(pairs)
    values = {name: float(getattr(ranking, name)) for name in RANKING}
    values["eer"] = verification.eer
    for name in TAR:
        values[name] = verification.tar_at_far[float(name.removeprefix("tar_at_far_"))]
    if calibration is not None and calibration.metric == metric:
        rates = error_rates_at(pairs, calibration.threshold).rates
        values.update(zip(_RATES, rates, strict=True))
    return values


def describe_small_set(report: SmallSetReport) -> list[str]:
    """Says in sentences how the scores of a small set were made."""
    way = report.ways[0]
    people = f"{report.people:,} people"
    if report.people_chosen is not None:
        people += f" (those of {report.people_chosen} by number)"
    halves = f"{report.splits} random halves of {people}, {way.queries:,} each."
    views = {
        "sides": f"the query of {way.query}, the other of {way.gallery}.",
        "two cameras": f"of {way.query} against {way.gallery} and back; the scores of both ways "
        "are averaged.",
        "cameras": "of two cameras, drawn.",
        "tracklets": "of two tracklets, drawn (cameras are not known).",
        "images": "any two, drawn (nobody was seen by two known cameras): easier than across "
        "cameras.",
    }
    sizes = " and ".join(f"{each.gallery_images:,}" for each in report.ways)
    left = [each.distractors for each in report.ways]
    distractors = f", {' and '.join(map(str, left))} of them distractors" if any(left) else ""
    flip = ["Each embedding is averaged with that of the mirrored image."] if report.flip else []
    if report.profile is not None:
        flip.append(f"Embeddings are standardised by the cameras of the profile {report.profile}.")
    return [
        f"Small set: {halves if report.splits else f'all {people}, once.'}",
        f"Single shot: one query and one gallery image a person, {views[report.pairs_by]}",
        f"Gallery of {sizes} images{distractors}.",
        *flip,
        "Verification: every query with every gallery image. Spread: standard deviation over the "
        "splits.",
    ]


def _name_view(kind: str, view: SampleView) -> str:
    return f"camera {view}" if kind == "two cameras" else str(view or "any")


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}


def _spread(values: Sequence[float]) -> Spread:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), spread)
