"""The optimiser of a recipe: its schedule, and the backbone's own learning rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from siamese.aliases import OPTIMIZER, rename_keys
from siamese.recipes import OptimizerSection


def build_optimizer(
    section: OptimizerSection, *, epochs: int, steps: int, backbone_variables: int = 0
) -> keras.optimizers.Optimizer:
    """Builds the optimiser of a recipe, with its schedule.

    Args:
        section: What to build.
        epochs: Epochs of the run.
        steps: Batches in an epoch.
        backbone_variables: How many of the variables to be trained are the backbone's; they come
            first.
    """
    rate = WarmUpAndDecay(
        section.learning_rate,
        steps=epochs * steps,
        warm_up_steps=round(section.warm_up_epochs * steps),
        decay=section.decay,
        decay_steps=[round(epoch * steps) for epoch in section.decay_epochs],
        decay_factor=section.decay_factor,
        decay_share=section.decay_share,
    )
    options: dict[str, Any] = {
        "weight_decay": section.weight_decay or None,
        "global_clipnorm": section.clip_norm or None,
        "gradient_accumulation_steps": section.accumulate if section.accumulate > 1 else None,
        "use_ema": bool(section.average),
    }
    if section.average:
        options["ema_momentum"] = section.average
    if section.backbone_rate != 1 or section.frozen_epochs:
        return TwoRateAdam(
            rate,
            backbone_variables=backbone_variables,
            backbone_rate=section.backbone_rate,
            frozen_steps=round(section.frozen_epochs * steps),
            **options,
        )
    kind = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[section.name]
    return kind(rate, **options)


@keras.saving.register_keras_serializable("siamese")
class TwoRateAdam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """Adam that moves the first variables, the backbone's, at a share of the rate of the others.

    During the frozen steps that share is 0: the backbone's weights stay as they are, while its
    moments and the statistics of its batch normalisation already get to know the data. Keras's own
    way, `trainable = False`, needs another optimiser and another compiled step after it, which a
    resumed run would have to know; here one number changes, on every backend. The price: a frozen
    step takes as long as any other.

    Args:
        learning_rate: A number or a schedule.
        backbone_variables: How many variables come first.
        backbone_rate: Their share of the rate.
        frozen_steps: Steps in which they do not move.
        weight_decay: Decoupled from the gradient, at the rate of each variable; None is without.
        **options: As for `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        *,
        backbone_variables: int = 0,
        backbone_rate: float = 1.0,
        frozen_steps: int = 0,
        weight_decay: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.backbone_variables = backbone_variables
        self.backbone_rate = backbone_rate
        self.frozen_steps = frozen_steps
        self.decoupled_decay = weight_decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable."""
        rate = ops.cast(learning_rate, variable.dtype)
        if self._get_variable_index(variable) < self.backbone_variables:
            # `iterations` counts updates, of which there are fewer where gradients accumulate.
            moves = ops.cast(self._iterations >= self.frozen_steps, rate.dtype)
            rate = rate * self.backbone_rate * moves
        if self.decoupled_decay is not None:
            self.assign_sub(variable, rate * self.decoupled_decay * variable)
        super().update_step(gradient, variable, rate)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "TwoRateAdam":
        """Returns a saved optimiser; arguments may have their names of version 0.1.0."""
        made: TwoRateAdam = super().from_config(rename_keys(config, OPTIMIZER), custom_objects)
        return made

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved optimiser."""
        return {
            **super().get_config(),
            "backbone_variables": self.backbone_variables,
            "backbone_rate": self.backbone_rate,
            "frozen_steps": self.frozen_steps,
            "weight_decay": self.decoupled_decay,
        }


@keras.saving.register_keras_serializable("siamese")
@dataclass(eq=False)  # hashable, as other schedules are
class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A straight line up from 0, then constant, and from there half a cosine to 0, or stairs.

    Keras's `CosineDecay` decides between the two with a branch in the graph, which an optimiser
    with weight decay repeats for each variable: with some 300 variables that took 40 % of the time
    of a step and 20 s of tracing.

    Args:
        learning_rate: The highest rate.
        steps: Steps of the run.
        warm_up_steps: Steps of the line.
        decay: "constant", "cosine" or "step".
        decay_steps: For "step": where the rate is multiplied by the factor.
        decay_factor: The factor.
        decay_share: For "cosine": the share of the steps, at the end, in which the rate falls.
    """

    learning_rate: float
    steps: int
    warm_up_steps: int
    decay: str
    decay_steps: Sequence[int] = ()
    decay_factor: float = 0.1
    decay_share: float = 1.0

    def __call__(self, step: Any) -> Any:
        """Returns the rate at a step, counted from 0."""
        step = ops.cast(step, "float32")
        rate = ops.minimum(1.0, step / max(1, self.warm_up_steps)) if self.warm_up_steps else 1.0
        if self.decay == "cosine":
            first = max(self.warm_up_steps, round(self.steps * (1.0 - self.decay_share)))
            done = ops.clip((step - first) / max(1, self.steps - first), 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(math.pi * done))
        elif self.decay == "step":
            for stair in self.decay_steps:
                rate = rate * ops.where(step >= stair, self.decay_factor, 1.0)
        return self.learning_rate * rate

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved optimiser."""
        return {**vars(self), "decay_steps": list(self.decay_steps)}
