"""Stage: recipe + images -> run folder.

stage        puts the others together
folder       the run folder: its name, how it was started
lock         who has it
sources      where the images come from
objective    the training model: augmentation, embedder, heads and losses
metrics      what is watched beside the loss
watch        what happens around an epoch: scores, alarms, early stopping, progress
checkpoints  what an epoch leaves behind, and how a resumed run finds it
tensorboard  the same for TensorBoard
finish       calibration, model file, score card, pictures
"""

from siamese.train.training import Run, train

__all__ = ["Run", "train"]
