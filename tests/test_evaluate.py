"""`siamese.evaluate`: files, records, tracklets and folders give whole and right score reports."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from miniatures import earlier_records, market1501, mars
from networks import colour_network
from PIL import Image

from siamese.datasets import Sample, list_samples
from siamese.errors import InputError
from siamese.evaluate import (
    Reranking,
    embed_records,
    embed_samples,
    evaluate,
)
from siamese.evaluate.query_gallery import QueryGallery
from siamese.evaluate.report_images import draw_rank_lists, read_rank_lists
from siamese.evaluate.score_report import FrameCounts, ScoreReport
from siamese.evaluate.scoring import rank
from siamese.inference import Model, load_model
from siamese.metrics.calibration import VERDICTS
from siamese.metrics.pairs import count_pairs
from siamese.metrics.ranking import score_ranking
from siamese.records import build_records
from siamese.vectors import Embeddings

SCORES = ("rank1", "rank5", "rank10", "mAP", "mAP_trapezoid", "mINP", "eer", "auc")


def as_market(tree: Path, folder: Path, *, cameras: tuple[str, ...] = ("1", "2")) -> Path:
    """The drawn people with the folders of Market-1501: the first frame of each asks."""
    for path in tree.rglob("*.jpg"):
        person, camera, frame = path.name[:4], path.name[5], int(path.name[12:15])
        if camera not in cameras:
            continue
        part = folder / ("query" if frame == 1 else "bounding_box_test")
        part.mkdir(exist_ok=True)
        shutil.copy(path, part / f"{person}_c{camera}s1_{frame:06d}_00.jpg")
    return folder


@pytest.fixture(scope="module")
def market(pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_market(pedestrians, tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(colour_network(tmp_path_factory.mktemp("network") / "colours.onnx"))


def test_records_and_files_embed_alike(calibrated: Path, records: Path, pedestrians: Path) -> None:
    model = load_model(calibrated)
    stored = embed_records(model.embed, records, "validation", model.image_size)
    by_name = {
        f"{sample.person}/{Path(sample.path).name}": sample for sample in list_samples(pedestrians)
    }
    samples = [by_name[name] for name in stored.images]
    files = embed_samples(model, samples)
    np.testing.assert_allclose(files.embeddings, stored.embeddings, atol=1e-5)
    np.testing.assert_array_equal(files.people, stored.people)
    np.testing.assert_array_equal(files.cameras, stored.cameras)


def test_images_of_many_sizes_embed_as_alone(calibrated: Path, tmp_path: Path) -> None:
    model = load_model(calibrated)
    random = np.random.default_rng(0)
    samples = []
    for number, (height, width) in enumerate([(64, 32), (128, 64), (90, 41), (64, 32)]):
        path = tmp_path / f"{number}.png"
        noise = random.integers(0, 256, (8, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(path)
        samples.append(Sample(str(path), str(number)))
    together = embed_samples(model, samples).embeddings
    for row, sample in enumerate(samples):
        alone = embed_samples(model, [sample]).embeddings[0]
        np.testing.assert_allclose(together[row], alone, atol=1e-5)


def test_scores_are_those_of_the_images(colours: Model, market: Path) -> None:
    card = evaluate(colours, market)
    assert card.queries == 14 * 2
    assert card.gallery == 14 * 2 * 3
    assert (card.people, card.cameras, card.gallery_distractors) == (14, 2, 0)
    assert (card.protocol, card.left_out) == ("cross-camera", {})
    sides = []
    for part in ("query", "gallery"):
        samples = list_samples(market, part)
        sides += [
            colours.embed([each.path for each in samples]),
            [each.person for each in samples],
            [each.camera for each in samples],
        ]
    by_hand = score_ranking(*sides)
    for name in ("rank1", "rank5", "mAP", "mAP_trapezoid", "mINP"):
        assert getattr(card, name) == pytest.approx(getattr(by_hand, name), abs=1e-6)
    for name in SCORES:
        low, high = card.intervals[name]
        assert 0 <= low <= getattr(card, name) <= high <= 1
    json.dumps(card.to_dict())


def test_cosine_ranks_unit_vectors_as_euclid_does(calibrated: Path, market: Path) -> None:
    euclidean, cosine = (evaluate(calibrated, market, metric=m) for m in ("euclidean", "cosine"))
    assert cosine.mAP == pytest.approx(euclidean.mAP, abs=1e-6)
    assert cosine.eer == pytest.approx(euclidean.eer, abs=1e-3)
    # A Euclidean distance e between unit vectors is a cosine distance of e^2 / 2.
    assert cosine.eer_threshold == pytest.approx(euclidean.eer_threshold**2 / 2, abs=1e-3)
    ours = [card.calibration.expected_calibration_error for card in (euclidean, cosine)]
    assert ours[0] == pytest.approx(ours[1])
    assert cosine.calibration.measured_rates is None
    assert cosine.calibration.measured_words is None
    own = euclidean.calibration
    for words in (own.promised_words, own.measured_words):
        assert list(words) == list(VERDICTS)
        assert np.sum(list(words.values()), axis=0) == pytest.approx([1, 1])
    for rate, (low, high) in zip(own.measured_rates, own.measured_intervals, strict=True):
        assert low <= rate <= high


def test_validation_part_of_records_is_scored(calibrated: Path, records: Path) -> None:
    from siamese.records import read_manifest

    part = read_manifest(records).parts["validation"]
    card = evaluate(calibrated, records)
    assert card.gallery == part.images
    assert card.queries == part.people * 2
    assert card.notes == []


def test_folder_without_queries_asks_by_first_images_and_says_so(
    colours: Model, pedestrians: Path
) -> None:
    card = evaluate(colours, pedestrians)
    assert (card.queries, card.gallery) == (14 * 2, 14 * 2 * 4)
    assert "first of each person and camera" in card.source
    assert "trained on these people" in card.notes[0]


def test_one_camera_drops_the_query_image_alone_and_says_so(
    colours: Model, pedestrians: Path, tmp_path: Path
) -> None:
    market = as_market(pedestrians, tmp_path, cameras=("1",))
    card = evaluate(colours, market)
    assert card.protocol == "query image dropped"
    assert card.verification.protocol == "all pairs"
    assert "Only the query image itself" in card.protocol_text[0]
    # The same image in both folders is the query image, not a match.
    shutil.copytree(market / "query", market / "bounding_box_test", dirs_exist_ok=True)
    again = evaluate(colours, market, output=tmp_path / "card")
    assert again.gallery == card.gallery + 14
    with (tmp_path / "card" / "queries.csv").open(encoding="utf-8") as file:
        assert {row["matches"] for row in csv.DictReader(file)} == {"3"}


def test_queries_whose_own_picture_is_searched_are_counted(
    colours: Model, pedestrians: Path, tmp_path: Path
) -> None:
    folder = as_market(pedestrians, tmp_path, cameras=("1",))
    assert not any("copy" in note for note in evaluate(colours, folder).notes)
    for path in sorted((folder / "query").iterdir())[:3]:
        shutil.copy(path, folder / "bounding_box_test" / path.name.replace("_00.", "_01."))
    notes = evaluate(colours, folder).notes
    assert any(note.startswith("3 of the queries find a copy") for note in notes)


def test_people_without_cameras_are_scored_by_dropping_the_query_image(
    colours: Model, pedestrians: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(pedestrians.rglob("*C1*.jpg"))):
        target = tmp_path / path.name[:4] / f"image {number}.jpg"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    card = evaluate(colours, tmp_path)
    assert (card.dataset, card.cameras) == ("folders", 0)
    assert card.images_without_camera == 14 * 4
    assert card.protocol == "query image dropped"


def test_queries_that_are_not_scored_are_counted_by_their_reason(
    colours: Model, tmp_path: Path
) -> None:
    market = market1501(tmp_path)
    for name in ("0009_c1s1_000001_00.jpg", "0000_c2s1_000001_00.jpg"):
        shutil.copy(market / "query" / "0001_c1s1_001051_00.jpg", market / "query" / name)
    (market / "bounding_box_test" / "0003_c1s6_015971_02.jpg").rename(
        market / "bounding_box_test" / "0003_c4s6_015971_02.jpg"
    )
    card = evaluate(colours, market, output=tmp_path / "card")
    assert card.queries == 1
    assert card.queries_without_match == 3
    assert card.left_out == {
        "the person is there by the query's own camera alone": 1,
        "the person is not in the gallery": 1,
        "it shows a distractor or junk": 1,
    }
    assert card.gallery == 4
    assert card.gallery_distractors == 1
    with (tmp_path / "card" / "queries.csv").open(encoding="utf-8") as file:
        rows = {row["query"]: row for row in csv.DictReader(file)}
    assert len(rows) == 4
    assert rows["0001_c1s1_001051_00.jpg"]["left_out_because"] == ""
    assert float(rows["0001_c1s1_001051_00.jpg"]["AP"]) == card.mAP
    assert rows["0009_c1s1_000001_00.jpg"]["left_out_because"] == "the person is not in the gallery"
    assert rows["0009_c1s1_000001_00.jpg"]["AP"] == ""


def test_mars_is_scored_by_tracklets_and_both_galleries(colours: Model, tmp_path: Path) -> None:
    tree = mars(tmp_path / "mars")
    queries = {(s.person, s.camera, s.tracklet) for s in list_samples(tree, "query")}
    tracklets = {(s.person, s.camera, s.tracklet) for s in list_samples(tree, "gallery")}
    card = evaluate(colours, tree)
    assert card.queries + card.queries_without_match == len(queries)
    assert card.gallery == len(tracklets)
    other = card.variants["mars_gallery_without_queries"]
    assert other.gallery == len(tracklets - queries)
    assert card.tracklets.pooling == "mean"
    assert card.tracklets.frames.total == len({s.path for s in list_samples(tree, "gallery")})
    one = evaluate(colours, tree, pooling="max", frames=1)
    assert one.tracklets.frames.most == 1
    assert "at most 1 frames, evenly spaced, pooled by max" in " ".join(one.protocol_text)


@pytest.mark.parametrize("pooling", ["mean", "max", "median"])
def test_tracklets_of_files_and_of_records_are_pooled_alike(
    calibrated: Path, pedestrians: Path, records: Path, pooling
) -> None:
    from siamese.records import read_manifest

    files = evaluate(calibrated, pedestrians, pooling=pooling)
    assert files.gallery == files.queries == 14 * 2
    assert files.tracklets.frames == FrameCounts(least=4, median=4, most=4, total=14 * 2 * 4)
    stored = evaluate(calibrated, records, pooling=pooling, frames=2)
    assert stored.gallery == read_manifest(records).parts["validation"].people * 2
    assert stored.tracklets.frames.total == 2 * stored.gallery


def test_options_are_applied_and_told(colours: Model, market: Path, tmp_path: Path) -> None:
    plain = evaluate(colours, market)
    changed = evaluate(
        colours,
        market,
        flip=True,
        reranking=Reranking(k1=4, k2=2, original_weight=0.5),
        expand_queries=2,
        false_accept_rates=(0.2, 0.3),
        output=tmp_path,
    )
    assert changed.mAP != plain.mAP
    assert changed.eer != plain.eer  # of the flip
    words = " ".join(changed.protocol_text)
    for word in ("mirrored", "k1 = 4, k2 = 2, lambda = 0.5", "its 2 nearest"):
        assert word in words
        assert word not in " ".join(plain.protocol_text)
    assert [row.false_accept_rate <= 0.3 for row in changed.thresholds] == [True, True]
    assert changed.rerank == Reranking(k1=4, k2=2, original_weight=0.5)
    assert (tmp_path / "report.html").exists()


def test_records_of_the_earlier_project_are_scored_with_a_folder_of_people_around_them(
    calibrated: Path, pedestrians: Path, records: Path, tmp_path: Path
) -> None:
    from siamese.records import read_manifest

    people = read_manifest(records).parts["validation"].people
    shutil.copytree(pedestrians, tmp_path / "tree")
    for folder in (tmp_path / "tree", tmp_path / "tree" / "records"):
        earlier_records(records, folder)
        card = evaluate(calibrated, tmp_path / "tree")
        assert card.dataset == "records"
        assert card.queries == people  # they do not say cameras: one image of each asks
        for shard in folder.glob("*.tfrecord"):
            shard.unlink()


def test_person_0000_of_a_record_set_is_a_person_like_others() -> None:
    images = Embeddings(
        np.eye(4, dtype=np.float32),
        np.array(["0000", "0000", "0001", "0001"]),
        np.array([1, 2, 1, 2]),
        np.array(list("abcd")),
    )
    assert images.people[images.first_rows()].tolist() == images.people.tolist()
    assert count_pairs(**images.labelled).same.sum() == 2
    assert rank(images, images).queries == 4
    nobody = replace(images, distractors=("0000",))
    assert nobody.people[nobody.first_rows()].tolist() == ["0001", "0001"]
    assert rank(nobody.rows(np.array([2, 3])), nobody).queries == 2


def test_images_of_one_name_in_two_folders_are_two_images(tmp_path: Path, colours: Model) -> None:
    for person, colour in (("anna", 40), ("bert", 90), ("carl", 140), ("dora", 190)):
        for walk in ("morning", "evening"):
            path = tmp_path / "tree" / f"{person}.{walk}" / "1.jpg"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (32, 64), (colour, 250 - colour, len(walk))).save(path)
    pattern = r"(?P<person>\w+)\."
    build_records(tmp_path / "tree", pattern=pattern, validation_size=0.5)
    # The folder stands for its records, whatever the pattern of their names.
    card = evaluate(colours, tmp_path / "tree")
    assert card.dataset == "records"
    assert card.queries == card.people > 1  # the other image of the name is the match
    assert card.queries_without_match == 0


def test_expansion_never_uses_the_query_image_itself(calibrated: Path, records: Path) -> None:
    # In a record set the gallery holds the queries: expanded by themselves they would not change.
    plain, expanded = evaluate(calibrated, records), evaluate(calibrated, records, expand_queries=1)
    assert expanded.mAP != plain.mAP


def test_expansion_does_not_know_who_is_who() -> None:
    # The nearest image is of the query's own person and camera: ranking leaves it out, a search
    # that cannot know who asks does not.
    query = Embeddings(
        np.array([[0.0]], np.float32), np.array(["a"]), np.array([1]), np.array(["x"])
    )
    gallery = Embeddings(
        np.array([[0.0], [1.0], [4.0], [9.0]], np.float32),
        np.array(["a", "a", "a", "b"]),
        np.array([1, 1, 2, 2]),
        np.array(["x", "y", "z", "w"]),
    )
    lists = rank(query, gallery, expansion=1).lists
    assert lists.indices[0, :2].tolist() == [2, 3]
    np.testing.assert_allclose(lists.distances[0, :2], [3.5, 8.5])


def test_single_gallery_shot_is_harder_to_rank_and_easier_to_find(
    colours: Model, market: Path
) -> None:
    card = evaluate(colours, market, single_shot=True)
    shot = card.variants["single_gallery_shot"]
    assert shot.cmc[13] == pytest.approx(1.0)  # 14 people, an image each
    assert shot.rank1 == shot.cmc[0] < shot.rank5 < shot.rank10 <= 1


def test_a_card_repeats_but_for_its_times(colours: Model, market: Path) -> None:
    first, second = (evaluate(colours, market, single_shot=True) for _ in range(2))
    assert replace(first, started="", seconds=None) == replace(second, started="", seconds=None)


def test_reports_survive_json_and_those_of_earlier_versions_are_read(
    calibrated: Path, market: Path, records: Path
) -> None:
    for card in (
        evaluate(calibrated, market, single_shot=True, reranking=Reranking(k1=4, k2=2)),
        evaluate(calibrated, records, pooling="mean"),
    ):
        values = json.loads(json.dumps(card.to_dict()))
        assert json.loads(json.dumps(ScoreReport.from_dict(values).to_dict())) == values
    # 0.1.0 wrote fewer entries, and a later version may write more.
    del values["calibration"]["measured_words"], values["notes"], values["preprocessing"]
    older = ScoreReport.from_dict({**values, "of_tomorrow": 1})
    assert (older.mAP, older.calibration.measured_words, older.notes) == (card.mAP, None, ())
    with pytest.raises(InputError, match="must hold all scores"):
        ScoreReport.from_dict({"rank1": 0.5})


def test_digest_follows_the_images_and_not_the_folder(
    colours: Model, market: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(market, tmp_path / "elsewhere"))
    first, second = evaluate(colours, market), evaluate(colours, moved)
    assert first.data_digest == second.data_digest
    next((moved / "bounding_box_test").iterdir()).unlink()
    assert evaluate(colours, moved).data_digest != first.data_digest


def test_single_images_cannot_be_pooled(colours: Model, pedestrians: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(pedestrians.rglob("000[12]C*.jpg"))):
        target = tmp_path / path.name[:4] / f"{number}.jpg"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    with pytest.raises(InputError, match="its tracklet is not known"):
        evaluate(colours, tmp_path, pooling="mean")


@pytest.mark.slow
def test_peer_scores_on_real_crops_are_the_known_ones() -> None:
    shared = Path(__file__).parents[2] / "shared"
    model = shared / "peers" / "osnet_x0_25_msmt17.onnx"
    if not model.exists():
        pytest.skip("the real crops are not here")
    card = evaluate(model, shared / "data" / "market1501")
    assert card.queries + card.queries_without_match == 439
    assert card.gallery == 1_244
    assert 100 * card.rank1 == pytest.approx(74.1, abs=0.3)
    assert 100 * card.mAP == pytest.approx(57.3, abs=0.3)
    assert 100 * card.mINP == pytest.approx(28.0, abs=0.3)
    assert card.calibration is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "`seed` must be >= 0. Received: seed=-1"),
        ({"frames": 2}, "`frames` is of tracklets"),
        ({"heat_maps": lambda query, place: (query, place)}, "Name a folder"),
    ],
)
def test_options_that_would_do_nothing_or_fail_later_are_refused(
    colours: Model, market: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(colours, market, **options)


def test_frames_of_single_images_in_records_are_refused(colours: Model, records: Path) -> None:
    with pytest.raises(InputError, match="`frames` is of tracklets"):
        evaluate(colours, records, frames=2)


def test_rank_lists_say_nothing_of_cameras_that_are_not_known() -> None:
    picture = np.zeros((8, 4, 3), np.uint8)
    images = Embeddings(
        np.eye(2, 8, dtype=np.float32)[[0, 0, 1, 1]],
        np.array(["ann", "ann", "bob", "bob"]),
        np.array([-1, -1, 3, 3]),
        np.array(["a1", "a2", "b1", "b2"]),
    )
    rows = np.arange(4)
    ranking = rank(images, images)
    assert ranking.protocol == "query image dropped"
    pictured = QueryGallery(images, rows, rows, lambda rows: dict.fromkeys(rows, picture))
    lists, _ = read_rank_lists(pictured, ranking, [0, 2])
    figure = draw_rank_lists(list(lists.values()))
    captions = [text.get_text() for text in figure.axes[0].texts]
    assert captions[0] == "ann\nAP 1.00"
    assert "bob cam 3\nAP 1.00" in captions
    assert "0.00" in captions
    assert "cam 3  1.41" in captions
    assert not any("-1" in caption for caption in captions)
