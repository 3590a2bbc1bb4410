"""The answers of `siamese gallery search`: in words, as JSON, as a table and as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese.cli.program import chance
from siamese.errors import InputError

if TYPE_CHECKING:
    from siamese.gallery import Gallery, SearchResult

ANSWERS: dict[str | None, str] = {
    "same": "this person is in the gallery",
    "probably same": "this person is probably in the gallery",
    "unsure": "unsure whether this person is in the gallery",
    "probably different": "this person is probably not in the gallery",
    "different": "this person is not in the gallery",
    None: "the model holds no calibration, so the distances stand alone",
}


def print_rank_list(
    name: str, matches: "Sequence[SearchResult]", left_out: Sequence[str], filtered: bool
) -> None:
    """Prints a rank list, and first whether the person is there at all."""
    from siamese.gallery import answer

    if not matches:
        why = "no image is left by the filters" if filtered else "there is no image to compare with"
        print(f"{name}: {why}")
        return
    said = ANSWERS[answer(matches)]
    if filtered:
        said = said.replace("in the gallery", "among the images that the filters leave")
    print(f"{name}: {said}")
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
        sure = "" if match.probability is None else chance(match.probability)
        camera = "" if match.camera is None else str(match.camera)
        time = "" if match.time is None else f"{match.time}  "
        print(
            f"  {rank:>4}  {match.distance:>8.4f}  {sure:>6}  {match.verdict or '':<18}  "
            f"{match.person or '':<12}  {camera:>6}  {time}{match.image}"
        )


def describe_calibration(gallery: "Gallery") -> str:
    """Says which calibration answers."""
    found = gallery.own_calibration.find()
    if found is None:
        return "the model's own"
    low, high = found.calibration.false_accept_interval or (0.0, 1.0)
    before = ""
    if (own := found.own_false_accept_rate) is not None:
        before = f"; the model's own threshold accepts {own:.2%} here"
    return (
        f"{found.describe()}, threshold {found.calibration.threshold:.4f}: accepts "
        f"{found.calibration.error_rates(found.calibration.threshold)[0]:.2%} of strangers "
        f"(95 %: {low:.2%} to {high:.2%}){before}"
    )


def rank_lists_to_dict(
    lists: "Mapping[str, Sequence[SearchResult]]",
    left_out: Mapping[str, Sequence[str]],
    gallery: "Gallery",
    images: int,
) -> dict[str, Any]:
    """Gives the answers as plain values for JSON."""
    from siamese.gallery import answer

    model = gallery.model
    return {
        "gallery": gallery.path,
        "images": images,
        "calibration": gallery.own_calibration.facts(),
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


def write_rank_lists(lists: "Mapping[str, Sequence[SearchResult]]", path: Path) -> None:
    """Writes the rank lists as a table, whole or not at all."""
    from siamese.files import write_csv
    from siamese.gallery import SearchResult

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        [query, rank, *match.to_dict().values()]
        for query, matches in lists.items()
        for rank, match in enumerate(matches, start=1)
    ]
    names = [each.name for each in fields(SearchResult)]
    write_csv(path, [["query", "rank", *names], *rows])


def draw_rank_lists(
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
    frames = {
        True: "leans to the same person",
        False: "leans to another person",
        None: "unsure, or the query",
    }
    plots.save(plots.plot_rank_lists(queries, ranked, frames=frames), output)
