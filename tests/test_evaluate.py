"""`siamese.evaluate`: files, records and folders give the same embeddings and whole score cards."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.data.datasets import Sample, list_samples
from siamese.errors import InputError
from siamese.evaluate import embed_records, embed_samples, evaluate
from siamese.models.files import load_model


def test_records_and_files_embed_alike(trained: Path, records: Path, pedestrians: Path) -> None:
    loaded = load_model(trained / "model.keras")
    stored = embed_records(loaded.embedder, records, "validation", loaded.image_size)
    by_name = {
        f"{sample.person}/{Path(sample.path).name}": sample for sample in list_samples(pedestrians)
    }
    samples = [by_name[name] for name in stored.names]
    files = embed_samples(loaded.embedder, samples, loaded.image_size)
    np.testing.assert_allclose(files.embeddings, stored.embeddings, atol=1e-5)
    np.testing.assert_array_equal(files.people, stored.people)
    np.testing.assert_array_equal(files.cameras, stored.cameras)


def test_images_of_many_sizes_embed_as_alone(trained: Path, tmp_path: Path) -> None:
    loaded = load_model(trained / "model.keras")
    random = np.random.default_rng(0)
    samples = []
    for number, (height, width) in enumerate([(64, 32), (128, 64), (90, 41), (64, 32)]):
        path = tmp_path / f"{number}.png"
        noise = random.integers(0, 256, (8, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(path)
        samples.append(Sample(str(path), str(number)))
    together = embed_samples(loaded.embedder, samples, loaded.image_size).embeddings
    for row, sample in enumerate(samples):
        alone = embed_samples(loaded.embedder, [sample], loaded.image_size).embeddings[0]
        assert np.linalg.norm(together[row] - alone) < 0.02  # half a grey level of rounding


def test_record_set_is_scored_as_at_the_end_of_training(trained: Path, records: Path) -> None:
    card = evaluate(trained / "model.keras", records)
    after_training = json.loads((trained / "scores.json").read_text())
    for name in ("rank1", "mAP", "mAP_trapezoid", "mINP", "eer", "auc"):
        assert card[name] == pytest.approx(after_training[name], abs=1e-5)
    assert card["queries"] == after_training["queries"]
    for name in ("rank1", "mAP", "mINP", "eer", "auc"):
        low, high = card["intervals"][name]
        assert low <= card[name] <= high
    json.dumps(card)


def test_market_folders_are_scored(trained: Path, pedestrians: Path, tmp_path: Path) -> None:
    for path in pedestrians.rglob("*.jpg"):
        person, camera, frame = path.name[:4], path.name[5], int(path.name[12:15])
        folder = tmp_path / ("query" if frame == 1 else "bounding_box_test")
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / f"{person}_c{camera}s1_{frame:06d}_00.jpg")
    card = evaluate(trained / "model.keras", tmp_path)
    assert card["queries"] == 14 * 2
    assert card["gallery"] == 14 * 2 * 3
    assert card["protocol"] == "cross-camera"
    assert 0 < card["mAP"] <= 1


def test_folder_without_queries_is_refused(trained: Path, pedestrians: Path) -> None:
    with pytest.raises(InputError):
        evaluate(trained / "model.keras", pedestrians)


def test_peer_gallery_of_real_crops_is_read(trained: Path) -> None:
    real = Path(__file__).parents[2] / "shared" / "data" / "market1501"
    if not real.exists():
        pytest.skip("the real crops are not here")
    card = evaluate(trained / "model.keras", real)
    assert card["queries"] + card["queries_without_match"] == 439
    assert card["gallery"] == 1_244
