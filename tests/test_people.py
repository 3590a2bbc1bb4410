"""Folders that are not people: what is found, which reading is named, and what it then gives."""

import re
import shlex
from pathlib import Path

import miniatures
import pytest

from siamese.cli import main
from siamese.datasets import PeopleUnclearError, list_samples, list_sources, recognise
from siamese.errors import InputError
from siamese.gallery.sources import list_covered, list_gallery_images
from siamese.inspect import inspect_folder
from siamese.records import build_records, read_manifest

MARKET = [
    f"{person:04d}_c{camera}s1_000{person}51_00.jpg" for person in (2, 7, 9) for camera in (1, 4)
]
CAMERA = r"[^/]*?(?P<camera>\d+|(?<![A-Za-z])[A-Za-z]+)/"
VIPER = [f"p{person:03d}_{angle}.bmp" for person in range(12) for angle in (0, 90)]
PRID = [f"person_{person:04d}.png" for person in range(300, 312)]


def draw(root: Path, *names: str) -> Path:
    """Empty files: nothing here looks into an image."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def proposals(root: Path) -> list[str]:
    """The values of --pattern in the message, in order."""
    with pytest.raises(PeopleUnclearError) as caught:
        recognise(root)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{root}: ")
    words = shlex.split(text.replace("(", " ( ") if "'" not in text else text)
    return [words[n + 1].rstrip(",") for n, word in enumerate(words[:-1]) if word == "--pattern"]


@pytest.mark.parametrize(
    ("names", "first", "people", "cameras"),
    [
        # Cameras with names of a known form: the names say who.
        ([f"cam{name[6]}/{name}" for name in MARKET], "names", 3, 2),
        # One folder around all images.
        ([f"crops/{name}" for name in MARKET], "names", 3, 2),
        # A folder a tracklet: a person has several.
        ([f"{name[:7]}/{name}" for name in MARKET], "names", 3, 2),
        # Train and test without queries.
        ([f"{'train' if name < '0007' else 'test'}/{name}" for name in MARKET], "names", 3, 2),
        (
            [f"cam_{camera}/{name}" for camera, names in (("a", VIPER[::2]), ("b", VIPER[1::2]))
             for name in names],
            rf"^{CAMERA}(?P<person>[^_./-]+)[_.-]", 12, 2,
        ),
        (
            [f"Camera {camera}/{name}" for camera in (1, 2, 3) for name in PRID],
            rf"^{CAMERA}[^/\d]*(?P<person>\d+)[^/]*$", 12, 3,
        ),
        # Sides and hours have no number that tells them apart.
        (
            [f"{side}/{name}" for side, names in (("left", VIPER[::2]), ("right", VIPER[1::2]))
             for name in names],
            rf"^{CAMERA}(?P<person>[^_./-]+)[_.-]", 12, 2,
        ),
        (
            [f"2024-01-31T{hour}-00/{name}" for hour in (10, 11) for name in PRID],
            r"^[^/]+/[^/\d]*(?P<person>\d+)[^/]*$", 12, 0,
        ),
        # Days, sequences and parts are no cameras.
        (
            [f"{day}/{name}" for day, names in (("2024-01-31", VIPER[::2]), ("2024-02-01", VIPER))
             for name in names],
            "^[^/]+/(?P<person>[^_./-]+)[_.-]", 12, 0,
        ),
        (
            [f"{'train' if name < 'p006' else 'test'}/{name}" for name in VIPER],
            "^[^/]+/(?P<person>[^_./-]+)[_.-]", 12, 0,
        ),
        # Folders of people in train and val.
        (
            [f"{part}/{name}/1.jpg" for part in ("train", "val") for name in ("anna", "bert")],
            "(?P<person>[^/]+)/[^/]+$", 2, 0,
        ),
        # People in folders of days.
        (
            [f"2024-01-{day:02d}/{name}/1.jpg" for day in (1, 2, 3) for name in ("anna", "bert")],
            "(?P<person>[^/]+)/[^/]+$", 2, 0,
        ),
    ],
)  # fmt: skip
def test_folders_that_are_no_people_stop_with_the_reading_that_fits(
    tmp_path, names, first, people, cameras
):
    root = draw(tmp_path / "crops", *names)
    assert proposals(root)[0] == first
    samples = list_samples(root, "all", first)
    assert len(samples) == len(names)
    assert len({s.person for s in samples}) == people
    assert len({s.camera for s in samples} - {-1}) == cameras


def test_places_whose_names_nobody_knows_are_told_by_the_people_in_them(tmp_path):
    draw(tmp_path, *(f"lobby/p{n:02d}_1.jpg" for n in range(20)))
    draw(tmp_path, *(f"hall/p{n:02d}_{n}.jpg" for n in range(20)))
    assert proposals(tmp_path)[0] == rf"^{CAMERA}(?P<person>[^_./-]+)[_.-]"


@pytest.mark.parametrize("folder", ["crops/person", "2024-01-31", "2024-02-01"])
def test_names_that_tell_cameras_are_not_proposed_as_people(tmp_path, folder):
    draw(tmp_path, *(f"{folder}/cam{n % 3}_{n:03d}.jpg" for n in range(40)))
    draw(tmp_path, *(f"2024-02-02/cam{n % 3}_{n:03d}.jpg" for n in range(40)))
    root = tmp_path / "crops" if folder.startswith("crops") else tmp_path
    assert proposals(root)[0] == "unlabelled"


def test_numbers_of_images_in_parts_are_not_proposed_as_people(tmp_path):
    draw(tmp_path, *(f"{part}/{n:03d}.jpg" for part in ("train", "test") for n in range(40)))
    assert proposals(tmp_path) == ["unlabelled", "folders"]


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "test"), ("image_train", "image_test"), ("probe", "gallery_old"),
        ("test1", "val"),
        ("20240131", "20240201"), ("31.01.2024", "01.02.2024"), ("cam_a", "cam_b"),
        ("cam1", "cam2", "cam3", "cam4", "cam5", "cam6"), ("seq_01", "seq_02"), ("c1", "c2"),
        ("office_cam2_2023-05-06", "office_cam3_2023-05-06"), ("Monday", "Tuesday"),
        ("north", "south"), ("left", "right"), ("entrance", "exit"), ("indoor", "outdoor"),
        ("RGB", "IR"), ("192.168.1.4", "192.168.1.5"), ("10h", "11h"), ("9am", "10am"),
        ("1706695210", "1706695220"), ("anchor", "positive", "negative"), ("person",),
        ("labeled", "detected"), ("day", "night"), ("2026-11", "2026-12"), ("week 1", "week 2"),
        ("20_Nov", "21_Nov_2026"), ("Nov-20", "Nov-21"), ("fold1", "fold2"), ("batch_1", "batch_2"),
        ("gate1", "gate2"), ("floor-1", "floor-2"), ("store_12", "store_13"), ("gopro1", "gopro2"),
    ],
)  # fmt: skip
def test_each_command_that_needs_people_stops(tmp_path, folders):
    root = draw(tmp_path, *(f"{each}/{n:03d}.jpg" for each in folders for n in range(40)))
    for use in (list_samples, build_records, inspect_folder, list_gallery_images):
        with pytest.raises(
            PeopleUnclearError, match=r"--pattern folders .*--pattern unlabelled|own"
        ):
            use(root)
    assert {s.person for s in list_samples(root, "all", "folders")} == set(folders)
    assert {s.person for s in list_samples(root, pattern="unlabelled", unlabelled=True)} == {""}
    assert {image.person for image in list_gallery_images(root, pattern="folders")} == set(folders)


@pytest.mark.parametrize(
    "names",
    [
        [f"{person}/{n}.jpg" for person in ("anna", "bert", "Camille", "Val") for n in range(30)],
        [f"{person}/frame_{n}.jpg" for person in ("A", "B") for n in range(9)],
        [f"{person:04d}/{n:03d}.jpg" for person in range(1, 30) for n in range(40)],
        ["query/1.jpg", "query/2.jpg", "anna/1.jpg", "bert/1.jpg"],
        ["Val/1.jpg", "anna/1.jpg"],
        [f"{person}/1.jpg" for person in ("West", "anna", "bert")],
        [f"id{name[:4]}/{name}" for name in MARKET],
        [f"{person}/cam{n % 4}_{person}{n}.jpg" for person in ("anna", "bert") for n in range(30)],
        [f"{person}/1.jpg" for person in ("May", "June", "Dawn", "anna", "bert")],
        [f"{year}/{n}.jpg" for year in (1501, 1502, 2024) for n in range(5)],
    ],
)
def test_folders_of_people_are_people(tmp_path, names):
    root = draw(tmp_path, *names)
    assert recognise(root).name == "folders"
    assert {s.person for s in list_samples(root)} == {name.split("/")[0] for name in names}


@pytest.mark.parametrize(
    ("form", "cameras"),
    [("{person}/cam{number}/1.jpg", [1, 12]), ("cam_{letter}/{person}/1.jpg", [1, 2]),
     ("{person}/Camera-{letter}/1.jpg", [1, 2]), ("{person}/{side}/1.jpg", [1, 2]),
     ("data/all/{person}/c{number}/1.jpg", [1, 12])],
)  # fmt: skip
def test_people_and_cameras_in_folders_are_read(tmp_path, form, cameras):
    people = ("anna", "bert", "carl")
    for person in people:
        for number, letter in ((1, "a"), (12, "b")):
            side = {"a": "left", "b": "right"}[letter]
            draw(tmp_path, form.format(person=person, number=number, letter=letter, side=side))
    layout = recognise(tmp_path)
    assert "camera" in layout.notes[0]
    samples = list_samples(tmp_path)
    assert sorted({(s.person, s.camera) for s in samples}) == [
        (person, camera) for person in people for camera in cameras
    ]


def test_a_few_folders_in_folders_do_not_hide_the_people_around(tmp_path):
    for person in ("anna", "bert", "carl", "dora"):
        draw(tmp_path, *(f"{person}/{n}.jpg" for n in range(5)), f"{person}/cam1/1.jpg")
    assert recognise(tmp_path).name == "folders"
    [source] = list_sources([tmp_path])
    assert source.coverage.describe() == (
        "24 found, 20 used; left out: 4 deeper than the folders of people (anna/cam1/1.jpg)"
    )


def test_records_of_such_folders_stay_in_use(tmp_path):
    root = tmp_path / "crops"
    for camera in ("cam1", "cam2", "cam3", "cam4"):
        for n in range(3):
            miniatures.draw_image(root / camera / f"{n}.jpg")
    folder, _, new = build_records(root, pattern="folders")
    assert new
    path = folder / "manifest.json"  # as 0.1.0 wrote it
    path.write_text(path.read_text().replace('"pattern": "folders"', '"pattern": null'))
    assert not build_records(root)[2]


def test_cameras_that_are_letters_keep_their_names_in_the_manifest(tmp_path, capsys):
    root = tmp_path / "crops"
    for person in ("anna", "bert", "carl", "dora"):
        for camera in ("gate", "hall"):
            miniatures.draw_image(root / f"{person}-{camera}.jpg")
    pattern = r"(?P<person>\w+)-(?P<camera>\w+)"
    command = ["records", "make", "--dataset_dir", str(root), "--pattern", pattern]
    assert main(command) == 0
    assert "cameras      1 gate, 2 hall" in capsys.readouterr().out
    manifest = read_manifest(root / "records")
    assert manifest.camera_names == {"gate": 1, "hall": 2}
    table = tmp_path / "people.csv"
    rows = [
        f"{path.stem[:4]},crops/{path.name},{path.stem[5:]}" for path in sorted(root.glob("*.jpg"))
    ]
    table.write_text("identity,path,camera\n" + "\n".join(rows))
    assert [s.camera for s in list_samples(table)] == [1, 2] * 4
    assert read_manifest(build_records(table, tmp_path / "set")[0]).camera_names == {
        "gate": 1,
        "hall": 2,
    }


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "query", "gallery"), ("image_train", "image_query", "image_test"),
        ("train_all", "query", "gallery"), ("Train", "Probe", "Gallery"),
        ("bounding_box_train", "query", "bounding_box_test"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("nested", [False, True])
def test_parts_of_any_name_are_read(tmp_path, folders, nested):
    root = miniatures.market1501(tmp_path / "plain")
    expected = {part: len(list_samples(root, part)) for part in ("train", "query", "gallery")}
    for old, new in zip(("bounding_box_train", "query", "bounding_box_test"), folders, strict=True):
        (root / old).rename(root / new)
        for path in sorted((root / new).glob("*.jpg")) if nested else ():
            (root / new / path.name.split("_")[0]).mkdir(exist_ok=True)
            path.rename(root / new / path.name.split("_")[0] / path.name)
    layout = recognise(root)
    assert layout.name == "market1501"
    assert {part: len(list_samples(root, part)) for part in layout.parts} == expected
    assert {s.person for s in list_samples(root, "gallery")} == {"0000", "0001", "0003"}


@pytest.mark.parametrize(
    ("name", "person", "camera"),
    [("094_1_c9_015844.png", "094", 9), ("person01_cam2_3.jpg", "01", 2), ("12_1_0.jpg", "12", -1)],
)
def test_parts_with_names_of_another_form_are_told_an_expression(tmp_path, name, person, camera):
    draw(tmp_path, *(f"{part}/{name}" for part in ("train", "query", "gallery")))
    with pytest.raises(InputError, match="--pattern") as caught:
        recognise(tmp_path)
    [sample] = list_samples(tmp_path, "query", str(caught.value).split("'")[1])
    assert (sample.person, sample.camera) == (person, camera)


def test_parts_of_folders_of_people_are_read(tmp_path):
    for part, people in (("train", "ab"), ("query", "cd"), ("gallery", "cde")):
        draw(tmp_path, *(f"{part}/{person}/{n}.jpg" for person in people for n in (1, 2)))
    assert {
        part: sorted({s.person for s in list_samples(tmp_path, part)})
        for part in ("train", "query", "gallery")
    } == {"train": ["a", "b"], "query": ["c", "d"], "gallery": ["c", "d", "e"]}


def test_mars_without_its_tables_can_be_trained_on(tmp_path):
    root = miniatures.mars(tmp_path)
    for path in (root / "info").iterdir():
        path.unlink()
    layout = recognise(root)
    assert layout.name == "mars-names"
    assert "copy the folder `info`" in layout.notes[0]
    assert {s.person for s in list_samples(root)} == {"0001"}


def test_lists_of_msmt17_without_their_suffix_are_read(tmp_path):
    root = miniatures.msmt17(tmp_path)
    expected = list_samples(root, "all")
    for path in root.glob("list_*.txt"):
        lines = path.read_text().replace(".jpg", "")
        path.unlink()
        path.with_suffix("").write_text(lines)
    assert list_samples(root, "all") == expected
    for path in root.glob("list_*"):
        path.unlink()
    assert proposals(root)[0] == re.escape("(?P<person>[^/]+)/[^/]+$").replace("\\", "")


def test_folders_within_folders_of_an_archive_are_looked_into(tmp_path):
    inner = miniatures.mars_categories(tmp_path / "crops" / "crops" / "crops")
    assert list_samples(tmp_path) == list_samples(inner)


def test_every_image_that_is_left_out_is_counted_by_its_reason(tmp_path, capsys):
    root = tmp_path / "crops"
    for person in range(1, 7):
        for n in (1, 2, 3):
            inner = "" if person < 5 else "more/"
            miniatures.draw_image(root / f"{person:04d}" / f"{inner}{n}.jpg")
    miniatures.draw_image(root / "cover.jpg")
    (root / "0001" / "dead.jpg").symlink_to(tmp_path / "nowhere.jpg")
    counts = (
        "20 found, 12 used; left out: 6 deeper than the folders of people (0005/more/1.jpg), "
        "1 beside the folders of people (cover.jpg), 1 links to nothing (0001/dead.jpg)"
    )
    assert main(["records", "make", "--dataset_dir", str(root)]) == 0
    assert f"images       {counts}\n" in capsys.readouterr().out
    assert read_manifest(root / "records").coverage.describe() == counts
    report = inspect_folder(root)
    assert f"images: {counts}\n" in report.text() + "\n"
    assert report.to_dict()["coverage"]["left_out"][0]["images"] == 6


def test_a_gallery_takes_what_lies_beside_and_says_what_it_leaves(tmp_path):
    root = draw(tmp_path, "anna/1.jpg", "bert/more/1.jpg", "carl/1.jpg", "dora/1.jpg", "cover.jpg")
    assert list_covered(root)[1].describe() == "5 found, 5 used"
    draw(tmp_path / "market", *(f"bounding_box_train/{name}" for name in MARKET), "query/x.jpg")
    counts = list_covered(tmp_path / "market")[1]
    assert (counts.found, counts.used) == (7, 6)
    assert list_covered(root / "cover.jpg")[1] is None


def test_parts_and_folders_beside_them_are_counted(tmp_path):
    root = miniatures.market1501(tmp_path)
    assert inspect_folder(root).coverage.describe() == (
        "12 found, 10 used; left out: 1 junk (-1) (bounding_box_test/-1_c1s1_000401_03.jpg), "
        "1 in folders that are no part of the dataset (gt_bbox/0001_c1s1_001051_00.jpg)"
    )
    [source] = list_sources([root])
    assert [(each.images, each.reason) for each in source.coverage.left_out] == [
        (1, "junk (-1)"),
        (6, "in other parts of the dataset"),
        (1, "in folders that are no part of the dataset"),
    ]
    assert source.coverage.found == 12


def test_names_with_the_folders_of_windows_are_told(tmp_path):
    root = draw(tmp_path, *(rf"crops\p{person}\{k}.jpg" for person in range(3) for k in range(2)))
    [finding] = [each for each in inspect_folder(root).findings if "Windows" in each.what]
    assert finding.what.startswith("6 names hold")
    assert "unzip" in finding.fix
