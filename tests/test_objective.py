"""`siamese.train.objective`: heads, optimiser, averages, precision, a model to start from."""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from siamese.errors import InputError
from siamese.models.checkpoint import BNNECK, FEATURE_EXTRACTOR, load_checkpoint, save_checkpoint
from siamese.models.embedder import build_embedder, embed, join_embedder
from siamese.models.transfer import architecture_of
from siamese.recipes import (
    AugmentationSection,
    LossSection,
    OptimizerSection,
    Recipe,
    change_recipe,
    demo,
    fine_tune,
)
from siamese.train.averaging import NORM_BATCHES, apply_augmentation, embedder_of, update_embedder
from siamese.train.objective import build_training_model, complete_recipe, pair_targets
from siamese.train.optimizer import TwoRateAdam, build_optimizer

SIZE = (32, 32)
IMAGES = np.random.default_rng(0).integers(0, 256, (16, *SIZE, 3), np.uint8)
LABELS = np.repeat(np.arange(4), 4).astype(np.int32)
SMALL = change_recipe(demo(), image_size=SIZE, epochs=2)


def _recipe(**changes: Any) -> Recipe:
    """The demo recipe with changed sections, given as dicts, and changed values."""
    given = {
        name: dataclasses.replace(getattr(SMALL, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in changes.items()
    }
    return dataclasses.replace(SMALL, **given)


def _build(recipe: Recipe, *, classes: int = 4, steps: int = 2) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = build_training_model(recipe, image_size=SIZE, classes=classes, steps=steps)
    model.run_eagerly = True  # a few steps of a small network take less time than tracing them
    return model


def _step(model: keras.Model, count: int = 1) -> dict[str, float]:
    targets = dict.fromkeys(model.output, LABELS)
    logs: dict[str, float] = {}
    for _ in range(count):
        logs = model.train_on_batch(IMAGES, targets, return_dict=True)
    return logs


def _values(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_variables]


METRICS = (
    "contrastive", "triplet", "weighted_triplet", "circle", "multi_similarity", "info_nce",
)  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_loss_is_chosen_by_its_name(metric: str) -> None:
    model = _build(_recipe(loss=LossSection(metric=metric)))  # type: ignore[arg-type]
    name = type(model.loss["metric"]).__name__
    assert name == {
        "info_nce": "InfoNCELoss",
    }.get(metric, "".join(word.title() for word in metric.split("_")) + "Loss")


@pytest.mark.parametrize(
    ("identity", "options"),
    [("softmax", {"label_smoothing": 0.2}), ("arcface", {"scale": 16.0}), ("cosface", {})],
)
def test_heads_are_trained_beside_the_metric_loss(identity: str, options: dict[str, float]) -> None:
    section = {
        "identity": identity,
        "identity_options": options,
        "identity_weight": 0.5,
        "centre_weight": 0.01,
    }
    model = _build(_recipe(loss=section))
    assert set(model.output) == {"metric", "identity", "centre"}
    for name, value in options.items():
        assert getattr(model.loss["identity"], name) == value
    if identity != "softmax":
        found = keras.ops.convert_to_numpy(model(IMAGES)["identity"])
        assert np.abs(found).max() <= 1 + 1e-5  # cosines
    logs = _step(model)
    total = logs["metric_loss"] + 0.5 * logs["identity_loss"] + 0.01 * logs["centre_loss"]
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_centres_are_those_of_the_features_before_the_bnneck() -> None:
    model = _build(_recipe(loss={"centre_weight": 1.0}))
    gamma = model.get_layer(BNNECK).gamma
    gamma.assign(3 * keras.ops.ones_like(gamma))  # or it would change nothing yet
    outputs = {name: keras.ops.convert_to_numpy(found) for name, found in model(IMAGES).items()}
    lengths = np.square(outputs["metric"]).sum(1)  # the centres start at the origin
    np.testing.assert_allclose(outputs["centre"], np.repeat(lengths[:, None], 4, 1), rtol=1e-4)


def _rates(section: OptimizerSection, steps: list[int]) -> list[float]:
    optimizer = build_optimizer(section, epochs=10, steps=10)
    return [float(keras.ops.convert_to_numpy(optimizer._learning_rate(step))) for step in steps]


def test_stairs_come_after_the_warm_up_at_the_given_epochs() -> None:
    section = OptimizerSection(
        learning_rate=1.0, warm_up_epochs=1.0, decay="step", decay_epochs=(4.0, 7.0)
    )
    found = _rates(section, [0, 5, 10, 39, 40, 69, 70, 99])
    assert found == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01])
    halved = dataclasses.replace(section, decay_factor=0.5)
    assert _rates(halved, [99]) == pytest.approx([0.25])


def _train_two_variables(optimizer: keras.optimizers.Optimizer, steps: int) -> list[np.ndarray]:
    variables = [keras.Variable([1.0, -2.0]), keras.Variable([0.5, 3.0])]
    draw = np.random.default_rng(0)
    optimizer.build(variables)
    for _ in range(steps):
        gradients = [keras.ops.convert_to_tensor(draw.normal(size=2), "float32") for _ in variables]
        optimizer.apply(gradients, variables)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def test_two_rates_that_are_equal_are_adamw() -> None:
    ours = TwoRateAdam(0.1, backbone_variables=1, backbone_rate=1.0, weight_decay=0.3)
    expected = _train_two_variables(keras.optimizers.AdamW(0.1, weight_decay=0.3), 4)
    for one, other in zip(_train_two_variables(ours, 4), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_backbone_moves_and_decays_at_its_share_of_the_rate() -> None:
    both = _train_two_variables(
        TwoRateAdam(0.1, backbone_variables=1, backbone_rate=0.2, weight_decay=0.3), 4
    )
    slow = _train_two_variables(keras.optimizers.AdamW(0.02, weight_decay=0.3), 4)[0]
    fast = _train_two_variables(keras.optimizers.AdamW(0.1, weight_decay=0.3), 4)[1]
    np.testing.assert_allclose(both, [slow, fast], rtol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_backbone_stands_still_in_the_frozen_epochs_and_moves_after(accumulate: int) -> None:
    section = {"frozen_epochs": 1.0, "warm_up_epochs": 0.0, "accumulate": accumulate}
    model = _build(_recipe(optimizer=section), steps=2)
    (backbone,) = (
        layer
        for layer in model.get_layer(FEATURE_EXTRACTOR).layers
        if isinstance(layer, keras.Model)
    )
    count = len(backbone.trainable_variables)
    before = _values(model)
    _step(model, 2)
    frozen = _values(model)
    for one, other in zip(before[:count], frozen[:count], strict=True):
        np.testing.assert_array_equal(one, other)
    assert all((one != other).any() for one, other in zip(before[count:], frozen[count:]))  # noqa: B905
    _step(model, accumulate)
    assert all((one != other).any() for one, other in zip(frozen[:count], _values(model)))  # noqa: B905


def test_optimiser_comes_back_from_a_file_with_its_two_rates(tmp_path: Path) -> None:
    section = {"frozen_epochs": 0.5, "backbone_rate": 0.3, "average": 0.5, "clip_norm": 2.0}
    model = _build(_recipe(optimizer=section))
    _step(model)
    model.save(tmp_path / "last.keras")
    again = keras.saving.load_model(tmp_path / "last.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.optimizer.backbone_variables == model.optimizer.backbone_variables > 0


def test_gradients_of_two_batches_are_averaged_before_an_update() -> None:
    section = OptimizerSection(learning_rate=0.1, accumulate=2)
    variable = keras.Variable([1.0, -2.0])
    optimizer = build_optimizer(section, epochs=1, steps=10)
    optimizer.build([variable])
    gradients = np.array([[1.0, 4.0], [3.0, -2.0]], np.float32)
    optimizer.apply([gradients[0]], [variable])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), [1.0, -2.0])
    optimizer.apply([gradients[1]], [variable])
    expected = keras.Variable([1.0, -2.0])
    plain = keras.optimizers.Adam(0.1)
    plain.build([expected])
    plain.apply([gradients.mean(0)], [expected])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(variable), keras.ops.convert_to_numpy(expected), rtol=1e-5
    )


def test_gradients_are_clipped_by_their_norm_together() -> None:
    optimizer = build_optimizer(OptimizerSection(clip_norm=1.0), epochs=1, steps=1)
    clipped = optimizer._clip_gradients([np.float32([3.0]), np.float32([4.0])])
    found = [float(keras.ops.convert_to_numpy(each)[0]) for each in clipped]
    assert found == pytest.approx([0.6, 0.8], rel=1e-5)


def _no_batches() -> Iterator[Any]:
    raise AssertionError("no training images are needed here")


def test_embedder_of_a_plain_recipe_shares_the_weights() -> None:
    model = _build(SMALL)
    embedder = embedder_of(model)
    update_embedder(embedder, model, _no_batches)
    assert embedder.get_layer(FEATURE_EXTRACTOR) is model.get_layer(FEATURE_EXTRACTOR)


def test_averaged_weights_are_the_moving_average_of_the_trained_ones() -> None:
    momentum = 0.7
    model = _build(_recipe(optimizer={"average": momentum, "warm_up_epochs": 0.0}))
    embedder = embedder_of(model)
    untrained = [value.copy() for value in embedder.get_weights()]
    expected: list[np.ndarray] = []
    for _ in range(4):
        _step(model)
        values = _values(model)
        expected = (
            [
                momentum * old + (1 - momentum) * new
                for old, new in zip(expected, values, strict=True)
            ]
            if expected
            else values
        )
    for one, other in zip(untrained, embedder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # until it is told to
    update_embedder(embedder, model, lambda: [IMAGES])
    found = [keras.ops.convert_to_numpy(weight) for weight in embedder.trainable_variables]
    for one, other in zip(found, expected, strict=False):  # the head for training comes last
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    trained = _values(model)
    assert np.abs(trained[0] - found[0]).max() > 1e-5


def test_untrained_average_is_the_untrained_model() -> None:
    model = _build(_recipe(optimizer={"average": 0.9}))
    embedder = embedder_of(model)
    update_embedder(embedder, model, _no_batches)
    plain = join_embedder(build_embedder(**vars(SMALL.model)))
    assert len(plain.weights) == len(embedder.weights)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(embedder.weights[0]),
        keras.ops.convert_to_numpy(model.trainable_variables[0]),
    )


def test_batch_statistics_of_an_average_are_measured_on_training_images() -> None:
    recipe = _recipe(
        optimizer={"average": 0.5},
        augmentation=AugmentationSection(flip=False),
    )
    model = _build(recipe)
    embedder = embedder_of(model)
    _step(model, 3)
    batches = [IMAGES, IMAGES[::-1] // 2, IMAGES // 3]
    update_embedder(embedder, model, lambda: batches)
    feature_extractor = embedder.get_layer(FEATURE_EXTRACTOR)
    (backbone,) = (layer for layer in feature_extractor.layers if isinstance(layer, keras.Model))
    norm = backbone.get_layer("norm1")
    before = keras.Model(backbone.input, backbone.get_layer("convolution1").output)
    prepare = [layer for layer in feature_extractor.layers if layer.name in ("resize", "prepare")]
    means, variances = [], []
    for images in batches:
        seen: Any = apply_augmentation(model, images.astype("float32"))
        for layer in prepare:
            seen = layer(seen)
        features = keras.ops.convert_to_numpy(before(seen))
        means.append(features.mean((0, 1, 2)))
        variances.append(features.var((0, 1, 2)))
    np.testing.assert_allclose(norm.moving_mean, np.mean(means, 0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, np.mean(variances, 0), rtol=1e-3)
    assert norm.momentum == 0.9  # as it was


def test_no_more_batches_are_read_than_needed() -> None:
    model = _build(_recipe(optimizer={"average": 0.5}))
    embedder = embedder_of(model)
    _step(model)
    taken = itertools.count()

    def endless() -> Iterator[Any]:
        for _ in taken:
            yield IMAGES[:4]

    update_embedder(embedder, model, endless)
    assert next(taken) == NORM_BATCHES + 1


def test_mixed_precision_ends_in_float32_and_so_does_the_model_file(tmp_path: Path) -> None:
    recipe = _recipe(precision="mixed_bfloat16", loss={"same_different_weight": 1.0})
    model = _build(recipe)
    (backbone,) = (
        layer
        for layer in model.get_layer(FEATURE_EXTRACTOR).layers
        if isinstance(layer, keras.Model)
    )
    assert backbone.get_layer("convolution1").compute_dtype == "bfloat16"
    for output in model.output.values():
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
    assert keras.config.dtype_policy().name == "float32"
    losses = _step(model, 2)
    assert np.isfinite(list(losses.values())).all()

    embedder = embedder_of(model)
    update_embedder(embedder, model, _no_batches)
    save_checkpoint(tmp_path / "model.keras", embedder, image_size=SIZE)
    loaded = load_checkpoint(tmp_path / "model.keras").embedder
    layers = loaded._flatten_layers(include_self=False, recursive=True)
    assert {layer.compute_dtype for layer in layers} == {"float32"}
    for one, other in zip(loaded.get_weights(), embedder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    half = keras.ops.convert_to_numpy(model(IMAGES)["metric"])
    norms = np.linalg.norm(half, axis=1)
    assert norms.min() > 0


def test_float16_scales_its_loss() -> None:
    model = _build(_recipe(precision="mixed_float16"))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert model.optimizer.inner_optimizer.built


@pytest.mark.slow  # a CPU without BF16 takes its time for the trial
def test_automatic_precision_draws_the_weights_of_the_seed() -> None:
    notes: list[str] = []
    keras.utils.set_random_seed(3)
    found = build_training_model(
        _recipe(precision="auto", seed=7), image_size=SIZE, classes=4, steps=2, note=notes.append
    )
    (note,) = notes
    assert re.fullmatch(
        r"precision \w+: a trial gave float32 [\d.]+, mixed_bfloat16 [\d.]+.* images/s", note
    )
    keras.utils.set_random_seed(7)
    expected = build_training_model(_recipe(seed=7), image_size=SIZE, classes=4, steps=2)
    for one, other in zip(_values(found), _values(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of ours: conv4, generalised mean, BNNeck with statistics of its own."""
    recipe = _recipe(model={"pooling": "gem", "embedding_size": 24})
    model = _build(recipe, classes=9)
    _step(model, 2)
    path = tmp_path_factory.mktemp("start") / "model.keras"
    save_checkpoint(
        path, embedder_of(model), image_size=SIZE, metadata={"recipe": recipe.to_dict()}
    )
    return path


def test_fine_tuning_starts_where_the_model_ended(start: Path) -> None:
    recipe = change_recipe(fine_tune(), weights=str(start), image_size=SIZE)
    assert recipe.model.backbone != "conv4"
    model = _build(recipe, classes=7)
    assert model.output["identity"].shape == (None, 7)
    source = load_checkpoint(start).embedder
    np.testing.assert_allclose(
        embed(embedder_of(model), [IMAGES]), embed(source, [IMAGES]), atol=1e-6
    )
    complete = complete_recipe(recipe).model
    assert (complete.backbone, complete.pooling, complete.embedding_size) == ("conv4", "gem", 24)
    assert np.isfinite(_step(model)["loss"])


def test_fine_tuning_takes_another_input_size(start: Path) -> None:
    recipe = change_recipe(fine_tune(), weights=str(start), image_size=(64, 32))
    model = _build(recipe)
    embedder = embedder_of(model)
    assert embedder.get_layer(FEATURE_EXTRACTOR).get_layer("resize").image_size == (64, 32)
    source = load_checkpoint(start).embedder
    for one, other in zip(embedder.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert architecture_of(str(start))["image_size"] == SIZE


def test_models_that_cannot_be_started_from_are_named(start: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model file"):
        complete_recipe(change_recipe(fine_tune(), weights=str(tmp_path / "gone.keras")))
    with pytest.raises(InputError, match="another architecture than the one to be trained"):
        build_embedder(backbone="conv4", weights=str(start), image_size=SIZE, embedding_size=8)
    bare = tmp_path / "bare.keras"
    save_checkpoint(bare, load_checkpoint(start).embedder, image_size=SIZE)
    with pytest.raises(InputError, match="does not say what it is built of"):
        complete_recipe(change_recipe(fine_tune(), weights=str(bare)))


def test_package_without_its_model_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siamese.models.transfer.PRETRAINED", tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"the package comes without its model.*--weights runs"):
        complete_recipe(fine_tune())


def test_completed_recipe_survives_json(start: Path) -> None:
    from siamese.recipes import recipe_from_dict

    recipe = complete_recipe(change_recipe(fine_tune(), weights=str(start)))
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


TEACHER = np.random.default_rng(1).normal(size=(16, 10)).astype(np.float32)
UNKNOWN = {"num_identities": 3, "num_instances": 4, "unlabelled": 4}


def _taught(recipe: Recipe, size: int = 10) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = build_training_model(recipe, image_size=SIZE, classes=4, steps=2, teacher_size=size)
    model.run_eagerly = True
    return model


def test_teacher_stands_beside_the_losses_on_labels() -> None:
    section = {"embedding_weight": 0.7, "relation_weight": 3.0, "relation": "similarity"}
    model = _taught(_recipe(distillation=section, loss={"metric_weight": 0.2}))
    assert {"embedding", "relation"} < set(model.output)
    assert type(model.loss["relation"]).__name__ == "SimilarityPreservingLoss"
    images, targets = pair_targets(model.output, 16, IMAGES, LABELS, TEACHER)
    logs = model.train_on_batch(images, targets, return_dict=True)
    total = (
        0.2 * logs["metric_loss"]
        + logs["identity_loss"]
        + 0.7 * logs["embedding_loss"]
        + 3.0 * logs["relation_loss"]
    )
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_linear_layer_stands_between_where_it_must_and_is_not_saved() -> None:
    size = SMALL.model.embedding_size
    plain = _recipe(model={"bnneck": False})
    for recipe, dimensions, projected in (
        (plain, 10, True),
        (plain, size, False),
        (SMALL, size, True),  # a BNNeck takes the mean out
    ):
        model = _taught(recipe, dimensions)
        assert ("projection" in {layer.name for layer in model.layers}) == projected
        assert model.output["embedding"].shape == (None, dimensions)
        assert model.output["relation"].shape == (None, size)
        assert embedder_of(model).count_params() == embedder_of(_build(recipe)).count_params()


def test_without_weights_nothing_is_learnt_of_a_teacher() -> None:
    model = _taught(_recipe(distillation={"embedding_weight": 0.0, "relation_weight": 1.0}))
    assert "embedding" not in model.output
    nothing = {"teachers": ("x.onnx",), "embedding_weight": 0.0, "relation_weight": 0.0}
    with pytest.raises(InputError, match="needs `embedding_weight` or `relation_weight` above 0"):
        complete_recipe(_recipe(distillation=nothing))


def test_images_of_unknown_people_are_seen_by_the_teacher_alone() -> None:
    recipe = _recipe(
        batches=UNKNOWN,
        loss={"centre_weight": 0.1, "same_different_weight": 0.1},
    )
    model = _taught(recipe)
    labels = np.append(LABELS[:12], [-1] * 4).astype(np.int32)
    rows = {name: output.shape[0] for name, output in model(IMAGES).items()}
    assert rows == {
        "metric": 12, "identity": 12, "centre": 12, "same_different": 6, "embedding": 16,
        "relation": 16,
    }  # fmt: skip
    targets = pair_targets(model.output, 12, IMAGES, labels, TEACHER)[1]
    others = np.concatenate([IMAGES[:12], 255 - IMAGES[12:]])
    before = model.test_on_batch(IMAGES, targets, return_dict=True)
    after = model.test_on_batch(others, targets, return_dict=True)
    for name in ("metric", "identity", "centre", "same_different"):
        assert before[f"{name}_loss"] == pytest.approx(after[f"{name}_loss"], rel=1e-5)
    for name in ("embedding", "relation"):
        assert before[f"{name}_loss"] != pytest.approx(after[f"{name}_loss"], rel=1e-5)


def test_augmentation_of_the_same_view_comes_before_the_model() -> None:
    def augments(model: keras.Model) -> bool:
        return any("ColourJitter" in type(layer).__name__ for layer in model.layers)

    same = _recipe(distillation={"same_view": True})
    assert augments(_taught(SMALL))
    assert not augments(_taught(same))
    assert augments(_build(same))  # no teacher sees anything


def test_a_saved_state_with_a_teacher_loads(tmp_path: Path) -> None:
    recipe = _recipe(batches=UNKNOWN)
    model = _taught(recipe)
    model.save(tmp_path / "state.keras")
    loaded = keras.saving.load_model(tmp_path / "state.keras")
    for name, values in loaded(IMAGES).items():
        expected = keras.ops.convert_to_numpy(model(IMAGES)[name])
        np.testing.assert_allclose(keras.ops.convert_to_numpy(values), expected, atol=1e-5)


def test_precision_is_measured_with_a_teacher_too() -> None:
    said: list[str] = []
    recipe = _recipe(batches=UNKNOWN, precision="auto")
    build_training_model(
        recipe, image_size=SIZE, classes=4, steps=2, teacher_size=10, note=said.append
    )
    assert "a trial gave float32" in said[0]
