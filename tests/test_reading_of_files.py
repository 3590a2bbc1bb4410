"""Tables, models and addresses as people have them: a right answer, or the one line that helps."""

import h5py
import miniatures
import numpy as np
import pytest
from scipy.io import loadmat

from siamese.cli import main
from siamese.datasets import list_samples
from siamese.errors import InputError
from siamese.gallery.sources import list_gallery_images, open_or_blank
from siamese.inference import load_model
from siamese.models.checkpoint import PRETRAINED


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [("people.csv", ";", "utf-8"), ("people.tsv", "\t", "utf-8-sig"),
     ("people.csv", "\t", "utf-16"), ("people.csv", ";", "utf-8-sig")],
)  # fmt: skip
def test_tables_of_spreadsheets_are_read(tmp_path, name, separator, encoding):
    table = miniatures.identity_table(tmp_path)
    expected = list_samples(table)
    lines = table.read_text().replace(",", separator).replace("/", "\\")
    table.unlink()
    (tmp_path / name).write_text(lines, encoding=encoding)
    assert list_samples(tmp_path / name) == expected
    assert [each.person for each in list_gallery_images(tmp_path / name)] == [
        "anna",
        "anna",
        "bert",
    ]


def test_tables_of_mars_in_version_73_are_read(tmp_path):
    root = miniatures.mars(tmp_path)
    expected = list_samples(root, "all")
    for path in (root / "info").glob("*.mat"):
        content = {key: value for key, value in loadmat(path).items() if key[:2] != "__"}
        path.unlink()
        with h5py.File(path, "w", userblock_size=512) as file:
            for key, value in content.items():
                file[key] = np.asarray(value).T
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    assert list_samples(root, "all") == expected


@pytest.mark.parametrize("command", ["verify", "find_similar"])
def test_images_on_the_web_are_not_fetched(capsys, command):
    address = "https://example.org/a.jpg"
    assert main([command, address] + [address] * (command == "verify")) == 2
    text = capsys.readouterr().err
    assert f"error: {address}: is on the web, and this program fetches nothing. Download it" in text
    assert text.count("\n") == 1


def test_weights_without_a_network_are_told(tmp_path):
    for name in ("model.pth", "best.pt", "x.safetensors"):
        (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(InputError, match=r"without a network.*torch\.onnx\.export"):
            load_model(tmp_path / name)


def test_an_archive_is_to_be_unpacked(tmp_path):
    (tmp_path / "market.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"is a file\. Unpack it"):
        list_samples(tmp_path / "market.zip")


def test_a_grey_picture_stands_for_an_image_that_has_gone(tmp_path, caplog):
    path = miniatures.draw_image(tmp_path / "a.jpg")
    assert len(np.unique(open_or_blank(str(path)))) > 9
    path.unlink()
    assert np.unique(open_or_blank(str(path))).tolist() == [160]
    assert "a.jpg: no such file" in caplog.text


def test_weights_of_an_onnx_model_that_are_missing_are_named(tmp_path):
    onnx = pytest.importorskip("onnx")
    source = PRETRAINED.with_suffix(".onnx")
    model = onnx.load(source)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data")
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(InputError, match=r"m\.onnx\.data, which is not beside it"):
        load_model(tmp_path / "m.onnx")
