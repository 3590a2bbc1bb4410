"""How long the first answer takes, from a cold process, beside `import tensorflow`, in one run.

    python benchmarks/cold_start.py
    python benchmarks/cold_start.py --model runs/osnet/model.keras --onnx runs/osnet/model.onnx \
        --img1 A.jpg --img2 B.jpg

Without options it is the pretrained model, and two of the images in `notebooks/images`.
The script does what it does for everybody, picture of the pair included. Every command runs in a
process of its own, in turn, so that each meets the machine in the same state; the fastest of each
is what other work on the machine has disturbed least, and CPU seconds are disturbed less still.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRETRAINED = ROOT / "siamese" / "pretrained"
IMAGES = ROOT / "notebooks" / "images"
LIMIT_KERAS = 1.5
LIMIT_ONNX = 2.0


def measure(command: list[str]) -> float:
    """Seconds that a command takes; its output is kept back unless it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return seconds


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="a .keras file; the pretrained one by default")
    parser.add_argument("--onnx", type=Path, help="its export")
    parser.add_argument("--img1", type=Path, default=IMAGES / "9003C1T0001F005.jpg")
    parser.add_argument("--img2", type=Path, default=IMAGES / "9003C3T0001F001.jpg")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.model is None and options.onnx is None:
        options.model, options.onnx = PRETRAINED / "model.keras", PRETRAINED / "model.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        _measure_all(options, Path(scratch) / "pair.png")


def _measure_all(options: argparse.Namespace, picture: Path) -> None:
    pair = ["--img1", str(options.img1.resolve()), "--img2", str(options.img2.resolve())]
    script = [sys.executable, "test_siamese_network.py", *pair, "--output", str(picture)]
    commands = {"import tensorflow": [sys.executable, "-c", "import tensorflow"]}
    for name, path in (("verdict, .keras", options.model), ("verdict, .onnx", options.onnx)):
        if path is not None:
            commands[name] = [*script, "--model", str(path.resolve())]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.repeats):
        for name, command in commands.items():
            seconds[name].append(measure(command))
    base = min(seconds["import tensorflow"])
    print(f"{'':20} {'fastest':>9} {'all':24} {'ratio':>6}")
    for name, each in seconds.items():
        runs = " ".join(f"{value:.2f}" for value in each)
        print(f"{name:20} {min(each):7.2f} s {runs:24} {min(each) / base:6.2f}")
    print(f"wanted: .keras at most {LIMIT_KERAS} times, .onnx under {LIMIT_ONNX} s")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
