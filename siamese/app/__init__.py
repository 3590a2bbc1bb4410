"""The web page: compare, search, gallery, review, model; for a browser on this machine.

page         the page as a whole: tabs, look, start
compare_tab  tab: two images -> verdict
search_tab   tab: an image -> the ranked images of the gallery
people_tab   tab: what is in the gallery: add, browse, name, merge, erase
review_tab   tab: a person's word on uncertain pairs (`siamese.review`)
about_tab    tab: the model's card, scores and pictures
state        the open model, the gallery and its review, shared by all tabs
uploads      checks of what comes in: limits, image kinds, archives
components   Gradio as the tabs use it
chart        distances of known pairs, and a false-accept rate's threshold
wording      numbers, times and names as a person reads them

Each `build_*` lays out a part of the page and says what it does: `desk` is asked, `changed` is a
state that is counted up when the gallery has become another, `tab` loads something when it opens,
and `folder` is where Gradio keeps pictures.
"""

from siamese.telemetry import switch_off

switch_off("gradio")  # which the modules of this package import
