"""The calibration that a gallery makes of its own images: when, of what, and that it goes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from siamese import cli
from siamese.errors import InputError
from siamese.gallery import Gallery, GalleryImage, own_calibration
from siamese.inference import Model
from siamese.profiles import calibrate_rows
from siamese.synthetic import write_mars_tree


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MARS tree of 30 people by 2 cameras, 2 frames each: 120 images."""
    folder = tmp_path_factory.mktemp("crops") / "people"
    write_mars_tree(folder, people=30, cameras=2, frames=2, image_size=(64, 32))
    return folder


def test_a_gallery_reads_its_distances_by_its_own_images(
    whole: Path, people: Path, model: Model
) -> None:
    gallery = Gallery(whole, model)
    found = gallery.own_calibration.find()
    assert found is not None
    assert (found.images, found.pairing, found.fingerprint) == (
        120, "two cameras", model.fingerprint,
    )  # fmt: skip
    embeddings, rows = gallery.read_rows()
    order = np.argsort(rows["digest"].to_pylist())
    cameras, tracklets = (rows[name].to_numpy()[order] for name in ("camera", "tracklet"))
    expected = calibrate_rows(embeddings[order], cameras, tracklets, reference=model.calibration)
    assert found.calibration.threshold == expected[0].threshold
    query = sorted(people.rglob("*.jpg"))[0]
    ours, theirs = (
        Gallery(whole, model, calibrate=each).search(query, 20) for each in (True, False)
    )
    assert [each.image for each in ours] == [each.image for each in theirs]  # ranks stay
    assert [each.distance for each in ours] == [each.distance for each in theirs]
    for matches, calibration in ((ours, found.calibration), (theirs, model.calibration)):
        for match in matches:
            probability = float(calibration.probability(match.distance, match.prior))
            assert match.probability == pytest.approx(probability)
    assert ours[0].probability != theirs[0].probability


def test_equal_images_give_an_equal_calibration_in_whatever_order(
    whole: Path, people: Path, model: Model, tmp_path: Path
) -> None:
    other = Gallery(tmp_path / "gallery", model)
    for image in sorted(people.rglob("*.jpg"), reverse=True)[:2]:
        other.add(image)
    other.add(people)
    assert other.calibrate() is not None
    one, two = Gallery(whole, model).own_calibration.find(), other.own_calibration.find()
    assert one is not None
    assert two is not None
    assert one.calibration.to_dict() == two.calibration.to_dict()


def test_it_is_renewed_when_the_gallery_has_grown_by_a_tenth(
    copy: Path, model: Model, tmp_path: Path
) -> None:
    gallery = Gallery(copy, model)
    before = gallery.own_calibration.find()
    assert before is not None
    write_mars_tree(tmp_path / "more", people=4, cameras=2, frames=2, image_size=(64, 32), seed=9)
    images = sorted((tmp_path / "more").rglob("*.jpg"))
    gallery.add([GalleryImage(str(image), camera=1) for image in images[:11]])
    assert gallery.own_calibration.find() == before
    gallery.add(images[11])
    after = gallery.own_calibration.find()
    assert after is not None
    assert after.images == 132
    assert after.version > before.version


def test_erased_people_leave_the_calibration_without_a_model_at_hand(
    copy: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery(copy, "no/such/model.onnx")
    before = gallery.own_calibration.find()
    gallery.remove(people="0001")
    after = gallery.own_calibration.find()
    assert before is not None
    assert after is not None
    assert after.images == 116
    assert after.calibration.different_pairs == 58 * 58 < before.calibration.different_pairs
    # The file has gone before the rows go: a power cut leaves none rather than the old one.
    monkeypatch.setattr(
        gallery._table, "rewrite", lambda *_: pytest.fail("interrupted", pytrace=False)
    )
    with pytest.raises(pytest.fail.Exception):
        gallery.remove(people="0002")
    assert gallery.own_calibration.find() is None
    few = Gallery(copy, model)
    few.remove(people=[f"{number:04d}" for number in range(2, 9)])
    assert few.own_calibration.find() is None  # 88 images
    assert few.info().calibration is None


def test_a_gallery_can_be_told_not_to(people: Path, model: Model, tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "gallery", model, calibrate=False)
    gallery.add(people)
    assert not (tmp_path / "gallery" / own_calibration.FILE).exists()
    assert gallery.own_calibration.facts() is None
    Gallery(tmp_path / "gallery", model).calibrate()
    assert Gallery(tmp_path / "gallery", model).own_calibration.find() is not None
    assert gallery.own_calibration.find() is None


def test_a_calibration_of_another_model_or_a_damaged_one_does_not_answer(
    copy: Path, model: Model
) -> None:
    path = copy / own_calibration.FILE
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "fingerprint": "0" * 16}))
    assert Gallery(copy, model).own_calibration.find() is None
    path.write_text(json.dumps({**values, "calibration": {}}))
    with pytest.raises(InputError, match="siamese gallery calibrate"):
        Gallery(copy, model).own_calibration.find()
    Gallery(copy, model).remove(people="0001")  # erasing and adding go on
    assert not path.exists()
    assert Gallery(copy, model).calibrate() is not None


def test_cameras_must_be_known_and_two(people: Path, model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for number, image in enumerate(sorted(people.rglob("*.jpg"))):
        shutil.copy(image, folder / f"crop {number}.jpg")
    gallery = Gallery(tmp_path / "gallery", model)
    gallery.add(folder)
    assert gallery.calibrate() is None


def test_commands_say_which_calibration_answers(
    copy: Path, people: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--gallery", str(copy), "--model", str(model.path)]
    query = str(sorted(people.rglob("*.jpg"))[0])
    assert cli.main(["gallery", "search", query, *options]) == 0
    assert "the gallery's own, made of 120 images at version" in capsys.readouterr().out
    assert cli.main(["gallery", "search", query, *options, "--calibrate", "False"]) == 0
    assert "calibration  the model's own" in capsys.readouterr().out
    assert cli.main(["gallery", "search", query, *options, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["calibration"]
    assert facts["images"] == 120
    assert facts["false_accept_rate"] <= 0.01
    assert cli.main(["gallery", "calibrate", *options]) == 0
    assert "accepts" in capsys.readouterr().out
    assert cli.main(["gallery", "info", "--gallery", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"]["pairing"] == "two cameras"


def test_the_page_reads_distances_as_the_gallery_says_until_it_is_told_not_to(
    copy: Path, model: Model
) -> None:
    from siamese.app.state import Desk  # takes seconds

    desk = Desk(model, copy)
    found = desk.gallery.own_calibration.find()
    assert found is not None
    assert desk.calibration == found.calibration
    desk.use_model_calibration()
    assert desk.calibration == model.calibration
    desk.calibrate()
    assert desk.calibration.to_dict() == found.calibration.to_dict()
    few = Desk(model, copy.with_name("empty"))
    with pytest.raises(InputError, match="gallery"):
        few.calibrate()
