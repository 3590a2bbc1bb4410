"""Models of OpenVINO, and that what was stated of a model of others is remembered."""

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import RED, direction, mean_colour

from siamese.cli import main
from siamese.embeddings import embed_folder, find_similar_images, read_embeddings
from siamese.errors import InputError
from siamese.explain import explain
from siamese.images import read_image
from siamese.inference import load_model
from siamese.telemetry import import_silent

SHARED = Path(__file__).parents[2] / "shared"

INTEL = {
    "mean_values": "data[123.675,116.28,103.53]",
    "scale_values": "data[58.395,57.12,57.375]",
    "reverse_input_channels": "True",
}
"""What Intel's models of people say of their conversion."""


def write_openvino(
    path: Path,
    shape: tuple[int, ...] = (1, 3, 8, 4),
    *,
    kind: str = "f32",
    conversion: Mapping[str, str] | None = None,
    maps: bool = False,
    fixed: bool = False,
    seed: int | None = None,
) -> Path:
    """A network whose embedding is the mean of its input's pixels, channel by channel.

    Args:
        path: Ends in `.xml`.
        shape: Of its input; -1 is any.
        kind: Of its elements.
        conversion: What it says of its conversion.
        maps: The output is `(n, 3, 1, 1)`.
        fixed: The number of images is written into a layer.
        seed: Of random weights from all pixels to 64 numbers, in place of the mean.
    """
    pytest.importorskip("openvino")
    openvino = import_silent("openvino")
    ops = openvino.opset13
    images = ops.parameter(list(shape), getattr(openvino.Type, kind), name="images")
    found = ops.convert(images, "f32")
    if seed is None:
        axes = np.array([2, 3] if shape[1] == 3 else [1, 2])
        found = ops.reduce_mean(found, axes, keep_dims=maps)
    else:
        size = int(np.prod(shape[1:]))
        weights = np.random.default_rng(seed).standard_normal((size, 64)).astype(np.float32)
        found = ops.matmul(ops.reshape(found, np.array([-1, size]), False), weights, False, False)
    if fixed:
        found = ops.reshape(found, np.array([shape[0], 3]), False)
    model = openvino.Model([found], [images], "mean_colour")
    for name, value in (conversion or {}).items():
        model.set_rt_info(value, ["conversion_parameters", name])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("kind", ["f32", "f16"])
@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 8, 4), (-1, 3, 8, 4), (2, 8, 4, 3)])
def test_openvino_model_that_tells_gets_its_pixels(
    shape: tuple[int, ...], maps: bool, kind: str, tmp_path: Path
) -> None:
    path = write_openvino(
        tmp_path / "mean.xml", shape, kind=kind, conversion=INTEL, maps=maps and shape[1] == 3
    )
    model = load_model(path)
    assert (model.image_size, model.dimensions, model.runtime) == ((8, 4), 3, "openvino")
    assert model.preprocessing == {"image_size": [8, 4], "channels": "bgr", "pixels": "0..255"}
    found = model.embed([RED, RED, 255 - RED, RED, RED])
    expected = [direction([51, 0, 255]), direction([204, 255, 0])]
    tolerance = 1e-6 if kind == "f32" else 1e-3
    np.testing.assert_allclose(found, [expected[k] for k in (0, 0, 1, 0, 0)], atol=tolerance)
    with pytest.raises(InputError, match="siamese calibrate"):
        model.verify(RED, RED)
    with pytest.raises(InputError, match="holds no feature map"):
        explain(RED, RED, path)


@pytest.mark.parametrize(
    ("changes", "channels"),
    [
        ({}, "bgr"),
        ({"reverse_input_channels": "False"}, "rgb"),
        ({"mean_values": "data[103.53,116.28,123.675]"}, "rgb"),
        ({"mean_values": "[103.53,116.28,123.675]", "reverse_input_channels": "False"}, "bgr"),
        ({"mean_values": "data[127.5]"}, None),
        ({"mean_values": ""}, None),
        ({"mean_values": "", "scale_values": ""}, None),
    ],
)
def test_colour_order_is_read_from_the_conversion(
    changes: dict[str, str], channels: Any, tmp_path: Path
) -> None:
    path = write_openvino(tmp_path / "mean.xml", conversion={**INTEL, **changes})
    if channels is None:
        with pytest.raises(InputError, match=r"Give channels \(rgb or bgr\)"):
            load_model(path)
        channels = "bgr"
        model = load_model(path, channels=channels, pixels="0..255")
        assert not model.tells_channels
    else:
        model = load_model(path)
        assert model.tells_channels
    assert model.preprocessing is not None
    assert (model.preprocessing["channels"], model.preprocessing["pixels"]) == (channels, "0..255")


def test_openvino_model_that_tells_nothing_is_told(tmp_path: Path) -> None:
    path = write_openvino(tmp_path / "mean.xml")
    for options in ({}, {"channels": "rgb"}, {"pixels": "0..1"}):
        with pytest.raises(InputError, match="does not say what it expects of its images"):
            load_model(path, **options)  # type: ignore[arg-type]
    model = load_model(path, channels="bgr", mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.25, 0.5))
    np.testing.assert_allclose(model.embed(RED)[0], direction([-0.6, -2, 1]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": "rgb"}, "takes channels bgr, as the file says. Received: channels=rgb."),
        ({"pixels": "imagenet"}, "Leave out pixels."),
        ({"mean": (0, 0, 0), "deviation": (1, 1, 1)}, "Leave out mean and deviation."),
        ({"image_size": (16, 8)}, "takes image_size 8 4, as the file says"),
    ],
)
def test_what_contradicts_the_file_is_refused(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = write_openvino(tmp_path / "mean.xml", conversion=INTEL)
    with pytest.raises(InputError) as error:
        load_model(path, **options)
    assert words in str(error.value)
    same = load_model(path, channels="bgr", pixels="0..255", image_size=(8, 4))
    assert same.fingerprint == load_model(path).fingerprint


def test_openvino_model_of_any_size_needs_one(tmp_path: Path) -> None:
    path = write_openvino(tmp_path / "mean.xml", (-1, 3, -1, -1), conversion=INTEL)
    with pytest.raises(InputError, match="Give image_size"):
        load_model(path)
    model = load_model(path, image_size=(16, 8))
    np.testing.assert_allclose(model.embed(RED)[0], direction([51, 0, 255]), atol=1e-6)


def test_openvino_model_of_a_fixed_number_of_images_embeds_any(tmp_path: Path) -> None:
    path = write_openvino(tmp_path / "mean.xml", (2, 3, 8, 4), conversion=INTEL, fixed=True)
    model = load_model(path)
    found = model.embed([RED, 255 - RED, RED])
    expected = [direction([51, 0, 255]), direction([204, 255, 0]), direction([51, 0, 255])]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_openvino_computes_in_float32(tmp_path: Path) -> None:
    """In bfloat16, its own choice on some processors, the error is 1e-3."""
    path = write_openvino(tmp_path / "random.xml", (1, 3, 8, 4), conversion=INTEL, seed=1)
    images = np.random.default_rng(2).integers(0, 256, (20, 8, 4, 3), np.uint8)
    weights = np.random.default_rng(1).standard_normal((96, 64)).astype(np.float32)
    flat = images[..., ::-1].transpose(0, 3, 1, 2).reshape(20, -1).astype(np.float64)
    expected = np.stack([direction(each) for each in flat @ weights])
    model = load_model(path)
    np.testing.assert_allclose(model.embed(images), expected, atol=2e-6)
    answers: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: answers.append(model.embed(images))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    for each in answers:
        np.testing.assert_allclose(each, expected, atol=2e-6)


def test_weights_and_preprocessing_tell_openvino_models_apart(tmp_path: Path) -> None:
    path = write_openvino(tmp_path / "first.xml", seed=1)
    other = tmp_path / "other.xml"  # the same file, with other weights beside it
    other.write_bytes(path.read_bytes())
    second = write_openvino(tmp_path / "second.xml", seed=2)
    other.with_suffix(".bin").write_bytes(second.with_suffix(".bin").read_bytes())
    models = [load_model(each, channels="rgb", pixels="0..255") for each in (path, other)]
    models.append(load_model(path, channels="bgr", pixels="0..255"))
    models.append(load_model(path, channels="rgb", pixels="0..1"))
    assert len({model.fingerprint for model in models}) == 4


def test_files_that_are_no_openvino_models_are_answered_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pedestrians: Path
) -> None:
    path = write_openvino(tmp_path / "mean.xml", conversion=INTEL, seed=1)
    weights = path.with_suffix(".bin")
    cases: list[tuple[Path, str]] = [
        (weights, f"holds weights alone. Give {path}"),
        (tmp_path / "gone.xml", "no such model file"),
        (tmp_path, "is not a .keras file"),
    ]
    text = tmp_path / "text.xml"
    text.write_text("<html>no network</html>")
    text.with_suffix(".bin").write_bytes(b"")
    cases.append((text, "is not a model of OpenVINO"))
    short = tmp_path / "short.xml"
    short.write_bytes(path.read_bytes())
    short.with_suffix(".bin").write_bytes(weights.read_bytes()[:100])
    cases.append((short, "is not a model of OpenVINO, or it or short.bin is damaged"))
    lonely = tmp_path / "lonely.xml"
    lonely.write_bytes(path.read_bytes())
    cases.append((lonely, "its weights, lonely.bin, do not lie beside it"))
    (tmp_path / "folder.xml").mkdir()
    cases.append((tmp_path / "folder.xml", "is a folder"))
    grey = write_openvino(tmp_path / "grey.xml", (1, 1, 8, 4))
    cases.append((grey, "must take one batch of images"))
    for model, words in cases[:2] + cases[3:]:
        code = main(["evaluate", "--model", str(model), "--data", str(pedestrians), "--json"])
        captured = capsys.readouterr()
        assert code == 2, model
        assert captured.out == ""
        assert len(captured.err.strip().splitlines()) == 1, captured.err
        assert captured.err.startswith(f"error: {model}: ")
        assert words in captured.err


def test_missing_openvino_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_openvino(tmp_path / "mean.xml", conversion=INTEL)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert importlib.util.find_spec("openvino") is None
    with pytest.raises(InputError, match=r'pip install "siamese-reid\[openvino\]"'):
        load_model(path)


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    """It would tell `openvino_telemetry`, which it depends on, that it was imported."""
    path = write_openvino(tmp_path / "mean.xml", conversion=INTEL)
    spy = tmp_path / "site" / "openvino_telemetry"
    spy.mkdir(parents=True)
    (spy / "__init__.py").write_text(
        "from pathlib import Path\n"
        f"Path({str(tmp_path / 'called')!r}).write_text('imported')\n"
        "class Telemetry:\n"
        "    def __init__(self, **options): pass\n"
        "    def send_event(self, *event): pass\n"
    )
    (spy / "backend.py").write_text("backend_ga4 = None\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import siamese\n"
        "siamese.load_model(sys.argv[2])\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(spy.parent), str(path)]
    subprocess.run(command, check=True)
    assert not (tmp_path / "called").exists()
    subprocess.run([*command[:2], code.replace("import siamese", "import openvino, siamese"),
                    *command[3:]], check=False)  # fmt: skip
    assert (tmp_path / "called").exists()  # so the spy would have been called


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """An OpenVINO model that does not say what it expects."""
    return write_openvino(tmp_path / "silent.xml", (1, 3, 8, 4), seed=1)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_embeddings_remember_what_was_stated(
    suffix: str, told: Path, pedestrians: Path, tmp_path: Path
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    table, query = tmp_path / f"table{suffix}", next(pedestrians.rglob("*.jpg"))
    model = load_model(told, channels="bgr", mean=(0.1, 0.2, 0.3))
    embed_folder(pedestrians, table, model, flip=True)
    assert read_embeddings(table).preprocessing == model.preprocessing
    found = find_similar_images(query, table, 1, model=told)
    assert (Path(found[0].image), found[0].distance) == (query, pytest.approx(0, abs=1e-5))
    other = write_openvino(tmp_path / "other.xml", (1, 3, 8, 4), conversion=INTEL, seed=2)
    with pytest.raises(InputError, match="these embeddings were made by the model"):
        find_similar_images(query, table, 1, model=other)
    with pytest.raises(InputError, match="these embeddings were made by the model"):
        find_similar_images(query, table, model=load_model(told, channels="rgb", pixels="0..1"))


def test_commands_take_openvino_models(
    told: Path,
    pedestrians: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("lancedb")
    monkeypatch.chdir(tmp_path)
    data, query = str(pedestrians), str(next(pedestrians.rglob("*.jpg")))
    model, stated = ["--model", str(told)], ["--channels", "bgr", "--pixels", "0..255"]

    def ask(*arguments: str) -> Any:
        assert main([*arguments, *model, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert main(["evaluate", "--data", data, *model]) == 2
    assert "does not say what it expects of its images" in capsys.readouterr().err
    card = ask("evaluate", "--data", data, *stated)
    expected = {"image_size": [8, 4], "channels": "bgr", "pixels": "0..255"}
    assert card["preprocessing"] == expected
    assert card["backend"] == "openvino"
    assert "openvino" in card["versions"]
    assert card["calibration"] is None
    assert main(["embed", data, *model, *stated]) == 0
    shown = capsys.readouterr().out
    assert "images as    image_size 8 4, channels bgr, pixels 0..255" in shown
    closest = ask("find_similar", query, "-k", "1")["closest"]
    assert closest[0]["image"] == query
    added = ask("gallery", "add", data, *stated)
    assert added["added"] == 112
    assert ask("gallery", "add", data)["unchanged"] == 112  # the gallery remembers
    found = ask("gallery", "search", query, "-k", "1")["queries"][0]
    assert found["left_out"] == [query]
    assert found["matches"][0]["verdict"] == "same"  # the gallery has calibrated itself
    found = ask("gallery", "search", query, "-k", "1", "--calibrate", "False")["queries"][0]
    assert found["matches"][0]["verdict"] is None
    assert main(["gallery", "info"]) == 0
    assert "channels bgr" in capsys.readouterr().out
    assert main(["gallery", "info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["preprocessing"] == expected
    with pytest.raises(SystemExit, match="2"):  # what was stated is remembered, not stated again
        main(["gallery", "search", query, *model, "--channels", "rgb"])
    capsys.readouterr()
    assert main(["gallery", "reembed", *model, "--channels", "rgb", "--pixels", "0..1"]) == 0
    assert "embedded     112 images" in capsys.readouterr().out
    assert ask("gallery", "search", query, "-k", "1")["queries"][0]["left_out"] == [query]
    assert main(["verify", "--img1", query, "--img2", query, "--model", str(told)]) == 2


def test_a_gallery_of_before_takes_more_images(tmp_path: Path, pedestrians: Path) -> None:
    """Its table says nothing of preprocessing."""
    pytest.importorskip("lancedb")
    from siamese.gallery import Gallery
    from siamese.gallery.table import Space, Table

    model = load_model(mean_colour(tmp_path / "mean.onnx", ["n", 3, 8, 4]))
    table = Table(str(tmp_path / "gallery"))
    with table.writing():
        table.create(Space(model.fingerprint, model.dimensions))
    gallery = Gallery(tmp_path / "gallery", model.path)
    assert gallery.add(pedestrians).added == 112
    assert gallery.info().preprocessing is None
    own = read_image(next(pedestrians.rglob("*.jpg")))
    assert gallery.search(own, 1)[0].distance < 1e-3


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_runs_without_tensorflow_and_keras(suffix: str, tmp_path: Path, pedestrians: Path) -> None:
    image = next(pedestrians.rglob("*.jpg"))
    if suffix == ".onnx":
        path = mean_colour(tmp_path / "mean.onnx", ["n", 3, 8, 4])
    else:
        path = write_openvino(tmp_path / "mean.xml", conversion=INTEL)
    code = (
        "import json, sys, siamese\n"
        "embeddings = siamese.load_model(sys.argv[1]).embed(sys.argv[2])\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)\n"
        "print(json.dumps([embeddings.tolist(), sorted(heavy)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(image)],
        capture_output=True,
        text=True,
        check=True,
    )
    embeddings, heavy = json.loads(done.stdout)
    assert heavy == []
    np.testing.assert_allclose(embeddings, load_model(path).embed(image), atol=1e-6)


def test_published_openvino_network_embeds_real_crops() -> None:
    pytest.importorskip("openvino")
    path = SHARED / "peers" / "person-reidentification-retail-0288.xml"
    crops = SHARED / "data" / "market1501" / "query"
    if not path.exists() or not crops.exists():
        pytest.skip("the published network or the real crops are not here")
    model = load_model(path)
    assert model.preprocessing == {"image_size": [256, 128], "channels": "bgr", "pixels": "0..255"}
    found = model.embed(sorted(crops.iterdir())[:12])
    assert found.shape == (12, 256)
    people = [each.name[:4] for each in sorted(crops.iterdir())[:12]]
    same = np.array(people)[:, None] == np.array(people)
    cosines = found @ found.T
    assert cosines[same & ~np.eye(12, dtype=bool)].mean() > cosines[~same].mean() + 0.3
