"""`siamese.recipes`: every recipe can be built, written down and read again."""

import dataclasses
import inspect
import json

import pytest

from siamese.augment import build_augmentation
from siamese.errors import InputError
from siamese.models.backbones import BACKBONES
from siamese.models.embedder import build_embedder
from siamese.recipes import (
    RECIPES,
    AugmentationSection,
    BatchSection,
    ModelSection,
    change_recipe,
    find_recipe,
    fit_epochs,
    recipe_from_dict,
    set_fields,
)
from siamese.sampler import RowSampler


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_survives_json(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_docstring_says_source_and_command(name: str) -> None:
    text = inspect.getdoc(RECIPES[name]) or ""
    assert "Source:" in text
    assert "Command:" in text
    assert find_recipe(name).model.backbone in BACKBONES


@pytest.mark.parametrize(
    ("section", "component"),
    [
        (ModelSection, build_embedder),
        (BatchSection, RowSampler),
        (AugmentationSection, build_augmentation),
    ],
)
def test_sections_are_the_keyword_arguments_of_their_component(
    section: type, component: object
) -> None:
    parameters = inspect.signature(component).parameters  # type: ignore[arg-type]
    for field in dataclasses.fields(section):
        assert field.name in parameters
        assert parameters[field.name].default == field.default
        assert parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY


def test_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean batch_hard"):
        find_recipe("batchhard")
    with pytest.raises(InputError, match="Choose from: contrastive, apn"):
        find_recipe("x")


def test_changes_keep_the_rest() -> None:
    recipe = find_recipe("batch_hard")
    changed = change_recipe(recipe, backbone="conv4", weights="none", epochs=3)
    assert changed.model.backbone == "conv4"
    assert changed.epochs == 3
    assert changed.loss == recipe.loss
    assert change_recipe(recipe) == recipe


def test_numbers_out_of_range_are_refused() -> None:
    recipe = find_recipe("demo")
    with pytest.raises(InputError, match="`epochs` must be 1 to"):
        change_recipe(recipe, epochs=0)
    with pytest.raises(InputError, match="`image_size`"):
        change_recipe(recipe, image_size=(16, 8))


def test_small_sets_get_more_epochs() -> None:
    recipe = find_recipe("fine_tune")
    assert fit_epochs(recipe, [20] * 200) == recipe
    assert fit_epochs(recipe, [3] * 5).epochs == 4 * recipe.epochs  # one batch an epoch
    assert fit_epochs(recipe, [16] * 32).epochs == 19  # 128 groups: 8 batches an epoch, 150 in all


def test_batch_size_counts_images_or_triplets() -> None:
    assert change_recipe(find_recipe("osnet"), batch_size=32).batches.num_identities == 8
    assert change_recipe(find_recipe("apn"), batch_size=32).batches.num_identities == 32
    assert change_recipe(find_recipe("contrastive"), batch_size=64).batches.num_identities == 32


def test_other_dicts_are_refused() -> None:
    with pytest.raises(InputError, match="not a recipe of this version"):
        recipe_from_dict({"name": "x", "colour": 3})


def test_stairs_come_back_from_json_as_they_were() -> None:
    recipe = find_recipe("bag_of_tricks")
    assert recipe.optimizer.decay_epochs == (40.0, 70.0)
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))).optimizer == recipe.optimizer


def test_recipe_of_a_run_from_before_an_option_was_added_is_read() -> None:
    values = find_recipe("osnet").to_dict()
    for section, name in (("model", "pooling"), ("optimizer", "average"), ("loss", "identity")):
        del values[section][name]
    del values["precision"]
    assert recipe_from_dict(values) == find_recipe("osnet")


@pytest.mark.parametrize(
    ("name", "score"),
    [("batch_hard", "92.3"), ("bag_of_tricks", "94.5"), ("agw", "95.1"), ("efficientnet", "87.1"),
     ("mars", "87.1")],
)  # fmt: skip
def test_scores_of_others_are_named_as_theirs(name: str, score: str) -> None:
    text = " ".join((inspect.getdoc(RECIPES[name]) or "").split())
    before = text[: text.index(score)]
    assert any(
        word in before[-120:] for word in ("Others report", "authors report", "others' work")
    )
    if name != "batch_hard":
        assert "not measured here" in text


def test_losses_and_options_of_recipes_are_those_of_their_classes() -> None:
    from siamese.train.objective import IDENTITY_LOSSES, METRIC_LOSSES

    for name in RECIPES:
        section = find_recipe(name).loss
        METRIC_LOSSES[section.metric](**section.options)
        IDENTITY_LOSSES[section.identity](**section.identity_options)


def test_precision_is_an_option_of_every_recipe() -> None:
    assert change_recipe(find_recipe("osnet"), precision="auto").precision == "auto"
    assert find_recipe("osnet").precision == "float32"


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("batches.balance=source", "source"),
        ('batches.balance={"market1501": 2, "cuhk01": 0.5}', {"market1501": 2.0, "cuhk01": 0.5}),
        ("batches.spread_cameras=false", False),
        ("batches.num_instances=8", 8),
        ("augmentation.erasing=1", 1.0),
        ("augmentation.hue=5e-2", 0.05),
        ("model.image_size=[128, 64]", (128, 64)),
        ("model.last_stride=1", 1),
        ("model.weights=none", "none"),
        ("optimizer.decay_epochs=[20, 40.5]", (20.0, 40.5)),
        ('loss.options={"margin": "soft"}', {"margin": "soft"}),
    ],
)
def test_fields_are_set_by_text(assignment: str, value: object) -> None:
    recipe = find_recipe("demo")
    section, name = assignment.split("=")[0].split(".")
    changed = set_fields(recipe, [assignment])
    found = getattr(getattr(changed, section), name)
    assert found == value
    assert type(found) is type(value)
    assert recipe_from_dict(json.loads(json.dumps(changed.to_dict()))) == changed
    assert set_fields(changed, [f"{section}.{name}={json.dumps(value)}"]) == changed


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("batches.balance", "takes section.field=value"),
        ("epochs=3", "takes section.field=value"),
        ("batch.balance=source", "Received: batch.balance. Did you mean batches"),
        ("batches.ballance=source", "Did you mean balance"),
        ("batches.zzz=1", "Choose from: sampler, num_identities"),
        ("batches.balance=sources", "`batches.balance` must be of the kind .*source.*sources"),
        ("batches.num_identities=many", "must be of the kind int. Received: many"),
        ("batches.num_identities=1.5", "must be of the kind int"),
        ("batches.spread_cameras=1", "must be of the kind bool"),
        ("model.image_size=[128]", "must be of the kind tuple"),
        ("model.last_stride=true", "must be of the kind"),
    ],
)
def test_fields_that_cannot_be_set_are_named(assignment: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        set_fields(find_recipe("demo"), [assignment])
