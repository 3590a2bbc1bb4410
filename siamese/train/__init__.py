"""Stage: recipe + records -> run folder.

objective    the training model: augmentation, embedder, heads and losses
watch        what happens at the end of an epoch: scores, checkpoints, TensorBoard, progress
stage        puts them together
"""

from siamese.train.stage import Run, train

__all__ = ["Run", "train"]
