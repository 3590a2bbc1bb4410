"""One definition of an image for every command; all damaged images named at once."""

import json
from pathlib import Path

import miniatures
import pytest
from PIL import Image

from siamese.app.uploads import keep_files
from siamese.cli import main
from siamese.datasets import list_samples
from siamese.datasets.samples import image_names, walk_images
from siamese.embeddings import list_all
from siamese.errors import InputError
from siamese.gallery.sources import list_gallery_images
from siamese.images import KINDS, begins_like_image, find_damaged, naming_all_damaged, read_image
from siamese.inspect import inspect_folder
from siamese.records import build_records, read_manifest

NAMES = (
    "a.jpg", "b.JFIF", "c.jpe", "d.tif", "e.TIFF", "f.gif", "g.bmp", "h.webp", "i.png", "j.ppm",
    "jpeg_without_suffix", "k.crop", "l.JPG", "m.jp2",
)  # fmt: skip
FORMATS = {"b": "JPEG", "c": "JPEG", "j": "JPEG", "k": "PNG"}
OTHERS = {
    "notes.txt": b"BM is no picture", "Thumbs.db": b"x", "readme": b"BMW and others",
    "x.svg": b"<svg/>",    "labels.csv": b"a,b", ".hidden.jpg": b"\xff\xd8\xff", "empty": b"",
    "x.eps": b"%!PS-Adobe-3.0 EPSF",
}  # fmt: skip


def draw(folder: Path) -> Path:
    """Images of all kinds, and files that are none."""
    folder.mkdir(parents=True)
    for name in NAMES:
        source = miniatures.draw_image(folder.with_name(f"{folder.name}{name[0]}.png"))
        with Image.open(source) as image:
            image.save(folder / name, FORMATS.get(name[0]) if name != "j.ppm" else None)
        source.unlink()
    for name, data in OTHERS.items():
        (folder / name).write_bytes(data)
    return folder


def test_every_stage_sees_the_same_images(tmp_path):
    root = tmp_path / "crops"
    folder = draw(root / "anna")
    draw(root / "bert")
    draw(root / "carl")
    expected = sorted(NAMES)
    assert image_names(folder) == walk_images(folder) == expected
    for name in NAMES:
        assert read_image(folder / name).shape == (128, 64, 3)
        assert begins_like_image((folder / name).read_bytes()[:16])
    everyone = [f"{person}/{name}" for person in ("anna", "bert", "carl") for name in expected]
    for listed in (list_samples(root), list_all(root), list_gallery_images(root)):
        assert [Path(each.path).relative_to(root).as_posix() for each in listed] == everyone
    sent = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    kept = keep_files(sent, tmp_path / "home")
    assert kept.images == len(everyone)
    assert walk_images(kept.folder) == everyone
    records = build_records(root, tmp_path / "records", split="image")[0]
    assert sum(part.images for part in read_manifest(records).parts.values()) == len(everyone)
    assert inspect_folder(root).parts["train"].images == len(everyone)


def test_kinds_that_phones_make_are_named(tmp_path):
    for brand, kind in ((b"heic", "HEIC"), (b"avif", "AVIF")):
        path = tmp_path / f"photo.{kind.lower()}"
        path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0" * 40)
        with pytest.raises(
            InputError, match=f"is not an image of a kind that is read, but {kind}.*save it as"
        ):
            read_image(path)
    assert "EPS" not in KINDS


def test_kinds_that_are_not_read_are_counted_and_named(tmp_path, capsys):
    root = miniatures.mars_categories(tmp_path / "crops", people=4)
    photo = b"\0\0\0\x18ftypheic" + b"\0" * 40
    for name in ("0001/a.heic", "0002/b.HEIC", "0003/no_suffix", "0003/c.avif", "0004/film.mp4"):
        (root / "categories" / name).write_bytes(
            photo.replace(b"heic", b"isom" if "film" in name else b"heic")
        )
    images = len(walk_images(root))
    counts = f"{images + 4} found, {images} used; left out: 4 of kinds that are not read"
    for command in (
        ["inspect", str(root)],
        ["embed", str(root), "--output", str(tmp_path / "e.npz")],
        ["identities", str(root), "--output", str(tmp_path / "who.csv")],
        ["records", "make", "--dataset_dir", str(root), "--output_dir", str(tmp_path / "set")],
        ["gallery", "add", str(root), "--gallery", str(tmp_path / "gallery")],
    ):
        assert main(command) == 0, command
        assert counts in capsys.readouterr().out, command
    alone = tmp_path / "phone"
    alone.mkdir()
    (alone / "a.heic").write_bytes(photo)
    for use in (list_samples, list_all, list_gallery_images):
        with pytest.raises(InputError, match=r"1 others, such as a\.heic\. Save them as JPEG"):
            use(alone)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Six people by two cameras; nine of their images are damaged."""
    root = miniatures.mars_categories(tmp_path / "crops", people=6)
    paths = sorted(root.rglob("*.jpg"))
    for path in paths[::5][:9]:
        path.write_bytes(path.read_bytes()[:300])
    return root


def test_all_damaged_images_are_named_at_once(damaged, tmp_path, capsys):
    paths = sorted(str(path) for path in damaged.rglob("*.jpg"))
    bad = paths[::5][:9]
    assert list(find_damaged(paths)) == bad
    commands = (
        ["embed", str(damaged), "--output", str(tmp_path / "e.npz")],
        ["evaluate", "--data", str(damaged), "--output", str(tmp_path / "scores")],
        ["identities", str(damaged), "--output", str(tmp_path / "who.csv")],
        ["calibrate", str(damaged), "--output", str(tmp_path / "profile.json")],
        ["records", "make", "--dataset_dir", str(damaged), "--output_dir", str(tmp_path / "set")],
    )
    for command in commands:
        assert main(command) == 2, command
        text = capsys.readouterr().err
        assert "9 images cannot be used" in text, command
        assert all(path in text for path in bad), command
        assert text.strip().endswith("Or leave them out: --on_corrupt skip."), command
    for command in commands:
        assert main([*command, "--on_corrupt", "skip"]) == 0, command
        assert "48 found, 39 used; left out: 9 damaged" in capsys.readouterr().out, command
    report = inspect_folder(damaged)
    assert len(report.findings[0].where) == 9
    assert report.coverage.describe().startswith("48 found, 39 used; left out: 9 damaged")


def test_damaged_images_are_counted_in_json(damaged, tmp_path, capsys):
    for command, count in (
        ("evaluate", "notes"),
        ("identities", "coverage"),
        ("calibrate", "found"),
    ):
        output = [] if command == "evaluate" else ["--output", str(tmp_path / command)]
        given = ["--data"] if command == "evaluate" else []
        assert main([command, *given, str(damaged), *output, "--json", "--on_corrupt", "skip"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert "48 found, 39 used" in str(found[count]) or found[count] == 48 or (
            found[count]["found"], found[count]["used"], found[count]["left_out"][0]["images"]
        ) == (48, 39, 9)  # fmt: skip


def test_errors_about_other_things_read_no_image(tmp_path):
    image = miniatures.draw_image(tmp_path / "a.jpg")
    with (
        pytest.raises(InputError, match=r"^the model is another$"),
        naming_all_damaged([str(image)]),
    ):
        raise InputError("the model is another")
    image.write_bytes(b"")
    with (
        pytest.raises(InputError, match=r"is empty .* Or leave it out: --on_corrupt skip\.$"),
        naming_all_damaged([str(image)]),
    ):
        read_image(image)
