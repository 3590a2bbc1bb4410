"""What version 0.1.0 wrote still opens: model, run folder, record set, gallery and recipe.

The files in `fixtures` are of six drawn people, by the recipe `demo` with a small backbone. Weights
and optimiser state have fewer bits than trained ones, so that they compress.
"""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from siamese.cli import run, train
from siamese.gallery import Gallery
from siamese.inference import load_model
from siamese.loader.from_records import evaluation_batches
from siamese.models import checkpoint
from siamese.models.checkpoint import PRETRAINED
from siamese.models.transfer import architecture_of
from siamese.recipes import recipe_from_dict
from siamese.records import read_manifest, shard_paths, verify_records
from siamese.train.optimizer import TwoRateAdam
from siamese.train.run_dir import load_state, read_history, read_run_config

FIXTURES = Path(__file__).with_name("fixtures")
RUN = FIXTURES / "run"
RECORDS = FIXTURES / "records"


def _images() -> tuple[np.ndarray, list[str]]:
    """All images of the record set, and their people."""
    shards = [path for part in ("train", "validation") for path in _shards(part)]
    batches = list(evaluation_batches(shards, image_size=(128, 64)))
    images = np.concatenate([each.images for each in batches])
    return images, np.concatenate([each.people for each in batches]).tolist()


def _shards(part: str) -> list[str]:
    return shard_paths(RECORDS, read_manifest(RECORDS), part)


def test_a_model_computes_what_its_fingerprint_says() -> None:
    loaded = checkpoint.load_checkpoint(RUN / "model.keras")
    assert checkpoint.fingerprint(loaded.embedder) == loaded.fingerprint == "171a38b6530ce621"


@pytest.mark.parametrize("path", [PRETRAINED, RUN / "model.keras"], ids=["pretrained", "run"])
def test_a_model_gives_verdicts(path: Path) -> None:
    first, second = _images()[0][:2]
    model = load_model(path)
    assert model.verify(first, first).same
    assert "same" in model.verify(first, first).verdict
    assert 0 < model.verify(first, second).distance < 2


def test_a_run_resumes_from_its_last_state() -> None:
    start = read_run_config(RUN)
    model, epochs = load_state(RUN, start.architecture, Console(file=io.StringIO()))
    assert epochs == 1
    assert len(read_history(RUN)) == 2
    outputs = model(np.zeros((2, 64, 32, 3), np.uint8))
    assert outputs["metric"].shape == (2, 16)
    assert outputs["identity"].shape == (2, 4)


def test_a_training_goes_on_from_an_old_model() -> None:
    found = architecture_of(str(RUN / "model.keras"))
    assert found["backbone"] == "osnet_x0_25"
    assert found["bnneck"] is True


def test_a_recipe_file_keeps_its_meaning() -> None:
    recipe = recipe_from_dict(json.loads((RUN / "recipe.json").read_text())["recipe"])
    assert recipe.model.backbone == "osnet_x0_25"
    assert recipe.model.bnneck
    assert recipe.batches.sampler == "pk"
    assert (recipe.batches.num_identities, recipe.batches.num_instances) == (4, 2)


def test_an_optimiser_with_arguments_of_their_old_names_is_read() -> None:
    config = TwoRateAdam(backbone_variables=2, backbone_rate=0.5).get_config()
    config["trunk_variables"] = config.pop("backbone_variables")
    config["trunk_rate"] = config.pop("backbone_rate")
    found = TwoRateAdam.from_config(config)
    assert (found.backbone_variables, found.backbone_rate) == (2, 0.5)


def test_the_flag_of_the_backbone_keeps_its_old_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(train, ["--data", str(tmp_path), "--weights", "none", "--trunk", "conv5"]) == 2
    assert "Did you mean conv4?" in capsys.readouterr().err


def test_a_record_set_is_whole() -> None:
    manifest, faults = verify_records(RECORDS)
    assert not faults
    assert manifest.parts["train"].images == 16
    assert len(_images()[1]) == 24


def test_a_gallery_finds_its_people(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "gallery", tmp_path / "gallery")
    gallery = Gallery(tmp_path / "gallery", RUN / "model.keras")
    assert len(gallery) == 24
    for image, person in zip(*_images(), strict=True):
        found = gallery.search(image, k=1)[0]
        assert found.person == person
        assert found.distance < 1e-3
