"""What works without the extras, and the line that names the one that is missing."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from siamese.extras import EXTRAS, missing

ROOT = Path(__file__).parents[1]
PAIR = [str(ROOT / "notebooks" / "images" / f"{name}.jpg") for name in
        ("9003C1T0001F005", "9003C2T0001F002")]  # fmt: skip
DISTRIBUTIONS = {"upath": "universal-pathlib"}
"""Packages that are not called as their module."""

WITHOUT = """
import contextlib, io, json, sys
from siamese.extras import EXTRAS
blocked = {module for modules in EXTRAS.values() for module in modules} | {"tensorflow", "h5py"}
sys.modules.update(dict.fromkeys(blocked))  # as if they were not installed
from siamese.cli import main
answers = {}
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(line.split("|"))
    answers[line] = [code, said.getvalue()]
print(json.dumps(answers))
"""


def test_the_core_answers_and_names_the_extra_of_the_rest(tmp_path: Path) -> None:
    pair = "|".join(PAIR)
    (tmp_path / "pairs.csv").write_text(f"img1,img2\n{','.join(PAIR)}\n", encoding="utf-8")
    works = [
        "draw|crops|--people|6|--cameras|2|--frames|1",
        f"verify|{pair}",
        "verify|--pairs|pairs.csv",
        "embed|crops",
        f"find_similar|{PAIR[0]}",
        "inspect|crops",
    ]
    needs = {
        "train|--data|crops": "train",
        f"explain|{pair}": "train",
        f"verify|{pair}|--model|{ROOT / 'siamese/pretrained/model.keras'}": "train",
        "evaluate|--data|crops": "evaluate",
        "calibrate|crops": "evaluate",
        f"verify|{pair}|--output|pair.png": "evaluate",
        "inspect|crops|--output|crops.png": "evaluate",
        "gallery|add|crops": "gallery",
        "gallery|info": "gallery",
        "records|make|--dataset_dir|crops": "records",
        "export": "train",
        "app": "app",
        "serve": "serve",
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, json.dumps([*works, *needs])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(done.stdout)
    for line in works:
        assert answers[line][0] == 0, answers[line]
    for line, extra in needs.items():
        code, said = answers[line]
        assert code == 2, line
        assert re.fullmatch(
            rf"error: .+ needs \w+, which is not installed\. Install it: pip install "
            rf'"siamese-reid\[{extra}\]"\n',
            said,
        ), (line, said)
    left = {"crops", "pairs.csv", "embeddings.npz"}
    assert {path.name for path in tmp_path.iterdir()} == left  # nothing was begun


def test_extras_bring_the_modules_that_they_are_said_to() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = project["optional-dependencies"]

    def bring(extra: str) -> set[str]:
        names: set[str] = set()
        for line in listed[extra]:
            own = re.fullmatch(r"siamese-reid\[(.+)\]", line)
            if own:
                names |= {name for other in own[1].split(",") for name in bring(other)}
            else:
                names.add(re.split(r"[\[<>=]", line)[0].lower().replace("-", "_"))
        return names

    for extra, modules in EXTRAS.items():
        wanted = {DISTRIBUTIONS.get(module, module).replace("-", "_") for module in modules}
        assert wanted <= bring(extra), extra
    assert all(bring(extra) <= bring("all") for extra in EXTRAS)
    core = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]}
    assert core == {"numpy", "onnxruntime", "pillow", "protobuf", "typeguard", "tyro", "rich"}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_hold_the_pins_with_a_hash_for_every_file(lock: str) -> None:
    entries = re.findall(
        r"^(\S+==\S+)(.*?)(?=^\S|\Z)", (ROOT / lock).read_text("utf-8"), re.M | re.S
    )
    pins = re.findall(r"^\S+==\S+", (ROOT / "requirements.txt").read_text("utf-8"), re.M)
    assert {name for name, _ in entries} >= set(pins)
    assert [name for name, rest in entries if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize(
    ("module", "extra"),
    [("scipy", "evaluate"), ("keras", "train"), ("tensorflow", "train"), ("pyarrow", "gallery")],
)
def test_a_missing_module_is_brought_by_the_smallest_extra(module: str, extra: str) -> None:
    assert f"siamese-reid[{extra}]" in str(missing("this", module))
