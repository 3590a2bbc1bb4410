"""The commands evaluate and compare."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from siamese.cli.identities_command import print_cluster_scores
from siamese.cli.program import POSITIONAL, Json, Option, Stated, counting
from siamese.cli.verification_commands import open_model, open_profile
from siamese.errors import InputError, OnCorrupt
from siamese.preprocessing import UNSTATED, describe_preprocessing

if TYPE_CHECKING:
    from siamese.evaluate import ScoreReport
    from siamese.evaluate.report_images import HeatMaps
    from siamese.evaluate.small_set_protocol import SmallSetReport


def evaluate(
    data: Path,
    model: Path | None = None,
    output: Path | None = None,
    flip: bool = False,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    rerank: bool = False,
    k1: int | None = None,
    k2: int | None = None,
    lambda_: Annotated[float | None, Option(name="lambda")] = None,
    expand_queries: int | None = None,
    pooling: Literal["mean", "max", "median"] | None = None,
    frames: int | None = None,
    single_shot: bool = False,
    false_accept_rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 5e-2, 1e-1),
    preprocessing: Stated = UNSTATED,
    heat_maps: bool = False,
    protocol: Literal["standard", "small_set"] = "standard",
    splits: int | None = None,
    people: str | None = None,
    pattern: str | None = None,
    on_corrupt: OnCorrupt = "error",
    profile: Path | None = None,
    identities: bool = False,
    seed: int = 0,
    json_: Json = False,
) -> None:
    """Score a model on people it has not seen: Rank-k, mAP, mINP, EER, with 95 % intervals.

    Leaves a folder with scores.json, queries.csv, report.html (one file, opens anywhere) and its
    pictures as PNG. What each number is: docs/scores.md.

    Args:
        data: A dataset folder with a query and a gallery part, or the folder of a record set, or
            any folder of people: then the first image of each person and camera is a query.
        model: Model file, .keras, .onnx or .xml; by default the model in use (siamese info).
        output: Folder for the score report; by default results/MODEL-DATA, with --json none.
        flip: Average each embedding with that of the mirrored image.
        metric: Distance between embeddings; as these have length 1, both rank alike.
        rerank: Re-rank by k-reciprocal encoding (Zhong et al. 2017).
        k1: Of --rerank: neighbours that may be reciprocal; by default 20.
        k2: Of --rerank: nearest images whose encodings are averaged; by default 6.
        lambda_: Of --rerank: weight of the original distance, 0 to 1; by default 0.3.
        expand_queries: Replace each query by the mean of itself and so many nearest gallery images.
        pooling: Score tracklets in place of images, their frames pooled so. Official MARS is always
            scored by tracklets, by mean unless said otherwise.
        frames: Of a longer tracklet use so many frames, evenly spaced; by default all.
        single_shot: Score CUHK03's single-gallery-shot protocol as well.
        false_accept_rates: Rows of the threshold table.
        preprocessing: Of a model made elsewhere, where its file does not say.
        heat_maps: Show on the rank lists where images matched the query (.keras only).
        protocol: small_set asks for random halves of the people, one query and one gallery image
            each, and prints mean and spread, as small sets are scored (docs/scores.md).
        splits: Of small_set: how many halves, by default 10; 0 asks for all people, once.
        people: Slice of the people of a folder, sorted by number: 316: leaves the first 316 out,
            :316 takes them.
        pattern: Regular expression with the groups person, camera, tracklet, frame, for file names
            of your own form; or how to read them (docs/datasets.md): folders, names, cuhk01, ...
        on_corrupt: What damaged images of a folder do: error names them all and ends, skip leaves
            them out and counts them.
        profile: Profile by `siamese calibrate` of these cameras: scores with and without it.
        identities: Also cluster the images into people without labels, and score that.
        seed: Of the draws: intervals, rank lists, single shot, small_set.
        json_: Print one JSON object and nothing else.
    """
    numbers: dict[str, Any] = {"k1": k1, "k2": k2, "original_weight": lambda_}
    numbers = {name: number for name, number in numbers.items() if number is not None}
    if numbers and not rerank:
        raise InputError(
            "--k1, --k2 and --lambda are for --rerank. Received: no --rerank. Add it or leave them."
        )
    small_set = protocol == "small_set"
    if small_set:
        others = {"rerank": rerank, "expand_queries": expand_queries, "pooling": pooling,
                  "frames": frames, "single_shot": single_shot, "heat_maps": heat_maps,
                  "identities": identities}  # fmt: skip
        if given := [f"--{name}" for name, value in others.items() if value]:
            raise InputError(
                f"--protocol small_set goes without --{', --'.join(others)}. Received: "
                f"{', '.join(given)}. Leave them, or the protocol."
            )
    elif splits is not None:
        raise InputError("--splits is of --protocol small_set. Received: no such. Add it.")
    if heat_maps and json_ and output is None:
        raise InputError(
            "--heat_maps are drawn in the report, and --json writes none. Add --output FOLDER."
        )
    from siamese.inference import find_model

    path = find_model(model)
    if heat_maps and path.suffix.lower() != ".keras" and not path.with_suffix(".keras").is_file():
        raise InputError(
            f"--heat_maps need a .keras model. Received: {path}. Give the .keras file that it was "
            "exported from."
        )
    stated = open_profile(profile)
    # Heat maps are of the .keras file; all else is faster by the ONNX file beside it.
    opened = open_model(path if heat_maps else model, **preprocessing.given())
    from siamese.evaluate import Reranking
    from siamese.evaluate import evaluate as stage

    if output is None and not json_:
        output = default_output(path, data, flip=flip, rerank=rerank, expanded=expand_queries)
        if people is not None:
            output = output.with_name(f"{output.name}-{people.replace(':', 'to')}")
        if profile is not None:
            output = output.with_name(f"{output.name}-{profile.stem}")
    options: dict[str, Any] = {
        "flip": flip,
        "metric": metric,
        "seed": seed,
        "output": output,
        "people": people,
        "pattern": pattern,
        "on_corrupt": on_corrupt,
        "profile": stated,
    }
    if small_set:
        halves = 10 if splits is None else splits
        _evaluate_small_set(opened, data, json_, splits=halves, **options)
        return
    with counting("images") as progress:
        report = stage(
            opened,
            data,
            reranking=Reranking(**numbers) if rerank else None,
            expand_queries=expand_queries,
            pooling=pooling,
            frames=frames,
            single_shot=single_shot,
            false_accept_rates=false_accept_rates,
            heat_maps=_heat_maps(opened) if heat_maps else None,
            identities=identities,
            progress=progress,
            **options,
        )
    if json_:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
        return
    print_scores(report, title=report.source)
    _print_origin(report, output, "report.html")


def _evaluate_small_set(model: Any, data: Path, json_: bool, **options: Any) -> None:
    from siamese.evaluate.small_set_protocol import REPORT, evaluate_small_set

    with counting("images") as progress:
        report = evaluate_small_set(model, data, progress=progress, **options)
    if json_:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
        return
    print(f"{data} ({report.dataset})")
    for sentence in report.protocol_text:
        print(f"  {sentence}")
    for label, names in (
        ("ranking", {"Rank-1": "rank1", "Rank-5": "rank5", "Rank-10": "rank10"}),
        ("", {"mAP": "mAP", "mINP": "mINP"}),
        ("verification", {"EER": "eer"}),
        ("accepted", {"FAR 0.01": "tar_at_far_0.01", "FAR 0.001": "tar_at_far_0.001"}),
    ):
        shown = "   ".join(f"{word} {report.scores[name]}" for word, name in names.items())
        print(f"  {label:<12} {shown}")
        if (before := report.without_profile) is not None:
            shown = "   ".join(f"{word} {before[name]}" for word, name in names.items())
            print(f"  {'  without':<12} {shown}")
    if (own := report.own_threshold) is not None:
        print(
            f"  {'threshold':<12} {own.threshold:.4f} of the "
            f"{'model' if report.profile is None else 'profile'}: strangers accepted "
            f"{own.false_accept_rate} (promised {own.promised_rates[0]:.3f}), people rejected "
            f"{own.false_reject_rate}"
        )
    _print_origin(report, options["output"], REPORT)


def _print_origin(report: "ScoreReport | SmallSetReport", output: Path | None, file: str) -> None:
    for note in report.notes:
        print(f"  note         {note}")
    print(f"model        {report.model} ({report.fingerprint})")
    if report.preprocessing is not None:
        print(f"images as    {describe_preprocessing(report.preprocessing)}")
    if output is not None:
        print(f"report       {output / file}")


def compare(
    first: Annotated[Path, POSITIONAL],
    second: Annotated[Path, POSITIONAL],
    samples: int = 2000,
    seed: int = 0,
    json_: Json = False,
) -> None:
    """Say whether the difference between two score reports is more than noise.

    Both must have been scored by siamese evaluate on the same images by the same protocol. People
    are drawn at random, and each draw scores both models (paired bootstrap).

    Args:
        first: scores.json of the first model, or its folder; queries.csv lies beside it.
        second: Of the second model.
        samples: Draws of people.
        seed: Of the draws.
        json_: Print one JSON object and nothing else.
    """
    from siamese.evaluate import compare_scores

    found = compare_scores(first, second, samples=samples, seed=seed)
    values = found.to_dict()
    if json_:
        print(json.dumps(values, ensure_ascii=False))
        return
    for name, path in (("first", first), ("second", second)):
        facts = values[name]
        model, fingerprint = facts.pop("model"), facts.pop("fingerprint")
        options = "".join(f", {key} {value}" for key, value in facts.items())
        print(f"{name:7} {path}: {model} ({fingerprint}){options}")
    print(f"{'':15}{'first':>8}{'second':>8}{'difference':>12}   95 %{'':14}p")
    for name, row in values["scores"].items():
        low, high = row["interval"]
        print(
            f"{name:15}{row['first']:8.4f}{row['second']:8.4f}{row['difference']:+12.4f}   "
            f"{low:+.4f} to {high:+.4f}  {row['p_value']:.3f}  "
            + ("more than noise" if row["more_than_noise"] else "within noise")
        )
    print(values["verdict"])


def default_output(
    model: Path, data: Path, *, flip: bool, rerank: bool, expanded: int | None
) -> Path:
    """Names the folder of a score report after what was scored: `results/osnet-market1501-flip`."""
    name = model.absolute().parent.name if model.name == "model.keras" else model.stem
    parts = [name, data.absolute().name]
    parts += ["flip"] * flip + ["rerank"] * rerank
    if expanded is not None:
        parts.append(f"expand{expanded}")
    return Path("results") / "-".join(parts)


def print_scores(report: "ScoreReport", *, title: str) -> None:
    """Prints a score report in a few lines."""
    left_out = report.queries_without_match
    print(title)
    print(
        f"  {report.protocol}: {report.queries:,} queries"
        + (f" ({left_out:,} more have no match)" if left_out else "")
        + f", gallery of {report.gallery:,}"
    )
    for name, part in (("untrained", report.untrained), ("pretrained", report.pretrained)):
        if part is not None:
            print(f"  {name:<12} Rank-1 {part.rank1:.3f}   mAP {part.mAP:.3f}   EER {part.eer:.3f}")
    print(
        f"  ranking      Rank-1 {report.rank1:.3f}   Rank-5 {report.rank5:.3f}   "
        f"Rank-10 {report.rank10:.3f}   mAP {report.mAP:.3f} (trapezoid "
        f"{report.mAP_trapezoid:.3f})   mINP {report.mINP:.3f}"
    )
    for name, found in (report.variants or {}).items():
        shown = f"  {name.replace('_', ' ')}: Rank-1 {found.rank1:.3f}"
        if found.mAP is not None:
            shown += f"   mAP {found.mAP:.3f}   {found.queries:,} queries"
        print(shown)
    tar = "   ".join(f"{rate:.3f} at FAR {far}" for far, rate in report.tar_at_far.items())
    print(f"  verification EER {report.eer:.3f}   AUC {report.auc:.3f}   accepted: {tar}")
    if (plain := report.without_profile) is not None:
        tar = "   ".join(
            f"{rate:.3f} at FAR {far}" for far, rate in (plain.tar_at_far or {}).items()
        )
        print(
            f"  no profile   Rank-1 {plain.rank1:.3f}   mAP {plain.mAP:.3f}   EER {plain.eer:.3f}"
            f"   accepted: {tar}"
        )
        if plain.rates_at_threshold is not None:
            print(
                "               the model's own threshold: strangers accepted {:.2%}, people "
                "rejected {:.2%}".format(*plain.rates_at_threshold)
            )
    if report.identities is not None:
        print_cluster_scores(report.identities, "  identities  ")
    for name, found in (report.sources or {}).items():
        scores = f", not scored: {found.not_scored}"
        if found.not_scored is None:
            scores = f"   Rank-1 {found.rank1:.3f}   mAP {found.mAP:.3f}   EER {found.eer:.3f}"
        print(f"  {name:<12} {found.people} people{scores}")
    if (own := report.calibration) is not None:
        for number, (word, accepted, rejected) in enumerate(own.describe()):
            print(
                f"  {'' if number else 'threshold':<12} {own.threshold:.4f} {word}: "
                f"strangers accepted {accepted}, people rejected {rejected}"
            )
        for number, (word, shares) in enumerate(own.word_table()):
            if not number:
                print(
                    "  verdict             one person  promised  two people  promised  "
                    "wrong at even odds"
                )
            said = ["" if share is None else f"{share:.2%}" for share in shares[:-1]]
            wrong = "" if shares[-1] is None else f"{shares[-1]:.1%}"
            print("  {:<18}  {:>10}  {:>8}  {:>10}  {:>8}  {:>18}".format(word, *said, wrong))
    if report.intervals is not None:
        names = {"rank1": "Rank-1", "mAP": "mAP", "mINP": "mINP", "eer": "EER"}
        shown = "   ".join(
            "{} {:.3f} to {:.3f}".format(label, *report.intervals[name])
            for name, label in names.items()
        )
        print(f"  95 %         {shown}  (bootstrap over people)")


def _heat_maps(model: Any) -> "HeatMaps":
    """Draws on a query and on an image of its rank list where they matched."""
    from siamese.explain import explain
    from siamese.plots import overlay_heat

    def draw(query: Any, place: Any) -> tuple[Any, Any]:
        found = explain(query, place, model)
        strongest = max(float(found.first.max()), float(found.second.max()))
        return (
            overlay_heat(query, found.first, strongest),
            overlay_heat(place, found.second, strongest),
        )

    return draw
