"""Stage: recipe + images -> run folder.

training       puts the others together
training_data  the images: a record set, or files held in memory
objective      the training model: augmentation, embedder, heads, losses, metrics
speed          kernels and precision that make its steps fast
optimizer      optimiser and schedule
averaging      the embedder that is scored, its weights averaged
teacher        models that are imitated, and the cache of what they said
devices        one device, several, several machines
run_dir        the run folder: name, lock, `recipe.json`, `history.csv`, states to resume from
callbacks      what happens around an epoch: scores, alarms, early stopping, states, progress
tensorboard    curves, pictures, histograms, projector
finalize       calibration, model file, score reports, pictures
seeds          one recipe with several seeds
"""

from siamese.train.training import Run, train

__all__ = ["Run", "train"]
