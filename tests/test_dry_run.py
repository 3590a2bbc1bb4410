"""--dry_run: the numbers of what a command would do, and nothing done."""

from pathlib import Path

import pytest

from siamese.cli import main

pytest.importorskip("lancedb", reason="the extra `gallery` is not installed")


def state(folder: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }


def test_a_dry_run_says_what_the_command_does_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["draw", "crops", "--people", "6", "--cameras", "2", "--frames", "1"]) == 0
    images = sorted((tmp_path / "crops").rglob("*.jpg"))
    assert len(images) == 12
    capsys.readouterr()
    for words, told, done in (
        ("embed crops", "embeddings.npz: embeddings of 12 images", "embeddings   12 images"),
        (f"gallery add {images[0]}", "gallery: 1 images, 0 of them there", "added        1 images"),
        ("gallery add crops", "gallery: 12 images, 1 of them there", "added        11 images"),
        ("gallery remove --person 0001", "gallery: 2 images erased", "erased       2 images"),
        ("records make --dataset_dir crops", "images for train, ", "wrote crops"),
        ("records make --dataset_dir crops", "records are complete", "left alone"),
    ):
        before = state(tmp_path)
        assert main([*words.split(), "--dry_run"]) == 0
        shown = capsys.readouterr().out
        assert told in shown
        assert shown.endswith("dry run      nothing was written\n")
        assert state(tmp_path) == before
        assert main(words.split()) == 0
        assert done in capsys.readouterr().out


def test_a_dry_run_refuses_what_the_command_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["draw", "crops", "--people", "4", "--cameras", "1", "--frames", "1"]) == 0
    for words in (
        "embed crops --output embeddings.txt",
        "records make --dataset_dir nowhere",
        "gallery add nowhere",
    ):
        assert main(words.split()) == main([*words.split(), "--dry_run"]) == 2
        first, second = capsys.readouterr().err.strip().splitlines()
        assert first == second
