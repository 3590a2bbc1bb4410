"""`siamese.images`: every kind of image file is read, every broken one is named."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.errors import InputError
from siamese.images import MAXIMUM_PIXELS, decode_image, read_image, resize_image

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)


def test_png_is_read_exactly(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a b é.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a b é.png"), PIXELS)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "RGBA", "LA", "YCbCr"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(PIXELS).convert("L" if mode == "LA" else "RGB").convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (16, 8, 3)
    assert image.dtype == np.uint8


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    grey = np.array([[0, 256, 32_768, 65_535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png")[0, :, 0], [0, 1, 128, 255])


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (8, 16, 3)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # that the EXIF part is corrupt
def test_damage_of_the_exif_part_harms_no_pixel(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x010F] = 6, 72.5, "maker"
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", exif=exif)
    whole = buffer.getvalue()
    first = whole.index(b"Exif") + 6
    shapes = set()
    for place in range(first, whole.index(b"maker") + 5):
        for value in (0x00, 0x01, 0xFF):
            damaged = whole[:place] + bytes([value]) + whole[place + 1 :]
            shapes.add(decode_image(damaged, "image").shape)
    assert shapes == {(8, 16, 3), (16, 8, 3)}  # turned as it says, or not where it cannot be read


def _truncated() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()[:-800]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"not an image at all", "is not an image"), (_truncated(), "damaged")],
)
def test_broken_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"broken\.jpg: .*{words}"):
        read_image(path)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jpg: no such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_decompression_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    side = int(MAXIMUM_PIXELS**0.5) + 10
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(InputError, match="pixels"):
        read_image(tmp_path / "bomb.png")


def test_resizing_equals_the_readers_own() -> None:
    import tensorflow as tf

    for image_size in [(16, 8), (32, 16), (9, 5), (7, 30)]:
        expected = np.asarray(tf.image.resize(PIXELS, image_size))
        assert np.abs(resize_image(PIXELS, image_size) - expected).max() <= 0.501
