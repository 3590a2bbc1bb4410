"""`siamese.filesystem`: datasets and records at addresses are those of local folders."""

import asyncio
import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import miniatures
import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from siamese import records
from siamese.cli import create_records, run
from siamese.cli.dataset_commands import inspect, verify_records
from siamese.datasets import list_samples, recognise
from siamese.datasets.splits import refuse_duplicates
from siamese.datasets.triplets import TRIPLETS
from siamese.errors import InputError
from siamese.files import move, whole_file
from siamese.filesystem import as_path, file_states, join, list_remote, local_copy, read_each
from siamese.inspect import inspect_folder
from siamese.records import MANIFEST, build_records, is_record_set, read_manifest, shard_paths

LAYOUTS = [
    miniatures.mars_categories,
    miniatures.plain_folders,
    miniatures.market1501,
    miniatures.dukemtmc_reid,
    miniatures.cuhk03_np,
    miniatures.msmt17,
    miniatures.mars,
    miniatures.triplets,
    miniatures.identity_table,
]


class NetworkError(Exception):
    """No OSError, as the errors of many libraries for object stores."""


class Upload(AbstractBufferedFile):
    """Like the files of S3: there once it is closed, by whatever closes it."""

    def _initiate_upload(self) -> None:
        self.pieces: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        self.pieces.append(self.buffer.getvalue())
        if final:
            self.fs.files[self.path] = b"".join(self.pieces)
            self.fs.asked["write"] += 1
        return True

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.files[self.path][start:end]


class ObjectStore(AsyncFileSystem):
    """A slow store of objects: names with `/`, no folders."""

    protocol = "store"
    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[Counter[str]] = Counter()
    fails: ClassVar[set[str]] = set()

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        self.asked["info"] += 1
        path = self._strip_protocol(path)
        if path in self.files:
            data = self.files[path]
            return {"name": path, "type": "file", "size": len(data), "ETag": f"{hash(data)}"}
        if any(name.startswith(f"{path}/") for name in self.files):
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        self.asked["list"] += 1
        prefix = f"{self._strip_protocol(path)}/"
        inside = {prefix + name[len(prefix) :].split("/")[0] for name in self.files
                  if name.startswith(prefix)}  # fmt: skip
        if not inside:
            raise FileNotFoundError(path)
        before = self.asked["info"]
        infos = [await self._info(name) for name in sorted(inside)]
        self.asked["info"] = before
        return infos if detail else [info["name"] for info in infos]

    async def _cat_file(self, path: str, *_: Any, **__: Any) -> bytes:
        self.asked["read"] += 1
        self.asked["waiting"] += 1
        self.asked["waiting at once"] = max(self.asked["waiting at once"], self.asked["waiting"])
        await asyncio.sleep(0.005)
        self.asked["waiting"] -= 1
        path = self._strip_protocol(path)
        if path in self.fails:
            raise NetworkError("the connection was reset")
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    async def _get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        Path(lpath).write_bytes(self.files[rpath])

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        self.files[path2] = self.files[path1]

    async def _rm_file(self, path: str, **_: Any) -> None:
        if self._strip_protocol(path) in self.files:
            del self.files[self._strip_protocol(path)]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Upload:
        if mode == "rb" and path in self.fails:
            raise NetworkError("the connection was reset")
        size = len(self.files[path]) if mode == "rb" and path in self.files else None
        if mode == "rb" and size is None:
            raise FileNotFoundError(path)
        return Upload(self, path, mode, cache_type="bytes", size=size)


fsspec.register_implementation("store", ObjectStore, clobber=True)
fsspec.register_implementation(
    "nowhere", "no_such_module.Store", clobber=True, errtxt="Install nowherefs to read it"
)
# It says so of any file system that it has no class of its own for.
pytestmark = pytest.mark.filterwarnings("ignore:UPath .* filesystem not explicitly:UserWarning")


@pytest.fixture(autouse=True)
def _empty_stores() -> Iterator[None]:
    for each in (MemoryFileSystem.store, ObjectStore.files, ObjectStore.asked, ObjectStore.fails):
        each.clear()
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def _upload(folder: Path, address: str) -> str:
    for path in folder.rglob("*"):
        if path.is_file():
            target = as_path(join(address, path.relative_to(folder).as_posix()))
            if address.startswith("memory"):
                target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return address


def _content(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in as_path(folder).iterdir()}


def _told(folder: str, part: str) -> list[tuple[object, ...]]:
    root = str(Path(folder).parent) if "://" not in folder else folder.rpartition("/")[0]
    return [
        (s.path.removeprefix(root), s.person, s.camera, s.tracklet, s.frame)
        for s in list_samples(folder, part)
    ]


@pytest.mark.parametrize("scheme", ["memory", "store"])
@pytest.mark.parametrize("draw", LAYOUTS)
def test_every_layout_is_listed_at_an_address_as_on_the_disk(
    draw: Callable[[Path], Path], scheme: str, tmp_path: Path
) -> None:
    home = tmp_path / "tree"
    folder = draw(home)
    (home / ".hidden").mkdir()
    miniatures.draw_image(home / ".hidden" / "0002_c1s1_000451_03.jpg")
    _upload(home, f"{scheme}://bucket/tree")
    address = join(f"{scheme}://bucket", folder.relative_to(tmp_path).as_posix())
    assert recognise(address).name == recognise(folder).name
    for part in recognise(folder).parts:
        assert _told(address, part) == _told(str(folder), part)


@pytest.mark.parametrize("scheme", ["memory", "store"])
@pytest.mark.parametrize("where", ["images", "records", "both"])
def test_records_at_an_address_have_the_bytes_of_local_ones(
    pedestrians: Path, tmp_path: Path, scheme: str, where: str
) -> None:
    build_records(pedestrians, tmp_path / "local", num_shards=3)
    source: str | Path = pedestrians
    target: str | Path = tmp_path / "set"
    if where != "records":
        source = _upload(pedestrians, f"{scheme}://bucket/a folder [1] of Müller")
    if where != "images":
        target = f"{scheme}://bucket/deep [2]/records/"
    seen: list[tuple[int, int]] = []
    folder, manifest, new = build_records(
        source, target, num_shards=3, progress=lambda *counts: seen.append(counts)
    )
    assert new
    assert seen[-1] == (112, 112)
    assert _content(target) == _content(tmp_path / "local")
    assert str(folder) == str(target).rstrip("/")
    assert records.verify_records(target) == (manifest, [])
    assert build_records(source, target, num_shards=3)[1:] == (manifest, False)


def test_records_go_into_the_dataset_folder_by_default(pedestrians: Path) -> None:
    address = _upload(pedestrians, "memory://bucket/drawn")
    folder, manifest, _ = build_records(address, compress=True)
    assert str(folder) == "memory://bucket/drawn/records"
    assert read_manifest("memory://bucket/drawn/records") == manifest
    assert is_record_set(str(folder))
    assert records.verify_records(str(folder))[1] == []


def test_triplets_are_kept_beside_records_at_an_address(tmp_path: Path) -> None:
    table = miniatures.triplets(tmp_path / "tree")
    address = _upload(tmp_path / "tree", "memory://bucket/tree")
    local, _, _ = build_records(table, tmp_path / "set", split="image", random_seed=3)
    there, _, _ = build_records(
        f"{address}/train.csv", "memory://bucket/set", split="image", random_seed=3
    )
    assert _content(str(there)) == _content(local)
    rows = list(csv.reader((there / TRIPLETS).read_text().splitlines()))
    assert rows[0] == ["anchor", "positive", "negative"]


def test_images_are_read_once_and_many_at_a_time(pedestrians: Path, tmp_path: Path) -> None:
    address = _upload(pedestrians, "store://bucket/drawn")
    ObjectStore.asked.clear()
    build_records(address, tmp_path / "set")
    assert ObjectStore.asked["waiting at once"] >= 32
    # Those of equal size are read before, to see whether they are equal.
    sizes = Counter(path.stat().st_size for path in pedestrians.rglob("*.jpg"))
    assert ObjectStore.asked["read"] == 112 + sum(n for n in sizes.values() if n > 1)
    assert ObjectStore.asked["info"] < 20
    # Once to recognise it, and once through: 14 folders of people and `categories`.
    assert ObjectStore.asked["list"] < 40


class Cut(Exception):  # noqa: N818 - an event
    """What ends the writer."""


def test_error_in_the_middle_leaves_no_cut_shard_and_the_finished_ones_are_kept(
    pedestrians: Path, tmp_path: Path
) -> None:
    build_records(pedestrians, tmp_path / "local", num_shards=6)
    whole = _content(tmp_path / "local")

    def cut(done: int, _: int) -> None:
        if done >= 60:
            raise Cut

    with pytest.raises(Cut):
        build_records(pedestrians, "store://bucket/set", num_shards=6, progress=cut)
    left = {name.rpartition("/")[2]: data for name, data in ObjectStore.files.items()
            if "/.building/" not in name}  # fmt: skip
    assert 0 < len(left) < 12
    assert all(whole[name] == data for name, data in left.items())
    assert not [name for name in ObjectStore.files if name.endswith(".partial")]
    assert not is_record_set("store://bucket/set")
    notes = [name for name in ObjectStore.files if name.endswith(".tfrecord.json")]
    ObjectStore.asked.clear()
    build_records(pedestrians, "store://bucket/set", num_shards=6)
    assert _content("store://bucket/set") == whole
    # A shard and its note each, and the three files of the set.
    assert ObjectStore.asked["write"] == 2 * (12 - len(notes)) + 3


def test_finished_shard_at_an_address_that_was_changed_is_written_again(
    pedestrians: Path, tmp_path: Path
) -> None:
    build_records(pedestrians, tmp_path / "local", num_shards=6)

    def cut(done: int, _: int) -> None:
        if done >= 60:
            raise Cut

    with pytest.raises(Cut):
        build_records(pedestrians, "store://bucket/set", num_shards=6, progress=cut)
    first = "bucket/set/mars_train_00000-of-00006.tfrecord"
    ObjectStore.files[first] = ObjectStore.files[first][:-1] + b"?"
    build_records(pedestrians, "store://bucket/set", num_shards=6)
    assert _content("store://bucket/set") == _content(tmp_path / "local")


def test_partial_set_of_other_options_is_replaced(pedestrians: Path, tmp_path: Path) -> None:
    def cut(done: int, _: int) -> None:
        if done >= 60:
            raise Cut

    with pytest.raises(Cut):
        build_records(pedestrians, "store://bucket/set", num_shards=6, progress=cut)
    build_records(pedestrians, "store://bucket/set", num_shards=2)
    build_records(pedestrians, tmp_path / "local", num_shards=2)
    assert _content("store://bucket/set") == _content(tmp_path / "local")


def test_network_is_never_the_fault_of_an_image(pedestrians: Path, tmp_path: Path) -> None:
    address = _upload(pedestrians, "store://bucket/drawn")
    victim = next(name for name in ObjectStore.files if name.endswith("0003C1T0001F001.jpg"))
    ObjectStore.fails.add(victim)
    with pytest.raises(OSError, match="the connection was reset") as caught:
        build_records(address, tmp_path / "set", on_corrupt="skip")
    assert caught.value.filename == f"store://{victim}"
    assert not is_record_set(tmp_path / "set")
    with pytest.raises(OSError, match="the connection was reset"):
        inspect_folder(address)


def test_damaged_image_at_an_address_is_named_or_skipped(pedestrians: Path, tmp_path: Path) -> None:
    address = _upload(pedestrians, "store://bucket/drawn")
    victim = next(name for name in ObjectStore.files if name.endswith("0003C1T0001F001.jpg"))
    ObjectStore.files[victim] = ObjectStore.files[victim][:-300]
    with pytest.raises(InputError, match=f"^store://{victim}: is a damaged image"):
        build_records(address, tmp_path / "set")
    _, manifest, _ = build_records(address, tmp_path / "set", on_corrupt="skip")
    assert [each.file for each in manifest.skipped] == [f"store://{victim}"]


def test_verification_names_the_broken_shard_at_an_address(pedestrians: Path) -> None:
    build_records(pedestrians, "store://bucket/set", num_shards=2)
    names = [f"bucket/set/mars_train_0000{number}-of-00002.tfrecord" for number in (0, 1)]
    data = bytearray(ObjectStore.files[names[0]])
    data[500] ^= 1
    ObjectStore.files[names[0]] = bytes(data)
    del ObjectStore.files[names[1]]
    faults = records.verify_records("store://bucket/set")[1]
    assert [(fault.file, fault.offset) for fault in faults] == [
        ("mars_train_00000-of-00002.tfrecord", 0),
        ("mars_train_00001-of-00002.tfrecord", None),
    ]


@pytest.mark.parametrize("digests", [True, False])
def test_same_image_of_two_people_is_refused(
    tmp_path: Path, digests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = miniatures.plain_folders(tmp_path / "tree")
    (home / "anna" / "copy.png").write_bytes((home / "李雷" / "two words.png").read_bytes())
    address = _upload(home, "store://bucket/tree")
    if digests:  # what S3 calls the MD5 of an object
        from hashlib import md5

        plain = ObjectStore._info

        async def with_tag(self: ObjectStore, path: str, **how: Any) -> dict[str, Any]:
            found = await plain(self, path, **how)
            if found["type"] == "file":
                found["ETag"] = f'"{md5(self.files[found["name"]]).hexdigest()}"'
            return found

        monkeypatch.setattr(ObjectStore, "_info", with_tag)
    ObjectStore.asked.clear()
    with pytest.raises(InputError, match=r"is the same image as .*, but of person 李雷, not anna"):
        refuse_duplicates(list_samples(address))
    assert (ObjectStore.asked["read"] == 0) is digests


def test_inspection_of_an_address_says_what_that_of_a_folder_says(tmp_path: Path) -> None:
    home = miniatures.market1501(tmp_path / "tree")
    _upload(home, "memory://bucket/tree")
    local = inspect_folder(home).text()
    assert inspect_folder("memory://bucket/tree").text() == local.replace(
        str(tmp_path), "memory://bucket"
    )


def test_commands_take_addresses(
    pedestrians: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = _upload(pedestrians, "memory://bucket/drawn")

    def call(command: Callable[..., Any], *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["siamese", *words])
        return (run(command), *capsys.readouterr())

    made = call(create_records, "--dataset_dir", address, "--output_dir", "memory://bucket/set")
    assert made[0] == 0, made
    assert "wrote memory://bucket/set\n" in made[1]
    checked = call(verify_records, "memory://bucket/set", "--json")
    assert checked[0] == 0
    assert json.loads(checked[1])["records"] == 112
    assert "memory://bucket/drawn" in call(inspect, address)[1]
    missing = call(create_records, "--dataset_dir", "memory://bucket/nothing")
    assert missing[0] == 2
    assert missing[2].startswith("error: memory://bucket/nothing: no such folder.")


def test_what_reads_local_paths_only_says_so(pedestrians: Path) -> None:
    build_records(pedestrians, "memory://bucket/set")
    manifest = read_manifest("memory://bucket/set")
    with pytest.raises(InputError, match="Copy the set to this computer"):
        shard_paths("memory://bucket/set", manifest, "train")
    # A path object folds the two slashes into one.
    for use in (as_path, recognise, list_samples, is_record_set, read_manifest, build_records):
        with pytest.raises(InputError, match=r"^s3://bucket/set: .* Copy the folder"):
            use(Path("s3://bucket/set"))


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("nosuch://bucket/set", "is no address that fsspec can use"),
        ("nowhere://bucket/set", "Install it with pip install nowherefs"),
    ],
)
def test_addresses_that_cannot_work_are_named(address: str, complaint: str) -> None:
    with pytest.raises(InputError, match=f"^{address}: .*{complaint}"):
        build_records(address)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(InputError, match=r"^s3://bucket: .*pip install 'siamese-reid\[cluster\]'"):
        recognise("s3://bucket")


def test_local_names_with_colons_stay_local(tmp_path: Path) -> None:
    home = tmp_path / "ab:" / "c"
    home.mkdir(parents=True)
    assert as_path(home) == home
    assert as_path("s3:/not/an/address") == Path("s3:/not/an/address")


@pytest.mark.parametrize("place", ["memory://bucket", "store://bucket", "disk"])
def test_file_is_whole_or_not_there(place: str, tmp_path: Path) -> None:
    path = as_path(tmp_path if place == "disk" else place) / "a.txt"
    if place == "memory://bucket":
        path.parent.mkdir()

    def write_half() -> None:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.write(b"half")
            raise Cut

    with pytest.raises(Cut):
        write_half()
    assert not path.exists()
    assert not path.with_name(".a.partial.txt").exists()
    with whole_file(path) as temporary:
        temporary.write_text("whole")
    with whole_file(path) as temporary:
        temporary.write_text("other")
    assert _content(path.parent) == {"a.txt": b"other"}


def test_file_system_that_does_not_replace_gets_out_of_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: MemoryFileSystem, path1: str, path2: str, **_: Any) -> None:
        if self.exists(path2):
            raise FileExistsError(path2)
        self.cp_file(path1, path2)
        self.rm_file(path1)

    monkeypatch.setattr(MemoryFileSystem, "mv", refuse)
    folder = as_path("memory://bucket")
    folder.mkdir()
    for text in ("old", "new"):
        (folder / "b").write_text(text)
        move(folder / "b", folder / "a")
    assert _content(folder) == {"a": b"new"}
    with pytest.raises(OSError, match="b"):
        move(folder / "b", folder / "c")


def test_states_and_contents_of_a_mixture_of_places(tmp_path: Path) -> None:
    local = tmp_path / "a.jpg"
    local.write_bytes(b"local")
    odd = "store://bucket/x/odd [1] name?*.jpg"
    for path in (odd, "store://bucket/y/b.jpg"):
        as_path(path).write_bytes(path.encode())
    paths = [odd, str(local), "store://bucket/y/b.jpg"]
    states = file_states([*paths, "store://bucket/z/none.jpg", str(tmp_path / "none.jpg")])
    assert {path: state.size for path, state in states.items()} == {
        odd: len(odd), str(local): 5, "store://bucket/y/b.jpg": 22
    }  # fmt: skip
    none = "store://bucket/z/[none].jpg"
    folder = str(tmp_path)  # of what cannot be read, the one that also stops an administrator
    found = list(read_each([*paths, none, folder]))
    assert found == [odd.encode(), b"local", paths[2].encode(), None, None]
    with local_copy(as_path(odd)) as copy:
        assert copy.read_bytes() == odd.encode()
    assert not copy.exists()
    with local_copy(local) as copy:
        assert copy == local


def test_states_in_many_folders_take_one_question(tmp_path: Path) -> None:
    paths = [f"memory://bucket/tree/{number}/a.jpg" for number in range(20)]
    for path in paths:
        as_path(path).parent.mkdir(parents=True)
        as_path(path).write_bytes(path.encode())
    states = file_states(paths)
    assert [states[path].size for path in paths] == [len(path) for path in paths]
    as_path(paths[0]).write_bytes(b"other")
    assert file_states(paths)[paths[0]] != states[paths[0]]
    assert list(list_remote("memory://bucket/tree")) == [f"{n}" for n in range(20)]


def test_manifest_comes_last(pedestrians: Path) -> None:
    build_records(pedestrians, "store://bucket/set")
    assert list(ObjectStore.files)[-1] == f"bucket/set/{MANIFEST}"
    assert not [name for name in ObjectStore.files if ".building" in name]
