"""The command export."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from siamese.cli.program import Flag, Json, import_quietly


def export(
    model: Path | None = None,
    output: Path | None = None,
    format: Literal["onnx", "savedmodel", "litert", "keras"] = "onnx",  # noqa: A002
    half: Flag = False,
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
    if output is None:
        suffix = {
            "onnx": ".onnx",
            "litert": ".tflite",
            "savedmodel": "_saved",
            "keras": "_half.keras",
        }[format]
        output = path.with_name(path.stem + suffix)
    import_quietly("keras")
    from siamese.export import export_model

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
