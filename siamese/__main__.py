"""`python -m siamese` is the `siamese` command."""

import sys

from siamese.cli import main

if __name__ == "__main__":
    sys.exit(main())
