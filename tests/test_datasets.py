"""Folders and tables of every layout, listed as samples."""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import miniatures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from siamese.cli import main
from siamese.datasets import Sample, list_samples, read_identities, read_triplets, recognise
from siamese.datasets.samples import read_name, walk_dead_links, walk_images
from siamese.datasets.tables import place_table
from siamese.datasets.triplets import find_triplets
from siamese.errors import InputError

REAL = Path(__file__).parents[2] / "shared" / "data" / "market1501"

OFFICIAL: list[tuple[Callable[[Path], Path], str, dict[str, int]]] = [
    (miniatures.mars_categories, "mars-categories", {"train": 32}),
    (miniatures.plain_folders, "folders", {"train": 12}),
    (miniatures.market1501, "market1501", {"train": 4, "query": 2, "gallery": 4}),
    (miniatures.dukemtmc_reid, "dukemtmc-reid", {"train": 2, "query": 1, "gallery": 1}),
    (miniatures.cuhk03_np, "cuhk03-np", {"train": 2, "query": 1, "gallery": 1}),
    (miniatures.msmt17, "msmt17", {"train": 3, "query": 1, "gallery": 2}),
    (miniatures.mars, "mars", {"train": 5, "query": 2, "gallery": 9}),
    (miniatures.triplets, "triplet-csv", {"train": 4}),
    (miniatures.identity_table, "identity-csv", {"train": 3}),
]


def relative(samples: list[Sample], root: Path) -> list[tuple[str, str, int, int, int]]:
    return [
        (Path(s.path).relative_to(root).as_posix(), s.person, s.camera, s.tracklet, s.frame)
        for s in samples
    ]


@pytest.mark.parametrize(("draw", "name", "counts"), OFFICIAL, ids=[row[1] for row in OFFICIAL])
def test_every_layout_is_recognised_and_lists_all_its_images(tmp_path, draw, name, counts):
    folder = draw(tmp_path)
    layout = recognise(folder)
    assert layout.name == name
    assert list(layout.parts) == list(counts)
    assert {part: len(list_samples(folder, part)) for part in layout.parts} == counts
    for sample in list_samples(folder, "all"):
        assert Path(sample.path).is_file()


@pytest.mark.parametrize(("draw", "name", "counts"), OFFICIAL, ids=[row[1] for row in OFFICIAL])
def test_samples_are_sorted_by_path_and_listed_once(tmp_path, draw, name, counts):
    samples = list_samples(draw(tmp_path), "all")
    paths = [sample.path for sample in samples]
    assert paths == sorted(set(paths))


def test_mars_categories_by_hand(tmp_path):
    root = miniatures.mars_categories(tmp_path, people=1)
    assert relative(list_samples(root), root) == [
        ("categories/0001/0001C1T0001F001.jpg", "0001", 1, 1, 1),
        ("categories/0001/0001C1T0001F002.jpg", "0001", 1, 1, 2),
        ("categories/0001/0001C1T0002F001.jpg", "0001", 1, 2, 1),
        ("categories/0001/0001C1T0002F002.jpg", "0001", 1, 2, 2),
        ("categories/0001/0001C2T0001F001.jpg", "0001", 2, 1, 1),
        ("categories/0001/0001C2T0001F002.jpg", "0001", 2, 1, 2),
        ("categories/0001/0001C2T0002F001.jpg", "0001", 2, 2, 1),
        ("categories/0001/0001C2T0002F002.jpg", "0001", 2, 2, 2),
    ]


def test_the_categories_folder_itself_is_the_same_dataset(tmp_path):
    root = miniatures.mars_categories(tmp_path)
    assert list_samples(root / "categories") == list_samples(root)


def test_plain_folders_have_people_and_nothing_else(tmp_path):
    samples = list_samples(miniatures.plain_folders(tmp_path))
    assert {s.person for s in samples} == {"anna", "Jürgen Groß", "李雷"}
    assert {(s.camera, s.tracklet, s.frame) for s in samples} == {(-1, -1, -1)}


def test_plain_folders_with_market_names_know_their_cameras(tmp_path):
    miniatures.draw_image(tmp_path / "7" / "0007_c3s2_077419_03.jpg")
    assert relative(list_samples(tmp_path), tmp_path) == [
        ("7/0007_c3s2_077419_03.jpg", "7", 3, 2, 77419)
    ]


def test_hidden_files_other_files_and_hidden_folders_are_ignored(tmp_path):
    root = miniatures.plain_folders(tmp_path)
    expected = list_samples(root)
    (root / "anna" / "._one.jpg").write_bytes(b"resource fork")
    (root / "anna" / "notes.txt").write_text("nothing", encoding="utf-8")
    (root / "anna" / "folder.jpg").mkdir()
    miniatures.draw_image(root / ".cache" / "x.jpg")
    miniatures.draw_image(root / "__MACOSX" / "x.jpg")
    assert list_samples(root) == expected


def test_market_leaves_junk_out_and_keeps_the_distractor(tmp_path):
    root = miniatures.market1501(tmp_path)
    assert relative(list_samples(root, "gallery"), root) == [
        ("bounding_box_test/0000_c1s1_000151_01.jpg", "0000", 1, 1, 151),
        ("bounding_box_test/0001_c1s1_001051_03.jpg", "0001", 1, 1, 1051),
        ("bounding_box_test/0001_c2s1_000301_00.jpg", "0001", 2, 1, 301),
        ("bounding_box_test/0003_c1s6_015971_02.jpg", "0003", 1, 6, 15971),
    ]
    assert recognise(root).distractor_person == "0000"


@pytest.mark.parametrize("name", ["bounding_box_train", "query", "bounding_box_test"])
def test_one_folder_of_market_can_be_given_directly(tmp_path, name):
    folder = miniatures.market1501(tmp_path) / name
    part = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}[name]
    assert list_samples(folder, "all") == list_samples(tmp_path, part)


def test_a_distractor_is_never_trained_on(tmp_path):
    folder = miniatures.market1501(tmp_path) / "bounding_box_test"
    assert {s.person for s in list_samples(folder, "train")} == {"0001", "0003"}


def test_a_plain_person_0000_is_a_person(tmp_path):
    miniatures.draw_image(tmp_path / "0000" / "0000_c1s1_000001_00.jpg")
    assert [s.person for s in list_samples(tmp_path)] == ["0000"]
    assert recognise(tmp_path).distractor_person is None


def test_market_without_its_test_folders_is_all_train(tmp_path):
    root = miniatures.market1501(tmp_path)
    shutil.rmtree(root / "query")
    shutil.rmtree(root / "bounding_box_test")
    assert len(list_samples(root, "all")) == 4
    with pytest.raises(InputError, match=re.escape("has no part 'query'")):
        list_samples(root, "query")


def test_an_archive_folder_around_the_dataset_is_looked_into(tmp_path):
    inner = miniatures.market1501(tmp_path / "Market-1501-v15.09.15")
    assert list_samples(tmp_path, "all") == list_samples(inner, "all")


def test_of_several_datasets_in_a_folder_the_user_chooses(tmp_path):
    miniatures.cuhk03_np(tmp_path / "detected")
    miniatures.cuhk03_np(tmp_path / "labeled")
    with pytest.raises(InputError, match=re.escape("(detected, labeled)")):
        list_samples(tmp_path)


def test_duke_is_marked_as_withdrawn(tmp_path):
    root = miniatures.dukemtmc_reid(tmp_path)
    assert "withdrawn" in recognise(root).notes[0]
    assert relative(list_samples(root, "query"), root) == [
        ("query/0005_c2_f0046985.jpg", "0005", 2, -1, 46985)
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_msmt17_train_and_test_people_of_one_number_are_two(tmp_path, version):
    root = miniatures.msmt17(tmp_path, version)
    train = "train" if version == 1 else "mask_train_v2"
    test = "test" if version == 1 else "mask_test_v2"
    assert relative(list_samples(root, "train"), root) == [
        (f"{train}/0000/0000_000_01_0303morning_0015_0.jpg", "0000", 1, -1, -1),
        (f"{train}/0000/0000_001_07_0303morning_0016_0.jpg", "0000", 7, -1, -1),
        (f"{train}/0001/0001_000_14_0303noon_0021_1.jpg", "0001", 14, -1, -1),
    ]
    assert {(s.person, s.camera) for s in list_samples(root, "gallery")} == {
        ("test/0000", 5),
        ("test/0001", 3),
    }
    assert relative(list_samples(root, "query"), root) == [
        (f"{test}/0000/0000_000_03_0113afternoon_0025_0.jpg", "test/0000", 3, -1, -1)
    ]


def test_msmt17_names_the_line_of_a_list_that_is_wrong(tmp_path):
    root = miniatures.msmt17(tmp_path)
    (root / "list_query.txt").write_text("\nquery.jpg 0\n", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape("list_query.txt: line 2")):
        list_samples(root, "query")


def test_mars_tracklets_by_hand(tmp_path):
    root = miniatures.mars(tmp_path)
    assert relative(list_samples(root, "train"), root) == [
        ("bbox_train/0001/0001C1T0001F001.jpg", "0001", 1, 1, 1),
        ("bbox_train/0001/0001C1T0001F002.jpg", "0001", 1, 1, 2),
        ("bbox_train/0001/0001C2T0001F001.jpg", "0001", 2, 2, 1),
        ("bbox_train/0001/0001C2T0001F002.jpg", "0001", 2, 2, 2),
        ("bbox_train/0001/0001C2T0001F003.jpg", "0001", 2, 2, 3),
    ]
    # Rows of the test table: 1 is junk, 2 the distractor, 3 the query.
    gallery = list_samples(root, "gallery")
    assert [(s.person, s.camera, s.tracklet) for s in gallery] == [
        ("0000", 3, 2),
        ("0000", 3, 2),
        ("0002", 1, 3),
        ("0002", 1, 3),
        ("0002", 5, 4),
        ("0002", 5, 4),
        ("0002", 5, 4),
        ("0004", 2, 5),
        ("0004", 2, 5),
    ]
    queries = {s.tracklet for s in list_samples(root, "query")}
    assert queries == {3}
    # The other protocol's gallery, with the query tracklets taken out.
    assert {s.tracklet for s in gallery} - queries == {2, 4, 5}


def test_mars_tables_that_do_not_fit_the_names_are_refused(tmp_path):
    root = miniatures.mars(tmp_path)
    (root / "info" / "test_name.txt").write_text("0002C1T0001F001.jpg\n", encoding="ascii")
    with pytest.raises(InputError, match=re.escape("1 names for images up to 10")):
        list_samples(root, "gallery")


def test_mars_query_rows_outside_the_table_are_refused(tmp_path):
    root = miniatures.mars(tmp_path)
    savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([[0, 3]])})
    with pytest.raises(InputError, match=re.escape("query_IDX.mat: expected rows 1 to 5")):
        list_samples(root, "query")


def test_mars_tables_that_are_damaged_or_missing_are_named(tmp_path):
    root = miniatures.mars(tmp_path)
    table = root / "info" / "query_IDX.mat"
    table.write_bytes(b"not MATLAB" * 30)
    with pytest.raises(InputError, match=re.escape("query_IDX.mat: is not a MATLAB file")):
        list_samples(root, "query")
    savemat(table, {"another": np.array([[1]])})
    with pytest.raises(InputError, match="no table query_IDX"):
        list_samples(root, "query")
    savemat(table, {"query_IDX": np.array([["one", [2]]], dtype=object)})
    with pytest.raises(InputError, match="query_IDX holds other than whole numbers"):
        list_samples(root, "query")
    table.unlink()
    with pytest.raises(InputError, match=re.escape("query_IDX.mat: no such file")):
        list_samples(root, "query")


def test_triplets_in_any_column_order(tmp_path):
    table = miniatures.triplets(tmp_path)
    triplets = read_triplets(table)
    people = [tuple(s.person for s in triplet) for triplet in triplets]
    assert people == [("0002", "0002", "0007"), ("0007", "0007", "0002")]
    anchor, positive, negative = triplets[0]
    assert relative([anchor, positive, negative], tmp_path) == [
        ("0002_c1s1_000451_03.jpg", "0002", 1, 1, 451),
        ("0002_c2s1_000801_01.jpg", "0002", 2, 1, 801),
        ("0007_c3s3_077419_03.jpg", "0007", 3, 3, 77419),
    ]


def test_triplets_find_their_images_in_another_folder(tmp_path):
    table = miniatures.triplets(tmp_path / "images")
    (tmp_path / "elsewhere").mkdir()
    moved = table.rename(tmp_path / "elsewhere" / "train.csv")
    with pytest.raises(InputError, match=r"train.csv: row 2: no such file.*Put the CSV file into"):
        read_triplets(moved)
    assert len(read_triplets(moved, tmp_path / "images")) == 2


def test_table_finds_its_images_in_the_one_folder_beside_it_that_has_them(tmp_path):
    table = miniatures.triplets(tmp_path / "images").rename(tmp_path / "train.csv")
    (tmp_path / "empty").mkdir()
    expected = read_triplets(table, tmp_path / "images")
    assert read_triplets(table) == expected
    people = {sample.path: sample.person for row in expected for sample in row}
    lines = [f"{person},{Path(path).name}" for path, person in people.items()]
    (tmp_path / "people.csv").write_text("\n".join(["identity,path", *lines]))
    assert {s.path: s.person for s in list_samples(tmp_path / "people.csv")} == people
    shutil.copytree(tmp_path / "images", tmp_path / "copy")
    with pytest.raises(InputError, match="row 2: no such file"):  # which of the two?
        read_triplets(table)


def test_table_can_be_placed_at_images_that_lie_elsewhere(tmp_path):
    table = miniatures.triplets(tmp_path / "images")
    expected = read_triplets(table)
    moved = table.rename(tmp_path / "train.csv")
    placed = place_table(moved, tmp_path / "images", tmp_path / "new")
    assert placed == tmp_path / "new" / "train.csv"
    assert read_triplets(placed) == expected
    people = miniatures.identity_table(tmp_path / "people")
    named = {(s.path, s.person, s.camera) for s in read_identities(people)}
    placed = place_table(people, tmp_path / "people", tmp_path / "new")
    assert {(s.path, s.person, s.camera) for s in read_identities(placed)} == named


def test_folder_with_a_table_and_its_images_is_that_table(tmp_path):
    miniatures.triplets(tmp_path / "train").rename(tmp_path / "train.csv")
    layout = recognise(tmp_path)
    assert (layout.name, Path(layout.folder)) == ("triplet-csv", tmp_path / "train.csv")
    samples = list_samples(tmp_path)
    assert samples == list_samples(tmp_path / "train.csv")
    assert len(find_triplets(tmp_path, samples)) == 2
    # Without a table the program asks how the folder is to be read.
    (tmp_path / "train.csv").unlink()
    with pytest.raises(InputError, match="its folder train holds images named after 2 people"):
        list_samples(tmp_path)
    # Real folders of people stay what they are, beside a table that says something else.
    people = miniatures.plain_folders(tmp_path / "people")
    (people / "notes.csv").write_text("a,b\n1,2\n")
    assert recognise(people).name == "folders"


def test_triplets_that_the_split_leaves_out_are_counted(tmp_path, caplog):
    table = miniatures.triplets(tmp_path)
    samples = list_samples(table)
    assert len(find_triplets(table, samples)) == 2
    assert not caplog.records
    assert find_triplets(table, [s for s in samples if s.person != "0007"]) == []
    assert "0 of 2 triplets are kept; the other 2 have an image of a person" in caplog.text
    assert "--validation_size 0" in caplog.text


def test_triplets_of_unknown_names_make_people_of_linked_images(tmp_path):
    for name in "abcdef":
        miniatures.draw_image(tmp_path / f"{name}.jpg")
    (tmp_path / "t.csv").write_text(
        "anchor,positive,negative\nc.jpg,b.jpg,d.jpg\nb.jpg,a.jpg,e.jpg\ne.jpg,f.jpg,a.jpg\n",
        encoding="utf-8",
    )
    samples = {s.path: s.person for row in read_triplets(tmp_path / "t.csv") for s in row}
    assert {Path(path).stem: person for path, person in samples.items()} == {
        "a": "a.jpg", "b": "a.jpg", "c": "a.jpg", "d": "d.jpg", "e": "e.jpg", "f": "e.jpg",
    }  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        "0002_c1s1_000451_03.jpg,0007_c3s3_077419_03.jpg,0007_c5s3_081437_01.jpg",
        "0002_c1s1_000451_03.jpg,0002_c2s1_000801_01.jpg,0002_c2s1_000801_01.jpg",
    ],
    ids=["the positive is another", "the negative is the same"],
)
def test_triplets_that_contradict_their_names_are_refused(tmp_path, row):
    table = miniatures.triplets(tmp_path)
    with table.open("a", encoding="utf-8") as file:
        file.write(row + "\n")
    with pytest.raises(InputError, match=r"row 4: anchor and positive must show one person"):
        read_triplets(table)


def test_identities_by_hand(tmp_path):
    table = miniatures.identity_table(tmp_path)
    assert relative(read_identities(table), tmp_path) == [
        ("a/1.jpg", "anna", 1, 4, -1),
        ("a/2.jpg", "anna", 2, -1, -1),
        ("b/1.jpg", "bert", -1, -1, -1),
    ]
    assert list_samples(table) == read_identities(table)


def test_parts_that_a_table_names_are_read(tmp_path, capsys):
    root = miniatures.market1501(tmp_path)
    parts = {part: list_samples(root, part) for part in ("train", "query", "gallery")}
    flags = {
        "train": "train,,",
        "query": "validation,True,False",
        "gallery": "validation,False,True",
    }
    rows = [
        f"{s.person},{Path(s.path).relative_to(root)},{s.camera}.0,{flags[part]}"
        for part, samples in parts.items()
        for s in samples
    ]
    table = root / "df.csv"
    table.write_text("\n".join(["label,path,camera,split,is_query,is_gallery", *rows]))
    assert tuple(recognise(table).parts) == ("train", "query", "gallery")
    for part, expected in parts.items():
        found = list_samples(table, part)
        assert [(s.path, s.person, s.camera) for s in found] == [
            (s.path, s.person, s.camera) for s in expected
        ]
    assert recognise(table).cameras == {}
    assert main(["records", "make", "--dataset_dir", str(table), "--validation_size", "0"]) == 0
    assert "10 found, 4 used; left out: 6 in other parts of the data" in capsys.readouterr().out
    both = rows[-1].replace("False,True", "1,1")
    table.write_text("\n".join(["pid,image,camid,split,is_query,is_gallery", *rows[:-1], both]))
    assert len(list_samples(table, "query")) == len(parts["query"]) + 1
    assert len(list_samples(table, "gallery")) == len(parts["gallery"])
    table.write_text("\n".join(["identity,path,split", *(
        f"{s.person},{Path(s.path).relative_to(root)},{part}"
        for part, samples in parts.items() for s in samples
    )]))  # fmt: skip
    assert [s.path for s in list_samples(table, "query")] == [s.path for s in parts["query"]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no rows"),
        ("identity,path,split\nanna,a/1.jpg,dev\n", "row 2: split must be train, query or"),
        ("identity,path,split\nanna,a/1.jpg,test\n", "row 2: split must be train, query or"),
        ("label,person,path\nanna,anna,a/1.jpg\n", "Received: label, person, path"),
        ("identity,path\n", "has no rows"),
        ("name,file\nanna,a/1.jpg\n", "expected the columns Anchor, Positive, Negative or"),
        ("identity,path\nanna,a/1.jpg\nbert,b/9.jpg\n", "row 3: no such file"),
        ("identity,path\nanna\n", "row 2: expected 2 cells. Received: 1"),
        ("identity,path\n,a/1.jpg\n", "row 2: has no identity"),
        ("identity,path,tracklet\nanna,a/1.jpg,left\n", "row 2: tracklet must be a whole number"),
        ("identity,path,tracklet\nanna,a/1.jpg,²\n", "row 2: tracklet must be a whole number"),
        ("identity,path,camera\nanna,a/1.jpg," + "9" * 19, "camera must be a whole number of"),
        ('identity,path\nanna,"a/1.jpg\n' + "bert,b/1.jpg\n" * 15_000, "is not CSV (field larger"),
    ],
)
def test_tables_name_the_row_that_is_wrong(tmp_path, text, complaint):
    table = miniatures.identity_table(tmp_path)
    table.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(complaint)) as caught:
        list_samples(table)
    assert str(table) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path):
    table = miniatures.identity_table(tmp_path)
    expected = list_samples(table)
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"path,", b'"path",', 1))
    assert list_samples(table) == expected
    table.write_bytes("identity,path\nJürgen,a/1.jpg\n".encode("latin-1"))
    with pytest.raises(InputError, match="must be UTF-8"):
        list_samples(table)


def test_a_column_that_is_missing_is_named(tmp_path):
    table = miniatures.identity_table(tmp_path)
    with pytest.raises(InputError, match="expected the columns Anchor, Positive, Negative"):
        read_triplets(table)


def test_a_pattern_reads_names_of_the_users_own_form(tmp_path):
    miniatures.draw_image(tmp_path / "cam3" / "anna-12-7.jpg")
    miniatures.draw_image(tmp_path / "cam4" / "bert-1-8.jpg")
    pattern = r"cam(?P<camera>\d)/(?P<person>\w+)-(?P<tracklet>\d+)-(?P<frame>\d+)"
    assert relative(list_samples(tmp_path, pattern=pattern), tmp_path) == [
        ("cam3/anna-12-7.jpg", "anna", 3, 12, 7),
        ("cam4/bert-1-8.jpg", "bert", 4, 1, 8),
    ]
    assert recognise(tmp_path, pattern).name == "pattern"


def test_a_pattern_keeps_the_parts_of_market_folders(tmp_path):
    for folder, name in (
        ("bounding_box_train", "a1"),
        ("query", "b1"),
        ("bounding_box_test", "b2"),
    ):
        miniatures.draw_image(tmp_path / folder / f"{name}.jpg")
    samples = list_samples(tmp_path, "gallery", r"(?P<person>\w)(?P<camera>\d)")
    assert relative(samples, tmp_path) == [("bounding_box_test/b2.jpg", "b", 2, -1, -1)]


def test_a_pattern_keeps_query_and_gallery_unless_it_reads_them_itself(tmp_path):
    for name in ("gallery/cam01/person01_cam01_026.jpg", "query/cam03_person01_635.jpg"):
        miniatures.draw_image(tmp_path / name)
    with pytest.raises(InputError, match=r"--pattern '\(\?=\.\*person") as error:
        list_samples(tmp_path, "query")
    suggested = str(error.value).split("'")[1]
    ((query,), (gallery,)) = (list_samples(tmp_path, p, suggested) for p in ("query", "gallery"))
    assert (query.person, query.camera, gallery.person, gallery.camera) == ("01", 3, "01", 1)
    whole = r"^(?:query|gallery)/.*person(?P<person>\d+)"
    assert len(list_samples(tmp_path, "train", whole)) == 2


def test_a_pattern_sees_all_folders_below_and_those_that_are_linked(tmp_path):
    root = tmp_path / "crops"
    for folder, person in (("categories", "p1"), ("categories", "p2"), ("more", "p3")):
        miniatures.draw_image(root / folder / person / "cam1.jpg")
    elsewhere = tmp_path / "elsewhere"
    miniatures.draw_image(elsewhere / "p4" / "cam2.webp")
    (root / "linked").symlink_to(elsewhere)
    # Links that lead back up, straight and by way of each other.
    (root / "more" / "back").symlink_to(root)
    (elsewhere / "there").symlink_to(root)
    samples = list_samples(root, pattern=r"/(?P<person>p\d)/cam(?P<camera>\d)")
    assert relative(samples, root) == [
        ("categories/p1/cam1.jpg", "p1", 1, -1, -1),
        ("categories/p2/cam1.jpg", "p2", 1, -1, -1),
        ("linked/p4/cam2.webp", "p4", 2, -1, -1),
        ("more/p3/cam1.jpg", "p3", 1, -1, -1),
    ]
    named = list_samples(root, pattern=r"categories/(?P<person>p\d)/")
    assert {sample.person for sample in named} == {"p1", "p2"}


def test_only_files_are_images(tmp_path):
    miniatures.draw_image(tmp_path / "1" / "a.jpg")
    os.mkfifo(tmp_path / "1" / "pipe.jpg")
    (tmp_path / "1" / "dead.jpg").symlink_to(tmp_path / "nowhere.jpg")
    for itself in (tmp_path / "1" / "itself.jpg", tmp_path / "itself"):
        itself.symlink_to(itself)
    (tmp_path / "1" / "alive.jpg").symlink_to(tmp_path / "1" / "a.jpg")
    (tmp_path / "1" / "folder.jpg").mkdir()
    assert walk_images(tmp_path) == ["1/a.jpg", "1/alive.jpg"]
    assert walk_dead_links(tmp_path) == ["1/dead.jpg", "1/itself.jpg"]
    assert [Path(sample.path).name for sample in list_samples(tmp_path)] == ["a.jpg", "alive.jpg"]


def test_junk_is_no_person_however_it_is_named(tmp_path):
    names = [f"{person}_c{camera}s1_000001_00.jpg"
             for person in ("-1", "0002", "0003") for camera in (1, 2)]  # fmt: skip
    for name in names:
        miniatures.draw_image(tmp_path / name)
    table = tmp_path / "identities.csv"
    rows = "".join(f"{name.split('_')[0]},{name}\n" for name in names)
    table.write_text(f"identity,path\n{rows}")
    triplets = tmp_path / "triplets.csv"
    good = f"{names[2]},{names[3]},{names[4]}"
    triplets.write_text(f"Anchor,Positive,Negative\n{good}\n{names[4]},{names[5]},{names[0]}\n")
    for samples in (
        list_samples(tmp_path),
        list_samples(table),
        list_samples(triplets),
        list_samples(tmp_path, pattern=r"^(?P<person>-?\d+)_c(?P<camera>\d)"),
    ):
        assert [Path(sample.path).name for sample in samples] == names[2:]
    # The row that names junk is none to learn from.
    assert find_triplets(triplets, list_samples(triplets)) == [
        [f"{name[:4]}/{name}" for name in good.split(",")]
    ]
    # Who calls a folder so means a person.
    people = tmp_path / "people"
    for person in ("-1", "1"):
        miniatures.draw_image(people / person / "a.jpg")
    assert {sample.person for sample in list_samples(people)} == {"-1", "1"}


def test_numbers_that_records_cannot_hold_are_refused(tmp_path):
    miniatures.draw_image(tmp_path / "p1_20240101123045123451.jpg")
    with pytest.raises(InputError, match="group `frame` of the pattern must match digits, 18 at"):
        list_samples(tmp_path, pattern=r"(?P<person>p\d)_(?P<frame>\d+)")
    longest = "0" * 30 + "9" * 18
    miniatures.draw_image(tmp_path / "longest" / f"p1_{longest}.jpg")
    (sample,) = list_samples(tmp_path / "longest", pattern=r"(?P<person>p\d)_(?P<frame>\d+)")
    assert sample.frame == 10**18 - 1 < 2**63


@pytest.mark.parametrize("inside", [True, False])
def test_names_that_are_not_utf8_are_refused(tmp_path, inside):
    root = miniatures.plain_folders(tmp_path)
    old = root / "anna" / "one.JPG" if inside else root / "anna"
    try:
        old.rename(old.parent / os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(InputError, match=r"caf\\xe9\.jpg.*: its name is not UTF-8") as caught:
        list_samples(root)
    assert str(caught.value).encode().count(b"\n") == 0


@pytest.mark.parametrize(
    ("draw", "file", "part"),
    [
        (miniatures.msmt17, "list_train.txt", "train"),
        (miniatures.mars, "info/test_name.txt", "all"),
    ],
)
def test_lists_with_a_byte_order_mark_are_read_and_others_than_utf8_refused(
    tmp_path, draw, file, part
):
    root = draw(tmp_path)
    before = list_samples(root, part)
    path = root / file
    text = path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert list_samples(root, part) == before
    path.write_bytes(b"caf\xe9 0\n" + text)
    with pytest.raises(InputError, match=f"{path.name}: must be UTF-8 text"):
        list_samples(root, part)


def test_images_whose_names_do_not_match_are_left_out_aloud(tmp_path, caplog):
    root = miniatures.market1501(tmp_path)
    miniatures.draw_image(root / "query" / "holiday.jpg")
    assert len(list_samples(root, "query")) == 2
    assert "1 of 3 images left out" in caplog.text
    assert "holiday.jpg" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        (r"(?P<camera>\d+)", "must have the named group `person`"),
        (r"(?P<person>\d+)(?P<lens>x)?", "must have the named group `person`"),
        (r"(?P<person>\d+", "must be a regular expression"),
        (r"(?P<person>\w)(?P<frame>\w)", "group `frame` of the pattern must match digits"),
        (r"(?P<person>nobody)", "has no image that can be used"),
        (r"(?P<person>z)?one", "has no image that can be used"),
        (r"(?P<person>z?)one", "has no image that can be used"),
    ],
)
def test_patterns_that_cannot_work_are_refused(tmp_path, pattern, complaint):
    root = miniatures.plain_folders(tmp_path)
    with pytest.raises(InputError, match=re.escape(complaint)) as caught:
        list_samples(root, "all", pattern)
    assert "\n" not in str(caught.value)


def test_folders_that_hold_no_dataset_are_refused_with_their_path(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    image = miniatures.draw_image(tmp_path / "flat" / "holiday.jpg")
    odd = miniatures.draw_image(tmp_path / "odd" / "bounding_box_train" / "holiday.jpg")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "read.me").write_text("hello", encoding="utf-8")
    complaints = {
        tmp_path / "missing": "no such folder",
        empty: "is empty",
        image: "is a file",
        image.parent: "no identity was found",
        tmp_path / "words": "no identity was found",
        odd.parents[1]: "expected names such as 0002_c1s1_000451_03.jpg. Received: holiday.jpg",
    }
    for folder, complaint in complaints.items():
        with pytest.raises(InputError, match=re.escape(complaint)) as caught:
            list_samples(folder)
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_part_that_does_not_exist_is_refused(tmp_path):
    root = miniatures.mars_categories(tmp_path, people=2)
    with pytest.raises(InputError, match="part must be train, query, gallery or all"):
        list_samples(root, "validation")
    with pytest.raises(InputError, match="has no part 'gallery'"):
        list_samples(root, "gallery")


def test_the_order_of_creation_does_not_matter(tmp_path):
    names = [f"{person:04d}/{image}.jpg" for person in range(3) for image in range(3)]
    listed = []
    for turn in range(3):
        random.Random(turn).shuffle(names)
        for name in names:
            (tmp_path / str(turn) / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / str(turn) / name).touch()
        listed.append(relative(list_samples(tmp_path / str(turn)), tmp_path / str(turn)))
    assert listed[0] == listed[1] == listed[2]


@given(st.integers(0, 9999), st.integers(1, 9), st.integers(0, 9999), st.integers(0, 999999))
def test_names_are_read_back_as_they_were_written(person, camera, tracklet, frame):
    mars = f"{person:04d}C{camera}T{tracklet:04d}F{frame:03d}.jpg"
    market = f"{person:04d}_c{camera}s{tracklet}_{frame:06d}_03.jpg"
    for name in (mars, market):
        assert read_name(name) == Sample(name, f"{person:04d}", camera, tracklet, frame)


def test_listing_needs_no_tensorflow():
    # In a fresh interpreter, since other tests import TensorFlow.
    code = (
        "import sys, siamese.datasets, siamese.datasets.splits, siamese.inspect; "
        "print([m for m in ('tensorflow', 'keras', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.decode().strip() == "[]"


@pytest.mark.skipif(not REAL.is_dir(), reason="the published crops are not here")
def test_real_market_crops():
    counts = {
        part: (len(samples), len({s.person for s in samples}))
        for part in ("train", "query", "gallery")
        if (samples := list_samples(REAL, part))
    }
    assert counts == {"train": (8672, 500), "query": (439, 100), "gallery": (1244, 99)}
    triplets = read_triplets(REAL / "train.csv")
    assert len(triplets) == 1851


def test_flat_folder_of_mars_names_is_read_by_them(tmp_path: Path) -> None:
    names = ["0001C1T0001F001.jpg", "0001C2T0001F001.jpg", "0002C1T0001F007.jpg"]
    for name in names:
        miniatures.draw_image(tmp_path / name)
    assert recognise(tmp_path).name == "mars-names"
    samples = list_samples(tmp_path)
    assert [(s.person, s.camera, s.tracklet, s.frame) for s in samples] == [
        ("0001", 1, 1, 1),
        ("0001", 2, 1, 1),
        ("0002", 1, 1, 7),
    ]
