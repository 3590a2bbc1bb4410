"""docs/trackers.md beside the packages that it names: `make test-installs EXTRAS=trackers`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import siamese

supervision = pytest.importorskip("supervision", reason="a package of others")
pytest.importorskip("deep_sort_realtime", reason="a package of others")
boxmot = pytest.importorskip("boxmot", reason="a package of others")

# What these packages warn of is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "notebooks" / "images"
ONE = ("9003C1T0001F005", "9003C3T0001F001")
OTHER = ("9002C2T0001F001", "9002C4T0001F003")
LEFT, RIGHT = 150, 220
GONE, BACK, END = 6, 26, 32


@pytest.fixture(scope="module")
def embed() -> siamese.CropEmbedder:
    return siamese.CropEmbedder(channels="bgr")


def film() -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Two people stand, are out of sight, and come back with their places exchanged."""
    frames = []
    for number in range(END):
        frame = np.full((300, 500, 3), 90, np.uint8)
        boxes = []
        for names, places in ((ONE, (LEFT, RIGHT)), (OTHER, (RIGHT, LEFT))):
            later = number >= BACK
            with Image.open(IMAGES / f"{names[later]}.jpg") as image:
                crop = np.asarray(image.convert("RGB"))[..., ::-1]
            left = places[later]
            frame[80:208, left : left + 64] = crop
            boxes.append([left, 80, left + 64, 208])
        seen = boxes if number < GONE or number >= BACK else []
        frames.append((frame, np.array(seen, np.float32).reshape(-1, 4)))
    return frames


def test_detections_keep_their_embeddings(embed: siamese.CropEmbedder) -> None:
    frame, boxes = film()[0]
    found = supervision.Detections(xyxy=boxes, confidence=np.array([0.4, 0.9], np.float32))
    found.data["embedding"] = embed(frame, found.xyxy)
    alone = found[found.confidence > 0.5].data["embedding"]
    np.testing.assert_allclose(alone, embed(frame, boxes[1:]), atol=1e-5)
    both = supervision.Detections.merge([found[[1]], found[[0]]])
    np.testing.assert_array_equal(both.data["embedding"], found.data["embedding"][::-1])


def _where(tracks: Sequence[tuple[int, float]]) -> dict[str, int]:
    return {"left" if left < 185 else "right": track for track, left in tracks}


def test_deep_sort_finds_people_again_by_the_embedding(embed: siamese.CropEmbedder) -> None:
    from deep_sort_realtime.deepsort_tracker import DeepSort

    limit = embed.model.calibration.threshold**2 / 2
    tracker = DeepSort(embedder=None, max_cosine_distance=limit)
    seen = []
    for frame, boxes in film():
        raw = [((x, y, right - x, bottom - y), 0.9, "person") for x, y, right, bottom in boxes]
        tracks = tracker.update_tracks(raw, embeds=list(embed(frame, boxes)))
        seen.append(
            _where(
                [
                    (int(track.track_id), track.to_ltrb()[0])
                    for track in tracks
                    if track.is_confirmed() and track.time_since_update == 0
                ]
            )
        )
    assert len(seen[GONE - 1]) == len(seen[-1]) == 2
    assert seen[GONE - 1]["left"] == seen[-1]["right"]
    assert seen[GONE - 1]["right"] == seen[-1]["left"]


class _ReID:
    def __init__(self, embed: siamese.CropEmbedder) -> None:
        self.embed = embed
        self.asked = 0

    def get_features(self, boxes: Any, image: Any) -> NDArray[np.float32]:
        self.asked += len(boxes)
        return self.embed(image, boxes)


def test_boxmot_asks_our_embedder(embed: siamese.CropEmbedder) -> None:
    reid = _ReID(embed)
    tracker = boxmot.StrongSort(
        reid_model=reid, max_cos_dist=embed.model.calibration.threshold**2 / 2
    )
    seen = []
    for frame, boxes in film():
        rows = np.hstack([boxes, np.tile([0.9, 0], (len(boxes), 1))]).astype(np.float32)
        seen.append(_where([(int(row[4]), row[0]) for row in tracker.update(rows, frame)]))
    assert reid.asked == 2 * (GONE + END - BACK)
    assert seen[GONE - 1]["left"] == seen[-1]["right"]
    assert seen[GONE - 1]["right"] == seen[-1]["left"]


def test_the_blocks_of_the_page_run() -> None:
    page = (ROOT / "docs" / "trackers.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        if "Gallery(" not in block:  # tests/test_docs.py runs that one
            exec(compile(block, "docs/trackers.md", "exec"), names)
    assert names["sure"].data["embedding"].shape == (1, names["embed"].model.dimensions)
    assert len(names["tracks"]) == 2
