"""`siamese.plots`: every picture can be drawn, saved and shows what it was given."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese import plots
from siamese.errors import InputError

PERSON = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("verdict", ["same", "different", "unsure"])
def test_pair_shows_word_and_numbers(tmp_path: Path, verdict: str) -> None:
    figure = plots.plot_pair(
        PERSON, PERSON[:50], verdict=verdict, distance=0.4, threshold=0.8, probability=0.97
    )
    words = [text.get_text() for text in figure.texts]
    assert words == [plots.VERDICT_WORDS[verdict], "same person: 97%"]
    path = plots.save(figure, tmp_path / "pair.png")
    assert [each.name for each in tmp_path.iterdir()] == ["pair.png"]
    with Image.open(path) as picture:
        assert picture.size == tuple(int(side) for side in figure.get_size_inches() * figure.dpi)


def test_rank_list_frames_correct_places_green_and_wrong_ones_red() -> None:
    places = [plots.RankedImage(PERSON, correct, "1.0") for correct in (True, False, None)]
    figure = plots.plot_rank_lists([(PERSON, "0001")], [places])
    colours = [
        "#{:02x}{:02x}{:02x}".format(
            *(round(255 * c) for c in axes.spines["top"].get_edgecolor()[:3])
        )
        for axes in figure.axes
    ]
    assert colours == [plots.NEUTRAL, plots.SAME, plots.DIFFERENT, plots.NEUTRAL]


def test_grid_has_a_place_for_each_image() -> None:
    figure = plots.plot_images(np.repeat(PERSON[None], 11, axis=0), columns=4)
    assert len(figure.axes) == 11


def test_curves_show_what_was_measured() -> None:
    history = [
        {"epoch": 0, "loss": 2.0},
        {"epoch": 1, "loss": 1.0, "val_rank1": 0.5, "val_mAP": 0.4},
    ]
    losses, scores = plots.plot_history(history).axes
    assert [line.get_label() for line in losses.lines] == ["total"]
    assert [line.get_label() for line in scores.lines] == ["Rank-1", "mAP"]
    np.testing.assert_array_equal(losses.lines[0].get_xdata(), [1, 2])


def test_histogram_and_cmc_can_be_drawn(tmp_path: Path) -> None:
    figure = plots.plot_distances([0.1, 0.2, 0.3], [3, 1, 0], [0, 2, 9], threshold=0.2)
    plots.save(figure, tmp_path / "distances.png")
    figure = plots.plot_cmc([0.5, 0.7, 1.0], queries=10, gallery=50)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [0.5, 0.7, 1.0])


def test_picture_without_a_known_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in one of"):
        plots.save(plots.plot_images(PERSON[None]), tmp_path / "verdict")
    assert not list(tmp_path.iterdir())
