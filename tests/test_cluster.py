"""`siamese.records.cluster`: a cluster writes what one process writes."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from siamese.errors import InputError
from siamese.records import Engine, build_records, is_record_set, local_engine, verify_records
from siamese.records.cluster import open_ray

# Ray takes ten seconds to start and to end, and more on a busy machine.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    pytest.importorskip("ray")
    with open_ray() as writer:
        yield writer
    # Ray ends its processes without asking how they ended, of which Python warns much later.
    for each in gc.get_objects():
        if isinstance(each, subprocess.Popen) and each.returncode is None:
            each.wait(timeout=60)


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_cluster_writes_the_bytes_of_the_local_writer(
    engine: Engine, pedestrians: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pedestrians.parent)  # relative paths hold in the workers
    tree = Path(pedestrians.name)
    seen: list[tuple[int, int]] = []
    build_records(
        tree,
        tmp_path / "ray",
        num_shards=4,
        engine=engine,
        progress=lambda *counts: seen.append(counts),
    )
    for workers in (1, 4):
        build_records(tree, tmp_path / f"{workers}", num_shards=4, engine=local_engine(workers))
    assert _content(tmp_path / "ray") == _content(tmp_path / "1") == _content(tmp_path / "4")
    assert seen[-1] == (112, 112)
    assert verify_records(tmp_path / "ray")[1] == []


def test_cluster_reads_from_and_writes_to_addresses(
    engine: Engine, pedestrians: Path, tmp_path: Path
) -> None:
    build_records(pedestrians, tmp_path / "local", num_shards=3)
    source, target = f"file://{pedestrians}", f"file://{tmp_path}/ray"
    build_records(source, target, num_shards=3, engine=engine)
    assert _content(tmp_path / "ray") == _content(tmp_path / "local")
    assert verify_records(target)[1] == []
    broken = f"file://{tmp_path}/none"
    shutil.copytree(pedestrians, tmp_path / "none")
    victim = next((tmp_path / "none").rglob("*.jpg"))
    victim.write_bytes(victim.read_bytes()[:-300])
    with pytest.raises(InputError, match=f"^file://{victim}: is a damaged image"):
        build_records(broken, target + "2", engine=engine)


def test_folder_that_the_workers_do_not_share_is_named(engine: Engine, pedestrians: Path) -> None:
    with pytest.raises(InputError, match=r"^memory://set/mars_.*: was written by a worker, and is"):
        build_records(pedestrians, "memory://set", engine=engine)
    assert not is_record_set("memory://set")


def test_damaged_image_is_named_or_skipped_as_the_local_writer_does(
    engine: Engine, pedestrians: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(pedestrians / "categories", tree / "categories")
    victim = tree / "categories" / "0003" / "0003C1T0001F001.jpg"
    victim.write_bytes(victim.read_bytes()[:-300])
    with pytest.raises(InputError) as caught:
        build_records(tree, tmp_path / "set", engine=engine)
    assert str(caught.value).startswith(f"{victim}: is a damaged image")
    build_records(tree, tmp_path / "set", engine=engine, on_corrupt="skip")
    build_records(tree, tmp_path / "local", on_corrupt="skip")
    assert _content(tmp_path / "set") == _content(tmp_path / "local")


def test_shard_of_a_killed_worker_is_written_again(
    engine: Engine, pedestrians: Path, tmp_path: Path
) -> None:
    killed: list[int] = []
    ended = threading.Event()

    def kill_one() -> None:
        """Kills the first process that is seen to write a shard."""
        while not killed and not ended.is_set():
            for path in (tmp_path / "ray" / ".building").glob("*.partial"):
                number = int(path.name.split(".")[-2])
                os.kill(number, signal.SIGKILL)
                killed.append(number)
                break
            time.sleep(0.0005)

    # Large images: a shard takes long enough to be met in the middle.
    tree = _large_tree(pedestrians, tmp_path / "tree")
    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        build_records(tree, tmp_path / "ray", num_shards=6, engine=engine)
    finally:
        ended.set()
        killer.join()
    assert killed
    build_records(tree, tmp_path / "local", num_shards=6)
    assert _content(tmp_path / "ray") == _content(tmp_path / "local")


def _large_tree(pedestrians: Path, tree: Path) -> Path:
    from PIL import Image

    for path in pedestrians.rglob("*C1T*.jpg"):
        home = tree / "categories" / path.parent.name
        home.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.resize((1024, 2048)).save(home / path.name, quality=95)
    return tree


def test_command_writes_with_ray_and_says_nothing_else(
    pedestrians: Path, records: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "siamese", "records", "make", "--engine", "ray"]
    flags = ["--dataset_dir", str(pedestrians), "--output_dir", str(tmp_path / "set")]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "wrote" in done.stdout
    assert _content(tmp_path / "set") == _content(records)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:port"])
def test_address_without_a_cluster_is_named_at_once(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=f"no Ray cluster answers at {address}"), open_ray(address):
        pass
