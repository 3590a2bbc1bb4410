"""TensorBoard logs, written with the `tensorboard` package alone: no TensorFlow is needed."""

import io
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from google.protobuf import text_format  # type: ignore[import-untyped]
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.summary.writer.event_file_writer import EventFileWriter

NAMES = {
    "loss": "loss/total",
    "metric_loss": "loss/metric",
    "identity_loss": "loss/identity",
    "same_different_loss": "loss/same_different",
    "spread": "embeddings/spread",
    "active": "embeddings/active_triplets",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
    "val_rank1": "held_out/rank1",
    "val_mAP": "held_out/mAP",
    "val_eer": "held_out/eer",
}
"""Names of the logs to names of the curves; the others keep theirs."""

SPRITE_HEIGHT = 64
"""Pixels of a thumbnail of the projector, which takes one picture of 8192 x 8192 at most."""
BINS = 40


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
        self._write(values, epoch)

    def picture(self, name: str, figure: Figure, epoch: int) -> None:
        """Writes a picture."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        width, height = (int(side) for side in figure.get_size_inches() * figure.dpi)
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=buffer.getvalue()
        )
        self._write([Summary.Value(tag=name, image=image)], epoch)

    def restart(self, epoch: int) -> None:
        """Drops what an interrupted run has written of this epoch and of later ones."""
        start = SessionLog(status=SessionLog.START)
        self.writer.add_event(Event(wall_time=time.time(), step=epoch, session_log=start))

    def settings(self, values: Mapping[str, Any], name: str) -> None:
        """Writes what the page HPARAMS compares runs by.

        Args:
            values: Settings by name; those in dicts are named `outer.inner`.
            name: Of the run.
        """
        started = SessionStartInfo(group_name=name, start_time_secs=time.time())
        for setting, value in _flatten(values).items():
            place = started.hparams[setting]
            if isinstance(value, bool):
                place.bool_value = value
            elif isinstance(value, int | float):
                place.number_value = value
            else:
                place.string_value = str(value)
        data = metadata.create_summary_metadata(HParamsPluginData(session_start_info=started))
        tag = metadata.SESSION_START_INFO_TAG
        self._write([Summary.Value(tag=tag, metadata=data, tensor=metadata.NULL_TENSOR)], 0)

    def histogram(self, name: str, values: ArrayLike, epoch: int) -> None:
        """Writes how often which value occurs; nothing where there is none."""
        numbers = np.asarray(values, np.float64)
        if not numbers.size:
            return
        counts, edges = np.histogram(numbers, bins=BINS)
        histogram = HistogramProto(
            min=numbers.min(),
            max=numbers.max(),
            num=numbers.size,
            sum=numbers.sum(),
            sum_squares=np.square(numbers).sum(),
            bucket_limit=edges[1:],
            bucket=counts,
        )
        self._write([Summary.Value(tag=name, histo=histogram)], epoch)

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

    def _write(self, values: list[Any], step: int) -> None:
        summary = Summary(value=values)
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
