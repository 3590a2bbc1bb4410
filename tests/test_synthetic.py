"""Drawn pedestrians: the same ones every time, and told apart by more than colour."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from siamese.errors import InputError
from siamese.images import read_image
from siamese.synthetic import difficulty, draw_pedestrian, write_mars_tree, write_test_images
from siamese.synthetic import drawing as drawing_module
from siamese.synthetic.appearance import Person, describe_person
from siamese.synthetic.cameras import Camera, develop, make_camera
from siamese.synthetic.canvas import Canvas, Floats, tone
from siamese.synthetic.figure import draw_figure
from siamese.synthetic.scenes import draw_scene
from siamese.synthetic.trees import MARKER

WHITE = (255, 255, 255)
NEUTRAL = Camera(
    elevation=0.0,
    turn=0.0,
    light=1,
    fill=0.9,
    gains=(1.0, 1.0, 1.0),
    gamma=1.0,
    saturation=1.0,
    blur=0.0,
    noise=0.0,
)
PLAIN_PERSON = replace(
    describe_person(1, 0),
    build=1.0,
    skin=(230.0, 180.0, 150.0),
    hair_style="short",
    hair=(40.0, 120.0, 60.0),  # like nothing else on the person
    beard=False,
    top=(40.0, 60.0, 180.0),
    top_second=(240.0, 220.0, 30.0),
    pattern="plain",
    long_sleeves=True,
    bottom_kind="trousers",
    bottom=(90.0, 90.0, 90.0),
    bag_kind="none",
    hat_kind="none",
    shoes=(20.0, 20.0, 20.0),
)


def canvas_towards(turn: float, elevation: float = 0.0) -> Canvas:
    return Canvas(
        Image.new("RGB", (200, 260), WHITE),
        turn=turn,
        elevation=elevation,
        scale=220.0,
        origin=(100.0, 240.0),
        light=1,
    )


def figure_pixels(person: Person, turn: float, phase: float = 0.6) -> NDArray[np.uint8]:
    canvas = canvas_towards(turn)
    draw_figure(canvas, person, phase, person.stride)
    return np.asarray(canvas.image)


def count_like(pixels: NDArray[np.uint8], colour: tuple[float, float, float]) -> int:
    """Pixels whose colour has the direction of a colour, whatever the shade."""
    flat = pixels.reshape(-1, 3).astype(float)
    wanted = np.array(colour) / np.linalg.norm(colour)
    cosine = flat @ wanted / np.maximum(np.linalg.norm(flat, axis=1), 1e-9)
    return int(np.sum((cosine > 0.995) & (flat.sum(axis=1) > 30)))


def clear_memory() -> None:
    for remembered in (
        describe_person,
        make_camera,
        draw_scene,
        drawing_module._describe_tracklet,
    ):
        remembered.cache_clear()


# One crop


@pytest.mark.parametrize("image_size", [(128, 64), (64, 32), (100, 61), (256, 128), (32, 16)])
def test_a_crop_has_the_size_asked_for(image_size: tuple[int, int]) -> None:
    pixels = draw_pedestrian(3, 2, 1, 4, image_size=image_size)
    assert pixels.shape == (*image_size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 10


def test_a_crop_does_not_depend_on_what_was_drawn_before() -> None:
    asked = [(7, 1, 1, 1), (2, 3, 1, 5), (7, 2, 4, 1), (2, 1, 1, 1)]
    clear_memory()
    forwards = [draw_pedestrian(*one, seed=5) for one in asked]
    clear_memory()
    backwards = [draw_pedestrian(*one, seed=5) for one in reversed(asked)][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "changed", [(4, 1, 1, 1, 0), (3, 2, 1, 1, 0), (3, 1, 2, 1, 0), (3, 1, 1, 2, 0), (3, 1, 1, 1, 9)]
)
def test_every_number_changes_the_crop(changed: tuple[int, int, int, int, int]) -> None:
    *numbers, seed = changed
    person, camera, tracklet, frame = numbers
    one = draw_pedestrian(3, 1, 1, 1).astype(int)
    other = draw_pedestrian(person, camera, tracklet, frame, seed=seed).astype(int)
    assert np.abs(one - other).mean() > 3


def test_every_tracklet_has_its_own_direction_and_light() -> None:
    passages = {
        drawing_module._describe_tracklet(person, camera, tracklet, seed)
        for person in (1, 2)
        for camera in (1, 2)
        for tracklet in (1, 2)
        for seed in (0, 1)
    }
    assert len({passage.turn for passage in passages}) == 16
    assert len({passage.gains for passage in passages}) == 16


def test_legs_move_from_frame_to_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difficulty, "BOX_SHIFT", 0.0)
    monkeypatch.setattr(difficulty, "BOX_SCALE", 0.0)
    legs, heads = 0.0, 0.0
    for person in range(1, 21):
        one, other = (draw_pedestrian(person, 1, 1, frame).astype(int) for frame in (1, 4))
        difference = np.abs(one - other).sum(axis=2)
        legs += difference[70:120, 12:52].mean()
        heads += difference[8:30, 20:44].mean()
    # Without a step between frames, legs differ less than heads, which turn a little.
    assert legs > 1.2 * heads


@pytest.mark.parametrize("name", ["person", "camera", "tracklet", "frame", "seed"])
def test_a_negative_number_is_refused_by_its_name(name: str) -> None:
    numbers = {"person": 1, "camera": 1, "tracklet": 1, "frame": 1, "seed": 0, name: -1}
    with pytest.raises(InputError, match=f"`{name}` must be >= 0. Received: {name}=-1"):
        draw_pedestrian(**numbers)


@pytest.mark.parametrize("image_size", [(31, 64), (128, 15), (0, 0)])
def test_a_size_too_small_to_draw_in_is_refused(image_size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="at least"):
        draw_pedestrian(1, 1, 1, 1, image_size=image_size)


# People


def test_no_two_people_are_alike_though_many_share_a_shirt_colour() -> None:
    people = [describe_person(number, 0) for number in range(1, 301)]
    assert len(set(people)) == 300
    tops = np.array([person.top for person in people])
    nearest = [np.sort(np.abs(tops - top).sum(axis=1))[8] for top in tops]
    assert np.median(nearest) < 40  # a typical shirt has eight others of nearly its colour


def test_another_seed_draws_other_people() -> None:
    assert describe_person(1, 0) != describe_person(1, 1)


def test_a_dress_has_one_colour() -> None:
    dresses = [
        person
        for person in (describe_person(number, 0) for number in range(300))
        if person.bottom_kind == "dress"
    ]
    assert len(dresses) > 5
    assert all(person.bottom == person.top for person in dresses)


# The figure


def test_a_point_on_the_left_hand_is_right_in_the_picture_of_who_faces_it() -> None:
    left = (0.1, 0.5, 0.0)
    # 220 pixels a height: 0.1 across is 22, 0.5 up is 110.
    assert canvas_towards(0.0).project(left) == pytest.approx((122.0, 130.0))
    assert canvas_towards(math.pi).project(left) == pytest.approx((78.0, 130.0))


def test_who_faces_right_walks_right() -> None:
    ahead = (0.0, 0.5, 0.1)
    assert canvas_towards(math.pi / 2).project(ahead) == pytest.approx((122.0, 130.0))
    assert canvas_towards(-math.pi / 2).project(ahead) == pytest.approx((78.0, 130.0))


def test_the_left_side_of_who_walks_right_is_away_from_the_camera() -> None:
    left, ahead = (0.1, 0.5, 0.0), (0.0, 0.5, 0.1)
    assert canvas_towards(math.pi / 2).depth(left) == pytest.approx(-0.1)
    assert canvas_towards(0.0).depth(ahead) == pytest.approx(0.1)
    assert canvas_towards(math.pi).depth(ahead) == pytest.approx(-0.1)


def test_a_pattern_turns_with_the_body() -> None:
    def front(angle: Floats, _height: Floats) -> Floats:
        return (np.abs(angle) < 0.3).astype(np.float32)

    middles = []
    for turn in (0.0, math.pi / 4, math.pi / 2):
        canvas = canvas_towards(turn)
        rings = [(0.8, 0.2, 0.2, 0.0), (0.4, 0.2, 0.2, 0.0)]
        canvas.tube(rings, (200.0, 0.0, 0.0), second=(0.0, 200.0, 0.0), texture=front)
        red, green, _ = np.moveaxis(np.asarray(canvas.image).astype(int), 2, 0)
        middles.append(np.flatnonzero((green > red + 20).any(axis=0)).mean())
    # A radius of 0.2 is 44 pixels: the front is at 44 sin(turn), flattened a little by its width.
    assert middles[0] == pytest.approx(100.0, abs=1.5)
    assert middles[1] == pytest.approx(131.0, abs=4.0)
    assert middles[2] == pytest.approx(143.0, abs=3.0)


def test_what_is_nearer_is_lower_to_a_camera_that_looks_down() -> None:
    canvas = canvas_towards(0.0, elevation=math.pi / 6)
    near, far = canvas.project((0.0, 0.0, 0.1)), canvas.project((0.0, 0.0, -0.1))
    assert near == pytest.approx((100.0, 251.0))
    assert far == pytest.approx((100.0, 229.0))


def test_a_face_is_seen_from_the_front_and_hair_from_behind() -> None:
    front = figure_pixels(PLAIN_PERSON, 0.0)[:50]
    side = figure_pixels(PLAIN_PERSON, math.pi / 2)[:50]
    behind = figure_pixels(PLAIN_PERSON, -math.pi + 0.01)[:50]
    skin = [count_like(view, PLAIN_PERSON.skin) for view in (front, side, behind)]
    assert skin[0] > skin[1] > skin[2]
    assert skin[0] > 2 * skin[2]


def test_a_backpack_is_seen_from_behind() -> None:
    person = replace(PLAIN_PERSON, bag_kind="backpack", bag=(200.0, 30.0, 30.0))
    front, side, behind = (
        count_like(figure_pixels(person, turn), person.bag) for turn in (0.0, math.pi / 2, 3.1)
    )
    assert behind > side > front > 0


def test_a_badge_is_seen_from_the_front_and_a_field_from_behind_but_neither_from_the_side() -> None:
    person = replace(PLAIN_PERSON, pattern="print")
    front, side, behind = (
        count_like(figure_pixels(person, turn), person.top_second)
        for turn in (0.0, math.pi / 2, 3.1)
    )
    assert min(front, behind) > 150
    assert side < min(front, behind) / 3


@pytest.mark.parametrize("pattern", ["hoops", "stripes", "checks", "halves", "open", "raglan"])
def test_a_pattern_shows_the_second_colour(pattern: str) -> None:
    plain = figure_pixels(PLAIN_PERSON, 0.0)
    patterned = figure_pixels(replace(PLAIN_PERSON, pattern=pattern), 0.0)
    changed = np.abs(plain.astype(int) - patterned).sum(axis=2) > 60
    assert changed.sum() > 300


def test_hoops_lie_across_and_stripes_along_the_body() -> None:
    chest = (slice(80, 110), slice(88, 112))
    hoops = figure_pixels(replace(PLAIN_PERSON, pattern="hoops"), 0.0)[chest].astype(float)
    stripes = figure_pixels(replace(PLAIN_PERSON, pattern="stripes"), 0.0)[chest].astype(float)
    for pixels, axis in ((hoops, 1), (stripes, 0)):
        along, across = pixels.mean(axis=axis).std(axis=0), pixels.mean(axis=1 - axis).std(axis=0)
        assert along.sum() > 2 * across.sum()


@pytest.mark.parametrize("turn", np.linspace(-3, 3, 7))
def test_a_walker_stands_on_the_ground_and_is_one_height_tall(turn: float) -> None:
    for phase in np.linspace(0, 2 * math.pi, 9):
        drawn = (figure_pixels(PLAIN_PERSON, float(turn), float(phase)) != 255).any(axis=2)
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        assert 238 <= rows[-1] <= 241  # the ground is at 240
        assert 17 <= rows[0] <= 22  # the crown at 20
        assert columns[0] > 20
        assert columns[-1] < 180


def test_a_figure_is_in_one_piece_in_every_phase() -> None:
    for phase in np.linspace(0, 2 * math.pi, 9):
        for turn in (0.0, 0.8, math.pi / 2, 2.2, 3.1):
            drawn = (figure_pixels(PLAIN_PERSON, turn, float(phase)) != 255).any(axis=2)
            assert _pieces(drawn) == 1


def _pieces(mask: NDArray[np.bool_]) -> int:
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    pieces = 0
    while left:
        pieces += 1
        edge = [left.pop()]
        while edge:
            row, column = edge.pop()
            for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                beside = (row + step[0], column + step[1])
                if beside in left:
                    left.remove(beside)
                    edge.append(beside)
    return pieces


def test_a_walk_moves_the_legs_and_leaves_the_head() -> None:
    one = figure_pixels(PLAIN_PERSON, math.pi / 2, 0.0).astype(int)
    other = figure_pixels(PLAIN_PERSON, math.pi / 2, math.pi / 2).astype(int)
    difference = np.abs(one - other).sum(axis=2)
    assert difference[160:].mean() > 10 * difference[:60].mean()


def test_a_colour_is_darkened_without_leaving_its_range() -> None:
    assert tone((100, 200, 50), 0.5) == (50, 100, 25)
    assert tone((100, 200, 50), 9.0) == (255, 255, 255)


# Cameras and scenes


def test_a_neutral_camera_changes_only_the_lights() -> None:
    levels = np.arange(0, 178, dtype=np.uint8).reshape(1, -1, 1).repeat(3, axis=2)
    developed = develop(Image.fromarray(levels), NEUTRAL, np.ones(3), np.random.default_rng(0))
    assert np.abs(developed.astype(int) - levels).max() <= 1
    white = develop(Image.new("RGB", (4, 4), WHITE), NEUTRAL, np.ones(3), np.random.default_rng(0))
    # The shoulder: 0.7 + 0.3 tanh(1) = 0.9285, times 255.
    assert np.unique(white).tolist() == [236]


def test_gains_multiply_each_channel() -> None:
    image = Image.new("RGB", (2, 2), (100, 100, 100))
    camera = replace(NEUTRAL, gains=(1.2, 1.0, 0.5))
    developed = develop(image, camera, np.array([1.0, 0.5, 1.0]), np.random.default_rng(0))
    assert np.abs(developed[0, 0].astype(int) - [120, 50, 50]).max() <= 1


def test_a_camera_without_saturation_is_grey() -> None:
    image = Image.new("RGB", (2, 2), (200, 40, 60))
    developed = develop(
        image, replace(NEUTRAL, saturation=0.0), np.ones(3), np.random.default_rng(0)
    )
    # 0.299 x 200 + 0.587 x 40 + 0.114 x 60 = 90.1
    assert np.abs(developed.astype(int) - 90).max() <= 1


def test_noise_has_the_cameras_strength() -> None:
    image = Image.new("RGB", (64, 128), (120, 120, 120))
    developed = develop(image, replace(NEUTRAL, noise=5.0), np.ones(3), np.random.default_rng(0))
    assert developed.astype(float).std() == pytest.approx(5.0, rel=0.1)


def test_few_cameras_look_from_different_sides() -> None:
    for seed in range(20):
        turns = np.array([make_camera(camera, seed).turn for camera in range(1, 5)])
        assert np.linalg.norm(np.exp(1j * turns).mean()) < 0.6  # 1 would be all from one side


def test_cameras_differ_in_colour() -> None:
    for seed in range(5):
        gains = np.array([make_camera(camera, seed).gains for camera in range(1, 5)])
        assert np.ptp(np.log(gains[:, 0] / gains[:, 2])) > 0.1


def test_a_crop_never_leaves_its_scene() -> None:
    scene = Image.new("RGB", (256, 154), WHITE)
    for tracklet in range(40):
        passage = drawing_module._describe_tracklet(1, 1, tracklet, 0)
        for frame in (0, 1, 17, 60, 999):
            random = np.random.default_rng([tracklet, frame])
            window = drawing_module._window(scene, passage, frame, random, 128, 64)
            assert np.asarray(window).min() == 255


def test_mean_colour_does_not_solve_the_task() -> None:
    people, cameras = 20, 3
    means = np.array(
        [
            [draw_pedestrian(p, c, 1, 1).mean(axis=(0, 1)) for c in range(1, cameras + 1)]
            for p in range(1, people + 1)
        ]
    )
    found = []
    for person in range(people):
        for camera in range(cameras):
            distances = np.linalg.norm(means - means[person, camera], axis=2)
            distances[person, camera] = np.inf
            nearest = np.unravel_index(np.argmin(distances), distances.shape)
            found.append(nearest[0] == person)
    assert np.mean(found) <= 0.35


# Trees


def test_a_tree_has_mars_names_and_whole_images(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "drawn"
    steps: list[tuple[int, int]] = []
    count = write_mars_tree(
        folder,
        people=2,
        cameras=3,
        frames=2,
        seed=4,
        progress=lambda done, all_: steps.append((done, all_)),
    )
    expected = {
        f"categories/{p:04d}/{p:04d}C{c}T0001F{f:03d}.jpg"
        for p in (1, 2)
        for c in (1, 2, 3)
        for f in (1, 2)
    }
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}
    assert written == expected
    assert count == 12
    assert steps == [(6, 12), (12, 12)]
    stored = read_image(folder / "categories/0002/0002C3T0001F002.jpg").astype(int)
    drawn = draw_pedestrian(2, 3, 1, 2, seed=4).astype(int)
    assert stored.shape == (128, 64, 3)
    assert np.abs(stored - drawn).mean() < 6  # what JPEG takes
    assert [path.name for path in folder.parent.iterdir()] == ["drawn"]


def test_a_person_of_a_small_tree_is_the_same_in_a_large_one(tmp_path: Path) -> None:
    write_mars_tree(tmp_path / "small", people=1, cameras=1, frames=1, seed=3)
    write_mars_tree(tmp_path / "large", people=2, cameras=2, frames=2, seed=3)
    name = "categories/0001/0001C1T0001F001.jpg"
    assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "large" / name).read_bytes()


def test_a_complete_tree_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    arguments = {"people": 1, "cameras": 1, "frames": 2}
    write_mars_tree(folder, **arguments)
    image = folder / "categories/0001/0001C1T0001F001.jpg"
    image.write_bytes(b"mine")
    assert write_mars_tree(folder, **arguments) == 2
    assert image.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "changed", [{"people": 2}, {"cameras": 2}, {"frames": 1}, {"seed": 1}, {"image_size": (64, 32)}]
)
def test_a_tree_of_other_arguments_is_refused(tmp_path: Path, changed: dict[str, int]) -> None:
    arguments = {"people": 1, "cameras": 1, "frames": 2}
    write_mars_tree(tmp_path / "drawn", **arguments)
    with pytest.raises(InputError, match="Remove it or name another folder"):
        write_mars_tree(tmp_path / "drawn", **(arguments | changed))


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("keep me")
    with pytest.raises(InputError, match="was not drawn by this command"):
        write_mars_tree(tmp_path, people=1, cameras=1, frames=1)
    (tmp_path / MARKER).write_text("{not json")
    with pytest.raises(InputError, match="was not drawn by this command"):
        write_mars_tree(tmp_path, people=1, cameras=1, frames=1)
    assert (tmp_path / "holiday.txt").read_text() == "keep me"
    with pytest.raises(InputError, match="was not drawn by this command"):
        write_mars_tree(tmp_path / "holiday.txt", people=1, cameras=1, frames=1)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert write_mars_tree(tmp_path / ".", people=1, cameras=1, frames=1) == 1
    assert json.loads((tmp_path / MARKER).read_text())["people"] == 1


def test_an_empty_folder_stays_the_folder_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, link = tmp_path / "mine", tmp_path / "link"
    folder.mkdir(mode=0o750)
    link.symlink_to(folder)
    before = folder.stat()
    monkeypatch.chdir(folder)
    write_mars_tree(link, people=1, cameras=1, frames=1)
    assert (folder.stat().st_ino, folder.stat().st_mode) == (before.st_ino, before.st_mode)
    assert link.is_symlink()
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["categories", MARKER]


def test_an_interruption_leaves_an_empty_folder_empty(tmp_path: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mars_tree(tmp_path, people=2, cameras=1, frames=1, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [False, True])
def test_a_kill_leaves_no_tree_that_looks_whole(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "drawn"
    if there:
        folder.mkdir()
    code = (
        "import os, pathlib, sys\n"
        "from siamese.synthetic import write_mars_tree\n"
        "def kill(done, total): os.kill(os.getpid(), 9) if done == total else None\n"
        "write_mars_tree(pathlib.Path(sys.argv[1]), people=2, cameras=1, frames=1, progress=kill)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert done.returncode == -9
    assert not (folder / MARKER).exists()
    assert not (folder / "categories").exists()
    assert write_mars_tree(folder, people=2, cameras=1, frames=1) == 2
    assert not list(folder.glob(".*"))


def test_an_interrupted_tree_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mars_tree(tmp_path / "drawn", people=2, cameras=1, frames=1, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"people": 0}, "people=0"),
        ({"people": 9000}, "people=9000"),
        ({"cameras": 10}, "cameras=10"),
        ({"frames": 1000}, "frames=1000"),
        ({"seed": -1}, "seed=-1"),
        ({"image_size": (16, 8)}, "at least"),
    ],
)
def test_numbers_that_mars_names_cannot_hold_are_refused(
    tmp_path: Path, changed: dict[str, int], message: str
) -> None:
    def interrupt(_done: int, _total: int) -> None:
        pytest.fail("drew what it had to refuse")

    with pytest.raises(InputError, match=message):
        write_mars_tree(tmp_path / "drawn", **changed, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_seven_test_images_show_three_people_who_are_in_no_tree(tmp_path: Path) -> None:
    paths = write_test_images(tmp_path / "images")
    assert len(paths) == 7
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == sorted(
        path.name for path in paths
    )
    people = [int(path.name[:4]) for path in paths]
    assert [people.count(person) for person in sorted(set(people))] == [2, 2, 3]
    assert min(people) > 8999
    views = {path.name[:6] for path in paths}
    assert len(views) == 7  # never the same person twice by one camera
    assert all(read_image(path).shape == (128, 64, 3) for path in paths)
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_test_images(tmp_path / "images")] == before
