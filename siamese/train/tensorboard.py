"""TensorBoard logs, written with the `tensorboard` package alone: no TensorFlow is needed."""

import io
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

NAMES = {
    "loss": "loss/total",
    "metric_loss": "loss/metric",
    "identity_loss": "loss/identity",
    "same_different_loss": "loss/same_different",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
    "val_rank1": "held_out/rank1",
    "val_mAP": "held_out/mAP",
    "val_eer": "held_out/eer",
}
"""Names of the logs to names of the curves; the others keep theirs."""


class TensorBoard(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes the scalars of each epoch, and pictures when it is given them.

    Args:
        folder: Where the event files go; `tensorboard --logdir` takes it or one above it.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
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

    def close(self) -> None:
        """Closes the file; nothing can be written after."""
        self.writer.close()

    def _write(self, values: list[Any], step: int) -> None:
        summary = Summary(value=values)
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        self.writer.flush()
