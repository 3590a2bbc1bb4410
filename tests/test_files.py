"""`siamese.files`: files are whole or not there, whoever else writes them."""

import os
import time
from pathlib import Path

import pytest

from siamese.files import whole_file


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as one, one.open("w") as first:
        first.write("first" * 9)
        first.flush()
        with whole_file(path) as other, other.open("w") as second:
            second.write("second")
            second.flush()
            first.write("first")
        assert path.read_text() == "second"
    assert path.read_text() == "first" * 10
    assert list(tmp_path.iterdir()) == [path]


def _killed(path: Path, *, hours_ago: float) -> Path:
    """What a process leaves that is killed in the middle of a file."""
    left = whole_file(path).__enter__()
    left.write_text("half")
    os.utime(left, (0, time.time() - 3600 * hours_ago))
    return left


def test_what_a_kill_left_is_swept_away_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a[1].keras"
    kept = [
        _killed(path, hours_ago=1),
        _killed(tmp_path / "a1.keras", hours_ago=99),
        _killed(tmp_path / "a[1].csv", hours_ago=99),
    ]
    _killed(path, hours_ago=99)
    with whole_file(path) as temporary:
        temporary.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, path])


@pytest.mark.parametrize("stem", ["n" * 240, "名" * 80, "𠮷" * 60])
def test_the_longest_names_can_be_written(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.csv"
    with whole_file(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "a.txt"
    with pytest.raises(FileNotFoundError) as error, whole_file(path) as temporary:
        temporary.write_text("whole")
    assert error.value.filename == str(path)
    (tmp_path / "folder.txt").mkdir()
    with (
        pytest.raises(IsADirectoryError) as clash,
        whole_file(tmp_path / "folder.txt") as temporary,
    ):
        temporary.write_text("whole")
    assert str(clash.value) == f"[Errno 21] Is a directory: '{tmp_path / 'folder.txt'}'"
    with pytest.raises(FileNotFoundError) as other, whole_file(tmp_path / "b.txt") as temporary:
        (tmp_path / "source.txt").read_text()
    assert other.value.filename == str(tmp_path / "source.txt")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_by_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.txt'"), whole_file(path):
        Path("/dev/full").write_text("lost")
    assert list(tmp_path.iterdir()) == []
