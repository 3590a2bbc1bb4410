"""Scores a model on people it has not seen and writes what a reviewer asks for."""

import datetime
import importlib.metadata
import platform
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese import __version__
from siamese.datasets import recognise
from siamese.errors import InputError
from siamese.evaluate import report, report_images
from siamese.evaluate.embedded import Progress
from siamese.evaluate.protocol import describe_protocol
from siamese.evaluate.query_gallery import QueryGallery, describe_frames, embed_query_gallery
from siamese.evaluate.score_files import QUERIES, SCHEMA_VERSION, write_queries, write_score_report
from siamese.evaluate.scoring import (
    Ranked,
    Reranking,
    Scores,
    pairs_of,
    rank,
    sample_of,
    score_sources,
)
from siamese.inference import Model, doubt_channels, load_model
from siamese.inference.channels import SAMPLE
from siamese.metrics.blocks import Metric, check_metric
from siamese.metrics.bootstrap import (
    Interval,
    bootstrap_error_rates,
    bootstrap_ranking,
    bootstrap_verification,
)
from siamese.metrics.calibration import Calibration, share_words
from siamese.metrics.masks import person_codes
from siamese.metrics.pairs import PairCounts, PairSample
from siamese.metrics.ranking import RankingScores, single_shot_cmc
from siamese.metrics.reliability import Reliability, measure_reliability
from siamese.metrics.tracklets import TrackletPooling, mars_gallery
from siamese.metrics.verification import FALSE_ACCEPT_RATES, error_rates_at, score_verification


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
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores a model on a dataset's query and gallery, or on a record set.

    Of a record set it takes the validation part: the first image of each person and camera is a
    query, all images are the gallery. A dataset folder without a query part stands for the record
    set in its folder `records`, or, without one, for all its images.

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
        progress: Called with the images done and all images.

    Returns:
        The score report, ready for JSON; docs/scores.md says what each entry is.

    Raises:
        InputError: The model or the data cannot be used, or an option is out of range.
    """
    check_metric(metric)
    _check_options(data, pooling=pooling, frames=frames, pattern=pattern, seed=seed)
    if heat_maps is not None and output is None:
        raise InputError("heat maps are drawn in the report. Name a folder for it: `output`.")
    started, clock = datetime.datetime.now().astimezone(), time.perf_counter()
    if not isinstance(model, Model):
        model = load_model(model)
    query_gallery = embed_query_gallery(
        model,
        data,
        flip=flip,
        pooling=pooling,
        most_frames=frames,
        people=people,
        pattern=pattern,
        progress=progress,
    )
    embedded = time.perf_counter()
    images = query_gallery.images
    doubt = None if model.tells_channels else doubt_channels(model, _some_images(query_gallery))
    query, gallery = images.rows(query_gallery.query), images.rows(query_gallery.gallery)
    options: dict[str, Any] = {
        "metric": metric,
        "reranking": reranking,
        "expansion": expand_queries,
    }
    ranked = rank(query, gallery, **options)
    pairs = pairs_of(images, metric=metric)
    verification = score_verification(pairs, false_accept_rates=false_accept_rates)
    sample = sample_of(images, metric=metric, seed=seed)
    intervals: dict[str, Interval] = dict(bootstrap_ranking(ranked.scores, seed=seed).items())
    intervals.update(bootstrap_verification(sample, seed=seed))
    variants: dict[str, Any] = {}
    if query_gallery.dataset == "mars":
        rows = mars_gallery(len(images.names), query_gallery.query, protocol="torchreid")
        rows = np.intersect1d(rows, query_gallery.gallery)
        other = rank(query, images.rows(rows), **options).scores
        variants["mars_gallery_without_queries"] = _variant(other, seed)
    if single_shot:
        cmc = single_shot_cmc(
            query.embeddings, gallery.embeddings, ranked.mask, metric=metric, seed=seed
        )
        variants["single_gallery_shot"] = {
            "rank1": cmc[0], "rank5": cmc[4], "rank10": cmc[9], "cmc": list(cmc), "repeats": 10,
        }  # fmt: skip
    reliability = _measure_reliability(model.calibration, pairs, query_gallery)
    card = {
        "schema_version": SCHEMA_VERSION,
        **Scores(ranked.scores, verification).to_dict(),
        "intervals": {name: [each.low, each.high] for name, each in intervals.items()},
        "eer_threshold": verification.eer_threshold,
        "thresholds": [
            {"chosen_rate": chosen, **row}
            for chosen, row in zip(false_accept_rates, verification.to_dict()["table"], strict=True)
        ],
        "verification": {
            name: getattr(verification, name)
            for name in ("protocol", "same_pairs", "different_pairs", "people", "people_left_out")
        },
        "calibration": _describe_calibration(model.calibration, pairs, sample, reliability, seed),
        "variants": variants,
        "left_out": _count_reasons(ranked),
        **_sizes(query_gallery),
        "data": str(data),
        "dataset": query_gallery.dataset,
        "data_digest": query_gallery.digest(),
        "source": query_gallery.source,
        "notes": [*query_gallery.notes, *([doubt] if doubt else [])],
        "tracklets": _describe_tracklets(query_gallery, frames),
        **describe_model(model),
        "dimensions": int(images.embeddings.shape[1]),
        "flip": flip,
        "metric": metric,
        "rerank": None if reranking is None else vars(reranking),
        "expand_queries": expand_queries,
        "seed": seed,
        "started": started.isoformat(timespec="seconds"),
        "seconds": {
            "embedding": round(embedded - clock, 3),
            "scoring": round(time.perf_counter() - embedded, 3),
        },
        "per_query": None if output is None else QUERIES,
    }
    if len(query_gallery.sources) > 1:
        own = model.calibration
        card["sources"] = score_sources(
            images,
            query_gallery.query,
            query_gallery.gallery,
            query_gallery.sources,
            threshold=own.threshold if own is not None and own.metric == metric else None,
            **options,
        )
    card["protocol_text"] = describe_protocol(card)
    if output is not None:
        shown = report_images.choose_images(
            query_gallery, ranked, metric=metric, seed=seed, heat_maps=heat_maps
        )
        write_queries(query, ranked, _folder(output) / QUERIES)
        curves = report.Curves(
            ranking=ranked.scores, verification=verification, pairs=pairs, reliability=reliability
        )
        report.write_report(card, curves, shown, Path(output))
        # Last, so that a folder with a report is a whole one.
        write_score_report(card, Path(output) / "scores.json")
    return card


def describe_model(model: Model) -> dict[str, Any]:
    """What a score report says of the model and of what computed its embeddings."""
    return {
        "model": str(model.path),
        "fingerprint": model.fingerprint,
        "image_size": list(model.image_size),
        "preprocessing": model.preprocessing,
        "backend": model.runtime,
        "versions": _versions(model),
    }


def _check_options(
    data: str | Path,
    *,
    pooling: TrackletPooling | None,
    frames: int | None,
    pattern: str | None,
    seed: int,
) -> None:
    if seed < 0:
        raise InputError(f"`seed` must be >= 0. Received: seed={seed}")
    if frames is not None and pooling is None:
        from siamese.records import is_record_set

        place = Path(data)
        if is_record_set(place) or recognise(place, pattern).name != "mars":
            raise InputError(
                f"`frames` is of tracklets, and the images of {data} are scored one by one. "
                f"Received: frames={frames} without pooling. Give `pooling` too, or leave it out."
            )


def _folder(output: str | Path) -> Path:
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file. Give a folder for the score report.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").unlink(missing_ok=True)
    return folder


def _variant(scores: RankingScores, seed: int) -> dict[str, Any]:
    """The scores by another protocol, with their intervals."""
    found = bootstrap_ranking(scores, seed=seed)
    return {
        **scores.to_dict(),
        "intervals": {name: [each.low, each.high] for name, each in found.items()},
    }


def _count_reasons(ranked: Ranked) -> dict[str, int]:
    """How many queries were not scored, by the reason."""
    reasons = (
        ranked.mask.why_unmatched(row)
        for row in np.flatnonzero(~ranked.scores.per_query.scored).tolist()
    )
    return dict(Counter(reason for reason in reasons if reason is not None).most_common())


def _sizes(query_gallery: QueryGallery) -> dict[str, int]:
    images = query_gallery.images
    codes = person_codes(images.people, distractors=images.distractors)
    gallery = codes[query_gallery.gallery]
    cameras = images.cameras
    return {
        "people": len(np.unique(codes[query_gallery.query][codes[query_gallery.query] >= 0])),
        "gallery_people": len(np.unique(gallery[gallery >= 0])),
        "gallery_distractors": int((gallery == -1).sum()),
        "cameras": len(np.unique(cameras[cameras >= 0])),
        "images_without_camera": int((cameras < 0).sum()),
        "junk": query_gallery.junk,
    }


def _some_images(query_gallery: QueryGallery) -> list[NDArray[np.uint8]]:
    """Reads enough images, evenly spaced, to look at the order of their colours."""
    last = len(query_gallery.images.names) - 1
    rows = np.unique(np.linspace(0, last, SAMPLE).astype(int)).tolist()
    return list(query_gallery.read_pictures(rows).values())


def _describe_tracklets(
    query_gallery: QueryGallery, most_frames: int | None
) -> dict[str, Any] | None:
    facts = describe_frames(query_gallery)
    return None if facts is None else {**facts, "most_frames": most_frames}


def _measure_reliability(
    calibration: Calibration | None, pairs: PairCounts, query_gallery: QueryGallery
) -> Reliability | None:
    if calibration is None:
        return None
    if calibration.metric != pairs.metric:
        pairs = pairs_of(query_gallery.images, metric=calibration.metric)
    return measure_reliability(calibration, pairs)


def _describe_calibration(
    calibration: Calibration | None,
    pairs: PairCounts,
    sample: PairSample,
    reliability: Reliability | None,
    seed: int,
) -> dict[str, Any] | None:
    """What the model promises of its own threshold, and what came true on these people."""
    if calibration is None or reliability is None:
        return None
    promised, measured, intervals = calibration.error_rates(calibration.threshold), None, None
    words = None
    if calibration.metric == pairs.metric:
        found = error_rates_at(pairs, calibration.threshold)
        measured = [found.false_accept_rate, found.false_reject_rate]
        both = bootstrap_error_rates(sample, calibration.threshold, seed=seed)
        intervals = [[each.low, each.high] for each in both]
        at_bounds = [error_rates_at(pairs, bound) for bound in calibration.bounds()]
        words = share_words([(at.false_accept_rate, at.false_reject_rate) for at in at_bounds])
    accepts, rejects = calibration.false_accept_interval, calibration.false_reject_interval
    return {
        "threshold": calibration.threshold,
        "metric": calibration.metric,
        "promised_rates": list(promised),
        "promised_intervals": [list(accepts), list(rejects)] if accepts and rejects else None,
        "measured_rates": measured,
        "measured_intervals": intervals,
        "promised_words": calibration.word_rates(),
        "measured_words": words,
        "expected_calibration_error": reliability.expected_calibration_error,
    }


def _versions(model: Model) -> dict[str, str]:
    names = ["numpy", "scipy", model.runtime]
    names += [] if model.runtime in ("onnxruntime", "openvino") else ["keras"]
    found = {name: importlib.metadata.version(name) for name in names}
    return {"siamese": __version__, "python": platform.python_version(), **found}
