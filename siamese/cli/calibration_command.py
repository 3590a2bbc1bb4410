"""The command calibrate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from siamese.cli.program import Json, Stated, counting
from siamese.cli.verification_commands import open_model
from siamese.errors import OnCorrupt
from siamese.preprocessing import UNSTATED

if TYPE_CHECKING:
    from siamese.inference import Model
    from siamese.profiles import Profile


def calibrate(
    folder: Annotated[Path, tyro.conf.Positional],
    output: Path = Path("profile.json"),
    model: Path | None = None,
    false_accept_rate: float = 0.01,
    labels: Annotated[bool, tyro.conf.FlagConversionOff] = True,
    on_corrupt: OnCorrupt = "error",
    preprocessing: Stated = UNSTATED,
    json_: Json = False,
) -> None:
    """Measure a model on crops of your own cameras, whose people need not be known.

    Args:
        folder: Some 20 crops a camera or more, of 50 people or more; camera numbers in the names or
            as the dataset has them.
        output: The profile to write: JSON, which `siamese verify --profile` takes.
        model: Model file, .keras, .onnx or .xml; by default the model in use (siamese info).
        false_accept_rate: Share of strangers that the threshold is to accept.
        labels: Measure on people where at least 20 are known; False: as if nobody were.
        on_corrupt: What damaged images do: error names them all and ends, skip leaves them out.
        preprocessing: Of a model made elsewhere, where its file does not say.
        json_: Print one JSON object and nothing else.
    """
    from siamese import profiles
    from siamese.datasets.samples import walk_images

    opened = open_model(model, **preprocessing.given())
    with counting("images") as progress:
        profile = profiles.calibrate(
            folder,
            opened,
            false_accept_rate=false_accept_rate,
            labels=labels,
            on_corrupt=on_corrupt,
            progress=progress,
        )
    profile.write(output)
    summary = _summarise(profile, opened, output)
    summary["found"] = len(walk_images(folder))
    if json_:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        _print_summary(summary, profile.calibration.different_pairs)


def _summarise(profile: "Profile", model: "Model", output: Path) -> dict[str, Any]:
    calibration = profile.calibration
    accepted, missed = calibration.error_rates(calibration.threshold)
    return {
        "profile": str(output),
        "images": profile.images,
        "cameras": {number: each.images for number, each in profile.cameras.items() if number >= 0},
        "people": calibration.people or None,
        "pairing": profile.pairing,
        "same_person_share": profile.same_person_share,
        "threshold": calibration.threshold,
        "false_accept_rate": accepted,
        "false_accept_interval": calibration.false_accept_interval,
        "false_reject_rate": missed if calibration.people else None,
        "own_false_accept_rate": profile.own_false_accept_rate,
        "model": str(model.path),
        "fingerprint": profile.fingerprint,
    }


def _print_summary(found: dict[str, Any], pairs: int) -> None:
    from siamese.metrics.unlabelled import PRIOR_IMAGES

    cameras: dict[int, int] = found["cameras"]
    left_out = found["found"] - found["images"]
    print(
        f"images       {found['found']:,} found, {found['images']:,} used"
        + (f"; left out: {left_out:,} damaged" if left_out else "")
    )
    if cameras:
        shown = ", ".join(f"{number}: {count:,}" for number, count in list(cameras.items())[:12])
        print(f"cameras      {len(cameras)} ({shown}{', ...' if len(cameras) > 12 else ''})")
        if few := sum(count < PRIOR_IMAGES for count in cameras.values()):
            least = f"fewer than {PRIOR_IMAGES} images"
            print(f"             {few} of {least} are shrunk towards the whole")
    else:
        print("cameras      not known from these names: one set of statistics for all")
    if found["pairing"] is None:
        print(f"people       {found['people']:,} known: rates measured on their pairs")
    else:
        print(f"people       not known: rates from {pairs:,} pairs of {found['pairing']}")
        if found["pairing"] == "any two images":
            print("             several frames of one person make the threshold too strict")
    low, high = found["false_accept_interval"]
    print(
        f"threshold    {found['threshold']:.4f}: accepts {found['false_accept_rate']:.2%} of "
        f"strangers (95 %: {low:.2%} to {high:.2%})"
    )
    if (missed := found["false_reject_rate"]) is not None:
        print(f"             misses {missed:.1%} of the pairs of one person")
    else:
        print("             how many pairs of one person it misses is not known without labels")
    if (own := found["own_false_accept_rate"]) is not None:
        print(f"before       the model's own threshold accepts {own:.2%} of strangers here")
    print(f"model        {found['model']} ({found['fingerprint']})")
    print(f"wrote        {found['profile']}: give it to siamese verify --profile")
