"""The documentation: every command and every block of Python is run, page by page."""

import ast
import functools
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from siamese import cli
from siamese.cli.examples import EXAMPLES
from siamese.datasets import list_samples
from siamese.recipes import find_recipe
from siamese.synthetic import write_mars_tree

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS: dict[str, cli.Command] = {
    "create_tf_record.py": cli.create_records,
    "train_siamese_network.py": cli.train,
    "test_siamese_network.py": cli.verify,
}
OTHERS = {"make", "tensorboard", "pip", "git", "unzip", "export", "srun"}
"""Programs that are not ours: `make` is tested in test_readme.py, the others are named only."""
SHORT = ["--weights", "none", "--backbone", "conv4", "--image_size", "64", "32", "--epochs", "1"]
"""What stands in for hours of training: any recipe, with a small backbone, for one epoch."""


def _blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block, but those after a comment that says why it is not run."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(
        r"(<!-- not run: [^\n]+ -->\n+)?^```(\w+)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    )
    return [(language, block) for skip, language, block in found if not skip]


def _commands(block: str) -> Iterator[list[str]]:
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] not in (".", "source", "cd"):
            yield words


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take as given: crops, a dataset with a query part, two images, a model."""
    folder = tmp_path_factory.mktemp("workspace")
    write_mars_tree(folder / "crops", people=30, cameras=2, frames=2, seed=0)
    samples = list_samples(folder / "crops")
    for number, sample in enumerate(samples):
        person = int(sample.person)
        part = "bounding_box_train" if person % 10 else "bounding_box_test"
        if part == "bounding_box_test" and sample.camera == 1:
            part = "query"
        name = f"{sample.person}_c{sample.camera}s1_{number:06d}_01.jpg"
        own = f"p{sample.person}/cam{sample.camera}_{number:04d}.jpg"
        for target in (f"market1501/{part}/{name}", f"{part}/{name}", f"crops_of_a_shop/{own}"):
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.path, folder / target)
    images = sorted((ROOT / "notebooks" / "images").glob("*.jpg"))
    shutil.copytree(ROOT / "notebooks" / "images", folder / "notebooks" / "images")
    for name, image in zip(("a.jpg", "b.jpg", "query.jpg"), images, strict=False):
        shutil.copy(image, folder / name)
    box = ROOT / "siamese" / "pretrained"
    (folder / "runs" / "osnet").mkdir(parents=True)
    for target in (folder, folder / "runs" / "osnet"):
        shutil.copy(box / "model.keras", target)
    shutil.copy(box / "model.onnx", folder)
    return folder


def _fill(text: str) -> str:
    return re.sub(r"\bPATH\b", "crops", text)


def _run(words: list[str], train: bool) -> int:
    """Runs a command of a page; training and servers are parsed alone unless `train`."""
    words = [_fill(word) for word in words]
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words[:3] == ["python", "-m", "siamese"]:
        words = ["siamese", *words[3:]]
    if words[0] == "python" and words[1].startswith("benchmarks/"):
        assert (ROOT / words[1]).is_file(), words[1]
        return 0
    if words[0] not in ("python", "siamese"):
        assert words[0] in OTHERS, f"{words[0]}: say why it is not run, or run it"
        return 0
    command = SCRIPTS[words[1]] if words[0] == "python" else cli.COMMANDS[words[1]]
    if command is cli.train and train:
        return cli.run(cli.train, [*words[2:], *SHORT])
    if command in (cli.train, cli.COMMANDS["app"], cli.COMMANDS["serve"]):
        assert not isinstance(command, Mapping)

        return _parse(command, words[2:])
    if words[0] == "python":
        assert not isinstance(command, Mapping)
        return cli.run(command, words[2:])
    return cli.main(words[1:])


def _parse(command: cli.Command, words: list[str]) -> int:
    """Whether the command takes these words; nothing is done."""

    @functools.wraps(command)
    def take_options(**options: Any) -> int:
        if options.get("recipe"):
            find_recipe(options["recipe"])
        return 0

    return cli.run(take_options, words)


def _exit_code(words: list[str], train: bool) -> int:
    try:
        return _run(words, train)
    except SystemExit as end:
        return int(end.code or 0)


def _run_page(page: Path, train: bool, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": page.stem}
    for language, block in _blocks(page):
        if language == "python":
            exec(compile(_fill(block), f"{page.name}", "exec"), names)
        elif language == "bash":
            for words in _commands(block):
                code = _exit_code(words, train)
                learned = (0, 1) if train else (0,)  # a short training may end as it began
                assert code in learned, f"{' '.join(words)}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_a_page_run(
    page: Path,
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if any(language in ("bash", "python") for language, _ in _blocks(page)):
        shutil.copytree(workspace, tmp_path, dirs_exist_ok=True)
        monkeypatch.chdir(tmp_path)
        _run_page(page, False, capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "train" in page.read_text("utf-8")],
    ids=lambda page: page.stem,
)
def test_trainings_of_a_page_run(
    page: Path,
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = [words for _, block in _blocks(page) for words in _commands(block)]
    if any("train" in word for words in commands for word in words[:2]):
        shutil.copytree(workspace, tmp_path, dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "runs")
        monkeypatch.chdir(tmp_path)
        _run_page(page, True, capsys)


def _named_commands() -> Iterator[tuple[str, cli.Command]]:
    for name, command in cli.COMMANDS.items():
        if isinstance(command, Mapping):
            yield from ((f"{name} {word}", each) for word, each in command.items())
        else:
            yield name, command


def test_examples_of_the_help_can_be_given() -> None:
    commands = dict(_named_commands())
    assert set(EXAMPLES) == set(commands)
    for name, examples in EXAMPLES.items():
        assert examples, name
        for example in examples:
            words = shlex.split(example)
            length = 1 + len(name.split())
            assert " ".join(words[1:length]) == name
            assert _parse(commands[name], words[length:]) == 0, example


def _options_of(benchmark: Path) -> dict[str, ast.Call]:
    """Its options and positional arguments, read from the source: running it takes minutes."""
    return {
        ast.literal_eval(call.args[0]): call
        for call in ast.walk(ast.parse(benchmark.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "add_argument"
    }


@pytest.mark.parametrize(
    "benchmark", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem
)
def test_benchmarks_run_without_options_and_have_those_that_pages_name(benchmark: Path) -> None:
    options = _options_of(benchmark)
    for name, call in options.items():
        given = {each.arg: ast.literal_eval(each.value) for each in call.keywords
                 if each.arg in ("required", "nargs")}  # fmt: skip
        assert not given.get("required"), f"{name}: `make benchmark` gives none"
        assert name.startswith("-") or given["nargs"] == "*", f"{name}: `make benchmark` gives none"
    for page in [*PAGES, benchmark]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for command in re.findall(rf"python benchmarks/{benchmark.name}([^`\n]*)", text):
            for option in re.findall(r"--\w+", command.split("#")[0]):
                assert option in options, f"{page.name}: {option}"


def test_help_of_a_command_shows_its_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gallery", "remove", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "usage: siamese gallery remove" in shown
    assert "\n$ siamese gallery remove --person 0007 --gallery people\n" in shown
