"""The commands info, use and export: which model answers, and for which programs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import siamese
from siamese.cli.program import POSITIONAL, Json, import_quietly


def model_info(json_: Json = False) -> None:
    """Say which model is in use, what it is, and which others there are.

    Args:
        json_: Print one JSON object and nothing else.
    """
    from siamese.inference.in_use import (
        PRETRAINED_NAME,
        find_model,
        finished_runs,
        model_in_use,
    )
    from siamese.models.checkpoint import PRETRAINED_LICENCE, read_metadata

    choice = model_in_use()
    path = find_model(None)
    metadata: dict[str, Any] = read_metadata(path) if path.suffix == ".keras" else {}
    start = metadata.get("starting_weights", {})
    licence = (
        PRETRAINED_LICENCE if choice.model == PRETRAINED_NAME else start.get("licence", "not named")
    )
    network = metadata.get("recipe", {}).get("model", {})
    found = {
        "version": siamese.__version__,
        "model": choice.model,
        "file": str(path),
        "why": choice.why,
        "fingerprint": metadata.get("fingerprint"),
        "backbone": network.get("backbone"),
        "image_size": metadata.get("image_size"),
        "starting_weights": start.get("weights"),
        "licence_of_starting_weights": licence,
        "others": [
            *([PRETRAINED_NAME] if choice.model != PRETRAINED_NAME else []),
            *(str(each) for each in finished_runs() if each != path),
        ],
    }
    if json_:
        print(json.dumps(found, ensure_ascii=False))
        return
    height, width = found["image_size"] or ("?", "?")
    print(f"siamese      {found['version']}")
    print(f"in use       {choice.model}")
    print(f"why          {choice.why}")
    print(f"network      {found['backbone']} at {height}x{width} ({found['fingerprint']})")
    print(f"licence      of the starting weights: {licence}")
    print(f"others       {', '.join(found['others']) or 'none'}; siamese use RUN|pretrained")


def use(model: Annotated[str, POSITIONAL]) -> None:
    """Choose the model that answers where none is named.

    Args:
        model: A run, such as runs/osnet or osnet; a model file; or pretrained, the model that comes
            with the program.
    """
    from siamese.inference import use_model

    print(f"in use       {use_model(model, 'chosen with siamese use').model}")


def export(
    model: Path | None = None,
    output: Path | None = None,
    format: Literal["onnx", "savedmodel", "litert", "keras"] = "onnx",  # noqa: A002
    half: bool = False,
    images: Path | None = None,
    json_: Json = False,
) -> None:
    """Write a model as ONNX, SavedModel or LiteRT, once it is seen to agree with the original.

    ONNX and SavedModel take RGB images 0 to 255 of any size, LiteRT of the model's size. Beside its
    model.keras, a model.onnx gives the first answer in a tenth of the time.

    Args:
        model: Model file; by default the model in use (siamese info).
        output: The file to write (.onnx, .tflite), or a new folder for a SavedModel; by default
            beside the model, under its name.
        format: What to write.
        half: Store kernels in half precision (onnx, keras): half the size.
        images: Folder of images to compare on, the first 32; drawn pedestrians by default.
        json_: Print one JSON object and nothing else.
    """
    from siamese.inference import find_model

    path = find_model(model)
    import tempfile

    import_quietly("keras")
    from siamese.export import FORMAT_SUFFIXES, export_model

    if output is None:
        ending = {"savedmodel": "_saved", "keras": "_half"}.get(format, "")
        output = path.with_name(path.stem + ending + FORMAT_SUFFIXES[format])

    with tempfile.TemporaryDirectory() as drawn:
        if images is None:
            from siamese.synthetic import write_mars_tree

            images = Path(drawn)
            write_mars_tree(images, people=4, cameras=2, frames=1)
        done = export_model(path, output, format=format, images=images, half=half)
    if json_:
        print(json.dumps(asdict(done), ensure_ascii=False))
        return
    print(f"wrote        {done.path}")
    print(
        f"agreement    {done.largest_difference:.1e} from the original at most (1 - cosine), "
        f"on {done.images} images"
    )
    same = "a new one" if format == "keras" else "as the original's: their embeddings compare"
    print(f"fingerprint  {done.fingerprint}, {same}")
