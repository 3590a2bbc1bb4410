"""`siamese.app.uploads`: what a stranger sends can neither fill the disk nor leave its folder."""

import contextlib
import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese.app import uploads
from siamese.app.uploads import dataset_root, inside, keep_archive, keep_files, read_upload
from siamese.errors import InputError
from siamese.gallery.sources import list_gallery_images
from siamese.synthetic import draw_pedestrian


def person_bytes(person: int = 1, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_pedestrian(person, 1, 1, 1, image_size=(64, 32))).save(file, kind)
    return file.getvalue()


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def empty_png(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that says it has `width x height` pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_the_four_kinds_are_read_whatever_they_are_called(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(person_bytes(kind=kind))
    assert read_upload(path).shape == (64, 32, 3)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"MZ\x90\0",
        b"GIF89a\x01\0\x01\0\0\0\0;",
    ],
    ids=["empty", "svg", "eps", "program", "gif"],
)
def test_what_is_called_an_image_but_is_none_is_refused(
    tmp_path: Path, name: str, data: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"photo\.\w+: is not an image of a kind"):
        read_upload(path)


@pytest.mark.parametrize("side", [8_000, 40_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(empty_png(side, side))
    with pytest.raises(InputError, match="pixels"):
        read_upload(path)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(uploads.MAXIMUM_BYTES + 1)
    with pytest.raises(InputError, match=r"at most 20 MB\. Received: 20 MB"):
        read_upload(path)
    with pytest.raises(InputError, match="has gone"):
        read_upload(tmp_path / "none.jpg")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(person_bytes()[:-200])
    with pytest.raises(InputError, match=r"^half\.jpg: is a damaged image"):
        read_upload(path)


def test_an_archive_gives_its_images_and_says_what_it_left_out(tmp_path: Path) -> None:
    archive = pack(
        tmp_path / "people.zip",
        {
            "crops/anna/1.jpg": person_bytes(1),
            "crops/bert/1.png": person_bytes(2, "PNG"),
            "crops/notes.txt": b"no image",
            "crops/bomb.png": empty_png(40_000, 40_000),
            "__MACOSX/crops/anna/._1.jpg": b"\0",
            "crops/.DS_Store": b"\0",
        },
    )
    kept = keep_archive(archive, tmp_path / "home")
    assert kept.images == 2
    assert [each.split(":")[0] for each in kept.left_out] == ["notes.txt", "bomb.png"]
    found = {str(path.relative_to(kept.folder)) for path in kept.folder.rglob("*.*g")}
    assert found == {"crops/anna/1.jpg", "crops/bert/1.png"}
    assert (kept.folder / "crops/anna/1.jpg").read_bytes() == person_bytes(1)
    assert keep_archive(archive, tmp_path / "home").folder == kept.folder
    assert [each.name for each in (tmp_path / "home").iterdir()] == [kept.folder.name]


def test_an_archive_of_windows_keeps_its_people(tmp_path: Path) -> None:
    names = ["people\\", "people\\anna\\", "people\\Thumbs.db"]
    people = ("anna", "bert")
    names += [f"people\\{person}\\{n}.jpg" for person in people for n in (1, 2)]
    archive = tmp_path / "people.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number, name in enumerate(names):
            entry = zipfile.ZipInfo("x")
            entry.filename = name  # its constructor would put "/"
            file.writestr(entry, person_bytes(number) if name.endswith("jpg") else b"")
    kept = keep_archive(archive, tmp_path / "home")
    assert kept.images == 4
    assert kept.left_out == ()
    images = list_gallery_images(dataset_root(kept.folder))
    assert sorted(image.person for image in images) == ["anna", "anna", "bert", "bert"]


@pytest.mark.parametrize("around", ["", "people/", "people/people/"])
def test_folders_around_the_people_are_nobody(tmp_path: Path, around: str) -> None:
    files = {f"{around}{person}/{n}.jpg": person_bytes(n) for person in ("anna", "bert")
             for n in (1, 2)}  # fmt: skip
    archive = pack(tmp_path / "people.zip", {**files, f"__MACOSX/{around}anna/._1.jpg": b"\0"})
    kept = keep_archive(archive, tmp_path / "home")
    images = list_gallery_images(dataset_root(kept.folder))
    assert sorted(image.person for image in images) == ["anna", "anna", "bert", "bert"]


@pytest.mark.parametrize(
    "name",
    ["../evil.jpg", "a/../../evil.jpg", "/evil.jpg", "..\\evil.jpg", "C:\\evil.jpg", "C:evil.jpg"],
)
def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "slip.zip", {"good.jpg": person_bytes(), name: person_bytes()})
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="leads outside"):
        keep_archive(archive, tmp_path / "home" / "in")
    made = {path for path in tmp_path.rglob("*") if path not in before}
    assert not any(path.is_file() for path in made)
    with pytest.raises(InputError, match="leads outside"):
        keep_files({name: archive}, tmp_path / "home")


def test_what_was_erased_comes_back_with_its_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "people.zip", "w") as file:
        for name in ("anna/1.jpg", "anna/2.jpg", "bert/1.jpg"):
            file.writestr(name, person_bytes(kind="JPEG"))
    kept = keep_archive(tmp_path / "people.zip", tmp_path / "home")
    for name in ("anna/1.jpg", "anna/2.jpg"):
        (kept.folder / name).unlink()
    again = keep_archive(tmp_path / "people.zip", tmp_path / "home")
    assert again.folder == kept.folder
    assert len(list(again.folder.rglob("*.jpg"))) == again.images == 3
    assert [each.name for each in (tmp_path / "home").iterdir()] == [kept.folder.name]


def test_damage_anywhere_in_an_archive_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "people.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("anna/1.bmp", person_bytes(kind="BMP"))
    whole = path.read_bytes()
    for place in range(0, len(whole), 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(InputError):
            keep_archive(path, tmp_path / "home")


def test_an_archive_of_links_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "links.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("photo.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="holds a link"):
        keep_archive(path, tmp_path / "home")


def test_zip_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A member of 30 MB packed into 30 kB is larger than any image may be.
    bomb = pack(tmp_path / "bomb.zip", {"a.bmp": b"\0" * 30_000_000, "b.jpg": person_bytes()})
    assert bomb.stat().st_size < 60_000
    kept = keep_archive(bomb, tmp_path / "home")
    assert kept.images == 1
    assert "at most 20 MB" in kept.left_out[0]
    monkeypatch.setattr(uploads, "MAXIMUM_UNPACKED", 20_000_000)
    with pytest.raises(InputError, match="at a time"):
        keep_archive(bomb, tmp_path / "home")
    monkeypatch.setattr(uploads, "MAXIMUM_FILES", 1)
    with pytest.raises(InputError, match=r"at most 1 files .* Received: 2"):
        keep_archive(bomb, tmp_path / "home")


def test_an_archive_that_lies_about_its_size_is_stopped_while_it_is_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "lie.zip", {"a.bmp": b"\0" * 30_000_000})
    data = path.read_bytes()
    # The same size stands in the local header and in the central directory.
    path.write_bytes(data.replace(struct.pack("<I", 30_000_000), struct.pack("<I", 10)))
    with pytest.raises(InputError):
        keep_archive(path, tmp_path / "home")
    assert not any(path.is_file() for path in (tmp_path / "home").rglob("*"))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"Rar!\x1a\x07", b"no zip at all"])
def test_what_is_no_zip_file_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is not a zip file, or a damaged one"):
        keep_archive(path, tmp_path / "home")


def test_an_archive_without_images_or_with_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image was found"):
        keep_archive(pack(tmp_path / "a.zip", {"a.txt": b"text"}), tmp_path / "home")
    path = pack(tmp_path / "b.zip", {"a.jpg": person_bytes()})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag "encrypted", here and in the central directory
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="needs a password"):
        keep_archive(path, tmp_path / "home")


def test_files_that_come_one_by_one_keep_their_folders(tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "0").write_bytes(person_bytes(1))
    (sent / "1").write_bytes(person_bytes(2))
    files = {"crops/anna/1.jpg": sent / "0", "crops/bert/1.jpg": sent / "1"}
    calls: list[tuple[int, int]] = []
    kept = keep_files(files, tmp_path / "home", progress=lambda *each: calls.append(each))
    assert kept.images == 2
    assert calls == [(1, 2), (2, 2)]
    assert dataset_root(kept.folder) == kept.folder / "crops"
    (sent / "1").write_bytes(person_bytes(3))
    assert keep_files(files, tmp_path / "home").folder != kept.folder


def test_many_files_that_come_one_by_one_cannot_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sent").write_bytes(person_bytes())
    monkeypatch.setattr(uploads, "MAXIMUM_UNPACKED", 5 * len(person_bytes()))
    files = {f"{number}.jpg": tmp_path / "sent" for number in range(6)}
    with pytest.raises(InputError, match="at a time"):
        keep_files(files, tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []
    files.popitem()
    assert keep_files(files, tmp_path / "home").images == 5


def test_a_folder_around_the_people_is_looked_into(tmp_path: Path) -> None:
    def made(*names: str) -> Path:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")
        return folder

    one_person = made("anna/1.jpg", "anna/2.jpg")
    assert dataset_root(one_person) == one_person
    people = made("a/b/anna/1.jpg", "a/b/bert/1.jpg")
    assert dataset_root(people) == people / "a" / "b"
    named = made("crops/0002_c1s1_000451_03.jpg", "crops/0003_c1s1_000451_03.jpg")
    assert dataset_root(named) == named / "crops"
    flat = made("1.jpg")
    assert dataset_root(flat) == flat


def test_links_do_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    assert inside(tmp_path / "in" / "file", tmp_path / "in")
    assert not inside(tmp_path / "in" / "link", tmp_path / "in")
    assert not inside(tmp_path / "in" / ".." / "secret", tmp_path / "in")
    assert not inside(tmp_path / "inside", tmp_path / "in")


def test_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(person_bytes(kind="PNG"))
    drawn = draw_pedestrian(1, 1, 1, 1, image_size=(64, 32))
    np.testing.assert_array_equal(read_upload(path), drawn)
