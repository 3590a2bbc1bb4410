"""Models in forked workers, as multiprocessing and PyTorch's DataLoader start them."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.inference import Model, load_model
from siamese.models.checkpoint import PRETRAINED

CROP = next((Path(__file__).parents[1] / "notebooks" / "images").glob("*.jpg"))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems start workers anew")


def _in_fork(model: Model, reopen: bool = False) -> str:
    """What embedding a crop in a forked process says: the sum of the embedding, or the error."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 3.12 and of JAX: threads are running
        child = os.fork()
    if child == 0:
        try:
            model = load_model(model.path) if reopen else model
            said = f"{model.embed(CROP).sum():.5f}"
        except InputError as error:
            said = str(error)
        except BaseException as error:
            said = repr(error)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as file:
        return file.read()


@pytest.mark.parametrize("reopen", [False, True])
def test_a_model_of_keras_refuses_a_fork_in_one_line(reopen: bool) -> None:
    model = load_model(PRETRAINED)
    before = model.embed(CROP)
    said = _in_fork(model, reopen)
    assert said.startswith(f"{model.path}: Keras cannot compute in a process that was forked")
    assert "siamese export" in said
    np.testing.assert_array_equal(model.embed(CROP), before)


def test_a_model_of_onnx_embeds_in_a_fork() -> None:
    model = load_model(PRETRAINED.with_suffix(".onnx"))
    assert _in_fork(model) == f"{model.embed(CROP).sum():.5f}"
