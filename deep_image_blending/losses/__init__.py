"""The losses, one file each: what a loss measures, as a pure function of tensors.

Pixels are (1, 3, H, W) in 0..255, features (1, C, H, W), weights of positions (1, 1, H, W) and not negative.
Every function is differentiable in its first argument.
"""

from deep_image_blending.losses.colour import gaussian_blur
from deep_image_blending.losses.content import apply_head, content_loss
from deep_image_blending.losses.gradient import gradient_loss, laplacian
from deep_image_blending.losses.histogram import histogram_loss, match_histogram
from deep_image_blending.losses.style import (
    Statistics,
    gram_matrix,
    log_mean_exp,
    project_moment,
    second_moment,
    smooth_activations,
    style_distance,
    style_statistics,
)
from deep_image_blending.losses.total_variation import total_variation

__all__ = [
    "Statistics",
    "apply_head",
    "content_loss",
    "gaussian_blur",
    "gradient_loss",
    "gram_matrix",
    "histogram_loss",
    "laplacian",
    "log_mean_exp",
    "match_histogram",
    "project_moment",
    "second_moment",
    "smooth_activations",
    "style_distance",
    "style_statistics",
    "total_variation",
]
