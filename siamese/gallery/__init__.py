"""A searchable collection of images of people.

database  stage: `Gallery`: add, search, merge, remove, check
sources   folders, files and record sets -> images with who, where, when
ingest    images -> committed rows, in this process or by Ray
table     the rows on the disk, in LanceDB; what a row is
search    filters and queries -> rows, from memory or by the index
results   the answers: places of a rank list, what was added
contents  names that a user gives -> rows; counts, and faults
own_calibration  rows -> the calibration that a gallery makes of its own images
"""

from siamese.gallery.database import Gallery
from siamese.gallery.results import Added, Info, SearchResult, answer
from siamese.gallery.sources import GalleryImage, open_image, open_or_blank

__all__ = [
    "Added",
    "Gallery",
    "GalleryImage",
    "Info",
    "SearchResult",
    "answer",
    "open_image",
    "open_or_blank",
]
