"""The sections of a recipe: the keyword arguments of the components, and what stages decide."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """Keyword arguments of `siamese.models.embedder.build_embedder`."""

    backbone: str = "resnet50"
    weights: str = "imagenet"
    """`imagenet`, `none`, the path of a weights file of the backbone, or a model of ours to go on
    from: the path of a `.keras` file, or `pretrained`, the one that comes with the package."""
    image_size: tuple[int, int] = (256, 128)
    """Height and width, in pixels, that the model resizes its input to."""
    embedding_size: int = 128
    """Dimensions; 0: the pooled features of the backbone as they are, without a layer of their
    own."""
    bnneck: bool = False
    """Batch normalisation between the feature and the embedding (BNNeck, Luo et al. 2019)."""
    dropout: float = 0.0
    pooling: Literal["average", "gem", "global_depthwise"] = "average"
    """`gem`: the generalised mean of Radenovic et al. (2018), with a power that is learnt;
    `global_depthwise`: a mean with learnt weights by position and channel (Chen et al. 2018)."""
    last_stride: Literal[1, 2] = 2
    """1: the last reduction of a ResNet or an EfficientNet-Lite is left out (Luo et al. 2019)."""


@dataclass(frozen=True, kw_only=True)
class BatchSection:
    """Keyword arguments of `siamese.sampler.RowSampler`."""

    sampler: Literal["pk", "pairs", "triplets"] = "pk"
    """`pk`: P people x K images; `pairs`: rows 2i and 2i+1; `triplets`: rows 3i to 3i+2."""
    num_identities: int = 16
    """P: groups of images of one person in a batch."""
    num_instances: int = 4
    """K: images in a group. 2 for `pairs`, 3 for `triplets`."""
    spread_cameras: bool = True
    """Groups have as many cameras as the person's images allow."""
    balance: Literal["none", "source"] | Mapping[str, float] = "none"
    """Of several datasets, what share of the groups of a batch each has. `none`: that of all groups
    which it has; `source`: equal shares; or weights by the names of datasets, 1 where not named."""
    unlabelled: int = 0
    """Images of unknown people in a batch beside the groups, where the data has such; a teacher
    alone can say anything of them."""

    @property
    def labelled(self) -> int:
        """Returns the number of images of known people in a batch."""
        return self.num_identities * self.num_instances


@dataclass(frozen=True, kw_only=True)
class AugmentationSection:
    """Keyword arguments of `siamese.augment.build_augmentation`."""

    flip: bool = True
    padding: int = 0
    """Pixels of padding on each side before a random crop of the old size, at a height of 128."""
    rotation: float = 0.0
    """Largest turn to either side, in degrees."""
    perspective: float = 0.0
    """Largest move inwards of the corners of half of the images, as a share of half the sides."""
    auto_augment: float = 0.0
    """Probability that an image goes through the ImageNet policy of AutoAugment."""
    rand_augment: float = 0.0
    """Magnitude of the two operations of RandAugment on every image, 0 to 10."""
    aug_mix: float = 0.0
    """Probability that an image is mixed with changed versions of itself (AugMix)."""
    cut_mix: float = 0.0
    """Probability that an image has a part of another one (CutMix): with `distillation.same_view`
    and without losses on labels, as no label is right for it."""
    brightness: float = 0.0
    """Largest change of brightness, as a share of white."""
    contrast: float = 0.0
    """Largest change of contrast, as a share."""
    saturation: float = 0.0
    """Largest change of saturation, as a share."""
    hue: float = 0.0
    """Largest change of hue, as a share of the circle of colours."""
    grayscale_patch: float = 0.0
    """Probability that a rectangle of an image loses its colour."""
    erasing: float = 0.0
    """Probability that a rectangle of an image is erased."""


@dataclass(frozen=True, kw_only=True)
class LossSection:
    """The losses: a metric loss on the features, and the heads beside it."""

    metric: Literal[
        "contrastive", "triplet", "weighted_triplet", "circle", "multi_similarity", "info_nce"
    ] = "triplet"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the metric loss (`siamese.losses`)."""
    metric_weight: float = 1.0
    """Weight of the metric loss; 0 is without."""
    identity: Literal["softmax", "arcface", "cosface"] = "softmax"
    """The identity classification: label-smoothed softmax, or a margin on the cosines."""
    identity_options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of its loss: `label_smoothing`, or `margin` and `scale`."""
    identity_weight: float = 0.0
    """Weight of the identity classification beside the metric loss; 0 is without."""
    centre_weight: float = 0.0
    """Weight of the centre loss (Wen et al. 2016) on the features; 0 is without."""
    same_different_weight: float = 0.0
    """Weight of the cross-entropy of a sigmoid same/different head on |f1 - f2|."""

    @property
    def uses_labels(self) -> bool:
        """Tells whether any of the losses has a weight."""
        weights = (self.metric_weight, self.identity_weight, self.centre_weight)
        return any((*weights, self.same_different_weight))


@dataclass(frozen=True, kw_only=True)
class DistillationSection:
    """The imitation of a teacher, beside the losses on labels."""

    teachers: tuple[str, ...] = ()
    """Model files; without any nothing is imitated. The embeddings of several are joined."""
    embedding_weight: float = 1.0
    """Weight of the cosine distance from the teacher's embeddings; 0 is without. Where the teacher
    has another number of dimensions, or the student a BNNeck, a linear layer stands between, which
    is not saved."""
    relation_weight: float = 10.0
    """Weight of the relations among the images of a batch; 0 is without."""
    relation: Literal["distance", "similarity"] = "distance"
    """The relations: distances (Park et al. 2019) or similarities (Tung and Mori 2019)."""
    person_share: float = 0.0
    """What is imitated of an image of a known person is by this share the mean of the teacher's
    embeddings of that person, each camera weighing the same. Not with `same_view`."""
    same_view: bool = False
    """The teacher sees each image as augmentation made it (Beyer et al. 2022), in every epoch anew;
    otherwise it sees each image once, as it is."""


@dataclass(frozen=True, kw_only=True)
class AdaptationSection:
    """Training on crops of unknown people, whose clusters stand in for people."""

    radius: float = 0.0
    """Jaccard distance up to which crops are neighbours, below 1; 0: people are known, and none of
    this is used."""
    temperature: float = 0.05
    """What cosines between crops and the centres of clusters are divided by, in their loss."""
    tracklets: bool = False
    """A tracklet is one person. Not where names hold a sequence in its place, as Market-1501's."""


@dataclass(frozen=True, kw_only=True)
class OptimizerSection:
    """The optimiser and its learning-rate schedule."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 3e-4
    warm_up_epochs: float = 0.0
    """Epochs in which the rate rises from 0 in a straight line."""
    decay: Literal["constant", "cosine", "step"] = "constant"
    decay_epochs: tuple[float, ...] = ()
    """For `step`: epochs, counted from the start, at which the rate is multiplied by
    `decay_factor`."""
    decay_factor: float = 0.1
    decay_share: float = 1.0
    """For `cosine`: the share of the run, at its end, in which the rate falls; before, it is
    constant, and how long the run will be need not be known."""
    weight_decay: float = 0.0
    """Decoupled from the gradient, with `adam` as with `adamw` (Loshchilov and Hutter 2019)."""
    backbone_rate: float = 1.0
    """The backbone's learning rate, as a share of that of the layers after it."""
    frozen_epochs: float = 0.0
    """First epochs in which the backbone's weights stay as they are."""
    clip_norm: float = 0.0
    """Largest norm of all gradients together; 0 is without."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one update."""
    average: float = 0.0
    """Momentum of a moving average of the weights, which is what is scored and saved; 0 is
    without. 0.999 averages over the last thousand batches or so."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run, whole."""

    name: str
    model: ModelSection = field(default_factory=ModelSection)
    batches: BatchSection = field(default_factory=BatchSection)
    augmentation: AugmentationSection = field(default_factory=AugmentationSection)
    loss: LossSection = field(default_factory=LossSection)
    distillation: DistillationSection = field(default_factory=DistillationSection)
    adaptation: AdaptationSection = field(default_factory=AdaptationSection)
    optimizer: OptimizerSection = field(default_factory=OptimizerSection)
    epochs: int = 60
    score_every: int = 1
    """Epochs between two scorings of the held-out identities; the last epoch is always scored."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16", "auto"] = "float32"
    """Precision of the backbone; `auto` times a step of each and takes the fastest. Heads,
    losses and the saved model are float32 in any case."""
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the recipe as plain lists and dicts, ready for JSON."""
        return dataclasses.asdict(self)
