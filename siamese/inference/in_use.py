"""Finds the model that answers: in use, of the newest run, pretrained, or of a gallery.

The file `runs/in_use.json` names the model in use and says why; training and `siamese use` write
it. Where there is none, the run that finished last is in use, as in version 0.1.0, or else the
model that comes with the package.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from siamese.errors import InputError, refusing_damage
from siamese.files import write_text
from siamese.models.checkpoint import PRETRAINED, read_metadata

PRETRAINED_NAME, NEWEST_NAME = "pretrained", "newest"
"""Names of a model, in place of its file."""
RUNS = Path("runs")
IN_USE = RUNS / "in_use.json"


@dataclass(frozen=True)
class Choice:
    """Holds which model is in use.

    Attributes:
        model: "pretrained", or the path of a model file.
        why: In words.
    """

    model: str
    why: str


def model_in_use() -> Choice:
    """Reads which model is in use.

    Raises:
        InputError: `runs/in_use.json` is damaged, or names a file that has gone; or there is no
            model at all.
    """
    if IN_USE.is_file():
        with refusing_damage(IN_USE, "Choose with siamese use RUN|pretrained"):
            values = json.loads(IN_USE.read_text(encoding="utf-8"))
            choice = Choice(str(values["model"]), str(values["why"]))
        if choice.model != PRETRAINED_NAME and not Path(choice.model).is_file():
            raise InputError(
                f"{choice.model}: is the model in use and has gone. Choose another with siamese "
                "use RUN|pretrained"
            )
        return choice
    runs = finished_runs()
    if runs:
        return Choice(str(runs[0]), "the run that finished last; none was chosen")
    find_model(PRETRAINED_NAME)
    return Choice(PRETRAINED_NAME, "nothing has been trained here, and none was chosen")


def use_model(model: str | Path, why: str) -> Choice:
    """Puts a model in use.

    Args:
        model: A run folder, a model file or "pretrained".
        why: In words, for whoever asks later.

    Raises:
        InputError: There is no such model.
    """
    chosen = str(model)
    if chosen != PRETRAINED_NAME:
        path = Path(model)
        if not path.exists() and (RUNS / path).exists():
            path = RUNS / path
        if path.is_dir():
            path /= "model.keras"
        if not path.is_file():
            names = ", ".join(each.parent.name for each in finished_runs()) or "none"
            raise InputError(
                f"{model}: is neither a run with a model nor a model file. Give pretrained, a "
                f"model file, or a finished run. There are: {names}"
            )
        chosen = path.as_posix()
    else:
        find_model(PRETRAINED_NAME)
    choice = Choice(chosen, why)
    RUNS.mkdir(exist_ok=True)
    write_text(IN_USE, json.dumps(asdict(choice), ensure_ascii=False))
    return choice


def finished_runs() -> list[Path]:
    """Lists the model files of the finished runs in `runs`, the one that finished last first."""
    finished = sorted(RUNS.glob("*/scores.json"), key=lambda path: path.stat().st_mtime)
    models = [each.with_name("model.keras") for each in reversed(finished)]
    return [each for each in models if each.is_file()]


def find_model(model: str | Path | None) -> Path:
    """Finds a model file by its name, or the one in use.

    Args:
        model: A model file; "pretrained", the one that comes with the package, whatever was trained
            since; "newest", that of the run in `runs` that finished last, or else the pretrained
            one; or None: the one in use.

    Returns:
        The file.

    Raises:
        InputError: There is none of this name, or from `model_in_use`.
    """
    name = model_in_use().model if model is None else str(model)
    if name not in (PRETRAINED_NAME, NEWEST_NAME):
        return Path(name)
    pretrained = [PRETRAINED, PRETRAINED.with_suffix(".onnx")]
    for path in [*(finished_runs() if name == NEWEST_NAME else []), *pretrained]:
        if path.is_file():
            return path
    raise InputError(
        "runs: holds no finished run. Give --model PATH, or train with train_siamese_network.py"
    )


def find_fastest(model: str | Path | None) -> Path:
    """Finds the fastest form of a model: as `find_model`, or the ONNX file exported from it.

    A `model.onnx` beside the `model.keras` is taken where onnxruntime is installed, because it
    needs neither TensorFlow nor Keras, whose import takes longer than the answer. It is taken only
    where it holds the fingerprint of the other: after more training it would be of older weights. A
    file that is named is taken as it is.
    """
    path = find_model(model)
    exported = path.with_suffix(".onnx")
    unnamed = model is None or str(model) in (PRETRAINED_NAME, NEWEST_NAME)
    if not (unnamed and path != exported and exported.is_file() and find_spec("onnxruntime")):
        return path
    # Sixteen digits of a digest are nowhere in the file unless its metadata names them.
    agrees = str(read_metadata(path)["fingerprint"]).encode() in exported.read_bytes()
    return exported if agrees else path


def find_by_fingerprint(fingerprint: str, remembered: str | None = None) -> Path | None:
    """Finds the model that made some embeddings: in use, remembered, pretrained or of a run.

    Returns its file in its fastest form; None where none of them is that model.
    """
    candidates: list[str | Path | None] = [None, PRETRAINED_NAME, *finished_runs()]
    for each in candidates:
        with contextlib.suppress(InputError):
            path = find_model(each)
            if path.suffix != ".keras":
                continue
            if read_metadata(path, whole=False)["fingerprint"] == fingerprint:
                return find_fastest(each)
    return Path(remembered) if remembered is not None and Path(remembered).is_file() else None
