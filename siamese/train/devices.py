"""One device, all of a machine, or those of several machines.

One device is Keras as it is. Several devices hold a copy of the model each and share every batch:

- TensorFlow: `tf.distribute.MirroredStrategy`. Each device mines its own part of the batch, whole
  groups of one person; batch normalisation uses the statistics of the whole batch.
- JAX: `keras.distribution.DataParallel`, on one machine or on several. The step is that of one
  device with the whole batch, so mining goes over the whole batch, and so do the statistics.

Processes on several machines find each other by the environment variables of
`keras.distribution.initialize`.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras

from siamese.errors import InputError
from siamese.train.speed import list_norms

PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"


class OneDevice:
    """One device in one process: nothing is distributed.

    Attributes:
        count: Devices that train together.
        processes: Processes that train together.
        process: The number of this one, from 0; only the first keeps what it writes.
    """

    count = 1
    processes = 1
    process = 0

    def building(self) -> AbstractContextManager[Any]:
        """Returns the scope in which the training model is built or loaded."""
        return contextlib.nullcontext()

    def fitting(self) -> AbstractContextManager[Any]:
        """Returns the scope in which it is trained."""
        return contextlib.nullcontext()

    def outside(self) -> AbstractContextManager[Any]:
        """Returns the scope of models that one process uses by itself, as for scoring."""
        return contextlib.nullcontext()

    def own_copy(self, embedder: keras.Model) -> keras.Model:
        """Returns an embedder that this process can use by itself."""
        return embedder

    def prepare(self, model: keras.Model) -> None:
        """Changes a training model as its devices need it."""

    def feed(self, open_batches: Callable[[], Any]) -> Any:
        """Returns what `fit` is given: of what opens the batches, each time from the first on."""
        return open_batches()

    def check(self, *, num_identities: int, num_instances: int) -> None:
        """Makes sure that a batch of P people x K images can be shared."""


class _SeveralDevices(OneDevice):
    def own_copy(self, embedder: keras.Model) -> keras.Model:
        with self.outside():
            copy = keras.models.clone_model(embedder)
        for norm in list_norms(copy):
            norm.synchronized = False
        return copy


class MirroredDevices(_SeveralDevices):
    """Several devices of one machine, on TensorFlow.

    Where there is no GPU, the CPU's logical devices count (TensorFlow makes one, unless it was told
    to make more).
    """

    def __init__(self, devices: int | None) -> None:
        import tensorflow as tf

        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        self.count = _limit(devices, len(found))
        self.strategy = tf.distribute.MirroredStrategy([each.name for each in found[: self.count]])

    def building(self) -> AbstractContextManager[Any]:
        """Returns the strategy's scope: variables get a copy on each device."""
        scope: AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def prepare(self, model: keras.Model) -> None:
        """Has batch normalisation average over all devices; else each would normalise its part."""
        for norm in list_norms(model):
            norm.synchronized = True

    def feed(self, open_batches: Callable[[], Any]) -> Any:
        """Returns data that can be opened twice: Keras does so here, once to see their shapes.

        From a plain generator the second opening goes on where the first one was, which had read
        ahead: batches were lost.
        """
        opened = open_batches()
        if not isinstance(opened, Iterator):
            return opened
        import tensorflow as tf

        signature = tf.nest.map_structure(
            lambda each: tf.TensorSpec(each.shape, each.dtype), next(opened)
        )
        batches = tf.data.Dataset.from_generator(open_batches, output_signature=signature)
        return batches.prefetch(tf.data.AUTOTUNE)

    def check(self, *, num_identities: int, num_instances: int) -> None:
        """Makes sure that each device gets whole groups of one person."""
        del num_instances
        if num_identities % self.count:
            raise InputError(
                f"`num_identities` of a batch must be a multiple of the {self.count} devices. "
                f"Received: {num_identities}. Give another number of --devices, or write a recipe "
                "with other batches."
            )


class ParallelDevices(_SeveralDevices):
    """Several devices, of one machine or of several, on JAX."""

    def __init__(self, devices: int | None) -> None:
        found = keras.distribution.list_devices()
        self.count = _limit(devices, len(found))
        self.distribution = keras.distribution.DataParallel(
            devices=found[: self.count], auto_shard_dataset=False
        )
        if PROCESSES in os.environ:
            self.processes = int(os.environ[PROCESSES])
            self.process = int(os.environ["KERAS_DISTRIBUTION_PROCESS_ID"])

    def building(self) -> AbstractContextManager[Any]:
        """Returns the distribution's scope: variables get a copy on each device."""
        scope: AbstractContextManager[Any] = self.distribution.scope()
        return scope

    fitting = building

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """Leaves the distribution: `predict` fails under one of several processes."""
        inside = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(inside)

    def check(self, *, num_identities: int, num_instances: int) -> None:
        """Makes sure that each device gets as many rows as the others."""
        if num_identities * num_instances % self.count:
            raise InputError(
                f"the images of a batch must be a multiple of the {self.count} devices. Received: "
                f"{num_identities * num_instances}. Write a recipe with other batches."
            )


def _limit(devices: int | None, found: int) -> int:
    """Returns how many of the devices found are taken."""
    wanted = found if devices is None else devices
    if wanted > found:
        raise InputError(
            f"`devices` must be at most {found}, those of this machine. Received: {wanted}. Give "
            "`all` to use what there is."
        )
    return wanted


def open_devices(devices: int | None = 1) -> OneDevice:
    """Opens the devices that a run trains on; in several processes, finds the others first.

    Args:
        devices: How many of this machine; None: all. With several processes it must be None or 1:
            all of all machines are taken.

    Raises:
        InputError: There are fewer, or the backend cannot do it.
    """
    if devices is not None and devices < 1:
        raise InputError(f"`devices` must be at least 1, or `all`. Received: {devices}")
    backend = keras.config.backend()
    if int(os.environ.get(PROCESSES, "1")) > 1:
        if backend != "jax":
            raise InputError(
                f"several processes ({PROCESSES}) need the JAX backend. Received: {backend}. Set "
                "KERAS_BACKEND=jax."
            )
        keras.distribution.initialize()
        return ParallelDevices(None)
    if devices == 1:
        return OneDevice()
    if backend in ("jax", "tensorflow"):
        return ParallelDevices(devices) if backend == "jax" else MirroredDevices(devices)
    raise InputError(
        f"several devices need the backend tensorflow or jax. Received: {backend}. Set "
        "KERAS_BACKEND, or leave out --devices."
    )


@contextlib.contextmanager
def own_folder(devices: OneDevice, folder: Path) -> Iterator[Path]:
    """Gives the folder that this process writes to: the run's, or one that passes.

    All processes do the same work around an epoch, so that they agree on every decision without
    sending a word; what others than the first write is thrown away.
    """
    if devices.process == 0:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / folder.name
        if folder.exists():
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.lock"))
        yield copy
