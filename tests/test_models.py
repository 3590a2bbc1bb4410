"""`siamese.models`: trunks, OSNet, the embedder, the pair model and the model file."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from siamese.errors import InputError
from siamese.models.embedder import build_embedder, embed, join_embedder
from siamese.models.files import fingerprint, load_model, read_card, save_model
from siamese.models.osnet import build_osnet
from siamese.models.pair import ConsecutiveDifference, build_pair_model
from siamese.models.trunks import TRUNKS, build_trunk, preparation_layers

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 48, 24, 3), dtype=np.uint8)
SMALL = {"trunk": "conv4", "weights": "none", "image_size": (32, 32), "embedding_size": 8}


@pytest.fixture(scope="module")
def embedder() -> keras.Model:
    keras.utils.set_random_seed(1)
    return join_embedder(build_embedder(**SMALL, bottleneck=True))


@pytest.mark.parametrize(
    ("width", "millions"),
    # The paper's table 9 counts 2.2, 0.6 and 0.2 million with the 512-dimensional layer on top.
    [(1.0, 1.9), (0.5, 0.5), (0.25, 0.13)],
)
def test_osnet_has_the_size_of_the_paper(width: float, millions: float) -> None:
    model = build_osnet(width, (256, 128))
    assert model.output_shape == (None, 16, 8, int(512 * width))
    assert model.count_params() / 1e6 == pytest.approx(millions, rel=0.1)


@pytest.mark.parametrize("name", ["conv4", "mobilenetv2", "mobilenetv3_small", "osnet_x0_25"])
def test_trunk_gives_a_feature_map(name: str) -> None:
    model = build_trunk(name, "none", (64, 32))
    assert len(model.output_shape) == 4


def test_all_promised_trunks_are_there() -> None:
    promised = (
        "resnet50 resnet50v2 resnet101 efficientnet_b0 efficientnet_b1 efficientnet_b2 "
        "efficientnet_b3 efficientnetv2_b0 mobilenetv2 mobilenetv3_small densenet121 vgg16 vgg19 "
        "convnext_tiny conv4 osnet_x0_25 osnet_x0_5 osnet_x1_0"
    )
    assert set(TRUNKS) == set(promised.split())


@pytest.mark.parametrize("name", sorted(set(TRUNKS) - {"conv4"}))
def test_preparation_equals_that_of_keras(name: str) -> None:
    modules = {
        "resnet50": "resnet", "resnet101": "resnet", "resnet50v2": "resnet_v2",
        "mobilenetv2": "mobilenet_v2", "mobilenetv3_small": "mobilenet_v3",
        "densenet121": "densenet", "vgg16": "vgg16", "vgg19": "vgg19",
        "convnext_tiny": "convnext", "efficientnetv2_b0": "efficientnet_v2",
    }  # fmt: skip
    # OSNet is prepared as the networks that torchvision trains are; DenseNet is one in Keras.
    module = modules.get(name, "densenet" if name.startswith("osnet") else "efficientnet")
    expected = getattr(keras.applications, module).preprocess_input(IMAGES.astype("float32"))
    prepared = IMAGES.astype("float32")
    for layer in preparation_layers(name):
        prepared = layer(prepared)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(prepared), expected, atol=2e-2, rtol=2e-3)


def test_unknown_trunk_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean resnet50"):
        build_trunk("resnet5", "none", (64, 32))


def test_weights_that_cannot_be_downloaded_name_file_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    # The address answers nobody: the same failure as on a machine without a network.
    monkeypatch.setattr(
        keras.src.applications.mobilenet_v2, "BASE_WEIGHT_PATH", "http://127.0.0.1:9/weights/"
    )
    with pytest.raises(InputError, match=r"Fetch http://127\.0\.0\.1:9/weights/.*h5.*none"):
        build_trunk("mobilenetv2", "imagenet", (96, 96))


def test_trunks_of_ours_have_no_imagenet_weights() -> None:
    with pytest.raises(InputError, match="there are no ImageNet weights"):
        build_trunk("osnet_x0_25", "imagenet", (64, 32))


def test_weights_file_is_loaded_also_for_another_image_size(tmp_path: Path) -> None:
    source = build_trunk("conv4", "none", (64, 64))
    path = tmp_path / "conv4.weights.h5"
    source.save_weights(path)
    loaded = build_trunk("conv4", str(path), (64, 32))
    for one, other in zip(source.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_wrong_weights_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    build_osnet(0.25, (64, 32)).save_weights(path)
    with pytest.raises(InputError, match=r"other\.weights\.h5: is not a weights file of the trunk"):
        build_trunk("conv4", str(path), (64, 32))
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(InputError, match="is not a weights file"):
        build_trunk("conv4", str(path), (64, 32))
    with pytest.raises(InputError, match="no such weights file"):
        build_trunk("conv4", str(tmp_path / "gone.h5"), (64, 32))


def test_embeddings_have_length_one(embedder: keras.Model) -> None:
    embeddings = embed(embedder, [IMAGES, IMAGES[:1]])
    assert embeddings.shape == (5, 8)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_embedding_does_not_depend_on_the_batch(embedder: keras.Model) -> None:
    together = embed(embedder, [IMAGES])
    alone = embed(embedder, [image[None] for image in IMAGES])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_flip_makes_mirrored_images_equal(embedder: keras.Model) -> None:
    straight = embed(embedder, [IMAGES], flip=True)
    mirrored = embed(embedder, [IMAGES[:, :, ::-1]], flip=True)
    np.testing.assert_allclose(straight, mirrored, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(straight, axis=1), 1, atol=1e-5)
    assert np.abs(straight - embed(embedder, [IMAGES])).max() > 1e-3


def test_no_images_give_no_rows(embedder: keras.Model) -> None:
    assert embed(embedder, []).shape == (0, 8)


def test_pair_model_shares_one_embedder(embedder: keras.Model) -> None:
    head = keras.layers.Dense(1, activation="sigmoid")
    pair = build_pair_model(embedder, head)
    assert len(pair.weights) == len(embedder.weights) + 2
    first, second = IMAGES[:2], IMAGES[2:]
    found = pair.predict_on_batch([first, second])
    embeddings = embed(embedder, [IMAGES])
    expected = np.linalg.norm(embeddings[:2] - embeddings[2:], axis=1)
    np.testing.assert_allclose(found["distance"], expected, atol=1e-5)
    assert found["same"].shape == (2, 1)
    swapped = pair.predict_on_batch([second, first])
    np.testing.assert_allclose(swapped["same"], found["same"], atol=1e-6)


def test_consecutive_difference_pairs_rows() -> None:
    rows = np.array([[1.0, 5.0], [4.0, 3.0], [0.0, 0.0], [0.0, 2.0]])
    found = keras.ops.convert_to_numpy(ConsecutiveDifference()(rows))
    np.testing.assert_array_equal(found, [[3.0, 2.0], [0.0, 2.0]])


def test_model_file_gives_back_the_same_embeddings(embedder: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    card = save_model(path, embedder, image_size=(32, 32), card={"scores": {"rank1": 0.5}})
    assert list(tmp_path.iterdir()) == [path]
    loaded = load_model(path)
    np.testing.assert_array_equal(embed(loaded.embedder, [IMAGES]), embed(embedder, [IMAGES]))
    assert loaded.card == card == read_card(path)
    assert loaded.image_size == (32, 32)
    assert loaded.fingerprint == fingerprint(loaded.embedder)
    assert json.loads(zipfile.ZipFile(path).read("siamese.json"))["scores"] == {"rank1": 0.5}


def test_model_file_opens_with_keras_alone(embedder: keras.Model, tmp_path: Path) -> None:
    save_model(tmp_path / "model.keras", embedder, image_size=(32, 32))
    plain = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(embed(plain, [IMAGES]), embed(embedder, [IMAGES]))


def test_fingerprint_follows_the_weights(embedder: keras.Model) -> None:
    keras.utils.set_random_seed(2)
    other = join_embedder(build_embedder(**SMALL, bottleneck=True))
    assert fingerprint(other) != fingerprint(embedder)
    other.set_weights(embedder.get_weights())
    assert fingerprint(other) == fingerprint(embedder)


def test_other_files_are_no_models(embedder: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with pytest.raises(InputError, match="no such model file"):
        load_model(path)
    with pytest.raises(InputError, match="is a folder"):
        load_model(tmp_path)
    path.write_bytes(b"text")
    with pytest.raises(InputError, match=r"is not a \.keras file, or a truncated one"):
        load_model(path)
    embedder.save(path)
    with pytest.raises(InputError, match="is not a model of this program"):
        load_model(path)
    save_model(path, embedder, image_size=(32, 32))
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(InputError, match="truncated"):
        load_model(path)
