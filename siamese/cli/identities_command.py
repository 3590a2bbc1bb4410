"""The command identities."""

import csv
import json
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from siamese.cli.gallery_commands import open_gallery
from siamese.cli.program import POSITIONAL, Json, Stated, counting
from siamese.cli.verification_commands import open_model, open_profile
from siamese.errors import InputError, OnCorrupt
from siamese.preprocessing import UNSTATED

if TYPE_CHECKING:
    from siamese.datasets import Sample
    from siamese.gallery import Gallery
    from siamese.identities import Identities
    from siamese.metrics.clustering import ClusterScores

NAMES_FILE = "identities-names.csv"
_TICK = timedelta(microseconds=1)


def identities(
    folder: Annotated[Path, POSITIONAL],
    output: Path = Path("identities.csv"),
    sheet: Path | None = None,
    model: Path | None = None,
    profile: Path | None = None,
    false_accept_rate: float = 0.01,
    on_corrupt: OnCorrupt = "error",
    tracklets: bool = False,
    frames: bool = False,
    names: bool = False,
    undo: Path | None = None,
    preprocessing: Stated = UNSTATED,
    json_: Json = False,
) -> None:
    """Find out which images show one person, across cameras, without a label.

    Args:
        folder: Images at any depth, or a gallery; the names of people, where they are known, serve
            for scores.
        output: The table to write: image, identity, confidence.
        sheet: Picture of the largest identities, a row each; none by default.
        model: Model file, .keras, .onnx or .xml; by default the model in use (siamese info).
        profile: Profile of these cameras, which `siamese calibrate` wrote; a gallery has a
            calibration of its own.
        false_accept_rate: Share of pairs of two people that the threshold takes for one.
        on_corrupt: What damaged images do: error names them all and ends, skip leaves them out.
        tracklets: Images of one camera and tracklet (and name, where known) show one person. Not
            for Market-1501, whose names hold sequences.
        frames: Two images of one camera and frame (in a gallery: time) show two people. Not where
            frames are numbered within tracklets, as in MARS.
        names: Write names into the gallery: an image without a name takes the one name that its
            identity has, or "identity 7"; a single image takes none. identities-names.csv beside
            the output undoes it.
        undo: Such a file: takes the names of a gallery back that are still as they were given.
        preprocessing: Of a model made elsewhere, where its file does not say.
        json_: Print one JSON object and nothing else.
    """
    from siamese import identities as stage
    from siamese.datasets import measure_coverage

    stated = open_profile(profile)
    gallery = None
    if (folder / "images.lance").is_dir():
        gallery = open_gallery(str(folder), model, preprocessing)
    if gallery is None and (names or undo is not None):
        raise InputError(f"{folder}: is no gallery. --names and --undo are of galleries.")
    if gallery is not None and undo is not None:
        print(f"renamed      {_take_back(gallery, undo):,} images as before")
        return
    options: dict[str, Any] = {
        "false_accept_rate": false_accept_rate, "tracklets": tracklets, "frames": frames,
    }  # fmt: skip
    coverage = None
    if gallery is not None:
        if stated is not None:
            raise InputError("--profile is of folders. Received: a gallery, which has its own.")
        opened = gallery.model
        found = _group_gallery(gallery, options)
    else:
        opened = open_model(model, **preprocessing.given())
        with counting("images") as progress:
            found = stage.find_identities(
                folder,
                opened,
                profile=stated,
                on_corrupt=on_corrupt,
                progress=progress,
                **options,
            )
        coverage = measure_coverage(folder, None, (each.path for each in found.samples))
    found.write(output)
    if sheet is not None:
        _draw(found, sheet)
    named = _give_names(gallery, found, output.with_name(NAMES_FILE)) if names and gallery else None
    number = int(found.numbers.max()) + 1
    if json_:
        answer = {
            "images": len(found.numbers),
            "coverage": None if coverage is None else asdict(coverage),
            "identities": number,
            "threshold": found.threshold,
            "links": [vars(each) for each in found.links],
            "scores": None if found.scores is None else found.scores.to_dict(),
            "named": named,
            "output": str(output),
            "model": str(opened.path),
            "fingerprint": opened.fingerprint,
        }
        print(json.dumps(answer, ensure_ascii=False))
        return
    shown = f"{len(found.numbers):,}" if coverage is None else coverage.describe()
    print(f"images       {shown}")
    print(f"identities   {number:,}, joined up to a distance of {found.threshold:.4f}")
    asked = "; Review of siamese app asks about such" if gallery is not None else ""
    print(f"unsure       {len(found.links):,} pairs of identities may be one person{asked}")
    if found.scores is not None:
        print_cluster_scores(found.scores, "people       ")
    if named is not None:
        print(f"named        {named:,} images; {output.with_name(NAMES_FILE)} undoes it: --undo")
    print(f"model        {opened.path} ({opened.fingerprint})")
    print(f"wrote        {output}" + (f", {sheet}" if sheet is not None else ""))


def print_cluster_scores(scores: "ClusterScores", head: str) -> None:
    """Prints how well found identities agree with people, in two lines."""
    low, high = scores.bcubed_f1_interval
    print(
        f"{head}{scores.identities:,} found of {scores.people:,} people: B-cubed F1 "
        f"{scores.bcubed_f1:.3f} [{low:.3f}, {high:.3f}], precision {scores.bcubed_precision:.3f}, "
        f"recall {scores.bcubed_recall:.3f}"
    )
    print(
        f"{'':{len(head)}}of pairs: precision {scores.pair_precision:.3f}, recall "
        f"{scores.pair_recall:.3f}; V-measure {scores.v_measure:.3f}"
    )


def _group_gallery(gallery: "Gallery", options: dict[str, Any]) -> "Identities":
    from siamese.datasets import Sample
    from siamese.identities import group_images

    calibration = gallery.own_calibration.choose(gallery.model.calibration)
    if calibration is None:
        raise InputError(
            f"{gallery.path}: neither the gallery nor its model holds a calibration. Run siamese "
            "gallery calibrate."
        )
    rows, table = gallery.read_rows()
    samples = [
        Sample(
            row["path"],
            row["person"] or "",
            -1 if row["camera"] is None else row["camera"],
            -1 if row["tracklet"] is None else row["tracklet"],
            -1 if row["time"] is None else (row["time"] - datetime(1970, 1, 1)) // _TICK,
        )
        for row in table.select(["path", "person", "camera", "tracklet", "time"]).to_pylist()
    ]
    return group_images(samples, rows, calibration, **options)


def _give_names(gallery: "Gallery", found: "Identities", path: Path) -> int:
    """Names the images that have none, and writes what undoes it first."""
    from siamese.files import write_csv

    members: dict[int, list[Sample]] = {}
    for number, sample in zip(found.numbers.tolist(), found.samples, strict=True):
        members.setdefault(number, []).append(sample)
    taken = {each.person for each in found.samples}
    free = (name for number in count() if (name := f"identity {number}") not in taken)
    given: dict[str, str] = {}
    for together in members.values():
        known = {each.person for each in together} - {""}
        nameless = [each.path for each in together if not each.person]
        if nameless and len(together) > 1:  # a single image is as well without a name
            given |= dict.fromkeys(nameless, known.pop() if len(known) == 1 else next(free))
    write_csv(path, [("image", "name"), *given.items()])
    return gallery.rename(given)


def _take_back(gallery: "Gallery", path: Path) -> int:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            given = {row["image"]: row["name"] for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError):
        raise InputError(f"{path}: is not what --names wrote. Give {NAMES_FILE}.") from None
    kept = [each.path for each in gallery.images() if given.get(each.path) == each.person]
    return gallery.rename(dict.fromkeys(path for path in kept if path in given))


def _draw(found: "Identities", path: Path, rows: int = 8, columns: int = 8) -> None:
    import numpy as np

    from siamese import plots
    from siamese.images import read_image

    heads, lines = [], []
    for number in range(min(rows, int(found.numbers.max()) + 1)):
        members = np.flatnonzero(found.numbers == number)[:columns]
        pictures = [read_image(found.samples[each].path) for each in members]
        heads.append((pictures[0], f"identity {number}"))
        lines.append(
            [
                plots.RankedImage(picture, None, f"{min(found.confidence[each], 0.999):.1%}")
                for picture, each in zip(pictures[1:], members[1:], strict=True)
            ]
        )
    plots.save(plots.plot_rank_lists(heads, lines, titles=False), path)
