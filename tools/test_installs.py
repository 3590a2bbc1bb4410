"""Builds the wheel and tries each extra in an environment of its own: `make test-installs`.

    python tools/test_installs.py build/installs            # all of them
    python tools/test_installs.py build/installs core serve # these

Each line says how large the environment is beside Python's own and how long pip took. The last
environment, `trackers`, holds the packages of others that docs/trackers.md names.
"""

import os
import shlex
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAIR = "images/9003C1T0001F005.jpg images/9003C2T0001F002.jpg"
SMALL = "--recipe demo --backbone conv4 --weights none --image_size 64 32 --epochs 1"
ANSWERS = (
    f"verify {PAIR}",
    "verify --pairs pairs.csv",
    "draw crops --people 8 --cameras 2 --frames 2",
    "inspect crops",
    "embed crops",
    "find_similar images/9003C1T0001F005.jpg",
)
"""Commands that need no extra."""
BEGIN = (f"verify {PAIR}", "draw crops --people 8 --cameras 2 --frames 2")
COMMANDS: dict[str, tuple[str, ...]] = {
    "core": ANSWERS,
    "evaluate": (
        *BEGIN,
        f"verify {PAIR} --output pair.png",
        "evaluate --data crops --model pretrained",
        "identities crops",
    ),
    "records": (*BEGIN, "records make --dataset_dir crops"),
    "gallery": (*BEGIN, "gallery add crops", "gallery search images/9003C1T0001F005.jpg"),
    "train": (*BEGIN, f"train --data crops {SMALL}", f"explain {PAIR} --model pretrained"),
    "app": (*BEGIN, "app --port -1"),
    "serve": (*BEGIN, "serve --port -1"),
    "export": (*BEGIN, "export --model pretrained --output out.onnx"),
    "openvino": BEGIN,
    "cluster": (*BEGIN, "records make --dataset_dir crops"),
    "trackers": (),
}
OTHERS = {"trackers": ("supervision", "deep-sort-realtime", "boxmot", "pytest", "hypothesis")}
"""Packages of others beside the wheel; PyTorch is among what they bring."""
REFUSED = {
    "train --data crops": "train",
    "evaluate --data crops": "evaluate",
    f"explain {PAIR}": "train",
    f"verify {PAIR} --output pair.png": "evaluate",
    "records make --dataset_dir crops": "records",
    "gallery add crops": "gallery",
    "export": "train",
    "app": "app",
    "serve": "serve",
}
"""Commands that the core refuses in one line, and the extra that the line names."""


def main(folder: Path, extras: list[str]) -> int:
    """Tries the extras; returns how many commands did other than they should."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = folder / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(wheels)]
    subprocess.run([*build, str(ROOT)], check=True)
    wheel = max(wheels.glob("siamese_reid-*.whl"), key=lambda path: path.stat().st_mtime)
    return sum(_try(folder / extra, wheel, extra) for extra in extras or [*COMMANDS])


def _try(home: Path, wheel: Path, extra: str) -> int:
    venv.create(home / "venv", clear=True)
    before, started = _megabytes(home), time.monotonic()
    others = OTHERS.get(extra, ())
    what = str(wheel) if extra == "core" or others else f"{wheel}[{extra}]"
    python = home / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*install, "--no-compile", what, *others], check=True)
    took = time.monotonic() - started
    print(f"{extra:<9} {_megabytes(home) - before:6,.0f} MB {took:5.0f} s", flush=True)
    images = sorted((ROOT / "notebooks" / "images").glob("*.jpg"))
    (home / "images").mkdir(exist_ok=True)
    for image in images:
        (home / "images" / image.name).write_bytes(image.read_bytes())
    first, second = PAIR.split()
    (home / "pairs.csv").write_text(f"img1,img2\n{first},{second}\n", encoding="utf-8")
    wrong = 0
    for command in COMMANDS[extra]:
        code, said = _run(python, home, command)
        # The page and the service would stay: a port that is refused shows that they are there.
        expected, word = ((2,), "--port") if "--port -1" in command else ((0,), "")
        if command.startswith("train "):
            expected = (0, 1)  # so short a training may end as it began
        if code not in expected or word not in said:
            wrong += 1
            print(f"  siamese {command}: exit code {code}\n{said}", flush=True)
    for command, needed in REFUSED.items() if extra == "core" else ():
        code, said = _run(python, home, command)
        if code != 2 or f"siamese-reid[{needed}]" not in said or said.count("\n") != 1:
            wrong += 1
            print(f"  siamese {command}: exit code {code}, [{needed}] expected\n{said}", flush=True)
    if others:
        test = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest"]
        wrong += subprocess.run([*test, "tests/test_trackers.py"], cwd=ROOT, check=False).returncode
    return wrong


def _run(python: Path, home: Path, command: str) -> tuple[int, str]:
    """Returns the exit code, and what was said on standard error."""
    words = [str(python), "-m", "siamese", *shlex.split(command)]
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=home, env=plain, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def _megabytes(folder: Path) -> float:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
