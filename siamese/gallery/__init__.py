"""A searchable collection of images of people.

stage      `Gallery`: add, search, merge, remove, check
results    what it answers
sources    folders, files and record sets -> images with who, where, when
filters    which rows a search looks at
exact      the exact search, in NumPy
writing    images -> committed rows
table      the rows on the disk, in LanceDB; `rows`: what a row is
searching  from memory, or by the index
cluster    reading and embedding by Ray
checking   what it holds, and what is wrong with it
choosing   names and paths that a user gives -> rows
exporting  its rows as one file
"""

from siamese.gallery.database import Gallery
from siamese.gallery.results import Added, Info, Match, answer
from siamese.gallery.sources import GalleryImage, open_image

__all__ = ["Added", "Gallery", "GalleryImage", "Info", "Match", "answer", "open_image"]
