"""The commands verify and explain, and how commands open a model."""

import csv
import gc
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from siamese.cli.program import POSITIONAL, Json, Option, Stated, chance, counting, import_quietly
from siamese.errors import InputError
from siamese.preprocessing import UNSTATED, Preprocessing

if TYPE_CHECKING:
    from siamese.explain import Explanation
    from siamese.inference import Model, Verification
    from siamese.profiles import Profile


def open_model(model: Path | None, **options: Any) -> "Model":
    """Opens a model for a command: the given file, or the fastest form of it."""
    from siamese.inference import find_fastest, load_model

    path = find_fastest(model)
    if path.suffix.lower() != ".keras":
        return load_model(path, **options)
    # A million objects are made that stay; to look for garbage among them takes an eighth longer.
    gc.disable()
    try:
        import_quietly("keras")
        return load_model(path, **options)
    finally:
        gc.enable()


def open_or_name(
    model: Path | None,
    preprocessing: Preprocessing,
    fingerprint: str = "",
    remembered: str | None = None,
) -> "Model | Path":
    """Opens a model that is stated; names it otherwise, to be opened as it was when it embedded.

    Args:
        model: What the option --model gave.
        preprocessing: What is stated of a model made elsewhere.
        fingerprint: Of the model that made embeddings, which is looked for where none was given.
        remembered: The file that it was then.

    Returns:
        An open model or the file, for a stage that knows what was stated before.
    """
    from siamese.inference import find_by_fingerprint, find_fastest

    path = None
    if model is None and fingerprint:
        path = find_by_fingerprint(fingerprint, remembered)
    path = path or find_fastest(model)
    if preprocessing.given():
        return open_model(path, **preprocessing.given())
    if path.suffix.lower() == ".keras":
        import_quietly("keras")
    return path


def open_profile(path: Path | None) -> "Profile | None":
    """Reads what the option --profile gave, if anything."""
    if path is None:
        return None
    from siamese.profiles import read_profile

    return read_profile(path)


def camera_of(image: Path) -> int:
    """Reads the number of the camera from a file name; -1 where it does not tell."""
    from siamese.datasets.samples import read_name

    told = read_name(image.name)
    return -1 if told is None else told.camera


def verify(
    images: Annotated[tuple[Path, ...], POSITIONAL] = (),
    model: Path | None = None,
    output: Path | None = None,
    json_: Json = False,
    pairs: Path | None = None,
    prior: float = 0.5,
    profile: Path | None = None,
    camera1: int | None = None,
    camera2: int | None = None,
    exit_code: bool = False,
    img1: Annotated[Path | None, Option(aliases=("-i1",), metavar="PATH")] = None,
    img2: Annotated[Path | None, Option(aliases=("-i2",), metavar="PATH")] = None,
    preprocessing: Stated = UNSTATED,
) -> int:
    """Say whether two images show the same person, and how sure that is.

    Args:
        images: The two images.
        model: Model file; by default the model in use (siamese info). Also pretrained, the one
            that comes with the program, or newest, that of the newest run.
        output: Picture of the pair with the verdict; with --pairs the table. By default none, and
            the table is printed.
        json_: Print one JSON object and nothing else; with --pairs one in each line.
        pairs: CSV file of pairs, with the columns img1 and img2, in place of images. Its rows come
            out with their verdicts, as CSV.
        prior: How probable it was before that both show one person, above 0 and below 1.
        profile: Profile of your own cameras, which `siamese calibrate` wrote.
        camera1: Number in the profile of the camera of the first image; by default as its name
            tells, else that of no camera.
        camera2: The same for the second image.
        exit_code: Exit with 0 for the same person (also probably), 1 for different people, 3 for
            unsure; errors exit with 2.
        img1: The first image, in place of the two above.
        img2: The second image.
        preprocessing: Of a model made elsewhere, where its file does not say.
    """
    from siamese.errors import InputError
    from siamese.images import read_image

    paths = [*images, *(path for path in (img1, img2) if path is not None)]
    if pairs is not None:
        if paths or exit_code or camera1 is not None or camera2 is not None:
            raise InputError(
                "--pairs goes without images, cameras and --exit_code. Put them into the columns "
                "img1, img2, camera1 and camera2."
            )
        rows = read_pairs(pairs)
        chosen = open_profile(profile)
        opened = open_model(model, **preprocessing.given())
        verify_table(rows, opened, prior, chosen, output, json_)
        return 0
    if len(paths) != 2:
        raise InputError(
            f"two images are needed. Received: {len(paths)}. Give siamese verify a.jpg b.jpg, or "
            "--img1 and --img2."
        )
    pixels = [read_image(path) for path in paths]  # a wrong path is answered at once
    from siamese.metrics.calibration import LEANINGS

    stated = open_profile(profile)
    one, other = (
        camera_of(path) if number is None else number
        for number, path in zip((camera1, camera2), paths, strict=True)
    )
    opened = open_model(model, **preprocessing.given())
    if str(model) == "newest":
        _note_a_better_one(opened)
    answer = opened.verify(pixels[0], pixels[1], prior, profile=stated, cameras=(one, other))
    # The answer before the picture, which may fail.
    if json_:
        print(json.dumps(answer.to_dict(), ensure_ascii=False))
    else:
        _print_verdict(answer)
    code = {True: 0, False: 1, None: 3}[LEANINGS[answer.verdict]] if exit_code else 0
    if output is None:
        return code
    from siamese import plots

    figure = plots.plot_pair(
        *pixels,
        verdict=answer.verdict,
        distance=answer.distance,
        threshold=answer.threshold,
        probability=answer.probability,
        bounds=answer.bounds,
        names=(paths[0].name, paths[1].name),
    )
    plots.save(figure, output)
    if not json_:
        print(f"picture      {output}")
    return code


def _note_a_better_one(newest: "Model") -> None:
    """Says on standard error where the newest run answers and another model is in use."""
    from siamese.inference import find_fastest, model_in_use

    choice = model_in_use()
    if find_fastest(None) != newest.path:
        print(
            f"note: the newest run answers, {newest.path}, but {choice.model} is in use: "
            f"{choice.why}. Take it with --model {choice.model}",
            file=sys.stderr,
        )


def _print_verdict(answer: "Verification") -> None:
    sentence = {
        "same": "Similar: the same person",
        "probably same": "Probably similar: probably the same person",
        "unsure": "Unsure: about even odds",
        "probably different": "Probably dissimilar: probably different people",
        "different": "Dissimilar: different people",
    }
    print(sentence[answer.verdict])
    odds = "even odds beforehand" if answer.prior == 0.5 else f"a prior of {answer.prior:.4g}"
    print(f"probability  {chance(answer.probability)} that it is one person, at {odds}")
    of_one = "an unknown share"
    if answer.verdict_same_share is not None:
        of_one = f"{answer.verdict_same_share:.2%}"
    print(
        f"this word    is said of {of_one} of the pairs of one person, "
        f"{answer.verdict_different_share:.2%} of the pairs of two people"
    )
    side = "yes: within" if answer.same else "no: beyond"
    print(
        f"same         {side} the threshold {answer.threshold:.4f}, at distance "
        f"{answer.distance:.4f}"
    )
    missed = "an unknown share"
    if answer.false_reject_rate is not None:
        missed = f"{answer.false_reject_rate:.1%}"
    print(
        f"error rates  at this threshold {answer.false_accept_rate:.1%} of the pairs of two people "
        f"are accepted, {missed} of the pairs of one person are missed"
    )
    if answer.unlikeness is not None and answer.unlikeness > 1:
        print(
            f"unlike       the calibration's images ({answer.unlikeness:.1f} times the limit), so "
            "these rates do not hold: run siamese calibrate on crops of your cameras"
        )
    print(f"model        {answer.model} ({answer.fingerprint})")


def explain(
    img1: Annotated[Path, POSITIONAL],
    img2: Annotated[Path, POSITIONAL],
    model: Path | None = None,
    output: Path = Path("explained.png"),
    json_: Json = False,
) -> None:
    """Show where on both images of a pair the model found them alike.

    Args:
        img1: The first image.
        img2: The second image.
        model: Model file, .keras, or an .onnx beside the .keras that it was exported from; by
            default the model in use (siamese info).
        output: Picture of the pair, each image beside its heat map.
        json_: Print one JSON object, with the contribution of each position, and nothing else.
    """
    from siamese.images import read_image
    from siamese.inference import find_model

    images = [read_image(path) for path in (img1, img2)]
    path = find_model(model)
    import_quietly("keras")
    from siamese import explain as stage
    from siamese import plots

    found = stage.explain(images[0], images[1], path)
    if path.suffix.lower() == ".onnx":  # what was looked into lies beside it
        path = path.with_suffix(".keras")
    verdict = None if found.verification is None else found.verification.verdict
    if json_:
        answer = {
            "similarity": found.similarity,
            "first": found.first.tolist(),
            "second": found.second.tolist(),
            "verdict": verdict,
            "model": str(path),
        }
        print(json.dumps(answer, ensure_ascii=False))
    else:
        _print_places(found)
    figure = plots.plot_explanation(
        found.images,
        (found.first, found.second),
        similarity=found.similarity,
        verdict=verdict,
        names=(img1.name, img2.name),
    )
    plots.save(figure, output)
    if not json_:
        print(f"picture      {output}")


def _print_places(found: "Explanation") -> None:
    print(f"similarity   {found.similarity:.4f}  (cosine: the sum of what the places add)")
    for name, heat in (("first", found.first), ("second", found.second)):
        row, column = divmod(int(heat.argmax()), heat.shape[1])
        print(
            f"{name:12} most at {(row + 0.5) / heat.shape[0]:.0%} of the height and "
            f"{(column + 0.5) / heat.shape[1]:.0%} of the width: {heat.max():+.4f}"
        )


COLUMNS = ("img1", "img2")
_SAME_IN_ALL = ("bounds", "model", "fingerprint")
"""Fields of a verdict that a table does not repeat in each row."""


def read_pairs(path: Path) -> list[dict[str, str]]:
    """Reads a CSV file with the columns img1 and img2, and any others.

    Raises:
        InputError: There is no such file, it is no such table, or it has no rows.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give a CSV file with the columns img1 and img2.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV file in UTF-8 ({error}). Save it as one.") from None
    names = reader.fieldnames or ()
    if not set(COLUMNS) <= set(names):
        raise InputError(
            f"{path}: its first line must name the columns img1 and img2. Received: "
            f"{', '.join(names) or 'nothing'}."
        )
    for number, row in enumerate(rows, 1):
        if not all(row[column] for column in COLUMNS) or None in row:
            raise InputError(f"{path}: pair {number} must have as many cells as the first line.")
    if not rows:
        raise InputError(f"{path}: holds no pair. Add lines such as a.jpg,b.jpg.")
    return rows


def verify_table(
    rows: Sequence[Mapping[str, str]],
    model: "Model",
    prior: float,
    profile: "Profile | None",
    output: Path | None,
    as_json: bool,
) -> None:
    """Writes the rows with their verdicts, as CSV or as JSON lines, to a file or standard output.

    The columns camera1 and camera2 are numbers in the profile, by default as the file names tell.
    """
    from siamese.files import whole_file
    from siamese.inference import verify_pairs

    pairs = [(row["img1"], row["img2"]) for row in rows]
    cameras = [(_camera(row, "1"), _camera(row, "2")) for row in rows] if profile else None
    with counting("images") as progress:
        said = verify_pairs(
            model, pairs, prior, profile=profile, cameras=cameras, progress=progress
        )
    answers = [
        {**row, **{k: v for k, v in each.to_dict().items() if k not in _SAME_IN_ALL}}
        for row, each in zip(rows, said, strict=True)
    ]
    if output is None:
        _write(answers, sys.stdout, as_json)
        return
    with whole_file(output) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        _write(answers, file, as_json)


def _write(answers: Sequence[Mapping[str, Any]], file: TextIO, as_json: bool) -> None:
    if as_json:
        file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in answers)
        return
    writer = csv.DictWriter(file, list(answers[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(answers)


def _camera(row: Mapping[str, str], side: str) -> int:
    told = row.get(f"camera{side}")
    if told:
        try:
            return int(told)
        except ValueError:
            raise InputError(f"camera{side} must be a number. Received: {told}.") from None
    return camera_of(Path(row[f"img{side}"]))
