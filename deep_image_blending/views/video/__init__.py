"""A video of a run, from the frames that its passes saved, at equal perceived change."""

from deep_image_blending.views.video.film import LAYOUTS
from deep_image_blending.views.video.moments import Moment, saved_moments
from deep_image_blending.views.video.pace import changes, timeline
from deep_image_blending.views.video.writing import FORMATS, VideoOptions, make_video

__all__ = [
    "FORMATS",
    "LAYOUTS",
    "Moment",
    "VideoOptions",
    "changes",
    "make_video",
    "saved_moments",
    "timeline",
]
