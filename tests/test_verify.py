"""`siamese.verify`: two images and a model file to a verdict, the same either way round."""

from pathlib import Path

import pytest

from siamese.errors import InputError
from siamese.inference import load_model
from siamese.models import files
from siamese.verify import verify


@pytest.fixture(scope="module")
def pair(pedestrians: Path) -> tuple[Path, Path]:
    images = sorted((pedestrians / "categories" / "0001").iterdir())
    return images[0], images[-1]


def test_order_does_not_matter_and_an_image_equals_itself(
    calibrated: Path, pair: tuple[Path, Path]
) -> None:
    model = load_model(calibrated)
    assert verify(*pair, model) == verify(*reversed(pair), model)
    itself = verify(pair[0], pair[0], model)
    assert itself.distance == 0
    assert itself.verdict == "same"


def test_a_file_answers_as_the_open_model(calibrated: Path, pair: tuple[Path, Path]) -> None:
    assert verify(*pair, calibrated) == load_model(calibrated).verify(*pair)


def test_model_without_calibration_is_refused(
    calibrated: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    loaded = files.load_model(calibrated)
    files.save_model(tmp_path / "model.keras", loaded.embedder, image_size=loaded.image_size)
    with pytest.raises(InputError, match="holds no calibration"):
        verify(*pair, tmp_path / "model.keras")
