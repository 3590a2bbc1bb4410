"""The dataset doctor: for each ill one sick miniature, and a healthy one."""

import json
import os
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import miniatures
import numpy as np
import pytest
from PIL import Image

from siamese.datasets import Sample, recognise
from siamese.errors import InputError
from siamese.inspect import Finding, Report, inspect_folder
from siamese.inspect.findings import query_findings
from siamese.inspect.image_statistics import NEAR_BITS, measure_image, near_pairs, perceptual_hash
from siamese.records import build_records

REAL = Path(__file__).parents[2] / "shared" / "data" / "market1501"


def find(report: Report, words: str) -> Finding:
    (finding,) = [finding for finding in report.findings if words in finding.what]
    return finding


def healthy(root: Path) -> Path:
    """A dataset in which there is nothing to fix."""
    return miniatures.mars_categories(root)


def test_a_healthy_dataset_has_nothing_to_fix(tmp_path):
    report = inspect_folder(healthy(tmp_path))
    assert report.findings == ()
    assert not report.spoils
    assert report.layout == "mars-categories"
    assert "Nothing to fix." in report.text()


def test_the_numbers_by_hand(tmp_path):
    report = inspect_folder(miniatures.market1501(tmp_path))
    train, query, gallery = (report.parts[part] for part in ("train", "query", "gallery"))
    assert (train.people, train.cameras, train.tracklets, train.images) == (2, 4, 4, 4)
    assert (query.people, query.cameras, query.images) == (2, 2, 2)
    assert (gallery.people, gallery.images, gallery.distractors) == (2, 4, 1)
    assert (gallery.fewest, gallery.median, gallery.most) == (1, 1.5, 2)
    assert report.images_a_person == {"0001": 3, "0002": 2, "0003": 2, "0007": 2}
    assert report.image_sizes == Counter({(128, 64): 10})


def test_tracklets_of_official_mars_are_counted_once(tmp_path):
    report = inspect_folder(miniatures.mars(tmp_path))
    assert report.parts["train"].tracklets == 2
    assert report.parts["gallery"].tracklets == 4
    assert report.parts["query"].tracklets == 1
    # Two frames of the query tracklet are in both parts, and looked at once.
    assert sum(report.image_sizes.values()) == 5 + 9


def test_a_gallery_alone_keeps_its_distractors(tmp_path):
    report = inspect_folder(miniatures.market1501(tmp_path) / "bounding_box_test")
    assert report.parts["train"].distractors == 1
    assert not any("left out: their" in finding.what for finding in report.findings)


def test_junk_is_told_and_spoils_nothing(tmp_path):
    for draw in (miniatures.market1501, miniatures.mars):
        report = inspect_folder(draw(tmp_path / draw.__name__))
        finding = find(report, "junk images")
        assert finding.severity == "note"
        assert finding.what.startswith("1 junk")
        assert not report.spoils


def test_a_withdrawn_dataset_is_marked(tmp_path):
    report = inspect_folder(miniatures.dukemtmc_reid(tmp_path))
    assert "withdrawn" in report.notes[0]
    assert "withdrawn" in report.text()


def test_one_person_alone_spoils(tmp_path):
    report = inspect_folder(miniatures.mars_categories(tmp_path, people=1))
    assert find(report, "only 1 person").severity == "error"
    assert report.spoils


def test_people_without_cameras(tmp_path):
    report = inspect_folder(miniatures.plain_folders(tmp_path))
    assert find(report, "no camera is known").severity == "warning"
    assert not report.spoils


def test_some_names_that_do_not_parse(tmp_path):
    root = healthy(tmp_path)
    miniatures.draw_image(root / "categories" / "0002" / "holiday.jpg")
    finding = find(inspect_folder(root), "have no camera")
    assert finding.what.startswith("1 of 33 images")
    assert "holiday.jpg" in finding.where[0]


def test_names_that_do_not_parse_in_a_market_folder_are_left_out(tmp_path):
    root = miniatures.market1501(tmp_path)
    miniatures.draw_image(root / "query" / "holiday.jpg")
    finding = find(inspect_folder(root), "left out: their names")
    assert finding.what.startswith("1 images")
    assert finding.severity == "warning"


def test_data_of_one_camera(tmp_path):
    for person in ("a", "b"):
        for frame in (1, 2):
            miniatures.draw_image(tmp_path / person / f"000{ord(person) % 9}C1T0001F00{frame}.jpg")
    assert find(inspect_folder(tmp_path), "all images are of camera 1").severity == "warning"


def test_people_of_one_camera_and_of_one_image(tmp_path):
    root = healthy(tmp_path)
    miniatures.draw_image(root / "categories" / "0009" / "0009C1T0001F001.jpg")
    report = inspect_folder(root)
    assert find(report, "1 of 5 people are seen by one camera").where == ("0009",)
    assert find(report, "1 of 5 people in train have one image").where == ("0009",)


def test_people_in_train_and_in_test_spoil(tmp_path):
    root = miniatures.market1501(tmp_path)
    miniatures.draw_image(root / "bounding_box_train" / "0003_c6s6_000001_00.jpg")
    report = inspect_folder(root)
    finding = find(report, "both in train and in query or gallery")
    assert finding.severity == "error"
    assert finding.where == ("0003",)
    assert report.spoils


def test_msmt17_people_of_one_number_are_not_in_both_parts(tmp_path):
    assert not inspect_folder(miniatures.msmt17(tmp_path)).spoils


def test_queries_without_a_match_under_another_camera(tmp_path):
    root = miniatures.market1501(tmp_path)
    (root / "bounding_box_test" / "0001_c2s1_000301_00.jpg").unlink()
    # 0001 is left with its own camera 1 only, which does not count.
    finding = find(inspect_folder(root), "1 of 2 queries have no match")
    assert finding.severity == "warning"
    assert "0001_c1s1_001051_00.jpg" in finding.where[0]


def test_no_query_with_a_match_spoils(tmp_path):
    root = miniatures.market1501(tmp_path)
    for name in ("0001_c2s1_000301_00.jpg", "0003_c1s6_015971_02.jpg"):
        (root / "bounding_box_test" / name).unlink()
    assert find(inspect_folder(root), "2 of 2 queries").severity == "error"


@pytest.mark.parametrize("camera", [-1, 1])
def test_without_two_cameras_only_the_query_image_itself_is_no_match(camera):
    query, other = (Sample(path, "a", camera) for path in ("a/1.jpg", "a/2.jpg"))
    (finding,) = query_findings({"query": [query], "gallery": [query]})
    assert finding.what == "1 of 1 queries have no match in the gallery: they are not scored."
    assert not list(query_findings({"query": [query], "gallery": [query, other]}))


def test_matches_agree_with_a_slow_loop():
    random = np.random.default_rng(0)
    for _ in range(50):
        people, cameras = random.integers(0, 3, 12), random.integers(-1, 3, 12)
        samples = [
            Sample(f"{row}.jpg", str(person), int(camera))
            for row, (person, camera) in enumerate(zip(people, cameras, strict=True))
        ]
        queries, gallery = samples[:4], samples[4:]
        across = len({s.camera for s in samples} - {-1}) > 1
        unmatched = 0
        for query in queries:
            matches = 0
            for entry in gallery:
                same_camera = query.camera == entry.camera and query.camera != -1
                if query.person == entry.person and not (across and same_camera):
                    matches += 1
            unmatched += matches == 0
        found = query_findings({"query": queries, "gallery": gallery})
        told = [int(finding.what.split()[0]) for finding in found]
        assert told == ([unmatched] if unmatched else [])


def test_images_that_cannot_be_read_spoil(tmp_path):
    root = healthy(tmp_path)
    broken = root / "categories" / "0001" / "0001C1T0001F001.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    (root / "categories" / "0001" / "0001C1T0001F002.jpg").write_bytes(b"")
    report = inspect_folder(root)
    finding = find(report, "2 of 32 images cannot be read")
    assert finding.severity == "error"
    assert "0001C1T0001F001.jpg" in finding.where[0]
    assert not {Path(path).name for path in report.contact_sheet} & {broken.name}
    assert sum(report.image_sizes.values()) == 30


def test_tiny_and_grey_images(tmp_path):
    root = healthy(tmp_path)
    folder = root / "categories" / "0001"
    miniatures.draw_image(folder / "0001C1T0005F001.jpg", height=31, width=16)
    miniatures.draw_image(folder / "0001C1T0005F002.jpg", height=32, width=16)
    with Image.open(folder / "0001C1T0001F001.jpg") as image:
        image.convert("L").save(folder / "0001C1T0001F001.jpg")
    report = inspect_folder(root)
    assert "0001C1T0005F001.jpg (31 x 16)" in find(report, "1 images are smaller").where[0]
    assert "0001C1T0001F001.jpg (L)" in find(report, "1 images are not stored as RGB").where[0]


def test_one_image_under_two_people_spoils(tmp_path):
    root = healthy(tmp_path) / "categories"
    shutil.copy(root / "0001" / "0001C1T0001F001.jpg", root / "0002" / "0002C1T0007F001.jpg")
    report = inspect_folder(root)
    finding = find(report, "byte by byte the image of another person")
    assert finding.severity == "error"
    assert "0001C1T0001F001.jpg = " in finding.where[0]
    # Named once: the same pair is not a near-duplicate as well.
    assert not any("almost the same" in f.what for f in report.findings)


def test_a_copy_of_the_same_person_is_a_note(tmp_path):
    root = healthy(tmp_path) / "categories"
    shutil.copy(root / "0001" / "0001C1T0001F001.jpg", root / "0001" / "0001C1T0007F001.jpg")
    assert find(inspect_folder(root), "1 images are copies").severity == "note"


def test_near_duplicates_of_different_people_are_found(tmp_path):
    root = miniatures.market1501(tmp_path)
    with Image.open(root / "bounding_box_train" / "0002_c1s1_000451_03.jpg") as image:
        smaller = image.resize((48, 96)).point(lambda value: min(255, int(value * 1.1)))
    smaller.save(root / "query" / "0003_c4s6_015641_01.jpg", quality=60)
    finding = find(inspect_folder(root), "1 pairs of images of different people")
    assert finding.severity == "warning"
    assert "0002_c1s1_000451_03.jpg" in finding.where[0]
    assert "0003_c4s6_015641_01.jpg" in finding.where[0]


def test_flat_images_do_not_look_alike(tmp_path):
    for person, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / person).mkdir()
        Image.new("RGB", (64, 128), colour).save(tmp_path / person / "1.png")
    report = inspect_folder(tmp_path)
    assert not any("almost the same" in finding.what for finding in report.findings)


def test_near_pairs_agree_with_a_slow_loop():
    random = np.random.default_rng(1)
    # Two families of hashes a few bits apart, over more than one block of rows.
    seeds = random.integers(0, 2**64, (2, 2), dtype=np.uint64)
    hashes = seeds[random.integers(0, 2, 300)]
    flips = np.left_shift(np.uint64(1), random.integers(0, 64, (300, 2, 2)).astype(np.uint64))
    hashes = hashes ^ np.bitwise_xor.reduce(flips, axis=2)
    people = random.integers(0, 5, 300)
    expected = set()
    for a, b in combinations(range(300), 2):
        bits = sum(int(hashes[a, k] ^ hashes[b, k]).bit_count() for k in (0, 1))
        if people[a] != people[b] and bits <= NEAR_BITS:
            expected.add((a, b))
    found = near_pairs(hashes, people, most=10**6)
    assert set(found) == expected
    assert len(found) == len(expected) > 100
    assert near_pairs(hashes, people, most=7) == found[:7]


def test_a_hash_by_hand():
    image = np.zeros((16, 9, 3), np.uint8)
    image[0, 1:] = 255  # one rise, between the first two cells of the first row
    image[15, 8] = 255  # one rise, between the last two cells of the last row
    assert perceptual_hash(image) == (1 << 63, 1)


def test_a_look_at_a_missing_file_says_so(tmp_path):
    assert "no such file" in measure_image(tmp_path / "x.jpg").trouble.lower()


def test_empty_identity_folders_and_images_beside_them(tmp_path):
    root = healthy(tmp_path) / "categories"
    (root / "0099").mkdir()
    miniatures.draw_image(root / "cover.jpg")
    miniatures.draw_image(root / "0001" / "deeper" / "x.jpg")
    build_records(root, validation_size=0.5)  # into its folder `records`, which is no person
    report = inspect_folder(root)
    assert find(report, "1 identity folders hold no image").where == (str(root / "0099"),)
    assert find(report, "2 images are left out").where == (
        str(root / "0001" / "deeper" / "x.jpg"),
        str(root / "cover.jpg"),
    )


def test_records_that_are_not_finished_are_no_empty_person(tmp_path):
    root = healthy(tmp_path) / "categories"
    (root / "0003" / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.jpg"):
        build_records(root, validation_size=0.5)
    assert (root / "records" / ".building").is_dir()
    assert not any("hold no image" in each.what for each in inspect_folder(root).findings)


def test_links_to_nothing_and_names_of_other_bytes_are_told(tmp_path):
    root = healthy(tmp_path) / "categories"
    dead = root / "0001" / "dead.jpg"
    dead.symlink_to(tmp_path / "nowhere.jpg")
    image = miniatures.draw_image(root / "0001" / "deeper" / "x.jpg")
    try:
        image.rename(image.parent / os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    report = inspect_folder(root)
    assert find(report, "1 links lead to no file").where == (str(dead),)
    assert find(report, "1 images are left out").where[0].endswith(r"caf\xe9.jpg")
    report.text().encode()


def test_a_distractor_in_train_is_told_as_one(tmp_path):
    root = miniatures.market1501(tmp_path)
    path = miniatures.draw_image(root / "bounding_box_train" / "0000_c1s1_000001_01.jpg")
    report = inspect_folder(root)
    finding = find(report, "1 distractors (0000) in train are left out")
    assert (finding.severity, finding.where) == ("note", (str(path),))
    assert not any("do not parse" in each.what for each in report.findings)


def test_images_of_every_kind_that_is_read_count(tmp_path):
    root = healthy(tmp_path)
    for person in ("0001", "0002"):
        miniatures.draw_image(root / "categories" / person / f"{person}C1T0009F001.webp")
    assert inspect_folder(root).parts["train"].images == 34


def test_a_search_that_stops_says_at_least(tmp_path):
    cells = np.random.default_rng(0).integers(0, 256, (16, 9, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(cells).resize((64, 128), Image.Resampling.BILINEAR)).copy()
    for person in range(46):
        image[0, 0] = person
        (tmp_path / f"{person:04d}").mkdir()
        Image.fromarray(image).save(tmp_path / f"{person:04d}" / "x.png")
    find(inspect_folder(tmp_path), "at least 1,000 pairs of images")  # of 46 * 45 / 2 = 1035
    for person in range(40, 46):
        shutil.rmtree(tmp_path / f"{person:04d}")
    assert find(inspect_folder(tmp_path), "780 pairs").what.startswith("780 ")


def test_a_folder_with_images_of_several_people(tmp_path):
    root = healthy(tmp_path) / "categories"
    (root / "0002" / "0002C1T0001F001.jpg").rename(root / "0001" / "0002C1T0001F001.jpg")
    finding = find(inspect_folder(root), "named after several people")
    assert finding.where == (f"{root / '0001'} (0001, 0002)",)


def test_an_empty_part_is_an_error_and_the_rest_is_inspected(tmp_path):
    root = miniatures.market1501(tmp_path)
    shutil.rmtree(root / "query")
    (root / "query").mkdir()
    report = inspect_folder(root)
    assert find(report, "has no image that can be used in part 'query'").severity == "error"
    assert list(report.parts) == ["train", "gallery"]


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(InputError, match="is empty"):
        inspect_folder(tmp_path)
    (tmp_path / "bounding_box_train").mkdir()
    with pytest.raises(InputError, match="has no image"):
        inspect_folder(tmp_path)


@pytest.mark.parametrize("draw", [miniatures.triplets, miniatures.identity_table])
def test_tables_are_inspected(tmp_path, draw):
    report = inspect_folder(draw(tmp_path))
    assert not report.spoils
    assert not any("left out" in finding.what for finding in report.findings)


def test_a_pattern_is_used(tmp_path):
    for name in ("anna-1.jpg", "anna-2.jpg", "bert-1.jpg", "bert-2.jpg"):
        miniatures.draw_image(tmp_path / name)
    report = inspect_folder(tmp_path, r"(?P<person>\w+)-(?P<camera>\d)")
    assert report.parts["train"].people == 2
    assert report.findings == ()


def test_findings_are_sorted_by_severity(tmp_path):
    root = miniatures.market1501(tmp_path)
    miniatures.draw_image(root / "bounding_box_train" / "0003_c6s6_000001_00.jpg")
    miniatures.draw_image(root / "query" / "holiday.jpg")
    order = [finding.severity for finding in inspect_folder(root).findings]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    assert len(set(order)) == 3


def test_progress_counts_to_the_end(tmp_path):
    calls: list[tuple[int, int]] = []
    inspect_folder(healthy(tmp_path), progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (32, 32)
    assert calls == sorted(calls)


def test_the_contact_sheet_is_spread_over_the_people(tmp_path):
    report = inspect_folder(healthy(tmp_path))
    people = Counter(Path(path).parent.name for path in report.contact_sheet)
    assert people == {"0001": 6, "0002": 6, "0003": 6, "0004": 6}
    assert len(set(report.contact_sheet)) == 24


def test_the_report_goes_through_json(tmp_path):
    report = inspect_folder(miniatures.market1501(tmp_path))
    content = json.loads(json.dumps(report.to_dict()))
    assert content["spoils"] is False
    assert content["parts"]["train"]["people"] == 2
    assert content["image_sizes"] == [{"height": 128, "width": 64, "images": 10}]
    assert content["findings"][-1]["severity"] == "note"
    assert content["images_a_person"]["0001"] == 3


def test_the_text_says_what_where_and_how_to_fix(tmp_path):
    root = miniatures.market1501(tmp_path)
    miniatures.draw_image(root / "query" / "holiday.jpg")
    report = inspect_folder(root)
    text = report.text()
    assert text.startswith(f"{root}: {recognise(root).name}\n")
    for finding in report.findings:
        assert f"{finding.severity}: {finding.what}" in text
        assert finding.fix in text
        assert all(example in text for example in finding.where)


@pytest.mark.skipif(not REAL.is_dir(), reason="the published crops are not here")
def test_real_market_query_and_gallery(tmp_path):
    for name in ("query", "bounding_box_test"):
        (tmp_path / name).symlink_to(REAL / name)
    report = inspect_folder(tmp_path)
    assert report.image_sizes == Counter({(128, 64): 439 + 1244})
    assert [finding.what[:8] for finding in report.findings] == ["7 of 439"]
