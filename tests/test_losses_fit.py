"""All losses together in compile, fit, save and load: with and without jit, in mixed precision."""

import keras
import numpy as np
import pytest
from keras import ops

from siamese import losses

ON_EMBEDDINGS = {
    "consecutive": losses.ContrastiveLoss(margin=0.7, distance="cosine"),
    "all_pairs": losses.ContrastiveLoss(margin=2.0, pairs="all"),
    "explicit": losses.TripletLoss(0.4, "explicit"),
    "batch_all": losses.TripletLoss(0.4, "batch_all", "squared_euclidean"),
    "batch_hard": losses.TripletLoss("soft", "batch_hard"),
    "semi_hard": losses.TripletLoss(0.4, "semi_hard", "cosine"),
    "weighted": losses.WeightedTripletLoss("squared_euclidean"),
    "info_nce": losses.InfoNCELoss(0.2),
    "multi_similarity": losses.MultiSimilarityLoss(3.0, 40.0, 0.4, 0.2),
    "circle": losses.CircleLoss(32.0, 0.3),
}
ON_CLASSES = {
    "identity": losses.IdentityLoss(0.2),
    "arc_face": losses.ArcFaceLoss(0.3, 16.0),
    "cos_face": losses.CosFaceLoss(0.2, 16.0),
    "centre": losses.CentreLoss(),
}
ON_TEACHER = {
    "teacher_embeddings": losses.EmbeddingDistillationLoss(),
    "teacher_relations": losses.RelationalDistillationLoss(),
    "teacher_similarities": losses.SimilarityPreservingLoss(),
}
ALL = {**ON_EMBEDDINGS, **ON_TEACHER, **ON_CLASSES, "same_different": losses.SameDifferentLoss()}
LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 1, 3, 2, 1, 0, 1, 1, 2, 0, 0, 3])
IMAGES = np.random.default_rng(0).normal(size=(len(LABELS), 5)).astype(np.float32)
TEACHER = np.random.default_rng(1).normal(size=(len(LABELS), 8)).astype(np.float32)


def targets_of(names, rows: slice) -> dict[str, np.ndarray]:
    """What stands beside the outputs: labels, or a teacher's embeddings."""
    return {name: (TEACHER if name in ON_TEACHER else LABELS)[rows] for name in names}


def build_model(names=tuple(ALL), *, jit_compile: bool = False) -> keras.Model:
    """One backbone with one head a loss."""
    keras.utils.set_random_seed(1)
    images = keras.Input((5,))
    embeddings = keras.layers.Dense(8, activation="tanh")(images)
    classes = keras.layers.Dense(4, activation="tanh")(embeddings)
    pairs = ops.absolute(embeddings[0::2, :] - embeddings[1::2, :])
    heads = {
        **dict.fromkeys([*ON_EMBEDDINGS, *ON_TEACHER], embeddings),
        **dict.fromkeys(ON_CLASSES, classes),
        "centre": losses.CentreDistances(4)(embeddings),
        "same_different": keras.layers.Dense(1, activation="sigmoid")(pairs),
    }
    model = keras.Model(images, {name: heads[name] for name in names})
    model.compile(
        keras.optimizers.SGD(0.01),
        loss={name: ALL[name] for name in names},
        jit_compile=jit_compile,
    )
    return model


class Batches(keras.utils.PyDataset):
    """A batch of 12 rows and a short last one of 6."""

    def __init__(self, names):
        super().__init__()
        self.names = names

    def __len__(self):
        return 2

    def __getitem__(self, number):
        rows = slice(12 * number, 12 * number + 12)
        return IMAGES[rows], targets_of(self.names, rows)


def train_on_one_batch(model: keras.Model) -> dict[str, float]:
    """The losses after one step of training: the second answer holds the first one's gradients."""
    images, targets = Batches(ALL)[0]
    model.train_on_batch(images, targets)
    return model.train_on_batch(images, targets, return_dict=True)


def test_fit_is_finite_for_every_loss_with_a_short_last_batch():
    # The JAX backend without jit takes a minute for this.
    model = build_model(jit_compile=keras.backend.backend() == "jax")
    history = model.fit(Batches(ALL), epochs=2, shuffle=False, verbose=0).history
    for name in ALL:
        assert np.isfinite(history[f"{name}_loss"]).all(), name
        assert history[f"{name}_loss"][0] > 0, name
    assert history["loss"][1] < history["loss"][0]


def test_jit_changes_nothing():
    compiled = train_on_one_batch(build_model(jit_compile=True))
    plain = build_model()
    plain.run_eagerly = True
    for name, value in train_on_one_batch(plain).items():
        assert float(compiled[name]) == pytest.approx(float(value), rel=1e-3), name


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras 3.15 with NumPy 2.4
def test_a_saved_model_loads_with_its_losses(tmp_path):
    model = build_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    outputs = model(IMAGES)
    for name, values in loaded(IMAGES).items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(values), ops.convert_to_numpy(outputs[name]), rtol=1e-5, atol=1e-6
        )
        assert type(loaded.loss[name]) is type(ALL[name])
        assert loaded.loss[name].get_config() == ALL[name].get_config()


@pytest.mark.parametrize("name", ALL)
def test_a_loss_built_again_from_its_config_is_the_same(name):
    loss = ALL[name]
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_configs_name_every_argument():
    # A forgotten argument would come back from a file as its default.
    import inspect

    for loss in ALL.values():
        arguments = set(inspect.signature(type(loss)).parameters) - {"arguments"}
        assert set(loss.get_config()) == arguments, type(loss).__name__


@pytest.mark.parametrize("name", ON_EMBEDDINGS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_embeddings_and_large_labels_are_computed_in_float32(name, dtype):
    # In bfloat16 3000 and 3001 would be one person.
    embeddings = ops.cast(IMAGES[:12], dtype)
    labels = LABELS[:12] + 3000
    value = ALL[name](labels, embeddings)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    exact = ALL[name](LABELS[:12], ops.cast(embeddings, "float32"))
    assert float(value) == pytest.approx(float(exact), rel=1e-6)


def test_labels_stay_apart_when_keras_computes_in_half_precision():
    embeddings = np.array([[0.0], [3.0]], np.float32)
    keras.config.set_floatx("bfloat16")
    try:
        value = float(losses.ContrastiveLoss()([3000, 3001], embeddings))
    finally:
        keras.config.set_floatx("float32")
    assert value == 0


def test_mixed_precision_trains():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        names = ("batch_hard", "identity", "centre")
        history = build_model(names).fit(Batches(names), verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(list(history.values())).all()


def call(name, rows: slice):
    """The loss itself, before Keras averages it."""
    (target,) = targets_of([name], rows).values()
    embeddings = (TEACHER[::-1] if name in ON_TEACHER else IMAGES)[rows]
    return ALL[name].call(ops.convert_to_tensor(target), ops.convert_to_tensor(embeddings))


@pytest.mark.parametrize("name", [*ON_EMBEDDINGS, *ON_TEACHER])
def test_a_batch_of_nothing_costs_nothing(name):
    assert float(ops.sum(call(name, slice(0)))) == 0


@pytest.mark.parametrize("name", [*ON_EMBEDDINGS, *ON_TEACHER])
def test_a_loss_has_an_axis_so_that_keras_shares_it_among_replicas(name):
    values = call(name, slice(12))
    assert len(values.shape) == 1
