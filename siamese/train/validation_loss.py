"""The metric loss of the held-out people, of embeddings that were computed for their scores."""

import numpy as np

from siamese.errors import InputError
from siamese.evaluate import EmbeddedImages
from siamese.recipes import Recipe
from siamese.sampler import RowSampler, count_groups, fit_groups
from siamese.train.objective import METRIC_LOSSES


def held_out_loss(recipe: Recipe, gallery: EmbeddedImages) -> float | None:
    """Measures the metric loss of a recipe on the held-out people, without augmentation.

    Batches are drawn as in training, always the same ones, and smaller where there are few people.

    Args:
        recipe: Of the run.
        gallery: Embeddings of the held-out people.

    Returns:
        The mean over the batches; None where there are too few people for a batch, or the model has
        a BNNeck, before which the loss sees features that the embeddings do not have.
    """
    if recipe.model.bnneck:
        return None
    labels = np.unique(gallery.people, return_inverse=True)[1].astype(np.int64)
    section = recipe.batches
    groups = count_groups(np.bincount(labels), section.num_instances)
    try:
        sampler = RowSampler(
            labels,
            gallery.cameras,
            sampler=section.sampler,
            num_identities=fit_groups(groups, section.num_identities, sampler=section.sampler),
            num_instances=section.num_instances,
            spread_cameras=section.spread_cameras,
        )
    except InputError:
        return None
    loss = METRIC_LOSSES[recipe.loss.metric](**recipe.loss.options)
    values = [
        float(loss(labels[rows].astype(np.int32), gallery.embeddings[rows]))
        for rows in sampler.draw(0)
    ]
    return float(np.mean(values))
