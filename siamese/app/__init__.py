"""The web page: compare, search, gallery, review, model; for a browser on this machine.

page        the page as a whole: tabs, look, start
compare     tab: two images -> verdict
search      tab: an image -> the ranked images of the gallery
people      tab: what is in the gallery: add, browse, name, merge, erase
review      tab: a person's word on uncertain pairs
about       tab: the model's card, scores and pictures
desk        what the tabs share: the open model, the gallery, and what is asked of them
uploads     what may come in: limits, image kinds, archives
thresholds  a false-accept rate -> threshold, verdict, histograms
answers     the answers of the review: table, triplets, calibration
pieces      small pieces of HTML, everything in them escaped
"""

import os

# Both are read when Gradio is imported: nothing leaves this machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
