"""`siamese.cli` and the three scripts: the words of the earlier project, one-line errors."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from miniatures import earlier_records
from PIL import Image

import siamese
from siamese.cli import create_records, main, run, train, verify
from siamese.metrics.calibration import LEANINGS, VERDICTS

ROOT = Path(__file__).parents[1]
SCRIPTS = ["create_tf_record.py", "train_siamese_network.py", "test_siamese_network.py"]


def _fails(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> None:
    output = capsys.readouterr()
    assert code == 2
    lines = output.err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert "Traceback" not in output.err
    for word in words:
        assert word in lines[-1]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_answers_without_the_heavy_libraries(script: str) -> None:
    code = (
        "import sys, runpy; sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'scipy', 'numpy', 'tyro', 'rich'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_scripts_are_short() -> None:
    for script in SCRIPTS:
        assert len((ROOT / script).read_text().splitlines()) <= 40


def test_flags_of_the_earlier_project_work(
    pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--tfrecord_filename=mars", f"--dataset_dir={pedestrians}", "--validation_size", "0.4",
        "--num_shards", "2", "--random_seed", "3", "--output_dir", str(tmp_path / "set"),
        "--split", "image",
    ]  # fmt: skip
    assert run(create_records, flags) == 0
    assert "wrote" in capsys.readouterr().out
    assert (tmp_path / "set" / "mars_validation_00001-of-00002.tfrecord").exists()
    assert run(create_records, flags) == 0
    assert "left alone" in capsys.readouterr().out


def test_train_builds_missing_records_and_test_compares(
    pedestrians: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pedestrians, tmp_path / "data set")
    flags = [
        "--data",
        "data set",
        "--recipe",
        "batch_hard",
        "--backbone",
        "conv4",
        "--weights",
        "none",
    ]
    code = run(train, [*flags, "--image_size", "64", "32", "--epochs", "1"])
    assert code in (0, 1)  # an epoch may leave it no better than it began
    output = capsys.readouterr().out
    assert "Rank-1" in output
    assert f"tensorboard --logdir {tmp_path / 'train.log'}" in output
    assert (tmp_path / "data set" / "records" / "manifest.json").exists()
    assert list((tmp_path / "train.log" / "batch_hard").glob("events.out.tfevents.*"))

    images = sorted(str(path) for path in pedestrians.rglob("0002C*F001.jpg"))
    assert run(verify, ["-i1", images[0], "-i2", images[1]]) == 0
    assert "distance" in capsys.readouterr().out
    assert not Path("pair.png").exists()  # nothing is written unasked
    assert run(verify, ["-i1", images[0], "-i2", images[1], "--output", "pair.png"]) == 0
    with Image.open("pair.png") as picture:
        assert picture.size[0] > 300
    Path("pair.png").unlink()
    capsys.readouterr()
    assert run(verify, ["--img1", images[0], "--img2", images[1], "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] in VERDICTS
    assert isinstance(answer["same"], bool)
    assert {"distance", "threshold", "probability", "prior", "bounds", "model"} <= set(answer)
    assert run(verify, ["-i1", images[0], "-i2", images[1], "--json", "--prior", "0.001"]) == 0
    rarer = json.loads(capsys.readouterr().out)
    assert (rarer["prior"], rarer["same"]) == (0.001, answer["same"])
    assert rarer["probability"] < answer["probability"]
    _fails(
        capsys, run(verify, ["-i1", images[0], "-i2", images[1], "--prior", "1"]), "--prior must be"
    )
    asked = ["-i1", images[0], "-i2", images[1], "--json", "--exit-code"]
    for prior in ("1e-12", "0.999999999999"):
        code = run(verify, [*asked, "--prior", prior])
        leaning = LEANINGS[json.loads(capsys.readouterr().out)["verdict"]]
        assert code == {True: 0, False: 1, None: 3}[leaning]
    assert not Path("pair.png").exists()

    assert main(["evaluate", "--data", "data set/records", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mAP"] > 0


def test_missing_and_empty_folders_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    _fails(capsys, run(create_records, ["--dataset_dir", str(gone)]), str(gone))
    _fails(capsys, run(train, ["--data", str(gone)]), str(gone))
    assert not gone.exists()
    (tmp_path / "empty").mkdir()
    _fails(capsys, run(create_records, ["--dataset_dir", str(tmp_path / "empty")]), "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_one_identity_is_refused(
    pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pedestrians / "categories" / "0001"
    shutil.copytree(source, tmp_path / "one" / "categories" / "0001")
    _fails(capsys, run(create_records, ["--dataset_dir", str(tmp_path / "one")]), "people")
    assert not (tmp_path / "one" / "records").exists()


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "0 bytes"), (b"plain text", "is not an image")]
)
def test_file_that_is_no_image_is_named(
    pedestrians: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    words: str,
) -> None:
    shutil.copytree(pedestrians, tmp_path / "tree")
    victim = tmp_path / "tree" / "categories" / "0002" / "0002C1T0001F001.jpg"
    victim.write_bytes(content)
    _fails(
        capsys, run(create_records, ["--dataset_dir", str(tmp_path / "tree")]), victim.name, words
    )
    assert not (tmp_path / "tree" / "records" / "manifest.json").exists()


def test_wrong_models_are_named(
    pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(next(pedestrians.rglob("*.jpg")))
    other = tmp_path / "other.keras"
    other.write_bytes(b"PK\x03\x04")
    pair = ["-i1", image, "-i2", image]
    _fails(capsys, run(verify, [*pair, "--model", str(other)]), "other.keras")
    _fails(capsys, run(verify, [*pair, "--model", str(tmp_path / "no")]), "no such model file")
    _fails(capsys, run(verify, ["-i1", "no.jpg", "-i2", image, "--model", str(other)]), "no.jpg")


def test_inspection_says_what_a_folder_is_and_exits_with_1_when_it_spoils(
    pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "pictures" / "data.png"
    assert main(["inspect", str(pedestrians), "--output", str(picture)]) == 0
    assert "14" in capsys.readouterr().out
    with Image.open(picture) as image:
        assert image.size[0] > 800
    shutil.copytree(pedestrians, tmp_path / "tree")
    (tmp_path / "tree" / "categories" / "0001" / "0001C1T0001F001.jpg").write_bytes(b"x")
    assert main(["inspect", str(tmp_path / "tree"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["spoils"]


def test_unknown_words_get_suggestions(capsys: pytest.CaptureFixture[str]) -> None:
    _fails(capsys, run(train, ["--data", ".", "--recipe", "batchhard"]), "batch_hard")
    _fails(capsys, main(["trian"]), "Did you mean `siamese train`?")
    _fails(capsys, main(["gallery", "serch"]), "Did you mean `siamese gallery search`?")


def test_version_and_hyphens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"siamese {siamese.__version__}\n"
    for words in (["find-similar", "--help"], ["records", "make", "--help"], ["app", "--help"]):
        assert main(words) == 0
    shown = capsys.readouterr().out
    assert "--output_dir PATH" in shown
    assert "--login TEXT" in shown
    _fails(capsys, main(["find-similar", "no.jpg", "--embeddings", "no.npz"]), "no.")
    assert main(["app", "--port=-1", "--gallery", "g"]) == 2


def test_options_beside_resume_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    _fails(capsys, run(train, ["--data", ".", "--resume", "--epochs", "3"]), "--resume continues")


def test_full_disk_leaves_nothing_whole(pedestrians: Path, tmp_path: Path) -> None:
    """The writer runs into a limit on the size of a file, as into the end of a disk."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from siamese.cli import create_records, run\n"
        "import siamese.records\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sys.exit(run(create_records, sys.argv[1:]))"
    )
    flags = ["--dataset_dir", str(pedestrians), "--output_dir", str(tmp_path / "set")]
    done = subprocess.run(
        [sys.executable, "-c", code, *flags], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "set" / "manifest.json").exists()
    assert not list((tmp_path / "set").glob("*.tfrecord"))
    assert run(create_records, flags) == 0


def test_killed_writer_leaves_a_partial_set_that_is_built_anew(
    pedestrians: Path, records: Path, tmp_path: Path
) -> None:
    code = (
        "import os, signal, sys\n"
        "import siamese.records as records\n"
        "def progress(done, total):\n"
        "    if total // 2 <= done < total: os.kill(os.getpid(), signal.SIGKILL)\n"
        "records.build_records(sys.argv[1], sys.argv[2], progress=progress)"
    )
    folder = tmp_path / "set"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, str(pedestrians), str(folder)], check=False)
    assert done.returncode == -9, time.monotonic() - started
    assert not (folder / "manifest.json").exists()
    assert (
        run(create_records, ["--dataset_dir", str(pedestrians), "--output_dir", str(folder)]) == 0
    )
    for path in records.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_verification_of_records_names_the_file_and_the_place(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(records, folder)
    assert main(["records", "verify", str(folder)]) == 0
    assert "112 records in 2 files are as manifest.json says" in capsys.readouterr().out
    shard = folder / "mars_train_00000-of-00001.tfrecord"
    data = bytearray(shard.read_bytes())
    data[9] ^= 1
    shard.write_bytes(data)
    assert main(["records", "verify", str(folder)]) == 1
    assert f"{shard} at byte 0: the checksum of the length" in capsys.readouterr().out
    assert main(["records", "verify", str(folder), "--json"]) == 1
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert (fault["file"], fault["offset"]) == (shard.name, 0)
    _fails(capsys, main(["records", "verify", str(tmp_path)]), "no complete record set")


def test_records_are_made_of_own_names_and_without_damaged_images(
    pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tree").mkdir()
    for path in pedestrians.rglob("*.jpg"):
        shutil.copy(path, tmp_path / "tree" / f"p{path.name[:4]}-cam{path.name[5:]}")
    (tmp_path / "tree" / "p0001-cam1T0001F001.jpg").write_bytes(b"no image")
    flags = [
        "--dataset_dir",
        str(tmp_path / "tree"),
        "--pattern",
        r"p(?P<person>\d+)-cam(?P<camera>\d)",
    ]
    _fails(capsys, main(["records", "make", *flags]), "p0001-cam1T0001F001.jpg")
    assert main(["records", "make", *flags, "--on_corrupt", "skip", "--compress"]) == 0
    output = capsys.readouterr()
    assert "skipped: " in output.err
    assert "skipped      1 damaged images" in output.out
    assert (tmp_path / "tree" / "records" / "mars_train_00000-of-00001.tfrecord.gz").exists()
    _fails(capsys, main(["records", "make", *flags, "--address", "auto"]), "--engine ray")


def test_train_takes_the_records_of_the_earlier_project(
    pedestrians: Path, records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from siamese.cli.train_command import _find_records

    shutil.copytree(pedestrians, tmp_path / "tree")
    earlier_records(records, tmp_path / "tree")
    assert _find_records((tmp_path / "tree",), None, {}, "error") == tmp_path / "tree"
    assert "takes the records of the earlier project" in capsys.readouterr().err
    assert not (tmp_path / "tree" / "records").exists()


def test_output_that_is_in_the_way_is_named_and_no_temporary_name(
    pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.png").mkdir()
    for output, words in (
        ("file/data.png", "file: is a file. Choose another folder."),
        ("file/below/data.png", "file: is a file. Choose another folder."),
        ("folder.png", "folder.png: is a folder. Choose another name."),
    ):
        code = main(["inspect", str(pedestrians), "--output", str(tmp_path / output)])
        _fails(capsys, code, f"error: {tmp_path / words}")
    _fails(
        capsys, main(["draw", str(tmp_path / "file" / "tree")]), f"{tmp_path / 'file'}: is a file"
    )


def _program(*arguments: str, output: int) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, its output buffered as usual."""
    return subprocess.run(
        [sys.executable, "-m", "siamese", *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )


@pytest.mark.parametrize("arguments", [["inspect", "tree", "--json"], ["draw", "--help"]])
def test_reader_that_has_gone_ends_a_command_in_silence(
    pedestrians: Path, arguments: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = _program(
            *[str(pedestrians) if a == "tree" else a for a in arguments], output=writing
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_finds_no_space_is_one_line(pedestrians: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = _program("inspect", str(pedestrians), "--json", output=full.fileno())
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "No space left on device" in line


def test_verdict_is_said_though_the_picture_cannot_be_written(
    calibrated: Path, pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(next(pedestrians.rglob("*.jpg")))
    (tmp_path / "file").write_text("in the way")
    asked = ["verify", "-i1", image, "-i2", image, "--model", str(calibrated)]
    for extra in ([], ["--json"]):
        assert main([*asked, "--output", str(tmp_path / "file" / "pair.png"), *extra]) == 2
        output = capsys.readouterr()
        assert "same" in output.out
        assert "picture" not in output.out
        assert output.err.startswith(
            f"error: {tmp_path / 'file'}: is a file. Choose another folder"
        )


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are bytes")
def test_names_that_are_no_text_are_one_line_and_spoil_no_verdict(
    calibrated: Path, pedestrians: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    odd = folder / os.fsdecode(b"bad\xff.jpg")
    shutil.copy(next(pedestrians.rglob("*.jpg")), odd)
    model = ["--model", str(calibrated)]
    pair = tmp_path / "pair.png"
    assert main(["verify", "-i1", str(odd), "-i2", str(odd), "--output", str(pair), *model]) == 0
    assert pair.exists()
    assert "same person" in capsys.readouterr().out
    _fails(
        capsys,
        main(["embed", str(folder), "--output", str(tmp_path / "e.csv"), *model]),
        "a file name is not UTF-8", "bad\\udcff.jpg", "Rename it",
    )  # fmt: skip
    assert not (tmp_path / "e.csv").exists()


def test_options_that_would_be_ignored_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alone.onnx").write_bytes(b"")
    scored = ["evaluate", "--data", str(tmp_path)]
    _fails(capsys, main([*scored, "--k1", "10"]), "--k1, --k2 and --lambda are for --rerank")
    _fails(capsys, main([*scored, "--lambda", "0.3"]), "are for --rerank")
    _fails(capsys, main([*scored, "--heat_maps", "--json"]), "--json writes none")
    alone = ["--model", str(tmp_path / "alone.onnx")]
    _fails(capsys, main([*scored, "--heat_maps", *alone]), "--heat_maps need a .keras model")
    for port in ("99999", "-1"):
        _fails(
            capsys, main(["app", "--port", port]), f"--port must be 0 to 65535. Received: {port}"
        )
