"""`siamese.verify`: the verdict is the calibration's word on the distance."""

from pathlib import Path

import numpy as np
import pytest

from siamese.data.images import read_image
from siamese.errors import InputError
from siamese.models.embedder import embed
from siamese.models.files import load_model, save_model
from siamese.scores.verification import Calibration
from siamese.verify import find_model, verify


@pytest.fixture(scope="module")
def pair(pedestrians: Path) -> tuple[Path, Path]:
    files = sorted((pedestrians / "categories" / "0001").iterdir())
    return files[0], files[-1]


def test_answer_is_what_the_calibration_says(trained: Path, pair: tuple[Path, Path]) -> None:
    loaded = load_model(trained / "model.keras")
    calibration = Calibration.from_dict(loaded.card["calibration"])
    answer = verify(*pair, loaded)
    one, other = (embed(loaded.embedder, [read_image(path)[None]])[0] for path in pair)
    assert answer.distance == pytest.approx(float(np.linalg.norm(one - other)), abs=1e-5)
    assert answer.verdict == calibration.verdict(answer.distance)
    assert answer.threshold == calibration.threshold
    assert answer.probability == pytest.approx(float(calibration.probability(answer.distance)))
    assert answer.false_accept_rate <= 0.01
    assert answer.fingerprint == loaded.fingerprint


def test_order_does_not_matter_and_an_image_equals_itself(
    trained: Path, pair: tuple[Path, Path]
) -> None:
    model = load_model(trained / "model.keras")
    assert verify(*pair, model).distance == verify(*reversed(pair), model).distance
    itself = verify(pair[0], pair[0], model)
    assert itself.distance == 0
    assert itself.verdict == "same"


def test_model_without_calibration_is_refused(
    trained: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    loaded = load_model(trained / "model.keras")
    save_model(tmp_path / "model.keras", loaded.embedder, image_size=loaded.image_size)
    with pytest.raises(InputError, match="holds no calibration"):
        verify(*pair, tmp_path / "model.keras")


def test_newest_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="holds no finished run"):
        find_model(None)
    for number, name in enumerate(["b", "a"]):
        path = tmp_path / "runs" / name / "scores.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
        import os

        os.utime(path, (number, number))
    assert find_model(None) == Path("runs/a/model.keras")
    assert find_model("mine.keras") == Path("mine.keras")
