"""Dataset folders and tables -> samples, for every layout of the field. No TensorFlow here.

samples    what a sample is, and the forms of file names
layouts    recognises a folder
people     decides whether folders are people, cameras, parts, dates or sequences
coverage   counts what of a folder is used, and what is left out and why
listing    lists the samples of a folder that was recognised
small_sets the small sets, known by all of their names together
mars       the tables of official MARS
tables     triplets and identities from CSV files
multi_source  several datasets used together
"""

from siamese.datasets.coverage import Coverage, LeftOut, add_coverage, measure_coverage
from siamese.datasets.layouts import Layout, PartName, recognise
from siamese.datasets.listing import list_samples
from siamese.datasets.multi_source import (
    Caps,
    DatasetPaths,
    SourceDataset,
    as_list,
    cap_images,
    list_sources,
)
from siamese.datasets.people import PeopleUnclearError
from siamese.datasets.samples import DISTRACTOR_PERSON, Sample
from siamese.datasets.small_sets import UNLABELLED, SmallSet
from siamese.datasets.tables import read_identities, read_triplets

__all__ = [
    "DISTRACTOR_PERSON",
    "UNLABELLED",
    "Caps",
    "Coverage",
    "DatasetPaths",
    "Layout",
    "LeftOut",
    "PartName",
    "PeopleUnclearError",
    "Sample",
    "SmallSet",
    "SourceDataset",
    "add_coverage",
    "as_list",
    "cap_images",
    "list_samples",
    "list_sources",
    "measure_coverage",
    "read_identities",
    "read_triplets",
    "recognise",
]
