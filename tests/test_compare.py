"""`siamese.evaluate.compare`: noise is called noise, and unlike things are not compared."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from networks import colour_network

from siamese.datasets import list_samples
from siamese.errors import InputError
from siamese.evaluate import compare_scores, evaluate
from siamese.evaluate.score_files import QUERIES_FILE, read_ranking, read_score_report
from siamese.metrics.bootstrap import paired_bootstrap


@pytest.fixture(scope="module")
def cards(pedestrians: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cards of one network that sees 8 cells and one that sees 2, on the drawn people."""
    folder = tmp_path_factory.mktemp("cards")
    for name, cells in (("fine", 16), ("coarse", 32)):
        network = colour_network(folder / f"{name}.onnx", cells=cells)
        evaluate(network, pedestrians, output=folder / name)
    return folder


def changed_copy(cards: Path, folder: Path, **values: object) -> Path:
    """A card with other entries."""
    shutil.copytree(cards / "fine", folder)
    card = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    card.update(values)
    (folder / "scores.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def with_precisions(cards: Path, folder: Path, change: np.ndarray) -> Path:
    """A card whose queries scored a little more or less each."""
    changed_copy(cards, folder)
    lines = (folder / QUERIES_FILE).read_text(encoding="utf-8").splitlines()
    total = 0.0
    for number, (line, extra) in enumerate(zip(lines[1:], change, strict=True), start=1):
        cells = line.split(",")
        cells[5] = repr(float(cells[5]) + float(extra))
        total += float(cells[5])
        lines[number] = ",".join(cells)
    (folder / QUERIES_FILE).write_text("\n".join(lines), encoding="utf-8")
    card = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    card["mAP"] = total / len(change)
    (folder / "scores.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def test_read_ranking_is_what_was_scored(cards: Path) -> None:
    scores = read_ranking(cards / "fine", read_score_report(cards / "fine"))
    results = scores.per_query
    assert results.scored.sum() == scores.queries
    assert np.nanmean(results.average_precision) == pytest.approx(scores.mAP, abs=1e-12)
    assert np.nanmean(results.inverse_negative_penalty) == pytest.approx(scores.mINP, abs=1e-12)
    assert (results.first_match_rank == 1).mean() == pytest.approx(scores.rank1)
    assert len(np.unique(results.people)) == 14


def test_comparison_is_the_paired_bootstrap_of_both(cards: Path) -> None:
    found = compare_scores(cards / "fine", cards / "coarse" / "scores.json")
    rankings = [
        read_ranking(cards / name, read_score_report(cards / name)) for name in ("fine", "coarse")
    ]
    assert found.scores == paired_bootstrap(*rankings, samples=2000)
    values = found.to_dict()
    assert values["first"] == {
        "model": str(cards / "fine.onnx"),
        "fingerprint": found.first.fingerprint,
    }
    row = values["scores"]["mAP"]
    assert row["difference"] == pytest.approx(row["first"] - row["second"])
    turned = compare_scores(cards / "coarse", cards / "fine").to_dict()["scores"]["mAP"]
    assert turned["difference"] == pytest.approx(-row["difference"])
    json.dumps(values)


def test_comparison_names_the_options_that_differ(cards: Path, tmp_path: Path) -> None:
    flipped = changed_copy(cards, tmp_path / "flipped", flip=True)
    values = compare_scores(cards / "fine", flipped).to_dict()
    assert (values["first"]["flip"], values["second"]["flip"]) == (False, True)
    assert "metric" not in values["second"]


def test_a_model_is_not_better_than_itself(cards: Path) -> None:
    found = compare_scores(cards / "fine", cards / "fine")
    assert not any(row["more_than_noise"] for row in found.to_dict()["scores"].values())
    assert found.verdict() == "The two are equal in mAP, whoever is drawn."


def test_a_small_constant_gain_is_more_than_noise_and_a_scattered_one_is_not(
    cards: Path, pedestrians: Path, tmp_path: Path
) -> None:
    queries = len({(s.person, s.camera) for s in list_samples(pedestrians)})
    constant = with_precisions(cards, tmp_path / "constant", np.full(queries, -0.01))
    verdict = compare_scores(cards / "fine", constant).verdict()
    assert verdict.startswith("The first report is better in mAP by 1.0 points (95 % ")
    assert "more than noise" in verdict
    turned = compare_scores(constant, cards / "fine").verdict()
    assert turned == verdict.replace("first", "second")
    # The same mean, made by two people out of fourteen.
    few = np.zeros(queries)
    few[:4] = -0.01 * queries / 4
    assert (
        "within noise"
        in compare_scores(cards / "fine", with_precisions(cards, tmp_path / "few", few)).verdict()
    )


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        ("protocol", "query image dropped", "protocol cross-camera"),
        ("gallery", 7, "gallery size"),
        ("queries", 3, "number of queries"),
        ("data_digest", "0" * 16, "images"),
        ("dataset", "mars", "dataset"),
    ],
)
def test_unlike_cards_are_refused(
    cards: Path, tmp_path: Path, entry: str, value: object, words: str
) -> None:
    other = changed_copy(cards, tmp_path / "other", **{entry: value})
    with pytest.raises(InputError, match=f"Received: {words}"):
        compare_scores(cards / "fine", other)


def test_what_models_may_differ_in_is_not_refused(cards: Path, tmp_path: Path) -> None:
    other = changed_copy(cards, tmp_path / "other", flip=True, metric="cosine", seed=3)
    assert compare_scores(cards / "fine", other).scores["mAP"].difference == 0


def test_files_that_are_no_cards_are_named(cards: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such score report"):
        compare_scores(cards / "fine", tmp_path / "nothing.json")
    (tmp_path / "scores.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="is not JSON"):
        compare_scores(tmp_path, cards / "fine")
    (tmp_path / "scores.json").write_text('{"mAP": 1}', encoding="utf-8")
    with pytest.raises(InputError, match="expected a score report of schema version 1"):
        compare_scores(tmp_path, cards / "fine")
    (tmp_path / "scores.json").write_text('{"schema_version": 1}', encoding="utf-8")
    with pytest.raises(InputError, match="must hold all scores"):
        compare_scores(tmp_path, cards / "fine")
    alone = changed_copy(cards, tmp_path / "alone")
    (alone / QUERIES_FILE).unlink()
    with pytest.raises(InputError, match="Keep it beside scores"):
        compare_scores(alone, cards / "fine")
    other = changed_copy(cards, tmp_path / "other")
    shutil.copy(cards / "coarse" / QUERIES_FILE, other / QUERIES_FILE)
    with pytest.raises(InputError, match="does not belong to the score report"):
        compare_scores(other, cards / "fine")
    (other / QUERIES_FILE).write_text("query,person\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="is damaged"):
        compare_scores(other, cards / "fine")


def test_a_negative_seed_is_refused(cards: Path) -> None:
    with pytest.raises(InputError, match="`seed` must be >= 0"):
        compare_scores(cards / "fine", cards / "coarse", seed=-1)
