"""Pictures: pairs, rank lists, batches, curves. Arrays in, matplotlib figures out.

style     colours, frames, files
verdicts  two images and the verdict
image_grids  rank lists, grids, datasets
curves    training, distances, CMC, ROC, reliability
"""

from siamese.plots.curves import (
    plot_cmc,
    plot_distances,
    plot_history,
    plot_reliability,
    plot_roc,
)
from siamese.plots.image_grids import (
    RankedImage,
    plot_dataset,
    plot_images,
    plot_pairs,
    plot_rank_lists,
)
from siamese.plots.style import DIFFERENT, NEUTRAL, SAME, UNSURE, Image, save, to_svg
from siamese.plots.verdicts import (
    VERDICT_COLOURS,
    VERDICT_WORDS,
    overlay_heat,
    plot_explanation,
    plot_pair,
)

__all__ = [
    "DIFFERENT",
    "NEUTRAL",
    "SAME",
    "UNSURE",
    "VERDICT_COLOURS",
    "VERDICT_WORDS",
    "Image",
    "RankedImage",
    "overlay_heat",
    "plot_cmc",
    "plot_dataset",
    "plot_distances",
    "plot_explanation",
    "plot_history",
    "plot_images",
    "plot_pair",
    "plot_pairs",
    "plot_rank_lists",
    "plot_reliability",
    "plot_roc",
    "save",
    "to_svg",
]
