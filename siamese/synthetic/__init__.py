"""Drawn pedestrians: crops of people who never were, and a MARS tree without a download.

- `draw_pedestrian`: one crop.
- `write_mars_tree`: a dataset of MARS form.
- `write_test_images`: seven images to try a model on.

How hard they are to tell apart is decided in `difficulty`.
"""

from siamese.synthetic.drawing import draw_pedestrian
from siamese.synthetic.trees import write_mars_tree, write_test_images

__all__ = ["draw_pedestrian", "write_mars_tree", "write_test_images"]
