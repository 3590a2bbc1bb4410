"""`siamese.export`: what is written agrees with the original, or is not written."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.export import Export, Format, export_model, largest_difference
from siamese.images import read_image, resize_image
from siamese.inference import load_model
from siamese.models import checkpoint

pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def onnx_export(
    calibrated: Path, pedestrians: Path, tmp_path_factory: pytest.TempPathFactory
) -> Export:
    output = tmp_path_factory.mktemp("export") / "new folder" / "model.onnx"
    return export_model(calibrated, output, images=pedestrians)


@pytest.fixture(scope="module")
def crops(pedestrians: Path) -> list[Path]:
    return sorted(pedestrians.rglob("*.jpg"))[:6]


def test_onnx_embeds_as_the_original(
    calibrated: Path, onnx_export: Export, crops: list[Path]
) -> None:
    assert onnx_export.images == 32
    assert 0 <= onnx_export.largest_difference < 1e-5
    exported, original = load_model(onnx_export.path), load_model(calibrated)
    np.testing.assert_allclose(exported.embed(crops), original.embed(crops), atol=1e-5)
    answer, expected = exported.verify(crops[0], crops[-1]), original.verify(crops[0], crops[-1])
    assert answer.distance == pytest.approx(expected.distance, abs=1e-5)
    assert answer.verdict == expected.verdict
    assert answer.model == onnx_export.path


def test_onnx_holds_card_calibration_and_fingerprint(calibrated: Path, onnx_export: Export) -> None:
    exported, original = load_model(onnx_export.path), load_model(calibrated)
    assert exported.metadata == original.metadata
    assert exported.calibration == original.calibration
    assert exported.fingerprint == original.fingerprint == onnx_export.fingerprint
    assert exported.image_size == original.image_size
    assert exported.dimensions == original.dimensions
    with pytest.raises(InputError, match="holds its image size"):
        load_model(onnx_export.path, mean=(0, 0, 0))


def test_onnx_takes_images_of_any_size_from_other_programs(
    calibrated: Path, onnx_export: Export, crops: list[Path]
) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_export.path)
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape) == ("images", ["images", "height", "width", 3])
    assert given.name == "embeddings"
    assert given.shape[1] == 16
    image = resize_image(read_image(crops[0]), (130, 50))
    found = session.run(None, {"images": np.stack([image, image]).astype(np.float32)})[0]
    expected = load_model(calibrated).embed([image, image])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_saved_model_agrees_on_drawn_images(
    calibrated: Path, tmp_path: Path, crops: list[Path]
) -> None:
    import tensorflow as tf

    done = export_model(calibrated, tmp_path / "saved", format="savedmodel")
    assert done.images == 8
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    card = json.loads((tmp_path / "saved" / "siamese.json").read_text())
    assert card["fingerprint"] == done.fingerprint
    opened = tf.saved_model.load(tmp_path / "saved")
    images = np.stack([read_image(path) for path in crops]).astype(np.float32)
    found = opened.signatures["serving_default"](images=images)["embeddings"]
    np.testing.assert_allclose(found, load_model(calibrated).embed(crops), atol=1e-5)
    with pytest.raises(InputError, match="exists already"):
        export_model(calibrated, tmp_path / "saved", format="savedmodel")


def test_litert_holds_its_card(calibrated: Path, tmp_path: Path, crops: list[Path]) -> None:
    done = export_model(calibrated, tmp_path / "m.tflite", format="litert", images=crops)
    assert done.largest_difference < 1e-5
    assert (tmp_path / "m.tflite").stat().st_size > 1_000_000  # the weights are in it
    with zipfile.ZipFile(tmp_path / "m.tflite") as archive:
        assert json.loads(archive.read("siamese.json"))["fingerprint"] == done.fingerprint


def test_half_precision_takes_half_the_space_and_answers_alike(
    calibrated: Path, tmp_path: Path, crops: list[Path]
) -> None:
    original = load_model(calibrated)
    half = export_model(calibrated, tmp_path / "half.keras", format="keras", half=True)
    assert half.fingerprint != original.fingerprint
    both = [export_model(half.path, tmp_path / f"{n}.onnx", half=n) for n in (False, True)]
    full, halved = (Path(each.path) for each in both)
    assert halved.stat().st_size < 0.7 * full.stat().st_size
    with zipfile.ZipFile(half.path) as small, zipfile.ZipFile(calibrated) as large:
        sizes = [each.getinfo("model.weights.h5").file_size for each in (small, large)]
    assert sizes[0] < 0.75 * sizes[1]
    models = [load_model(each) for each in (half.path, halved)]
    assert {each.fingerprint for each in models} == {half.fingerprint}
    for model in models:
        assert model.calibration == original.calibration
        np.testing.assert_allclose(model.embed(crops), original.embed(crops), atol=2e-3)


@pytest.mark.parametrize(("name", "kind"), [("m.onnx", "onnx"), ("m", "savedmodel")])
def test_export_that_disagrees_leaves_nothing(
    calibrated: Path,
    tmp_path: Path,
    crops: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: Format,
) -> None:
    monkeypatch.setattr("siamese.export.TOLERANCE", -1.0)
    with pytest.raises(InputError, match="was not written, as its embeddings differ"):
        export_model(calibrated, tmp_path / name, format=kind, images=crops[:1])
    assert list(tmp_path.iterdir()) == []


def test_another_network_is_far_off(calibrated: Path, crops: list[Path]) -> None:
    loaded = checkpoint.load_checkpoint(calibrated)
    images = [read_image(path) for path in crops]
    itself = lambda batch: loaded.embedder(batch, training=False)  # noqa: E731
    mirrored = lambda batch: loaded.embedder(batch[:, :, ::-1], training=False)  # noqa: E731
    nothing = lambda batch: np.full((len(batch), 16), np.nan)  # noqa: E731
    assert largest_difference(loaded, itself, images, resized=False) < 1e-6
    assert largest_difference(loaded, mirrored, images, resized=False) > 1e-4
    assert not largest_difference(loaded, nothing, images, resized=False) <= 1e-4


def test_wrong_wishes_are_answered(calibrated: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="formats onnx and keras"):
        export_model(calibrated, tmp_path / "half.tflite", format="litert", half=True)
    with pytest.raises(InputError, match=r"must end in \.onnx"):
        export_model(calibrated, tmp_path / "model.keras")
    with pytest.raises(InputError, match="no such model file"):
        export_model(tmp_path / "gone.keras", tmp_path / "m.onnx")
    with pytest.raises(InputError, match="at least one image"):
        export_model(calibrated, tmp_path / "m.onnx", images=[])
    assert list(tmp_path.iterdir()) == []


def test_newest_run_answers_by_its_own_export(
    calibrated: Path, onnx_export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    shutil.copy(calibrated, folder / "model.keras")
    (folder / "scores.json").write_text("{}")
    shutil.copy(onnx_export.path, folder / "model.onnx")
    assert load_model().path == Path("runs/a/model.onnx")
    assert load_model(folder / "model.keras").path.suffix == ".keras"
    loaded = checkpoint.load_checkpoint(calibrated)
    weights = loaded.embedder.get_weights()
    loaded.embedder.set_weights([each * 1.01 for each in weights])
    checkpoint.save_checkpoint(folder / "model.keras", loaded.embedder, image_size=(64, 32))
    assert load_model().path == Path("runs/a/model.keras")  # the export is of older weights
    (folder / "model.onnx").unlink()
    assert load_model().path == Path("runs/a/model.keras")
