"""The difficulty of telling drawn pedestrians apart: every number that decides it.

Larger numbers make the task harder, except where the name says otherwise. A camera draws its own
values once, from these ranges; a tracklet and a frame add theirs.
"""

COLOUR_CAST = 0.07  # natural logarithm of the largest white-balance gain of one channel of a camera
EXPOSURE = 0.18  # natural logarithm of the largest brightness gain of a camera
GAMMA = 0.12  # natural logarithm of the largest gamma of a camera
SATURATION = (0.85, 1.1)  # how much colour a camera leaves; 1 leaves it all, 0 makes it grey
BLUR = (0.0, 0.6)  # radius of a camera's blur, in pixels of an image 128 high
NOISE = (1.0, 3.0)  # standard deviation of a camera's noise, in levels of 0..255
TRACKLET_LIGHT = 0.07  # standard deviation of the natural logarithm of a tracklet's brightness gain
# Standard deviation of the natural logarithm of a tracklet's gain of one channel.
TRACKLET_CAST = 0.02
# Standard deviation of a tracklet's walking direction about its camera's usual one, in degrees.
TURN_SPREAD = 25.0
TURNED_BACK = 0.15  # share of tracklets that walk against their camera's usual direction
BOX_SHIFT = 0.025  # standard deviation of a crop's misplacement, as a share of its height
BOX_SCALE = 0.035  # standard deviation of the natural logarithm of a crop's wrong size
OCCLUSION = 0.05  # share of tracklets in which something stands before the person
# Standard deviation by which clothes differ from the shared palette, in levels. Larger is easier:
# two people in the same palette colour differ more.
COLOUR_JITTER = 14.0
