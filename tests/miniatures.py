"""Miniatures of the datasets of the field: official folders, file names and tables, drawn images.

Each function fills an empty folder and returns the folder that a user would give.
"""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def draw_image(path: Path, height: int = 128, width: int = 64) -> Path:
    """Draws coloured cells that depend on the last two names of the path, so no two look alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(zlib.crc32("/".join(path.parts[-2:]).encode()))
    cells = random.integers(0, 256, (16, 9, 3), dtype=np.uint8)
    Image.fromarray(cells).resize((width, height), Image.Resampling.BILINEAR).save(path)
    return path


def mars_categories(root: Path, people: int = 4) -> Path:
    """Two cameras, two tracklets a camera and two frames a tracklet of each person."""
    for person in range(1, people + 1):
        for camera in (1, 2):
            for tracklet in (1, 2):
                for frame in (1, 2):
                    name = f"{person:04d}C{camera}T{tracklet:04d}F{frame:03d}.jpg"
                    draw_image(root / "categories" / f"{person:04d}" / name)
    return root


def plain_folders(root: Path) -> Path:
    """Names that tell nothing, suffixes in both cases, spaces and other scripts."""
    for person in ("anna", "Jürgen Groß", "李雷"):
        for name in ("one.JPG", "two words.png", "drei.Jpeg", "vier.bmp"):
            draw_image(root / person / name)
    return root


def market1501(root: Path) -> Path:
    """Two people in train, two others in query and gallery, junk and a distractor."""
    for name in ("0002_c1s1_000451_03.jpg", "0002_c2s1_000801_01.jpg", "0007_c3s3_077419_03.jpg",
                 "0007_c5s3_081437_01.jpg"):  # fmt: skip
        draw_image(root / "bounding_box_train" / name)
    for name in ("0001_c1s1_001051_00.jpg", "0003_c4s6_015641_00.jpg"):
        draw_image(root / "query" / name)
    for name in ("-1_c1s1_000401_03.jpg", "0000_c1s1_000151_01.jpg", "0001_c1s1_001051_03.jpg",
                 "0001_c2s1_000301_00.jpg", "0003_c1s6_015971_02.jpg"):  # fmt: skip
        draw_image(root / "bounding_box_test" / name)
    # The official archive also holds these, which are no part of the protocol.
    draw_image(root / "gt_bbox" / "0001_c1s1_001051_00.jpg")
    (root / "readme.txt").write_text("Market-1501", encoding="utf-8")
    (root / "query" / "Thumbs.db").write_bytes(b"no image")
    return root


def dukemtmc_reid(root: Path) -> Path:
    """Market-1501's folders; names without a sequence."""
    draw_image(root / "bounding_box_train" / "0001_c2_f0046182.jpg")
    draw_image(root / "bounding_box_train" / "0001_c5_f0051341.jpg")
    draw_image(root / "query" / "0005_c2_f0046985.jpg")
    draw_image(root / "bounding_box_test" / "0005_c5_f0051781.jpg")
    return root


def cuhk03_np(root: Path) -> Path:
    """One of the folders `detected` and `labeled`: Market-1501's folders, PNG images."""
    for name in ("0003_c1_1.png", "0003_c2_6.png"):
        draw_image(root / "bounding_box_train" / name)
    draw_image(root / "query" / "0001_c1_2.png")
    draw_image(root / "bounding_box_test" / "0001_c2_7.png")
    return root


def msmt17(root: Path, version: int = 1) -> Path:
    """Lists beside the folders; train and test both number their people from 0000."""
    train, test = ("train", "test") if version == 1 else ("mask_train_v2", "mask_test_v2")
    lists = {
        "list_train.txt": (train, "0000/0000_000_01_0303morning_0015_0.jpg 0",
                           "0001/0001_000_14_0303noon_0021_1.jpg 1"),
        "list_val.txt": (train, "0000/0000_001_07_0303morning_0016_0.jpg 0"),
        "list_query.txt": (test, "0000/0000_000_03_0113afternoon_0025_0.jpg 0"),
        "list_gallery.txt": (test, "0000/0000_001_05_0113afternoon_0031_2.jpg 0",
                             "0001/0001_000_03_0113noon_0002_0.jpg 1"),
    }  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    for list_name, (folder, *lines) in lists.items():
        (root / list_name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for line in lines:
            draw_image(root / folder / line.split()[0])
    return root


def mars(root: Path) -> Path:
    """Two tracklets in train; in test two people, of whom one is asked for, distractor and junk."""
    train = [("0001C1T0001F", 2, 1, 1), ("0001C2T0001F", 3, 1, 2)]
    test = [
        ("00-1C1T0001F", 1, -1, 1),
        ("0000C3T0001F", 2, 0, 3),
        ("0002C1T0001F", 2, 2, 1),
        ("0002C5T0001F", 3, 2, 5),
        ("0004C2T0001F", 2, 4, 2),
    ]
    for side, tracklets in (("train", train), ("test", test)):
        names: list[str] = []
        rows = []
        for prefix, length, person, camera in tracklets:
            frames = [f"{prefix}{frame:03d}.jpg" for frame in range(1, length + 1)]
            rows.append((len(names) + 1, len(names) + length, person, camera))
            names += frames
        for name in names:
            draw_image(root / f"bbox_{side}" / name[:4] / name)
        info = root / "info"
        info.mkdir(exist_ok=True)
        (info / f"{side}_name.txt").write_text("\n".join(names) + "\n", encoding="ascii")
        # MATLAB's own numbers are doubles.
        table = np.array(rows, dtype=np.float64)
        savemat(info / f"tracks_{side}_info.mat", {f"track_{side}_info": table})
    savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([[3.0]])})
    return root


def triplets(root: Path) -> Path:
    """A table of Market-1501 names in the column order of the published one."""
    for name in ("0002_c1s1_000451_03.jpg", "0002_c2s1_000801_01.jpg", "0007_c3s3_077419_03.jpg",
                 "0007_c5s3_081437_01.jpg"):  # fmt: skip
        draw_image(root / name)
    (root / "train.csv").write_text(
        "Anchor,Negative,Positive\n"
        "0002_c1s1_000451_03.jpg,0007_c3s3_077419_03.jpg,0002_c2s1_000801_01.jpg\n"
        "0007_c5s3_081437_01.jpg,0002_c2s1_000801_01.jpg,0007_c3s3_077419_03.jpg\n",
        encoding="utf-8",
    )
    return root / "train.csv"


def identity_table(root: Path) -> Path:
    """A table with an identity a file; cameras and tracklets are known of some."""
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        draw_image(root / name)
    (root / "people.csv").write_text(
        "path,identity,camera,tracklet\na/1.jpg,anna,1,4\na/2.jpg,anna,2,\nb/1.jpg,bert,,\n",
        encoding="utf-8",
    )
    return root / "people.csv"


def earlier_records(records: Path, folder: Path) -> Path:
    """A record set as the earlier project wrote it: fewer keys, and no manifest."""
    from siamese.data.records.schema import decode_example, encode_example, frame, read_frames

    kept = ("image/encoded", "image/format", "image/height", "image/width", "image/class/label")
    folder.mkdir(exist_ok=True)
    for shard in records.glob("*.tfrecord"):
        with shard.open("rb") as file:
            found = [decode_example(record) for _, record in read_frames(file)]
        slim = [frame(encode_example({key: values[key] for key in kept})) for values in found]
        (folder / shard.name).write_bytes(b"".join(slim))
    return folder
