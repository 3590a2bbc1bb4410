"""Dataset folders and tables -> samples, for every layout of the field. No TensorFlow here.

samples    what a sample is, and the forms of file names
layouts    recognises a folder and lists its samples
small_sets the small sets, known by all of their names together
mars       the tables of official MARS
tables     triplets and identities from CSV files
multi_source  several datasets used together
"""

from siamese.datasets.layouts import Layout, PartName, list_samples, recognise
from siamese.datasets.multi_source import (
    Caps,
    DatasetPaths,
    SourceDataset,
    as_list,
    cap_images,
    list_sources,
)
from siamese.datasets.samples import DISTRACTOR_PERSON, Sample
from siamese.datasets.small_sets import UNLABELLED, SmallSet
from siamese.datasets.tables import read_identities, read_triplets

__all__ = [
    "DISTRACTOR_PERSON",
    "UNLABELLED",
    "Caps",
    "DatasetPaths",
    "Layout",
    "PartName",
    "Sample",
    "SmallSet",
    "SourceDataset",
    "as_list",
    "cap_images",
    "list_samples",
    "list_sources",
    "read_identities",
    "read_triplets",
    "recognise",
]
