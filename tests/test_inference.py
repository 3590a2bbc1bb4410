"""`siamese.inference`: images of any kind, any model file, one embedding."""

import io
import json
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import mean_colour
from PIL import Image

from siamese.datasets.samples import walk_images
from siamese.errors import InputError
from siamese.images import read_image
from siamese.inference import Model, find_model, load_model
from siamese.metrics.calibration import Calibration
from siamese.models import checkpoint
from siamese.models.checkpoint import PRETRAINED, read_metadata

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="module")
def model(calibrated: Path) -> Model:
    return load_model(calibrated)


@pytest.fixture(scope="module")
def files(pedestrians: Path) -> list[Path]:
    return [pedestrians / name for name in walk_images(pedestrians)]


def test_a_model_says_what_it_is(model: Model, calibrated: Path) -> None:
    card = read_metadata(calibrated)
    assert model.path == calibrated
    assert model.metadata == card
    assert model.fingerprint == card["fingerprint"]
    assert model.image_size == (64, 32)
    assert model.dimensions == 16
    assert model.calibration == Calibration.from_dict(card["calibration"])
    assert "64 x 32 to 16" in repr(model)


def test_embeddings_are_those_of_keras(model: Model, calibrated: Path, files: list[Path]) -> None:
    import keras

    plain = keras.saving.load_model(calibrated)
    images = np.stack([read_image(path) for path in files[:5]])
    expected = keras.ops.convert_to_numpy(plain(images, training=False))
    found = model.embed(files[:5])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_every_kind_of_image_embeds_alike(
    model: Model, files: list[Path], pedestrians: Path
) -> None:
    expected = model.embed(files)
    arrays = np.stack([read_image(path) for path in files])
    pictures = [Image.open(path) for path in files]
    for images in (
        pedestrians,
        str(pedestrians),
        [str(path) for path in files],
        (path for path in files),
        arrays,
        list(arrays),
        arrays.astype(np.float64),
        pictures,
        sorted((pedestrians / "categories").iterdir()),
        [files[0], pictures[1], arrays[2], arrays[3:].astype(np.int64)],
        [np.str_(path) for path in files],
        np.array([str(path) for path in files]),
        np.array([str(path) for path in files], object),
        np.array([str(path).encode() for path in files]),
        [path.read_bytes() for path in files],
        [io.BytesIO(path.read_bytes()) for path in files],
    ):
        np.testing.assert_allclose(model.embed(images), expected, atol=1e-6)
    for image in (files[4], pictures[4], arrays[4]):
        np.testing.assert_allclose(model.embed(image), expected[4:5], atol=1e-6)


def _tensorflow(array: np.ndarray) -> object:
    import tensorflow as tf

    return tf.constant(array)


def _jax(array: np.ndarray) -> object:
    return pytest.importorskip("jax").numpy.asarray(array)


class _TorchTensor:
    """As PyTorch's: NumPy reads it once it hangs on no graph and lies in main memory."""

    def __init__(self, array: np.ndarray, free: bool = False) -> None:
        self.array, self.free = array, free

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        assert self.free
        return self.array

    def detach(self) -> "_TorchTensor":
        return self

    def cpu(self) -> "_TorchTensor":
        return _TorchTensor(self.array, free=True)

    def is_floating_point(self) -> bool:
        return False


@pytest.mark.parametrize("tensor", [_tensorflow, _jax, _TorchTensor])
def test_tensors_of_other_libraries_are_arrays(
    tensor: Any, model: Model, files: list[Path]
) -> None:
    arrays = np.stack([read_image(path) for path in files[:3]])
    expected = model.embed(arrays)
    for images in (tensor(arrays), [tensor(each) for each in arrays]):
        np.testing.assert_allclose(model.embed(images), expected, atol=1e-6)


def test_grey_and_transparent_arrays_are_read_as_files_of_them_are(
    model: Model, files: list[Path], tmp_path: Path
) -> None:
    grey = read_image(files[0])[..., 1]
    expected = model.embed(np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_allclose(model.embed([grey, grey[..., None]]), [expected[0]] * 2, atol=1e-6)
    rgba = np.dstack([read_image(files[0]), np.full(grey.shape, 100, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    np.testing.assert_allclose(model.embed(rgba), model.embed(tmp_path / "rgba.png"), atol=1e-6)
    np.testing.assert_allclose(model.embed(rgba[None]), model.embed(rgba), atol=1e-6)


def test_open_files_are_read_from_their_beginning(model: Model, files: list[Path]) -> None:
    expected = model.embed(files[0])
    with files[0].open("rb") as file:
        for _ in range(2):
            np.testing.assert_allclose(model.embed(file), expected, atol=1e-6)


def test_an_image_among_others_is_named_by_its_number(model: Model, files: list[Path]) -> None:
    with pytest.raises(InputError, match=r"image 2: must be a path.* Received: NoneType"):
        model.embed([files[0], read_image(files[1]), None])
    with pytest.raises(InputError, match=r"image 1: is not an image"):
        model.embed([files[0], b"text"])
    scaled = np.full((8, 8, 3), 0.5)
    with pytest.raises(InputError, match=r"image 5: pixels must be 0 to 255"):
        model.embed([np.zeros((5, 8, 8, 3)), scaled])


@pytest.mark.parametrize("form", ["keras", "onnx"])
def test_a_pickled_model_is_opened_again(
    form: str, model: Model, files: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / f"model.{form}"
    if form == "keras":
        shutil.copy(model.path, path)
    else:
        mean_colour(path, ["n", 3, 8, 4])
    given = load_model(path, **({} if form == "keras" else {"channels": "bgr"}))
    again = pickle.loads(pickle.dumps(given))
    assert (again.fingerprint, again.preprocessing) == (given.fingerprint, given.preprocessing)
    np.testing.assert_allclose(again.embed(files[0]), given.embed(files[0]), atol=1e-6)
    if form == "onnx":
        stored = pickle.dumps(given)
        mean_colour(path, ["n", 8, 4, 3])
        with pytest.raises(InputError, match="is not the model that was pickled"):
            pickle.loads(stored)


def test_embedding_depends_on_neither_batch_nor_neighbours(
    model: Model, files: list[Path], tmp_path: Path
) -> None:
    mixed: list[Path | Image.Image] = []
    for number, path in enumerate(files[:7]):
        with Image.open(path) as image:
            size = (20 + 7 * number, 41 + 11 * number)
            mixed += [path, image.resize(size)]
    whole = model.embed(mixed)
    assert np.abs(whole[0] - whole[1]).max() > 1e-4
    np.testing.assert_allclose(model.embed(mixed, batch_size=3), whole, atol=1e-6)
    alone = np.concatenate([model.embed(image) for image in mixed])
    np.testing.assert_allclose(alone, whole, atol=1e-6)


def test_sizes_are_made_equal_as_the_network_does_it(model: Model, calibrated: Path) -> None:
    import keras

    plain = keras.saving.load_model(calibrated)
    random = np.random.default_rng(1)
    for size in ((64, 32), (128, 64), (50, 31), (201, 77), (1, 1)):
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        expected = keras.ops.convert_to_numpy(plain(image[None], training=False))
        np.testing.assert_allclose(model.embed(image), expected, atol=2e-5)


def test_flip_averages_with_the_mirrored_image(model: Model, files: list[Path]) -> None:
    images = np.stack([read_image(path) for path in files[:3]])
    straight, mirrored = model.embed(images), model.embed(images[:, :, ::-1])
    mean = straight + mirrored
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    for either in (images, images[:, :, ::-1]):
        np.testing.assert_allclose(model.embed(either, flip=True), mean, atol=1e-6)


def test_a_generator_is_read_a_batch_ahead_and_no_further(model: Model, files: list[Path]) -> None:
    taken = 0

    def images() -> Iterator[Path]:
        nonlocal taken
        for path in files:
            taken += 1
            yield path

    ahead = []
    model.embed(
        images(), batch_size=4, progress=lambda done, total: ahead.append((taken - done, total))
    )
    assert max(each for each, _ in ahead) <= 4
    assert [total for _, total in ahead][:2] == [4, 8]


def test_progress_knows_the_total_beforehand(model: Model, files: list[Path]) -> None:
    calls: list[tuple[int, int]] = []
    model.embed(files[0].parent, batch_size=3, progress=lambda *call: calls.append(call))
    assert calls == [(3, 8), (6, 8), (8, 8)]


def test_no_images_give_no_rows(model: Model) -> None:
    assert model.embed([]).shape == (0, 16)
    assert model.embed(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 16)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("gone.jpg", "no such file"),
        (7, "Received: int"),
        (np.zeros((8, 8, 2), np.uint8), r"shape \(8, 8, 2\)"),
        (np.zeros(8, np.uint8), r"shape \(8,\)"),
        (None, "Received: NoneType"),
        (np.full((8, 8, 3), True), "must be numbers"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\)"),
        (np.full((8, 8, 3), 0.5), "Multiply them by 255"),
        (np.full((8, 8, 3), np.nan), "values from nan"),
        (np.full((8, 8, 3), 256), "values from 256"),
        (np.full((8, 8, 3), -1), "values from -1"),
        (np.zeros((0, 8, 3), np.uint8), "must have pixels"),
        (np.zeros((8, 8, 3), "U1"), "must be numbers"),
    ],
)
def test_what_is_no_image_is_refused(model: Model, images: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model.embed(images)  # type: ignore[arg-type]


def test_damaged_image_among_others_is_named(
    model: Model, files: list[Path], tmp_path: Path
) -> None:
    shutil.copy(files[0], tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(files[1].read_bytes()[:300])
    with pytest.raises(InputError, match=r"b\.jpg: is a damaged image"):
        model.embed(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        model.embed(tmp_path / "empty")
    with pytest.raises(InputError, match="batch_size"):
        model.embed(files[0], batch_size=0)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(model: Model) -> None:
    with pytest.raises(InputError, match="more than 50,000,000"):
        model.embed(Image.new("1", (10_000, 6_000)))


def test_verdict_is_what_the_calibration_says(model: Model, files: list[Path]) -> None:
    assert model.calibration is not None
    answer = model.verify(files[0], files[-1])
    one, other = model.embed([files[0], files[-1]])
    assert answer.distance == pytest.approx(float(np.linalg.norm(one - other)), abs=1e-5)
    assert answer.verdict == model.calibration.verdict(answer.distance)
    assert answer.threshold == model.calibration.threshold
    assert answer.probability == pytest.approx(model.calibration.probability(answer.distance))
    assert answer.same is (answer.distance <= answer.threshold)
    shares = model.calibration.word_rates()[answer.verdict]
    assert (answer.verdict_same_share, answer.verdict_different_share) == shares
    assert (answer.prior, answer.bounds) == (0.5, model.calibration.bounds())
    rates = model.calibration.error_rates(answer.threshold)
    assert (answer.false_accept_rate, answer.false_reject_rate) == rates
    assert (answer.model, answer.fingerprint) == (str(model.path), model.fingerprint)
    with Image.open(files[0]) as image:
        assert model.verify(image, read_image(files[-1])) == answer


def test_a_prior_moves_the_verdict_and_not_the_threshold(model: Model, files: list[Path]) -> None:
    assert model.calibration is not None
    even, rare = (model.verify(files[0], files[-1], prior) for prior in (0.5, 1e-6))
    assert rare.verdict == model.calibration.verdict(rare.distance, 1e-6) == "different"
    assert rare.probability == pytest.approx(
        1e-6 * even.probability / (1e-6 * even.probability + (1 - 1e-6) * (1 - even.probability))
    )
    assert (rare.prior, rare.same, rare.threshold) == (1e-6, even.same, even.threshold)
    with pytest.raises(InputError, match="`prior` must be above 0"):
        model.verify(files[0], files[1], 1.0)


def test_an_answer_is_json(model: Model, files: list[Path]) -> None:
    from dataclasses import replace

    assert model.calibration is not None
    answer = model.verify(files[0], files[-1])
    assert json.loads(json.dumps(answer.to_dict())) == {
        **vars(answer),
        "bounds": list(answer.bounds),
    }
    lost = model.judge(1.0, replace(model.calibration, slope=0.0)).to_dict()
    assert (lost["verdict"], lost["bounds"]) == ("unsure", [None] * 4)
    json.dumps(lost, allow_nan=False)


def test_a_verdict_is_the_same_either_way_round(model: Model, files: list[Path]) -> None:
    assert model.verify(files[0], files[-1]) == model.verify(files[-1], files[0])
    itself = model.verify(files[0], files[0])
    assert itself.distance == 0
    assert itself.same


def test_a_model_without_calibration_gives_no_verdict(
    calibrated: Path, files: list[Path], tmp_path: Path
) -> None:
    loaded = checkpoint.load_checkpoint(calibrated)
    checkpoint.save_checkpoint(
        tmp_path / "model.keras", loaded.embedder, image_size=loaded.image_size
    )
    with pytest.raises(InputError, match="holds no calibration"):
        load_model(tmp_path / "model.keras").verify(files[0], files[1])


def test_a_pair_is_two_single_images(model: Model, files: list[Path], pedestrians: Path) -> None:
    with pytest.raises(InputError, match="one image is needed"):
        model.verify(files[0], pedestrians)


def test_threads_share_a_model(calibrated: Path, files: list[Path]) -> None:
    model = load_model(calibrated)
    sole = load_model(calibrated)
    expected = [sole.verify(files[0], path).distance for path in files[:12]]
    found: dict[int, float] = {}

    def ask(number: int) -> None:
        found[number] = model.verify(files[0], files[number]).distance

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(12)] == pytest.approx(expected, abs=1e-6)


def test_model_is_found_in_the_newest_run_then_in_the_package(
    calibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = tmp_path / "pretrained" / "model.keras"
    monkeypatch.setattr("siamese.inference.in_use.PRETRAINED", packaged)
    with pytest.raises(InputError, match="holds no finished run"):
        load_model()
    packaged.parent.mkdir()
    shutil.copy(calibrated, packaged)
    assert load_model().path == packaged
    for number, name in enumerate(["old", "new", "unfinished"]):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        shutil.copy(calibrated, folder / "model.keras")
        if name != "unfinished":
            (folder / "scores.json").write_text("{}")
            os.utime(folder / "scores.json", (number, number))
    assert find_model(None) == Path("runs/new/model.keras")
    assert find_model("mine.keras") == Path("mine.keras")


def test_model_of_the_package_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    for name in ("model.keras", "scores.json"):
        (tmp_path / "runs" / "mine" / name).write_text("{}")
    assert find_model(None) == Path("runs/mine/model.keras")
    assert find_model("pretrained") == PRETRAINED


def test_options_for_foreign_files_are_refused_where_the_file_holds_them(calibrated: Path) -> None:
    with pytest.raises(InputError, match="holds its image size"):
        load_model(calibrated, image_size=(64, 32))
