"""How fast are records made, against copying and against decoding the same files?

Prints the time of each in one run, and the ratios: our writer without verification to `cp -r`, and
our writer with it to reading and decoding alone, by the same libjpeg-turbo in as many threads. The
least of `--rounds` times counts, in turns, so that a busy machine hurts all alike.

    python benchmarks/records.py [--data FOLDER] [--images 10000] [--rounds 3]

Without `--data` the crops are drawn: 600 by the program, the others are these, saved at other
qualities and with a number in each, so that 100,000 files take a minute and not an hour. With
`--data` the folder must hold the training images alone, so that `cp -r` copies what is written.

The writer decodes to an eighth of the size, which reads every bit of a file as whole decoding does.
That saves more than headers, encoding, checksums and the plan of the set cost. These hold Python's
lock, so a second core helps them less: the ratio by the clock is above that of processor time.

Files of one program have a few headers between them, byte for byte, and each is read once. With
`--own_headers` no two are alike, which is the worst case.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import simplejpeg
from PIL import Image

from siamese.datasets import Sample, list_samples
from siamese.records import local_engine, verify_records, write_records
from siamese.synthetic import write_mars_tree

AT_ONCE = 64


def draw_crops(folder: Path, images: int, own_headers: bool = False) -> None:
    """Draws a MARS tree of about so many 128x64 crops, no two files alike."""
    drawn = folder / "drawn"
    write_mars_tree(drawn, people=50, cameras=4, frames=3)
    sources = []
    for path in sorted(drawn.rglob("*.jpg")):
        with Image.open(path) as image:
            sources.append((int(path.name[:4]), path.name[4:], image.convert("RGB")))
    copies = -(-images // len(sources))
    count = 0
    for copy in range(copies):
        for person, rest, image in sources[: images - count]:
            number = person + 50 * copy
            home = folder / "tree" / "categories" / f"{number:04d}"
            home.mkdir(parents=True, exist_ok=True)
            image.paste((copy // 15,) * 3, (0, 0, 16, 16))  # there are 15 qualities
            comment = f"{count}" if own_headers else ""
            image.save(home / f"{number:04d}{rest}", quality=80 + copy % 15, comment=comment)
            count += 1
    shutil.rmtree(drawn)


def decode_all(samples: list[Sample], threads: int) -> None:
    """Reads and decodes every file, and keeps nothing."""

    def work(first: int) -> None:
        for sample in samples[first : first + AT_ONCE]:
            with open(sample.path, "rb", buffering=0) as file:  # noqa: PTH123 - as the writer
                simplejpeg.decode_jpeg(file.read())

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, len(samples), AT_ONCE)))


def decode_with_pillow(samples: list[Sample], threads: int) -> None:
    """The same with Pillow, as most loaders do."""

    def work(first: int) -> None:
        for sample in samples[first : first + AT_ONCE]:
            with Image.open(sample.path) as image:
                image.load()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, len(samples), AT_ONCE)))


def write(samples: list[Sample], folder: Path, threads: int, verify: bool) -> None:
    """Writes a record set with a tenth of the images for validation."""
    border = max(1, len(samples) // 10)
    write_records(
        {"train": samples[border:], "validation": samples[:border]},
        folder,
        verify=verify,
        engine=local_engine(threads),
    )


def time_all(
    tasks: dict[str, Callable[[Path], object]], rounds: int, scratch: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """The least wall and processor seconds of each task; each gets a fresh folder, in turns."""
    best = dict.fromkeys(tasks, float("inf"))
    used = dict(best)
    for turn in range(rounds):
        for name, task in tasks.items():
            folder = scratch / f"{turn}-{name.replace(' ', '-')}"
            started, before = time.perf_counter(), processor_seconds()
            task(folder)
            best[name] = min(best[name], time.perf_counter() - started)
            used[name] = min(used[name], processor_seconds() - before)
            shutil.rmtree(folder, ignore_errors=True)
    return best, used


def processor_seconds() -> float:
    """What this process and its ended children have used: on a busy machine the fairer number."""
    return sum(os.times()[:4])


def peak_of_writing(folder: Path, images: int) -> float:
    """Peak memory in MB of a process of its own that writes the first so many images (Linux)."""
    code = (
        "import sys, tempfile\n"
        "from pathlib import Path\n"
        "from siamese.datasets import list_samples\n"
        "from siamese.records import write_records\n"
        "samples = list_samples(sys.argv[1])[: int(sys.argv[2])]\n"
        "with tempfile.TemporaryDirectory() as scratch:\n"
        "    write_records({'train': samples[1:], 'validation': samples[:1]}, Path(scratch))\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(int(status['VmHWM'].split()[0]) / 1024)"
    )
    command = [sys.executable, "-c", code, str(folder), str(images)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="a dataset folder; drawn crops by default")
    parser.add_argument("--images", type=int, default=10_000, help="drawn crops")
    parser.add_argument(
        "--own_headers", action="store_true", help="drawn crops with a header of their own each"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 8))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        if options.data is None:
            draw_crops(scratch, options.images, options.own_headers)
        data: Path = options.data or scratch / "tree"
        samples, threads = list_samples(data), options.threads
        size = sum(Path(sample.path).stat().st_size for sample in samples)
        home = Path(os.path.commonpath([Path(sample.path).parent for sample in samples]))
        _check_alone(home, len(samples))
        best, used = time_all(
            {
                "cp -r": lambda to: subprocess.run(["cp", "-r", home, to], check=True),
                "writer, not verifying": lambda to: write(samples, to, threads, verify=False),
                "read and decode alone": lambda _: decode_all(samples, threads),
                "the same by Pillow": lambda _: decode_with_pillow(samples, threads),
                "writer, verifying": lambda to: write(samples, to, threads, verify=True),
            },
            options.rounds,
            scratch,
        )
        _print_times(best, used, len(samples), size, threads)
        write(samples, scratch / "set", threads, verify=True)
        started = time.perf_counter()
        faults = verify_records(scratch / "set")[1]
        seconds = time.perf_counter() - started
        if faults:
            raise SystemExit(f"the records are broken: {faults[0]}")
        print(f"records verify: {seconds:.2f} s, {len(samples) / seconds:,.0f} images/s")
        few = min(max(len(samples) // 10, 20), len(samples))
        peaks = [peak_of_writing(data, count) for count in (few, len(samples))]
    print(f"peak memory: {peaks[0]:.0f} MB for {few:,} images, {peaks[1]:.0f} MB for all")
    growth = (peaks[1] - peaks[0]) * 2**20 / max(len(samples) - few, 1)
    print(f"             {growth:,.0f} bytes for each more: its name, person and place")


def _check_alone(home: Path, images: int) -> None:
    """Both sides must do the same work; a stray file, as Market-1501 has one, is no matter."""
    files = sum(1 for each in home.rglob("*") if each.is_file())
    if abs(files - images) > images // 100:
        raise SystemExit(
            f"{home}: must hold the {images:,} training images alone, for `cp -r` copies it whole. "
            f"Received: {files:,} files. Give a folder of these images alone, or no --data."
        )


def _print_times(
    best: dict[str, float], used: dict[str, float], images: int, size: int, threads: int
) -> None:
    print(f"{images:,} images, {size / 2**20:.0f} MB; {threads} threads; "
          f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")  # fmt: skip
    print(f"{'':<24}{'wall':>8}{'processors':>12}{'images/s':>12}")
    for name, seconds in best.items():
        print(f"{name:<24}{seconds:6.2f} s{used[name]:10.2f} s{images / seconds:12,.0f}")
    for one, other, aim in (
        ("writer, not verifying", "cp -r", 2),
        ("writer, verifying", "read and decode alone", 1.3),
        ("writer, verifying", "the same by Pillow", 1.3),
    ):
        processors = used[one] / max(used[other], 0.01)  # it counts in hundredths
        print(f"{one + ' / ' + other:<48}{best[one] / best[other]:6.2f} by the clock,"
              f"{processors:6.2f} of processors (aim: at most {aim})")  # fmt: skip
    sys.stdout.flush()


if __name__ == "__main__":
    main()
