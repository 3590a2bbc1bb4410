"""Scores a model on people it has not seen and writes what a reviewer asks for."""

import datetime
import importlib.metadata
import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from siamese import __version__
from siamese.datasets import recognise
from siamese.errors import InputError, OnCorrupt
from siamese.evaluate import report, report_images
from siamese.evaluate.query_gallery import QueryGallery, embed_query_gallery
from siamese.evaluate.score_files import (
    QUERIES_FILE,
    SCORES_FILE,
    write_queries,
)
from siamese.evaluate.score_report import (
    OwnThreshold,
    PartScores,
    Reranking,
    ScoreReport,
    Seconds,
    describe_protocol,
    promised_rates,
)
from siamese.evaluate.scoring import (
    VERIFICATION_PAIRS,
    Scores,
    rank,
    score_rows,
    score_sources,
)
from siamese.files import write_json
from siamese.inference import Model, doubt_channels, load_model
from siamese.inference.channels import SAMPLE
from siamese.inference.reading import Progress
from siamese.metrics.blocks import Metric, check_metric
from siamese.metrics.bootstrap import (
    bootstrap_error_rates,
    bootstrap_ranking,
    bootstrap_verification,
)
from siamese.metrics.calibration import (
    Calibration,
    Reliability,
    known_rate,
    measure_reliability,
    share_words,
)
from siamese.metrics.clustering import cluster_people, score_clusters
from siamese.metrics.masks import known_people, person_codes
from siamese.metrics.pairs import PairCounts, PairSample, count_pairs, sample_pairs
from siamese.metrics.ranking import RankingScores, single_shot_cmc
from siamese.metrics.tracklets import TrackletPooling
from siamese.metrics.verification import FALSE_ACCEPT_RATES, error_rates_at, score_verification

if TYPE_CHECKING:
    from siamese.profiles import Profile

COPY = 2e-3
"""Distance below which two pictures are one: equal ones are nearer, with rounding."""


def evaluate(
    model: str | Path | Model,
    data: str | Path,
    *,
    flip: bool = False,
    metric: Metric = "euclidean",
    reranking: Reranking | None = None,
    expand_queries: int | None = None,
    pooling: TrackletPooling | None = None,
    frames: int | None = None,
    single_shot: bool = False,
    false_accept_rates: Sequence[float] = FALSE_ACCEPT_RATES,
    seed: int = 0,
    output: str | Path | None = None,
    heat_maps: report_images.HeatMaps | None = None,
    people: str | None = None,
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    profile: "Profile | None" = None,
    identities: bool = False,
    progress: Progress | None = None,
) -> ScoreReport:
    """Scores a model on a dataset's query and gallery, or on a record set.

    A folder with a query and a gallery part is scored by these. Of a record set, and of a folder
    that has one in its folder `records`, it takes the validation part; of any other folder all
    images. Without a query part the first image of each person and camera is a query, and all
    images are the gallery.

    Args:
        model: A model file, `.keras`, `.onnx` or `.xml`, or an open model.
        data: A dataset folder, a CSV file of identities, or the folder of a record set.
        flip: Average each embedding with that of the mirrored image.
        metric: "euclidean" or "cosine"; of unit vectors, as these are, both rank alike.
        reranking: Re-ranks by k-reciprocal encoding with these numbers; None does not.
        expand_queries: Replaces each query by the mean of itself and so many of its nearest gallery
            images; None does not.
        pooling: Scores tracklets in place of images, pooled by "mean", "max" or "median"; official
            MARS is always scored so.
        frames: Of a longer tracklet so many frames are used, evenly spaced; None: all.
        single_shot: Score the single-gallery-shot protocol of CUHK03 as well.
        false_accept_rates: Rows of the threshold table, each above 0 and below 1.
        seed: Of all draws.
        output: A folder for `scores.json`, `queries.csv`, `report.html` and pictures; None writes
            nothing.
        heat_maps: Draws on the images of the rank lists where query and place matched.
        people: A slice of the people of a folder, sorted by number, such as "316:"; records in it
            are not looked at.
        pattern: How the names in a folder are read, as `list_samples` takes it; likewise.
        on_corrupt: What damaged images of a folder do: "error" names them all and ends, "skip"
            leaves them out; the notes count them.
        profile: Of the cameras, as `siamese.calibrate` makes it, best on other people. Embeddings
            are standardised, and its threshold is measured; the scores without it stand beside.
        identities: Also find out who is who without a label, as `siamese.find_identities` does, at
            the threshold of the profile or the model, and score that.
        progress: Called with the images done and all images.

    Raises:
        InputError: The model or the data cannot be used, or an option is out of range.
    """
    check_metric(metric)
    if seed < 0:
        raise InputError(f"`seed` must be >= 0. Received: seed={seed}")
    if frames is not None and pooling is None:
        _refuse_frames(Path(data), frames, pattern)
    if heat_maps is not None and output is None:
        raise InputError("heat maps are drawn in the report. Name a folder for it: `output`.")
    started, clock = datetime.datetime.now().astimezone(), time.perf_counter()
    if not isinstance(model, Model):
        model = load_model(model)
    if profile is not None:
        profile.check(model.fingerprint, model.path)
    query_gallery = embed_query_gallery(
        model,
        data,
        flip=flip,
        pooling=pooling,
        most_frames=frames,
        people=people,
        pattern=pattern,
        on_corrupt=on_corrupt,
        progress=progress,
    )
    embedded = time.perf_counter()
    raw = images = query_gallery.images
    if profile is not None:
        standardised = profile.standardise(raw.embeddings, raw.cameras)
        images = replace(raw, embeddings=standardised)
        query_gallery = replace(query_gallery, images=images)
    query, gallery = images.rows(query_gallery.query), images.rows(query_gallery.gallery)
    options: dict[str, Any] = {
        "metric": metric,
        "reranking": reranking,
        "expansion": expand_queries,
    }
    ranking = rank(query, gallery, **options)
    pairs = count_pairs(**images.labelled, metric=metric)
    verification = score_verification(pairs, false_accept_rates=false_accept_rates)
    sample = sample_pairs(**images.labelled, metric=metric, size=VERIFICATION_PAIRS, seed=seed)
    intervals = bootstrap_ranking(ranking, seed=seed)
    intervals |= bootstrap_verification(sample, seed=seed)
    variants = {}
    if query_gallery.dataset == "mars":
        rows = np.setdiff1d(query_gallery.gallery, query_gallery.query)
        other = rank(query, images.rows(rows), **options)
        variants["mars_gallery_without_queries"] = PartScores(
            **other.to_dict(), intervals=bootstrap_ranking(other, seed=seed)
        )
    if single_shot:
        assert ranking.mask is not None
        cmc = single_shot_cmc(
            query.embeddings, gallery.embeddings, ranking.mask, metric=metric, seed=seed
        )
        variants["single_gallery_shot"] = PartScores(
            rank1=cmc[0], rank5=cmc[4], rank10=cmc[9], cmc=list(cmc), repeats=10
        )
    calibration, reliability = model.calibration, None
    without = None
    if profile is not None:
        own = None if calibration is None or metric != "euclidean" else calibration.threshold
        sides = query_gallery.query, query_gallery.gallery
        without = score_rows(raw, *sides, threshold=own, **options)
        calibration = profile.calibration
    if calibration is not None:
        own_pairs = pairs if calibration.metric == metric else count_pairs(**images.labelled)
        reliability = measure_reliability(calibration, own_pairs)
    who = None
    if identities:
        if calibration is None or calibration.metric != metric:
            raise InputError(
                f"{model.path}: holds no calibration of {metric} distances, so none says who is "
                "who. Give a profile, or leave `identities` out."
            )
        known = known_people(images.people)
        found_numbers = cluster_people(images.embeddings, calibration.threshold)
        who = score_clusters(found_numbers[known], images.people[known], seed=seed)
    sources = None
    if len(query_gallery.sources) > 1:
        sources = score_sources(
            images,
            query_gallery.query,
            query_gallery.gallery,
            query_gallery.sources,
            threshold=calibration.threshold if calibration and metric == "euclidean" else None,
            **options,
        )
    found = ScoreReport(
        **Scores(ranking, verification).to_dict(),
        intervals=intervals,
        eer_threshold=verification.eer_threshold,
        thresholds=verification.table,
        verification=verification.pairs,
        calibration=_check_promises(calibration, pairs, sample, reliability, seed),
        variants=variants,
        left_out=_count_reasons(ranking),
        **_sizes(query_gallery),
        data=str(data),
        dataset=query_gallery.dataset,
        data_digest=query_gallery.digest(),
        source=query_gallery.source,
        notes=[*query_gallery.notes, *_copies(ranking, reranking), *_doubts(model, query_gallery)],
        tracklets=query_gallery.pooled,
        **describe_model(model),
        dimensions=int(images.embeddings.shape[1]),
        flip=flip,
        metric=metric,
        rerank=reranking,
        expand_queries=expand_queries,
        seed=seed,
        started=started.isoformat(timespec="seconds"),
        seconds=Seconds(
            embedding=round(embedded - clock, 3), scoring=round(time.perf_counter() - embedded, 3)
        ),
        per_query=None if output is None else QUERIES_FILE,
        sources=sources,
        profile=None if profile is None else profile.digest,
        without_profile=without,
        identities=who,
    )
    found = replace(found, protocol_text=describe_protocol(found))
    if output is not None:
        shown = report_images.choose_images(
            query_gallery, ranking, metric=metric, seed=seed, heat_maps=heat_maps
        )
        folder = _empty_folder(Path(output))
        write_queries(query, gallery, ranking, folder / QUERIES_FILE)
        curves = report.draw_curves(found, ranking, verification, pairs, reliability)
        report.write_report(found, curves, shown, folder)
        # Last, so that a folder with a report is a whole one.
        write_json(folder / SCORES_FILE, found.to_dict())
    return found


def describe_model(model: Model) -> dict[str, Any]:
    """Gives the entries of a report on the model and on what computed its embeddings."""
    names = ["numpy", "scipy", model.runtime]
    names += [] if model.runtime in ("onnxruntime", "openvino") else ["keras"]
    versions = {name: importlib.metadata.version(name) for name in names}
    return {
        "model": str(model.path),
        "fingerprint": model.fingerprint,
        "image_size": list(model.image_size),
        "preprocessing": model.preprocessing,
        "backend": model.runtime,
        "versions": {"siamese": __version__, "python": platform.python_version(), **versions},
    }


def _refuse_frames(data: Path, frames: int, pattern: str | None) -> None:
    from siamese.records import is_record_set

    if is_record_set(data) or recognise(data, pattern).name != "mars":
        raise InputError(
            f"`frames` is of tracklets, and the images of {data} are scored one by one. "
            f"Received: frames={frames} without pooling. Give `pooling` too, or leave it out."
        )


def _empty_folder(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file. Give a folder for the score report.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCORES_FILE).unlink(missing_ok=True)
    return folder


def _count_reasons(ranking: RankingScores) -> dict[str, int]:
    """Counts the queries that were not scored, by the reason."""
    assert ranking.mask is not None
    left_out = np.flatnonzero(~ranking.per_query.scored).tolist()
    reasons = Counter(ranking.mask.why_unmatched(row) or "" for row in left_out)
    return dict(reasons.most_common())


def _sizes(query_gallery: QueryGallery) -> dict[str, Any]:
    images = query_gallery.images
    codes = person_codes(images.people, distractors=images.distractors)
    query, gallery = codes[query_gallery.query], codes[query_gallery.gallery]
    return {
        "people": len(np.unique(query[query >= 0])),
        "gallery_people": len(np.unique(gallery[gallery >= 0])),
        "gallery_distractors": int((gallery == -1).sum()),
        "cameras": len(np.unique(images.cameras[images.cameras >= 0])),
        "images_without_camera": int((images.cameras < 0).sum()),
        "junk": query_gallery.junk,
    }


def _copies(ranking: RankingScores, reranking: Any) -> list[str]:
    """Counts the queries whose nearest gallery image is their own picture once more."""
    lists = ranking.lists
    if lists is None or reranking is not None:
        return []
    copies = int((lists.distances[:, 0] < COPY).sum())
    if not copies:
        return []
    return [
        f"{copies:,} of the queries find a copy of their own picture in the gallery, which is no "
        "evidence: siamese inspect names the copies; remove them from one of the two."
    ]


def _doubts(model: Model, query_gallery: QueryGallery) -> list[str]:
    """Reads enough images, evenly spaced, to look at the order of their colours."""
    if model.tells_channels:
        return []
    last = len(query_gallery.images.images) - 1
    rows = np.unique(np.linspace(0, last, SAMPLE).astype(int)).tolist()
    doubt = doubt_channels(model, list(query_gallery.read_pictures(rows).values()))
    return [doubt] if doubt else []


def _check_promises(
    calibration: Calibration | None,
    pairs: PairCounts,
    sample: PairSample,
    reliability: Reliability | None,
    seed: int,
) -> OwnThreshold | None:
    """Puts what the model promises of its own threshold beside what came true on these people."""
    if calibration is None or reliability is None:
        return None
    measured: dict[str, Any] = {}
    if calibration.metric == pairs.metric:
        at, *bounds = (
            error_rates_at(pairs, distance).rates
            for distance in (calibration.threshold, *calibration.bounds())
        )
        measured = {
            "measured_rates": at,
            "measured_intervals": bootstrap_error_rates(sample, calibration.threshold, seed=seed),
            "measured_words": share_words(bounds),
        }
    accepts, rejects = calibration.false_accept_interval, calibration.false_reject_interval
    return OwnThreshold(
        threshold=calibration.threshold,
        metric=calibration.metric,
        promised_rates=promised_rates(calibration),
        promised_intervals=(accepts, rejects) if accepts and rejects else None,
        promised_words={
            word: (known_rate(of_one), of_two)
            for word, (of_one, of_two) in calibration.word_rates().items()
        },
        expected_calibration_error=reliability.expected_calibration_error,
        **measured,
    )
