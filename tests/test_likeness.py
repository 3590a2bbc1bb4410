"""`siamese.metrics.likeness`, what `verify` says of it, and the tool that adds it to a model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from colours import write_colour_model
from PIL import Image

import siamese
from siamese import cli
from siamese.images import read_image
from siamese.metrics.likeness import Likeness, fit_likeness, measure_appearance
from siamese.synthetic import write_mars_tree

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops") / "crops"
    write_mars_tree(folder, people=30, cameras=2, frames=1, image_size=(64, 32), seed=4)
    return folder


def test_appearance_worked_by_hand():
    image = np.zeros((128, 64, 3), np.uint8)
    image[:, 32:] = (255, 51, 102)
    [[brightness, contrast, sharpness, saturation, warmth]] = measure_appearance([image])
    right = (1 + 0.2 + 0.4) / 3
    assert brightness == pytest.approx(right / 2)
    assert contrast == pytest.approx(right / 2)
    assert sharpness == pytest.approx(2 * right / 62)  # the edge is in two of 62 columns
    assert saturation == pytest.approx(0.8 / 2)
    assert warmth == pytest.approx(0.6 / 2)


def test_a_fortieth_of_its_own_pairs_is_beyond_the_limit_and_other_light_is():
    random = np.random.default_rng(0)
    own = random.normal(0.5, [0.1, 0.05, 0.01, 0.1, 0.05], (800, 5))
    likeness = fit_likeness(own)
    assert likeness.share_unlike(own) == pytest.approx(0.025, abs=0.005)
    assert likeness.share_unlike(own - [0.35, 0, 0, 0, 0]) > 0.9
    slow = [
        np.sqrt(offset @ np.linalg.inv(np.cov(((own + other) / 2).T)) @ offset) / likeness.limit
        for other in [np.roll(own, 1, axis=0)]
        for offset in [(own[0] + own[1]) / 2 - own.mean(axis=0)]
    ]
    assert likeness.unlikeness(own[:1], own[1:2])[0] == pytest.approx(slow[0], rel=0.15)
    assert Likeness.from_dict(json.loads(json.dumps(likeness.to_dict()))) == likeness
    assert np.isfinite(fit_likeness(np.ones((3, 5))).unlikeness(own, own)).all()


def test_verify_says_in_a_line_that_rates_do_not_hold_and_only_then(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "colours.onnx"
    write_colour_model(path, people=crops)
    images = [str(each) for each in sorted(crops.rglob("*.jpg"))[:2]]
    command = ["verify", "--model", str(path), "--output", str(tmp_path / "pair.png")]
    assert cli.main([*command, *images]) == 0
    assert "unlike" not in capsys.readouterr().out  # a model without it does not warn
    assert siamese.load_model(path).verify(*images).unlikeness is None
    subprocess.run(
        [sys.executable, ROOT / "tools/add_likeness.py", path, "--data", crops],
        check=True, cwd=ROOT, capture_output=True,
    )  # fmt: skip
    model = siamese.load_model(path)
    assert model.likeness is not None
    assert model.likeness.images == 60
    assert model.calibration is not None
    assert cli.main([*command, *images]) == 0
    assert "unlike" not in capsys.readouterr().out
    night = []
    for number, image in enumerate(images):
        night.append(str(tmp_path / f"night{number}.png"))
        Image.fromarray(read_image(image) // 8).save(night[-1])
    assert cli.main([*command, *night]) == 0
    assert "so these rates do not hold: run siamese calibrate" in capsys.readouterr().out
    assert cli.main([*command, *night, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unlikeness"] > 1
    siamese.calibrate(crops, model, labels=False).write(tmp_path / "profile.json")
    assert cli.main([*command, *night, "--profile", str(tmp_path / "profile.json")]) == 0
    assert "unlike" not in capsys.readouterr().out


def test_inspect_says_that_a_folder_is_unlike(
    crops: Path, calibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "model.keras").write_bytes(calibrated.read_bytes())
    (tmp_path / "runs" / "one" / "scores.json").write_text("{}")
    subprocess.run(
        [sys.executable, ROOT / "tools/add_likeness.py", tmp_path / "runs/one/model.keras",
         "--data", crops],
        check=True, cwd=ROOT, capture_output=True,
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    cli.main(["inspect", str(crops)])
    assert "unlike" not in capsys.readouterr().out
    for image in crops.rglob("*.jpg"):
        target = tmp_path / "night" / image.relative_to(crops)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(read_image(image) // 8).save(target)
    cli.main(["inspect", "night"])
    assert "of the images are unlike those" in capsys.readouterr().out
    assert siamese.load_model(tmp_path / "runs/one/model.keras").likeness is not None
