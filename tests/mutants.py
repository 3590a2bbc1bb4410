"""Breaks the code in small ways by mutmut and counts what the tests notice: `make mutants`.

The NumPy modules are mutated whole, the losses by a seeded sample. A run that was stopped goes on
where it was. What error messages say is not mutated.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "mutants"
KILLED = ("killed", "timeout")
SETTINGS = """

[tool.mutmut]
source_paths = ["siamese"]
only_mutate = {modules}
do_not_mutate_patterns = ['raise InputError\\(']
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "_hypothesis_pytestplugin", "--hypothesis-profile=mutants"]
process_isolation = "{isolation}"
"""


@dataclass(frozen=True)
class Group:
    """Modules that are mutated together, and the tests that may notice.

    Attributes:
        modules: Patterns of files.
        tests: Names of test files, without "test_" and suffix.
        isolation: "fork" is quicker; TensorFlow needs "forkserver".
        sample: The number of mutants tried; None tries all.
    """

    modules: tuple[str, ...]
    tests: str
    isolation: str = "fork"
    sample: int | None = None


GROUPS = {
    "numpy": Group(
        ("siamese/metrics/*.py", "siamese/sampler.py", "siamese/datasets/splits.py"),
        "ranking verification bootstrap reranking tracklets hardest_pairs rank_lists splits "
        "from_files",
    ),
    "losses": Group(
        ("siamese/losses/*.py",),
        "losses_batch losses_classification losses_contrastive losses_distillation "
        "losses_similarity losses_triplet",
        "forkserver",
        150,
    ),
}


def prepare(name: str, group: Group) -> Path:
    """Makes the folder that mutmut works in: the sources by links, and its settings."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    for source in ("siamese", "tests", "README.md"):
        if not (folder / source).is_symlink():
            (folder / source).symlink_to(ROOT / source)
    settings = SETTINGS.format(
        modules=list(group.modules),
        tests=[f"tests/test_{test}.py" for test in group.tests.split()],
        isolation=group.isolation,
    )
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + settings)
    return folder


def list_mutants(folder: Path, group: Group) -> list[str]:
    """Lists the names of all mutants of a group."""
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    os.chdir(folder)  # where mutmut looks for its settings
    paths = [path for pattern in group.modules for path in sorted(Path().glob(pattern))]
    mutated = {path: mutate_file_contents(str(path), path.read_text()) for path in paths}
    return [
        get_mutant_name(path, name)
        for path, found in mutated.items()
        for name in found.mutant_names
    ]


def read_results(folder: Path) -> dict[str, str]:
    """Reads what became of each mutant that was tried, by its name."""
    from mutmut.stats import status_by_exit_code

    found = {}
    for path in (folder / "mutants").rglob("*.meta"):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        found |= {name: status_by_exit_code[code] for name, code in codes.items()}
    return {name: status for name, status in found.items() if status != "not checked"}


def run(folder: Path, names: list[str], children: int) -> None:
    """Tries the mutants that were not tried yet."""
    tried = read_results(folder)
    wanted = [name for name in names if name not in tried]
    if not wanted:
        return
    quiet = {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ""}
    command = [str(Path(sys.executable).with_name("mutmut")), "run"]
    command += ["--max-children", str(children), *wanted]
    subprocess.run(command, cwd=folder, env=os.environ | quiet, check=True)


def print_table(names: list[str], results: dict[str, str]) -> None:
    """Prints a line for each module and one for all, and the survivors."""
    rows: dict[str, Counter[str]] = {}
    for name in sorted(names):
        for row in (name.rpartition(".")[0], "all"):
            rows.setdefault(row, Counter())[results.get(name, "")] += 1
    rows["all"] = rows.pop("all")
    print(f"{'module':<32}{'tried':>9}{'killed':>9}{'share':>9}")
    for row, counts in rows.items():
        tried, killed = counts.total() - counts[""], sum(counts[status] for status in KILLED)
        print(f"{row:<32}{tried:>9}{killed:>9}{killed / max(tried, 1):>9.1%}")
    for name in names:
        if results.get(name, "killed") not in KILLED:
            print(f"{results[name]:<12}{name}")


def main() -> None:
    """Tries what was not tried yet and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", default=list(GROUPS), help="numpy, losses")
    parser.add_argument("--sample", type=int, help="mutants of each group, drawn by a fixed seed")
    parser.add_argument("--children", type=int, default=2, help="processes at a time")
    arguments = parser.parse_args()
    for name in arguments.groups:
        folder = prepare(name, GROUPS[name])
        names = list_mutants(folder, GROUPS[name])
        if sample := arguments.sample or GROUPS[name].sample:
            names = random.Random(0).sample(names, min(sample, len(names)))
        run(folder, names, arguments.children)
        print_table(names, read_results(folder))


if __name__ == "__main__":
    main()
