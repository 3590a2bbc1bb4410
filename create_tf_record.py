"""Dataset folder -> TFRecords: `python create_tf_record.py --dataset_dir PATH`."""

import sys

from siamese.cli import create_records, run

if __name__ == "__main__":
    sys.exit(run(create_records))
