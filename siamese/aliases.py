"""Names of version 0.1.0 that recipes, saved optimisers and flags may still use."""

from collections.abc import Mapping
from typing import Any

SECTIONS = {
    "model": {"trunk": "backbone", "bottleneck": "bnneck"},
    "batches": {"order": "sampler", "people": "num_identities", "images": "num_instances"},
    "optimizer": {"trunk_rate": "backbone_rate"},
}
"""Old name to new name, by section of a recipe."""
SAMPLERS = {"people": "pk"}
OPTIMIZER = {"trunk_variables": "backbone_variables", "trunk_rate": "backbone_rate"}
"""Arguments of `siamese.train.optimizer.TwoRateAdam`."""
BACKBONE_FLAG = "--trunk"
"""The flag `--backbone` of version 0.1.0."""


def rename_keys(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Returns `values` with the keys that `names` lists renamed, in their order.

    Example:
        >>> rename_keys({"trunk": "conv4", "dropout": 0.0}, SECTIONS["model"])
        {'backbone': 'conv4', 'dropout': 0.0}
    """
    return {names.get(key, key): value for key, value in values.items()}


def rename_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a recipe, as JSON holds it, in the names of today."""
    renamed = {
        name: rename_keys(section, SECTIONS[name])
        if name in SECTIONS and isinstance(section, Mapping)
        else section
        for name, section in recipe.items()
    }
    batches = renamed.get("batches")
    if isinstance(batches, dict) and batches.get("sampler") in SAMPLERS:
        batches["sampler"] = SAMPLERS[batches["sampler"]]
    return renamed
