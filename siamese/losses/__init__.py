"""Losses on (labels, embeddings), for any Keras backend.

| on | module | losses |
|---|---|---|
| pairs | `contrastive` | `ContrastiveLoss`, `SameDifferentLoss` |
| triplets | `triplet` | `TripletLoss`, `WeightedTripletLoss` |
| all pairs of a batch | `similarity` | `InfoNCELoss`, `MultiSimilarityLoss`, `CircleLoss` |
| a teacher's embeddings | `distillation` | `EmbeddingDistillationLoss`, `RelationalDistillationLoss`, `SimilarityPreservingLoss` |
| clusters of unknown people | `clusters` | `CosFaceLoss` with `ClusterMemory` |
| classes | `classification` | `IdentityLoss`; `ArcFaceLoss` and `CosFaceLoss` with `CosineClassifier`; `CentreLoss` with `CentreDistances` |

Labels are numbers of people; a teacher's embeddings stand in their place. Each loss is a mean (its
docstring says over what), 0 when a batch holds nothing to average, and runs in `compile` and `fit`,
under jit, in mixed precision and from a saved model. An argument out of its range raises an
`InputError` at once, and a batch whose labels (or teacher) and rows do not fit when it comes.
"""  # noqa: E501

from siamese.losses.classification import (
    ArcFaceLoss,
    CentreDistances,
    CentreLoss,
    CosFaceLoss,
    CosineClassifier,
    IdentityLoss,
)
from siamese.losses.clusters import ClusterMemory
from siamese.losses.contrastive import ContrastiveLoss, SameDifferentLoss
from siamese.losses.distillation import (
    EmbeddingDistillationLoss,
    RelationalDistillationLoss,
    SimilarityPreservingLoss,
)
from siamese.losses.similarity import CircleLoss, InfoNCELoss, MultiSimilarityLoss
from siamese.losses.triplet import TripletLoss, WeightedTripletLoss

__all__ = [
    "ArcFaceLoss",
    "CentreDistances",
    "CentreLoss",
    "CircleLoss",
    "ClusterMemory",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CosineClassifier",
    "EmbeddingDistillationLoss",
    "IdentityLoss",
    "InfoNCELoss",
    "MultiSimilarityLoss",
    "RelationalDistillationLoss",
    "SameDifferentLoss",
    "SimilarityPreservingLoss",
    "TripletLoss",
    "WeightedTripletLoss",
]
