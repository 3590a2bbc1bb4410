"""`siamese.telemetry`: no package that this program imports reports its use to anybody."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from siamese.telemetry import REPORTERS, SWITCHES

ROOT = Path(__file__).parents[1]
BOX = ROOT / "siamese" / "pretrained" / "model.onnx"
CROP = next((ROOT / "notebooks" / "images").glob("*.jpg"))
SPIES = [(package, name) for package, switches in SWITCHES.items() for name in switches]

ENTRIES = {
    "command line": ("onnxruntime", "from siamese.cli import main; main(['embed', crops])"),
    "Python": ("onnxruntime", "import siamese; siamese.load_model(model)"),
    "export": (
        "onnxruntime",
        "from siamese.export import export_model; export_model(model, 'new.onnx')",
    ),
    "worker": (
        "onnxruntime",
        "from siamese.gallery.ingest import _Embedder as E; E(model, {})",
    ),
    "page": ("gradio", "import siamese.app.page"),
    "records by workers": (
        "ray",
        "from siamese.records.cluster import open_ray; open_ray().__enter__()",
    ),
    "gallery by workers": (
        "ray",
        "from siamese.gallery.ingest import embed_on_cluster; "
        "next(embed_on_cluster([], {}, None, 1))",
    ),
}
"""Where a program starts: the package that would report, and Python code."""


@pytest.mark.parametrize("entry", ENTRIES)
def test_switches_are_off_when_a_package_is_imported(entry: str, tmp_path: Path) -> None:
    package, code = ENTRIES[entry]
    spy = tmp_path / "site" / package
    spy.mkdir(parents=True)
    seen = tmp_path / "seen.json"
    (spy / "__init__.py").write_text(
        "import json, os\n"
        f"with open({str(seen)!r}, 'x') as file:\n"
        "    json.dump(dict(os.environ), file)\n"
        "raise SystemExit(7)\n"
    )
    switches = SWITCHES[package]
    code = f"model, crops = {str(BOX)!r}, {str(CROP.parent)!r}\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(spy.parent), str(ROOT)]),
            **dict.fromkeys(switches, "contrary"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    environment = json.loads(seen.read_text())
    assert {name: environment[name] for name in switches} == switches


def test_nothing_else_imports_a_package_that_reports() -> None:
    """Gradio is imported by the modules of `siamese.app`, whose package switches it off."""
    files = [
        *(ROOT / "siamese").rglob("*.py"),
        *ROOT.glob("*.py"),
        *(ROOT / "benchmarks").glob("*"),
    ]
    found = set()
    for file in files:
        if file.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in {each.split(".")[0] for each in names} & {*SWITCHES, *REPORTERS}:
                found.add((name, file.parent.relative_to(ROOT).as_posix()))
    assert found == {("gradio", "siamese/app")}


def test_importing_the_program_sets_no_switch() -> None:
    code = (
        "import json, os; before = dict(os.environ)\n"
        "import siamese, siamese.cli\n"
        "print(json.dumps([name for name in os.environ if os.environ[name] != before.get(name)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {name for _, name in SPIES} & set(json.loads(done.stdout))


def test_a_first_run_opens_no_connection_and_leaves_no_identifier(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    trace, home = tmp_path / "trace", tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "siamese", "embed", str(CROP.parent), "--model", str(BOX)]
    kept = {name: each for name, each in os.environ.items() if not name.startswith("XDG_")}
    done = subprocess.run(
        [strace, "-f", "-qq", "-e", "trace=%network", "-o", str(trace), *command],
        env={**kept, "HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr:
        pytest.skip("may not trace here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "embeddings.npz").exists()
    calls = trace.read_text()
    assert not re.findall(r"connect\(.*AF_INET.*", calls)
    assert not re.findall(r"send(?:to|msg|mmsg)\(.*AF_INET.*", calls)
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_the_page_on_responsible_use_lists_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(e for name in extras if name != "dev" for e in extras[name]),
    ]
    packages = {re.split(r"[\[<>=!~ ]", each)[0] for each in wanted} - {project["name"]}
    text = (ROOT / "docs" / "responsible-use.md").read_text(encoding="utf-8")
    section = text.split("## What other packages would report")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    listed = {name.strip(): row for row in rows[1:] for name in row[0].split(",")}
    assert set(listed) == packages
    for package, switches in SWITCHES.items():
        said = dict(each.split("=") for each in re.findall(r"`(\w+=\w+)`", listed[package][2]))
        assert said == switches
    for package, reporter in REPORTERS.items():
        assert f"`{reporter}`" in listed[package][2]
