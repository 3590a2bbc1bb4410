"""Dataset folders and tables -> samples, for every layout of the field. No TensorFlow here.

samples    what a sample is, and the forms of file names
layouts    recognises a folder and lists its samples
small_sets the small sets, known by all of their names together
mars       the tables of official MARS
tables     triplets and identities from CSV files
"""

from siamese.data.datasets.layouts import Layout, Part, list_samples, recognise
from siamese.data.datasets.samples import DISTRACTOR_PERSON, Sample
from siamese.data.datasets.small_sets import UNLABELLED, SmallSet
from siamese.data.datasets.tables import read_identities, read_triplets

__all__ = [
    "DISTRACTOR_PERSON",
    "UNLABELLED",
    "Layout",
    "Part",
    "Sample",
    "SmallSet",
    "list_samples",
    "read_identities",
    "read_triplets",
    "recognise",
]
