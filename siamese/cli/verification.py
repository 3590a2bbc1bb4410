"""The command verify."""

import json
from pathlib import Path
from typing import Annotated

import tyro

from siamese.cli.program import Flag, import_quietly


def verify(
    img1: Annotated[Path, tyro.conf.arg(aliases=["-i1"])],
    img2: Annotated[Path, tyro.conf.arg(aliases=["-i2"])],
    model: Path | None = None,
    output: Path | None = None,
    json_: Annotated[Flag, tyro.conf.arg(name="json")] = False,
) -> None:
    """Say whether two images show the same person, and how sure that is.

    Args:
        img1: The first image.
        img2: The second image.
        model: Model file; by default the newest in runs.
        output: Picture of the pair with the verdict; by default pair.png, with --json none.
        json_: Print one JSON object and nothing else.
    """
    from siamese.data.images import read_image

    images = [read_image(path) for path in (img1, img2)]  # a wrong path is answered at once
    import_quietly("keras")
    from siamese import verify as stage

    path = stage.find_model(model)
    answer = stage.verify(img1, img2, path)
    if output is None and not json_:
        output = Path("pair.png")
    if output is not None:
        from siamese import plots

        figure = plots.plot_pair(
            *images,
            verdict=answer.verdict,
            distance=answer.distance,
            threshold=answer.threshold,
            probability=answer.probability,
            names=(img1.name, img2.name),
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        plots.save(figure, output)
    if json_:
        print(json.dumps(answer.to_dict(), ensure_ascii=False))
        return
    sentence = {
        "same": "Similar: the same person",
        "different": "Dissimilar: two people",
        "unsure": "Unsure: too near to call",
    }
    print(sentence[answer.verdict])
    print(f"distance     {answer.distance:.4f}  (threshold {answer.threshold:.4f})")
    print(f"probability  {answer.probability:.1%} that it is the same person")
    print(
        f"error rates  at this threshold {answer.false_accept_rate:.1%} of the pairs of two people "
        f"are accepted, {answer.false_reject_rate:.1%} of the pairs of one person are missed"
    )
    print(f"model        {answer.model} ({answer.fingerprint})")
    print(f"picture      {output}")
