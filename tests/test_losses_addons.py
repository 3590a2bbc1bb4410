"""Our losses against tensorflow-addons 0.23.0, and the page for those who come from it."""

import re
from pathlib import Path

import numpy as np
import pytest
from goldens.check_addons_goldens import STORED, TOLERANCE, differences_from_ours, list_our_losses

PAGE = Path(__file__).parents[1] / "docs" / "moving-from-tensorflow-addons.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_values_and_gradients_agree_with_tensorflow_addons():
    differences = differences_from_ours(np.load(STORED))
    assert {name: pair for name, pair in differences.items() if max(pair) > TOLERANCE} == {}


def test_the_goldens_hold_every_loss_and_are_not_trivial():
    goldens = np.load(STORED)
    kinds = {name.rsplit(" ", 1)[0] for name in goldens if name.endswith("gradients")}
    assert kinds == set(list_our_losses())
    for name in kinds:
        assert (goldens[f"{name} values"] > 0).mean() >= 0.9
        assert np.abs(goldens[f"{name} gradients"]).max() > 0.01


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_of_the_page_run(number):
    exec(compile(SNIPPETS[number], f"{PAGE.name}, snippet {number + 1}", "exec"), {})


def test_the_page_names_only_what_exists():
    import keras

    names = set(re.findall(r"`keras\.([\w.]+)", PAGE.read_text()))
    assert len(names) > 20
    for name in names:
        found = keras
        for part in name.split("."):
            found = getattr(found, part)
