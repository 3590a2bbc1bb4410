"""Embeddings of boxes in a frame, as trackers ask for them."""

from pathlib import Path

import numpy as np
import pytest
from colours import write_colour_model

import siamese
from siamese import CropEmbedder


@pytest.fixture
def model(tmp_path: Path) -> siamese.Model:
    return write_colour_model(tmp_path / "model.onnx")


FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def test_boxes_are_cut_from_the_frame_in_its_order_of_colours(model: siamese.Model) -> None:
    embed = CropEmbedder(model, channels="bgr")
    boxes = np.array([[10.4, 5, 29.5, 40, 0.9, 0], [-5, -5, 20, 30, 0.8, 0]])
    found = embed(FRAME, boxes)
    crops = [FRAME[5:40, 10:30], FRAME[0:30, 0:20]]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, model.embed([each[..., ::-1] for each in crops]))
    np.testing.assert_array_equal(embed(crops), found)
    as_rgb = CropEmbedder(model, channels="rgb")(crops)
    np.testing.assert_array_equal(as_rgb, model.embed(crops))
    assert not np.allclose(as_rgb, found)


def test_a_box_outside_or_without_area_still_gets_a_row(model: siamese.Model) -> None:
    embed = CropEmbedder(model, channels="rgb")
    found = embed(FRAME, [[200, 200, 300, 300], [20, 20, 20, 20], [30, 30, 10, 10]])
    corner = model.embed(FRAME[-1:, -1:])
    np.testing.assert_array_equal(found[:1], corner)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_no_boxes_give_no_rows(model: siamese.Model) -> None:
    embed = CropEmbedder(model, channels="rgb")
    for none in ([], np.zeros((0, 4)), np.zeros((0, 6))):
        assert embed(FRAME, none).shape == (0, model.dimensions)
    assert embed([]).shape == (0, model.dimensions)


def test_what_is_no_frame_or_box_is_refused(model: siamese.Model) -> None:
    embed = CropEmbedder(model, channels="rgb")
    for wrong in ([[0, 0, 10]], [[0, 0, np.nan, 10]], [0, 0, 10, 10]):
        with pytest.raises(siamese.InputError, match="`boxes` must be finite rows"):
            embed(FRAME, wrong)
    with pytest.raises(siamese.InputError, match="crop 1"):
        embed([FRAME, np.zeros((2, 2, 7))])
    with pytest.raises(siamese.InputError, match="`channels` must be"):
        CropEmbedder(model, channels="grb")  # type: ignore[arg-type]
