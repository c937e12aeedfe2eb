"""A run, or several side by side, on one HTML page that holds everything it shows."""

from deep_image_blending.views.report.boundary import boundary_box
from deep_image_blending.views.report.palette import palette
from deep_image_blending.views.report.writing import write_report

__all__ = ["boundary_box", "palette", "write_report"]
