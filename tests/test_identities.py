"""Who is who: clusters by hand and by a slow loop, scores by hand, the stage and its command."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from colours import write_colour_model

import siamese
from siamese import cli
from siamese.errors import InputError
from siamese.evaluate import ScoreReport, evaluate
from siamese.gallery import Gallery
from siamese.identities import find_identities
from siamese.inference import Model
from siamese.metrics import clustering
from siamese.metrics.clustering import cluster_people, score_clusters
from siamese.synthetic import write_mars_tree


def unit(rows):
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def slow_clusters(rows, threshold):
    """Joins the two clusters of the smallest mean squared distance, again and again."""
    clusters = [[each] for each in range(len(rows))]
    squares = ((rows[:, None].astype(float) - rows) ** 2).sum(axis=2)
    while len(clusters) > 1:
        means = {
            pair: squares[np.ix_(clusters[pair[0]], clusters[pair[1]])].mean()
            for pair in itertools.combinations(range(len(clusters)), 2)
        }
        (one, other), smallest = min(means.items(), key=lambda item: item[1])
        if smallest > threshold**2:
            break
        clusters[one] += clusters.pop(other)
    return {frozenset(each) for each in clusters}


def sets(labels):
    return {frozenset(np.flatnonzero(labels == each).tolist()) for each in np.unique(labels)}


@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.9, 1.1, 1.5])
def test_clusters_are_those_of_a_slow_loop(threshold):
    random = np.random.default_rng(4)
    rows = unit(np.repeat(random.normal(size=(8, 6)), 5, axis=0) + random.normal(size=(40, 6)) / 2)
    found = cluster_people(rows, threshold)
    assert sets(found) == slow_clusters(rows, threshold)
    assert (np.diff(np.bincount(found)) <= 0).all()  # the largest identity is 0


def test_clusters_do_not_depend_on_the_order_or_on_blocks(monkeypatch):
    random = np.random.default_rng(5)
    rows = unit(
        np.repeat(random.normal(size=(20, 16)), 6, axis=0) + random.normal(size=(120, 16)) / 2
    )
    whole = sets(cluster_people(rows, 0.9))
    order = random.permutation(len(rows))
    turned = cluster_people(rows[order], 0.9)
    assert {frozenset(order[list(each)].tolist()) for each in sets(turned)} == whole
    monkeypatch.setattr(clustering, "_ROWS", 7)
    assert sets(cluster_people(rows, 0.9)) == whole


def test_a_large_component_is_split_and_joined_again(monkeypatch):
    random = np.random.default_rng(6)
    rows = unit(
        np.repeat(random.normal(size=(30, 32)), 8, axis=0) + random.normal(size=(240, 32)) / 3
    )
    whole = cluster_people(rows, 1.25)
    monkeypatch.setattr(clustering, "LARGEST_COMPONENT", 60)
    parts = cluster_people(rows, 1.25)
    assert score_clusters(parts, whole).bcubed_f1 > 0.97


def slow_constrained(rows, threshold, together, apart):
    """The same with units in place of images, and no join of two units that must be apart."""
    units = {}
    for row, key in enumerate(together):
        units.setdefault(("one", row) if key < 0 else key, []).append(row)
    clusters = [[each] for each in units.values()]  # of units, of images
    means = {id(unit): rows[unit].astype(float).mean(axis=0) for unit in units.values()}

    def barred(one, other):
        keys = [{apart[row] for unit in each for row in unit} - {-1} for each in (one, other)]
        return bool(keys[0] & keys[1])

    def distance(one, other):
        return np.mean([2 - 2 * means[id(a)] @ means[id(b)] for a in one for b in other])

    while True:
        pairs = [
            (distance(*each), *each)
            for each in itertools.combinations(clusters, 2)
            if not barred(*each)
        ]
        best = min(pairs, key=lambda each: each[0], default=None)
        if best is None or best[0] > threshold**2:
            return {frozenset(row for unit in each for row in unit) for each in clusters}
        clusters = [each for each in clusters if each is not best[1] and each is not best[2]]
        clusters.append(best[1] + best[2])


@pytest.mark.parametrize("threshold", [0.5, 0.9, 1.3, 1.9])
def test_constraints_are_those_of_a_slow_loop(threshold):
    random = np.random.default_rng(7)
    rows = unit(np.repeat(random.normal(size=(6, 6)), 5, axis=0) + random.normal(size=(30, 6)))
    together = np.where(random.random(30) < 0.5, random.integers(0, 6, 30), -1)
    # Frames apart, but never within what is together, nor through it: each unit has one frame.
    frames = {key: random.integers(0, 5) for key in range(6)}
    apart = np.array([frames[key] if key >= 0 else random.integers(-1, 5) for key in together])
    found = cluster_people(rows, threshold, together=together, apart=apart)
    assert sets(found) == slow_constrained(rows, threshold, together, apart)
    for key in range(6):
        assert len(set(found[together == key])) <= 1
    for frame in range(5):
        inside = found[(apart == frame) & (together < 0)]
        assert len(set(inside)) == len(inside)


def test_constraints_hold_where_a_component_is_split(monkeypatch):
    random = np.random.default_rng(6)
    rows = unit(
        np.repeat(random.normal(size=(30, 32)), 8, axis=0) + random.normal(size=(240, 32)) / 3
    )
    apart = np.where(np.arange(240) % 8 < 2, np.arange(240) // 8, -1)  # two of each person
    monkeypatch.setattr(clustering, "LARGEST_COMPONENT", 60)
    found = cluster_people(rows, 1.25, apart=apart)
    assert (found[::8] != found[1::8]).all()
    assert len(set(found)) > len(set(cluster_people(rows, 1.25)))


def test_images_that_nothing_joins_stay_alone():
    assert cluster_people(np.eye(3, dtype=np.float32), 0.5).tolist() == [0, 1, 2]
    assert cluster_people(np.ones((1, 1), np.float32), 0.5).tolist() == [0]
    assert cluster_people(np.tile(np.eye(1, 4, dtype=np.float32), (4, 1)), 0.0).tolist() == [0] * 4


def test_scores_worked_by_hand():
    # Identity 0 holds a, a, b; identity 1 holds b; identity 2 holds c, c.
    scores = score_clusters([0, 0, 0, 1, 2, 2], ["a", "a", "b", "b", "c", "c"])
    assert (scores.people, scores.identities) == (3, 3)
    assert scores.pair_precision == pytest.approx(2 / 4)
    assert scores.pair_recall == pytest.approx(2 / 3)
    assert scores.bcubed_precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1 + 1) / 6)
    assert scores.bcubed_recall == pytest.approx((1 + 1 + 1 / 2 + 1 / 2 + 1 + 1) / 6)
    precision, recall = scores.bcubed_precision, scores.bcubed_recall
    assert scores.bcubed_f1 == pytest.approx(2 * precision * recall / (precision + recall))
    entropy = np.log(6) - (3 * np.log(3) + 2 * np.log(2)) / 6
    people = np.log(3)
    joint = np.log(6) - 2 * (2 * np.log(2)) / 6
    homogeneity, completeness = ((entropy + people - joint) / each for each in (people, entropy))
    assert scores.v_measure == pytest.approx(
        2 * homogeneity * completeness / (homogeneity + completeness)
    )


def test_scores_of_perfect_and_of_useless_identities():
    people = np.repeat(np.arange(10), 4)
    perfect = score_clusters(people[::-1] * 7, people[::-1])
    assert (perfect.bcubed_f1, perfect.v_measure, perfect.pair_precision) == (
        1,
        pytest.approx(1),
        1,
    )
    assert perfect.bcubed_f1_interval == (1, 1)
    one = score_clusters(np.zeros(40, int), people)
    assert (one.bcubed_precision, one.bcubed_recall, one.pair_recall) == (pytest.approx(0.1), 1, 1)
    alone = score_clusters(np.arange(40), people)
    assert (alone.bcubed_precision, alone.bcubed_recall) == (1, pytest.approx(0.25))
    assert (alone.pair_precision, alone.pair_recall) == (1, 0)
    low, high = score_clusters(np.arange(40) // 3, people).bcubed_f1_interval
    assert low < score_clusters(np.arange(40) // 3, people).bcubed_f1 < high


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    write_mars_tree(folder, people=24, cameras=2, frames=2, seed=3)
    return folder


def test_drawn_people_are_found_by_the_pretrained_model(crops: Path) -> None:
    model = siamese.load_model("pretrained")
    found = siamese.find_identities(crops, model)
    assert found.scores is not None
    assert found.scores.bcubed_f1 > 0.8
    assert len(found.numbers) == len(found.confidence) == 96
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    rows = model.embed([each.path for each in found.samples]).astype(float)
    for number in (0, int(found.numbers.max())):
        members = np.flatnonzero(found.numbers == number)
        if len(members) > 1:
            squares = ((rows[members[0]] - rows[members[1:]]) ** 2).sum(axis=1)
            sure = model.calibration.probability(np.sqrt(squares.mean()))
            assert found.confidence[members[0]] == pytest.approx(float(sure), abs=1e-3)
    for link in found.links[:5]:
        one, other = (rows[found.numbers == each] for each in (link.first, link.second))
        distance = np.sqrt(((one[:, None] - other) ** 2).sum(axis=2).mean())
        assert distance > found.threshold
        assert link.probability == pytest.approx(
            float(model.calibration.probability(distance)), abs=1e-3
        )
    strict = find_identities(crops, model, false_accept_rate=1e-4)
    assert strict.numbers.max() >= found.numbers.max()


def test_names_of_people_do_not_reach_the_identities(crops: Path, tmp_path: Path) -> None:
    """Every image as a person of its own: the same identities, other scores."""
    images = sorted(crops.rglob("*.jpg"))
    for number, image in enumerate(images):
        (tmp_path / f"{number:04d}C{image.name[5]}T0001F001.jpg").write_bytes(image.read_bytes())
    model = siamese.load_model("pretrained")
    known, hidden = (find_identities(folder, model) for folder in (crops, tmp_path))
    assert [each.path for each in known.samples] == [str(each) for each in images]
    np.testing.assert_array_equal(known.numbers, hidden.numbers)
    assert hidden.scores is not None
    assert hidden.scores.pair_precision == 0


def test_the_command_writes_a_table_and_a_sheet(
    crops: Path,
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["identities", str(crops), "--model", str(calibrated)]
    assert cli.main([*words, "--sheet", "people.png"]) == 0
    assert "B-cubed F1" in capsys.readouterr().out
    assert (tmp_path / "people.png").read_bytes()[1:4] == b"PNG"
    with (tmp_path / "identities.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 96
    assert list(rows[0]) == ["image", "identity", "confidence"]
    siamese.calibrate(crops, calibrated).write("profile.json")
    assert cli.main([*words, "--profile", "profile.json", "--json", "--output", "x.csv"]) == 0
    answer = json.loads(capsys.readouterr().out)
    with (tmp_path / "x.csv").open(newline="") as file:
        assert answer["identities"] == len({row["identity"] for row in csv.DictReader(file)})


def test_a_model_without_calibration_needs_a_profile(crops: Path, calibrated: Path) -> None:
    model = siamese.load_model(calibrated)
    profile = siamese.calibrate(crops, model, labels=False)
    model.calibration = None
    with pytest.raises(InputError, match="siamese calibrate"):
        find_identities(crops, model)
    assert len(find_identities(crops, model, profile=profile).numbers) == 96


@pytest.fixture(scope="module")
def colours(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_colour_model(tmp_path_factory.mktemp("model") / "colours.onnx", people=crops)


def test_tracklets_and_frames_constrain_a_folder(crops: Path, colours: Model) -> None:
    found = find_identities(crops, colours, false_accept_rate=0.2, tracklets=True, frames=True)
    frames = {}
    for number, each in zip(found.numbers.tolist(), found.samples, strict=True):
        frames.setdefault((each.person, each.camera, each.tracklet), set()).add(number)
        frames.setdefault((each.camera, each.frame), []).append(number)
    for key, numbers in frames.items():
        assert len(numbers) == 1 if len(key) == 3 else len(set(numbers)) == len(numbers), key
    free = find_identities(crops, colours, false_accept_rate=0.2)
    assert found.scores.bcubed_precision > free.scores.bcubed_precision


def test_names_go_into_the_gallery_and_are_taken_back(
    crops: Path,
    colours: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    gallery = Gallery("people", colours)
    gallery.add(crops, anonymous=True)
    paths = [each.path for each in gallery.images()]
    gallery.rename({paths[0]: "Ann", paths[1]: "identity 0"})
    words = ["identities", "people", "--model", str(colours.path)]
    assert cli.main([*words, "--names"]) == 0
    assert "Review of siamese app asks" in (told := capsys.readouterr().out)
    names = {each.path: each.person for each in gallery.images()}
    assert names[paths[0]] == "Ann"
    assert names[paths[1]] == "identity 0"
    with Path("identities.csv").open(newline="") as file:
        identity = {row["image"]: row["identity"] for row in csv.DictReader(file)}
    assert f"named        {sum(each is not None for each in names.values()) - 2}" in told
    for path, name in names.items():
        mates = [each for each in identity if identity[each] == identity[path]]
        if len(mates) == 1 and path not in paths[:2]:
            assert name is None
        else:
            assert name is not None
            # One name is one identity: none is given twice, nor one that somebody has.
            assert {identity[each] for each, own in names.items() if own == name} == {
                identity[path]
            }
    gallery.rename({paths[5]: "Bob"})
    assert cli.main([*words, "--undo", "identities-names.csv"]) == 0
    after = {each.path: each.person for each in gallery.images() if each.person is not None}
    assert after == {paths[0]: "Ann", paths[1]: "identity 0", paths[5]: "Bob"}
    assert cli.main(["identities", str(crops), "--names"]) == 2
    assert "is no gallery" in capsys.readouterr().err


def test_evaluate_scores_identities(crops: Path, colours: Model) -> None:
    report = evaluate(colours, crops, identities=True)
    samples = find_identities(crops, colours).samples
    rows = colours.embed([each.path for each in samples])
    numbers = cluster_people(rows, colours.calibration.threshold)
    alone = score_clusters(numbers, [each.person for each in samples])
    assert report.identities == alone
    assert report.to_dict()["identities"]["people"] == 24
    assert "identities" not in evaluate(colours, crops).to_dict()
    assert ScoreReport.from_dict(report.to_dict()).identities.people == 24
