r"""Adds to model files what tells images unlike those of their calibration.

    python tools/add_likeness.py model.keras model.onnx \
        --data market1501/bounding_box_train=held_out cuhk03/labeled_val VIPeR=:316

Training stores it by itself; this is for a model that was calibrated elsewhere. `--data` are the
images of the calibration: folders, whole or `=SLICE` of their people by number, or `=held_out`, the
people whom the default split holds out. The weights, the fingerprint and all else stay.
"""

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from siamese.datasets import Sample, list_samples
from siamese.datasets.splits import choose_people, split_samples
from siamese.embeddings import list_all
from siamese.files import whole_file
from siamese.images import read_image
from siamese.inference.networks import METADATA
from siamese.metrics.likeness import fit_likeness, measure_appearance
from siamese.models.checkpoint import MEMBER

MOST = 1000


def main() -> None:
    """Measures some images of each folder, as many of each, and rewrites the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", type=Path, nargs="+", help=".keras and .onnx files")
    parser.add_argument(
        "--data", nargs="+", required=True, help="FOLDER, FOLDER=SLICE or =held_out"
    )
    options = parser.parse_args()
    sources = [list_source(each) for each in options.data]
    count = min(MOST, *(len(each) for each in sources))
    paths = [
        samples[row].path
        for samples in sources
        for row in np.linspace(0, len(samples) - 1, count).astype(int)
    ]
    likeness = fit_likeness(measure_appearance(read_image(path) for path in paths))
    for model in options.models:
        (_write_onnx if model.suffix == ".onnx" else _write_keras)(model, likeness.to_dict())
        print(f"wrote {model}: likeness of {likeness.images:,} images, limit {likeness.limit:.3f}")


def list_source(source: str) -> list[Sample]:
    """Lists the images of FOLDER, FOLDER=SLICE or FOLDER=held_out."""
    folder, _, chosen = source.partition("=")
    if chosen == "held_out":
        return split_samples(list_samples(folder, "train"), "identity", 0.1, 0)[1]
    samples = list_all(Path(folder))
    return choose_people(samples, chosen) if chosen else samples


def _write_keras(path: Path, likeness: dict[str, Any]) -> None:
    with (
        whole_file(path) as temporary,
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(temporary, "w") as new,
    ):
        for member in old.infolist():
            content = old.read(member)
            if member.filename == MEMBER:
                values = {**json.loads(content), "likeness": likeness}
                content = json.dumps(values, indent=1, ensure_ascii=False).encode()
            new.writestr(member, content)


def _write_onnx(path: Path, likeness: dict[str, Any]) -> None:
    import onnx

    model = onnx.load(path)
    properties = {each.key: each.value for each in model.metadata_props}
    values = {**json.loads(properties[METADATA]), "likeness": likeness}
    properties[METADATA] = json.dumps(values, indent=1, ensure_ascii=False)
    onnx.helper.set_model_props(model, properties)
    with whole_file(path) as temporary:
        onnx.save(model, temporary)


if __name__ == "__main__":
    main()
