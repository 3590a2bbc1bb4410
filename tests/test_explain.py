"""`siamese.explain`: what the places of both images add is the similarity, and shows why."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from siamese import plots
from siamese.cli import main
from siamese.errors import InputError
from siamese.explain import explain
from siamese.images import read_image
from siamese.inference import Model, load_model
from siamese.models.checkpoint import BNNECK, FEATURE_EXTRACTOR, save_checkpoint
from siamese.models.checkpoint import load_checkpoint as open_file
from siamese.models.embedder import build_embedder, join_embedder


def _save(path: Path, **options: object) -> Path:
    keras.utils.set_random_seed(5)
    embedder = join_embedder(
        build_embedder(
            backbone="conv4", weights="none", image_size=(64, 32), embedding_size=8, **options
        )  # type: ignore[arg-type]
    )
    # Other statistics than 0 and 1, so that a neck or bias that is left out shows.
    random = np.random.default_rng(2)
    for weight in embedder.weights:
        if "feature/bias" in weight.path or BNNECK in weight.path:
            weight.assign(random.uniform(0.01, 0.1, weight.shape))
    save_checkpoint(path, embedder, image_size=(64, 32))
    return path


@pytest.fixture(scope="module", params=["average", "gem", "neck"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    options: dict[str, object] = {
        "average": {"dropout": 0.2},
        "gem": {"pooling": "gem", "bnneck": True},
        "neck": {"bnneck": True},
    }[request.param]
    return load_model(_save(tmp_path_factory.mktemp("model") / "model.keras", **options))


@pytest.fixture(scope="module")
def pair(pedestrians: Path) -> tuple[Path, Path]:
    images = sorted(pedestrians.rglob("*.jpg"))
    return images[0], images[21]


def test_contributions_of_either_image_add_up_to_the_similarity(
    model: Model, pair: tuple[Path, Path]
) -> None:
    found = explain(*pair, model)
    one, other = model.embed(pair)
    assert found.similarity == pytest.approx(float(one @ other), abs=1e-5)
    assert found.first.shape == found.second.shape == (4, 2)
    assert found.first.sum() == pytest.approx(found.similarity, abs=1e-5)
    assert found.second.sum() == pytest.approx(found.similarity, abs=1e-5)
    assert found.first.std() > 1e-4
    assert found.verification is None


def test_contributions_are_those_of_a_slow_loop(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    path = _save(tmp_path / "model.keras", bnneck=True)
    found = explain(*pair, path)
    embedder = open_file(path).embedder
    feature_extractor, neck = embedder.get_layer(FEATURE_EXTRACTOR), embedder.get_layer(BNNECK)
    pixels = np.stack([read_image(each) for each in pair]).astype(np.float32)
    maps = keras.Model(feature_extractor.input, feature_extractor.get_layer("pool").input)
    maps = maps(pixels, training=False).numpy()
    kernel, bias = (each.numpy() for each in feature_extractor.get_layer("feature").weights)
    scale = neck.gamma.numpy() / np.sqrt(neck.moving_variance.numpy() + neck.epsilon)
    mean = neck.moving_mean.numpy()
    other = np.asarray(embedder(pixels, training=False))[1]
    whole = np.zeros(8)
    vectors = {}
    for row in range(4):
        for column in range(2):
            vectors[row, column] = ((maps[0, row, column] @ kernel + bias - mean) * scale) / 8
            whole += vectors[row, column]
    for place, vector in vectors.items():
        expected = vector @ other / np.linalg.norm(whole)
        assert found.first[place] == pytest.approx(expected, abs=1e-5)


def test_exchanged_images_exchange_their_maps(model: Model, pair: tuple[Path, Path]) -> None:
    found, exchanged = explain(*pair, model), explain(*reversed(pair), model)
    np.testing.assert_allclose(found.first, exchanged.second, atol=1e-6)
    np.testing.assert_allclose(found.second, exchanged.first, atol=1e-6)
    itself = explain(pair[0], pair[0], model)
    assert itself.similarity == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(itself.first, itself.second, atol=1e-6)


def test_the_part_that_two_images_share_adds_most(tmp_path: Path) -> None:
    path = _save(tmp_path / "model.keras")
    loaded = open_file(path)
    feature_extractor = loaded.embedder.get_layer(FEATURE_EXTRACTOR)
    feature_extractor.get_layer("feature").bias.assign(np.zeros(8))
    save_checkpoint(path, loaded.embedder, image_size=(64, 32))
    random = np.random.default_rng(7)
    images = np.full((2, 64, 32, 3), 0, np.uint8)
    pattern = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    images[0, :24] = pattern
    images[1, 40:] = pattern
    found = explain(*images, path)
    # Convolutions see somewhat beyond the edge of the pattern.
    assert found.first[:2].sum() > 0.7 * found.similarity
    assert found.second[2:].sum() > 0.7 * found.similarity


def test_calibrated_model_gives_its_verdict(calibrated: Path, pair: tuple[Path, Path]) -> None:
    model = load_model(calibrated)
    with Image.open(pair[1]) as image:
        found = explain(read_image(pair[0]), image, model)
    assert found.verification == model.verify(*pair)


def test_onnx_is_explained_by_the_file_that_it_came_from(
    calibrated: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    card = open_file(calibrated).metadata
    helper = onnx.helper
    shape = ["n", 64, 32, 3]
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["images"], ["output"], axes=[1, 2], keepdims=0)],
        "mean",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["n", 3])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    helper.set_model_props(made, {"siamese": json.dumps(card)})
    path = tmp_path / "model.onnx"
    onnx.save(made, path)
    with pytest.raises(InputError, match="holds no feature map"):
        explain(*pair, path)
    (tmp_path / "model.keras").write_bytes(calibrated.read_bytes())
    for model in (path, load_model(path)):
        assert explain(*pair, model).similarity == explain(*pair, calibrated).similarity


def test_heat_lies_where_the_contribution_is() -> None:
    image = np.full((40, 20, 3), 100, np.uint8)
    contributions = np.array([[0.0, 0.0], [0.0, 0.6], [-0.3, 0.0], [0.0, 0.0]])
    shown = plots.overlay_heat(image, contributions, 0.6)
    assert shown.shape == image.shape
    assert shown.dtype == np.uint8
    brightness = shown.astype(int).sum(axis=2)
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert 10 <= row < 20
    assert column >= 10
    assert brightness[25, 2] == brightness[0, 0]  # against counts as nothing
    zero = plots.overlay_heat(image, np.zeros((4, 2)), 0.0)
    assert np.ptp(zero.astype(int).sum(axis=2)) == 0


def test_command_draws_the_pair(
    calibrated: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "pictures" / "pair.png"
    flags = ["--model", str(calibrated), "--output", str(output)]
    assert main(["explain", str(pair[0]), str(pair[1]), *flags, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert np.sum(answer["first"]) == pytest.approx(answer["similarity"], abs=1e-5)
    with Image.open(output) as picture:
        assert picture.size[0] > 600
    assert main(["explain", str(pair[0]), str(pair[1]), *flags]) == 0
    assert "similarity" in capsys.readouterr().out
    assert main(["explain", str(pair[0]), "gone.jpg", *flags]) == 2
    assert "gone.jpg" in capsys.readouterr().err


def test_rank_lists_show_heat_maps_on_request(
    calibrated: Path, pedestrians: Path, tmp_path: Path
) -> None:
    words = ["evaluate", "--model", str(calibrated), "--data", str(pedestrians)]
    assert main([*words, "--output", str(tmp_path / "plain")]) == 0
    assert main([*words, "--heat_maps", "--output", str(tmp_path / "heat")]) == 0
    plain, heat = (read_image(tmp_path / name / "ranks_best.png") for name in ("plain", "heat"))
    assert plain.shape == heat.shape
    changed = np.any(plain != heat, axis=2)
    assert 0.1 < changed.mean() < 0.9
    scores = [
        json.loads((tmp_path / name / "scores.json").read_text()) for name in ("plain", "heat")
    ]
    assert scores[0]["mAP"] == scores[1]["mAP"]
