"""Two images -> verdict: `python test_siamese_network.py --img1 A --img2 B`."""

import sys

from siamese.cli import run, verify

if __name__ == "__main__":
    sys.exit(run(verify))
