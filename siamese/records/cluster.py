"""The same records from a cluster: shards written by Ray tasks, one a processor.

Every task calls `siamese.records.shards.write_shard`, as the local writer does, so the files are
equal byte by byte. All machines must reach the images and the folder of the records under the same
paths (a shared file system) or addresses (such as `s3://bucket/records`), and have this package
installed.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from siamese.errors import InputError, brief
from siamese.filesystem import as_path, is_remote, reaching
from siamese.records.shards import ShardJob, WrittenShard, write_shard
from siamese.records.writer import Engine
from siamese.telemetry import import_silent

RETRIES = 3
"""Times that a shard is begun again when the worker that writes it dies."""

SEEN_WITHIN = 60.0
"""Seconds after which a shared folder (NFS) shows all machines the same files at the latest."""


@contextlib.contextmanager
def open_ray(address: str | None = None) -> Iterator[Engine]:
    """Starts Ray on this computer, or joins a running cluster, and leaves it at the end.

    A Ray that this process has already joined is used, and stays.

    Args:
        address: A cluster's address, such as `ray://head:10001` or `auto`; None starts one here.

    Yields:
        What `siamese.records.write_records` takes as `engine`.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        ray = import_silent("ray")
    except ImportError:
        raise InputError(
            "a cluster needs Ray. Received: an installation without it. "
            "Install it with pip install 'siamese-reid[cluster]'."
        ) from None
    joined = not ray.is_initialized()
    here = {"include_dashboard": False} if address is None else {}
    try:
        _knock(address)
        if joined:
            ray.init(address or "local", log_to_driver=False, logging_level="error", **here)
    except Exception as error:  # Ray raises no narrower one when it cannot start
        raise InputError(
            f"no Ray cluster answers at {address or 'this computer'} ({brief(error)}). "
            "Start one with ray start --head, or work without a cluster."
        ) from None
    try:
        yield _write_on_ray
    finally:
        if joined:
            ray.shutdown()


def _knock(address: str | None) -> None:
    """Sees whether anybody is there: Ray itself tries for minutes, line by line."""
    place = urlsplit(address if address and "://" in address else f"//{address or ''}")
    if place.hostname and place.port:
        socket.create_connection((str(place.hostname), place.port), timeout=10).close()


def _write_on_ray(jobs: Sequence[ShardJob], step: Callable[[int], None]) -> Iterator[WrittenShard]:
    """Keeps two tasks a processor in line, so that a million images are not all sent at once."""
    ray = import_silent("ray")
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_write_in_folder)
    rest = iter(jobs)
    waiting: dict[Any, ShardJob] = {}
    places = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    while True:
        while len(waiting) < places and (job := next(rest, None)) is not None:
            waiting[task.remote(job, str(Path.cwd()))] = job
        if not waiting:
            return
        (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
        job = waiting.pop(ready)
        try:
            written = ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise OSError(
                f"{job.path}: could not be written, its worker died {RETRIES + 1} times "
                f"({brief(error)})"
            ) from None
        _find(job, written)
        step(len(job.samples))
        yield written


def _find(job: ShardJob, written: WrittenShard) -> None:
    """Sees whether the shard is where this computer looks for it: a folder may not be shared."""
    deadline = time.monotonic() + (0 if is_remote(job.path) else SEEN_WITHIN)
    while True:
        with reaching(job.path):
            path = as_path(job.path)
            if path.is_file() and path.stat().st_size == written.shard.bytes:
                return
        if time.monotonic() >= deadline:
            raise InputError(
                f"{job.path}: was written by a worker, and is not seen from here. Give an output "
                "folder that all machines share, or an address such as s3://bucket/records."
            )
        time.sleep(1)


def _write_in_folder(job: ShardJob, folder: str) -> WrittenShard:
    """A Ray task: relative paths mean what they mean to the process that asked."""
    # Where all is at addresses, the machines need not have that folder.
    there = contextlib.chdir(folder) if Path(folder).is_dir() else contextlib.nullcontext()
    with there, reaching(job.path):
        return write_shard(job)
