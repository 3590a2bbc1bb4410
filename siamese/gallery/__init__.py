"""A searchable collection of images of people.

stage      `Gallery`: add, search, merge, remove, check
results    what it answers
sources    folders, files and record sets -> images with who, where, when
filters    which rows a search looks at
exact      the exact search, in NumPy
ingest     images -> committed rows
table      the rows on the disk, in LanceDB; `rows`: what a row is
searching  from memory, or by the index
distributed  reading and embedding by Ray
integrity  what it holds, and what is wrong with it
selection  names and paths that a user gives -> rows
exporting  its rows as one file
"""

from siamese.gallery.database import Gallery
from siamese.gallery.results import Added, Info, SearchResult, answer
from siamese.gallery.sources import GalleryImage, open_image

__all__ = ["Added", "Gallery", "GalleryImage", "Info", "SearchResult", "answer", "open_image"]
