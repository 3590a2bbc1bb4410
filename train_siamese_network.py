"""Records -> trained, scored, calibrated model: `python train_siamese_network.py --data PATH`."""

import sys

from siamese.cli import run, train

if __name__ == "__main__":
    sys.exit(run(train))
