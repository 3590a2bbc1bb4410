"""`siamese.plots`: every picture can be drawn, saved and shows what it was given."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from siamese import plots
from siamese.errors import InputError
from siamese.metrics.calibration import VERDICTS
from siamese.plots.style import CURVES, shorten

PERSON = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)


LACKING = {
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
              [-0.011820, 0.042940, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
             [0.004733, 0.691367, 0.303900]],
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}  # fmt: skip
"""What is seen without one kind of cone, on linear RGB: Machado, Oliveira and Fernandes 2009."""

BOUNDS = (0.5, 0.75, 1.0, 1.5)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_pair_shows_word_and_numbers(tmp_path: Path, verdict: str) -> None:
    figure = plots.plot_pair(
        PERSON, PERSON[:50], verdict=verdict, distance=0.4, threshold=0.8, probability=0.97,
        bounds=BOUNDS,
    )  # fmt: skip
    words = [text.get_text() for text in figure.texts]
    assert words == [plots.VERDICT_WORDS[verdict], "same person: 97.0%"]
    path = plots.save(figure, tmp_path / "pair.png")
    assert [each.name for each in tmp_path.iterdir()] == ["pair.png"]
    with Image.open(path) as picture:
        assert picture.size == tuple(int(side) for side in figure.get_size_inches() * figure.dpi)


def test_names_are_words_and_no_formulas(tmp_path: Path) -> None:
    for name in ("pay$5^^3$x.jpg", "a$_$.jpg", "$1$"):
        pair = plots.plot_pair(
            PERSON, PERSON, verdict="same", distance=0.4, threshold=0.8, probability=0.97,
            bounds=BOUNDS, names=(name, name),
        )  # fmt: skip
        plots.save(pair, tmp_path / "pair.png")
        ranked = plots.RankedImage(PERSON, True, name)
        plots.save(plots.plot_rank_lists([(PERSON, name)], [[ranked]]), tmp_path / "ranks.png")
        failures = plots.plot_pairs([(PERSON, PERSON)], [name], same=True)
        plots.save(failures, tmp_path / "failures.png")


LONG = (
    "0002_c1s1_000451_03.jpg",
    "alexander_hamilton\n0.400",
    "0000_000_01_0303morning_0015_0_ex.jpg",
)


def _overlaps(figure: Figure) -> list[str]:
    """Captions that run over one another or over the edge of the picture, letters measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    with warnings.catch_warnings(action="ignore"):
        figure.draw(renderer)
    words = [text for axes in figure.axes for text in [*axes.texts, axes.xaxis.label]]
    boxes = [(w.get_text(), w.get_window_extent(renderer)) for w in words if w.get_text()]
    width, height = figure.get_size_inches() * figure.dpi
    found = [
        text for text, box in boxes if box.x0 < 0 or box.x1 > width or box.y0 < 0 or box.y1 > height
    ]
    for number, (text, box) in enumerate(boxes):
        found += [f"{text} | {other}" for other, b in boxes[:number] if box.overlaps(b)]
    return found


@pytest.mark.parametrize("name", [*LONG, "監視カメラ_二〇二六年十一月_0001.jpg"])
def test_long_captions_stay_apart(name: str, tmp_path: Path) -> None:
    ranked = [plots.RankedImage(PERSON, True, f"{name}\ncam 12  0.42")] * 3
    heat, first = np.ones((4, 2)), name.splitlines()[0]
    figures = [
        plots.plot_rank_lists([(PERSON, name)] * 2, [ranked] * 2),
        plots.plot_pairs([(PERSON, PERSON)] * 4, [f"{first} / {first}  0.42"] * 4, same=True),
        plots.plot_images([PERSON] * 4, [first] * 4, columns=2),
        plots.plot_pair(
            PERSON, PERSON, verdict="probably different", distance=0.4, threshold=0.8,
            probability=0.97, bounds=BOUNDS, names=(name, name),
        ),
        plots.plot_explanation((PERSON, PERSON), (heat, heat), similarity=0.9, names=(name, name)),
    ]  # fmt: skip
    for number, figure in enumerate(figures):
        plots.save(figure, tmp_path / f"{number}.png")  # no warning of letters without a glyph
        assert not _overlaps(figure)


def test_short_captions_are_left_as_they_are_and_long_ones_lose_their_middle() -> None:
    for text in ("0002_c1s1_0004", "", "監視カメラ一二", "a\nb"):
        assert shorten(text, 14) == text
    assert shorten("0002_c1s1_000451_03.jpg", 14) == "0002_c…_03.jpg"
    assert shorten("alexander_hamilton\n0.400", 14) == "alexan…amilton\n0.400"
    assert shorten("監視カメラ一二三", 14) == "監視カ…一二三"
    assert shorten("bad\udcff.jpg", 14) == "bad?.jpg"


def test_one_epoch_and_one_rank_have_whole_numbers_below_them() -> None:
    losses, _ = plots.plot_history([{"epoch": 0, "loss": 3.0}]).axes
    (cmc,) = plots.plot_cmc([0.5], queries=3, gallery=9).axes
    for axes in (losses, cmc):
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


@pytest.mark.parametrize("most", [1, 7, 40, 59, 200])
def test_bars_of_images_a_person_stand_for_equally_many_numbers(most: int) -> None:
    figure = plots.plot_dataset(
        [PERSON], images_a_person=list(range(1, most + 1)), image_sizes={(128, 64): 1}
    )
    bars = figure.axes[1].patches
    step = round(bars[0].get_width())
    assert len(bars) <= 40
    assert {bar.get_height() for bar in bars[:-1]} <= {step}
    assert sum(bar.get_height() for bar in bars) == most
    assert bars[0].get_x() == 0.5


def test_scale_of_a_distance_ends_in_a_short_number() -> None:
    pair = plots.plot_pair(
        PERSON, PERSON, verdict="different", distance=1.999, threshold=0.8, probability=0.01,
        bounds=BOUNDS,
    )  # fmt: skip
    assert [text.get_text() for text in pair.axes[2].get_xticklabels()] == ["0", "2.2"]


@pytest.mark.parametrize(
    ("bounds", "widths"),
    [
        (BOUNDS, [0.5, 0.25, 0.25, 0.5, 0.5]),
        ((-0.5, 0.1, 0.2, 2.5), [0, 0.1, 0.1, 1.8, 0]),
        ((-np.inf, -np.inf, np.inf, np.inf), [0, 0, 2, 0, 0]),
    ],
)
def test_scale_shows_where_each_word_is_said(
    bounds: tuple[float, ...], widths: list[float]
) -> None:
    pair = plots.plot_pair(
        PERSON, PERSON, verdict="unsure", distance=0.9, threshold=0.8, probability=0.5,
        bounds=bounds,
    )  # fmt: skip
    bands = pair.axes[2].patches
    assert [band.get_width() for band in bands] == pytest.approx(widths)
    colours = [to_hex(band.get_facecolor()) for band in bands]
    assert colours == list(plots.VERDICT_COLOURS.values())
    assert len(set(colours)) == 5


def test_rank_list_frames_correct_places_green_and_wrong_ones_red() -> None:
    places = [plots.RankedImage(PERSON, correct, "1.0") for correct in (True, False, None)]
    figure = plots.plot_rank_lists([(PERSON, "0001")], [places])
    colours = [to_hex(patch.get_edgecolor()) for patch in figure.axes[0].patches]
    assert colours == [plots.NEUTRAL, plots.SAME, plots.DIFFERENT, plots.NEUTRAL]
    words = {text.get_text() for text in figure.axes[0].texts}
    assert {"query", "rank 1", "rank 3", "0001"} <= words
    legend = figure.axes[0].get_legend()
    assert [line.get_color() for line in legend.get_lines()] == colours[1:]
    assert [text.get_text() for text in legend.get_texts()] == [
        "the same person", "another person", "the query, or not known",
    ]  # fmt: skip
    plain = plots.plot_rank_lists([(PERSON, "identity 0")], [places[2:]], titles=False)
    assert {text.get_text() for text in plain.axes[0].texts} == {"identity 0", "1.0"}
    assert plain.axes[0].get_legend() is None


@pytest.mark.parametrize("columns", [1, 5, 10])
def test_legend_of_rank_lists_covers_nothing_and_is_whole(columns: int) -> None:
    places = [plots.RankedImage(PERSON, True, "1.0\ncam 3")] * columns
    figure = plots.plot_rank_lists([(PERSON, "0001")] * 2, [places] * 2)
    figure.canvas.draw()
    axes = figure.axes[0]
    box = axes.get_legend().get_window_extent()
    assert all(image.get_window_extent().y0 > box.y1 for image in axes.images)
    assert all(text.get_window_extent().y0 >= box.y1 for text in axes.texts)
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.width


@pytest.mark.parametrize("lacking", sorted(LACKING))
def test_verdicts_are_told_apart_by_people_who_see_few_colours(lacking: str) -> None:
    """Lightness is kept for the degree; the side of a verdict is in the hue."""
    same, likely, unsure, unlikely, different = (
        _as_seen(colour, np.array(LACKING[lacking])) for colour in plots.VERDICT_COLOURS.values()
    )
    for left in (same, likely, unsure):
        for right in (unlikely, different):
            assert np.linalg.norm(left - right) > 25
    for side in (same, likely):
        assert np.linalg.norm(side - unsure) > 25


def _as_seen(colour: str, lacking: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns a colour's place in CIELAB (D65) after a matrix on linear RGB."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(xyz) @ (lacking @ linear).clip(1e-3, 1) / (0.9505, 1, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_images_of_any_shape_stay_in_their_cells_and_keep_their_shape() -> None:
    wide, tall = PERSON[:16], PERSON[:, :8]
    figure = plots.plot_rank_lists(
        [(wide, "0001")], [[plots.RankedImage(image, True, "") for image in (PERSON, tall)]]
    )
    axes = figure.axes[0]
    pixels = []
    for image in axes.images:
        left, right, bottom, top = image.get_extent()
        corners = axes.transData.transform([(left, bottom), (right, top)])
        pixels.append(np.abs(corners[1] - corners[0]))
        assert 0 <= left < right <= axes.get_xlim()[1]
        assert 0.2 <= top < bottom <= axes.get_ylim()[0]
    shapes = [height / width for width, height in pixels]
    np.testing.assert_allclose(shapes, [16 / 64, 2, 16], rtol=0.01)


def test_failures_are_framed_by_whether_they_show_one_person() -> None:
    for same, colour in ((True, plots.SAME), (False, plots.DIFFERENT)):
        figure = plots.plot_pairs([(PERSON, PERSON)] * 5, list("abcde"), same=same)
        axes = figure.axes[0]
        assert len(axes.images) == 10
        assert [text.get_text() for text in axes.texts if text.get_text()] == list("abcde")
        assert all(to_hex(patch.get_edgecolor()) == colour for patch in axes.patches)


def test_roc_marks_what_the_scores_say() -> None:
    roc = [[0, 0], [0.001, 0.5], [0.1, 0.9], [1, 1]]
    figure = plots.plot_roc(roc, eer=0.1, auc=0.95, tar_at_far={1e-2: 0.6, 1e-3: 0.5})
    axes = figure.axes[0]
    assert "0.9500" in axes.get_title()
    marks = [line for line in axes.lines if line.get_marker() in ("o", "D")]
    points = [(float(mark.get_xdata()[0]), float(mark.get_ydata()[0])) for mark in marks]
    assert points == [(0.1, 0.9), (0.01, 0.6), (0.001, 0.5)]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.005, 0.5, 0.9, 1])


def test_reliability_shows_what_came_true() -> None:
    figure = plots.plot_reliability([0.1, 0.9], [0.2, 0.8], [0.3, 0.7], error=0.1)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [0.2, 0.8])
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], [0.3, 0.7])
    assert "0.100" in axes.get_title()


def test_drawing_for_a_page_takes_the_colours_of_the_page() -> None:
    text = plots.to_svg(lambda: plots.plot_cmc([0.5, 0.7], queries=10, gallery=50))
    assert text.startswith("<svg")
    assert "currentColor" in text
    assert "var(--same)" in text
    for colour in (plots.SAME, plots.NEUTRAL, "#ffffff"):
        assert colour not in text
    # The settings are back as they were.
    assert plots.plot_cmc([0.5], queries=1, gallery=1).get_facecolor() == (1, 1, 1, 1)


def test_grid_has_a_place_for_each_image() -> None:
    figure = plots.plot_images(np.repeat(PERSON[None], 11, axis=0), columns=4)
    assert len(figure.axes[0].images) == 11


def test_curves_show_what_was_measured() -> None:
    history = [
        {"epoch": 0, "loss": 2.0},
        {"epoch": 1, "loss": 1.0, "val_rank1": 0.5, "val_mAP": 0.4, "val_loss": 1.5},
    ]
    losses, scores = plots.plot_history(history).axes
    assert [line.get_label() for line in losses.lines] == ["total", "held-out people"]
    assert [line.get_label() for line in scores.lines] == ["Rank-1", "mAP"]
    np.testing.assert_array_equal(losses.lines[0].get_xdata(), [1, 2])
    assert [line.get_color() for line in scores.lines] == list(CURVES[:2])


@pytest.mark.parametrize(
    "figure",
    [
        plots.plot_history([{"epoch": 0, "loss": 1.0, "val_rank1": 1.0, "val_mAP": 1.0}]),
        plots.plot_cmc([1.0], queries=1, gallery=1),
        plots.plot_roc([[0, 1], [1, 1]], eer=0.0001, auc=1, tar_at_far={1e-2: 1.0}),
        plots.plot_reliability([1.0], [1.0], [1.0], error=0.0),
    ],
    ids=["history", "cmc", "roc", "reliability"],
)
def test_a_score_of_one_is_not_clipped(figure: Figure) -> None:
    axes = figure.axes[-1]
    figure.canvas.draw()
    for line in axes.lines:
        if line.get_marker() not in ("", "None", None) and line.get_clip_on():
            reach = line.get_markersize() / 2 * figure.dpi / 72
            highest = max(axes.transData.transform(line.get_xydata())[:, 1]) + reach
            assert highest <= axes.bbox.y1 + 1


def test_histogram_and_cmc_can_be_drawn(tmp_path: Path) -> None:
    figure = plots.plot_distances([0.1, 0.2, 0.3], [3, 1, 0], [0, 2, 9], threshold=0.2)
    plots.save(figure, tmp_path / "distances.png")
    figure = plots.plot_cmc([0.5, 0.7, 1.0], queries=10, gallery=50)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [0.5, 0.7, 1.0])


def test_picture_without_a_known_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in one of"):
        plots.save(plots.plot_images(PERSON[None]), tmp_path / "verdict")
    assert not list(tmp_path.iterdir())
