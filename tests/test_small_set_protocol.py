"""The small sets' protocol: who is asked for, what is searched, and what that scores."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import miniatures
import numpy as np
import pytest
from networks import colour_network

from siamese import cli
from siamese.datasets import Sample, list_samples, recognise
from siamese.datasets.splits import choose_people
from siamese.errors import InputError
from siamese.evaluate import evaluate
from siamese.evaluate.small_set_protocol import SMALL_SET_SCORES, evaluate_small_set, score_trial
from siamese.evaluate.trials import Plan, Trial, draw_trials, make_plan
from siamese.inference import Model, load_model
from siamese.metrics.calibration import fit_calibration
from siamese.metrics.pairs import count_pairs
from siamese.records import build_records
from siamese.vectors import Embeddings

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(colour_network(tmp_path_factory.mktemp("network") / "colours.onnx"))


def planned(
    draw: Callable[[Path], Path], folder: Path, splits: int = 10, seed: int = 0
) -> tuple[list[Sample], Plan, list[list[Trial]]]:
    draw(folder)
    layout, samples = recognise(folder), list_samples(folder, "all")
    plan = make_plan(samples, layout)
    return samples, plan, draw_trials(samples, plan, layout.distractors, splits=splits, seed=seed)


def asked_for(samples: list[Sample], trial: Trial) -> list[str]:
    return [samples[row].person for row in trial.query]


def check_pairs(samples: list[Sample], trial: Trial) -> None:
    """Query and match are of one person, everybody is asked for once, and nothing comes twice."""
    matches = trial.gallery[: len(trial.query)]
    assert asked_for(samples, trial) == [samples[row].person for row in matches]
    assert len(set(asked_for(samples, trial))) == len(trial.query)
    rows = [*trial.query.tolist(), *trial.gallery.tolist()]
    assert len(set(rows)) == len(rows)


def test_one_trial_by_hand():
    #        query a   b    c    gallery a   b    c   nobody
    places = [0.0, 10.0, 20.0, 4.0, 11.0, 13.0, 2.0]
    images = Embeddings(
        np.array(places, np.float32)[:, None],
        np.array(["a", "b", "c", "a", "b", "c", "nobody 7"]),
        np.full(7, 5),
        np.array([f"{number}.jpg" for number in range(7)]),
    )
    found = score_trial(images, np.arange(3), np.arange(3, 7))
    # Ranks: a behind nobody, b and c first. Pairs of one person: 4, 1, 7; of two: 2, 11, 13 (a),
    # 3, 6, 8 (b), 9, 16, 18 (c). Up to 6: three of nine, and one of three is beyond.
    assert found == pytest.approx(
        {
            "rank1": 2 / 3,
            "rank5": 1,
            "rank10": 1,
            "mAP": 2.5 / 3,
            "mINP": 2.5 / 3,
            "eer": 1 / 3,
            "tar_at_far_0.01": 1 / 3,
            "tar_at_far_0.001": 1 / 3,
        },
        abs=1e-6,
    )
    calibration = replace(
        fit_calibration(count_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3])),
        threshold=4.5,
    )
    own = score_trial(images, np.arange(3), np.arange(3, 7), calibration=calibration)
    assert own["false_accept_rate"] == pytest.approx(2 / 9)
    assert own["false_reject_rate"] == pytest.approx(1 / 3)
    other = score_trial(images, np.arange(3), np.arange(3, 7), "cosine", calibration)
    assert "false_accept_rate" not in other


def test_scores_agree_with_a_slow_loop(colours: Model, tmp_path: Path) -> None:
    miniatures.viper(tmp_path, people=11)
    report = evaluate_small_set(colours, tmp_path, splits=4, seed=5, flip=True)
    samples = list_samples(tmp_path)
    vectors = colours.embed([each.path for each in samples], flip=True).astype(np.float64)
    trials = draw_trials(samples, make_plan(samples, recognise(tmp_path)), splits=4, seed=5)
    per_split = []
    for ways in trials:
        of_ways = []
        for trial in ways:
            ranks, same, different = [], [], []
            for place, query in enumerate(trial.query.tolist()):
                distances = [
                    float(np.sqrt(sum((vectors[query] - vectors[row]) ** 2)))
                    for row in trial.gallery.tolist()
                ]
                same.append(distances[place])
                different += distances[:place] + distances[place + 1 :]
                ranks.append(1 + sum(distance < distances[place] for distance in distances))
            strict = sum(distance < min(different) for distance in same) / len(same)
            scores = {f"rank{k}": sum(rank <= k for rank in ranks) / 6 for k in (1, 5, 10)}
            scores["mAP"] = scores["mINP"] = sum(1 / rank for rank in ranks) / 6
            scores["tar_at_far_0.01"] = scores["tar_at_far_0.001"] = strict
            of_ways.append(scores)
        per_split.append({name: sum(s[name] for s in of_ways) / 2 for name in of_ways[0]})
    for name in per_split[0]:
        values = [each[name] for each in per_split]
        mean = sum(values) / 4
        spread = (sum((value - mean) ** 2 for value in values) / 3) ** 0.5
        assert report.scores[name].mean == pytest.approx(mean, abs=1e-6), name
        assert report.scores[name].spread == pytest.approx(spread, abs=1e-6), name
    assert report.scores["mAP"].spread > 0
    assert 0 < report.scores["eer"].mean < 1


def test_halves_are_drawn_anew_and_repeat(tmp_path: Path) -> None:
    samples, _, trials = planned(lambda root: miniatures.viper(root, people=11), tmp_path)
    asked = [tuple(asked_for(samples, ways[0])) for ways in trials]
    assert {len(people) for people in asked} == {6}  # rounded up, as 60 of i-LIDS's 119
    assert len(set(asked)) > 5
    assert len({person for people in asked for person in people}) == 11
    again = planned(lambda root: root, tmp_path, splits=3)[2]
    assert [tuple(asked_for(samples, ways[0])) for ways in again] == asked[:3]
    other = planned(lambda root: root, tmp_path, seed=1)[2]
    assert [tuple(asked_for(samples, ways[0])) for ways in other] != asked


def test_two_cameras_are_asked_both_ways(tmp_path: Path) -> None:
    samples, plan, trials = planned(miniatures.viper, tmp_path)
    assert (plan.kind, plan.ways) == ("two cameras", ((1, 2), (2, 1)))
    for there, back in trials:
        check_pairs(samples, there)
        assert {samples[row].camera for row in there.query} == {1}
        assert {samples[row].camera for row in there.gallery} == {2}
        assert back.query.tolist() == there.gallery.tolist()
        assert back.gallery.tolist() == there.query.tolist()


def test_one_image_of_several_is_drawn(tmp_path: Path) -> None:
    samples, plan, trials = planned(miniatures.cuhk01, tmp_path)
    assert plan.kind == "two cameras"
    drawn = set()
    for there, _ in trials:
        check_pairs(samples, there)
        assert (len(there.query), len(there.gallery)) == (1, 1)
        drawn |= {(row, match) for row, match in zip(there.query, there.gallery, strict=True)}
    assert len(drawn) > 4  # of 2 people x 2 x 2


def test_distractors_of_prid_stay_in_the_gallery_of_the_one_way(tmp_path: Path) -> None:
    samples, plan, trials = planned(miniatures.prid2011, tmp_path)
    assert (plan.kind, plan.people, plan.others) == ("sides", ("0001", "0200"), ())
    for (trial,) in trials:
        check_pairs(samples, trial)
        assert {Path(samples[row].path).parent.name for row in trial.query} == {"cam_a"}
        assert {Path(samples[row].path).parent.name for row in trial.gallery} == {"cam_b"}
        nobody = [Path(samples[row].path).name for row in trial.gallery[len(trial.query) :]]
        assert nobody == ["person_0201.png", "person_0749.png"]


def test_distractors_of_grid_stay_in_the_gallery(tmp_path: Path) -> None:
    samples, plan, trials = planned(miniatures.grid, tmp_path)
    assert plan.kind == "sides"
    for (trial,) in trials:
        check_pairs(samples, trial)
        assert {Path(samples[row].path).parent.name for row in trial.query} == {"probe"}
        assert [samples[row].person for row in trial.gallery[1:]] == ["0000"] * 3


def test_any_two_images_of_a_person_are_drawn_where_no_camera_is_known(tmp_path: Path) -> None:
    def draw(root: Path) -> Path:
        miniatures.draw_image(root / "0009001.jpg")  # one image: never asked for
        return miniatures.ilids(root)

    samples, plan, trials = planned(draw, tmp_path, splits=40)
    assert (plan.kind, plan.people, plan.others) == ("images", ("0001", "0002", "0003"), ("0009",))
    first = set()
    for (trial,) in trials:
        check_pairs(samples, trial)
        assert [samples[row].person for row in trial.gallery[len(trial.query) :]] == ["0009"]
        first |= {
            (samples[q].path, samples[g].path)
            for q, g in zip(trial.query, trial.gallery, strict=False)
            if samples[q].person == "0002"
        }
    assert len(first) == 2  # either image asks


def test_who_was_seen_by_one_camera_stays_in_its_gallery(tmp_path: Path) -> None:
    samples, plan, trials = planned(
        lambda root: miniatures.flat(miniatures.caviar4reid(root), "0003_001.jpg", *(
            f"0003_{number:03d}.jpg" for number in range(2, 21)
        )),
        tmp_path,
    )  # fmt: skip
    assert (plan.people, plan.others) == (("0002", "0003"), ("0001",))
    shown = set()
    for there, back in trials:
        assert [samples[row].person for row in there.gallery[1:]] == []
        assert [samples[row].person for row in back.gallery[1:]] == ["0001"]
        assert samples[back.gallery[1]].camera == 1
        shown.add(int(back.gallery[1]))
    assert len(shown) > 1


def test_sequences_are_told_apart_where_cameras_are_not_known(tmp_path: Path) -> None:
    samples, plan, trials = planned(miniatures.three_dpes, tmp_path, splits=30)
    assert plan.kind == "tracklets"
    for (trial,) in trials:
        check_pairs(samples, trial)
        for query, match in zip(trial.query, trial.gallery, strict=True):
            assert samples[query].tracklet != samples[match].tracklet


def test_of_more_than_two_cameras_two_are_drawn(tmp_path: Path) -> None:
    def draw(root: Path) -> Path:
        names = [
            f"000{p}_c{c}s1_00000{i}_00.jpg" for p in (1, 2) for c in (1, 2, 3) for i in (1, 2)
        ]
        names += ["0003_c1s1_000001_00.jpg", "0003_c1s1_000002_00.jpg", "-1_c1s1_000001_00.jpg",
                  "0000_c2s1_000001_00.jpg", "0000_c3s1_000001_00.jpg"]  # fmt: skip
        return miniatures.flat(root, *names)

    samples, plan, trials = planned(draw, tmp_path, splits=30)
    assert (plan.kind, plan.ways, plan.others) == ("cameras", (), ("0003",))
    ways = set()
    for (trial,) in trials:
        check_pairs(samples, trial)
        ways.add((samples[trial.query[0]].camera, samples[trial.gallery[0]].camera))
        assert [samples[row].person for row in trial.gallery[1:]] == ["0000", "0000", "0003"]
    assert ways == {(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b}


def test_all_people_once_without_splits(colours: Model, tmp_path: Path) -> None:
    miniatures.viper(tmp_path, people=5)
    report = evaluate_small_set(colours, tmp_path, splits=0)
    assert [way.queries for way in report.ways] == [5, 5]
    assert len(report.per_split) == 1
    assert {found.spread for found in report.scores.values()} == {None}
    assert report.protocol_text[0] == "Small set: all 5 people, once."
    # The embeddings of VIPeR's images decide all: another seed draws nothing else.
    assert evaluate_small_set(colours, tmp_path, splits=0, seed=9).scores == report.scores


def test_people_are_a_slice_by_number() -> None:
    samples = [Sample(f"{p}.jpg", p) for p in ("10", "9", "0000", "007", "b2", "b10")]
    for people, expected in (
        ("2:", ["10", "0000", "b2", "b10"]),
        (":2", ["9", "0000", "007"]),
        ("1:3", ["10", "9", "0000"]),
        ("-1:", ["0000", "b10"]),
        (":", ["10", "9", "0000", "007", "b2", "b10"]),
    ):
        kept = choose_people(samples, people, distractors=["0000"])
        assert [sample.person for sample in kept] == expected, people
    for people in ("316", "a:", "1:2:3", ""):
        with pytest.raises(InputError, match="people must be a slice such as 316: or :316"):
            choose_people(samples, people)
    with pytest.raises(InputError, match=r"must leave somebody\. Received: '6:' of 5 people"):
        choose_people(samples, "6:", ["0000"])


def test_the_first_and_the_last_people_of_a_folder(colours: Model, tmp_path: Path) -> None:
    miniatures.viper(tmp_path / "all", people=6)
    for number, place in enumerate(("first", "first", "first", "last", "last", "last")):
        for path in (tmp_path / "all").glob(f"00{number}_*.bmp"):
            (tmp_path / place).mkdir(exist_ok=True)
            (tmp_path / place / path.name).write_bytes(path.read_bytes())
    for people, place in ((":3", "first"), ("3:", "last")):
        chosen = evaluate_small_set(colours, tmp_path / "all", people=people)
        alone = evaluate_small_set(colours, tmp_path / place)
        assert chosen.scores == alone.scores
        assert f"(those of {people} by number)" in chosen.protocol_text[0]
        standard = evaluate(colours, tmp_path / "all", people=people)
        assert standard.data_digest == evaluate(colours, tmp_path / place).data_digest
        assert f"people {people} by number" in standard.source


def test_slices_keep_queries_and_distractors_of_other_datasets(
    colours: Model, tmp_path: Path
) -> None:
    root = miniatures.market1501(tmp_path)
    for name in ("query/0005_c1s1_000001_00.jpg", "bounding_box_test/0005_c2s1_000001_00.jpg"):
        miniatures.draw_image(root / name)
    report = evaluate(colours, root, people="1:")
    assert (report.queries, report.people, report.gallery) == (2, 2, 3)
    assert report.gallery_distractors == 1
    small = evaluate_small_set(colours, root)  # test people alone, their queries among them
    assert (small.people, small.ways[0].distractors) == (3, 1)


def test_a_pattern_reads_the_folder_that_is_scored(colours: Model, tmp_path: Path) -> None:
    root = miniatures.cuhk01(tmp_path / "crops", people=4)
    build_records(root, validation_size=0.5)
    assert evaluate(colours, root).dataset == "records"
    report = evaluate(colours, root, pattern="ilids")
    assert (report.dataset, report.cameras, report.gallery) == ("ilids", 0, 16)
    assert evaluate(colours, root, people=":").dataset == "cuhk01"
    small = evaluate_small_set(colours, root, pattern="ilids")
    assert (small.dataset, small.pairs_by) == ("ilids", "images")
    assert "easier than across cameras" in small.protocol_text[1]
    for use in (
        lambda: evaluate(colours, root / "records", people="1:"),
        lambda: evaluate_small_set(colours, root / "records"),
    ):
        with pytest.raises(InputError, match=r"holds records\. Expected the dataset folder itself"):
            use()


def test_a_set_without_two_people_of_two_views_is_refused(colours: Model, tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        miniatures.draw_image(tmp_path / name)
    with pytest.raises(InputError, match=r"must have two images .* Received: 1 of 2\. Add images"):
        evaluate_small_set(colours, tmp_path)
    miniatures.draw_image(tmp_path / "b/2.jpg")
    with pytest.raises(InputError, match=r"a half of 2 people is one.* Add people"):
        evaluate_small_set(colours, tmp_path)
    for option in ("splits", "seed"):
        with pytest.raises(InputError, match=f"`{option}` must be >= 0. Received: {option}=-1"):
            evaluate_small_set(colours, tmp_path, **{option: -1})


def test_the_command_prints_and_writes_the_card(
    calibrated: Path, pedestrians: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", "--model", str(calibrated), "--data", str(pedestrians), "--splits", "3",
             "--protocol", "small_set", "--people", "2:"]  # fmt: skip
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert "3 random halves of 12 people (those of 2: by number), 6 each" in told
    assert "of camera 1 against camera 2 and back" in told
    assert "strangers accepted" in told
    (written,) = (tmp_path / "results").glob("*-2to/small_set.json")
    report = json.loads(written.read_text(encoding="utf-8"))
    assert list(report["scores"]) == list(SMALL_SET_SCORES)
    assert all(set(found) == {"mean", "spread"} for found in report["scores"].values())
    assert [list(each) for each in report["per_split"]] == [list(SMALL_SET_SCORES)] * 3
    assert 0 <= report["own_threshold"]["false_accept_rate"]["mean"] <= 1
    page = (Path(__file__).parents[1] / "docs" / "scores.md").read_text(encoding="utf-8")
    section = page.split("`small_set.json`; `--json`")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    documented += section.split("has too: `")[1].split("`")[0].split()
    assert sorted(documented) == sorted(report)
    assert cli.main([*words, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    for changing in ("started", "seconds"):
        del report[changing], again[changing]
    assert again == report


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--protocol", "small_set", "--rerank"], "goes without --rerank, --expand_queries, "),
        (["--splits", "5"], "--splits is of --protocol small_set"),
        (["--protocol", "small_set", "--people", "316"], "people must be a slice such as 316:"),
    ],
)
def test_options_of_another_protocol_are_refused(
    calibrated: Path, pedestrians: Path, capsys, words: list[str], complaint: str
) -> None:
    common = ["--model", str(calibrated), "--data", str(pedestrians), "--json"]
    assert cli.main(["evaluate", *common, *words]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.slow
def test_known_scores_of_a_peer_on_viper() -> None:
    model = SHARED / "peers" / "osnet_x0_25_msmt17.onnx"
    if not model.exists():
        pytest.skip("the real crops are not here")
    report = evaluate_small_set(model, SHARED / "data" / "peta" / "VIPeR", flip=True)
    found = {name: 100 * score.mean for name, score in report.scores.items()}
    assert found["rank1"] == pytest.approx(42.3, abs=1)
    assert found["mAP"] == pytest.approx(53.1, abs=1)
    assert found["eer"] == pytest.approx(11.6, abs=0.5)
