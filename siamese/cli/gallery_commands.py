"""Commands on galleries: add, search, merge, remove, info, export, verify, reembed, index."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from siamese.cli import gallery_answers
from siamese.cli.program import POSITIONAL, Json, Option, Stated, counting, say, say_dry
from siamese.cli.verification_commands import open_or_name
from siamese.errors import InputError, OnCorrupt
from siamese.preprocessing import UNSTATED, Preprocessing, describe_preprocessing

if TYPE_CHECKING:
    from siamese.gallery import Gallery
    from siamese.inference import Model


def add(
    source: Annotated[tuple[Path, ...], POSITIONAL],
    gallery: str = "gallery",
    model: Path | None = None,
    pattern: str | None = None,
    anonymous: bool = False,
    workers: int = 0,
    calibrate: bool = True,
    on_corrupt: OnCorrupt = "skip",
    dry_run: bool = False,
    preprocessing: Stated = UNSTATED,
    json_: Json = False,
) -> int:
    """Embed images and add them to a gallery.

    Images that it has already are left alone, so that an interrupted command can be given again.
    Exits with 1 where an image cannot be used; the others are added.

    Args:
        source: Folders of images or datasets, folders of record sets, or image files.
        gallery: Folder of the gallery, made when missing; or an address such as s3://bucket/name.
        model: Model file; by default the one that the gallery was made with, and for a new one the
            model in use (siamese info).
        pattern: Regular expression with the groups person, camera, tracklet, frame, for file names
            of your own form; or how to read them (docs/datasets.md): folders, names, unlabelled,
            cuhk01, ...
        anonymous: Do not read people from folder and file names.
        workers: Processes of a Ray cluster that read and embed; 0 does it in this process.
        calibrate: Calibrate the gallery on its own images, anew when it has grown by a tenth.
        on_corrupt: What damaged images do: skip leaves them out, error names them all and ends.
        dry_run: Say what would be added, and write nothing.
        preprocessing: Of a model made elsewhere; the gallery remembers it.
        json_: Print one JSON object and nothing else.
    """
    from siamese.gallery import sources

    # A wrong path is answered before the model is opened.
    listed = [sources.list_covered(each, pattern=pattern) for each in source]
    opened = open_gallery(gallery, model, preprocessing, calibrate)
    if dry_run:
        there = {each.path for each in opened.images()} if len(opened) else set()
        paths = {each.path for found, _ in listed for each in found}
        say_dry(gallery, f"{len(paths):,} images, {len(paths & there):,} of them there already")
        return 0
    counts = {"added": 0, "replaced": 0, "unchanged": 0}
    refused: list[str] = []
    coverages = []
    with counting("images") as progress:
        for found, coverage in listed:
            added = opened.add(
                found,
                anonymous=anonymous,
                workers=workers,
                on_corrupt=on_corrupt,
                progress=progress,
            )
            counts = {name: count + getattr(added, name) for name, count in counts.items()}
            refused += added.refused
            if coverage is not None:
                damaged = [sentence.partition(": ")[0] for sentence in added.refused]
                coverages.append(coverage.without(damaged))
    images = len(opened)
    if json_:
        facts = {"refused": refused, "coverage": [asdict(each) for each in coverages]}
        print(json.dumps({**counts, **facts, "gallery": gallery, "images": images}))
    else:
        for sentence in refused:
            say(sentence)
        for coverage in coverages:
            print(f"images       {coverage.describe()}")
        print(
            f"added        {counts['added']:,} images; {counts['replaced']:,} had changed, "
            f"{counts['unchanged']:,} were there already, {len(refused):,} cannot be used"
        )
        print(f"gallery      {gallery}, {images:,} images")
        print(f"calibration  {gallery_answers.describe_calibration(opened)}")
    return 1 if refused else 0


def search(
    query: Annotated[Path | None, POSITIONAL] = None,
    like: str | None = None,
    gallery: str = "gallery",
    model: Path | None = None,
    k: Annotated[int, Option(aliases=("-k",))] = 10,
    camera: tuple[int, ...] = (),
    since: str | None = None,
    until: str | None = None,
    person: str | None = None,
    calibrate: bool = True,
    on_corrupt: OnCorrupt = "error",
    output: Path | None = None,
    csv_: Annotated[Path | None, Option(name="csv")] = None,
    json_: Json = False,
) -> None:
    """Find the images of a gallery that are nearest to an image, a folder's images or a person.

    Args:
        query: An image, or a folder of images.
        like: In place of a query: the name of someone in the gallery. Where else was this person
            seen, in images without that name?
        gallery: Folder of the gallery.
        model: Model file that the gallery was made with; by default it finds that one.
        k: How many images.
        camera: Only images of these cameras.
        since: Only images of this time or later, as in 2026-11-20 or 2026-11-20T08:15:00.
        until: Only images of this time or earlier; a day counts to its end.
        person: Only images of this person.
        calibrate: Let the gallery's own calibration say what a distance means; False: the model's.
        on_corrupt: What damaged images of a folder do: error names them all and ends, skip leaves
            them out.
        output: Picture of the rank lists; none by default.
        csv_: Table of the rank lists; none by default.
        json_: Print one JSON object and nothing else.
    """
    if (query is None) == (like is None):
        raise InputError("an image, a folder or --like NAME is needed. Received: none or two.")
    if like is not None and person is not None:
        raise InputError("--like goes without --person. Received: both. Leave one out.")
    if query is not None and not query.exists():
        raise InputError(f"{query}: no such image or folder. Check the path.")
    images = _gallery(gallery).info().images  # a missing gallery is answered at once
    opened = open_gallery(gallery, model, calibrate=calibrate)
    filters: dict[str, Any] = {"camera": camera or None, "since": since, "until": until}
    if like is not None:
        lists = {like: opened.search_person(like, k, **filters)}
    elif query is not None and query.is_dir():
        with counting("images") as progress:
            lists = opened.search_folder(
                query, k, on_corrupt=on_corrupt, person=person, progress=progress, **filters
            )
    else:
        lists = {str(query): opened.search(query, k, person=person, **filters)}
    own = [[]] if like is not None else opened.own_images(list(lists))
    left_out = dict(zip(lists, own, strict=True))
    # The answer before the files, which may fail.
    if json_:
        found = gallery_answers.rank_lists_to_dict(lists, left_out, opened, images)
        print(json.dumps(found, ensure_ascii=False))
    else:
        filtered = person is not None or any(filters.values())
        for name, matches in lists.items():
            gallery_answers.print_rank_list(name, matches, left_out[name], filtered)
        print(f"{images:,} images in the gallery")
        print(f"calibration  {gallery_answers.describe_calibration(opened)}")
    if output is not None:
        gallery_answers.draw_rank_lists(opened, lists, output, like)
    if csv_ is not None:
        gallery_answers.write_rank_lists(lists, csv_)
    for path in (output, csv_):
        if path is not None and not json_:
            print(f"wrote        {path}")


def merge(
    name: Annotated[str, POSITIONAL],
    gallery: str = "gallery",
    person: tuple[str, ...] = (),
    image: tuple[str, ...] = (),
) -> None:
    """Give images or people of a gallery one name: they are one person.

    Args:
        name: The name; a new one, or that of someone in the gallery.
        gallery: Folder of the gallery.
        person: People who are to have the name.
        image: Images that are to have it.
    """
    count = _gallery(gallery).merge(name, people=person, images=image)
    print(f"renamed      {count:,} images to {name}")


def remove(
    gallery: str = "gallery",
    person: tuple[str, ...] = (),
    image: tuple[str, ...] = (),
    missing: bool = False,
    dry_run: bool = False,
) -> None:
    """Erase people or images from a gallery for good: from every version and file of it.

    The image files themselves are not touched.

    Args:
        gallery: Folder of the gallery.
        person: People to erase.
        image: Images to erase.
        missing: Also erase the images whose file has gone.
        dry_run: Say how many would go, and erase nothing.
    """
    opened = _gallery(gallery)
    if dry_run:
        found = opened.count_erased(person, image, missing)
        say_dry(gallery, f"{found:,} images erased")
        return
    count = opened.remove(people=person, images=image, missing=missing)
    print(f"erased       {count:,} images")


def info(gallery: str = "gallery", json_: Json = False) -> None:
    """Say what a gallery holds.

    Args:
        gallery: Folder of the gallery.
        json_: Print one JSON object and nothing else.
    """
    opened = _gallery(gallery)
    found = opened.info()
    if json_:
        print(json.dumps(found.to_dict()))
        return
    cameras = ", ".join(map(str, found.cameras)) or "not known"
    times = "not known" if found.first is None else f"{found.first} to {found.last}"
    print(f"gallery      {gallery}, version {found.version}")
    print(f"images       {found.images:,}, {found.unnamed:,} of them of unknown people")
    print(f"people       {found.people:,}")
    print(f"cameras      {cameras}")
    print(f"times        {times}")
    print(f"embeddings   {found.dimensions} dimensions, model {found.fingerprint}")
    if found.preprocessing is not None:
        print(f"images as    {describe_preprocessing(found.preprocessing)}")
    print(f"calibration  {gallery_answers.describe_calibration(opened)}")
    print(f"index        {'yes' if found.index else 'no: searched exactly'}")


def export(output: Annotated[Path, POSITIONAL], gallery: str = "gallery") -> None:
    """Write all rows of a gallery, with their embeddings, to one file.

    Args:
        output: The file; ends in .csv, .parquet or .npz.
        gallery: Folder of the gallery.
    """
    count = _gallery(gallery).export(output)
    print(f"wrote        {output}, {count:,} images")


def verify_gallery(gallery: str = "gallery", contents: bool = False, json_: Json = False) -> int:
    """Check every row of a gallery: its embedding, its model, its image file.

    Exits with 1 where something is wrong.

    Args:
        gallery: Folder of the gallery.
        contents: Also read every image file: has it changed since it was added?
        json_: Print one JSON object and nothing else.
    """
    opened = _gallery(gallery)
    problems = opened.verify(contents=contents)
    if json_:
        print(json.dumps({"images": len(opened), "problems": problems}, ensure_ascii=False))
    else:
        for problem in problems:
            print(problem)
        if not problems:
            print(f"all is well: {len(opened):,} images")
    return 1 if problems else 0


def reembed(
    gallery: str = "gallery", model: Path | None = None, preprocessing: Stated = UNSTATED
) -> None:
    """Embed all images of a gallery with another model, in place of the one that made it.

    The gallery stays in use meanwhile, with the old model. An interrupted command can be given
    again.

    Args:
        gallery: Folder of the gallery.
        model: Model file; by default the model in use (siamese info).
        preprocessing: Of a model made elsewhere; the gallery remembers it.
    """
    _gallery(gallery).info()
    opened = _gallery(gallery, open_or_name(model, preprocessing))
    with counting("images") as progress:
        count = opened.reembed(progress=progress)
    print(f"embedded     {count:,} images with the model {opened.model.fingerprint}")


def calibrate_gallery(
    gallery: str = "gallery",
    model: Path | None = None,
    preprocessing: Stated = UNSTATED,
) -> None:
    """Calibrate a gallery on its own images now, as adding images does when it has grown.

    Args:
        gallery: Folder of the gallery.
        model: Model file that the gallery was made with; by default it finds that one.
        preprocessing: Of a model made elsewhere, where its file does not say.
    """
    _gallery(gallery).info()
    opened = open_gallery(gallery, model, preprocessing)
    opened.calibrate()
    print(f"calibration  {gallery_answers.describe_calibration(opened)}")


def index(gallery: str = "gallery") -> None:
    """Build an approximate index, for a gallery of more than a million images.

    Args:
        gallery: Folder of the gallery.
    """
    opened = _gallery(gallery)
    opened.build_index()
    print(f"indexed      {len(opened):,} images")


def _gallery(path: str, model: "Model | Path | None" = None, calibrate: bool = True) -> "Gallery":
    from siamese.gallery import Gallery  # takes a second, which --help does not need

    return Gallery(path, model, calibrate=calibrate)


def open_gallery(
    gallery: str,
    model: Path | None,
    preprocessing: Preprocessing = UNSTATED,
    calibrate: bool = True,
) -> "Gallery":
    """Opens a gallery with the given model, or the one that it was made with."""
    from siamese.gallery.contents import made_with

    maker = made_with(gallery) or ("", None)
    return _gallery(gallery, open_or_name(model, preprocessing, *maker), calibrate)
