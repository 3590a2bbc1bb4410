"""Small real input, drawn once a test process."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from siamese.synthetic import write_mars_tree

if TYPE_CHECKING:
    from siamese.inference import Model

# A mutant is killed by the first example that fails: it is not made smaller, nor kept.
settings.register_profile(
    "mutants", phases=[Phase.explicit, Phase.generate], derandomize=True, database=None
)


@pytest.fixture(scope="session")
def pedestrians(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MARS tree of 14 people by 2 cameras, 4 frames each, 64x32 pixels."""
    folder = tmp_path_factory.mktemp("drawn") / "a folder of Müller"
    write_mars_tree(folder, people=14, cameras=2, frames=4, image_size=(64, 32))
    return folder


@pytest.fixture(scope="session")
def records(pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record set of `pedestrians`."""
    from siamese.records import build_records

    folder = tmp_path_factory.mktemp("records") / "set"
    build_records(pedestrians, folder)
    return folder


@pytest.fixture(scope="session")
def trained(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a small batch-hard training."""
    from siamese.recipes import batch_hard, change_recipe
    from siamese.train import train

    folder = tmp_path_factory.mktemp("runs") / "small"
    recipe = change_recipe(
        batch_hard(), backbone="conv4", weights="none", image_size=(64, 32), epochs=2
    )
    train(records, recipe, run=folder, log=folder.parent / "log")
    return folder


@pytest.fixture(scope="session")
def calibrated(pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's model file, untrained, but calibrated on `pedestrians`."""
    import keras

    from siamese.datasets import list_samples
    from siamese.inference import load_model
    from siamese.metrics.calibration import fit_calibration
    from siamese.metrics.pairs import count_pairs
    from siamese.models.checkpoint import save_checkpoint
    from siamese.models.embedder import build_embedder, join_embedder

    keras.utils.set_random_seed(3)
    embedder = join_embedder(
        build_embedder(
            backbone="conv4", weights="none", image_size=(64, 32), embedding_size=16, bnneck=True
        )
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("calibrated")
    save_checkpoint(folder / "plain.keras", embedder, image_size=(64, 32))
    samples = list_samples(pedestrians)
    embeddings = load_model(folder / "plain.keras").embed([each.path for each in samples])
    pairs = count_pairs(
        embeddings, [each.person for each in samples], [each.camera for each in samples]
    )
    (folder / "plain.keras").unlink()
    card = {"calibration": fit_calibration(pairs).to_dict(), "scores": {}}
    save_checkpoint(folder / "model.keras", embedder, image_size=(64, 32), metadata=card)
    return folder / "model.keras"


@pytest.fixture(scope="module")
def model(people: Path, tmp_path_factory: pytest.TempPathFactory) -> "Model":
    """A model by colours for the `people` of a module, calibrated on them."""
    from colours import write_colour_model

    return write_colour_model(tmp_path_factory.mktemp("model") / "colours.onnx", people=people)


@pytest.fixture(scope="module")
def whole(people: Path, model: "Model", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of all images of `people`; a test that changes it takes a `copy`."""
    from siamese.gallery import Gallery

    path = tmp_path_factory.mktemp("whole") / "gallery"
    Gallery(path, model).add(people)
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of `whole`."""
    return Path(shutil.copytree(whole, tmp_path / "gallery"))
