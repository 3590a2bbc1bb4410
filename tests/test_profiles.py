"""Calibration without labels: by hand, by slow loops, on made-up people; file and commands."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colours import write_colour_model

import siamese
from siamese import cli
from siamese.cli.evaluation_commands import print_scores
from siamese.embeddings import embed_folder, list_all
from siamese.errors import InputError
from siamese.evaluate import embed_samples, evaluate, score_embedded
from siamese.evaluate.small_set_protocol import evaluate_small_set
from siamese.inference import Model
from siamese.metrics.unlabelled import (
    PRIOR_IMAGES,
    STEPS,
    UnlabelledPairs,
    bootstrap_unlabelled,
    calibrate_unlabelled,
    camera_statistics,
    count_unlabelled,
    estimate_same_person,
    standardise,
)
from siamese.profiles import Profile, calibrate, read_profile
from siamese.synthetic import write_mars_tree


def unit(rows):
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def made_up(people, cameras=2, images=1, seed=0, noise=0.7, shift=0.6):
    """Embeddings of people by cameras that each move all embeddings in a direction of their own."""
    random = np.random.default_rng(seed)
    persons = np.repeat(np.arange(people), cameras * images)
    numbers = np.tile(np.repeat(np.arange(1, cameras + 1), images), people)
    identity, offset = random.normal(size=(people, 64)), random.normal(size=(cameras, 64))
    rows = identity[persons] + shift * offset[numbers - 1]
    rows += noise * random.normal(size=rows.shape)
    return unit(rows), persons, numbers


def none_of(numbers):
    return np.full(len(numbers), -1)


def test_statistics_of_cameras_worked_by_hand():
    rows = np.array([[0.0, 1], [2, 1], [2, 3], [6, 3], [4, 3]])
    found = camera_statistics(rows, np.array([1, 1, 2, 2, 2]))
    # Squares about the means (1, 1) and (4, 3): 2 and 8 of the first number, none of the second.
    within = np.array([10 / 3, 0])
    floor = 1e-6 * rows.var(axis=0).mean()
    assert found[1].deviation == pytest.approx(
        np.sqrt((np.array([2, 0]) + PRIOR_IMAGES * within) / (2 + PRIOR_IMAGES) + floor)
    )
    # Variance between the means (4.5 and 2), less the noise of means of two and of three images.
    noise = within.mean() * (1 / 2 + 1 / 3) / 2
    weight = within.mean() / (3.25 - noise)
    mean = (2 * np.array([1, 1]) + weight * np.array([2.5, 2])) / (2 + weight)
    assert found[1].mean == pytest.approx(mean)
    assert found[-1].mean == pytest.approx(rows.mean(axis=0))
    assert (found[1].images, found[2].images, found[-1].images) == (2, 3, 5)


def test_a_camera_of_one_image_is_as_the_whole_and_equal_images_are_no_failure():
    rows, _, cameras = made_up(40)
    cameras[0] = 9
    found = camera_statistics(rows, cameras)
    one = standardise(rows[:1], [9], found)
    assert np.linalg.norm(one) == pytest.approx(1)
    assert found[9].deviation == pytest.approx(found[1].deviation, rel=0.2)
    same = np.tile(rows[:1], (4, 1))
    assert np.isfinite(
        standardise(same, [1, 1, 2, 2], camera_statistics(same, np.array([1, 1, 2, 2])))
    ).all()
    with pytest.raises(InputError, match="at least two images"):
        camera_statistics(rows[:1], cameras[:1])


def test_standardising_does_not_see_a_camera_that_stretches_and_moves():
    rows, _, cameras = made_up(200, shift=0.0)
    rows = rows.astype(np.float64)
    scale, move = np.linspace(0.5, 2, 64), np.linspace(-1, 1, 64)
    changed = np.where(cameras[:, None] == 2, rows * scale + move, rows)
    before = standardise(rows, cameras, camera_statistics(rows, cameras))
    after = standardise(changed, cameras, camera_statistics(changed, cameras))
    # Shrinking towards the whole, 20 images of 220, is what is left.
    assert np.einsum("ij,ij->i", before, after).min() > 0.98
    unknown = standardise(rows, none_of(cameras), camera_statistics(rows, cameras))
    one = standardise(rows, cameras * 0 + 77, camera_statistics(rows, cameras))
    np.testing.assert_array_equal(unknown, one)


@pytest.mark.parametrize(
    ("cameras", "tracklets", "pairing"),
    [
        ([1, 1, 2, -1, 3], [5, 5, 5, 5, 5], "two cameras"),
        ([1, 1, 1, -1, -1], [5, 6, 6, -1, 7], "two tracklets"),
        ([-1] * 5, [-1] * 5, "any two images"),
    ],
)
def test_pairs_are_those_of_a_slow_loop(cameras, tracklets, pairing):
    rows = unit(np.random.default_rng(1).normal(size=(5, 8)))
    groups = {"two cameras": cameras, "two tracklets": tracklets}.get(pairing, [0, 1, 2, 3, 4])
    expected = np.zeros(STEPS, int)
    for one in range(5):
        for other in range(one + 1, 5):
            if min(groups[one], groups[other]) >= 0 and groups[one] != groups[other]:
                distance = np.linalg.norm(rows[one].astype(float) - rows[other])
                expected[int(np.ceil(distance * STEPS / 2)) - 1] += 1
    found = count_unlabelled(rows, np.array(cameras), np.array(tracklets))
    assert found.pairing == pairing
    np.testing.assert_array_equal(found.counts, expected)


def test_images_of_one_tracklet_alone_are_refused():
    with pytest.raises(InputError, match="several people"):
        count_unlabelled(unit(np.ones((1, 4))), np.array([-1]), np.array([-1]))


@pytest.mark.parametrize("people", [50, 100, 200])
def test_one_percent_of_strangers_is_kept_though_true_pairs_hide_among_them(people):
    rates = []
    for seed in range(6):
        rows, persons, cameras = made_up(people + 150, seed=seed)
        known, judged = persons < people, persons >= people
        statistics = camera_statistics(rows[known], cameras[known])
        ours = standardise(rows[known], cameras[known], statistics)
        theirs = standardise(rows[judged], cameras[judged], statistics)
        found, share = calibrate_unlabelled(
            count_unlabelled(ours, cameras[known], none_of(cameras[known]))
        )
        assert 0 < share < 5 / people
        first, second = (cameras[judged] == number for number in (1, 2))
        distances = np.linalg.norm(theirs[first][:, None] - theirs[second], axis=2)
        strangers = ~np.eye(len(distances), dtype=bool)
        rates.append((distances[strangers] <= found.threshold).mean())
    assert 0.005 < np.mean(rates) < 0.02


def test_more_true_pairs_do_not_make_the_threshold_as_strict_as_the_share_below_it_would():
    """With 20 people every twentieth pair is of one person: five times the promised share."""
    rows, _, cameras = made_up(20, noise=0.3)
    pairs = count_unlabelled(rows, cameras, none_of(cameras))
    probabilities, share = estimate_same_person(pairs.counts)
    assert share == pytest.approx(1 / 20, rel=0.3)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    found, _ = calibrate_unlabelled(pairs)
    naive = np.searchsorted(np.cumsum(pairs.counts) / pairs.counts.sum(), 0.01) * 2 / STEPS
    assert found.threshold > naive + 0.1


def test_the_curve_of_the_model_moves_with_its_false_accepts():
    counts = np.zeros(STEPS, int)
    counts[1000:3000] = 1
    few = UnlabelledPairs(counts, "two cameras", 100)
    own, _ = calibrate_unlabelled(few)
    moved = UnlabelledPairs(np.roll(counts, 500), "two cameras", 100)
    found, _ = calibrate_unlabelled(moved, reference=own)
    shift = 500 * 2 / STEPS
    assert found.centre == pytest.approx(own.centre + shift, abs=0.01)
    assert found.slope == pytest.approx(own.slope, rel=0.02)
    for distance in (0.6, 0.9, 1.2):
        assert found.probability(distance + shift) == pytest.approx(
            own.probability(distance), abs=0.02
        )
    assert np.isnan(found.error_rates(1.0)[1])
    assert found.same_pairs == found.people == 0


def test_the_interval_holds_the_rate_and_narrows_with_images():
    widths = []
    for people in (40, 160):
        rows, _, cameras = made_up(people)
        low, high = bootstrap_unlabelled(rows, cameras, none_of(cameras))
        assert low < 0.01 < high
        widths.append(high - low)
    assert widths[1] < widths[0]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    write_mars_tree(folder, people=24, cameras=2, frames=1, image_size=(64, 32), seed=3)
    return folder


def test_a_profile_is_a_file_that_answers_for_its_model_alone(
    crops: Path, calibrated: Path, tmp_path: Path
) -> None:
    model = siamese.load_model(calibrated)
    profile = siamese.calibrate(crops, model, labels=False)
    profile.write(tmp_path / "profile.json")
    again = read_profile(tmp_path / "profile.json")
    assert again.calibration.to_dict() == profile.calibration.to_dict()
    images = sorted(crops.rglob("*.jpg"))[:2]
    answers = [
        model.verify(*images, profile=each, cameras=(1, 2)).to_dict() for each in (profile, again)
    ]
    assert answers[0]["distance"] == pytest.approx(answers[1]["distance"], abs=1e-4)
    assert answers[1]["false_reject_rate"] is answers[1]["verdict_same_share"] is None
    assert "NaN" not in json.dumps(answers)
    rows = profile.standardise(model.embed(images), [1, 2])
    assert answers[0]["distance"] == pytest.approx(
        float(np.linalg.norm(rows[0] - rows[1])), abs=1e-5
    )
    assert answers[0]["distance"] != pytest.approx(model.verify(*images).distance, abs=1e-3)
    other = Profile(**{**vars(profile), "fingerprint": "0" * 16})
    with pytest.raises(InputError, match="the profile is of a model with 0000"):
        model.verify(*images, profile=other)


def test_people_who_are_known_give_both_error_rates(crops: Path, calibrated: Path) -> None:
    known, unknown = (calibrate(crops, calibrated, labels=each) for each in (True, False))
    assert (known.calibration.people, known.pairing) == (24, None)
    assert 0 <= known.calibration.error_rates(known.calibration.threshold)[1] <= 1
    assert known.calibration.false_reject_interval is not None
    assert (unknown.calibration.people, unknown.pairing) == (0, "two cameras")
    assert known.cameras.keys() == unknown.cameras.keys() == {-1, 1, 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("cameras"), "is not a profile"),
        (lambda values: values.update(format=99), "another version"),
        (lambda values: values["cameras"].pop("-1"), "do not agree"),
        (lambda values: values["cameras"]["1"].update(mean=[1.0]), "do not agree"),
        (lambda values: values["calibration"].pop("slope"), "slope"),
    ],
)
def test_damaged_profiles_are_refused_in_a_line(
    crops: Path, calibrated: Path, tmp_path: Path, change, message
) -> None:
    path = tmp_path / "profile.json"
    with pytest.raises(InputError, match="siamese calibrate"):
        read_profile(path)
    calibrate(crops, calibrated, labels=False).write(path)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=message):
        read_profile(path)


def test_the_commands_calibrate_and_verify(
    crops: Path,
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ["--model", str(calibrated)]
    assert cli.main(["calibrate", str(crops), *model, "--labels", "False"]) == 0
    told = capsys.readouterr().out
    assert "pairs of two cameras" in told
    assert "not known without labels" in told
    assert cli.main(["calibrate", str(crops), *model, "--json", "--output", "known.json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["people"], summary["cameras"]) == (24, {"1": 24, "2": 24})
    images = [str(path) for path in sorted(crops.rglob("*.jpg"))[:2]]
    pair = ["verify", "-i1", images[0], "-i2", images[1], *model, "--profile", "profile.json"]
    assert cli.main([*pair, "--output", "pair.png"]) == 0
    assert "an unknown share of the pairs of one person are missed" in capsys.readouterr().out
    distances = []
    for cameras in ([], ["--camera1", "1", "--camera2", "2"], ["--camera1", "2", "--camera2", "1"]):
        assert cli.main([*pair, *cameras, "--json"]) == 0
        distances.append(json.loads(capsys.readouterr().out)["distance"])
    assert distances[0] == distances[1] != distances[2]  # the names tell the cameras
    assert cli.main(["verify", *images, *model, "--profile", "profile.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["distance"] == distances[0]
    for words in ([], images[:1], [*images, images[0]], [*images, "-i1", images[0]]):
        assert cli.main(["verify", *words, *model]) == 2
        assert "two images are needed" in capsys.readouterr().err


@pytest.fixture(scope="module")
def colours(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_colour_model(tmp_path_factory.mktemp("model") / "colours.onnx", people=crops)


def test_scores_with_a_profile_stand_beside_those_without(
    crops: Path, colours: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = colours
    profile = calibrate(crops, model, labels=False)
    plain = evaluate(model, crops)
    found = evaluate(model, crops, profile=profile, output=tmp_path / "scores")
    assert (
        found.without_profile.to_dict().items()
        >= {
            name: getattr(plain, name) for name in ("rank1", "mAP", "eer", "tar_at_far", "queries")
        }.items()
    )
    assert found.without_profile.rates_at_threshold == plain.calibration.measured_rates
    images = embed_samples(model, list_all(crops))
    rows = profile.standardise(images.embeddings, images.cameras)
    moved = replace(images, embeddings=rows)
    alone = score_embedded(moved)
    assert (found.mAP, found.eer) == (alone.ranking.mAP, alone.verification.eer)
    assert found.calibration.threshold == profile.calibration.threshold
    assert found.calibration.promised_rates[1] is None
    written = (tmp_path / "scores" / "scores.json").read_text()
    assert "NaN" not in written
    assert json.loads(written)["profile"] == profile.digest
    assert "profile" not in plain.to_dict()
    assert "Without the profile" in (tmp_path / "scores" / "report.html").read_text()
    print_scores(found, title="crops")
    told = capsys.readouterr().out
    assert "no profile   Rank-1" in told
    assert "people rejected an unknown share" in told
    small = evaluate_small_set(model, crops, splits=2, profile=profile)
    assert small.without_profile == evaluate_small_set(model, crops, splits=2).scores | {
        name: small.without_profile[name] for name in ("false_accept_rate", "false_reject_rate")
    }
    assert small.scores["eer"] != small.without_profile["eer"]
    other = replace(profile, fingerprint="0" * 16)
    for stage in (evaluate, evaluate_small_set):
        with pytest.raises(InputError, match="the profile is of a model with 0000"):
            stage(model, crops, profile=other)


def test_standardised_embeddings_compare_with_those_of_their_profile_alone(
    crops: Path,
    colours: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model = colours
    profile = calibrate(crops, model, labels=False)
    profile.write("profile.json")
    store = embed_folder(crops, "rows.npz", model, profile=profile)
    plain = embed_folder(crops, "plain.npz", model)
    np.testing.assert_array_equal(
        store.embeddings, profile.standardise(plain.embeddings, plain.cameras)
    )
    row = int(np.flatnonzero(store.cameras == 2)[0])
    command = ["find_similar", store.images[row], "--model", str(model.path), "--json"]
    files = ["--embeddings", "rows.npz"], ["--profile", "profile.json"]
    assert cli.main([*command, *files[0], *files[1]]) == 0
    nearest = json.loads(capsys.readouterr().out)["closest"][0]
    assert (nearest["image"], nearest["distance"]) == (
        store.images[row],
        pytest.approx(0, abs=1e-4),
    )
    assert cli.main([*command, *files[0], *files[1], "--camera", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["closest"][0]["distance"] > 1e-3
    for words in (files[0], ["--embeddings", "plain.npz", *files[1]]):
        assert cli.main([*command, *words]) == 2
        assert "standardised by the profile" in capsys.readouterr().err
