"""Commands on galleries: add, search, merge, remove, info, export, verify, reembed, index."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from siamese.cli.program import Flag, Json, Stated, counting, open_console
from siamese.cli.verification_commands import open_or_name
from siamese.errors import InputError
from siamese.preprocessing import UNSTATED, Preprocessing, describe_preprocessing

if TYPE_CHECKING:
    from siamese.gallery import Gallery, SearchResult
    from siamese.inference import Model


ANSWERS: dict[str | None, str] = {
    "same": "this person is in the gallery",
    "probably same": "this person is probably in the gallery",
    "unsure": "unsure whether this person is in the gallery",
    "probably different": "this person is probably not in the gallery",
    "different": "this person is not in the gallery",
    None: "the model holds no calibration, so the distances stand alone",
}
FILTERED_ANSWERS = {
    word: text.replace("in the gallery", "among the images that the filters leave")
    for word, text in ANSWERS.items()
}


def add(
    source: Annotated[tuple[Path, ...], tyro.conf.Positional],
    gallery: str = "gallery",
    model: Path | None = None,
    pattern: str | None = None,
    anonymous: Flag = False,
    workers: int = 0,
    preprocessing: Stated = UNSTATED,
    json_: Json = False,
) -> int:
    """Embed images and add them to a gallery.

    Images that it has already are left alone, so that an interrupted command can be given again.
    Exits with 1 where an image cannot be used; the others are added.

    Args:
        source: Folders of images or datasets, folders of record sets, or image files.
        gallery: Folder of the gallery, made when missing; or an address such as s3://bucket/name.
        model: Model file; by default the newest in runs, else `pretrained`,
            the one that comes with the program.
        pattern: Regular expression with the groups person, camera, tracklet, frame, for file names
            of your own form; or how to read them (docs/datasets.md): folders, names, unlabelled,
            cuhk01, ...
        anonymous: Do not read people from folder and file names.
        workers: Processes of a Ray cluster that read and embed; 0 does it in this process.
        preprocessing: Of a model made elsewhere; the gallery remembers it.
        json_: Print one JSON object and nothing else.
    """
    from siamese.gallery import sources

    coverage = []
    for each in source:  # a wrong path is answered before the model is opened
        coverage += sources.cover_source(each, pattern=pattern)
    opened = _open(gallery, model, preprocessing)
    counts = {"added": 0, "replaced": 0, "unchanged": 0}
    refused: list[str] = []
    with counting("images") as progress:
        for each in source:
            added = opened.add(
                each, pattern=pattern, anonymous=anonymous, workers=workers, progress=progress
            )
            counts = {name: count + getattr(added, name) for name, count in counts.items()}
            refused += added.refused
    images = len(opened)
    if json_:
        print(json.dumps({**counts, "refused": refused, "gallery": gallery, "images": images}))
    else:
        console = open_console()
        for sentence in refused:
            console.print(sentence, highlight=False, soft_wrap=True, markup=False)
        for covered in coverage:
            print(f"images       {covered.describe()}")
        print(
            f"added        {counts['added']:,} images; {counts['replaced']:,} had changed, "
            f"{counts['unchanged']:,} were there already, {len(refused):,} cannot be used"
        )
        print(f"gallery      {gallery}, {images:,} images")
    return 1 if refused else 0


def search(
    query: Annotated[Path | None, tyro.conf.Positional] = None,
    like: str | None = None,
    gallery: str = "gallery",
    model: Path | None = None,
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10,
    camera: tuple[int, ...] = (),
    since: str | None = None,
    until: str | None = None,
    person: str | None = None,
    output: Path | None = None,
    csv_: Annotated[Path | None, tyro.conf.arg(name="csv")] = None,
    json_: Json = False,
) -> None:
    """Find the images of a gallery that are nearest to an image, a folder's images or a person.

    Args:
        query: An image, or a folder of images.
        like: In place of a query: the name of someone in the gallery. Where else was this person
            seen, in images without that name?
        gallery: Folder of the gallery.
        model: Model file that the gallery was made with; by default the newest in runs, or the one
            that comes with the program.
        k: How many images.
        camera: Only images of these cameras.
        since: Only images of this time or later, as in 2026-11-20 or 2026-11-20T08:15:00.
        until: Only images of this time or earlier; a day counts to its end.
        person: Only images of this person.
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
    opened = _open(gallery, model)
    filters: dict[str, Any] = {"camera": camera or None, "since": since, "until": until}
    if like is not None:
        lists = {like: opened.search_person(like, k, **filters)}
    elif query is not None and query.is_dir():
        with counting("images") as progress:
            lists = opened.search_folder(query, k, person=person, progress=progress, **filters)
    else:
        lists = {str(query): opened.search(query, k, person=person, **filters)}
    own = [[]] if like is not None else opened.own_images(list(lists))
    left_out = dict(zip(lists, own, strict=True))
    # The answer before the files, which may fail.
    if json_:
        found = _to_dict(lists, left_out, gallery, images, opened.model)
        print(json.dumps(found, ensure_ascii=False))
    else:
        filtered = person is not None or any(filters.values())
        for name, matches in lists.items():
            answers = FILTERED_ANSWERS if filtered else ANSWERS
            _print_list(name, matches, left_out[name], answers)
        print(f"{images:,} images in the gallery")
    if output is not None:
        _plot(opened, lists, output, like)
    if csv_ is not None:
        _write_csv(lists, csv_)
    for path in (output, csv_):
        if path is not None and not json_:
            print(f"wrote        {path}")


def merge(
    name: Annotated[str, tyro.conf.Positional],
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
    missing: Flag = False,
) -> None:
    """Erase people or images from a gallery for good: from every version and file of it.

    The image files themselves are not touched.

    Args:
        gallery: Folder of the gallery.
        person: People to erase.
        image: Images to erase.
        missing: Also erase the images whose file has gone.
    """
    count = _gallery(gallery).remove(people=person, images=image, missing=missing)
    print(f"erased       {count:,} images")


def info(gallery: str = "gallery", json_: Json = False) -> None:
    """Say what a gallery holds.

    Args:
        gallery: Folder of the gallery.
        json_: Print one JSON object and nothing else.
    """
    found = _gallery(gallery).info()
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
    print(f"index        {'yes' if found.index else 'no: searched exactly'}")


def export(output: Annotated[Path, tyro.conf.Positional], gallery: str = "gallery") -> None:
    """Write all rows of a gallery, with their embeddings, to one file.

    Args:
        output: The file; ends in .csv, .parquet or .npz.
        gallery: Folder of the gallery.
    """
    count = _gallery(gallery).export(output)
    print(f"wrote        {output}, {count:,} images")


def verify_gallery(gallery: str = "gallery", contents: Flag = False, json_: Json = False) -> int:
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
        model: Model file; by default the newest in runs, else `pretrained`,
            the one that comes with the program.
        preprocessing: Of a model made elsewhere; the gallery remembers it.
    """
    _gallery(gallery).info()
    opened = _open(gallery, model, preprocessing)
    with counting("images") as progress:
        count = opened.reembed(progress=progress)
    print(f"embedded     {count:,} images with the model {opened.model.fingerprint}")


def index(gallery: str = "gallery") -> None:
    """Build an approximate index, for a gallery of more than a million images.

    Args:
        gallery: Folder of the gallery.
    """
    opened = _gallery(gallery)
    opened.build_index()
    print(f"indexed      {len(opened):,} images")


def _gallery(path: str, model: "Model | Path | None" = None) -> "Gallery":
    from siamese.gallery import Gallery  # takes a second, which --help does not need

    return Gallery(path, model)


def _open(gallery: str, model: Path | None, preprocessing: Preprocessing = UNSTATED) -> "Gallery":
    return _gallery(gallery, open_or_name(model, preprocessing))


def _print_list(
    name: str,
    matches: "Sequence[SearchResult]",
    left_out: Sequence[str],
    answers: Mapping[str | None, str],
) -> None:
    from siamese.gallery import answer

    if not matches:
        filtered = answers is FILTERED_ANSWERS
        why = "no image is left by the filters" if filtered else "there is no image to compare with"
        print(f"{name}: {why}")
        return
    print(f"{name}: {answers[answer(matches)]}")
    for path in left_out:
        print(f"  left out: {path}, the query's own file")
    if matches[0].verdict is not None:
        prior = matches[0].prior
        print(
            f"  beforehand: even odds that the person is there, {prior:.2%} for each of "
            f"{round(0.5 / prior):,} people"
        )
    print("  rank  distance    same  verdict             person        camera  image")
    for rank, match in enumerate(matches, start=1):
        chance = "" if match.probability is None else f"{match.probability:.1%}"
        camera = "" if match.camera is None else str(match.camera)
        time = "" if match.time is None else f"{match.time}  "
        print(
            f"  {rank:>4}  {match.distance:>8.4f}  {chance:>6}  {match.verdict or '':<18}  "
            f"{match.person or '':<12}  {camera:>6}  {time}{match.image}"
        )


def _to_dict(
    lists: "Mapping[str, Sequence[SearchResult]]",
    left_out: Mapping[str, Sequence[str]],
    gallery: str,
    images: int,
    model: "Model",
) -> dict[str, Any]:
    from siamese.gallery import answer

    return {
        "gallery": gallery,
        "images": images,
        "model": str(model.path),
        "fingerprint": model.fingerprint,
        "queries": [
            {
                "query": name,
                "answer": answer(matches),
                "left_out": left_out[name],
                "matches": [match.to_dict() for match in matches],
            }
            for name, matches in lists.items()
        ],
    }


def _write_csv(lists: "Mapping[str, Sequence[SearchResult]]", path: Path) -> None:
    from siamese.files import whole_file
    from siamese.gallery import SearchResult

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = [each.name for each in fields(SearchResult)]
        writer.writerow(["query", "rank", *names])
        for query, matches in lists.items():
            for rank, match in enumerate(matches, start=1):
                writer.writerow([query, rank, *match.to_dict().values()])


def _plot(
    gallery: "Gallery",
    lists: "Mapping[str, Sequence[SearchResult]]",
    output: Path,
    like: str | None,
) -> None:
    """Frames say to which side the verdict leans: green same, red different, grey unsure."""
    from siamese import plots
    from siamese.gallery import open_image, open_or_blank
    from siamese.metrics.calibration import LEANINGS

    lists = dict(list(lists.items())[:20])  # more rows would not fit a screen
    if not any(lists.values()):
        raise InputError("the filters leave no image, so there is no picture to draw. Widen them.")
    if like is None:
        queries = [(open_image(name), Path(name).stem) for name in lists]
    else:
        queries = [(open_or_blank(gallery.images(person=like)[0].path), like)]

    def place(match: "SearchResult") -> plots.RankedImage:
        camera = "" if match.camera is None else f"cam {match.camera}  "
        caption = f"{match.person or '?'}\n{camera}{match.distance:.2f}"
        return plots.RankedImage(open_or_blank(match.image), LEANINGS[match.verdict], caption)

    ranked = [[place(match) for match in matches] for matches in lists.values()]
    plots.save(plots.plot_rank_lists(queries, ranked), output)
