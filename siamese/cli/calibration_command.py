"""The command calibrate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from siamese.cli.program import Flag, Stated, counting
from siamese.cli.verification_commands import open_model
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
    preprocessing: Stated = UNSTATED,
    json_: Annotated[Flag, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure a model on crops of your own cameras, whose people need not be known.

    Args:
        folder: Some 20 crops a camera or more, of 50 people or more; camera numbers in the names or
            as the dataset has them.
        output: The profile to write: JSON, which `siamese verify --profile` takes.
        model: Model file, .keras, .onnx or .xml; by default the newest in runs, else `pretrained`,
            the one that comes with the program.
        false_accept_rate: Share of strangers that the threshold is to accept.
        labels: Measure on people where at least 20 are known; False: as if nobody were.
        preprocessing: Of a model made elsewhere, where its file does not say.
        json_: Print one JSON object and nothing else.
    """
    from siamese import profiles

    opened = open_model(model, **preprocessing.given())
    with counting("images") as progress:
        profile = profiles.calibrate(
            folder, opened, false_accept_rate=false_accept_rate, labels=labels, progress=progress
        )
    profile.write(output)
    if json_:
        print(json.dumps(_summary(profile, opened, output), ensure_ascii=False))
    else:
        _print_profile(profile, opened, output)


def _summary(profile: "Profile", model: "Model", output: Path) -> dict[str, Any]:
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


def _print_profile(profile: "Profile", model: "Model", output: Path) -> None:
    calibration = profile.calibration
    accepted, missed = calibration.error_rates(calibration.threshold)
    cameras = {number: each.images for number, each in profile.cameras.items() if number >= 0}
    print(f"images       {profile.images:,}")
    if cameras:
        shown = ", ".join(f"{number}: {count:,}" for number, count in list(cameras.items())[:12])
        print(f"cameras      {len(cameras)} ({shown}{', ...' if len(cameras) > 12 else ''})")
        if few := [number for number, count in cameras.items() if count < 20]:
            print(f"             {len(few)} of fewer than 20 images are shrunk towards the whole")
    else:
        print("cameras      not known from these names: one set of statistics for all")
    if profile.pairing is None:
        print(f"people       {calibration.people:,} known: rates measured on their pairs")
    else:
        print(
            f"people       not known: rates from {calibration.different_pairs:,} pairs of "
            f"{profile.pairing}"
        )
        if profile.pairing == "any two images":
            print("             several frames of one person make the threshold too strict")
    low, high = calibration.false_accept_interval or (0.0, 1.0)
    print(
        f"threshold    {calibration.threshold:.4f}: accepts {accepted:.2%} of strangers "
        f"(95 %: {low:.2%} to {high:.2%})"
    )
    known = (
        f"misses {missed:.1%} of the pairs of one person"
        if calibration.people
        else ("how many pairs of one person it misses is not known without labels")
    )
    print(f"             {known}")
    if (own := profile.own_false_accept_rate) is not None:
        print(f"before       the model's own threshold accepts {own:.2%} of strangers here")
    print(f"model        {model.path} ({profile.fingerprint})")
    print(f"wrote        {output}: give it to siamese verify --profile")
