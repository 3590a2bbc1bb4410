"""The commands embed and find_similar."""

import json
from pathlib import Path
from typing import Annotated

import tyro

from siamese.cli.program import Flag, counting
from siamese.cli.verification_commands import open_model


def embed(
    folder: Annotated[Path, tyro.conf.Positional],
    output: Path = Path("embeddings.npz"),
    model: Path | None = None,
    flip: Flag = False,
    image_size: tuple[int, int] | None = None,
    mean: tuple[float, float, float] | None = None,
    deviation: tuple[float, float, float] | None = None,
) -> None:
    """Embed all images of a folder into one file: image, person, camera, tracklet, embedding.

    An interrupted run goes on where it stopped when the same command is given again.

    Args:
        folder: Images at any depth; a dataset, or any other folder.
        output: The file to write: .csv, .npz or .parquet.
        model: Model file, .keras or .onnx; by default the newest in runs, else `pretrained`,
            the one that comes with the program.
        flip: Average each embedding with that of the mirrored image.
        image_size: Height and width in pixels, for an .onnx file made elsewhere that does not say.
        mean: Of red, green and blue scaled to 1, for an .onnx file made elsewhere; by default
            ImageNet's.
        deviation: Likewise, what is divided by.
    """
    from siamese.embeddings import embed_folder

    opened = open_model(model, image_size=image_size, mean=mean, deviation=deviation)
    with counting("images") as progress:
        table = embed_folder(folder, output, opened, flip=flip, progress=progress)
    people = len(set(table.people.tolist()) - {""})
    print(f"wrote        {output}")
    print(f"embeddings   {len(table):,} images of {table.embeddings.shape[1]} numbers")
    print(f"people       {people:,}" if people else "people       not known from these names")
    print(f"model        {opened.path} ({table.fingerprint})")


def find_similar(
    image: Annotated[Path, tyro.conf.Positional],
    embeddings: Path = Path("embeddings.npz"),
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 5,
    model: Path | None = None,
    output: Path | None = None,
    image_size: tuple[int, int] | None = None,
    mean: tuple[float, float, float] | None = None,
    deviation: tuple[float, float, float] | None = None,
    json_: Annotated[Flag, tyro.conf.arg(name="json")] = False,
) -> None:
    """Find the images of a folder that are nearest to an image, by its stored embeddings.

    For a database with filters, time and new images every day there is `siamese gallery`.

    Args:
        image: The image to look for.
        embeddings: A file that `siamese embed` wrote.
        k: How many images.
        model: Model file that made the embeddings; by default the newest in runs.
        output: Picture of the image and the nearest ones; none by default.
        image_size: Height and width in pixels, for an .onnx file made elsewhere that does not say.
        mean: Of red, green and blue scaled to 1, for an .onnx file made elsewhere; by default
            ImageNet's.
        deviation: Likewise, what is divided by.
        json_: Print one JSON object and nothing else.
    """
    from siamese.embeddings import find_similar_images, read_embeddings
    from siamese.images import read_image

    pixels = read_image(image)
    table = read_embeddings(embeddings)
    opened = open_model(model, image_size=image_size, mean=mean, deviation=deviation)
    found = find_similar_images(pixels, table, k, model=opened)
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

        closest = [
            plots.RankedImage(read_image(each.image), None, _caption(each.person, each.distance))
            for each in found
        ]
        figure = plots.plot_rank_lists([(pixels, image.name)], [closest])
        plots.save(figure, output)
        if not json_:
            print(f"picture      {output}")


def _caption(person: str, distance: float) -> str:
    return f"{person}\n{distance:.3f}" if person else f"{distance:.3f}"
