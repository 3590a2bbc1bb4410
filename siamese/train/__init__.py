"""Stage: recipe + images -> run folder.

training     puts the others together
run_dir      the run folder: its name, how it was started
lock         who has it
training_data  where the images come from
objective    the training model: augmentation, embedder, heads and losses
batch_metrics  what is watched beside the loss
callbacks    what happens around an epoch: scores, alarms, early stopping, progress
run_state    what an epoch leaves behind, and how a resumed run finds it
tensorboard  the same for TensorBoard
finalize     calibration, model file, score report, pictures
"""

from siamese.train.training import Run, train

__all__ = ["Run", "train"]
