"""`siamese.models.torch_weights`: tensors are read, and nothing else is done."""

import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch_files import (
    NOTHING,
    REBUILD,
    pickled,
    state,
    tensor,
    write_archive,
    write_pickles,
    write_tensors,
)

from siamese.errors import InputError
from siamese.models.torch_weights import read_tensors

Writer = Callable[..., Path]
WRITERS = [write_archive, write_pickles]
SIX = np.arange(6, dtype="<f4").tobytes()
ONE = state({"a": tensor("0", 6, (2, 3))})


@pytest.mark.parametrize("write", WRITERS)
def test_tensors_are_read_with_offsets_and_strides_in_one_storage(
    tmp_path: Path, write: Writer
) -> None:
    entries = {
        "whole": tensor("0", 6, (2, 3)),
        "turned": tensor("0", 6, (3, 2), strides=(1, 3)),
        "last": tensor("0", 6, (2,), offset=4),
        "number": tensor("0", 6, (), offset=5),
        "none": tensor("0", 6, (0,)),
    }
    found = read_tensors(write(tmp_path / "a.pth", state(entries), {"0": SIX}))
    assert list(found) == list(entries)
    np.testing.assert_array_equal(found["whole"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(found["turned"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["last"], [4, 5])
    assert found["number"] == 5
    assert found["none"].shape == (0,)
    assert not any(each.flags.writeable for each in found.values())


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("HalfStorage", "<f2"), ("DoubleStorage", "<f8"), ("LongStorage", "<i8")],
)
def test_other_kinds_of_numbers_are_read(
    tmp_path: Path, write: Writer, kind: str, dtype: str
) -> None:
    values = np.array([-3, 0, 7], dtype)
    described = state({"a": tensor("0", 3, (3,), kind=kind)})
    options = {} if write is write_archive else {"itemsize": values.itemsize}
    found = read_tensors(write(tmp_path / "a.pth", described, {"0": values.tobytes()}, **options))
    np.testing.assert_array_equal(found["a"], values)
    assert found["a"].dtype == dtype


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("reach", "named"),
    [
        (b"cos\nsystem\n", "os.system"),
        (b"cposix\nsystem\n", "posix.system"),
        (b"cbuiltins\neval\n", "builtins.eval"),
        (b"\x8c\x08builtins\x8c\x04exec\x93", "builtins.exec"),
        (b"ctorch\nload\n", "torch.load"),
        (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n", "__globals__"),
        (b"ccollections\nOrderedDict.fromkeys\n", "fromkeys"),
        (b"csiamese.models.torch_weights\nPath\n", "torch_weights.Path"),
    ],
)
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(
    tmp_path: Path, write: Writer, reach: bytes, named: str
) -> None:
    ran = tmp_path / "ran"
    shell = named.endswith("system")
    code = f"touch {ran}" if shell else f"open({str(ran)!r}, 'w').close()"
    path = write(tmp_path / "a.pth", state({"a": reach + pickled((code,)) + b"R"}), {"0": SIX})
    with pytest.raises(
        InputError, match=r"holds tensors alone .it names .*nothing of it was run"
    ) as caught:
        read_tensors(path)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not ran.exists()


def test_the_first_of_the_older_pickles_is_read_with_the_same_care(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    path = tmp_path / "a.pth"
    path.write_bytes(b"\x80\x02cos\nsystem\n" + pickled((f"touch {ran}",)) + b"R.")
    with pytest.raises(InputError, match=r"it names os\.system"):
        read_tensors(path)
    assert not ran.exists()


@pytest.mark.parametrize("target", [REBUILD, NOTHING[:-2], b"ctorch\nFloatStorage\n"])
def test_a_pickle_cannot_change_what_reads_it(tmp_path: Path, target: bytes) -> None:
    good = write_archive(tmp_path / "good.pth", ONE, {"0": SIX})
    expected = read_tensors(good)["a"]
    # The operation that sets attributes: __defaults__, __setstate__, __init__ of a stand-in.
    changes = {"__defaults__": (), "__setstate__": None, "__init__": None}
    change = (
        target
        + pickled(
            (b"N", b"}(" + b"".join(pickled(k) + pickled(v) for k, v in changes.items()) + b"u")
        )
        + b"b"
    )
    bad = write_archive(tmp_path / "bad.pth", state({"a": change}), {"0": SIX})
    with pytest.raises(InputError):
        read_tensors(bad)
    np.testing.assert_array_equal(read_tensors(good)["a"], expected)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (tensor("0", 6, (7,)), "reaches beyond its storage"),
        (tensor("0", 6, (2, 3), offset=1), "reaches beyond its storage"),
        (tensor("0", 6, (2,), strides=(6,)), "reaches beyond its storage"),
        (tensor("0", 6, (10**12,), strides=(0,)), "reaches beyond its storage"),
        (tensor("0", 6, (2, 3), strides=(1,)), "argument 2 is shorter"),
        (tensor("0", 6, (2,), offset=-1), "other things than a storage's numbers"),
        (tensor("0", 6, (2,), strides=(-1,)), "other things than a storage's numbers"),
        (tensor("0", 6, (2,), offset="1"), "other things than a storage's numbers"),
        (tensor("0", 6, (True,)), "other things than a storage's numbers"),
        (tensor("0", -1, (2,)), "something else than a storage"),
        (tensor("0", 5, (2,)), "size of storage 0"),
        (tensor("0", 10**15, (2,)), "size of storage 0"),
        (tensor("0", 6, (2,), kind="BFloat16Storage"), "names torch.BFloat16Storage"),
        (tensor("0", 6, (2,), rebuild=b"ctorch\nFloatStorage\n"), "not callable"),
        (
            REBUILD + pickled(((1, 2), 0, (1,), (1,))) + b"R",
            "other things than a storage's numbers",
        ),
        (pickled(3), "more than tensors: a"),
        (NOTHING, "more than tensors: a"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(
    tmp_path: Path, write: Writer, described: bytes, reason: str
) -> None:
    path = write(tmp_path / "a.pth", state({"a": described}), {"0": SIX})
    with pytest.raises(InputError, match=reason):
        read_tensors(path)


def test_an_archive_lacks_a_storage_or_has_another_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with pytest.raises(InputError, match="archive/data/0"):
        read_tensors(write_archive(path, ONE, {}))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", ONE)
        archive.writestr("archive/byteorder", "big")
        archive.writestr("archive/data/0", SIX)
    with pytest.raises(InputError, match="byte order"):
        read_tensors(path)


@pytest.mark.parametrize("write", WRITERS)
def test_small_files_that_unfold_are_refused(tmp_path: Path, write: Writer) -> None:
    memory = b"\x80\x02N" + b"r" + (2**31).to_bytes(4, "little") + b"."  # a memo of 16 GB
    nested = b"\x80\x02" + b")" + b"\x85" * 1_000_000 + b"."  # crashes Python where it is hashed
    for described in (memory, nested):
        path = write(tmp_path / "a.pth", described, {"0": SIX})
        with pytest.raises(InputError, match="over 50,000 operations"):
            read_tensors(path)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    described = state({"a": tensor("0", 10**7, (10**7,))})
    path = write_archive(
        tmp_path / "a.pth", described, {"0": bytes(4 * 10**7)}, compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(InputError, match="its entries are compressed"):
        read_tensors(path)


def test_an_archive_whose_entries_share_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", ONE)
        archive.writestr("archive/data/0", SIX)
        archive.writestr("archive/data/1", bytes(4000))
        outer, inner = archive.infolist()[1:]
        # The first storage goes on to the end of the second, whose header it holds.
        start = outer.header_offset + 30 + len(outer.filename)
        shared = path.read_bytes()[start : inner.header_offset + 30 + len(inner.filename) + 4000]
        outer.file_size = outer.compress_size = len(shared)
        outer.CRC = zlib.crc32(shared)
    assert zipfile.ZipFile(path).read("archive/data/0") == shared
    with pytest.raises(InputError, match="compressed or overlap"):
        read_tensors(path)


@pytest.mark.parametrize("content", [b"", b"weights", b"PK\x05\x06" + bytes(18), b"\x80\x02N."])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pth: is no PyTorch weights file"):
        read_tensors(path)


@pytest.mark.parametrize("described", [b"\x80\x02K\x03.", b"\x80\x02}.", b"\x80\x02}(K\x01K\x02u."])
def test_a_pickle_of_no_names_is_refused(tmp_path: Path, described: bytes) -> None:
    with pytest.raises(InputError, match="no dictionary of tensors"):
        read_tensors(write_archive(tmp_path / "a.pth", described, {"0": SIX}))


@pytest.mark.parametrize("archive", [True, False])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, archive: bool) -> None:
    path = write_tensors(
        tmp_path / "a.pth", {"a": np.ones((2, 3)), "b": np.ones(2)}, archive=archive
    )
    content = path.read_bytes()
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            read_tensors(path)


def test_an_older_file_of_another_version_or_byte_order_is_refused(tmp_path: Path) -> None:
    path = write_pickles(tmp_path / "a.pth", ONE, {"0": SIX})
    content = path.read_bytes()
    for what, found, changed in (
        ("version", b"M\xe9\x03.", b"M\xea\x03."),  # 1001 and 1002
        ("byte order", b"little_endianq\x02\x88", b"little_endianq\x02\x89"),  # true and false
    ):
        assert content.count(found) == 1
        path.write_bytes(content.replace(found, changed))
        with pytest.raises(InputError, match=f"alone .{what}: "):
            read_tensors(path)


def test_an_older_file_that_goes_on_is_refused(tmp_path: Path) -> None:
    path = write_pickles(tmp_path / "a.pth", ONE, {"0": SIX})
    path.write_bytes(path.read_bytes() + bytes(1))
    with pytest.raises(InputError, match="size of the file"):
        read_tensors(path)


@pytest.mark.parametrize("archive", [True, False])
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, archive: bool) -> None:
    path = write_tensors(
        tmp_path / "a.pth", {"a": np.ones((2, 3)), "b": np.ones(2)}, archive=archive
    )
    content, chance, reasons = path.read_bytes(), random.Random(0), []
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            assert all(each.size <= len(content) for each in read_tensors(path).values())
        except InputError as error:
            reasons.append(str(error))
    assert len(reasons) > 80
    assert not any("\n" in each for each in reasons)
