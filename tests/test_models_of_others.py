"""ONNX models of others, with the preprocessing that they expect; colours in the wrong order."""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from networks import RED, direction, first_colour, mean_colour
from PIL import Image

from siamese.embeddings import embed_folder
from siamese.errors import InputError
from siamese.evaluate import evaluate
from siamese.inference import doubt_channels, load_model

SHARED = Path(__file__).parents[2] / "shared"


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16"])
@pytest.mark.parametrize("shape", [["n", 3, 8, 4], ["n", 8, 4, 3], [2, 3, 8, 4], [1, 3, 8, 4]])
def test_foreign_network_gets_imagenet_normalisation(
    shape: list[int | str], kind: str, tmp_path: Path
) -> None:
    model = load_model(mean_colour(tmp_path / "mean.onnx", shape, kind=kind))
    assert model.image_size == (8, 4)
    assert model.dimensions == 3
    assert model.calibration is None
    found = model.embed([RED, RED, 255 - RED])
    first = direction([(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225])
    last = direction([(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0.8 - 0.406) / 0.225])
    tolerance = 1e-5 if kind == "FLOAT" else 1e-3
    np.testing.assert_allclose(found, [first, first, last], atol=tolerance)
    with pytest.raises(InputError, match="holds no calibration"):
        model.verify(RED, RED)


def test_foreign_network_takes_the_normalisation_that_is_given(tmp_path: Path) -> None:
    path = mean_colour(tmp_path / "mean.onnx", ["n", 3, 8, 4])
    model = load_model(path, mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.25, 0.5))
    np.testing.assert_allclose(model.embed(RED)[0], direction([1, -2, -0.6]), atol=1e-5)
    raw = load_model(path, mean=(0, 0, 0), deviation=(1, 1, 1))
    np.testing.assert_allclose(raw.embed(RED)[0], direction([1, 0, 0.2]), atol=1e-5)
    assert len({model.fingerprint, raw.fingerprint, load_model(path).fingerprint}) == 3
    assert load_model(path).fingerprint == load_model(path).fingerprint
    assert model.preprocessing == {
        "image_size": [8, 4],
        "channels": "rgb",
        "mean": [0.5] * 3,
        "deviation": [0.5, 0.25, 0.5],
    }
    assert load_model(path, **model.preprocessing).fingerprint == model.fingerprint


def test_foreign_network_of_whole_numbers_gets_pixels(tmp_path: Path) -> None:
    model = load_model(mean_colour(tmp_path / "mean.onnx", ["n", 3, 8, 4], kind="UINT8"))
    np.testing.assert_allclose(model.embed(RED)[0], direction([5, 0, 1]), atol=1e-5)
    with pytest.raises(InputError, match=r"takes pixels 0\.\.255, as the file says"):
        load_model(model.path, mean=(0, 0, 0))


def test_foreign_network_of_any_size_needs_one(tmp_path: Path) -> None:
    path = mean_colour(tmp_path / "mean.onnx", ["n", 3, "height", "width"])
    with pytest.raises(InputError, match="Give image_size"):
        load_model(path)
    assert load_model(path, image_size=(16, 8)).image_size == (16, 8)
    for size in ((0, 8), (-4, 8)):
        with pytest.raises(InputError, match="Give image_size"):
            load_model(path, image_size=size)
    fixed = mean_colour(tmp_path / "fixed.onnx", ["n", 3, 8, 4])
    with pytest.raises(InputError, match="takes image_size 8 4"):
        load_model(fixed, image_size=(16, 8))


def test_foreign_network_that_cannot_take_the_size_says_so(tmp_path: Path) -> None:
    path = mean_colour(tmp_path / "mean.onnx", ["n", 3, "height", "width"])
    made = onnx.load(path)
    # All 16 x 8 images go through; any other size does not fit what follows.
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 384]), "shape"))
    del made.graph.node[1]
    made.graph.node.append(onnx.helper.make_node("Reshape", ["floats", "shape"], ["output"]))
    onnx.save(made, path)
    assert load_model(path, image_size=(16, 8)).dimensions == 384
    with pytest.raises(InputError, match="cannot embed images of 32 x 16 pixels"):
        load_model(path, image_size=(32, 16)).embed(RED)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": (123.7, 116.3, 103.5)}, "scaled to 1"),
        ({"deviation": (0, 1, 1)}, "`deviation` must be three numbers"),
        ({"mean": (0.5,)}, "three numbers"),
    ],
)
def test_wrong_normalisation_is_refused(
    options: dict[str, tuple[float, ...]], words: str, tmp_path: Path
) -> None:
    path = mean_colour(tmp_path / "mean.onnx", ["n", 3, 8, 4])
    with pytest.raises(InputError, match=words):
        load_model(path, **options)  # type: ignore[arg-type]


def test_other_files_are_no_onnx_models(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    with pytest.raises(InputError, match="no such model file"):
        load_model(path)
    path.write_bytes(b"text")
    with pytest.raises(InputError, match="is not an ONNX model"):
        load_model(path)
    mean_colour(path, ["n", 3, 8, 4], inputs=2)
    with pytest.raises(InputError, match="must take one batch of images"):
        load_model(path)
    for shape in (["n", 1, 16, 8], ["n", 5, 16, 8], ["n", 16, 8, 1]):
        with pytest.raises(InputError, match="must take one batch of images"):
            load_model(mean_colour(path, shape))
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load_model(tmp_path / "folder.onnx")


def test_published_tracker_network_embeds_real_crops() -> None:
    path = SHARED / "peers" / "osnet_x0_25_msmt17.onnx"
    crops = SHARED / "data" / "market1501" / "query"
    if not path.exists() or not crops.exists():
        pytest.skip("the published network or the real crops are not here")
    found = load_model(path).embed(sorted(crops.iterdir())[:6])
    assert found.shape == (6, 512)
    assert found[0] @ found[1] > 0.5  # the first images of the folder show one person


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ("0..255", [255, 0, 51]),
        ("0..1", [1, 0, 0.2]),
        ("minus_one_to_one", [1, -1, -0.6]),
        ("imagenet", [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]),
    ],
)
def test_pixels_and_channels_are_as_stated(
    pixels: Any, expected: list[float], tmp_path: Path
) -> None:
    path = mean_colour(tmp_path / "mean.onnx", ["n", 3, 8, 4])
    rgb, bgr = (load_model(path, pixels=pixels, channels=each) for each in ("rgb", "bgr"))
    np.testing.assert_allclose(rgb.embed(RED)[0], direction(expected), atol=1e-6)
    np.testing.assert_allclose(bgr.embed(RED)[0], direction(expected[::-1]), atol=1e-6)
    assert rgb.fingerprint != bgr.fingerprint
    assert rgb.preprocessing == {"image_size": [8, 4], "channels": "rgb", "pixels": pixels}
    with pytest.raises(InputError, match="go in place of pixels"):
        load_model(path, pixels=pixels, mean=(0, 0, 0))


def test_a_fingerprint_of_before_colour_orders_still_holds(tmp_path: Path) -> None:
    """Galleries were made by it: of the file, the size, and 255 times mean and deviation."""
    path = mean_colour(tmp_path / "mean.onnx", ["n", 3, 8, 4])
    digest = blake2b(path.read_bytes(), digest_size=8)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    digest.update(repr(((8, 4), [(255 * mean).tolist(), (255 * deviation).tolist()])).encode())
    assert load_model(path).fingerprint == digest.hexdigest()


def _people_in_red(count: int) -> list[np.ndarray]:
    """Images that differ in red and are all alike in blue."""
    images = np.full((count, 8, 4, 3), 90, np.uint8)
    images[..., 0] = np.random.default_rng(0).integers(0, 256, images.shape[:3])
    return list(images)


def test_a_wrong_colour_order_is_found_without_labels(tmp_path: Path) -> None:
    path = first_colour(tmp_path / "first.onnx")
    right, wrong = load_model(path), load_model(path, channels="bgr")
    people = _people_in_red(40)
    assert doubt_channels(right, people) is None
    doubt = doubt_channels(wrong, people)
    assert doubt is not None
    assert "first.onnx: its colours are probably in the wrong order" in doubt
    assert "Give --channels rgb" in doubt
    assert doubt_channels(wrong, people[:15]) is None  # too few
    grey = [np.repeat(each[..., :1], 3, axis=-1) for each in people]
    assert doubt_channels(wrong, grey) is None


def test_colours_are_judged_by_the_images_that_can_be_read(tmp_path: Path) -> None:
    wrong = load_model(first_colour(tmp_path / "first.onnx"), channels="bgr")
    gone: list[Any] = [tmp_path / f"{number}.png" for number in range(20)]
    assert doubt_channels(wrong, [*gone, *_people_in_red(40)]) is not None
    assert doubt_channels(wrong, [*gone, *_people_in_red(10)]) is None


def test_doubts_about_colours_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("lancedb")
    from siamese.gallery import Gallery

    wrong = load_model(first_colour(tmp_path / "first.onnx"), channels="bgr")
    folder = tmp_path / "people"
    for number, pixels in enumerate(_people_in_red(40)):
        path = folder / f"{number // 2:04d}" / f"{number // 2:04d}C{number % 2 + 1}T0001F001.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    card = evaluate(wrong, folder)
    assert any("probably in the wrong order" in note for note in card.notes)
    assert not caplog.records
    embed_folder(folder, tmp_path / "table.npz", wrong)
    assert "probably in the wrong order" in caplog.text
    caplog.clear()
    Gallery(tmp_path / "gallery", wrong).add(folder)
    assert "probably in the wrong order" in caplog.text
    caplog.clear()
    right = load_model(wrong.path)
    assert not [note for note in evaluate(right, folder).notes if "order" in note]
    embed_folder(folder, tmp_path / "right.npz", right)
    assert not caplog.records


def test_wrong_colours_of_a_published_network_are_found() -> None:
    path = SHARED / "peers" / "osnet_x0_25_msmt17.onnx"
    crops = SHARED / "data" / "peta" / "TownCentre"
    if not path.exists() or not crops.exists():
        pytest.skip("the published network or the real crops are not here")
    images = [each for each in sorted(crops.rglob("*")) if each.suffix in (".jpg", ".png")]
    assert doubt_channels(load_model(path), images) is None
    assert doubt_channels(load_model(path, channels="bgr"), images) is not None
