"""Person re-identification with Siamese networks on TensorFlow and Keras 3."""

import os

__version__ = "0.1.0"

# TensorFlow's start-up notes (no GPU, instruction sets) would bury the program's own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
