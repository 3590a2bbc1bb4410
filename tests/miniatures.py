"""Miniatures of the datasets of the field: official folders, file names and tables, drawn images.

Each function fills an empty folder and returns the folder that a user would give.
"""

import zlib
from collections.abc import Mapping
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


def flat(root: Path, *names: str) -> Path:
    """Images of these names beside each other, or in folders."""
    for name in names:
        draw_image(root / name)
    (root / "Label.txt").write_text("0001 personalMale\n", encoding="utf-8")
    return root


def viper(root: Path, people: int = 3) -> Path:
    """As PETA has it: person, angle and camera in the name, one image of each."""
    return flat(
        root,
        *(f"{p:03d}_{45 * camera}_{camera}.bmp" for p in range(people) for camera in (1, 2)),
    )


def viper_cameras(root: Path) -> Path:
    """As published: a folder a camera."""
    return flat(
        root, "cam_a/000_45.bmp", "cam_a/001_0.bmp", "cam_b/000_135.bmp", "cam_b/001_90.bmp"
    )


def prid2011(root: Path) -> Path:
    """Two people of both cameras; person 0201 of one camera is not that of the other."""
    return flat(
        root / "single_shot",
        *(f"cam_a/person_{number:04d}.png" for number in (1, 200, 201)),
        *(f"cam_b/person_{number:04d}.png" for number in (1, 200, 201, 749)),
    )


def grid(root: Path) -> Path:
    """Two people of both folders, three distractors."""
    return flat(
        root / "underground_reid",
        "probe/0001_1_25004_107_32_106_221.jpeg",
        "probe/0002_6_25063_112_40_99_208.jpeg",
        "gallery/0001_2_25023_116_134_128_330.jpeg",
        "gallery/0002_5_25098_121_38_92_217.jpeg",
        *(f"gallery/0000_{camera}_2520{camera}_100_50_90_200.jpeg" for camera in (1, 2, 5)),
    )


def cuhk01(root: Path, people: int = 2) -> Path:
    """Images 001 and 002 of one camera, 003 and 004 of the other."""
    return flat(root, *(f"{p:04d}{i:03d}.jpg" for p in range(1, people + 1) for i in (1, 2, 3, 4)))


def cuhk01_campus(root: Path) -> Path:
    """As published: PNG images in the folder `campus`."""
    cuhk01(root / "campus")
    for path in (root / "campus").glob("*.jpg"):
        draw_image(path.with_suffix(".png"))
        path.unlink()
    return root


def ilids(root: Path) -> Path:
    """CUHK01's names, from two to eight images a person, cameras not known."""
    counts = {1: 4, 2: 2, 3: 6}
    return flat(
        root, *(f"{p:04d}{i:03d}.jpg" for p, count in counts.items() for i in range(1, count + 1))
    )


def cuhk03(root: Path) -> Path:
    """Images 00 to 04 of one camera, 05 to 09 of the other; some are missing."""
    images = {0: (0, 4, 5, 9), 7: (0, 1, 5)}
    return flat(root, *(f"{p:04d}_{i:02d}.jpg" for p, numbers in images.items() for i in numbers))


def cuhk03_labeled(root: Path) -> Path:
    """As other programs unpack the published file: pair of cameras, person, view, image."""
    flat(
        root / "labeled", "1_001_1_01.png", "1_001_2_06.png", "4_001_1_05.png", "4_001_2_10.png"
    )  # fmt: skip
    return root


def three_dpes(root: Path) -> Path:
    """Person, sequence and frame; one name has a further `B`."""
    return flat(
        root,
        "57_39_FRAME_55_RGB.jpg",
        "57_B_39_FRAME_103_RGB.jpg",
        "57_42_FRAME_174_RGB.jpg",
        "100_3_FRAME_26_RGB.jpg",
        "100_4_FRAME_70_RGB.jpg",
    )


def caviar4reid(root: Path) -> Path:
    """A person of both cameras, and one of the first camera alone."""
    counts = {1: 10, 2: 20}
    return flat(
        root, *(f"{p:04d}_{i:03d}.jpg" for p, count in counts.items() for i in range(1, count + 1))
    )


def sarc3d(root: Path) -> Path:
    """Four views of each person, one of them with a capital letter."""
    views = ("back", "front", "left", "right")
    return flat(root, "001_Right.jpg", *(f"00{p}_{v}.jpg" for p in (1, 2) for v in views[: p + 2]))


def town_centre(root: Path) -> Path:
    """Person and frame: nothing but the folder's name says what they are."""
    return flat(root / "TownCentre", "0_8.jpg", "0_16.jpg", "100_1726.jpg", "100_1762.jpg")


def unlabelled(root: Path) -> Path:
    """Crops of several sources, whose folders are no people."""
    names = ("COCO/00000.jpg", "COCO/00001.jpg", "TUD/00000.jpg", "MIT/00001_male_back.jpg")
    return flat(root / "unlabelled", *names)


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
    import tensorflow as tf

    from siamese.records.schema import read_examples

    kept = ("image/encoded", "image/format", "image/height", "image/width", "image/class/label")
    folder.mkdir(exist_ok=True)
    for shard in records.glob("*.tfrecord"):
        with tf.io.TFRecordWriter(str(folder / shard.name)) as writer:
            for *_, values in read_examples(shard):
                writer.write(example({key: values[key] for key in kept}))
    return folder


def example(values: Mapping[str, bytes | int]) -> bytes:
    """A serialised `tf.train.Example`, made by TensorFlow."""
    import tensorflow as tf

    feature = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        for key, value in values.items()
    }
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString(deterministic=True)
