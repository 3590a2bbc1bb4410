"""The small sets: known by all of their names, or by their folder's; stated, and read otherwise."""

import shutil
from collections.abc import Callable
from pathlib import Path

import miniatures
import pytest

from siamese import cli
from siamese.datasets import Sample, list_samples, recognise
from siamese.datasets.samples import compile_pattern
from siamese.embeddings import list_all
from siamese.errors import InputError
from siamese.gallery.sources import list_gallery_images
from siamese.inspect import inspect_folder
from siamese.records import build_records, read_manifest

SHARED = Path(__file__).parents[2] / "shared" / "data"

SETS: list[tuple[Callable[[Path], Path], str, list[tuple[str, str, int, int, int]]]] = [
    (
        lambda root: miniatures.viper(root, people=2),
        "viper",
        [
            ("000_45_1.bmp", "000", 1, -1, -1),
            ("000_90_2.bmp", "000", 2, -1, -1),
            ("001_45_1.bmp", "001", 1, -1, -1),
            ("001_90_2.bmp", "001", 2, -1, -1),
        ],
    ),
    (
        miniatures.viper_cameras,
        "viper",
        [
            ("cam_a/000_45.bmp", "000", 1, -1, -1),
            ("cam_a/001_0.bmp", "001", 1, -1, -1),
            ("cam_b/000_135.bmp", "000", 2, -1, -1),
            ("cam_b/001_90.bmp", "001", 2, -1, -1),
        ],
    ),
    (
        miniatures.prid2011,
        "prid2011",
        [
            ("single_shot/cam_a/person_0001.png", "0001", 1, -1, -1),
            ("single_shot/cam_a/person_0200.png", "0200", 1, -1, -1),
            ("single_shot/cam_a/person_0201.png", "0000", 1, -1, -1),
            ("single_shot/cam_b/person_0001.png", "0001", 2, -1, -1),
            ("single_shot/cam_b/person_0200.png", "0200", 2, -1, -1),
            ("single_shot/cam_b/person_0201.png", "0000", 2, -1, -1),
            ("single_shot/cam_b/person_0749.png", "0000", 2, -1, -1),
        ],
    ),
    (
        miniatures.grid,
        "grid",
        [
            ("underground_reid/gallery/0000_1_25201_100_50_90_200.jpeg", "0000", 1, -1, -1),
            ("underground_reid/gallery/0000_2_25202_100_50_90_200.jpeg", "0000", 2, -1, -1),
            ("underground_reid/gallery/0000_5_25205_100_50_90_200.jpeg", "0000", 5, -1, -1),
            ("underground_reid/gallery/0001_2_25023_116_134_128_330.jpeg", "0001", 2, -1, -1),
            ("underground_reid/gallery/0002_5_25098_121_38_92_217.jpeg", "0002", 5, -1, -1),
            ("underground_reid/probe/0001_1_25004_107_32_106_221.jpeg", "0001", 1, -1, -1),
            ("underground_reid/probe/0002_6_25063_112_40_99_208.jpeg", "0002", 6, -1, -1),
        ],
    ),
    (
        lambda root: miniatures.cuhk01(root, people=2),
        "cuhk01",
        [
            ("0001001.jpg", "0001", 1, -1, -1),
            ("0001002.jpg", "0001", 1, -1, -1),
            ("0001003.jpg", "0001", 2, -1, -1),
            ("0001004.jpg", "0001", 2, -1, -1),
            ("0002001.jpg", "0002", 1, -1, -1),
            ("0002002.jpg", "0002", 1, -1, -1),
            ("0002003.jpg", "0002", 2, -1, -1),
            ("0002004.jpg", "0002", 2, -1, -1),
        ],
    ),
    (
        miniatures.cuhk01_campus,
        "cuhk01",
        [
            (f"campus/000{person}00{image}.png", f"000{person}", 1 + (image > 2), -1, -1)
            for person in (1, 2)
            for image in (1, 2, 3, 4)
        ],
    ),
    (
        miniatures.ilids,
        "ilids",
        [
            (f"000{person}00{image}.jpg", f"000{person}", -1, -1, -1)
            for person, count in ((1, 4), (2, 2), (3, 6))
            for image in range(1, count + 1)
        ],
    ),
    (
        miniatures.cuhk03,
        "cuhk03",
        [
            ("0000_00.jpg", "0000", 1, -1, -1),
            ("0000_04.jpg", "0000", 1, -1, -1),
            ("0000_05.jpg", "0000", 2, -1, -1),
            ("0000_09.jpg", "0000", 2, -1, -1),
            ("0007_00.jpg", "0007", 1, -1, -1),
            ("0007_01.jpg", "0007", 1, -1, -1),
            ("0007_05.jpg", "0007", 2, -1, -1),
        ],
    ),
    (
        miniatures.cuhk03_labeled,
        "cuhk03",
        [
            ("labeled/1_001_1_01.png", "1_001", 1, -1, -1),
            ("labeled/1_001_2_06.png", "1_001", 2, -1, -1),
            ("labeled/4_001_1_05.png", "4_001", 1, -1, -1),
            ("labeled/4_001_2_10.png", "4_001", 2, -1, -1),
        ],
    ),
    (
        miniatures.three_dpes,
        "3dpes",
        [
            ("100_3_FRAME_26_RGB.jpg", "100", -1, 3, 26),
            ("100_4_FRAME_70_RGB.jpg", "100", -1, 4, 70),
            ("57_39_FRAME_55_RGB.jpg", "57", -1, 39, 55),
            ("57_42_FRAME_174_RGB.jpg", "57", -1, 42, 174),
            ("57_B_39_FRAME_103_RGB.jpg", "57", -1, 39, 103),
        ],
    ),
    (
        miniatures.caviar4reid,
        "caviar4reid",
        [
            (f"000{person}_{image:03d}.jpg", f"000{person}", 1 + (image > 10), -1, -1)
            for person, count in ((1, 10), (2, 20))
            for image in range(1, count + 1)
        ],
    ),
    (
        miniatures.sarc3d,
        "sarc3d",
        [
            ("001_Right.jpg", "001", 1, -1, -1),
            ("001_back.jpg", "001", 1, -1, -1),
            ("001_front.jpg", "001", 1, -1, -1),
            ("001_left.jpg", "001", 1, -1, -1),
            ("002_back.jpg", "002", 1, -1, -1),
            ("002_front.jpg", "002", 1, -1, -1),
            ("002_left.jpg", "002", 1, -1, -1),
            ("002_right.jpg", "002", 1, -1, -1),
        ],
    ),
    (
        miniatures.town_centre,
        "towncentre",
        [
            ("TownCentre/0_16.jpg", "0", 1, -1, 16),
            ("TownCentre/0_8.jpg", "0", 1, -1, 8),
            ("TownCentre/100_1726.jpg", "100", 1, -1, 1726),
            ("TownCentre/100_1762.jpg", "100", 1, -1, 1762),
        ],
    ),
]
CASES = pytest.mark.parametrize(
    ("draw", "name", "expected"),
    SETS,
    ids=[f"{row[1]} {number}" for number, row in enumerate(SETS)],
)


def relative(samples: list[Sample], root: Path) -> list[tuple[str, str, int, int, int]]:
    return [
        (Path(s.path).relative_to(root).as_posix(), s.person, s.camera, s.tracklet, s.frame)
        for s in samples
    ]


@CASES
def test_every_set_is_known_and_read(tmp_path, draw, name, expected):
    root = draw(tmp_path / "crops")
    layout = recognise(tmp_path / "crops")
    assert layout.name == name
    assert layout.notes[0].startswith(f"Read as {name}: ")
    assert relative(list_samples(tmp_path / "crops", "all"), tmp_path / "crops") == expected
    trained_on = [row for row in expected if row[1] != layout.distractor_person]
    assert relative(list_samples(tmp_path / "crops"), tmp_path / "crops") == trained_on
    # Asked for by its name it is the same, wherever its images lie.
    assert list_samples(layout.folder, "all", name) == list_samples(root, "all")


@CASES
def test_every_set_can_be_inspected_and_becomes_records(tmp_path, draw, name, expected):
    draw(tmp_path / "crops")
    report = inspect_folder(tmp_path / "crops")
    assert report.layout == name
    assert not [f for f in report.findings if "left out: their names" in f.what]
    nobody = recognise(tmp_path / "crops").distractor_person
    assert report.parts["train"].images == len(expected)
    assert report.parts["train"].distractors == sum(row[1] == nobody for row in expected)
    _, manifest, _ = build_records(tmp_path / "crops", tmp_path / "records", split="image")
    assert manifest.dataset == name
    images = sum(part.images for part in manifest.parts.values())
    assert images == sum(row[1] != nobody for row in expected)


def test_people_0000_of_cuhk03_are_people(tmp_path):
    assert {s.person for s in list_samples(miniatures.cuhk03(tmp_path))} == {"0000", "0007"}


def test_the_folder_decides_where_names_are_alike(tmp_path):
    # Four images of everybody are CUHK01's, unless the folder says otherwise.
    for folder in ("crops", "cuhk01", "i-LIDS_Pedestrian", "i-LIDS_Pedestrian/Persons"):
        miniatures.cuhk01(tmp_path / folder)
    assert recognise(tmp_path / "crops").name == "cuhk01"
    assert recognise(tmp_path / "i-LIDS_Pedestrian" / "Persons").name == "ilids"
    shutil.rmtree(tmp_path / "i-LIDS_Pedestrian")
    miniatures.cuhk01(tmp_path / "i-LIDS_Pedestrian" / "Persons")
    assert recognise(tmp_path / "i-LIDS_Pedestrian").name == "ilids"
    # With an image less it is i-LIDS's, unless the folder says otherwise.
    for folder in ("crops", "cuhk01"):
        (tmp_path / folder / "0001004.jpg").unlink()
    assert recognise(tmp_path / "crops").name == "ilids"
    assert recognise(tmp_path / "cuhk01").name == "cuhk01"
    assert "--pattern cuhk01" in recognise(tmp_path / "crops").notes[0]


def test_another_reading_is_asked_for_by_name_and_remembered(tmp_path):
    root = miniatures.cuhk01(tmp_path / "crops", people=4)
    samples = list_samples(root, pattern="ilids")
    assert len(samples) == 16
    assert {s.camera for s in samples} == {-1}
    records, manifest, _ = build_records(root, pattern="ilids")
    assert (manifest.dataset, manifest.pattern) == ("ilids", "ilids")
    assert recognise(root, read_manifest(records).pattern).name == "ilids"
    assert inspect_folder(root, "ilids").parts["train"].cameras == 0
    with pytest.raises(InputError, match="has no image that is named as 3dpes names them"):
        list_samples(root, pattern="3dpes")


def test_names_that_prove_nothing_are_not_taken_for_a_set(tmp_path):
    folders = {
        "counter": [f"{number:07d}.jpg" for number in range(0, 2000, 500)],
        "frame_crop": ["0_8.jpg", "0_16.jpg", "100_1726.jpg"],
        "own_numbers": ["0001_01.jpg", "0001_02.jpg", "0002_01.jpg", "0002_06.jpg"],
        "three_digits": ["0001_001.jpg", "0001_002.jpg", "0002_001.jpg"],
        "one_person": ["0001001.jpg", "0001002.jpg", "0001003.jpg", "0001004.jpg"],
        "mixed": ["000_45_1.bmp", "001_90_2.bmp", "holiday.jpg"],
    }
    for folder, names in folders.items():
        root = miniatures.flat(tmp_path / folder, *names)
        assert recognise(root).name == "unlabelled", folder
        with pytest.raises(InputError, match="no identity was found in it: its images are crops"):
            list_samples(root)


def test_one_stray_name_among_many_is_left_out_aloud(tmp_path, caplog):
    root = miniatures.viper(tmp_path, people=10)
    miniatures.draw_image(root / "holiday.jpg")
    assert len(list_samples(root)) == 20
    assert "1 of 21 images left out" in caplog.text


def test_folders_of_sets_are_not_people(tmp_path):
    for name in ("VIPeR", "3DPeS", "SARC3D"):
        draw = {"VIPeR": miniatures.viper, "3DPeS": miniatures.three_dpes}.get(name)
        (draw or miniatures.sarc3d)(tmp_path / "peta" / name)
    miniatures.flat(tmp_path / "peta" / "0_other", "1.jpg", "2.jpg")
    miniatures.cuhk03(tmp_path / "cuhk03" / "labeled_train")
    miniatures.cuhk03(tmp_path / "cuhk03" / "labeled_val")
    for folder, names in (("peta", "3DPeS, SARC3D, VIPeR"), ("cuhk03", "labeled_train, labeled_v")):
        with pytest.raises(InputError, match=rf"holds several datasets \({names}"):
            list_samples(tmp_path / folder)
    # A person's own images are of one person, whatever their folder lies in.
    for person in ("0001", "0002"):
        for image in (1, 2, 3, 4):
            miniatures.draw_image(tmp_path / "cuhk01_people" / person / f"{person}00{image}.jpg")
    assert recognise(tmp_path / "cuhk01_people").name == "folders"


def test_unlabelled_crops_are_nobody_and_never_one_person(tmp_path):
    root = miniatures.unlabelled(tmp_path)
    layout = recognise(root)
    assert layout.name == recognise(root / "COCO").name == "unlabelled"
    samples = list_samples(root, unlabelled=True)
    assert [Path(s.path).relative_to(root).as_posix() for s in samples] == [
        "COCO/00000.jpg", "COCO/00001.jpg", "MIT/00001_male_back.jpg", "TUD/00000.jpg",
    ]  # fmt: skip
    assert {(s.person, s.camera, s.tracklet, s.frame) for s in samples} == {("", -1, -1, -1)}
    for use in (list_samples, build_records):
        with pytest.raises(InputError, match="no identity was found in it: its images are crops"):
            use(root)
    assert [s.person for s in list_all(root)] == [""] * 4
    assert [image.person for image in list_gallery_images(root)] == [None] * 4
    # Folders of any other name are people, unless it is said.
    moved = root.rename(tmp_path / "mine")
    assert {s.person for s in list_samples(moved)} == {"COCO", "MIT", "TUD"}
    assert len(list_samples(moved, pattern="unlabelled", unlabelled=True)) == 4
    assert [image.person for image in list_gallery_images(moved, pattern="unlabelled")] == [
        None
    ] * 4
    moved.rename(root)
    assert {s.person for s in list_samples(root, pattern="(?P<person>[^/]+)/")} == {
        "COCO", "MIT", "TUD",
    }  # fmt: skip


def test_unlabelled_crops_are_inspected_without_complaints_about_people(tmp_path, capsys):
    root = miniatures.unlabelled(tmp_path)
    shutil.copy(root / "COCO" / "00000.jpg", root / "COCO" / "00009.jpg")
    (root / "TUD" / "00000.jpg").write_bytes(b"")
    picture = tmp_path / "page.png"
    assert cli.main(["inspect", str(root), "--output", str(picture)]) == 1
    told = capsys.readouterr().out
    assert "Crops without identities: an unlabelled source." in told
    assert "1 of 5 images cannot be read" in told
    assert "1 images are copies of another image.\n" in told
    assert told.count("To fix it") == 2
    assert picture.is_file()
    (root / "TUD" / "00000.jpg").unlink()
    assert cli.main(["inspect", str(root)]) == 0
    part = inspect_folder(root).parts["train"]
    assert (part.people, part.images, part.distractors) == (0, 4, 0)


def test_how_names_were_read_is_told_with_the_records(tmp_path, capsys):
    root = miniatures.cuhk01(tmp_path / "crops", people=4)
    assert cli.main(["records", "make", "--dataset_dir", str(root)]) == 0
    assert "note: Read as cuhk01: four digits of the person" in capsys.readouterr().err


def test_cameras_that_are_not_numbered_are_numbered_by_the_pattern(tmp_path):
    for name in ("left/anna.jpg", "right/anna.jpg", "door/anna.jpg"):
        miniatures.draw_image(tmp_path / name)
    pattern = r"(?:(?P<camera1>left)|(?P<camera20>right)|door)/(?P<person>\w+)"
    assert relative(list_samples(tmp_path, pattern=pattern), tmp_path) == [
        ("door/anna.jpg", "anna", -1, -1, -1),
        ("left/anna.jpg", "anna", 1, -1, -1),
        ("right/anna.jpg", "anna", 20, -1, -1),
    ]
    with pytest.raises(InputError, match=r"may have camera \(or camera1, camera2"):
        compile_pattern(r"(?P<person>\w+)(?P<cameraA>x)")


@pytest.mark.skipif(not (SHARED / "peta").is_dir(), reason="the published crops are not here")
@pytest.mark.parametrize(
    ("folder", "name", "images", "people", "cameras"),
    [
        ("cuhk01", "cuhk01", 3884, 971, {1, 2}),
        ("cuhk03/labeled_train", "cuhk03", 7239, 743, {1, 2}),
        ("cuhk03/labeled_val", "cuhk03", 938, 100, {1, 2}),
        ("peta/VIPeR", "viper", 1264, 632, {1, 2}),
        ("peta/3DPeS", "3dpes", 1012, 193, {-1}),
        ("peta/CAVIAR4REID", "caviar4reid", 1220, 72, {1, 2}),
        ("peta/SARC3D", "sarc3d", 200, 50, {1}),
        ("peta/TownCentre", "towncentre", 2153, 222, {1}),
        ("peta/CUHK", "unlabelled", 1521, 1, {-1}),
        ("peta/MIT", "unlabelled", 888, 1, {-1}),
        ("unlabelled", "unlabelled", 9047, 1, {-1}),
    ],
)
def test_real_small_sets(folder, name, images, people, cameras):
    samples = list_samples(SHARED / folder, "all", unlabelled=True)
    assert recognise(SHARED / folder).name == name
    assert (len(samples), len({s.person for s in samples})) == (images, people)
    assert {s.camera for s in samples} == cameras
