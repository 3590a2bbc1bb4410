"""Counts what keeps a code base readable: `make counts`; places with -v."""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy.sparse.csgraph import connected_components

QUESTION = re.compile(r"(What|Who|Where|Which|How|Whether)\b")
DISTANCES = ("distances.py", "metrics/blocks.py")
"""The two modules that measure distances: in Keras for training, in NumPy for scores."""
_REPORT = "ScoreReport"
_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def count_house(root: Path) -> dict[str, list[str]]:
    """Counts over a package, such as `siamese`.

    Args:
        root: The folder of the package.

    Returns:
        What is counted, to where it was found, each once: `file:line name`. "lines" and "files" say
        so of the package.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}
    trees = {str(path.relative_to(root)): ast.parse(text) for path, text in texts.items()}
    lines = {name: len(text.splitlines()) for name, text in zip(trees, texts.values(), strict=True)}
    return {
        "lines": [f"{sum(lines.values()):,}"],
        "files": [str(len(lines))],
        "files over 400 lines": [f"{name}: {size}" for name, size in lines.items() if size > 400],
        "docstrings that open with a question word": [
            f"{name}:{getattr(node, 'lineno', 1)} {text.splitlines()[0]}"
            for name, tree in trees.items()
            for node in ast.walk(tree)
            if isinstance(node, _DEFINITION | ast.Module)
            if QUESTION.match(text := ast.get_docstring(node) or "")
        ],
        "module names used twice": _twice((_stem(name), name) for name in trees),
        "public names defined twice": _twice(
            (node.name, f"{name}:{node.lineno}")
            for name, tree in trees.items()
            if not name.startswith("cli/")  # a command is called as its stage is
            for node in tree.body
            if isinstance(node, _DEFINITION) and not node.name.startswith("_")
        ),
        "keys of the score report read as strings": list(_report_keys(trees)),
        "modules in import cycles": _cycles(trees, root.name),
        "functions that embed": [
            f"{name}:{node.lineno} {node.name}"
            for name, tree in trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and re.match(r"_?embed(_|$)", node.name)
        ],
        "distances measured outside the two modules": [
            f"{name}:{node.lineno} {ast.unparse(node)[:60]}"
            for name, tree in trees.items()
            if name not in DISTANCES
            for node in ast.walk(tree)
            if isinstance(node, ast.Call | ast.BinOp) and _is_distance(node)
        ],
    }


def _stem(name: str) -> str:
    """The module's name; of a package its folder's."""
    path = Path(name)
    return path.parent.name if path.stem == "__init__" else path.stem


def _twice(named: Iterable[tuple[str, str]]) -> list[str]:
    places = defaultdict(list)
    for name, place in named:
        places[name].append(place)
    return [f"{name}: {', '.join(at)}" for name, at in places.items() if name and len(at) > 1]


def _report_keys(trees: dict[str, ast.Module]) -> Iterator[str]:
    """Reads like `scores["mAP"]` and `scores.get("mAP")`, by the fields of the report's class."""
    fields = {
        part.target.id
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == _REPORT
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }
    for name, tree in trees.items():
        for node in ast.walk(tree):
            key: ast.expr | None = None
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                key = node.slice
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                key = node.args[0] if node.func.attr == "get" and node.args else None
            if isinstance(key, ast.Constant) and key.value in fields:
                yield f"{name}:{key.lineno} {key.value}"


def _cycles(trees: dict[str, ast.Module], package: str) -> list[str]:
    """Modules that import themselves by way of others; imports for type checkers do not count."""
    modules = {
        ".".join([package, *Path(name).with_suffix("").parts]).removesuffix(".__init__"): tree
        for name, tree in trees.items()
    }
    numbers = {name: number for number, name in enumerate(modules)}
    graph = np.zeros((len(modules),) * 2, bool)
    for name, tree in modules.items():
        for node in tree.body:  # an import inside a function waits until all modules are there
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [each if each in numbers else node.module for each in full]
            else:
                continue
            for target in targets:
                if target in numbers:
                    graph[numbers[name], numbers[target]] = True
    labels = connected_components(graph, connection="strong")[1]
    sizes = Counter(labels.tolist())
    return [name for name, label in zip(modules, labels.tolist(), strict=True) if sizes[label] > 1]


def _is_distance(node: ast.Call | ast.BinOp) -> bool:
    """Sees `norm(a - b)`, and `1 - a @ b` or `2 - 2 * (a @ b)`."""
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func).rpartition(".")[2]
        minus = node.args and isinstance(node.args[0], ast.BinOp)
        return called in ("cdist", "pdist") or (
            called == "norm" and bool(minus) and isinstance(node.args[0].op, ast.Sub)
        )
    return (
        isinstance(node.op, ast.Sub)
        and isinstance(node.left, ast.Constant)
        and any(isinstance(each, ast.MatMult) for each in ast.walk(node.right))
    )


if __name__ == "__main__":
    given = [each for each in sys.argv[1:] if each != "-v"]
    counted = count_house(Path(given[0] if given else "siamese"))
    for what, places in counted.items():
        print(f"{what:<45}{places[0] if what in ('lines', 'files') else len(places)}")
        if "-v" in sys.argv and what not in ("lines", "files"):
            print("".join(f"    {place}\n" for place in places), end="")
