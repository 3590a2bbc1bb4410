"""`siamese.gallery`: adding, searching, naming, erasing, on drawn people and a real small model."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colours import write_colour_model
from PIL import Image

import siamese
from siamese.errors import InputError
from siamese.gallery import Gallery, GalleryImage, answer, ingest
from siamese.gallery.table import RETRIES, Table
from siamese.images import read_image
from siamese.inference import Model
from siamese.synthetic import write_mars_tree


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MARS tree of 8 people by 2 cameras, 4 frames each."""
    folder = tmp_path_factory.mktemp("gallery") / "people of Müller's"
    write_mars_tree(folder, people=8, cameras=2, frames=4, image_size=(64, 32))
    return folder


def _files(people: Path) -> list[Path]:
    return sorted(people.rglob("*.jpg"))


def _judging(model: Model, slope: float, centre: float) -> Model:
    """The model with another logistic curve."""
    other = Model(model.path, model.network)
    assert model.calibration is not None
    other.calibration = replace(model.calibration, slope=slope, centre=centre)
    return other


def _holds(folder: Path, *needles: bytes) -> list[str]:
    """The files of a folder that hold any of some bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(each in path.read_bytes() for each in needles)]


def test_rows_say_what_the_names_say(whole: Path, people: Path, model: Model) -> None:
    gallery = Gallery(whole, model)
    images = {Path(image.path).name: image for image in gallery.images()}
    assert len(images) == len(gallery) == 64
    one = images["0003C2T0001F002.jpg"]
    assert one == GalleryImage(str(next(people.rglob("0003C2T0001F002.jpg"))), "0003", 2, None, 1)
    info = gallery.info()
    assert (info.images, info.people, info.unnamed, info.cameras) == (64, 8, 0, (1, 2))
    assert (info.dimensions, info.fingerprint) == (24, model.fingerprint)
    assert gallery.people() == {f"{number:04d}": 8 for number in range(1, 9)}


def test_adding_again_changes_nothing_and_a_changed_file_is_replaced(
    people: Path, model: Model, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(people, tmp_path / "people"))
    gallery = Gallery(tmp_path / "gallery", model)
    first = gallery.add(folder)
    assert (first.added, first.replaced, first.unchanged, first.refused) == (64, 0, 0, ())
    version = gallery.info().version
    again = gallery.add(folder)
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 64)
    assert gallery.info().version == version
    changed, other = _files(folder)[0], _files(folder)[-1]
    shutil.copyfile(other, changed)
    third = gallery.add(folder)
    assert (third.added, third.replaced, third.unchanged) == (0, 1, 63)
    assert len(gallery) == 64
    assert {match.image for match in gallery.search(read_image(changed), 2)} == {
        str(changed),
        str(other),
    }
    assert gallery.verify(contents=True) == []


def test_search_agrees_with_a_slow_loop(whole: Path, people: Path, model: Model) -> None:
    gallery = Gallery(whole, model)
    query = _files(people)[5]
    embeddings, rows = gallery.read_rows()
    own = model.embed(query)[0].astype(np.float64)
    slow = []
    for embedding, path in zip(embeddings, rows["path"].to_pylist(), strict=True):
        slow.append((float(np.sqrt(((embedding.astype(np.float64) - own) ** 2).sum())), path))
    slow.sort()
    found = gallery.search(read_image(query), 12)
    assert [match.distance for match in found] == pytest.approx([d for d, _ in slow[:12]], abs=1e-7)
    assert [match.image for match in found] == [path for _, path in slow[:12]]
    assert found[0].image == str(query)
    assert found[0].distance == pytest.approx(0, abs=1e-6)
    calibration = model.calibration
    assert calibration is not None
    for match in found:
        assert match.prior == 0.5 / 8
        assert match.verdict == calibration.verdict(match.distance, 0.5 / 8)
        expected = float(calibration.probability(match.distance, 0.5 / 8))
        assert match.probability == pytest.approx(expected)


def test_query_may_be_a_file_a_picture_or_an_array(whole: Path, people: Path, model: Model) -> None:
    gallery = Gallery(whole, model)
    file = _files(people)[9]
    with Image.open(file) as picture:
        by_picture = gallery.search(picture, 4)
    assert by_picture[1:] == gallery.search(file, 3) == gallery.search(str(file), 3)
    assert gallery.search(np.asarray(Image.open(file)), 4) == by_picture


def test_filters_leave_only_what_they_say(people: Path, model: Model, tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "gallery", model)
    files = _files(people)[:10]
    images = [
        GalleryImage(str(file), f"p{row % 2}", row % 3, datetime(2026, 11, 1 + row, 12))
        for row, file in enumerate(files)
    ]
    images[9] = replace(images[9], person=None, camera=None, time=None)
    gallery.add(images)

    def rows(**chosen: object) -> list[int]:
        found = gallery.search(read_image(files[0]), 99, **chosen)  # type: ignore[arg-type]
        return sorted(files.index(Path(match.image)) for match in found)

    assert rows() == list(range(10))
    assert rows(camera=1) == [1, 4, 7]
    assert rows(camera=[0, 2]) == [0, 2, 3, 5, 6, 8]
    assert rows(person="p1") == [1, 3, 5, 7]
    assert rows(since="2026-11-04") == [3, 4, 5, 6, 7, 8]
    assert rows(until="2026-11-04") == rows(until="20261104") == [0, 1, 2, 3]
    assert rows(until="2026-11-04 11:59") == [0, 1, 2]
    assert rows(since=datetime(2026, 11, 2, 12), until="2026-11-03T12:00:00") == [1, 2]
    assert rows(person="p0", camera=0, since="2026-11-02") == [6]
    assert rows(person="nobody's") == []
    assert [image.path for image in gallery.images(camera=1)] == [
        str(files[row]) for row in (1, 4, 7)
    ]
    assert gallery.search(files[0], 3, person="nobody's") == []
    with pytest.raises(InputError, match="must be a day or a time"):
        rows(since="yesterday")


def test_whoever_is_not_there_is_said_not_to_be(people: Path, model: Model, tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "gallery", _judging(model, slope=100, centre=0.65))
    there = [file for file in _files(people) if "C1" in file.name and file.name < "0005"]
    gallery.add(there)
    assert answer(gallery.search(there[0])) == "same"
    blank = np.zeros((64, 32, 3), np.uint8)
    blank[::2] = (255, 0, 255)
    assert answer(gallery.search(blank)) == "different"
    assert answer([]) is None
    same = [answer(gallery.search(f, 1)) for f in _files(people) if "C2" in f.name]
    assert "same" in same
    uncalibrated = write_colour_model(tmp_path / "plain.onnx", model.fingerprint)
    found = Gallery(tmp_path / "gallery", uncalibrated).search(there[0], 3)
    assert answer(found) is None
    assert found[0].probability is None


def test_a_search_allows_for_the_number_of_people(
    people: Path, model: Model, tmp_path: Path
) -> None:
    there = [file for file in _files(people) if "C1" in file.name and file.name < "0005"]
    stranger = read_image(_files(people)[-1])
    named, unnamed = (Gallery(tmp_path / name, model) for name in ("named", "unnamed"))
    named.add(there)
    unnamed.add(there, anonymous=True)
    nearest = named.search(stranger, 1)[0]
    # At even odds 97 % at this distance: odds of 97 to 3.
    judging = _judging(model, slope=10, centre=nearest.distance + float(np.log(97 / 3)) / 10)
    assert judging.judge(nearest.distance, judging.calibration).verdict == "same"  # type: ignore[arg-type]
    named, unnamed = (Gallery(each.path, judging) for each in (named, unnamed))
    # The odds of one of 4 people are 1 to 7, of one of 16 images without a name 1 to 31.
    found = named.search(stranger, 16)
    assert (found[0].prior, found[0].verdict) == (1 / 8, "probably same")
    assert found[0].probability == pytest.approx(97 / (97 + 3 * 7))
    assert answer(unnamed.search(stranger)) == "unsure"
    assert unnamed.search(stranger)[0].probability == pytest.approx(97 / (97 + 3 * 31))
    for match in found:
        even = float(judging.calibration.probability(match.distance))  # type: ignore[union-attr]
        assert match.probability == pytest.approx(even / (even + (1 - even) * 7))
    # Filters leave fewer people: one, and then two who were named among images without a name.
    assert named.search(stranger, 1, person=nearest.person)[0].verdict == "same"
    unnamed.merge("Ann", images=[str(each) for each in there[:3]])
    unnamed.merge("Bea", images=[str(there[3])])
    assert unnamed.search(stranger, 1)[0].prior == 0.5 / (16 - 4 + 2)
    assert unnamed.search_person("Ann", 1)[0].prior == 0.5 / (16 - 4 + 1)
    # Who is on no other image than the query is not searched for; nor is the query, without a name.
    assert unnamed.search(there[3], 1)[0].prior == 0.5 / (16 - 4 + 1)
    assert unnamed.search(there[0], 1)[0].prior == 0.5 / (16 - 4 + 2)
    assert unnamed.search(there[4], 1)[0].prior == 0.5 / (16 - 4 + 2 - 1)


def test_the_query_is_not_among_its_results(
    copy: Path, people: Path, model: Model, tmp_path: Path
) -> None:
    gallery = Gallery(copy, model)
    first, other = _files(people)[0], _files(people)[40]
    twin = tmp_path / "twin.jpg"
    shutil.copyfile(first, twin)
    gallery.add(twin)
    everything = gallery.search(read_image(first), 99)
    assert len(everything) == 65
    for file in (first, twin, str(twin)):
        assert gallery.own_images([file]) == [sorted([str(first), str(twin)])]
        found = gallery.search(file, 99)
        assert [match.image for match in found] == [match.image for match in everything[2:]]
        assert found[:5] == gallery.search(file, 5)
    # The path counts too: the file has changed since.
    shutil.copyfile(other, twin)
    assert gallery.own_images([twin, first]) == [
        sorted([str(other), str(twin)]),
        sorted([str(first), str(twin)]),
    ]
    lists = gallery.search_folder([twin, other], 99)
    assert str(other) not in {match.image for match in lists[str(twin)]}
    assert [len(each) for each in lists.values()] == [63, 64]


def test_folder_and_person_are_queries_too(whole: Path, people: Path, model: Model) -> None:
    gallery = Gallery(whole, model)
    folder = next(people.rglob("0002C1T0001F001.jpg")).parent
    lists = gallery.search_folder(folder, 3, camera=2)
    assert list(lists) == [str(path) for path in sorted(folder.glob("*.jpg"))]
    for path, matches in lists.items():
        assert matches == gallery.search(path, 3, camera=2)
        assert {match.camera for match in matches} == {2}

    seen = gallery.search_person("0002", 5)
    assert "0002" not in {match.person for match in seen}
    embeddings, rows = gallery.read_rows()
    own = np.array([person == "0002" for person in rows["person"].to_pylist()])
    mean = embeddings[own].mean(axis=0)
    mean /= np.linalg.norm(mean)
    expected = np.sort(np.linalg.norm(embeddings[~own] - mean, axis=1))[:5]
    assert [match.distance for match in seen] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="nobody is named 'Ann'"):
        gallery.search_person("Ann")


def test_merged_people_are_one(copy: Path, people: Path, model: Model) -> None:
    gallery = Gallery(copy, model)
    gallery.search(_files(people)[0], 1)  # the names must not come from an older version
    assert gallery.merge("O'Neill", people=["0001", "0002"]) == 16
    assert gallery.people()["O'Neill"] == 16
    file = _files(people)[-1]
    assert gallery.merge("O'Neill", images=[str(file)]) == 1
    assert gallery.search(read_image(file), 1, person="O'Neill")[0].image == str(file)
    assert "0001" not in gallery.people()
    assert len(gallery) == 64
    for wrong in ({"people": ["0001"]}, {"images": ["no.jpg"]}, {}):
        with pytest.raises(InputError):
            gallery.merge("Ann", **wrong)  # type: ignore[arg-type]


def test_given_name_outlives_a_changed_file(people: Path, model: Model, tmp_path: Path) -> None:
    shutil.copytree(people, tmp_path / "people")
    first = next(iter(_files(tmp_path / "people")))
    gallery = Gallery(tmp_path / "gallery", model)
    gallery.add(tmp_path / "people")
    person = first.parent.name
    count = gallery.merge("Ann", people=[person])
    with Image.open(first) as image:
        image.save(first, quality=40)
    assert gallery.add(tmp_path / "people").replaced == 1
    assert gallery.people()["Ann"] == count
    assert person not in gallery.people()


def test_erased_person_is_in_no_file_of_the_gallery(copy: Path, people: Path, model: Model) -> None:
    gallery = Gallery(copy, model)
    # Names that were given, a content that was replaced: what is old must go as well.
    gallery.merge("Ludmila", people=["0004"])
    gallery.merge("Lyudmila", people=["Ludmila"])
    embeddings, rows = gallery.read_rows()
    hers = [row for row, name in enumerate(rows["person"].to_pylist()) if name == "Lyudmila"]
    paths = [rows["path"][row].as_py() for row in hers]
    needles = [
        b"Ludmila",
        b"Lyudmila",
        b"0004C",
        *(path.encode() for path in paths),
        *(embeddings[row].tobytes() for row in hers),
        *(embeddings[row, :4].tobytes() for row in hers),
    ]
    assert _holds(copy, *needles)
    kept = set(rows["path"].to_pylist()) - set(paths)
    assert gallery.remove(people=["Lyudmila"]) == 8
    assert _holds(copy, *needles) == []
    assert {image.path for image in gallery.images()} == kept
    assert gallery.verify() == []
    assert "Lyudmila" not in {match.person for match in gallery.search(paths[0], 64)}
    with pytest.raises(InputError, match="nobody is named"):
        gallery.remove(people=["Lyudmila"])


def test_one_row_among_many_is_erased_and_unnamed_rows_stay(
    copy: Path, people: Path, model: Model
) -> None:
    # Deleting so few rows would leave them in the file until a tenth of it is deleted.
    gallery = Gallery(copy, model)
    extra = people.parent / "unnamed.jpg"
    shutil.copyfile(_files(people)[0], extra)
    gallery.add(extra)
    target = str(_files(people)[20])
    row = [image.path for image in gallery.images()].index(target)
    vector = gallery.read_rows()[0][row].tobytes()
    assert _holds(copy, vector)
    assert gallery.remove(images=[target]) == 1
    assert _holds(copy, vector, Path(target).name.encode()) == []
    assert len(gallery) == 64
    assert gallery.remove(people="0005") == 8  # whether a person who is not known has this name?
    assert len(gallery) == 56
    assert gallery.info().unnamed == 1


def test_other_model_is_refused_until_reembedded(
    copy: Path, people: Path, model: Model, tmp_path: Path
) -> None:
    other = write_colour_model(tmp_path / "other.onnx", "another", people=people, seed=3)
    gallery = Gallery(copy, other)
    for refused in (
        lambda: gallery.search(_files(people)[0]),
        lambda: gallery.add(people),
        lambda: gallery.search_person("0001"),
    ):
        with pytest.raises(InputError, match=r"was made with the model c0105.*another.*reembed"):
            refused()
    gallery.merge("Ann", people=["0001"])
    before = gallery.images()
    assert gallery.reembed() == 64
    assert gallery.reembed() == 0
    assert sorted(map(str, gallery.images())) == sorted(map(str, before))
    assert gallery.info().fingerprint == "another"
    assert gallery.search(read_image(_files(people)[3]), 1)[0].distance == pytest.approx(
        0, abs=1e-6
    )
    assert gallery.verify(contents=True) == []
    with pytest.raises(InputError, match="was made with the model another"):
        Gallery(copy, model).search(_files(people)[0])


def test_interrupted_reembedding_goes_on(
    copy: Path, people: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_colour_model(tmp_path / "other.onnx", "another", seed=3)
    gallery = Gallery(copy, other)
    monkeypatch.setattr(ingest, "COMMIT_IMAGES", 20)

    def stop(done: int, total: int) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.reembed(progress=stop)
    # The old rows are in use meanwhile.
    assert Gallery(copy, model).search(read_image(_files(people)[0]), 1)[0].distance < 1e-6
    assert gallery.reembed() == 24
    assert len(gallery) == 64
    assert gallery.verify() == []
    assert not list(copy.glob("*next_model*"))


def test_rows_of_two_models_never_mix_where_a_reembedding_stopped_early(
    copy: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_colour_model(tmp_path / "other.onnx", "another", seed=3)
    third = write_colour_model(tmp_path / "third.onnx", "a third", seed=4)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Model, "embed", fail)
        with pytest.raises(KeyboardInterrupt):
            Gallery(copy, other).reembed()  # before its first row
    assert Gallery(copy, third).reembed() == 64
    assert Gallery(copy, third).verify() == []
    assert Gallery(copy, third).info().fingerprint == third.fingerprint


def test_an_image_has_one_path(
    people: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(people)
    gallery = Gallery(tmp_path / "gallery", model)
    assert gallery.add(people).added == 64
    assert gallery.add(Path("..") / people.name).unchanged == 64
    assert gallery.remove(images=[Path("..") / people.name / _files(people)[0].relative_to(people)])
    assert len(gallery) == 63


def test_missing_files_are_named_and_may_be_erased(
    people: Path, model: Model, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(people, tmp_path / "people"))
    gallery = Gallery(tmp_path / "gallery", model)
    gallery.add(folder)
    gone = _files(folder)[:2]
    for path in gone:
        path.unlink()
    Image.new("RGB", (32, 64)).save(_files(folder)[0])
    problems = gallery.verify(contents=True)
    assert len(problems) == 2
    assert problems[0].startswith(f"2 image files have gone, the first is {gone[0]}")
    assert problems[1].startswith("1 image files have changed")
    other = write_colour_model(tmp_path / "other.onnx", "another", seed=3)
    with pytest.raises(InputError, match="2 image files have gone"):
        Gallery(tmp_path / "gallery", other).reembed()
    assert gallery.remove(missing=True) == 2
    assert gallery.remove(missing=True) == 0
    assert len(gallery) == 62


def test_damaged_images_are_named_and_the_others_added(
    people: Path, model: Model, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copyfile(_files(people)[0], folder / "good.jpg")
    (folder / "text.jpg").write_text("not an image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "short.jpg").write_bytes(_files(people)[0].read_bytes()[:300])
    added = Gallery(tmp_path / "gallery", model).add(folder)
    assert added.added == 1
    assert len(added.refused) == 3
    assert any("text.jpg: is not an image" in sentence for sentence in added.refused)


def test_time_comes_from_the_name_or_from_the_file(
    people: Path, model: Model, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copyfile(_files(people)[0], folder / "gate_2026-11-20_08-15-01.jpg")
    with Image.open(_files(people)[1]) as picture:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = "2025:01:02 03:04:05"
        picture.save(folder / "camera.jpg", exif=exif)
        exif = Image.Exif()
        exif[0x0132] = "0000:00:00 00:00:00"
        picture.save(folder / "unset.jpg", exif=exif)
    gallery = Gallery(tmp_path / "gallery", model)
    gallery.add(folder)
    times = {Path(image.path).name: image.time for image in gallery.images()}
    assert times == {
        "gate_2026-11-20_08-15-01.jpg": datetime(2026, 11, 20, 8, 15, 1),
        "camera.jpg": datetime(2025, 1, 2, 3, 4, 5),
        "unset.jpg": None,
    }
    assert gallery.info().first == datetime(2025, 1, 2, 3, 4, 5)
    assert gallery.images()[0].person is None


def test_people_are_not_read_where_that_is_not_wanted(
    people: Path, model: Model, tmp_path: Path
) -> None:
    gallery = Gallery(tmp_path / "gallery", model)
    gallery.add(people, anonymous=True)
    assert gallery.people() == {}
    assert gallery.info().cameras == (1, 2)


def test_readers_go_on_while_one_writes(people: Path, model: Model, tmp_path: Path) -> None:
    path = tmp_path / "gallery"
    files = _files(people)
    Gallery(path, model).add(files[:8])
    wrong: list[object] = []
    stop = threading.Event()

    def read() -> None:
        gallery = Gallery(path, model)
        last = 0
        while not stop.is_set():
            try:
                found = gallery.search(read_image(files[0]), 99)
                if found[0].image != str(files[0]) or len(found) < last:
                    wrong.append((len(found), found[0]))
                last = len(found)
            except Exception as error:
                wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    writer = Gallery(path, model)
    for file in files[8:40]:
        writer.add(file)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(writer) == 40


def test_readers_survive_an_erasure(people: Path, model: Model, tmp_path: Path) -> None:
    files = _files(people)
    writer, reader = (Gallery(tmp_path / "gallery", model) for _ in range(2))
    writer.add(people)
    assert len(reader.search(files[0], 99)) == 63
    writer.remove(people=["0002", "0003"])
    assert len(reader.search(files[0], 99)) == 47


def test_a_read_is_tried_again_while_others_erase(
    people: Path, model: Model, tmp_path: Path
) -> None:
    gallery = Gallery(tmp_path / "gallery", model)
    gallery.add(_files(people)[:8])
    table, failures = gallery._table, [OSError("gone")] * RETRIES

    def read(rows: Any) -> int:
        table._tables.clear()  # as another thread does whose read failed
        if failures:
            raise failures.pop()
        return int(rows.count_rows())

    assert table._try(read) == 8
    assert failures == []
    failures += [OSError("gone")] * (RETRIES + 1)
    with pytest.raises(InputError, match="cannot be used"):
        table._try(read)


def test_second_writer_is_turned_away(copy: Path, people: Path, model: Model) -> None:
    gallery, other = Gallery(copy, model), Gallery(copy, model)

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(InputError, match="another program is writing"):
            other.remove(people=["0001"])

    gallery.add(_files(people)[0], progress=meanwhile)
    assert other.remove(people=["0001"]) == 8


KILLED = """
import sys
from siamese.gallery import Gallery, ingest
ingest.COMMIT_IMAGES = 8
def tell(done, total): print(done, flush=True)
Gallery(sys.argv[1], sys.argv[2]).add(sys.argv[3], progress=tell)
"""


def test_killed_writer_loses_at_most_the_batch_in_flight(
    people: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gallery"
    for stop in (20, 45):
        command = [sys.executable, "-c", KILLED, str(path), str(model.path), str(people)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen = 0
            while seen < stop:
                seen = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        gallery = Gallery(path, model)
        assert len(gallery) % 8 == 0
        assert len(gallery) >= stop - 2 * 8
        assert gallery.verify() == []
        first = _files(people)[0]
        assert gallery.search(read_image(first), 1)[0].image == str(first)
    left = 64 - len(gallery)
    again = gallery.add(people)
    assert (again.added, again.unchanged) == (left, 64 - left)
    assert gallery.verify(contents=True) == []


def test_record_set_gives_the_rows_of_its_folder(
    pedestrians: Path, records: Path, model: Model, tmp_path: Path
) -> None:
    by_folder = Gallery(tmp_path / "a", model)
    by_folder.add(pedestrians)
    by_records = Gallery(tmp_path / "b", model)
    added = by_records.add(records)
    assert added.added == len(by_folder)
    assert by_records.add(records).unchanged == added.added

    def rows(gallery: Gallery) -> list[tuple[object, ...]]:
        embeddings, rows = gallery.read_rows()
        return sorted(
            (row["person"], row["camera"], row["tracklet"], tuple(embedding.round(4).tolist()))
            for row, embedding in zip(rows.to_pylist(), embeddings, strict=True)
        )

    for one, other in zip(rows(by_folder), rows(by_records), strict=True):
        assert one[:3] == other[:3]
        assert one[3] == pytest.approx(other[3], abs=0.02)
    assert by_records.verify(contents=True) == []
    other_model = write_colour_model(tmp_path / "other.onnx", "another", seed=3)
    assert Gallery(tmp_path / "b", other_model).reembed() == added.added
    from siamese.gallery import open_image

    path = by_records.images()[7].path
    assert ".tfrecord#" in path
    assert open_image(path).shape == (64, 32, 3)


def test_compressed_records_are_there_as_long_as_their_shards_are(
    people: Path, model: Model, tmp_path: Path
) -> None:
    from siamese.gallery import open_image
    from siamese.records import build_records

    folder, _, _ = build_records(people, tmp_path / "set", compress=True)
    gallery = Gallery(tmp_path / "gallery", model)
    gallery.add(folder)
    path = gallery.images()[7].path
    assert ".tfrecord.gz#" in path
    assert gallery.verify(contents=True) == []
    assert gallery.remove(missing=True) == 0
    assert open_image(path).shape == (64, 32, 3)
    other = write_colour_model(tmp_path / "other.onnx", "another", seed=3)
    assert Gallery(tmp_path / "gallery", other).reembed() == 64


def test_images_beside_the_folders_of_people_are_added_as_of_unknown_people(
    people: Path, model: Model, tmp_path: Path
) -> None:
    one, two, three, four = _files(people)[:4]
    for source, name in ((one, "a.jpg"), (two, "anna/b.jpg"), (three, "anna/walk/c.jpg")):
        (tmp_path / "crops" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / "crops" / name)
    gallery = Gallery(tmp_path / "gallery", model)
    assert gallery.add(tmp_path / "crops").added == 3
    images = {Path(image.path).name: image.person for image in gallery.images()}
    assert images == {"a.jpg": None, "b.jpg": "anna", "c.jpg": None}
    # Boxes that show nobody stay out, as in a dataset.
    for person, source in (("0001", one), ("00-1", four)):
        (tmp_path / "boxes" / person).mkdir(parents=True)
        shutil.copy(source, tmp_path / "boxes" / person / f"{person}C1T0001F001.jpg")
    assert Gallery(tmp_path / "other", model).add(tmp_path / "boxes").added == 1


def test_bad_input_is_a_sentence(whole: Path, people: Path, model: Model, tmp_path: Path) -> None:
    file = _files(people)[0]
    gallery = Gallery(whole, model)
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    (tmp_path / "empty").mkdir()
    for call, words in (
        (lambda: Gallery(tmp_path / "none", model).search(file), "no such gallery"),
        (lambda: Gallery(tmp_path / "none", model).info(), "no such gallery"),
        (lambda: Gallery(tmp_path / "none", model).remove(people=["a"]), "no such gallery"),
        (lambda: Gallery(tmp_path / "other", model).search(file), "is not a gallery"),
        (lambda: Gallery(tmp_path / "other", model).add(file), "neither a gallery nor empty"),
        (lambda: Gallery(file, model).add(file), "is a file"),
        (lambda: gallery.add(tmp_path / "none"), "no such folder"),
        (lambda: gallery.add(tmp_path / "empty"), "no image"),
        (lambda: gallery.add([]), "holds no image"),
        (lambda: gallery.add(people, pattern="(["), "regular expression"),
        (lambda: gallery.search(tmp_path / "none.jpg"), "no such file"),
        (lambda: gallery.search(tmp_path / "text.jpg"), "is not an image"),
        (lambda: gallery.search(tmp_path), "is a folder"),
        (lambda: gallery.search(file, 0), "must be at least 1"),
        (lambda: gallery.search(file, since="2026-02-01", until="2026-01-01"), "must not be after"),
        (lambda: gallery.search(file, approximate=True), "has no approximate index"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "none").exists()
    assert len(Gallery(tmp_path / "none", model)) == 0


def test_empty_gallery_is_named_and_can_be_filled_again(
    copy: Path, people: Path, model: Model
) -> None:
    file = _files(people)[0]
    gallery = Gallery(copy, model)
    gallery.remove(people=list(gallery.people()))
    assert gallery.info().images == 0
    assert gallery.people() == {}
    assert gallery.verify() == []
    with pytest.raises(InputError, match="the gallery is empty"):
        gallery.search(file)
    other = write_colour_model(copy.parent / "other.onnx", "another", seed=3)
    with pytest.raises(InputError, match="reembed"):
        Gallery(copy, other).add(file)
    assert Gallery(copy, other).reembed() == 0
    assert Gallery(copy, other).add(file).added == 1
    assert Gallery(copy, other).search(read_image(file))[0].image == str(file)


def test_gallery_is_a_public_name_and_opens_without_the_heavy_libraries() -> None:
    assert siamese.Gallery is Gallery
    code = (
        "import sys, siamese; siamese.Gallery('none')\n"
        "heavy = {'tensorflow', 'keras', 'lancedb', 'pyarrow', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_erasure_that_was_killed_before_the_files_went_is_finished(
    people: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gallery"
    Gallery(path, model).add(people)

    def files_with_person() -> list[Path]:
        files = [file for file in path.rglob("*") if file.is_file()]
        return [file for file in files if b"/0002/" in file.read_bytes()]

    with monkeypatch.context() as patched:
        patched.setattr(Table, "clean", lambda *_, **__: None)
        Gallery(path, model).remove(people=["0002"])
    assert files_with_person()
    with pytest.raises(InputError, match="nobody is named '0002'"):
        Gallery(path, model).remove(people=["0002"])
    assert not files_with_person()
