"""Commands on folders of crops: embed, find_similar, calibrate."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from siamese.cli.program import POSITIONAL, Json, Option, Stated, counting, say_dry
from siamese.cli.verification_commands import camera_of, open_model, open_or_name, open_profile
from siamese.errors import OnCorrupt
from siamese.preprocessing import UNSTATED, describe_preprocessing

EQUAL = 1e-6
"""Distances that differ by less are equal, but for rounding."""


def embed(
    folder: Annotated[Path, POSITIONAL],
    output: Path = Path("embeddings.npz"),
    model: Path | None = None,
    flip: bool = False,
    on_corrupt: OnCorrupt = "error",
    profile: Path | None = None,
    dry_run: bool = False,
    preprocessing: Stated = UNSTATED,
) -> None:
    """Embed all images of a folder into one file: image, person, camera, tracklet, embedding.

    An interrupted run goes on where it stopped when the same command is given again.

    Args:
        folder: Images at any depth; a dataset, or any other folder.
        output: The file to write: .csv, .npz or .parquet.
        model: Model file, .keras, .onnx or .xml; by default the model in use (siamese info).
        flip: Average each embedding with that of the mirrored image.
        on_corrupt: What damaged images do: error names them all and ends, skip leaves them out.
        profile: Profile of these cameras, which `siamese calibrate` wrote: standardises embeddings.
        dry_run: Say what would be written, and write nothing.
        preprocessing: Of a model made elsewhere, where its file does not say.
    """
    from siamese.datasets import measure_coverage
    from siamese.embeddings import check_output, embed_folder, list_all

    stated = open_profile(profile)
    opened = open_model(model, **preprocessing.given())
    if dry_run:
        check_output(output)
        say_dry(output, f"embeddings of {len(list_all(folder, on_corrupt)):,} images")
        return
    with counting("images") as progress:
        table = embed_folder(
            folder,
            output,
            opened,
            flip=flip,
            on_corrupt=on_corrupt,
            profile=stated,
            progress=progress,
        )
    people = len(set(table.people.tolist()) - {""})
    print(f"wrote        {output}")
    print(f"embeddings   {len(table):,} images of {table.embeddings.shape[1]} numbers")
    print(f"images       {measure_coverage(folder, None, table.images.tolist()).describe()}")
    print(f"people       {people:,}" if people else "people       not known from these names")
    print(f"model        {opened.path} ({table.fingerprint})")
    if table.preprocessing is not None:
        print(f"images as    {describe_preprocessing(table.preprocessing)}")


def find_similar(
    image: Annotated[Path, POSITIONAL],
    embeddings: Path = Path("embeddings.npz"),
    k: Annotated[int, Option(aliases=("-k",))] = 5,
    model: Path | None = None,
    profile: Path | None = None,
    camera: int | None = None,
    output: Path | None = None,
    preprocessing: Stated = UNSTATED,
    json_: Json = False,
) -> None:
    """Find the images of a folder that are nearest to an image, by its stored embeddings.

    For a database with filters, time and new images every day there is `siamese gallery`.

    Args:
        image: The image to look for.
        embeddings: A file that `siamese embed` wrote.
        k: How many images.
        model: Model file that made the embeddings; by default it is looked for.
        profile: Profile that the embeddings were standardised by.
        camera: Number in the profile of the camera of the image; by default as its name tells, else
            that of no camera.
        output: Picture of the image and the nearest ones; none by default.
        preprocessing: Of a model made elsewhere, where its file does not say.
        json_: Print one JSON object and nothing else.
    """
    from siamese.embeddings import find_similar_images, read_embeddings
    from siamese.images import read_image

    pixels = read_image(image)
    table = read_embeddings(embeddings)
    chosen = open_or_name(model, preprocessing, table.fingerprint.partition("-")[0])
    stated = open_profile(profile)
    number = camera_of(image) if camera is None else camera
    found = find_similar_images(pixels, table, k, model=chosen, profile=stated, camera=number)
    if len(found) > 1 and found[-1].distance - found[0].distance < EQUAL:
        print(
            f"note: the {len(found)} nearest are all at the distance {found[0].distance:.4f}: the "
            "images are equal, or the model has collapsed and tells nobody apart. Try --model "
            "pretrained with embeddings of it",
            file=sys.stderr,
        )
    if json_:
        answer = {
            "image": str(image),
            "fingerprint": table.fingerprint,
            "closest": [each.to_dict() for each in found],
        }
        print(json.dumps(answer, ensure_ascii=False))
    else:
        for rank, each in enumerate(found, start=1):
            person = f"person {each.person}" if each.person else "person not known"
            print(f"{rank:3}  {each.distance:.4f}  {person}  {each.image}")
    if output is not None:
        from siamese import plots
        from siamese.gallery.sources import open_or_blank

        closest = [
            plots.RankedImage(open_or_blank(each.image), None, _caption(each.person, each.distance))
            for each in found
        ]
        figure = plots.plot_rank_lists([(pixels, image.name)], [closest])
        plots.save(figure, output)
        if not json_:
            print(f"picture      {output}")


def _caption(person: str, distance: float) -> str:
    return f"{person}\n{distance:.3f}" if person else f"{distance:.3f}"


def calibrate(
    folder: Annotated[Path, POSITIONAL],
    output: Path = Path("profile.json"),
    model: Path | None = None,
    false_accept_rate: float = 0.01,
    labels: bool = True,
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
    from siamese.embeddings import list_all

    opened = open_model(model, **preprocessing.given())
    samples = list_all(folder)
    with counting("images") as progress:
        profile = profiles.calibrate(
            samples,
            opened,
            false_accept_rate=false_accept_rate,
            labels=labels,
            on_corrupt=on_corrupt,
            progress=progress,
        )
    profile.write(output)
    calibration = profile.calibration
    accepted, missed = calibration.error_rates(calibration.threshold)
    summary = {
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
        "model": str(opened.path),
        "fingerprint": profile.fingerprint,
        "found": len(samples),
    }
    if json_:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        _print_summary(summary, calibration.different_pairs)


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
