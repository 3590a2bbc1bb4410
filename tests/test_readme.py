"""README.md: its map is the tree, its commands exist, its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_map_names_every_module_and_nothing_else() -> None:
    block = README.split("## The map")[1].split("```")[1]
    named = set()
    for line in filter(str.strip, block.splitlines()):
        match = re.match(r"( *)([a-z_0-9]+(?:\.py|/))", line)
        assert match, line
        depth, name = len(match[1]), match[2]
        path = ROOT / "siamese" / name if depth else ROOT / name
        assert path.exists(), line
        named.add(path)
    for path in (ROOT / "siamese").iterdir():
        if path.name.startswith("__") or path.suffix not in ("", ".py"):
            continue
        assert path in named, f"{path.name} is not on the map"


def test_a_module_name_occurs_once() -> None:
    paths = (ROOT / "siamese").rglob("*.py")
    names = [path.parent.name if path.name == "__init__.py" else path.stem for path in paths]
    assert sorted(names) == sorted(set(names))


def _commands() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("python ")]
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.parametrize("command", _commands(), ids=lambda command: command[0])
def test_commands_of_the_readme_have_these_options(command: list[str]) -> None:
    words = command[: 3 if command[0] == "-m" else 1]
    done = subprocess.run(
        [sys.executable, *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for option in [word.split("=")[0] for word in command[1:] if word.startswith("--")]:
        assert option in done.stdout


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert f"\n{target}:" in makefile


def test_links_lead_to_files() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"
