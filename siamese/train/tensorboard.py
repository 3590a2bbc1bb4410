"""TensorBoard logs, written with the `tensorboard` package alone: no TensorFlow is needed."""

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from google.protobuf import text_format  # type: ignore[import-untyped]
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from siamese import plots
from siamese.metrics.blocks import distance_blocks, exact_distances
from siamese.metrics.pairs import sample_pairs
from siamese.models.embedder import embed
from siamese.train.callbacks import RunCallback
from siamese.vectors import Embeddings

NAMES = {
    "loss": "loss/total",
    "metric_loss": "loss/metric",
    "identity_loss": "loss/identity",
    "same_different_loss": "loss/same_different",
    "spread": "embeddings/spread",
    "active": "embeddings/active_triplets",
    "val_loss": "held_out/loss",
    "val_rank1": "held_out/rank1",
    "val_mAP": "held_out/mAP",
    "val_eer": "held_out/eer",
}
"""Names of the logs to names of the curves; the others keep theirs."""

SPRITE_HEIGHT = 64
"""Pixels of a thumbnail of the projector, which takes one picture of 8192 x 8192 at most."""
BINS = 40
HARDEST = 8
PAIRS = 20_000


class TensorBoard(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes the scalars of each epoch, and pictures, histograms and more when it is given them.

    Args:
        folder: Where the event files go; `tensorboard --logdir` takes it or one above it.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.writer = EventFileWriter(str(folder))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Writes all numbers of the epoch."""
        values = [
            Summary.Value(tag=NAMES.get(name, name), simple_value=float(value))
            for name, value in logs.items()
            if math.isfinite(float(value))
        ]
        self._write(Summary(value=values), epoch)

    def picture(self, name: str, figure: Figure, epoch: int) -> None:
        """Writes a picture."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        width, height = (int(side) for side in figure.get_size_inches() * figure.dpi)
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=buffer.getvalue()
        )
        self._write(Summary(value=[Summary.Value(tag=name, image=image)]), epoch)

    def restart(self, epoch: int) -> None:
        """Drops what an interrupted run has written of this epoch and of later ones."""
        start = SessionLog(status=SessionLog.START)
        self.writer.add_event(Event(wall_time=time.time(), step=epoch, session_log=start))

    def settings(self, values: Mapping[str, Any], name: str) -> None:
        """Writes what the page HPARAMS compares runs by."""
        plain = {
            setting: value if isinstance(value, int | float) else str(value)
            for setting, value in _flatten(values).items()
        }
        self._write(hparams_pb(plain, trial_id=name), 0)

    def histogram(self, name: str, values: NDArray[np.floating[Any]], epoch: int) -> None:
        """Writes how often which value occurs; nothing where there is none."""
        if values.size:
            self._write(histogram_pb(name, values, buckets=BINS), epoch)

    def projector(
        self,
        embeddings: NDArray[np.float32],
        people: Sequence[str],
        cameras: Sequence[int],
        images: Sequence[NDArray[np.uint8]],
    ) -> None:
        """Writes what the page PROJECTOR shows: a point an image, with the image itself.

        Args:
            embeddings: `(images, dimensions)`.
            people: Who is on each image.
            cameras: The camera of each.
            images: `(height, width, 3)` each.
        """
        folder = self.folder / "projector"
        folder.mkdir(parents=True, exist_ok=True)
        np.savetxt(folder / "embeddings.tsv", embeddings, fmt="%.5f", delimiter="\t")
        lines = [f"{person}\t{camera}" for person, camera in zip(people, cameras, strict=True)]
        (folder / "people.tsv").write_text(
            "\n".join(["person\tcamera", *lines]) + "\n", encoding="utf-8"
        )
        height, width = images[0].shape[:2]
        small = (max(1, round(width * SPRITE_HEIGHT / height)), SPRITE_HEIGHT)
        side = math.ceil(math.sqrt(len(images)))
        sprite = Image.new("RGB", (side * small[0], side * small[1]))
        for number, image in enumerate(images):
            row, column = divmod(number, side)
            thumbnail = Image.fromarray(image).resize(small)
            sprite.paste(thumbnail, (column * small[0], row * small[1]))
        sprite.save(folder / "sprite.png")
        config = ProjectorConfig()
        points = config.embeddings.add(
            tensor_name="held-out people",
            tensor_path="projector/embeddings.tsv",
            metadata_path="projector/people.tsv",
        )
        points.sprite.image_path = "projector/sprite.png"
        points.sprite.single_image_dim.extend(small)
        (self.folder / "projector_config.pbtxt").write_text(
            text_format.MessageToString(config), encoding="utf-8"
        )

    def close(self) -> None:
        """Closes the file; nothing can be written after."""
        self.writer.close()

    def _write(self, summary: Summary, step: int) -> None:
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        self.writer.flush()


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


@dataclass(eq=False)
class EpochPictures(RunCallback):
    """Shows, after each scoring, distances of held-out pairs and the hardest training triplets.

    The training images are the same at each epoch, so that pictures can be compared.
    """

    board: TensorBoard
    embedder: keras.Model
    gallery: Callable[[], Embeddings]
    images: NDArray[np.uint8]  # (images, height, width, 3)
    labels: NDArray[np.int32]  # (images,)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes them, where the epoch was scored."""
        if "val_mAP" not in logs:
            return
        gallery = self.gallery()
        pairs = sample_pairs(gallery.embeddings, gallery.people, gallery.cameras, size=PAIRS)
        same = pairs.first_person == pairs.second_person
        self.board.histogram("distances/same_person", pairs.distances[same], epoch)
        self.board.histogram("distances/two_people", pairs.distances[~same], epoch)
        embeddings = embed(self.embedder, [self.images])
        rows = hardest_triplets(self.labels, embeddings)
        if not len(rows):  # the first batches of an epoch may be of one person alone
            return
        captions = [
            caption
            for anchor, positive, negative in rows
            for caption in (
                f"anchor: {self.labels[anchor]}",
                f"same: {exact_distances(embeddings[anchor], embeddings[positive]):.2f}",
                f"other: {exact_distances(embeddings[anchor], embeddings[negative]):.2f}",
            )
        ]
        picture = plots.plot_images(self.images[rows.ravel()], captions, columns=6)
        self.board.picture("batch/hardest_triplets", picture, epoch)


def hardest_triplets(
    labels: NDArray[np.int32], embeddings: NDArray[np.float32], count: int = HARDEST
) -> NDArray[np.int64]:
    """Finds the hardest triplets: farthest positive, nearest negative, largest gap between the two.

    Args:
        labels: `(images,)`.
        embeddings: `(images, dimensions)`.
        count: The most triplets wanted; each has another person as its anchor.

    Returns:
        Rows of anchor, positive and negative, `(triplets, 3)`, hardest first.

    Example:
        >>> places = np.float32([[0], [5], [1], [9]])
        >>> hardest_triplets(np.int32([7, 7, 8, 8]), places).tolist()
        [[2, 3, 0], [0, 1, 2]]
    """
    blocks = distance_blocks(embeddings, embeddings)
    distances = np.concatenate([block.copy() for _, block in blocks])
    same = labels[:, None] == labels[None]
    positive = np.where(same & ~np.eye(len(labels), dtype=bool), distances, -np.inf)
    negative = np.where(same, np.inf, distances)
    gaps = positive.max(axis=1) - negative.min(axis=1)
    order = np.argsort(-gaps, kind="stable")
    order = order[np.isfinite(gaps[order])]
    firsts = np.sort(np.unique(labels[order], return_index=True)[1])  # of each person
    rows = order[firsts[:count]]
    return np.stack([rows, positive[rows].argmax(axis=1), negative[rows].argmin(axis=1)], axis=1)
