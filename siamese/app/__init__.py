"""The web page: compare, search, gallery, review, model; for a browser on this machine.

page        the page as a whole: tabs, look, start
compare_tab  tab: two images -> verdict
search_tab  tab: an image -> the ranked images of the gallery
people_tab  tab: what is in the gallery: add, browse, name, merge, erase
review_tab  tab: a person's word on uncertain pairs
about_tab   tab: the model's metadata, scores and pictures
state       what the tabs share: the open model, the gallery, and what is asked of them
uploads     what may come in: limits, image kinds, archives
thresholds  a false-accept rate -> threshold, verdict, histograms
annotations  the answers of the review: table, triplets, calibration
html        small pieces of HTML, everything in them escaped
"""

from siamese.telemetry import switch_off

switch_off("gradio")  # which the modules of this package import
