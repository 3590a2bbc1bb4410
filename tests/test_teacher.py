"""`siamese.train.teacher`: what teachers say, and how it is kept."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from networks import colour_network
from PIL import Image

from siamese.augment import build_augmentation
from siamese.errors import InputError
from siamese.train.teacher import (
    CHUNK,
    Teacher,
    Views,
    embed_crops,
    open_teacher,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 64, 32, 3), np.uint8)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


CROPS = [png(image) for image in IMAGES]


class Counting(Teacher):
    """Counts what it is asked for, and is killed when it has seen enough."""

    asked = 0
    last = 10**9

    def embed(self, images):  # type: ignore[no-untyped-def]
        held = list(images)
        self.asked += len(held)
        if self.asked > self.last:
            raise KeyboardInterrupt
        return super().embed(held)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_network(tmp_path_factory.mktemp("teachers") / "colours.onnx")


@pytest.fixture
def teacher(network: Path) -> Counting:
    opened = open_teacher([network])
    assert opened is not None
    return Counting(opened.models)


def test_teacher_gives_unit_vectors_of_its_model(teacher: Counting) -> None:
    found = teacher.embed(IMAGES)
    assert found.shape == (6, teacher.dimensions) == (6, 24)
    np.testing.assert_allclose(found, teacher.models[0].embed(IMAGES), atol=1e-7)
    (line,) = teacher.describe()
    assert line.startswith(f"distilled from colours.onnx ({teacher.fingerprint}): what the licence")


def test_ensemble_joins_models_of_any_kind_to_unit_vectors(network: Path, calibrated: Path) -> None:
    both = open_teacher([network, calibrated])
    assert both is not None
    assert both.dimensions == 24 + 16
    found = both.embed(IMAGES)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    parts = [model.embed(IMAGES) for model in both.models]
    # The similarity of two images is the mean of what the two models say.
    expected = (parts[0] @ parts[0].T + parts[1] @ parts[1].T) / 2
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-6)


def test_fingerprint_of_an_ensemble_follows_models_and_order(
    network: Path, calibrated: Path
) -> None:
    teachers = [
        open_teacher(paths)
        for paths in ([network], [calibrated], [network, calibrated], [calibrated, network])
    ]
    assert len({each.fingerprint for each in teachers if each is not None}) == 4


def test_without_a_path_there_is_no_teacher() -> None:
    assert open_teacher([]) is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.onnx", None, "no such model file"),
        ("none.keras", None, "no such model file"),
        ("text.onnx", "words", "is not an ONNX model"),
        ("text.keras", "words", "is not a .keras file"),
    ],
)
def test_what_is_no_model_is_refused(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        open_teacher([tmp_path / name])


def test_teacher_that_has_diverged_is_refused(tmp_path: Path) -> None:
    broken = open_teacher([colour_network(tmp_path / "broken.onnx", scale=np.nan)])
    assert broken is not None
    with pytest.raises(InputError, match="as a teacher must give numbers"):
        broken.embed(IMAGES)


def test_crops_are_embedded_once_and_kept(teacher: Counting, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = embed_crops(teacher, lambda: iter(CROPS), tmp_path, lambda *counts: seen.append(counts))
    np.testing.assert_allclose(first, teacher.models[0].embed(IMAGES), atol=1e-6)
    assert seen == [(6, 6)]
    assert teacher.asked == 6
    again = embed_crops(teacher, lambda: iter(CROPS[::-1]), tmp_path)
    assert teacher.asked == 6
    np.testing.assert_array_equal(again, first[::-1])


def test_equal_crops_are_embedded_once(teacher: Counting, tmp_path: Path) -> None:
    found = embed_crops(teacher, lambda: iter([CROPS[0], CROPS[1], CROPS[0]]), tmp_path)
    assert teacher.asked == 2
    np.testing.assert_array_equal(found[0], found[2])


def test_only_new_crops_are_embedded(teacher: Counting, tmp_path: Path) -> None:
    embed_crops(teacher, lambda: iter(CROPS[:4]), tmp_path)
    found = embed_crops(teacher, lambda: iter(CROPS[2:]), tmp_path)
    assert teacher.asked == 6
    np.testing.assert_allclose(found, teacher.models[0].embed(IMAGES[2:]), atol=1e-6)


def test_killed_run_goes_on_where_it_was(teacher: Counting, tmp_path: Path) -> None:
    def many() -> Iterator[bytes]:
        tiny = np.zeros((2, 2, 3), np.uint8)
        for number in range(CHUNK + 5):
            tiny[0, 0] = (number // 256, number % 256, 0)
            yield png(tiny)

    teacher.last = CHUNK
    with pytest.raises(KeyboardInterrupt):
        embed_crops(teacher, many, tmp_path)
    teacher.asked, teacher.last = 0, 10**9
    assert len(embed_crops(teacher, many, tmp_path)) == CHUNK + 5
    assert teacher.asked == 5
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 cut off", None], ids=["empty", "cut", "half"]
)
def test_damaged_file_of_embeddings_is_made_again(
    teacher: Counting, tmp_path: Path, content: bytes | None
) -> None:
    expected = embed_crops(teacher, lambda: iter(CROPS), tmp_path)
    (kept,) = tmp_path.rglob("*.npz")
    kept.write_bytes(kept.read_bytes()[:-40] if content is None else content)
    found = embed_crops(teacher, lambda: iter(CROPS), tmp_path)
    assert teacher.asked == 12
    np.testing.assert_array_equal(found, expected)


def test_teachers_do_not_read_what_others_said(
    teacher: Counting, calibrated: Path, tmp_path: Path
) -> None:
    embed_crops(teacher, lambda: iter(CROPS), tmp_path)
    other = open_teacher([calibrated])
    assert other is not None
    assert embed_crops(other, lambda: iter(CROPS), tmp_path).shape == (6, 16)
    assert {path.name for path in tmp_path.iterdir()} == {teacher.fingerprint, other.fingerprint}


def test_no_crop_and_a_damaged_crop_are_refused(teacher: Counting, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one training image"):
        embed_crops(teacher, lambda: iter(()), tmp_path)
    with pytest.raises(InputError, match="a training image: is not an image"):
        embed_crops(teacher, lambda: iter([b"words"]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_teacher_sees_the_views_that_it_is_paired_with(teacher: Counting) -> None:
    layers = build_augmentation(flip=True, brightness=0.3)
    views = Views(teacher, layers, seed=5, steps=2)
    batches = [(IMAGES, np.arange(6))] * 5
    taught = list(views.teach(iter(batches), 0))
    assert len(taught) == 5
    for images, labels, said in taught:
        assert images.shape == IMAGES.shape
        assert (images != IMAGES).any(axis=(1, 2, 3)).all()
        assert 0 <= images.min() <= images.max() <= 255
        assert labels.tolist() == [0, 1, 2, 3, 4, 5]
        np.testing.assert_allclose(said, teacher.models[0].embed(images), atol=1e-6)
    assert not np.array_equal(taught[0][0], taught[1][0])


def test_views_of_an_epoch_do_not_depend_on_those_before(teacher: Counting) -> None:
    batches = [(IMAGES, np.arange(6))] * 6
    whole, resumed = (
        list(
            Views(teacher, build_augmentation(brightness=0.3), seed=5, steps=2).teach(given, first)
        )
        for given, first in ((batches, 0), (batches[2:], 1))
    )
    for one, other in zip(whole[2:], resumed, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[2], other[2])
    assert not np.array_equal(whole[0][0], whole[2][0])
