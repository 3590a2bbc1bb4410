"""`siamese.models`: backbones, OSNet, the embedder, the pair model and the model file."""

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.saving import legacy_h5_format

import siamese
from siamese.errors import InputError
from siamese.models.backbones import BACKBONES, build_backbone, preparation_layers, put_weights
from siamese.models.checkpoint import (
    PRETRAINED,
    fingerprint,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from siamese.models.embedder import build_embedder, embed, join_embedder
from siamese.models.layers import (
    GeneralisedMean,
    Pooling,
    ResizeImages,
    UnifiedAggregationGate,
    build_pooling,
)
from siamese.models.osnet import build_osnet
from siamese.models.pair import ConsecutiveDifference, build_pair_model
from siamese.models.transfer import architecture_of
from siamese.train.speed import computing_in

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 48, 24, 3), dtype=np.uint8)
SMALL = {"backbone": "conv4", "weights": "none", "image_size": (32, 32), "embedding_size": 8}


@pytest.fixture(scope="module")
def embedder() -> keras.Model:
    keras.utils.set_random_seed(1)
    return join_embedder(build_embedder(**SMALL, bnneck=True))


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
def test_backbone_gives_a_feature_map(name: str) -> None:
    model = build_backbone(name, "none", (64, 32))
    assert len(model.output_shape) == 4


def test_all_promised_backbones_are_there() -> None:
    promised = (
        "resnet50 resnet50v2 resnet101 efficientnet_b0 efficientnet_b1 efficientnet_b2 "
        "efficientnet_b3 efficientnetv2_b0 efficientnet_lite0 efficientnet_lite1 "
        "efficientnet_lite2 mobilenetv2 mobilenetv3_small densenet121 vgg16 vgg19 "
        "convnext_tiny conv4 osnet_x0_25 osnet_x0_5 osnet_x1_0"
    )
    assert set(BACKBONES) == set(promised.split())


OF_KERAS = {name for name, each in BACKBONES.items() if not each.package} - {"conv4"}


@pytest.mark.parametrize("name", sorted(OF_KERAS))
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


@pytest.mark.parametrize("name", ["vgg16", "osnet_x0_25", "mobilenetv2", "conv4"])
def test_preparation_is_the_same_before_and_after_resizing(name: str) -> None:
    steps = preparation_layers(name)
    resize = ResizeImages((96, 40), dtype="float32")

    def run(images: Any, layers: Sequence[keras.layers.Layer]) -> Any:
        for layer in layers:
            images = layer(images)
        return images

    after = keras.ops.convert_to_numpy(run(IMAGES, [resize, *steps]))
    before = keras.ops.convert_to_numpy(run(IMAGES, [*steps, resize]))
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-4)
    # As an exported model has it: the width is not known.
    any_size = tf.function(
        lambda images: run(images, [*steps, resize]),
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)],
    )
    np.testing.assert_allclose(any_size(IMAGES), before, rtol=1e-5, atol=1e-4)


def test_model_of_the_package_embeds_as_one_that_is_built_of_it_now() -> None:
    saved = load_checkpoint(PRETRAINED).embedder
    parts = build_embedder(weights="pretrained", **architecture_of("pretrained"))
    built = join_embedder(parts)
    batch = np.repeat(np.repeat(IMAGES, 3, axis=1), 3, axis=2)
    for images in (IMAGES, batch):
        np.testing.assert_allclose(embed(built, [images]), embed(saved, [images]), atol=1e-5)


def test_unknown_backbone_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean resnet50"):
        build_backbone("resnet5", "none", (64, 32))


def test_weights_that_cannot_be_downloaded_name_file_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    # The address answers nobody: the same failure as on a machine without a network.
    monkeypatch.setattr(
        keras.src.applications.mobilenet_v2, "BASE_WEIGHT_PATH", "http://127.0.0.1:9/weights/"
    )
    with pytest.raises(InputError, match=r"Fetch http://127\.0\.0\.1:9/weights/.*h5.*none"):
        build_backbone("mobilenetv2", "imagenet", (96, 96))


def _save_as_published(model: keras.Model, path: Path) -> Path:
    """Writes weights in the HDF5 form of Keras 2, in which the published files are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


def _application(name: str) -> keras.Model:
    keras.utils.set_random_seed(5)
    return getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(224, 224, 3)
    )


def test_published_resnet_weights_load_at_another_size_and_with_last_stride_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _application("ResNet50")
    name = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path = _save_as_published(source, tmp_path / "models" / name)
    # Where Keras looks for it: in its cache, and of the content that it expects.
    monkeypatch.setattr(keras.src.utils.file_utils.config, "keras_home", lambda: str(tmp_path))
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(keras.src.applications.resnet.WEIGHTS_HASHES, "resnet50", ("", digest))
    cached = build_backbone("resnet50", "imagenet", (128, 64))
    wide = build_backbone("resnet50", str(path), (128, 64), last_stride=1)
    assert cached.output_shape == (None, 4, 2, 2048)
    assert wide.output_shape == (None, 8, 4, 2048)
    for model in (cached, wide):
        for one, other in zip(source.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    # Up to the stride the two are one network; from there each second place of the wide one is.
    images = np.random.default_rng(0).normal(size=(1, 128, 64, 3)).astype(np.float32)
    maps = [
        keras.ops.convert_to_numpy(keras.Model(model.input, model.get_layer(layer).output)(images))
        for model in (wide, cached)
        for layer in ("conv4_block6_out", "conv5_block1_1_conv")
    ]
    np.testing.assert_array_equal(maps[0], maps[2])
    scale = np.abs(maps[3]).max()
    np.testing.assert_allclose(maps[1][:, ::2, ::2], maps[3], atol=1e-5 * scale)


def test_published_efficientnet_weights_compute_as_keras_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _application("EfficientNetB0")
    norm = next(each for each in source.layers if isinstance(each, keras.layers.Normalization))
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    norm.set_weights([mean, deviation, np.array(0, "int32")])  # published: a deviation as variance
    path = _save_as_published(source, tmp_path / "efficientnetb0_notop.h5")
    files = keras.src.applications.efficientnet.file_utils
    monkeypatch.setattr(files, "get_file", lambda *_, **__: str(path))
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 32, 3)).astype(np.float32)
    theirs = keras.applications.EfficientNetB0(include_top=False, input_shape=(64, 32, 3))
    wanted = keras.ops.convert_to_numpy(theirs(images))
    for weights in ("imagenet", str(path)):
        backbone = build_backbone("efficientnet_b0", weights, (64, 32))
        found = keras.ops.convert_to_numpy(backbone(images))
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    # And so does a model that goes on from one with these weights.
    parts = build_embedder(
        backbone="efficientnet_b0", weights=str(path), image_size=(64, 32), embedding_size=8
    )
    embedder = join_embedder(parts)
    section = {"backbone": "efficientnet_b0", "embedding_size": 8}
    save_checkpoint(
        tmp_path / "model.keras",
        embedder,
        image_size=(64, 32),
        metadata={"recipe": {"model": section}},
    )
    again = build_embedder(
        backbone="efficientnet_b0",
        weights=str(tmp_path / "model.keras"),
        image_size=(64, 32),
        embedding_size=8,
    )
    np.testing.assert_allclose(
        embed(join_embedder(again), [images]), embed(embedder, [images]), atol=1e-5
    )


def test_imagenet_weights_are_taken_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _application("MobileNetV2")
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    _save_as_published(source, tmp_path / "models" / name)
    monkeypatch.setattr(keras.src.utils.file_utils.config, "keras_home", lambda: str(tmp_path))
    loaded = build_backbone("mobilenetv2", "imagenet", (96, 64))
    for one, other in zip(source.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow  # a ResNet twice
def test_last_stride_of_the_second_resnet_widens_its_map() -> None:
    assert build_backbone("resnet50v2", "none", (64, 32), 1).output_shape == (None, 4, 2, 2048)


def test_last_stride_is_for_resnets() -> None:
    with pytest.raises(InputError, match=r"`last_stride` must be 2, or 1 for one of resnet50, "):
        build_backbone("conv4", "none", (64, 32), 1)
    with pytest.raises(InputError, match="Received: 3 for resnet50"):
        build_backbone("resnet50", "none", (64, 32), 3)  # type: ignore[arg-type]


def test_generalised_mean_worked_by_hand() -> None:
    # sqrt((1 + 4 + 4 + 16) / 4) and sqrt((0 + 0 + 0 + 36) / 4)
    maps = np.array([[[[1, 0], [2, 0]], [[2, 0], [4, -6]]]], np.float32)
    maps[0, 1, 1, 1] = 6
    found = keras.ops.convert_to_numpy(GeneralisedMean(power=2.0)(maps))
    np.testing.assert_allclose(found, [[2.5, 3.0]], rtol=1e-5)


def test_generalised_mean_lies_between_average_and_maximum() -> None:
    maps = np.random.default_rng(0).uniform(0.1, 5, (3, 4, 2, 5)).astype(np.float32)
    average, maximum = maps.mean((1, 2)), maps.max((1, 2))

    def pool(power: float) -> np.ndarray:
        return keras.ops.convert_to_numpy(GeneralisedMean(power=power)(maps))

    np.testing.assert_allclose(pool(1.0), average, rtol=1e-5)
    np.testing.assert_allclose(pool(200.0), maximum, rtol=2e-2)
    assert ((average < pool(3.0)) & (pool(3.0) < maximum)).all()
    np.testing.assert_allclose(pool(3.0), (maps**3).mean((1, 2)) ** (1 / 3), rtol=1e-5)


def test_generalised_mean_of_nothing_is_small_and_learns() -> None:
    model = keras.Sequential([keras.Input((2, 2, 3)), GeneralisedMean(power=7.0)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.zeros((2, 2, 2, 3)), np.ones((2, 3)))
    power = float(model.get_weights()[0])
    assert power == pytest.approx(7.0, abs=1e-3)
    model.train_on_batch(np.ones((2, 2, 2, 3)) * [1, 2, 3], np.ones((2, 3)))
    model.train_on_batch(np.random.default_rng(0).uniform(0, 3, (2, 2, 2, 3)), np.zeros((2, 3)))
    assert np.isfinite(model.get_weights()[0])
    assert float(model.get_weights()[0]) < power


def test_global_depthwise_pooling_is_a_weighted_sum_of_positions_that_begins_as_the_mean() -> None:
    maps = np.random.default_rng(3).normal(size=(2, 4, 2, 5)).astype(np.float32)
    pool = build_pooling("global_depthwise", (4, 2))
    np.testing.assert_allclose(pool(maps), maps.mean((1, 2)), rtol=1e-5, atol=1e-6)
    weights = np.random.default_rng(4).normal(size=(4, 2, 5)).astype(np.float32)
    pool.set_weights([weights[..., np.newaxis]])
    by_hand = np.zeros((2, 5))
    for image, row, column, channel in np.ndindex(maps.shape):
        by_hand[image, channel] += weights[row, column, channel] * maps[image, row, column, channel]
    np.testing.assert_allclose(pool(maps), by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["gem", "global_depthwise"])
def test_pooling_and_no_layer_after_it_are_options_that_a_file_keeps(
    tmp_path: Path, pooling: Pooling
) -> None:
    keras.utils.set_random_seed(1)
    parts = build_embedder(**{**SMALL, "embedding_size": 0}, pooling=pooling, bnneck=True)
    model = join_embedder(parts)
    assert model.output_shape == (None, 256)
    save_checkpoint(tmp_path / "model.keras", model, image_size=(32, 32))
    loaded = load_checkpoint(tmp_path / "model.keras").embedder
    np.testing.assert_array_equal(embed(loaded, [IMAGES]), embed(model, [IMAGES]))
    with pytest.raises(InputError, match="`pooling` must be one of average, gem, global_depthwise"):
        build_embedder(**SMALL, pooling="max")


def test_backbones_of_ours_have_no_imagenet_weights() -> None:
    with pytest.raises(InputError, match="there are no ImageNet weights"):
        build_backbone("osnet_x0_25", "imagenet", (64, 32))


def test_weights_file_is_loaded_also_for_another_image_size(tmp_path: Path) -> None:
    source = build_backbone("conv4", "none", (64, 64))
    path = tmp_path / "conv4.weights.h5"
    source.save_weights(path)
    loaded = build_backbone("conv4", str(path), (64, 32))
    for one, other in zip(source.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_wrong_weights_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    build_osnet(0.25, (64, 32)).save_weights(path)
    with pytest.raises(
        InputError, match=r"other\.weights\.h5: is not a weights file of the backbone"
    ):
        build_backbone("conv4", str(path), (64, 32))
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(InputError, match="is not a weights file"):
        build_backbone("conv4", str(path), (64, 32))
    with pytest.raises(InputError, match="no such weights file"):
        build_backbone("conv4", str(tmp_path / "gone.h5"), (64, 32))


def test_embeddings_have_length_one(embedder: keras.Model) -> None:
    embeddings = embed(embedder, [IMAGES, IMAGES[:1]])
    assert embeddings.shape == (5, 8)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_embedding_does_not_depend_on_the_batch(embedder: keras.Model) -> None:
    together = embed(embedder, [IMAGES])
    alone = embed(embedder, [image[None] for image in IMAGES])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_images_give_no_rows(embedder: keras.Model) -> None:
    assert embed(embedder, []).shape == (0, 8)


def test_pair_model_shares_one_embedder(embedder: keras.Model) -> None:
    pair = build_pair_model(embedder, slope=4.0, centre=0.5)
    assert len(pair.weights) == len(embedder.weights)
    first, second = IMAGES[:2], IMAGES[2:]
    found = pair.predict_on_batch([first, second])
    embeddings = embed(embedder, [IMAGES])
    expected = np.linalg.norm(embeddings[:2] - embeddings[2:], axis=1)
    np.testing.assert_allclose(found["distance"], expected, atol=1e-5)
    by_hand = 1 / (1 + np.exp(4.0 * (expected - 0.5)))
    np.testing.assert_allclose(found["probability"], by_hand, atol=1e-5)
    swapped = pair.predict_on_batch([second, first])
    np.testing.assert_allclose(swapped["probability"], found["probability"], atol=1e-6)


def test_pair_model_of_a_file_answers_as_verify_does_and_is_one_file(tmp_path: Path) -> None:
    images = [IMAGES[:1], IMAGES[1:2]]
    expected = siamese.load_model(PRETRAINED).verify(IMAGES[0], IMAGES[1])
    pair = siamese.pair_model()
    pair.save(tmp_path / "pair.keras")
    for each in (pair, keras.saving.load_model(tmp_path / "pair.keras")):
        found = each.predict_on_batch(images)
        assert found["distance"][0] == pytest.approx(expected.distance, abs=1e-4)
        assert found["probability"][0] == pytest.approx(expected.probability, abs=1e-4)


def test_pair_model_wants_a_calibration(embedder: keras.Model, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model.keras", embedder, image_size=(32, 32))
    with pytest.raises(InputError, match="has no calibration"):
        siamese.pair_model(tmp_path / "model.keras")


def test_equal_images_leave_the_pair_model_a_finite_gradient(embedder: keras.Model) -> None:
    pair = build_pair_model(embedder, slope=4.0, centre=0.5)
    images = tf.constant(IMAGES[:2], tf.float32)
    with tf.GradientTape() as tape:
        distance = tf.reduce_sum(pair([images, images])["distance"])
    slopes = tape.gradient(distance, embedder.trainable_variables)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_consecutive_difference_pairs_rows() -> None:
    rows = np.array([[1.0, 5.0], [4.0, 3.0], [0.0, 0.0], [0.0, 2.0]])
    found = keras.ops.convert_to_numpy(ConsecutiveDifference()(rows))
    np.testing.assert_array_equal(found, [[3.0, 2.0], [0.0, 2.0]])


def test_model_file_gives_back_the_same_embeddings(embedder: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    card = save_checkpoint(path, embedder, image_size=(32, 32), metadata={"scores": {"rank1": 0.5}})
    assert list(tmp_path.iterdir()) == [path]
    loaded = load_checkpoint(path)
    np.testing.assert_array_equal(embed(loaded.embedder, [IMAGES]), embed(embedder, [IMAGES]))
    assert loaded.metadata == card == read_metadata(path)
    assert loaded.image_size == (32, 32)
    assert loaded.fingerprint == fingerprint(loaded.embedder)
    assert json.loads(zipfile.ZipFile(path).read("siamese.json"))["scores"] == {"rank1": 0.5}


def test_model_file_opens_with_keras_alone(embedder: keras.Model, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model.keras", embedder, image_size=(32, 32))
    plain = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(embed(plain, [IMAGES]), embed(embedder, [IMAGES]))


def test_fingerprint_follows_the_weights(embedder: keras.Model) -> None:
    keras.utils.set_random_seed(2)
    other = join_embedder(build_embedder(**SMALL, bnneck=True))
    assert fingerprint(other) != fingerprint(embedder)
    other.set_weights(embedder.get_weights())
    assert fingerprint(other) == fingerprint(embedder)


def test_fingerprint_follows_the_image_size(embedder: keras.Model) -> None:
    larger = {**SMALL, "image_size": (64, 32)}
    other = join_embedder(build_embedder(**larger, bnneck=True))
    other.set_weights(embedder.get_weights())
    assert fingerprint(other) != fingerprint(embedder)


def test_put_weights_renews_what_normalisation_computes_with() -> None:
    images = np.float32([[0, 10], [20, 50]])
    first = keras.layers.Normalization()
    first.adapt(images)
    inputs = keras.Input((2,))
    source = keras.Model(inputs, first(inputs))
    copy = keras.models.clone_model(source)
    put_weights(copy, source.get_weights())
    np.testing.assert_allclose(copy(images), source(images))
    np.testing.assert_allclose(copy(images), [[-1, -1], [1, 1]], atol=1e-6)


def test_model_files_are_opened_by_keras_after_one_import(tmp_path: Path) -> None:
    own = tmp_path / "own.keras"
    options = {**SMALL, "backbone": "osnet_x0_25", "pooling": "gem", "image_size": (64, 32)}
    save_checkpoint(own, join_embedder(build_embedder(**options)), image_size=(64, 32))
    # In a process of its own, where nothing else has made our layers known.
    code = (
        "import sys, keras, siamese.models.layers\n"
        "for path in sys.argv[1:]:\n"
        "    print(keras.saving.load_model(path).output_shape)\n"
        "from siamese import load_model\n"
        "print(load_model(sys.argv[1]).dimensions)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(own), str(PRETRAINED)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n") == ["(None, 8)", "(None, 256)", "8", ""], done.stderr


def test_osnet_gate_keeps_its_precision_in_a_file() -> None:
    with computing_in("mixed_bfloat16"):
        gate = UnifiedAggregationGate()
        gate.build((None, 4, 2, 32))
    # Loaded as a state is: outside of what it was built in.
    again = UnifiedAggregationGate.from_config(gate.get_config())
    stream = keras.ops.ones((2, 4, 2, 32), "bfloat16")
    for each in (gate, again):
        assert keras.backend.standardize_dtype(each(stream).dtype) == "bfloat16"
        assert each.hidden.compute_dtype == "bfloat16"
        assert each.hidden.kernel.dtype == "float32"


def test_other_files_are_no_models(embedder: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with pytest.raises(InputError, match="no such model file"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="is a folder"):
        load_checkpoint(tmp_path)
    path.write_bytes(b"text")
    with pytest.raises(InputError, match=r"is not a \.keras file, or a truncated one"):
        load_checkpoint(path)
    embedder.save(path)
    with pytest.raises(InputError, match="is not a model of this program"):
        load_checkpoint(path)
    save_checkpoint(path, embedder, image_size=(32, 32))
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("siamese.json")
    first = member.header_offset + 30 + len(member.filename)
    for place in range(first, first + member.compress_size, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"damaged|truncated"):
            read_metadata(path)
    path.write_bytes(whole[:-2_000])
    with pytest.raises(InputError, match="truncated"):
        load_checkpoint(path)


def test_a_plain_call_is_an_answer_not_a_training_step() -> None:
    """Batch statistics must be neither used nor changed where `training` is left out."""
    embedder = join_embedder(
        build_embedder(backbone="osnet_x0_25", weights="none", image_size=(64, 32), bnneck=True)
    )
    images = np.random.default_rng(0).integers(0, 256, (4, 80, 40, 3), dtype=np.uint8)
    before = [np.array(weight) for weight in embedder.non_trainable_variables]
    plain = np.asarray(embedder(images))
    np.testing.assert_array_equal(plain, np.asarray(embedder(images, training=False)))
    for old, new in zip(before, embedder.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, np.array(new))
