"""Two images -> verdict of the newest run: `test_siamese_network.py --img1 A --img2 B`."""

import sys

from siamese.cli import run, verify

if __name__ == "__main__":
    words = ["--model", "newest", *sys.argv[1:]]
    if not any(word.startswith(("--output", "--json", "--pairs")) for word in words):
        words += ["--output", "pair.png"]
    sys.exit(run(verify, words))
