"""Times and peak memory of ranking, verification and re-ranking at the sizes of known datasets.

    python benchmarks/scoring.py              # every case
    python benchmarks/scoring.py market-ranking market-reranking

Embeddings are made up, 512 dimensions, float32 unless said otherwise. Each case is a process of its
own, so that its peak memory (of the whole process, embeddings and libraries included) is its own.
`product` is the time of the bare query x gallery matrix product in blocks: no exact method can be
faster. Re-ranking compares all images with all others: its limit is some 20 times that (half of it
by symmetry). The peer's figures are torchreid 1.4's (Cython evaluator), measured elsewhere, on a
2-core machine like the one the targets were set on: ratios to them are no better than +-30 %.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from siamese.metrics.masks import ProtocolMask
from siamese.metrics.pairs import count_pairs
from siamese.metrics.ranking import score_distances, score_ranking
from siamese.metrics.reranking import rerank
from siamese.metrics.verification import score_verification

DIMENSIONS = 512
SIZES = {  # queries, gallery, people, cameras, kind of number
    "market": (3_368, 15_913, 751, 6, np.float32),
    "msmt17": (11_659, 82_161, 3_060, 15, np.float32),
    "mars": (1_980, 12_180, 636, 6, np.float32),
    # A million float32 vectors of 512 dimensions are 2 GB by themselves: kept as float16.
    "million": (1_000, 1_000_000, 50_000, 20, np.float16),
}
CASES = {  # target seconds, target GB, peer seconds, peer GB
    "market-ranking": (1.5, 0.5, 6.0, 1.55),
    "market-verification": (None, 0.5, None, None),
    "market-reranking": (5.5, 1.5, 82.6, 9.0),
    "mars-ranking": (None, None, None, None),
    "msmt17-ranking": (60.0, 2.0, None, None),
    "msmt17-verification": (60.0, 2.0, None, None),
    "msmt17-reranking": (None, 3.0, None, None),
    "million-ranking": (None, 2.0, None, None),
}


def main() -> None:
    """Runs the chosen cases one after the other and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of: {', '.join(CASES)}")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = sorted(set(options.cases) - set(CASES))
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}; choose from {', '.join(CASES)}")
    if options.inside:
        print(json.dumps(_measure(options.inside)))
        return
    print(
        "| case | seconds | target | product | seconds / product | GB | target | peer seconds "
        "| times faster | peer GB | mAP or EER |"
    )
    print("|---|" + "---:|" * 10)
    for case in options.cases or CASES:
        answer = subprocess.run(
            [sys.executable, __file__, "--inside", case], check=True, capture_output=True, text=True
        )
        _print_row(case, json.loads(answer.stdout))


def _print_row(case: str, found: dict[str, float]) -> None:
    seconds, gigabytes, peer_seconds, peer_gigabytes = CASES[case]
    cells = [
        case,
        f"{found['seconds']:.2f}",
        _cell(seconds),
        f"{found['product']:.2f}",
        f"{found['seconds'] / found['product']:.1f}",
        f"{found['gigabytes']:.2f}",
        _cell(gigabytes),
        _cell(peer_seconds),
        "" if peer_seconds is None else f"{peer_seconds / found['seconds']:.1f}",
        _cell(peer_gigabytes),
        f"{found['score']:.4f}",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _measure(case: str) -> dict[str, float]:
    size, work = case.rsplit("-", 1)
    query, gallery = _made(*SIZES[size])
    run: dict[str, Callable[[], float]] = {
        "ranking": lambda: score_ranking(*query, *gallery).mAP,
        "reranking": lambda: (
            score_distances(
                rerank(query[0], gallery[0]), ProtocolMask(*query[1:], *gallery[1:])
            ).mAP
        ),
        "verification": lambda: _equal_error_rate(query, gallery),
    }
    # The matrix product comes last and is not part of the peak.
    start = time.perf_counter()
    score = run[work]()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {
        "seconds": seconds,
        "gigabytes": peak,
        "score": score,
        "product": _product_seconds(query[0], gallery[0]),
    }


def _equal_error_rate(query: tuple[np.ndarray, ...], gallery: tuple[np.ndarray, ...]) -> float:
    together = (np.concatenate(sides) for sides in zip(query, gallery, strict=True))
    return score_verification(count_pairs(*together)).eer


def _made(
    queries: int, gallery: int, people: int, cameras: int, kind: type[np.floating]
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    random = np.random.default_rng(0)
    centres = random.standard_normal((people, DIMENSIONS), np.float32)
    sides = []
    for count in (queries, gallery):
        owners = random.integers(0, people, count)
        embeddings = np.empty((count, DIMENSIONS), kind)
        for start in range(0, count, 10_000):
            rows = owners[start : start + 10_000]
            part = centres[rows]
            part += 3 * random.standard_normal(part.shape, np.float32)
            part /= np.linalg.norm(part, axis=1, keepdims=True)
            embeddings[start : start + 10_000] = part
        sides.append((embeddings, owners, random.integers(1, cameras + 1, count)))
    return sides[0], sides[1]


def _product_seconds(queries: np.ndarray, gallery: np.ndarray) -> float:
    rows = max(64, (1 << 23) // len(gallery))
    left = queries[:rows].astype(np.float32)
    right = gallery[:100_000].astype(np.float32)
    out = np.empty((len(left), len(right)), np.float32)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        np.matmul(left, right.T, out=out)
        times.append(time.perf_counter() - start)
    return min(times) * len(queries) / len(left) * len(gallery) / len(right)


if __name__ == "__main__":
    main()
