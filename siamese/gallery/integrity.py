"""What a gallery holds, and whether it is as it should be."""

from collections import Counter
from collections.abc import Sequence

from siamese.gallery import sources
from siamese.gallery.results import Info
from siamese.gallery.rows import bad_lengths
from siamese.gallery.sources import GalleryImage
from siamese.gallery.table import Table


def find_problems(table: Table, *, contents: bool = False) -> list[str]:
    """Checks every row; see `Gallery.verify`."""
    space = table.space()
    embeddings, rows = table.read_embeddings(["path", "digest", "model"])
    paths, digests = rows["path"].to_pylist(), rows["digest"].to_pylist()
    problems = []

    def report(wrong: Sequence[str], what: str, fix: str) -> None:
        if wrong:
            problems.append(f"{len(wrong):,} {what}, the first is {wrong[0]}. {fix}")

    lengths = [paths[row] for row in bad_lengths(embeddings)]
    report(lengths, "images have an embedding whose length is not 1", "Remove and add them.")
    models = rows["model"].to_pylist()
    other = [p for p, model in zip(paths, models, strict=True) if model != space.fingerprint]
    report(other, "images were embedded by another model", "Run `siamese gallery reembed`.")
    twice = [path for path, count in Counter(paths).items() if count > 1]
    report(twice, "images are there twice", "Remove and add them.")
    missing = [path for path in paths if not sources.exists(path)]
    report(missing, "image files have gone", "Copy them back, or `remove --missing`.")
    if contents:
        gone = set(missing)
        known = dict(zip(paths, digests, strict=True))
        there = [GalleryImage(path) for path in paths if path not in gone]
        files = [image for image in there if not sources.is_record(image.path)]
        read = sources.read_gallery_images(files, known)
        changed = [each.image.path for each in read if each.digest != known[each.image.path]]
        report(changed, "image files have changed", "Add their folder again.")
    return problems


def describe(table: Table) -> Info:
    """Says what the gallery holds; see `Gallery.info`."""
    from pyarrow import compute

    space = table.space()
    rows = table.read(["person", "camera", "time"])
    times = compute.min_max(rows["time"]).as_py()
    people = rows["person"]
    return Info(
        images=rows.num_rows,
        people=compute.count_distinct(people).as_py(),
        unnamed=people.null_count,
        cameras=tuple(sorted(compute.unique(rows["camera"].drop_null()).to_pylist())),
        first=times["min"],
        last=times["max"],
        dimensions=space.dimensions,
        fingerprint=space.fingerprint,
        preprocessing=space.preprocessing,
        schema_version=space.schema_version,
        version=table.version(),
        index=table.has_index(),
    )
