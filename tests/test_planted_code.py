"""Files that would run code, or read other files, if opened as they wish: nothing runs."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from siamese.embeddings import read_embeddings
from siamese.errors import InputError
from siamese.inference import load_model
from siamese.models.checkpoint import PRETRAINED, load_checkpoint
from siamese.models.torch_weights import read_tensors


class Plant:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that planted code would make."""
    return tmp_path / "ran"


def _with_config(path: Path, config: dict[str, Any]) -> Path:
    """Writes the pretrained model with another description of its layers."""
    with zipfile.ZipFile(PRETRAINED) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = json.dumps(config).encode() if name == "config.json" else source.read(name)
            target.writestr(name, content)
    return path


def test_the_plant_works(mark: Path) -> None:
    pickle.loads(pickle.dumps(Plant(mark)))
    assert mark.exists()


def test_a_keras_model_with_python_code_inside_is_refused(tmp_path: Path, mark: Path) -> None:
    images = keras.Input((8, 4, 3))
    name = str(mark)
    planted = keras.layers.Lambda(lambda x: [__import__("pathlib").Path(name).touch(), x][1])
    keras.Model(images, planted(images)).save(tmp_path / "plain.keras")
    mark.unlink(missing_ok=True)  # building has run it once
    with zipfile.ZipFile(tmp_path / "plain.keras") as source:
        config = json.loads(source.read("config.json"))
    with pytest.raises(InputError, match=r"m\.keras: cannot be opened .*`Lambda`") as error:
        load_checkpoint(_with_config(tmp_path / "m.keras", config))
    assert "\n" not in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "exec"), ("subprocess", "Popen")]
)
def test_a_keras_model_that_names_a_function_of_python_is_refused(
    tmp_path: Path, mark: Path, module: str, name: str
) -> None:
    config = {
        "module": module,
        "class_name": name,
        "config": {"args": [f"touch {mark}"], "command": f"touch {mark}"},
        "registered_name": name,
    }
    with pytest.raises(InputError, match=r"m\.keras: cannot be opened"):
        load_checkpoint(_with_config(tmp_path / "m.keras", config))
    assert not mark.exists()


def test_numpy_and_torch_files_with_pickles_are_refused(tmp_path: Path, mark: Path) -> None:
    np.savez(tmp_path / "e.npz", embedding=np.array([Plant(mark)], object))
    with pytest.raises(InputError, match=r"e\.npz"):
        read_embeddings(tmp_path / "e.npz")
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps({"weight": Plant(mark)}, protocol=2))
    with pytest.raises(InputError, match=r"w\.pth"):
        read_tensors(tmp_path / "w.pth")
    assert not mark.exists()


def _network(path: Path, node: onnx.NodeProto, *weights: onnx.TensorProto) -> Path:
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 8, 4])
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, ["n", 96])
    graph = helper.make_graph([node], "planted", [images], [found], weights)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=domains).SerializeToString())
    return path


def test_an_onnx_file_with_operators_of_others_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Run", ["images"], ["found"], domain="elsewhere")
    with pytest.raises(InputError, match=r"m\.onnx") as error:
        load_model(_network(tmp_path / "m.onnx", node))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", ["../secret", "ABSOLUTE", "link"])
def test_weights_of_an_onnx_file_are_read_from_beside_it_alone(tmp_path: Path, place: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(12, dtype="<f4").tobytes())
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link").symlink_to(secret)
    weight = onnx.TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[3, 4])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=str(secret) if place == "ABSOLUTE" else place)
    node = helper.make_node("MatMul", ["images", "weight"], ["found"])
    with pytest.raises(InputError, match=r"m\.onnx"):
        load_model(_network(tmp_path / "models" / "m.onnx", node, weight))


def test_a_byte_of_a_model_that_has_changed_is_told(tmp_path: Path) -> None:
    content = bytearray(PRETRAINED.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "m.keras").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.keras"):
        load_checkpoint(tmp_path / "m.keras")
